"""Published sets, each from a small tree in its real layout, as datasets."""

import json
import typing
from pathlib import Path

import pytest
import soundfile
from published_sets import RATE, TREES, write_desed, write_finelap, write_maestro, write_sound, write_text

import cli
from curation.imports.importing import KINDS, import_set
from curation.stats import dataset_stats
from manifests.captions import caption_texts
from manifests.errors import FlamError
from manifests.schema import Soundscape
from manifests.store import DatasetFolder
from manifests.validate import validate

ESC50 = Path(__file__).parents[2] / "shared/data/esc50"


def imported(kind: str, tmp_path: Path, **options) -> dict[str, Soundscape]:
    """The soundscapes of a set's tree, by their id, after a look that they keep all rules."""
    TREES[kind](tmp_path / "set")
    report = import_set(kind, tmp_path / "set", tmp_path / "data", **options)
    assert validate(tmp_path / "data", read_audio=True) == []
    rows = {row.soundscape_id: row for row in DatasetFolder(tmp_path / "data").soundscapes()}
    assert report.num_soundscapes == len(rows)
    return rows


def spans(row: Soundscape) -> list[tuple[str, float, float]]:
    return [(event.label, event.onset, event.offset) for event in row.events]


def splits(rows: dict[str, Soundscape]) -> dict[str, str]:
    return {name: row.split for name, row in rows.items()}


def annotations(rows: dict[str, Soundscape]) -> set[str]:
    return {row.annotation for row in rows.values()}


def captions(tmp_path: Path, kind: str) -> list[tuple[str, str]]:
    return list(caption_texts(DatasetFolder(tmp_path / "data"), kind))


def test_the_command_knows_every_kind():
    hint = typing.get_type_hints(cli.import_, include_extras=True)["kind"]
    assert set(typing.get_args(typing.get_args(hint)[0])) == set(KINDS) == set(TREES)


def test_desed_gives_strong_labels_by_its_folders_and_clips_without_events(tmp_path):
    rows = imported("desed", tmp_path)
    assert splits(rows) == {
        "1Ro0FgMWTUE_120_130": "test", "quiet": "test", "Y00pbt6aJV8Y_350.000_360.000": "valid",
        "Y01_0.000_10.000": "valid", "Y02_0.000_10.000": "valid",
        "audio/train/synthetic21_train/soundscapes/0": "train",
        "audio/validation/synthetic21_validation/soundscapes/0": "valid",
    }  # fmt: skip
    assert annotations(rows) == {"closed"}
    assert spans(rows["Y00pbt6aJV8Y_350.000_360.000"]) == [("Vacuum_cleaner", 0.0, 3.5), ("Speech", 1.0, 2.0)]
    assert spans(rows["Y01_0.000_10.000"]) == spans(rows["quiet"]) == []
    assert spans(rows["Y02_0.000_10.000"]) == [("Dog", 2.5, 4.0)]  # cut at the end of the recording
    assert rows["Y02_0.000_10.000"].sample_rate == RATE  # not the copy in validation_16k
    assert spans(rows["audio/validation/synthetic21_validation/soundscapes/0"]) == [("Dog", 1.5, 2.5)]


def test_desed_says_which_tables_have_no_times(tmp_path):
    write_desed(tmp_path / "set")
    report = import_set("desed", tmp_path / "set", tmp_path / "data")
    assert [note.rpartition("/")[2] for note in report.notes] == [
        "unlabel_in_domain.tsv is left out: its labels have no times",
        "weak.tsv is left out: its labels have no times",
    ]


def test_one_table_of_desed_is_enough_with_the_recordings_elsewhere(tmp_path):
    write_desed(tmp_path / "set")
    table = tmp_path / "set/metadata/validation/validation.tsv"
    report = import_set("desed", table, tmp_path / "data", audio=tmp_path / "set/audio/validation", split="test")
    assert (report.num_soundscapes, report.splits) == (3, {"test": 3})


def test_audioset_has_display_names_and_tests_on_every_segment_of_a_tested_video(tmp_path):
    rows = imported("audioset-strong", tmp_path)
    assert splits(rows) == {
        "b0RFKhbpFJA_30000": "train", "both_sides_0": "test", "both_sides_10000": "test", "s9d-2nhuJCQ_30000": "test",
    }  # fmt: skip
    assert spans(rows["b0RFKhbpFJA_30000"]) == [("Dog", 0.627, 4.0), ("Growling", 1.0, 2.0)]
    (gull,) = rows["s9d-2nhuJCQ_30000"].events
    assert (gull.label, gull.cluster, gull.licence) == (
        "Gull, seagull", "gull_and_seagull", "unknown: the uploader's, of a YouTube video",
    )  # fmt: skip
    assert annotations(rows) == {"closed"}


def test_audioset_rejects_segments_without_a_recording_and_those_that_share_one(tmp_path):
    TREES["audioset-strong"](tmp_path / "set")
    report = import_set("audioset-strong", tmp_path / "set", tmp_path / "data")
    assert report.rejects_by_reason() == {
        "named by a video of which there are several segments": ["twice_0", "twice_20000"],
        "no such recording": ["gone_0"],
    }


def test_urban_sed_reads_text_and_where_there_is_none_jams(tmp_path):
    rows = imported("urban-sed", tmp_path)
    assert splits(rows) == {
        "soundscape_test_uniform1": "test", "soundscape_test_uniform2": "test", "soundscape_train_uniform1": "train",
        "soundscape_validate_uniform1": "valid",
    }  # fmt: skip
    assert spans(rows["soundscape_test_uniform1"]) == [("dog_bark", 0.5, 1.5), ("car_horn", 1.0, 3.0)]
    assert spans(rows["soundscape_test_uniform2"]) == [("siren", 1.0, 2.5)]
    assert annotations(rows) == {"closed"}
    assert rows["soundscape_test_uniform2"].licences == ["CC BY 4.0"]


def test_maestro_takes_seconds_above_a_half_and_joins_them(tmp_path):
    rows = imported("maestro", tmp_path)
    assert splits(rows) == {"cafe_restaurant_00": "train"}
    assert spans(rows["cafe_restaurant_00"]) == [
        ("cutlery and dishes", 0.0, 2.0), ("people talking", 2.0, 3.0), ("cutlery and dishes", 3.0, 4.0),
    ]  # fmt: skip
    assert annotations(rows) == {"closed"}


def test_audiogrounding_gathers_the_phrases_and_captions_of_a_recording(tmp_path):
    rows = imported("audiogrounding", tmp_path)
    assert splits(rows) == {"Yone.wav": "test", "Ytwo.wav": "train"}
    assert spans(rows["Yone.wav"]) == [("a dog", 0.42, 1.3), ("a dog barks", 0.42, 1.3), ("a dog barks", 2.05, 2.6)]
    assert spans(rows["Ytwo.wav"]) == [("rain", 0.0, 4.0)]
    assert annotations(rows) == {"open"}
    assert captions(tmp_path, "audiogrounding") == [
        ("Yone.wav", "a dog barks and a woman speaks"), ("Yone.wav", "a dog is barking"), ("Ytwo.wav", "rain falls"),
    ]  # fmt: skip


def test_esc50_has_whole_clips_split_by_fold(tmp_path):
    rows = imported("esc50", tmp_path)
    assert {name[0]: row.split for name, row in rows.items()} == {
        "1": "train", "2": "train", "3": "train", "4": "valid", "5": "test",
    }  # fmt: skip
    assert spans(rows["4-104-A-1"]) == [("rooster", 0.0, 2.0)]
    assert annotations(rows) == {"closed"}


@pytest.mark.skipif(not ESC50.exists(), reason="needs ESC-50 in ../shared/data")
def test_the_real_esc50_is_imported_whole(tmp_path):
    report = import_set("esc50", ESC50, tmp_path / "data", split="test")
    rows = list(DatasetFolder(tmp_path / "data").soundscapes())
    assert (report.num_soundscapes, len(report.rejects), report.splits) == (1200, 0, {"test": 1200})
    assert len({event.label for row in rows for event in row.events}) == 50
    assert {(row.duration, row.sample_rate) for row in rows} == {(5.0, 16_000)}
    assert len({row.licences[0] for row in rows}) > 1  # each clip's own
    assert validate(tmp_path / "data") == []


def test_urbansound8k_has_whole_slices_of_both_saliences_in_which_more_may_be_heard(tmp_path):
    rows = imported("urbansound8k", tmp_path)
    assert splits(rows) == {
        **{f"{100 + fold}-3-0-0": "train" for fold in range(1, 9)}, "109-3-0-0": "valid", "110-3-0-0": "test",
    }  # fmt: skip
    assert spans(rows["101-3-0-0"]) == [("dog_bark", 0.0, 1.0)]
    assert annotations(rows) == {"open"}


def test_vggsound_has_whole_clips_in_which_more_may_be_heard(tmp_path):
    rows = imported("vggsound", tmp_path)
    assert splits(rows) == {"---g-f_I2yQ_000001": "test", "--0PQM4-hqg_000030": "train"}
    assert spans(rows["---g-f_I2yQ_000001"]) == [("people marching", 0.0, 4.0)]
    assert annotations(rows) == {"open"}


def test_audiocaps_gathers_the_captions_of_a_clip(tmp_path):
    rows = imported("audiocaps", tmp_path)
    assert splits(rows) == {
        "rqfQRErjfk8_170000": "test", "r1nicOVtvkQ_130000": "train", "vfY_TJq7n_U_130000": "valid",
    }  # fmt: skip
    assert annotations(rows) == {"none"}
    texts = [text for name, text in captions(tmp_path, "audiocaps") if name == "rqfQRErjfk8_170000"]
    assert texts == ["A dog barks", "Dog barking", "A dog, barking", "Barks of a dog", "A dog is heard"]


def test_clotho_has_five_captions_of_each_clip(tmp_path):
    rows = imported("clotho", tmp_path)
    assert splits(rows) == {"Ambience - outside": "train", "A (b) [c]": "test", "rain": "valid"}
    assert annotations(rows) == {"none"}
    found = list(DatasetFolder(tmp_path / "data").captions("clotho"))
    assert [row.style for row in found[:5]] == ["sentence", "sentence-2", "sentence-3", "sentence-4", "sentence-5"]
    assert found[4].text == "Caption 5, of development."
    assert len(found) == 15


def test_finelap_finds_recordings_by_their_names_and_takes_each_phrase_as_a_label(tmp_path):
    rows = imported("finelap", tmp_path)
    assert splits(rows) == {"YdoDQsgDRZ9w.flac": "test", "YXJirC-yJIPw.flac": "test", "x.wav": "test"}
    assert spans(rows["YdoDQsgDRZ9w.flac"]) == [("Music", 0.0, 4.0), ("Tick", 1.2, 1.8)]
    assert spans(rows["YXJirC-yJIPw.flac"]) == [
        ("Male speech, man speaking", 0.5, 1.0), ("Male speech, man speaking", 2.0, 3.0),
    ]  # fmt: skip
    assert [row.annotation for row in rows.values()] == ["open", "open", "none"]
    assert len(captions(tmp_path, "finelap")) == 4


def test_the_annotation_can_be_said_of_clips_that_have_labels(tmp_path):
    rows = imported("finelap", tmp_path, annotation="closed")
    assert [row.annotation for row in rows.values()] == ["closed", "closed", "none"]


@pytest.mark.parametrize("kind", TREES)
def test_statistics_are_made_of_every_kind(tmp_path, kind):
    rows = imported(kind, tmp_path, split="valid")
    stats = dataset_stats(tmp_path / "data").to_dict()
    assert stats["splits"] == {"valid": len(rows)}
    json.dumps(stats, allow_nan=False)


# --- what is wrong ------------------------------------------------------------------------------------------------

DESED = "filename\tonset\toffset\tevent_label"


@pytest.mark.parametrize(
    ("kind", "name", "lines", "message"),
    [
        ("desed", "public.tsv", (DESED, "a.wav\t2.0\t1.0\tDog"), r"public\.tsv:2: an event from 2 to 1 s"),
        ("desed", "public.tsv", (DESED, "a.wav\t-1\t1.0\tDog"), r"public\.tsv:2: an event from -1 to 1 s"),
        ("desed", "public.tsv", (DESED, "a.wav\t1,5\t2.0\tDog"), r"public\.tsv:2: onset is '1,5', must be a number"),
        ("desed", "public.tsv", (DESED, "a.wav\tnan\t2.0\tDog"), r"public\.tsv:2: onset is 'nan', must be a number"),
        ("desed", "public.tsv", (DESED, "a.wav\t1.0\t2.0"), r"public\.tsv:2: event_label is empty"),
        ("desed", "public.tsv", (DESED, "a.wav\t\t\tDog"), r"public\.tsv:2: onset is empty"),
        ("desed", "weak.tsv", ("filename\tevent_labels", "a.wav\tDog"), "holds no table with the columns filename, on"),
        ("desed", "some.tsv", (DESED, "a.wav\t1.0\t2.0\tDog"), "which split a is in; say it by --split"),
        ("desed", "x.csv", ("a",), r"holds no \*\.tsv"),
        ("audioset-strong", "x.csv", ("a",), "holds no table with the columns segment_id"),
        ("urban-sed", "test/a.txt", ("1.0\t0.5\tdog",), r"a\.txt:1: an event from 1 to 0\.5 s"),
        ("urban-sed", "test/a.txt", ("1.0\t2.0",), r"a\.txt:1: 2 cells under 3 columns"),
        ("urban-sed", "test/a.jams", ("{",), r"a\.jams: is no JSON"),
        ("urban-sed", "test/a.jams", ('{"annotations": [{"namespace": "beat"}]}',), "holds no annotation by Scaper"),
        ("maestro", "soft_labels_x/a.txt", ("0\t1\tcar\t1.5",), r"a\.txt:1: share is '1\.5', must be 0 to 1"),
        ("maestro", "soft_labels_x/a.txt", ("0\t1\tcar\thalf",), r"a\.txt:1: share is 'half', must be a number"),
        ("audiogrounding", "test.json", ("{}",), r"test\.json: must hold a list"),
        ("audiogrounding", "test.json", ('[{"audio_id": "a", "phrases": [{"phrase": "a", "segments": [[2, 1]]}]}]',),
         r"test\.json: item 1: an event from 2 to 1 s"),
        ("finelap", "test.jsonl", ('{"audio_id": "a"}', "{"), r"test\.jsonl:2: is no JSON"),
        ("finelap", "test.jsonl", ('{"caption": "a"}',), r"test\.jsonl:1: must be an object with the audio_id"),
        ("finelap", "test.jsonl", ('{"audio_id": "a", "caption": 3}',), r"test\.jsonl:1: caption must be a text"),
        ("finelap", "test.jsonl", ('{"audio_id": "a", "phrases": [{"phrase": ""}]}',), r"jsonl:1: each of phrases"),
        ("finelap", "test.jsonl", ('{"audio_id": "a", "phrases": [{"phrase": "a", "segments": [["0", 1]]}]}',),
         r"test\.jsonl:1: segment \['0', 1\] must be \[onset, offset\]"),
        ("esc50", "esc50.csv", ("filename,fold,category", "a.wav,6,dog"), r"csv:2: fold '6' is none of 1 to 5"),
        ("vggsound", "vggsound.csv", ("a,1,dog,dev",), r"vggsound\.csv:1: 'dev' is neither train nor test"),
        ("audiocaps", "test.csv", ("audiocap_id,youtube_id,start_time,caption", "1,a,x,A dog"), r"csv:2: start_time"),
        ("clotho", "clotho_captions_development.csv", ("file_name,caption_1",), "no column caption_2"),
    ],
)  # fmt: skip
def test_bad_labels_are_named_with_their_line_before_anything_is_written(tmp_path, kind, name, lines, message):
    write_text(tmp_path / "set" / name, *lines)
    write_sound(tmp_path / "set/a.wav")
    with pytest.raises(FlamError, match=message):
        import_set(kind, tmp_path / "set", tmp_path / "data")
    assert [path.name for path in tmp_path.iterdir()] == ["set"]


def test_an_id_that_audioset_does_not_name_is_refused(tmp_path):
    TREES["audioset-strong"](tmp_path / "set")
    write_text(tmp_path / "set/mid_to_display_name.tsv", "/m/0bt9lr\tDog")
    with pytest.raises(FlamError, match=r"strong\.tsv:2: label '/m/07rwj00' is not in the table of display names"):
        import_set("audioset-strong", tmp_path / "set", tmp_path / "data")


def test_recordings_that_cannot_be_used_are_counted_and_listed(tmp_path):
    write_desed(tmp_path / "set")
    audio = tmp_path / "set/audio"
    (audio / "eval/public/quiet.wav").unlink()
    (audio / "eval/public/1Ro0FgMWTUE_120_130.wav").write_bytes(b"no sound")
    soundfile.write(audio / "train/synthetic21_train/soundscapes/0.wav", [0.0] * 800, RATE)
    outside = tmp_path / "outside.wav"
    write_sound(outside)
    twice = audio / "validation/validation/Y01_0.000_10.000.wav"
    twice.unlink()
    twice.symlink_to(outside)
    report = import_set("desed", tmp_path / "set", tmp_path / "data")
    assert report.rejects_by_reason() == {
        "not readable as sound": ["1Ro0FgMWTUE_120_130", "audio/train/synthetic21_train/soundscapes/0"],
        "no such recording": ["quiet"],
        "link out of its folder": ["Y01_0.000_10.000"],
    }
    info = json.loads((tmp_path / "data/dataset.json").read_text())
    assert info["rejects"] == {"not readable as sound": 2, "no such recording": 1, "link out of its folder": 1}
    assert validate(tmp_path / "data", read_audio=True) == []


def test_recordings_of_one_name_are_told_apart_by_their_folders_or_are_rejects(tmp_path):
    write_finelap(tmp_path / "set")
    write_sound(tmp_path / "set/AudioCaps/x.wav")
    write_sound(tmp_path / "set/Other/x.wav")
    report = import_set("finelap", tmp_path / "set", tmp_path / "data")
    assert report.rejects_by_reason() == {"several recordings of this name": ["x.wav"]}
    write_sound(tmp_path / "set/Clotho/x.wav")
    assert not import_set("finelap", tmp_path / "set", tmp_path / "other").rejects


def test_no_recording_at_all_is_an_error_that_leaves_nothing(tmp_path):
    write_desed(tmp_path / "set")
    (tmp_path / "elsewhere").mkdir()
    with pytest.raises(
        FlamError, match=r"none of the 7 recordings can be used, the first is .* say where they are by --"
    ):
        import_set("desed", tmp_path / "set", tmp_path / "data", audio=tmp_path / "elsewhere")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["elsewhere", "set"]


def test_a_path_that_is_not_there_is_named(tmp_path):
    with pytest.raises(FlamError, match=r"nothing at .*sett; give the folder"):
        import_set("desed", tmp_path / "sett", tmp_path / "data")
    with pytest.raises(FlamError, match=r"no folder of recordings at .*gone; say where they are by --audio"):
        import_set("desed", tmp_path, tmp_path / "data", audio=tmp_path / "gone")


def test_a_folder_above_the_set_says_nothing_of_the_split(tmp_path):
    write_text(tmp_path / "test/set/metadata.jsonl", '{"audio_id": "a.wav", "caption": "A dog barks."}')
    write_sound(tmp_path / "test/set/a.wav")
    with pytest.raises(FlamError, match=r"which split a\.wav is in; say it by --split"):
        import_set("finelap", tmp_path / "test/set", tmp_path / "data")
    assert import_set("finelap", tmp_path / "test", tmp_path / "data").splits == {"test": 1}


def test_events_after_the_end_of_their_recording_are_counted(tmp_path):
    write_text(tmp_path / "set/public.tsv", DESED, "a.wav\t3.0\t9.0\tDog", "a.wav\t4.0\t5.0\tCat")
    write_sound(tmp_path / "set/a.wav")
    report = import_set("desed", tmp_path / "set", tmp_path / "data")
    assert (report.num_events, report.num_beyond) == (1, 1)


def test_a_stereo_recording_is_no_broken_rule(tmp_path):
    write_maestro(tmp_path / "set")
    import_set("maestro", tmp_path / "set", tmp_path / "data")
    assert validate(tmp_path / "data", read_audio=True) == []
