"""An imported dataset's folder: it appears whole, stands alone, and the other commands take it."""

import errno
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from published_sets import TREES, write_clotho, write_desed, write_esc50, write_finelap
from test_evaluation_evaluate import Oracle
from typer.testing import CliRunner

import cli
from curation.caption import caption
from curation.imports import writer
from curation.imports.importing import import_set
from evaluation.evaluate import evaluate
from evaluation.queries import split_queries
from evaluation.report import write_report
from manifests.captions import caption_texts, preferred_captions
from manifests.errors import FlamError
from manifests.frames import frame_labels
from manifests.schema import Caption
from manifests.store import DatasetFolder, read_rows, write_rows
from manifests.validate import validate

ROOT = Path(__file__).parents[1]


class SetOracle(Oracle):
    """Answers by the cluster that a query is of."""

    def __init__(self, folder: DatasetFolder) -> None:
        super().__init__(folder)
        rows = list(self.rows.values())
        self.cluster = {query.phrase: query.cluster for query in split_queries(rows, folder.phrases())}

    def answer(self, row, phrase, num_frames):
        result = np.full(num_frames, 0.1, np.float32)
        for found in row.events:
            if found.cluster == self.cluster[phrase]:
                result[frame_labels(found.activity, num_frames=num_frames, hop=self.hop)] = 0.9
        return result


def oracle_scores(data: Path, *, split: str, names: tuple[str, ...]) -> dict[str, float | None]:
    folder = DatasetFolder(data)
    result = evaluate(SetOracle(folder), folder, split=split)
    return {name: result.value(name) for name in names}


FRAMES = ("auroc_all", "auroc_active", "mpauc")
EVENTS = (*FRAMES, "psds1", "psds1_a", "psds2", "collar_f1_macro_at_0.5", "segment_f1_macro_at_0.5")


def test_an_oracle_gets_everything_right_on_desed(tmp_path):
    write_desed(tmp_path / "set")
    import_set("desed", tmp_path / "set", tmp_path / "data", split="test")
    assert oracle_scores(tmp_path / "data", split="test", names=EVENTS) == dict.fromkeys(EVENTS, 1.0)


def test_an_oracle_gets_everything_right_on_esc50(tmp_path):
    write_esc50(tmp_path / "set")
    import_set("esc50", tmp_path / "set", tmp_path / "data")
    assert oracle_scores(tmp_path / "data", split="test", names=EVENTS) == dict.fromkeys(EVENTS, 1.0)


def test_an_oracle_gets_everything_right_on_finelap_where_it_is_said_to_be_closed(tmp_path):
    write_finelap(tmp_path / "set")
    import_set("finelap", tmp_path / "set", tmp_path / "data", annotation="closed")
    assert oracle_scores(tmp_path / "data", split="test", names=EVENTS) == dict.fromkeys(EVENTS, 1.0)


def test_what_a_set_does_not_annotate_is_not_scored(tmp_path):
    write_finelap(tmp_path / "set")
    import_set("finelap", tmp_path / "set", tmp_path / "data")
    assert oracle_scores(tmp_path / "data", split="test", names=FRAMES) == dict.fromkeys(FRAMES)


class CaptionOracle(Oracle):
    """Knows which captions are of which recording."""

    def __init__(self, folder: DatasetFolder, captions: str) -> None:
        super().__init__(folder)
        self.order = [row.soundscape_id for row in folder.soundscapes()]
        self.clip = {text: name for name, text in caption_texts(folder, captions)}

    def hear(self, path, phrases):
        row = self.rows[path.relative_to(self.root).as_posix()]
        frames = round(row.duration / self.hop)
        return np.zeros((frames, len(phrases)), np.float32), np.eye(8)[self.order.index(row.soundscape_id)]

    def caption_embeddings(self, captions):
        return np.eye(8)[[self.order.index(self.clip[text]) for text in captions]]


@pytest.mark.parametrize("kind", ["audiocaps", "clotho"])
def test_captions_alone_are_measured_by_retrieval(tmp_path, kind):
    TREES[kind](tmp_path / "set")
    import_set(kind, tmp_path / "set", tmp_path / "data", split="test")
    folder, work = DatasetFolder(tmp_path / "data"), tmp_path / "work"
    detector = CaptionOracle(folder, kind)
    for _ in range(2):  # the second takes the embeddings that the first left
        result = evaluate(detector, folder, caption_set=kind, work=work)
        assert len(result.metrics) == 8
        assert {round(metric.value, 9) for name, metric in result.metrics.items() if "recall" in name} == {1.0}
        assert result.value("text_to_audio_map_at_10") == 1.0
        write_report(work, result, folder)
    with pytest.raises(FlamError, match="hold no event to look for; give --captions"):
        evaluate(detector, folder)
    for via in ("template", "openai"):
        with pytest.raises(FlamError, match=rf"nobody listed what is heard in .* \(its captions: {kind}\)"):
            caption(folder.root, via=via, model="m" if via == "openai" else None)
    assert folder.caption_sets() == [kind]


def test_an_imported_set_gets_captions_and_keeps_its_own(tmp_path):
    write_finelap(tmp_path / "set")
    data = tmp_path / "data"
    import_set("finelap", tmp_path / "set", data)
    caption(data, via="template")
    folder = DatasetFolder(data)
    assert folder.caption_sets() == ["finelap", "template"]
    assert preferred_captions(folder) == "finelap"
    assert preferred_captions(folder, among={"none of them"}) is None
    (shard,) = folder.caption_shards("finelap")
    rows = read_rows(shard, Caption)
    first = rows[0].soundscape_id
    assert preferred_captions(folder, among={first}) == "finelap"
    write_rows(shard, [row for row in rows if row.soundscape_id != first], Caption)
    assert preferred_captions(folder, among={first}) == "template"
    write_rows(shard, rows, Caption)
    assert validate(data) == []
    with pytest.raises(FlamError, match=r"captions\.json says via = \"import\", not \"template\""):
        caption(data, via="template", name="finelap")


def test_recordings_are_linked_and_the_dataset_outlives_the_set(tmp_path):
    write_esc50(tmp_path / "set")
    report = import_set("esc50", tmp_path / "set", tmp_path / "data")
    assert report.num_copied == 0
    linked = tmp_path / "data/audio/00000/00000000.wav"
    assert linked.samefile(tmp_path / "set/audio/1-101-A-0.wav")
    shutil.rmtree(tmp_path / "set")
    assert validate(tmp_path / "data", read_audio=True) == []


def test_recordings_are_copied_where_they_cannot_be_linked(tmp_path, monkeypatch):
    def refused(source, target):
        raise OSError(errno.EXDEV, os.strerror(errno.EXDEV))

    write_esc50(tmp_path / "set")
    monkeypatch.setattr(writer.os, "link", refused)
    report = import_set("esc50", tmp_path / "set", tmp_path / "data")
    assert (report.num_copied, report.why_copied) == (10, "Invalid cross-device link")
    assert validate(tmp_path / "data", read_audio=True) == []


def test_the_same_import_again_does_nothing_and_another_one_is_refused(tmp_path):
    write_esc50(tmp_path / "set")
    data = tmp_path / "data"
    data.mkdir()
    assert import_set("esc50", tmp_path / "set", data).is_new
    before = {path: path.stat().st_mtime_ns for path in data.rglob("*")}
    assert not import_set("esc50", tmp_path / "set", data).is_new
    assert {path: path.stat().st_mtime_ns for path in data.rglob("*")} == before
    with pytest.raises(FlamError, match="is there already and holds something else; use another --out"):
        import_set("esc50", tmp_path / "set", data, split="test")
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine/letter.txt").write_text("dear")
    with pytest.raises(FlamError, match="is there already"):
        import_set("esc50", tmp_path / "set", tmp_path / "mine")


def test_more_than_one_shard_is_whole(tmp_path, monkeypatch):
    monkeypatch.setattr(writer, "SHARD_SIZE", 2)
    write_clotho(tmp_path / "clotho")
    write_esc50(tmp_path / "esc50")
    for kind in ("clotho", "esc50"):
        import_set(kind, tmp_path / kind, tmp_path / f"data-{kind}")
        assert validate(tmp_path / f"data-{kind}", read_audio=True) == []
    assert len(DatasetFolder(tmp_path / "data-esc50").soundscape_shards()) == 5
    assert len(DatasetFolder(tmp_path / "data-clotho").caption_shards("clotho")) == 2


def test_a_killed_import_leaves_no_dataset_and_the_next_one_is_whole(tmp_path):
    write_esc50(tmp_path / "set")
    program = (
        "import sys, time; from pathlib import Path; from curation.imports import writer\n"
        "measured = writer._measured\n"
        "def slow(path):\n    time.sleep(0.2)\n    return measured(path)\n"
        "writer._measured, writer.SHARD_SIZE = slow, 2\n"
        "from curation.imports.importing import import_set\n"
        "import_set('esc50', Path(sys.argv[1]), Path(sys.argv[2]))"
    )
    command = [sys.executable, "-c", program, str(tmp_path / "set"), str(tmp_path / "data")]
    process = subprocess.Popen(command, cwd=ROOT, stderr=subprocess.DEVNULL)
    staging = tmp_path / ".data.importing"
    while not DatasetFolder(staging).soundscape_shards() and process.poll() is None:
        time.sleep(0.01)
    with pytest.raises(FlamError, match=r"is being written by flam-cli import \(process"):
        import_set("esc50", tmp_path / "set", tmp_path / "data")
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert staging.exists()
    assert not (tmp_path / "data").exists()
    import_set("esc50", tmp_path / "set", tmp_path / "data")
    assert validate(tmp_path / "data", read_audio=True) == []
    assert not staging.exists()


def test_a_full_disk_leaves_no_dataset(tmp_path, monkeypatch):
    def full(source, target):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    write_esc50(tmp_path / "set")
    monkeypatch.setattr(writer.os, "link", full)
    monkeypatch.setattr(writer.shutil, "copyfile", full)
    with pytest.raises(FlamError, match=r"cannot write .*: No space left on device"):
        import_set("esc50", tmp_path / "set", tmp_path / "data")
    assert [path.name for path in tmp_path.iterdir()] == ["set"]


def test_the_command_says_what_was_taken_and_what_was_not(tmp_path):
    TREES["audioset-strong"](tmp_path / "set")
    arguments = ["import", "audioset-strong", str(tmp_path / "set"), "--out", str(tmp_path / "data")]
    result = CliRunner().invoke(cli.app, arguments, catch_exceptions=False)
    assert (result.exit_code, result.stdout) == (0, "")
    assert "2 recordings not used: named by a video of which there are several segments: twice_0, tw" in result.stderr
    assert "1 recordings not used: no such recording: gone_0" in result.stderr
    assert "all of them: " in result.stderr
    assert "4 soundscapes in " in result.stderr
    assert ": 3 test, 1 train; 5 events, 0 captions" in result.stderr
    again = CliRunner().invoke(cli.app, arguments, catch_exceptions=False)
    assert "holds this import already" in again.stderr
    assert CliRunner().invoke(cli.app, ["import", "esc51", "x", "--out", "y"]).exit_code == 2
