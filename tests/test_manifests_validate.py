"""A sound dataset has no problem; each broken rule is found, named, and is the only one found."""

import dataclasses
import math
import shutil

import numpy as np
import pytest
import soundfile

from manifests.errors import FlamError
from manifests.schema import Caption, Phrase, Soundscape, Stretch
from manifests.store import DatasetFolder, read_rows, write_json, write_rows
from manifests.validate import Problem, validate


@pytest.fixture
def data(toy_dataset, tmp_path):
    """A copy that a test may damage."""
    return DatasetFolder(shutil.copytree(toy_dataset.root, tmp_path / "data"))


def edit(folder, change, *, index=0):
    """Replace one soundscape by `change(row)`."""
    path = folder.soundscape_shard(0)
    rows = read_rows(path, Soundscape)
    rows[index] = change(rows[index])
    write_rows(path, rows, Soundscape)


def found(folder, **options):
    return [(problem.row, problem.field, problem.what) for problem in validate(folder.root, **options)]


def row_with(**changes):
    return lambda row: dataclasses.replace(row, **changes)


def event_with(**changes):
    return lambda row: dataclasses.replace(row, events=[dataclasses.replace(row.events[0], **changes), *row.events[1:]])


def background_with(**changes):
    return lambda row: dataclasses.replace(row, background=dataclasses.replace(row.background, **changes))


def test_a_sound_dataset_has_no_problem(toy_dataset):
    assert validate(toy_dataset.root, read_audio=True) == []


NAN = math.nan
ONE_ROW = {
    "split": (row_with(split="dev"), "split", "'dev' is none of train, valid, test"),
    "annotation": (row_with(annotation="weak"), "annotation", "none of closed, open, none"),
    "version": (row_with(schema_version=9), "schema_version", "9, this flam-cli reads 3"),
    "duration": (row_with(duration=4.1), "duration", "64000 samples at 16000 Hz are not"),
    "nan duration": (row_with(duration=NAN, events=[]), "duration", "nan s"),
    "no samples": (row_with(num_samples=0, duration=0.0, events=[]), "num_samples", "is no sound"),
    "mix gain": (row_with(mix_gain_db=math.inf), "mix_gain_db", "inf is no number"),
    "inaudible": (row_with(num_inaudible=-1), "num_inaudible", "-1 is no count"),
    "masked": (row_with(num_masked=-2), "num_masked", "-2 is no count"),
    "licences": (row_with(licences=["CC-BY-4.0"]), "licences", "its sources have ['CC0-1.0']"),
    "nan onset": (event_with(onset=NAN), "events[0].onset", "is no time"),
    "start": (event_with(start=-1), "events[0].start", "are not inside"),
    "half known": (event_with(start=None), "events[0].start", "both or not at all"),
    "label": (event_with(label=" "), "events[0].label", "is empty"),
    "cluster": (event_with(contains=[""]), "events[0].contains", "empty cluster"),
    "snr": (event_with(snr_db=-math.inf), "events[0].snr_db", "-inf is no number"),
    "target": (event_with(target_snr_db=NAN), "events[0].target_snr_db", "nan is no number"),
    "source start": (event_with(source_start=-5), "events[0].source_start", "before the start"),
    "silent event": (event_with(activity=[]), "events[0].activity", "is empty"),
    "nan activity": (event_with(activity=[Stretch(onset=NAN, offset=NAN)]), "events[0].activity", "is no span"),
    "early": (event_with(activity=[Stretch(onset=-1.0, offset=0.1)]), "events[0].activity", "begins before"),
    "late": (event_with(activity=[Stretch(onset=3.9, offset=9.0)]), "events[0].activity", "ends after its event"),
    "lufs": (background_with(lufs=NAN), "background.lufs", "nan is no number"),
    "quiet background": (background_with(lufs=-51.5), "background.lufs", "measures -51.5 LUFS, not -50.0"),
    "loud background": (background_with(lufs=-48.5), "background.lufs", "measures -48.5 LUFS, not -50.0"),
    "background label": (background_with(label=""), "background.label", "is empty"),
}


@pytest.mark.parametrize("name", ONE_ROW)
def test_a_broken_rule_of_a_row_is_named(data, name):
    change, field, what = ONE_ROW[name]
    edit(data, change)
    rows = [(row, where, text) for row, where, text in found(data) if where == field and what in text]
    assert [row for row, _, _ in rows] == ["00000000"], found(data)


def test_one_broken_rule_is_one_problem(data):
    edit(data, row_with(split="train", annotation="weak"))
    assert len(found(data)) == 1


def test_an_event_that_is_not_where_its_samples_are_is_found_beyond_half_a_sample(data):
    event = read_rows(data.soundscape_shard(0), Soundscape)[0].events[0]
    edit(data, event_with(onset=event.onset - 0.4 / 16_000))
    assert found(data) == []
    edit(data, event_with(onset=event.onset - 0.6 / 16_000))
    assert [field for _, field, _ in found(data)] == ["events[0].onset"]


def test_onset_after_offset_and_past_the_end_are_found(data):
    def swapped(row):
        event = row.events[0]
        return event_with(onset=event.offset, offset=event.onset)(row)

    edit(data, swapped)
    assert any("not a span inside 0 to 4 s" in what for _, _, what in found(data))


def test_activity_out_of_order_or_overlapping_is_found(data):
    def overlapping(row):
        onset = row.events[0].onset
        spans = [Stretch(onset=onset, offset=onset + 0.2), Stretch(onset=onset + 0.1, offset=onset + 0.3)]
        return event_with(activity=spans)(row)

    edit(data, overlapping)
    ((_, field, what),) = found(data)
    assert field == "events[0].activity"
    assert "is not after the one before" in what


def test_an_event_that_the_background_holds_too_is_found(data):
    edit(data, lambda row: background_with(contains=[row.events[0].cluster])(row))
    assert [field for _, field, _ in found(data)] == ["background.contains"]


@pytest.mark.parametrize("change", [event_with(source_id="test-quiet"), background_with(source_id="test-hiss")])
def test_a_source_in_two_splits_is_found_in_either_role(data, change):
    edit(data, change)
    problems = found(data)
    assert {field for _, field, _ in problems} == {"split"}
    assert "is in split train and in test" in problems[0][2]


OUTSIDE = ["../x.wav", "/etc/hostname", "audio/../../x.wav", "", "audio/00000/none.wav", "audio/a\0b", "x" * 300]


@pytest.mark.parametrize("path", OUTSIDE)
def test_audio_outside_the_folder_or_missing_is_found(data, path):
    edit(data, row_with(audio_path=path))
    assert [field for row, field, _ in found(data) if row] == ["audio_path"]


def test_audio_behind_a_link_out_of_the_folder_is_found(data, tmp_path):
    row = read_rows(data.soundscape_shard(0), Soundscape)[0]
    link = data.root / row.audio_path
    shutil.move(link, tmp_path / "outside.wav")
    link.symlink_to(tmp_path / "outside.wav")
    assert [field for _, field, _ in found(data)] == ["audio_path"]


def test_ids_and_audio_used_twice_and_audio_without_a_row_are_found(data):
    edit(data, lambda row: dataclasses.replace(row, soundscape_id="00000000"), index=1)
    assert ("00000000", "soundscape_id", "occurs twice") in found(data)
    edit(data, row_with(audio_path="audio/00000/00000002.wav"), index=1)
    problems = found(data)
    assert any("audio of another soundscape" in what for _, _, what in problems)
    assert ("", "audio_path", "no row names this file") in problems


def test_absent_damaged_and_empty_shards_are_found(data):
    rows = read_rows(data.soundscape_shard(0), Soundscape)
    write_rows(data.soundscape_shard(2), [], Soundscape)
    damaged = data.soundscape_shard(3)
    damaged.write_bytes(data.soundscape_shard(0).read_bytes()[:-20])
    problems = validate(data.root)
    assert [(problem.where, problem.what.split(";")[0]) for problem in problems[:2]] == [
        ("soundscapes/00001.parquet", "is missing"),
        ("soundscapes/00002.parquet", "holds no rows"),
    ]
    assert problems[2].where == "soundscapes/00003.parquet"
    assert "damaged" in problems[2].what
    assert len(problems) == 3, "audio is not called an orphan while a shard cannot be read"
    assert len(rows) == 36


@pytest.mark.parametrize("content", ["", "[]", '{"schema_version": 9}'])
def test_a_dataset_json_that_is_missing_damaged_or_of_another_version_is_found(data, content):
    data.info_path.write_text(content)
    assert [problem.where for problem in validate(data.root)] == ["dataset.json"]
    data.info_path.unlink()
    assert [problem.where for problem in validate(data.root)] == ["dataset.json"]


def test_broken_captions_are_found(data):
    path = data.caption_shards("template")[0]
    rows = read_rows(path, Caption)
    bad = {0: {"text": ""}, 1: {"text": "two\nlines"}, 2: {"soundscape_id": "nobody"}, 3: {"soundscape_id": "00000004"}}
    write_rows(path, [dataclasses.replace(row, **bad.get(i, {})) for i, row in enumerate(rows)], Caption)
    assert [(row, field) for row, field, _ in found(data)] == [
        ("00000000", "text"), ("00000001", "text"), ("nobody", "soundscape_id"), ("00000004", "style"),
    ]  # fmt: skip


def test_broken_phrases_are_found(data):
    rows = data.phrases()
    stray = dataclasses.replace(rows[0], cluster="hiss", ancestors=["hiss"])
    kept = [row for row in rows if row.cluster != "warble"]
    write_rows(data.phrases_path, [*kept, stray, dataclasses.replace(rows[0], phrase="")], Phrase)
    assert [(row, field) for row, field, _ in found(data)] == [
        ("low tone", "ancestors"), ("low tone", "phrase"), ("low tone", "ancestors"), ("", "phrase"),
        ("warble", "cluster"),
    ]  # fmt: skip


def test_origins_ancestors_and_near_misses_of_phrases_are_checked(data):
    rows = data.phrases()
    more = {
        "low tone": {"ancestors": ["hiss"], "origin": "guess"},
        "hiss": {"ancestors": ["low_tone", "nobody"], "near_misses": ["a snake", " ", "the sound of a hiss"]},
    }
    write_rows(data.phrases_path, [dataclasses.replace(row, **more.get(row.phrase, {})) for row in rows], Phrase)
    assert [(row, f"{field} {what}"[:40]) for row, field, what in found(data)] == [
        ("low tone", "origin 'guess' is none of label, templat"),
        ("low tone", "ancestors name 'hiss', whose ancestor 'l"),
        ("the sound of a low tone", "ancestors are others than in the first r"),
        ("hiss", "near_misses name an empty text"),
        ("hiss", "ancestors name 'low_tone', whose ancesto"),
        ("hiss", "ancestors name 'nobody', a cluster witho"),
        ("hiss", "near_misses name 'the sound of a hiss', "),
        ("the sound of a hiss", "ancestors are others than in the first r"),
        ("the sound of a hiss", "near_misses are others than in the first"),
    ]


AUDIO = {
    "44100 Hz": (np.ones(64_000), 44_100, "44100 Hz, the row says 16000"),
    "stereo": (np.ones((64_000, 2)), 16_000, "2 channels, not 1"),
    "cut": (np.ones(63_999), 16_000, "63999 samples, the row says 64000"),
    "nan": (np.append(np.ones(63_999), NAN), 16_000, "holds samples that are no number"),
    "inf": (np.append(np.ones(63_999), math.inf), 16_000, "holds samples that are no number"),
    "silent": (np.zeros(64_000), 16_000, "every sample is 0"),
}


@pytest.mark.parametrize("name", AUDIO)
def test_audio_that_is_not_what_its_row_says_is_found_by_reading_it(data, name):
    samples, rate, what = AUDIO[name]
    subtype = "PCM_16" if np.isfinite(samples).all() else "FLOAT"
    soundfile.write(data.root / "audio/00000/00000000.wav", samples * 0.1, rate, subtype=subtype)
    assert found(data) == []
    problems = found(data, read_audio=True)
    assert [(row, field, what in text) for row, field, text in problems] == [("00000000", "audio", True)]


def test_audio_that_is_no_audio_is_found_by_reading_it(data):
    (data.root / "audio/00000/00000000.wav").write_text("<html>")
    assert "not readable as audio" in found(data, read_audio=True)[0][2]


def test_a_thousand_problems_are_kept_and_all_are_counted(data):
    for index in range(1200):
        (data.root / "audio" / f"{index}.wav").write_text("")
    problems = validate(data.root)
    assert (len(problems), problems.num_found) == (1000, 1200)


def test_no_dataset_at_all_is_an_error(tmp_path):
    with pytest.raises(FlamError, match="the folder does not exist"):
        validate(tmp_path / "none")
    write_json(tmp_path / "dataset.json", {})
    with pytest.raises(FlamError, match=r"holds no \.parquet file"):
        validate(tmp_path)


def test_a_problem_is_one_line():
    assert str(Problem(where="a.parquet", row="x\ny", field="f", what="is\nbad")) == "a.parquet: x y f: is bad"


def test_a_background_at_its_target_less_the_mixtures_gain_is_right_down_to_the_floor(data):
    for gain, lufs in ((-6.0, -56.9), (-6.0, -53.0), (-30.0, -70.0)):  # near the floor it may measure louder
        edit(data, lambda row, gain=gain, lufs=lufs: background_with(lufs=lufs)(row_with(mix_gain_db=gain)(row)))
        assert found(data) == []


@pytest.mark.parametrize(
    ("gain", "lufs", "right"),
    [
        (-14.0, -48.5, True), (-14.0, -39.0, False), (-14.0, -51.5, False),
        (14.0, -51.5, True), (14.0, -61.0, False), (14.0, -48.5, False),
    ],
)  # fmt: skip
def test_a_background_with_pauses_may_measure_otherwise_by_its_gain(data, gain, lufs, right):
    """Pauses of one that is attenuated fall below the absolute gate, and its mean no longer has them."""
    edit(data, background_with(lufs=lufs, gain_db=gain))
    assert (found(data) == []) is right


def test_a_background_that_was_silent_is_found_near_the_floor_too(data):
    for target, right in ((-70.0, True), (-66.0, False), (-60.0, False)):
        edit(data, background_with(lufs=-70.0, gain_db=40.0, target_lufs=target))
        assert (found(data) == []) is right


@pytest.mark.parametrize(
    ("field", "value"), [("seed", 7), ("engine", "scaper"), ("sample_rate", 32_000), ("recipe", {"name": "other"})]
)
def test_a_row_of_other_settings_than_the_dataset_is_found(data, field, value):
    right = {"schema_version": 3, "seed": 0, "engine": "mix", "sample_rate": 16_000, "recipe": {"name": "toy"}}
    write_json(data.info_path, right)
    assert found(data) == []
    write_json(data.info_path, {**right, field: value})
    problems = found(data)
    assert len(problems) == 36
    assert {where for _, where, _ in problems} == {field}
    assert "but dataset.json says" in problems[0][2]
