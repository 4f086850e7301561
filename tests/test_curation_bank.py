"""Making a sound bank and reading it: determinism, continuation, splits, refusals."""

import csv
import dataclasses
import json
import os
import pickle
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import soundfile

from curation import bank as bank_module
from curation import bank_shards
from curation.bank import FORMAT_VERSION, Bank, build_bank
from curation.catalogue import Catalogue
from curation.config import Recipe
from curation.plan import plan
from curation.prepare import RejectError, prepare
from curation.source_clip import SourceFile
from curation.sources import builtin_bank
from manifests.errors import FlamError
from manifests.store import locked

RATE = 8_000
SHARED = Path(__file__).parents[2] / "shared/data"
ROOT = Path(__file__).parents[1]


def write_noise(path: Path, seed: int, *, seconds: float = 0.3) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    samples = np.random.default_rng(seed).uniform(-0.5, 0.5, round(seconds * RATE))
    soundfile.write(path, samples - samples.mean(), RATE, format="WAV")


@pytest.fixture
def sounds(tmp_path: Path) -> Path:
    """Ten foregrounds of two labels and three backgrounds."""
    root = tmp_path / "sounds"
    for index in range(10):
        write_noise(root / f"foreground/{'dog' if index % 2 else 'cat'}/{index}.wav", index)
    for index in range(3):
        write_noise(root / f"background/park/{index}.wav", 100 + index, seconds=2.5)
    return root


@pytest.fixture(autouse=True)
def small_shards(monkeypatch):
    monkeypatch.setattr(bank_shards, "SHARD_SIZE", 4)


def build(out: Path, *sources: Path | str, **settings) -> bank_module.BankReport:
    settings = {"sample_rate": RATE, "workers": 1, **settings}
    return build_bank([str(source) for source in sources], out, **settings)


def content(root: Path) -> dict[str, bytes]:
    return {str(path.relative_to(root)): path.read_bytes() for path in sorted(root.rglob("*")) if path.name != ".lock"
            and path.is_file()}  # fmt: skip


def test_a_bank_holds_every_sound_once_and_reports_what_it_made(sounds, tmp_path):
    report = build(tmp_path / "bank", sounds)
    bank = Bank.open(tmp_path / "bank")
    assert bank == report.bank
    assert (len(bank.clips), bank.sample_rate) == (13, RATE)
    assert {key: sum(counts.values()) for key, counts in report.counts().items()} == {
        ("background", "park"): 3, ("foreground", "cat"): 5, ("foreground", "dog"): 5,
    }  # fmt: skip
    assert all(set(counts) == {"train", "valid", "test"} for counts in report.counts().values())
    assert (report.rejects, report.notes, dict(report.warnings_by_kind())) == ([], [], {})
    assert len({clip.source_id for clip in bank.clips}) == 13
    for clip in bank.clips:
        original, _ = soundfile.read(sounds / clip.origin)
        samples = bank.samples(clip) / 32768
        expected = original[clip.origin_start :][: len(samples)] * 10 ** (clip.gain_db / 20)
        assert np.abs(samples - expected).max() < 1e-4


def test_samples_are_a_view_of_the_file_and_stay_inside_the_clip(sounds, tmp_path):
    bank = build(tmp_path / "bank", sounds).bank
    clip = bank.clips[5]
    view = bank.samples(clip, 100, 50)
    assert not view.flags.writeable
    assert np.shares_memory(view, bank.samples(clip))
    np.testing.assert_array_equal(view, bank.samples(clip)[100:150])
    for start, num_samples in ((-1, 5), (clip.num_samples, 1), (0, clip.num_samples + 1), (5, -2)):
        with pytest.raises(ValueError, match=clip.source_id):
            bank.samples(clip, start, num_samples)
    copy = pickle.loads(pickle.dumps(bank))
    np.testing.assert_array_equal(copy.samples(clip), bank.samples(clip))
    assert len(pickle.dumps(bank)) < 20_000


def test_workers_order_of_files_and_place_do_not_change_a_byte(sounds, tmp_path, monkeypatch):
    build(tmp_path / "one", sounds)
    shutil.copytree(sounds, tmp_path / "copy/sounds")
    monkeypatch.chdir(tmp_path)
    build(Path("two"), "copy/sounds", workers=2)
    assert content(tmp_path / "one") == content(tmp_path / "two")


def test_a_rerun_uses_finished_shards_and_gives_the_same_bytes(sounds, tmp_path, monkeypatch):
    out = tmp_path / "bank"
    build(out, sounds)
    before = content(out)
    (out / "sources.parquet").unlink()
    (out / "parts/00001.parquet").unlink()
    (out / "pcm/.00001.i16.99.tmp").write_bytes(b"half")
    with pytest.raises(FlamError, match="unfinished bank"):
        Bank.open(out)
    prepared = []
    original = bank_shards.prepare
    monkeypatch.setattr(
        bank_shards, "prepare", lambda file, **settings: prepared.append(file) or original(file, **settings)
    )
    build(out, sounds)
    assert len(prepared) == 4
    assert content(out) == before
    build(out, sounds)  # it is finished: nothing to do
    assert len(prepared) == 4


def test_a_killed_run_is_finished_by_the_same_command(tmp_path):
    code = (
        "import sys; from pathlib import Path; from curation import bank_shards; from curation.bank import build_bank\n"
        "if __name__ == '__main__':\n"
        f"    bank_shards.SHARD_SIZE = {bank_shards.SHARD_SIZE}\n"
        f"    build_bank([sys.argv[1]], Path(sys.argv[2]), sample_rate={RATE}, workers=2)\n"
    )
    (tmp_path / "run.py").write_text(code)
    for index in range(120):
        write_noise(tmp_path / f"sounds/foreground/dog/{index}.wav", index)
    write_noise(tmp_path / "sounds/background/park/a.wav", 1000, seconds=3)
    out = tmp_path / "killed"
    process = subprocess.Popen(
        [sys.executable, tmp_path / "run.py", tmp_path / "sounds", out],
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        stderr=subprocess.DEVNULL,
    )
    while not list(out.glob("parts/0*.parquet")):
        assert process.poll() is None
        time.sleep(0.005)
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert not (out / "sources.parquet").exists()
    time.sleep(0.3)  # its workers end by themselves
    build(out, tmp_path / "sounds")
    build(tmp_path / "whole", tmp_path / "sounds")
    assert content(out) == content(tmp_path / "whole")


def test_a_run_that_was_killed_before_it_had_written_anything_is_started_again(sounds, tmp_path):
    out = tmp_path / "bank"
    out.mkdir()
    (out / ".lock").write_text("flam-cli bank (process 77)")
    (out / ".bank.json.77.tmp").write_text('{"format_ver')
    build(out, sounds)
    build(tmp_path / "whole", sounds)
    assert content(out) == content(tmp_path / "whole")


def test_a_bank_of_other_sources_or_settings_is_refused(sounds, tmp_path):
    out = tmp_path / "bank"
    build(out, sounds)
    with pytest.raises(FlamError, match="sample_rate = 8000, not 16000; choose another --out"):
        build(out, sounds, sample_rate=16_000)
    write_noise(sounds / "foreground/dog/new.wav", 50)
    with pytest.raises(FlamError, match="says sources"):
        build(out, sounds)
    (tmp_path / "mine").mkdir()
    for name in (".draft.tmp", "thesis.tex"):
        (tmp_path / "mine" / name).write_text("x")
        with pytest.raises(FlamError, match="is no sound bank and not empty"):
            build(tmp_path / "mine", sounds)
    assert sorted(path.name for path in (tmp_path / "mine").iterdir()) == [".draft.tmp", "thesis.tex"]
    with pytest.raises(FlamError, match="cannot write to"):
        build(tmp_path / "mine/thesis.tex", sounds)


def test_only_one_process_writes_to_a_bank(sounds, tmp_path):
    with (
        locked(tmp_path / "bank", "flam-cli bank"),
        pytest.raises(FlamError, match="is being written by flam-cli bank"),
    ):
        build(tmp_path / "bank", sounds)


def test_identical_sounds_are_kept_once_and_their_groups_stay_together(sounds, tmp_path):
    shutil.copy(sounds / "foreground/cat/0.wav", sounds / "foreground/dog/copy.wav")
    shutil.copy(sounds / "background/park/0.wav", sounds / "foreground/dog/park.wav")
    report = build(tmp_path / "bank", sounds)
    assert [(reject.origin, reject.reason, reject.detail) for reject in report.rejects] == [
        (
            "foreground/dog/copy.wav",
            "duplicate",
            "the same sound as foreground/cat/0.wav, which now contains 'dog'",
        )
    ]
    clips = {clip.origin: clip for clip in report.bank.clips}
    one, other = clips["foreground/dog/park.wav"], clips["background/park/0.wav"]
    assert (one.group, one.split) == (other.group, other.split)
    assert one.source_id[1:] == other.source_id[1:]


def test_no_label_of_one_sound_is_absent_where_another_of_its_labels_is_heard(sounds, tmp_path):
    with (sounds / "t.csv").open("w", newline="") as file:
        rows = [(str(path), path.parts[0], path.parts[1], "", "") for path in
                (path.relative_to(sounds) for path in sorted(sounds.rglob("*.wav")))]  # fmt: skip
        again = "foreground/cat/0.wav"
        rows += [(again, "foreground", label, cluster, contains) for label, cluster, contains in (
            ("puppy", "dog", "wolf|cat"), ("pup", "dog", ""), ("kitten", "cat", ""), ("yard", "yard", ""),
        )]  # fmt: skip
        rows.append(("background/park/1.wav", "foreground", "swing", "", "chain"))
        csv.writer(file).writerows([("path", "role", "label", "cluster", "contains"), *rows])
    report = build(tmp_path / "bank", sounds / "t.csv")
    contains = {(clip.origin, clip.role): clip.contains for clip in report.bank.clips if clip.contains}
    assert contains == {
        ("foreground/cat/0.wav", "foreground"): ["dog", "wolf", "yard"],
        ("background/park/1.wav", "foreground"): ["chain", "park"],
        ("background/park/1.wav", "background"): ["chain", "swing"],
    }
    details = [reject.detail.removeprefix("the same sound as foreground/cat/0.wav") for reject in report.rejects]
    assert details == [*[", which now contains 'dog'"] * 2, "", ", which now contains 'yard'"]


def test_the_same_sound_as_foreground_and_background_is_never_an_event_over_itself(sounds, tmp_path):
    for index in range(3):
        shutil.copy(sounds / f"background/park/{index}.wav", sounds / f"foreground/dog/park{index}.wav")
    bank = build(tmp_path / "bank", sounds, valid_share=0, test_share=0).bank
    recipe = Recipe(name="short", duration=2.0)
    catalogue = Catalogue(bank.clips, sample_rate=RATE, recipe=recipe)
    drawn = [plan(index, catalogue=catalogue, recipe=recipe, seed=0) for index in range(20)]
    assert {bank.clips[event.clip].label for one in drawn for event in one.events} == {"cat"}


def test_labels_that_differ_in_case_or_spelling_only_are_one_cluster(sounds, tmp_path, monkeypatch):
    monkeypatch.setattr(builtin_bank, "KINDS", [kind for kind in builtin_bank.KINDS if kind.label == "rain"])
    monkeypatch.setattr(builtin_bank, "NUM_SOUNDS", {"background": 1})
    labels = ("Dog-Bark", "dog bark", "dog_bark", "DOG  BARK")
    for index, label in enumerate(labels):
        write_noise(sounds / f"foreground/{label}/a.wav", 200 + index)
    write_noise(sounds / "background/Rain/a.wav", 300, seconds=2.5)
    bank = build(tmp_path / "bank", sounds, "builtin").bank
    labels_of = {}
    for clip in bank.clips:
        labels_of.setdefault(clip.cluster, set()).add(clip.label)
    assert labels_of == {
        "cat": {"cat"}, "dog": {"dog"}, "park": {"park"}, "dog_bark": set(labels), "rain": {"rain", "Rain"},
    }  # fmt: skip


def test_a_source_keeps_its_id_and_its_sound_when_others_are_added(sounds, tmp_path):
    before = {clip.origin: clip.source_id for clip in build(tmp_path / "one", sounds).bank.clips}
    write_noise(tmp_path / "more/foreground/ant/1.wav", 77)
    bank = build(tmp_path / "two", tmp_path / "more", sounds).bank
    after = {clip.origin: clip.source_id for clip in bank.clips}
    assert before.items() <= after.items()
    assert bank.fingerprint != Bank.open(tmp_path / "one").fingerprint


def test_bad_recordings_are_counted_by_reason_and_the_rest_is_used(sounds, tmp_path):
    for index in range(3):
        (sounds / f"foreground/dog/bad{index}.wav").write_bytes(b"no audio")
    soundfile.write(sounds / "foreground/dog/quiet.wav", np.zeros(4000), RATE)
    report = build(tmp_path / "bank", sounds)
    assert list(report.rejects_by_reason().items()) == [("not readable as audio", 3), ("silent or constant", 1)]
    assert list(report.first_of_reason().items()) == [
        ("not readable as audio", "foreground/dog/bad0.wav"),
        ("silent or constant", "foreground/dog/quiet.wav"),
    ]
    assert len(report.bank.clips) == 13


def test_what_cannot_become_a_bank_is_refused_and_leaves_nothing(sounds, tmp_path):
    out = tmp_path / "bank"
    shutil.move(sounds / "background", tmp_path / "background")
    with pytest.raises(FlamError, match="no usable background in the sources; add a folder with background/LABEL/"):
        build(out, sounds)
    (sounds / "background/park").mkdir(parents=True)
    (sounds / "background/park/a.wav").write_bytes(b"no audio")
    with pytest.raises(FlamError, match=r"no usable background .* 1 of 11 recordings .*1 not readable as audio"):
        build(out, sounds)
    write_noise(sounds / "background/park/b.wav", 9, seconds=3)
    for index in range(20):
        (sounds / f"foreground/cat/x{index}.wav").write_bytes(b"no audio")
    with pytest.raises(FlamError, match=r"21 of 32 recordings were rejected .*: more than half"):
        build(out, sounds)
    with pytest.raises(FlamError, match="no such source"):
        build(out, sounds, tmp_path / "nowhere")
    table = sounds / "t.csv"
    table.write_text("path,role,label,group,split\na.wav,foreground,a,g,test\nb.wav,background,b,g,train\n")
    with pytest.raises(FlamError, match="group 'g' is in test and in train"):
        build(out, table)
    assert not out.exists()


def test_unusable_settings_are_refused(sounds, tmp_path):
    for settings in ({"sample_rate": 400}, {"valid_share": -0.1}, {"valid_share": 0.5, "test_share": 0.5}):
        with pytest.raises(FlamError):
            build(tmp_path / "bank", sounds, **settings)
    assert not (tmp_path / "bank").exists()


def test_the_built_in_bank_mixes_with_other_sources(sounds, tmp_path, monkeypatch):
    monkeypatch.setattr(builtin_bank, "KINDS", builtin_bank.KINDS[5:7] + builtin_bank.KINDS[-1:])
    monkeypatch.setattr(builtin_bank, "NUM_SOUNDS", {"foreground": 3, "background": 3})
    bank = build(tmp_path / "bank", "builtin", sounds, seed=3).bank
    own = [clip for clip in bank.clips if clip.origin.startswith("builtin:")]
    assert len(own) == 9
    assert {clip.split for clip in own} == {"train", "valid", "test"}
    assert {(clip.origin_sample_rate, clip.licence) for clip in own} == {(RATE, "CC0-1.0")}
    assert len(bank.clips) == 22


def test_a_corpus_without_a_valid_side_gets_one_and_the_report_says_so(sounds, tmp_path):
    with (sounds / "t.csv").open("w", newline="") as file:
        rows = [(path, path.parts[0], path.parts[1], "train") for path in
                (path.relative_to(sounds) for path in sorted(sounds.rglob("*.wav")))]  # fmt: skip
        csv.writer(file).writerows([("path", "role", "label", "split"), *rows])
    report = build(tmp_path / "bank", sounds / "t.csv")
    assert [sorted(counts) for counts in report.counts().values()] == [["train", "valid"]] * 3
    assert "3 of their train groups are for validation" in report.notes[0]
    assert any("no background is on the test side" in note for note in report.notes)


def test_backgrounds_without_labels_are_part_of_the_bank_and_of_what_it_was_made_from(sounds, tmp_path):
    for index in range(3):
        write_noise(tmp_path / f"own/deep/{index}.wav", 300 + index, seconds=2.5)
    shutil.copy(tmp_path / "own/deep/0.wav", sounds / "foreground/dog/same.wav")
    bank = build(tmp_path / "bank", sounds, backgrounds=[tmp_path / "own"]).bank
    own = [clip for clip in bank.clips if not clip.content_known]
    assert [(clip.role, clip.label, clip.cluster) for clip in own] == [("background", "unlabelled", "unlabelled")] * 3
    assert [clip.contains for clip in own] == [["dog"], [], []]
    assert [clip.contains for clip in bank.clips if clip.origin == "foreground/dog/same.wav"] == [[]]
    with pytest.raises(FlamError, match="choose another --out"):
        build(tmp_path / "bank", sounds)


def test_only_the_licences_that_are_wanted_are_used_and_the_others_are_no_fault(sounds, tmp_path):
    with (sounds / "t.csv").open("w", newline="") as file:
        rows = [(path, path.parts[0], path.parts[1], licence) for path, licence in zip(
            (path.relative_to(sounds) for path in sorted(sounds.rglob("*.wav"))),
            ["CC0", "CC BY 4.0", "CC BY-NC 3.0", "CC0"] + ["Attribution Noncommercial"] * 5 + ["CC-BY", "", "?", "CC0"],
            strict=True)]  # fmt: skip
        csv.writer(file).writerows([("path", "role", "label", "licence"), *rows])
    report = build(tmp_path / "bank", sounds / "t.csv", licences=["cc0", "cc-by"])
    assert sorted({clip.licence for clip in report.bank.clips}) == ["CC BY 4.0", "CC-BY", "CC0"]
    assert dict(report.rejects_by_reason()) == {"licence not wanted": 6, "licence unknown": 2}
    with pytest.raises(FlamError, match=r"says licences"):
        build(tmp_path / "bank", sounds / "t.csv", licences=["cc0"])
    with pytest.raises(FlamError, match="no usable foreground and no background in the sources under public-domain"):
        build(tmp_path / "none", sounds / "t.csv", licences=["public-domain"])


def test_only_the_span_of_an_event_is_read_and_its_place_in_the_file_is_kept(tmp_path):
    recording = np.random.default_rng(5).uniform(-0.5, 0.5, 40 * RATE)
    soundfile.write(tmp_path / "long.wav", recording, RATE, subtype="FLOAT")
    place = {"path": tmp_path / "long.wav", "role": "foreground", "label": "bark", "cluster": "bark", "group": "g"}
    file = SourceFile(**place, origin="long.wav#t=31.250,32.000", onset=31.25, offset=32.0)
    clip, pcm, _ = prepare(file, sample_rate=RATE, seed=0)
    assert (clip.origin, clip.origin_start, clip.num_samples) == (file.origin, 31.25 * RATE, 0.75 * RATE)
    expected = recording[clip.origin_start :][: len(pcm)] * 10 ** (clip.gain_db / 20)
    assert np.abs(pcm / 32768 - expected).max() < 1e-4
    with pytest.raises(RejectError, match="ends before its event begins"):
        prepare(dataclasses.replace(file, onset=40.0, offset=41.0), sample_rate=RATE, seed=0)


def test_an_event_at_another_rate_keeps_its_place_after_trimming(tmp_path):
    recording = np.zeros(20 * 44_100)
    recording[round(12.5 * 44_100) : round(13.5 * 44_100)] = np.random.default_rng(6).uniform(-0.5, 0.5, 44_100)
    soundfile.write(tmp_path / "long.flac", recording, 44_100)
    place = {"path": tmp_path / "long.flac", "role": "foreground", "label": "bark", "cluster": "bark", "group": "g"}
    clip, _, _ = prepare(SourceFile(**place, origin="x", onset=12.0, offset=14.0), sample_rate=RATE, seed=0)
    assert clip.origin_start / 44_100 == pytest.approx(12.5, abs=0.05)
    assert clip.duration == pytest.approx(1.0, abs=0.1)


@pytest.mark.parametrize(("rate", "noise"), [(RATE, 0.0), (44_100, 0.001)])
def test_several_bursts_in_one_file_stay_several_stretches_with_their_onsets(tmp_path, rate, noise):
    rng = np.random.default_rng(8)
    onsets = [1.0, 1.8, 2.6]  # of barks of 0.3 s: 0.5 s of nothing between them
    recording = noise * rng.uniform(-1, 1, 4 * rate)
    for onset in onsets:
        t = np.arange(round(0.3 * rate)) / rate
        bark = rng.uniform(-1, 1, len(t)) * np.exp(-5 * t)
        recording[round(onset * rate) :][: len(t)] += 0.5 * bark
    soundfile.write(tmp_path / "barks.wav", recording, rate)
    place = {"path": tmp_path / "barks.wav", "role": "foreground", "label": "bark", "cluster": "bark", "group": "g"}
    clip, _, _ = prepare(SourceFile(**place, origin="barks.wav"), sample_rate=RATE, seed=0)
    start = clip.origin_start / rate
    assert start > 0.9 or noise  # what is before the first bark is cut, unless it is heard
    assert [stretch.onset + start for stretch in clip.activity] == pytest.approx(onsets, abs=0.03)
    assert [stretch.offset + start for stretch in clip.activity] == pytest.approx([1.3, 2.1, 2.9], abs=0.03)


def test_a_damaged_bank_is_refused_in_one_line(sounds, tmp_path):
    out = tmp_path / "bank"
    build(out, sounds)
    for damage, message in (
        (lambda: (out / "pcm/00001.i16").write_bytes(b"xx"), "00001.i16 is missing or cut"),
        (lambda: (out / "sources.parquet").write_bytes(b"PAR1"), "sources.parquet is damaged"),
        (
            lambda: (out / "bank.json").write_text(json.dumps({"format_version": FORMAT_VERSION})),
            "bank.json is damaged",
        ),
        (lambda: (out / "bank.json").write_text('{"format_version": 1}'), "has format_version 1"),
        (lambda: (out / "bank.json").write_text("{"), "cannot be read"),
        (lambda: shutil.rmtree(out), "no sound bank at"),
    ):
        damage()
        with pytest.raises(FlamError, match=message):
            Bank.open(out)


@pytest.mark.skipif(not SHARED.exists(), reason="needs the real recordings in ../shared/data")
def test_real_recordings_become_a_bank_with_the_benchmarks_own_splits(tmp_path):
    with (SHARED / "benchmark.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    chosen = [row for row in rows if row["role"] == "foreground"][::40] + [
        row for row in rows if row["role"] == "background"
    ][::6]
    for name in ("esc50", "bank"):
        shutil.copytree(SHARED / name, tmp_path / name, ignore=lambda _, names: {n for n in names if "." in n})
    for row in chosen:
        shutil.copy(SHARED / row["path"], tmp_path / row["path"])
    with (tmp_path / "some.csv").open("w", newline="") as file:
        writer = csv.DictWriter(file, fieldnames=list(rows[0]))
        writer.writeheader()
        writer.writerows(chosen)
    report = build(tmp_path / "out", tmp_path / "some.csv", sample_rate=16_000)
    given = {row["path"]: row for row in chosen}
    assert len(report.bank.clips) == len(chosen)
    for clip in report.bank.clips:
        row = given[clip.origin]
        assert clip.split in ({row["split"], "valid"} if row["split"] == "train" else {row["split"]})
        assert (clip.cluster, clip.group, clip.licence) == (
            row["cluster"] or row["label"],
            row["group"],
            row["licence"],
        )
        assert clip.duration > 0.02
        assert -60 < clip.lufs < 0
        assert clip.activity[0].onset >= 0
        assert clip.activity[-1].offset <= clip.duration
    json.dumps([dataclasses.asdict(clip) for clip in report.bank.clips], allow_nan=False)
