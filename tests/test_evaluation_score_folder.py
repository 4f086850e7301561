"""Scores in files are measured as those of a model that answers the same."""

import dataclasses
import json
import re
from pathlib import Path

import numpy as np
import pytest
from conftest import TOY_SOUNDS
from score_folders import write_score_folder
from soundscape_rows import event, soundscape
from test_evaluation_evaluate import Oracle, small_dataset

from evaluation.baselines import measured_beside
from evaluation.evaluate import evaluate
from evaluation.queries import Trained
from evaluation.score_folder import ScoreFolder, score_folders
from evaluation.scored import split_soundscapes
from manifests.errors import FlamError
from manifests.schema import Phrase
from manifests.store import DatasetFolder

KNOWN = Trained(clusters=["hiss", "warble"], threshold=0.3)


class Unsure(Oracle):
    """Hears better than chance, and never twice the same."""

    def answer(self, row, phrase, num_frames):
        rng = np.random.default_rng([int(row.soundscape_id), len(phrase)])
        return ((super().answer(row, phrase, num_frames) + 1.5 * rng.random(num_frames)) / 2.5).astype(np.float32)


@pytest.fixture(scope="module")
def unsure(toy_dataset):
    return evaluate(Unsure(toy_dataset), toy_dataset, trained=KNOWN, caption_set="template", num_replicates=50)


def test_a_models_own_scores_from_files_give_its_own_metrics(unsure, toy_dataset, tmp_path):
    folder = ScoreFolder(path=write_score_folder(tmp_path / "same", unsure.scored.scores))
    found = evaluate(folder, toy_dataset, trained=KNOWN, caption_set="template", num_replicates=50)
    asked = ("zero_shot", "text_to", "audio_to", "auroc_all_unseen", "auroc_active_unseen")  # of the model itself
    left_out = {name for name in unsure.metrics if name.startswith(asked)}
    assert len(left_out) == 11
    assert set(found.metrics) == set(unsure.metrics) - left_out
    assert 0.6 < found.value("auroc_all") < 0.95
    assert 0 < found.value("psds1_a") < 0.95
    for name, metric in found.metrics.items():
        assert metric.value == unsure.metrics[name].value, name
        np.testing.assert_array_equal(metric.replicates, unsure.metrics[name].replicates)
    assert json.dumps(found.to_dict()["labels"]) == json.dumps(unsure.to_dict()["labels"])


def test_scores_whose_windows_are_shuffled_are_chance(unsure, toy_dataset, tmp_path):
    scores = unsure.scored.scores
    shuffled = np.stack([np.random.default_rng(label).permutation(row) for label, row in enumerate(scores.values)])
    path = write_score_folder(tmp_path / "shuffled", dataclasses.replace(scores, values=shuffled))
    found = evaluate(ScoreFolder(path=path), toy_dataset, num_replicates=0)
    assert found.value("auroc_all") == pytest.approx(0.5, abs=0.05)
    assert found.value("auroc_active") == pytest.approx(0.5, abs=0.05)
    assert found.value("psds1_a") < unsure.value("psds1_a") / 5


def test_nothing_that_was_chosen_for_the_model_is_applied_to_what_stands_beside_it(unsure, toy_dataset, tmp_path):
    folders = score_folders([write_score_folder(tmp_path / "same", unsure.scored.scores)])
    options = {"split": "test", "trained": KNOWN, "caption_set": "template", "limit": None}
    found = measured_beside(folders, toy_dataset, **options)["same"]
    assert found["segment_f1_macro_at_0.5"] == unsure.value("segment_f1_macro_at_0.5")
    assert found["auroc_all_held_out"] == unsure.value("auroc_all_held_out")
    assert unsure.value("segment_f1_macro") is not None
    assert not {"segment_f1_macro", "collar_f1_micro", "detection_f1_macro", "zero_shot_map"} & set(found)


ROWS = [soundscape("a", [event("dog", (1.0, 5.0))]), soundscape("b", [event("cat", (2.0, 4.0), cluster="felid")])]
PHRASES = [Phrase(phrase="a cat", label="cat", cluster="felid", origin="label", ancestors=[], near_misses=[])]
COARSE = "onset\toffset\tdog\tcat\n0.0\t5.0\t0.9\t0.2\n5.0\t10.0\t0.8\t0.1\n"
FINE = "onset\toffset\tdog\tcat\n0.0\t4.0\t0.85\t0.3\n4.0\t9.0\t0.1\t0.0\n9.0\t11.5\t0.1\t0.0\n11.5\t12\t1\t1\n"


@pytest.fixture
def files(tmp_path) -> tuple[ScoreFolder, DatasetFolder]:
    (tmp_path / "scores").mkdir()
    (tmp_path / "scores" / "a.tsv").write_text(COARSE)
    (tmp_path / "scores" / "b.tsv").write_text(FINE)
    return ScoreFolder(path=tmp_path / "scores"), small_dataset(tmp_path / "data", ROWS, PHRASES)


def scored(files):
    folder, data = files
    return folder.scored(data, split_soundscapes(data, "test"))


def test_windows_are_the_tables_own_up_to_the_end_of_the_soundscape(files):
    found = scored(files)
    assert [query.cluster for query in found.labels] == ["dog", "felid"]
    np.testing.assert_array_equal(found.scores.edges_of(0), [0, 5, 10])
    np.testing.assert_array_equal(found.scores.edges_of(1), [0, 4, 9, 10])
    np.testing.assert_array_equal(found.scores.values, np.float32([[0.9, 0.8, 0.85, 0.1, 0.1], [0.2, 0.1, 0.3, 0, 0]]))
    result = evaluate(files[0], files[1], num_replicates=0)
    # dog: .9 of four others above none; felid: .3 above all
    assert {row.cluster: row.auroc_all for row in result.labels} == {"dog": 1.0, "felid": 1.0}


def test_a_column_is_found_by_cluster_then_label_then_phrase(files):
    folder, _ = files

    def renamed(*names):
        for path, text in ((folder.path / "a.tsv", COARSE), (folder.path / "b.tsv", FINE)):
            lines = text.splitlines()
            rest = [line + "\t0.5" * (len(names) - 2) for line in lines[1:]]
            path.write_text("\n".join(["\t".join(["onset", "offset", *names]), *rest]))
        folder.notes.clear()
        return scored(files).scores.values[1, 0]

    assert renamed("dog", "a cat") == np.float32(0.2)
    assert renamed("a cat", "cat", "dog") == np.float32(0.2)
    assert folder.notes == [f"{folder.path}: columns of no label in these soundscapes, not used: a cat"]
    assert renamed("cat", "felid", "dog", "x", "y", "z") == np.float32(0.2)
    assert folder.notes == [f"{folder.path}: columns of no label in these soundscapes, not used: cat, x, y and 1 more"]
    with pytest.raises(FlamError, match="has no column for cat, which the soundscapes hold; add one"):
        renamed("dog", "Cat")


def test_a_column_that_is_ones_cluster_is_not_anothers_label(tmp_path):
    rows = [soundscape("a", [event("dog", (1.0, 5.0), cluster="animal"), event("wolf", (6.0, 7.0), cluster="dog")])]
    data = small_dataset(tmp_path / "data", rows)
    (tmp_path / "a.tsv").write_text("onset\toffset\tdog\n0.0\t10.0\t0.9\n")
    with pytest.raises(FlamError, match="has no column for dog, which"):
        ScoreFolder(path=tmp_path).scored(data, split_soundscapes(data, "test"))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (None, "has no b.tsv; give a folder with a table SOUNDSCAPE_ID.tsv for each of the 2 soundscapes"),
        (COARSE.replace("10.0", "7.9").replace("0.0\t5.0", "0.0\t7.0").replace("5.0\t7", "7.0\t7"),
         "b.tsv scores 0 to 7.9 s, its soundscape lasts from 0 to 10 s; score all of it"),
        (COARSE.replace("0.0\t5.0", "4.0\t5.0"), "b.tsv scores 4 to 10 s"),
        (COARSE.replace("5.0\t10.0", "5.5\t10.0"), "b.tsv: each window must begin where the one before it ends"),
        (COARSE.replace("5.0\t10.0", "five\t10.0"), "b.tsv:3: onset is 'five', no number of seconds"),
        (COARSE.replace("0.1", "nan"), "scores of b hold NaN or infinity"),
        (COARSE.replace("0.1", "loud"), "b.tsv: .* scores are numbers"),
        (COARSE.replace("cat", "cow"), "b.tsv has other labels than the first table"),
    ],
)  # fmt: skip
def test_each_bad_table_is_refused_in_a_line_that_says_which(files, text, message):
    path = files[0].path / "b.tsv"
    path.unlink() if text is None else path.write_text(text)
    with pytest.raises(FlamError, match=message) as refusal:
        scored(files)
    assert "\n" not in str(refusal.value)


def test_scores_of_soundscapes_without_events_have_nothing_to_be_measured_by(files, tmp_path):
    empty = small_dataset(tmp_path / "empty", [soundscape("a", [])])
    with pytest.raises(FlamError, match="hold no event: leave out --scores"):
        evaluate(files[0], empty)


def test_two_columns_of_one_name_are_refused(tmp_path):
    with pytest.raises(FlamError, match="another column is called 'panns'; rename the folder"):
        score_folders([tmp_path / "panns", tmp_path / "other" / "panns"])
    with pytest.raises(FlamError, match="another column is called 'energy'"):
        score_folders([tmp_path / "energy"], taken=("energy",))
    assert list(score_folders([tmp_path / "panns", tmp_path / "energy"])) == ["panns", "energy"]


def test_the_documented_lines_make_such_a_folder(toy_dataset, tmp_path, monkeypatch):
    text = (Path(__file__).parents[1] / "docs" / "evaluation.md").read_text("utf-8")
    (lines,) = re.findall(r"```python\n(.*?)```", text, re.DOTALL)
    (tmp_path / "data").symlink_to(toy_dataset.root)
    monkeypatch.chdir(tmp_path)
    level = {}

    def model(samples):
        level["at the end"] = np.abs(samples.reshape(50, -1)).mean(axis=1)  # frames of 80 ms
        return dict.fromkeys(TOY_SOUNDS, level["at the end"]), 0.08

    exec(lines, {"model": model})
    found = evaluate(ScoreFolder(path=tmp_path / "panns"), toy_dataset, num_replicates=0)
    assert found.num_soundscapes == 8
    assert found.value("auroc_all") > 0.6  # it hears that there is something, as energy
    np.testing.assert_array_equal(found.scored.scores.of(7, 0), np.float32(level["at the end"]))
