"""How common sounds are, told from their texts."""

from pathlib import Path

import numpy as np
import pytest
import torch
from conftest import toy_event, toy_soundscape

from manifests.audio import Recording
from manifests.schema import Soundscape, to_table
from manifests.store import DatasetFolder
from training.checkpoint import ModelCard
from training.config import ModelConfig, TrainConfig
from training.detect import Detector
from training.loop import train
from training.model import FlamModel
from training.prior import coverage, fit_prior, shares_of_time

TINY = ModelConfig(channels=(16, 8, 8, 8), width=16, num_layers=1, num_heads=2, text="hash")


def row(annotation: str, *spans: tuple[str, float, float]) -> Soundscape:
    made, _ = toy_soundscape(0, "train", np.random.default_rng(0))
    made.annotation, made.duration = annotation, 4.5
    made.events = [toy_event(label, onset, offset, label) for label, onset, offset in spans]
    return made


def test_shares_are_of_the_time_of_soundscapes_that_list_everything() -> None:
    closed = [row("closed", ("dog", 0, 1), ("dog", 2, 2.5), ("cat", 1, 3)), row("closed")]
    found = shares_of_time(to_table([*closed, row("open", ("cow", 0, 4))], Soundscape))
    assert found == pytest.approx({"dog": 2.0 / 10, "cat": 2.5 / 10})  # half a second more, of one second more


def test_sounds_of_a_cluster_at_once_count_once() -> None:
    there = [("dog", 0, 2), ("cat", 1, 3), ("dog", 1, 3), ("dog", 1.5, 2), ("dog", 4, 4.5)]
    found = shares_of_time(to_table([row("closed", *there), row("closed", ("dog", 0, 1))], Soundscape))
    assert found == pytest.approx({"dog": (3 + 0.5 + 1 + 0.5) / 10, "cat": 2.5 / 10})


def test_coverage_is_the_mean_share_of_a_soundscape_that_its_events_fill() -> None:
    rows = [row("closed", ("dog", 0, 1.8), ("cat", 1, 1.9)), row("closed", ("dog", 0, 4.5)), row("closed")]
    assert coverage(to_table(rows, Soundscape)) == pytest.approx((0.4 + 0.2 + 1.0) / 3)
    assert coverage(to_table([row("closed")], Soundscape)) == 0.1  # nothing tells


def test_biases_of_texts_start_at_the_coverage_of_what_is_trained_on(
    toy_dataset: DatasetFolder, tmp_path: Path
) -> None:
    model = TINY.model_copy(update={"frame_scale": "text"})
    train(toy_dataset.root, tmp_path / "run", TrainConfig(model=model, steps=0, batch_size=4, prior_weight=1.0))
    head = Detector.load(tmp_path / "run").model.frame_logit
    found = [row for row in toy_dataset.soundscapes() if row.split == "train"]
    shares = [
        sum(stretch.offset - stretch.onset for stretch in event.activity) / soundscape.duration
        for soundscape in found
        for event in soundscape.events
    ]
    assert head.biases(torch.randn(3, 256)).tolist() == pytest.approx([np.log(np.mean(shares) / 4)] * 3, rel=1e-5)


def test_where_none_lists_everything_all_count() -> None:
    found = shares_of_time(to_table([row("open", ("cow", 0, 2)), row("open")], Soundscape))
    assert found == pytest.approx({"cow": 2.5 / 10})


def test_what_a_text_tells_is_found_and_holds_for_other_texts() -> None:
    rng = np.random.default_rng(1)
    vectors, truth = rng.standard_normal((200, 8)), rng.standard_normal(8)
    shares = {str(i): 1 / (1 + np.exp(3 - vector @ truth)) for i, vector in enumerate(vectors)}
    slope, constant = fit_prior(vectors[:150], [str(i) for i in range(150)], shares)
    expected = [np.log(shares[str(i)] / (1 - shares[str(i)])) for i in range(150, 200)]
    np.testing.assert_allclose(vectors[150:] @ slope + constant, expected, atol=0.02)


def test_texts_that_tell_nothing_give_the_mean_of_all_clusters() -> None:
    rng = np.random.default_rng(2)
    clusters = [str(i // 3) for i in range(90)]  # three texts each
    shares = {str(i): float(rng.uniform(0.01, 0.1)) for i in range(30)}
    slope, constant = fit_prior(rng.standard_normal((90, 16)), clusters, shares)
    assert not slope.any()
    assert constant == pytest.approx(np.mean([np.log(s / (1 - s)) for s in shares.values()]))


def test_one_cluster_alone_has_its_own() -> None:
    slope, constant = fit_prior(np.eye(3)[:1], ["dog"], {"dog": 0.5})
    assert not slope.any()
    assert constant == pytest.approx(0.0)


def test_a_detector_adds_what_the_text_tells_to_the_logit() -> None:
    torch.manual_seed(0)
    model, weights = FlamModel(TINY), tuple(np.linspace(-1, 1, TINY.embed_dim).tolist())
    card = ModelCard(model=TINY, trained_clusters=("dog",), threshold=0.5, calibration_scale=2.0, calibration_bias=0.5)
    rng = np.random.default_rng(0)
    sound = Recording(samples=rng.integers(-9000, 9000, 32_000, dtype=np.int16), sample_rate=16_000, name="noise")
    phrases = ["a dog barks", "rain"]
    plain = Detector(model, card)
    told = Detector(model, card.model_copy(update={"calibration_prior": weights}))
    before, after = (one.activations(sound, phrases).astype(float) for one in (plain, told))
    added = plain.caption_embeddings(phrases) @ np.array(weights)
    assert abs(added).min() > 0.01
    np.testing.assert_allclose(
        np.log(after / (1 - after)) - np.log(before / (1 - before)), np.tile(added, (len(before), 1)), atol=1e-3
    )
    np.testing.assert_array_equal(told.activations(sound, phrases[1:])[:, 0], told.activations(sound, phrases)[:, 1])
