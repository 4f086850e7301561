"""Baselines score what knowing nothing, only how common sounds are, or only how loud it is, must score."""

import io

import numpy as np
import pytest
from rich.console import Console
from test_evaluation_evaluate import Oracle

from evaluation.baselines import BASELINES, Chance, Energy, LabelPrior, measured_beside, stand_ins
from evaluation.evaluate import evaluate
from evaluation.queries import UNTRAINED, label_words
from evaluation.results import evaluation_table
from evaluation.scored import Detector, split_soundscapes
from manifests.audio import Recording
from manifests.errors import FlamError

HOP = 0.04


def test_baselines_stand_beside_a_model(toy_dataset):
    columns = stand_ins(toy_dataset, split="test", hop=HOP)
    options = {"split": "test", "trained": UNTRAINED, "caption_set": "template", "limit": None}
    found = measured_beside(columns, toy_dataset, **options)
    assert tuple(found) == BASELINES[:3]
    assert found["chance"]["auroc_all"] == pytest.approx(0.5, abs=0.05)
    assert found["label prior"]["auroc_all"] == 0.5  # no window of a label is above another
    assert found["label prior"]["ece"] < 0.1 < found["chance"]["ece"]
    assert found["label prior"]["brier"] == pytest.approx(found["label prior"]["brier_of_prior"], abs=0.02)
    # the toy sounds stand out of a quiet background: energy hears that there is one, and not which
    assert found["energy"]["auroc_all"] > 0.6
    assert found["energy"]["auroc_active"] < found["energy"]["auroc_all"]
    for values in found.values():
        assert values["text_to_audio_recall_at_1"] < 0.5
    console = Console(width=150, record=True, file=io.StringIO())
    result = evaluate(Oracle(toy_dataset), toy_dataset, caption_set="template", num_replicates=0)
    console.print(evaluation_table(result, baselines=found))
    text = console.export_text()
    assert "label prior" in text
    assert f"{found['chance']['auroc_all']:.3f}" in text


def test_chance_is_the_same_each_time_and_other_for_another_recording():
    rng = np.random.default_rng(0)
    one, other = (
        Recording(samples=rng.integers(-99, 99, 16_000).astype(np.int16), sample_rate=16_000, name="x")
        for _ in range(2)
    )
    chance = Chance(hop=HOP)
    assert isinstance(chance, Detector)
    np.testing.assert_array_equal(chance.hear(one, ["a", "b"])[0], chance.hear(one, ["a", "b"])[0])
    assert (chance.hear(one, ["a"])[0] != chance.hear(other, ["a"])[0]).any()
    assert chance.hear(one, ["a", "b"])[0].shape == (25, 2)


def test_the_prior_is_the_share_of_time_in_other_soundscapes(toy_dataset):
    rows = split_soundscapes(toy_dataset, "train")
    prior = LabelPrior(rows, toy_dataset.phrases(), hop=HOP)
    hiss = sum(
        s.offset - s.onset for row in rows for event in row.events if event.label == "hiss" for s in event.activity
    )
    assert prior.shares[label_words("hiss")] == pytest.approx(hiss / sum(row.duration for row in rows))
    with pytest.raises(FlamError, match="no soundscapes to count"):
        LabelPrior([], [], hop=HOP)


def test_energy_is_the_level_of_each_frame():
    samples = np.zeros(1600, np.int16)
    samples[640:1280] = 3277  # a tenth of full scale in the second of three frames
    found = Energy(hop=HOP).hear(Recording(samples=samples, sample_rate=16_000, name="x"), ["anything"])[0]
    np.testing.assert_allclose(found[:, 0], [0.0, 0.8, 0.0], atol=1e-3)
