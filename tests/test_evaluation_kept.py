"""What an evaluation leaves on disk: scores to go on from, metrics, and two runs compared."""

import io
import itertools
import json

import numpy as np
import pytest
from rich.console import Console
from test_evaluation_evaluate import AnythingDetector, Oracle

from evaluation import scored
from evaluation.evaluate import evaluate
from evaluation.frame_scores import FrameScores
from evaluation.kept import compared, differences_table, evaluation_folders, keep, load
from evaluation.scored import collect_scores, split_soundscapes
from manifests.errors import FlamError


class Counting(Oracle):
    """Counts what it hears; stops at one of the clips."""

    stops_at = 10**6

    def __init__(self, folder, **options):
        super().__init__(folder, **options)
        self.heard = 0

    def hear(self, path, phrases):
        if self.heard == self.stops_at:
            raise KeyboardInterrupt
        self.heard += 1
        return super().hear(path, phrases)


def kept(run, detector, folder, **options):
    work = evaluation_folders(run, [folder.root], "test")[0]
    result = evaluate(detector, folder, work=work, **options)
    return keep(work, result, data=folder.root, limit=None)


def test_scores_on_disk_are_those_in_memory(toy_dataset, tmp_path):
    rows = split_soundscapes(toy_dataset, "test")
    on_disk = collect_scores(Oracle(toy_dataset), toy_dataset, rows, work=tmp_path)
    in_memory = collect_scores(Oracle(toy_dataset), toy_dataset, rows)
    loaded, num_done = FrameScores.load(tmp_path)
    assert num_done == len(rows)
    for found in (on_disk.scores, loaded):
        np.testing.assert_array_equal(found.values, in_memory.scores.values)
        np.testing.assert_array_equal(found.edges, in_memory.scores.edges)
    np.testing.assert_array_equal(on_disk.embeddings, in_memory.embeddings)


def test_a_run_that_was_stopped_goes_on_and_a_whole_one_hears_nothing_again(toy_dataset, tmp_path, monkeypatch):
    monkeypatch.setattr(scored, "_MARK_SECONDS", 0.0)
    rows = split_soundscapes(toy_dataset, "test")
    cut = Counting(toy_dataset)
    cut.stops_at = 5
    with pytest.raises(KeyboardInterrupt):
        collect_scores(cut, toy_dataset, rows, work=tmp_path)
    rest = Counting(toy_dataset)
    result = collect_scores(rest, toy_dataset, rows, work=tmp_path)
    assert rest.heard == len(rows) - 5
    undisturbed = collect_scores(Counting(toy_dataset), toy_dataset, rows)
    np.testing.assert_array_equal(result.scores.values, undisturbed.scores.values)
    np.testing.assert_array_equal(result.embeddings, undisturbed.embeddings)
    again = Counting(toy_dataset)
    collect_scores(again, toy_dataset, rows, work=tmp_path)
    assert again.heard == 0


def test_scores_of_another_model_other_clips_or_damaged_ones_are_made_anew(toy_dataset, tmp_path):
    rows = split_soundscapes(toy_dataset, "test")
    collect_scores(Oracle(toy_dataset), toy_dataset, rows, work=tmp_path)
    other = Counting(toy_dataset)
    collect_scores(other, toy_dataset, rows, work=tmp_path)
    assert other.heard == len(rows)
    fewer = Counting(toy_dataset)
    collect_scores(fewer, toy_dataset, rows[:3], work=tmp_path)
    assert fewer.heard == 3
    for name, length in itertools.product(("scores.npy", "edges.npy", "embeddings.npy", "scores.json"), (0, 40)):
        (tmp_path / name).write_bytes((tmp_path / name).read_bytes()[:length])
        damaged = Counting(toy_dataset)
        collect_scores(damaged, toy_dataset, rows[:3], work=tmp_path)
        assert damaged.heard == 3, name


def test_two_runs_are_compared_clip_by_clip(toy_dataset, tmp_path):
    kept(tmp_path / "a", AnythingDetector(toy_dataset), toy_dataset)
    kept(tmp_path / "b", Oracle(toy_dataset), toy_dataset, caption_set="template")
    found = compared(tmp_path / "a", tmp_path / "b")
    assert list(found) == [f"{toy_dataset.root.name}-test"]
    metrics = found[f"{toy_dataset.root.name}-test"]
    assert metrics["auroc_active"].value == pytest.approx(0.5)
    assert metrics["auroc_active"].is_sure
    assert "text_to_audio_recall_at_1" not in metrics  # one of them has it only
    same = compared(tmp_path / "b", tmp_path / "b")[f"{toy_dataset.root.name}-test"]
    assert all(d.value == 0 and not d.is_sure and d.interval.high == 0 for d in same.values() if d.interval)
    console = Console(width=120, record=True, file=io.StringIO())
    console.print(differences_table("data", "a", "b", metrics))
    assert "+0.500*" in console.export_text()


def test_intervals_of_differences_are_of_pairs(toy_dataset, tmp_path):
    """Two models that err on the same clips differ by less than their own intervals."""

    class Worse(Oracle):
        def answer(self, row, phrase, num_frames):
            right = super().answer(row, phrase, num_frames)
            return right if int(row.soundscape_id) % 2 else np.full_like(right, 0.4 + 0.01 * self.offset)

    worse = {offset: Worse(toy_dataset) for offset in (0, 1)}
    for offset, detector in worse.items():
        detector.offset = offset
        kept(tmp_path / str(offset), detector, toy_dataset)
    (found,) = compared(tmp_path / "0", tmp_path / "1").values()
    own = load(evaluation_folders(tmp_path / "0", [toy_dataset.root], "test")[0]).about["intervals"]["auroc_all"]
    paired = found["auroc_all"].interval
    assert own[1] - own[0] > 0.1
    assert paired.high - paired.low < 1e-9


def test_what_cannot_be_compared_is_refused_in_a_line(toy_dataset, tmp_path):
    kept(tmp_path / "a", Oracle(toy_dataset), toy_dataset)
    with pytest.raises(FlamError, match=r"b has no evaluations; run `flam-cli evaluate .*b DATA` first"):
        compared(tmp_path / "a", tmp_path / "b")
    kept(tmp_path / "b", Oracle(toy_dataset), toy_dataset, limit=3)
    with pytest.raises(FlamError, match="are of different soundscapes"):
        compared(tmp_path / "a", tmp_path / "b")
    (tmp_path / "a" / "evaluations" / f"{toy_dataset.root.name}-test").rename(tmp_path / "a" / "evaluations" / "other")
    with pytest.raises(FlamError, match=f"a has other, .*b has {toy_dataset.root.name}-test"):
        compared(tmp_path / "a", tmp_path / "b")
    with pytest.raises(FlamError, match="two datasets are called 'x'"):
        evaluation_folders(tmp_path, [tmp_path / "1/x", tmp_path / "2/x"], "test")


def test_metrics_and_intervals_are_json(toy_dataset, tmp_path):
    about = kept(tmp_path, Oracle(toy_dataset), toy_dataset)
    folder = tmp_path / "evaluations" / f"{toy_dataset.root.name}-test"
    assert json.loads((folder / "metrics.json").read_text()) == about
    assert about["intervals"]["psds1"] == [1.0, 1.0]
    (folder / "replicates.npy").write_bytes(b"")
    with pytest.raises(FlamError, match="is not whole"):
        load(folder)
