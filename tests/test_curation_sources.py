"""Readers of dataset layouts, and the splits made from what they say."""

import csv
import json
import unicodedata
from collections import defaultdict
from pathlib import Path

import numpy as np
import pytest
import soundfile
from hypothesis import given, settings
from hypothesis import strategies as st

from curation.sources import list_sources
from curation.sources.listing import default_cluster
from curation.splits import Recording, assign_splits
from manifests.errors import FlamError

HEADER = "path,role,label\n"
SHARED = Path(__file__).parents[2] / "shared/data"


def write_table(path: Path, content: str | bytes) -> str:
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return str(path)


def read_table(path: Path, content: str | bytes):
    (listing,) = list_sources([write_table(path, content)])
    return listing


def write_sound(path: Path, seconds: float = 0.1) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    soundfile.write(path, np.sin(np.arange(int(seconds * 8000))), 8000, format="WAV")


def test_folders_are_read_by_role_and_label_without_what_is_no_sound(tmp_path):
    for name in ("foreground/dog/a.wav", "foreground/dog/B.FLAC", "background/park/c", "background/.trash/d.wav"):
        write_sound(tmp_path / name)
    for junk in ("._a.wav", ".DS_Store", "a.wav.part", "README.TXT", "notes.md", "a.wav~", "Thumbs.db"):
        (tmp_path / "foreground/dog" / junk).write_bytes(b"x")
    (listing,) = list_sources([str(tmp_path)])
    assert [(file.role, file.label, file.origin) for file in listing.files] == [
        ("foreground", "dog", "foreground/dog/B.FLAC"),
        ("foreground", "dog", "foreground/dog/a.wav"),
        ("background", "park", "background/park/c"),
    ]
    assert len({file.group for file in listing.files}) == 3


def test_links_out_of_a_folder_and_loops_are_rejected_and_links_inside_it_are_used(tmp_path):
    write_sound(tmp_path / "outside.wav")
    write_sound(tmp_path / "bank/foreground/dog/a.wav")
    folder = tmp_path / "bank/foreground/dog"
    (folder / "inside.wav").symlink_to(folder / "a.wav")
    (folder / "loop.wav").symlink_to(folder / "loop.wav")
    (folder / "out.wav").symlink_to(tmp_path / "outside.wav")
    (tmp_path / "bank/foreground/cat").symlink_to(tmp_path)
    (listing,) = list_sources([str(tmp_path / "bank")])
    assert [file.path.name for file in listing.files] == ["a.wav", "inside.wav"]
    assert {(reject.origin, reject.reason) for reject in listing.rejects} == {
        ("foreground/dog/loop.wav", "link that leads nowhere"),
        ("foreground/dog/out.wav", "link out of its folder"),
        ("foreground/cat", "link out of its folder"),
    }


def test_a_missing_source_and_an_unknown_layout_are_named(tmp_path):
    with pytest.raises(FlamError, match="no such source: nowhere"):
        list_sources(["nowhere"])
    with pytest.raises(FlamError, match="expected foreground/LABEL/"):
        list_sources([str(tmp_path)])


def test_the_built_in_bank_has_both_roles_and_needs_no_files():
    (listing,) = list_sources(["builtin"])
    assert {file.role for file in listing.files} == {"foreground", "background"}
    assert {(file.licence, file.author) for file in listing.files} == {("CC0-1.0", "flam-cli")}
    assert len({file.group for file in listing.files}) == len(listing.files)


def test_a_table_may_have_a_bom_crlf_any_column_order_and_columns_of_its_own(tmp_path):
    content = (
        "\ufefflabel,mood,contains,path,role,cluster,split,audioset_id\r\n"
        "dog,sad,cat| bird ,a b.wav,foreground,canine,test,/m/0bt9lr\r\n\r\n"
    )
    (file,) = read_table(tmp_path / "t.csv", content).files
    assert (file.label, file.cluster, file.contains, file.split) == ("dog", "canine", ("cat", "bird"), "test")
    assert (file.origin, file.group, file.licence, file.audioset_id) == ("a b.wav", "t/a b.wav", "", "/m/0bt9lr")
    assert file.path == tmp_path / "a b.wav"


@pytest.mark.parametrize("label", ["007", "NaN", "null", "NA", "true", "1e5", "=1+1", "Dog", "dög", "狗 🐕", "{0}%s"])
def test_labels_stay_the_strings_they_are(tmp_path, label):
    content = f"path,role,label,cluster,contains\na.wav,foreground,{label},{label},{label}\n"
    (file,) = read_table(tmp_path / "t.csv", content).files
    assert (file.label, file.cluster, file.contains) == (label, label, (label,))
    (file,) = read_table(tmp_path / "t.csv", f"{HEADER}a.wav,foreground,{label}\n").files
    assert (file.label, file.cluster) == (label, default_cluster(label))


@pytest.mark.parametrize(
    ("label", "cluster"),
    [
        ("dog_bark", "dog_bark"),
        ("Dog-Bark", "dog_bark"),
        (" dog \t- BARK_", "dog_bark"),
        ("cafe\u0301", "caf\u00e9"),
        ("Straße", "strasse"),
        ("\u03b1\u0345\u0301", "\u03ac\u03b9"),
        ("狗 🐕", "狗_🐕"),
        ("NaN", "nan"),
        ("=1+1", "=1+1"),
        ("- _", "- _"),
    ],
)
def test_twins_in_case_and_spelling_have_one_default_cluster(label, cluster):
    assert default_cluster(label) == cluster


@given(st.text(min_size=1, max_size=6))
def test_a_default_cluster_is_never_empty_and_the_same_for_other_forms_of_the_label(label):
    cluster = default_cluster(label)
    assert cluster
    if cluster != label:
        assert default_cluster(unicodedata.normalize("NFD", label)) == cluster


def test_folders_and_esc50_give_twins_one_cluster(tmp_path):
    write_sound(tmp_path / "own/foreground/Dog/a.wav")
    write_sound(tmp_path / "own/background/City-Street/a.wav")
    write_esc50(tmp_path / "esc", range(1, 3))
    table = tmp_path / "esc/meta/esc50.csv"
    table.write_text(table.read_text().replace(",dog,", ",Dog,"))
    listings = list_sources([str(tmp_path / "own"), str(tmp_path / "esc")])
    assert {(file.label, file.cluster) for listing in listings for file in listing.files} == {
        ("Dog", "dog"), ("City-Street", "city_street"),
    }  # fmt: skip


@pytest.mark.skipif(not SHARED.exists(), reason="needs the table in ../shared/data")
def test_the_clusters_of_the_benchmark_stay_as_written():
    with (SHARED / "benchmark.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    (listing,) = list_sources([str(SHARED / "benchmark.csv")])
    found = [(file.cluster, "|".join(file.contains)) for file in listing.files]
    assert found == [(row["cluster"] or row["label"], row["contains"]) for row in rows]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("path,label\na.wav,dog\n", "t.csv:1: no column role"),
        ("", "t.csv:1: no column path, role, label"),
        ("path;role;label\na.wav;foreground;dog\n", "t.csv:1: no column"),
        ("path,role,label,label\n", "t.csv:1: column 'label' occurs twice"),
        (
            HEADER + "a.wav,foreground,dog\nb.wav,middle,dog\n",
            "t.csv:3: role is 'middle', must be one of foreground, background, impulse_response",
        ),
        ("path,role,label,split\na.wav,foreground,dog,dev\n", "t.csv:2: split is 'dev'"),
        ("path,role,label,content\na.wav,foreground,dog,no\n", "t.csv:2: content is 'no'"),
        (HEADER + "a.wav,foreground, \n", "t.csv:2: label is empty"),
        (HEADER + "a.wav,foreground\n", "t.csv:2: 2 cells under 3 columns"),
        (HEADER + "a,b.wav,foreground,dog\n", "t.csv:2: 4 cells under 3 columns"),
        (HEADER + 'a.wav,foreground,"do"g\n', "t.csv:2: .* mend the quotes"),
        (HEADER + 'a.wav,foreground,"dog\n', "t.csv:2: .* mend the quotes"),
        (HEADER + "../a.wav,foreground,dog\n", r"t.csv:2: path '../a.wav' must be relative"),
        (HEADER + "/etc/passwd,foreground,dog\n", "t.csv:2: path '/etc/passwd' must be relative"),
        (HEADER + "a\0.wav,foreground,dog\n", "t.csv:1: is UTF-16 or no text"),
        (HEADER.encode("utf-16"), "t.csv:1: is UTF-16"),
        (HEADER.encode("utf-16-le"), "t.csv:1: is UTF-16"),
        (HEADER.encode() + b"a.wav,foreground,caf\xe9\n", "t.csv:2: is not UTF-8"),
    ],
)
def test_a_bad_table_is_refused_with_file_and_line(tmp_path, content, message):
    with pytest.raises(FlamError, match=message):
        read_table(tmp_path / "t.csv", content)


def test_a_table_cannot_reach_outside_its_folder_through_a_link(tmp_path):
    write_sound(tmp_path / "outside.wav")
    (tmp_path / "bank").mkdir()
    (tmp_path / "bank/a.wav").symlink_to(tmp_path / "outside.wav")
    listing = read_table(tmp_path / "bank/t.csv", HEADER + "a.wav,foreground,dog\n")
    assert not listing.files
    assert listing.rejects[0].reason == "link out of its folder"


def write_esc50(root: Path, folds: range, *, table: str = "meta/esc50.csv") -> None:
    lines = ["filename,fold,target,category,esc10,src_file,take"]
    lines += [f"{fold}-{fold}00-A-0.wav,{fold},0,dog,True,{fold}00,A" for fold in folds]
    lines.append(f"{folds[-1]}-100-B-0.wav,{folds[-1]},0,dog,True,100,B")  # one recording in two folds
    (root / table).parent.mkdir(parents=True, exist_ok=True)
    (root / table).write_text("\n".join(lines))
    (root / "audio").mkdir()


def test_esc50_is_grouped_by_recording_and_split_by_fold(tmp_path):
    write_esc50(tmp_path, range(1, 6))
    (listing,) = list_sources([str(tmp_path)])
    assert [file.split for file in listing.files] == ["test", "train", "train", "valid", "test", "test"]
    assert listing.files[0].group == listing.files[-1].group == "freesound:100"
    assert {(file.role, file.label, file.licence) for file in listing.files} == {("foreground", "dog", "CC BY-NC 3.0")}
    assert listing.files[0].path == tmp_path / "audio/1-100-A-0.wav"


def test_some_folds_of_esc50_with_the_table_beside_audio_have_no_split(tmp_path):
    write_esc50(tmp_path, range(1, 4), table="esc50.csv")
    (listing,) = list_sources([str(tmp_path)])
    assert {file.split for file in listing.files} == {None}


def write_urbansound8k(root: Path, folds: range) -> None:
    """Its table's real columns and file names: fsID-classID-occurrenceID-sliceID.wav."""
    lines = ["slice_file_name,fsID,start,end,salience,fold,classID,class"]
    lines += [f"{100 + fold}-3-0-0.wav,{100 + fold},0.0,0.317551,1,{fold},3,dog_bark" for fold in folds]
    lines += [f"{100 + fold}-2-0-5.wav,{100 + fold},2.5,6.5,2,{fold},2,children_playing" for fold in folds]
    (root / "metadata").mkdir(parents=True)
    (root / "metadata" / "UrbanSound8K.csv").write_text("\n".join(lines))
    (root / "audio").mkdir()


def test_urbansound8k_gives_its_foreground_slices_split_by_fold(tmp_path):
    write_urbansound8k(tmp_path, range(1, 11))
    (listing,) = list_sources([str(tmp_path)])
    assert [file.split for file in listing.files] == ["train"] * 8 + ["valid", "test"]
    assert listing.files[0].path == tmp_path / "audio/fold1/101-3-0-0.wav"
    assert {(file.role, file.label, file.licence) for file in listing.files} == {
        ("foreground", "dog_bark", "CC BY-NC 3.0")
    }
    assert [file.group for file in listing.files] == [f"freesound:{fold + 100}" for fold in range(1, 11)]
    assert {reject.reason for reject in listing.rejects} == {"in the background of its recording"}
    assert len(listing.rejects) == 10


def test_some_folds_of_urbansound8k_have_no_split_and_a_wrong_fold_is_named(tmp_path):
    write_urbansound8k(tmp_path / "some", range(1, 4))
    (listing,) = list_sources([str(tmp_path / "some")])
    assert {file.split for file in listing.files} == {None}
    write_urbansound8k(tmp_path / "wrong", range(11, 12))
    with pytest.raises(FlamError, match=r"UrbanSound8K\.csv:2: fold '11' is none of 1 to 10"):
        list_sources([str(tmp_path / "wrong")])


def mids_of(labels: str) -> str:
    return ",".join(f"/m/{label.lower()}" for label in labels.split(","))


def write_fsd50k(root: Path) -> None:
    """A few rows in the real tables' form: labels from special to general, one column more in dev."""
    dev = [
        ("1", "Electric_guitar,Guitar,Musical_instrument,Music", "train"),
        ("2", "Acoustic_guitar,Guitar,Musical_instrument,Music", "val"),
        ("3", "Guitar,Musical_instrument,Music", "train"),
        ("4", "Bark,Dog,Animal", "train"),
        ("5", "Meow,Bark,Cat,Dog,Animal", "train"),
        ("6", "Meow,Cat,Animal", "train"),
        ("7", "Piano,Musical_instrument,Music", "train"),
    ]
    lines = [f'{name},"{labels}","{mids_of(labels)}",{split}' for name, labels, split in dev]
    (root / "FSD50K.ground_truth").mkdir(parents=True)
    (root / "FSD50K.ground_truth/dev.csv").write_text("\n".join(["fname,labels,mids,split", *lines]))
    (root / "FSD50K.ground_truth/eval.csv").write_text(
        'fname,labels,mids\n8,"Bark,Dog,Animal","/m/05tny_,/m/0bt9lr,/m/0jbk"'
    )
    (root / "FSD50K.metadata").mkdir()
    cc = "http://creativecommons.org"
    info = {
        "1": {"title": "riff", "license": f"{cc}/licenses/by-nc/3.0/", "uploader": "ann"},
        "2": {"license": f"{cc}/publicdomain/zero/1.0/", "uploader": "bob"},
        "4": {"license": f"{cc}/licenses/sampling+/1.0/", "uploader": "eve"},
    }
    (root / "FSD50K.metadata/dev_clips_info_FSD50K.json").write_text(json.dumps(info))
    (root / "FSD50K.metadata/eval_clips_info_FSD50K.json").write_text(
        json.dumps({"8": {"license": f"{cc}/licenses/by/4.0/", "uploader": "dan"}})
    )


def test_fsd50k_gives_clips_of_one_kind_with_all_that_may_be_heard(tmp_path):
    write_fsd50k(tmp_path)
    (listing,) = list_sources([str(tmp_path)])
    files = {file.group.removeprefix("freesound:"): file for file in listing.files}
    assert {name: file.label for name, file in files.items()} == {
        "1": "Electric_guitar", "2": "Acoustic_guitar", "3": "Guitar", "4": "Bark", "6": "Meow", "7": "Piano",
        "8": "Bark",
    }  # fmt: skip
    assert files["1"].contains == ("guitar", "music", "musical_instrument")
    assert files["3"].contains == ("acoustic_guitar", "electric_guitar", "music", "musical_instrument")
    assert {name: file.split for name, file in files.items()} == {
        "1": "train", "2": "valid", "3": "train", "4": "train", "6": "train", "7": "train", "8": "test",
    }  # fmt: skip
    assert (files["1"].licence, files["1"].author) == ("CC BY-NC 3.0", "ann")
    assert (files["2"].licence, files["4"].licence, files["8"].licence) == ("CC0 1.0", "CC Sampling+ 1.0", "CC BY 4.0")
    assert (files["1"].audioset_id, files["8"].audioset_id) == ("/m/electric_guitar", "/m/05tny_")
    assert files["1"].path == tmp_path / "FSD50K.dev_audio/1.wav"
    assert files["8"].path == tmp_path / "FSD50K.eval_audio/8.wav"
    assert {file.role for file in files.values()} == {"either"}
    (reject,) = listing.rejects
    assert (reject.origin, reject.reason, reject.detail) == (
        "FSD50K.dev_audio/5.wav", "several kinds of sound in one", "Meow, Bark",
    )  # fmt: skip


def test_what_is_wrong_in_fsd50k_is_named(tmp_path):
    write_fsd50k(tmp_path)
    table = tmp_path / "FSD50K.ground_truth/dev.csv"
    original = table.read_text()
    table.write_text(original.replace("/m/bark,", ""))
    with pytest.raises(FlamError, match=r"dev\.csv:5: 2 mids for 3 labels"):
        list_sources([str(tmp_path)])
    table.write_text(original.replace(",val", ",valid"))
    with pytest.raises(FlamError, match=r"dev\.csv:3: split 'valid' is neither train nor val"):
        list_sources([str(tmp_path)])
    info = tmp_path / "FSD50K.metadata/dev_clips_info_FSD50K.json"
    info.write_text("{")
    with pytest.raises(FlamError, match=r"dev_clips_info_FSD50K\.json is damaged"):
        list_sources([str(tmp_path)])
    info.write_text('{"1": "CC0"}')
    with pytest.raises(FlamError, match="does not hold an entry for each clip"):
        list_sources([str(tmp_path)])
    info.unlink()
    with pytest.raises(FlamError, match=r"names every clip's licence; unpack FSD50K\.metadata\.zip"):
        list_sources([str(tmp_path)])


AUDIOSET_EVENTS = """segment_id\tstart_time_seconds\tend_time_seconds\tlabel
b0RFKhbpFJA_30000\t0.000\t10.000\t/m/03m9d0z
b0RFKhbpFJA_30000\t4.000\t4.300\t/m/05tny_
s9d-2nhuJCQ_30000\t1.000\t2.000\t/m/05tny_
s9d-2nhuJCQ_30000\t3.000\t6.000\t/m/09x0r
s9d-2nhuJCQ_30000\t5.000\t6.500\t/m/05tny_
s9d-2nhuJCQ_30000\t6.550\t6.750\t/m/09x0r
s9d-2nhuJCQ_30000\t1.000\t2.000\t/m/05tny_
YYdYvL5KIjk_0\t2.000\t2.050\t/m/05tny_
gone_________1000\t2.000\t3.000\t/m/05tny_
"""
AUDIOSET_NAMES = "/m/03m9d0z\tWind\n/m/05tny_\tBark\n/m/09x0r\tSpeech\n"


def write_audioset(root: Path, *, names=("Yb0RFKhbpFJA.wav", "s9d-2nhuJCQ_30000.flac", "YYdYvL5KIjk_0_10000.wav")):
    """Its published tables beside recordings as downloaders name them."""
    root.mkdir(parents=True)
    (root / "audioset_eval_strong.tsv").write_text(AUDIOSET_EVENTS)
    (root / "audioset_eval_strong_framed_posneg.tsv").write_text(
        "segment_id\tstart_time_seconds\tend_time_seconds\tlabel\tpresent\ns9d-2nhuJCQ_30000\t0\t0.96\t/m/04rlf\t0\n"
    )
    (root / "mid_to_display_name.tsv").write_text(AUDIOSET_NAMES)
    for name in names:
        write_sound(root / "audio/eval" / name)


def test_audioset_gives_the_spans_of_events_in_which_nothing_else_sounds(tmp_path):
    write_audioset(tmp_path / "AudioSet")
    (listing,) = list_sources([str(tmp_path / "AudioSet")])
    assert [(file.label, file.origin) for file in listing.files] == [
        ("Bark", "audio/eval/YYdYvL5KIjk_0_10000.wav#t=2.000,2.050"),
        ("Wind", "audio/eval/Yb0RFKhbpFJA.wav#t=0.000,3.900"),
        ("Wind", "audio/eval/Yb0RFKhbpFJA.wav#t=4.400,10.000"),
        ("Bark", "audio/eval/s9d-2nhuJCQ_30000.flac#t=1.000,2.000"),
        ("Speech", "audio/eval/s9d-2nhuJCQ_30000.flac#t=3.000,4.900"),
        ("Bark", "audio/eval/s9d-2nhuJCQ_30000.flac#t=6.100,6.450"),
    ]
    file = listing.files[-1]
    assert (file.onset, file.offset) == pytest.approx((6.1, 6.45))
    assert (file.cluster, file.contains, file.audioset_id) == ("bark", (), "/m/05tny_")
    assert (file.group, file.split, file.role) == ("youtube:s9d-2nhuJCQ", "test", "foreground")
    assert "uploader" in file.licence
    assert "s9d-2nhuJCQ" in file.author
    assert "CC BY 4.0" in file.author
    assert [(reject.origin, reject.reason, reject.bad) for reject in listing.rejects] == [
        ("gone_________1000", "no recording of this segment", False)
    ]


@pytest.mark.parametrize(
    "name",
    ["s9d-2nhuJCQ_30000", "Ys9d-2nhuJCQ_30000", "s9d-2nhuJCQ", "Ys9d-2nhuJCQ", "Ys9d-2nhuJCQ_30000_40000",
     "s9d-2nhuJCQ_30-40", "s9d-2nhuJCQ_30.0-40.0", "s9d-2nhuJCQ_30.000_40.000"],
)  # fmt: skip
def test_recordings_of_audioset_are_found_by_the_names_that_downloaders_give(tmp_path, name):
    write_audioset(tmp_path / "as", names=[f"{name}.wav"])
    (listing,) = list_sources([str(tmp_path / "as")])
    assert {file.path.name for file in listing.files} == {f"{name}.wav"}
    assert len(listing.files) == 3


def test_audiosets_other_table_of_names_serves_too_and_tables_may_lie_in_a_folder(tmp_path):
    write_audioset(tmp_path / "as")
    (tmp_path / "as/meta").mkdir()
    (tmp_path / "as/audioset_eval_strong.tsv").rename(tmp_path / "as/meta/train_strong.tsv")
    (tmp_path / "as/mid_to_display_name.tsv").unlink()
    with pytest.raises(FlamError, match="has no mid_to_display_name"):
        list_sources([str(tmp_path / "as")])
    (tmp_path / "as/meta/class_labels_indices.csv").write_text(
        'index,mid,display_name\n0,/m/09x0r,"Speech"\n1,/m/05tny_,"Bark"\n2,/m/03m9d0z,"Dishes, pots, and pans"\n'
    )
    (listing,) = list_sources([str(tmp_path / "as")])
    assert {(file.label, file.cluster) for file in listing.files} == {
        ("Bark", "bark"), ("Speech", "speech"), ("Dishes, pots, and pans", default_cluster("Dishes_and_pots_and_pans")),
    }  # fmt: skip
    assert {file.split for file in listing.files} == {"train"}


def test_a_video_of_audioset_in_both_parts_is_for_testing_only(tmp_path):
    write_audioset(tmp_path / "as", names=["b0RFKhbpFJA_30000.wav", "b0RFKhbpFJA_90000.wav"])
    header = AUDIOSET_EVENTS.partition("\n")[0]
    (tmp_path / "as/audioset_train_strong.tsv").write_text(f"{header}\nb0RFKhbpFJA_90000\t1\t2\t/m/05tny_\n")
    (listing,) = list_sources([str(tmp_path / "as")])
    assert {(file.group, file.split) for file in listing.files} == {("youtube:b0RFKhbpFJA", "test")}
    assert {file.path.stem for file in listing.files} == {"b0RFKhbpFJA_30000", "b0RFKhbpFJA_90000"}


def test_a_recording_that_two_segments_of_a_video_share_is_refused(tmp_path):
    write_audioset(tmp_path / "as")
    with (tmp_path / "as/audioset_eval_strong.tsv").open("a") as file:
        file.write("b0RFKhbpFJA_90000\t1\t2\t/m/05tny_\n")
    (listing,) = list_sources([str(tmp_path / "as")])
    assert not any("b0RFKhbpFJA" in file.origin for file in listing.files)
    reasons = [reject.reason for reject in listing.rejects if reject.bad]
    assert reasons == ["no telling which segment it is"] * 2


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ("a_1\t2\t1\t/m/05tny_", "an event from 2 to 1 s"),
        ("a_1\t-1\t1\t/m/05tny_", "an event from -1 to 1 s"),
        ("a_1\t1,5\t2\t/m/05tny_", "start_time_seconds is '1,5'"),
        ("a_1\t1\tnan\t/m/05tny_", "end_time_seconds is 'nan'"),
        ("a_1\t1\t2\t/m/none", "label '/m/none' is not in the table"),
        ("a\t1\t2\t/m/05tny_", "segment_id 'a' is not a YouTube id"),
        ("a_1\t1\t2", "3 cells under 4 columns"),
        ("a_1\t1\t2\t", "label is empty"),
    ],
)
def test_a_bad_row_of_audioset_is_named(tmp_path, row, message):
    write_audioset(tmp_path / "as")
    table = tmp_path / "as/audioset_eval_strong.tsv"
    table.write_text(f"{AUDIOSET_EVENTS}{row}\n")
    with pytest.raises(FlamError, match=rf"audioset_eval_strong\.tsv:11: .*{message}"):
        list_sources([str(tmp_path / "as")])


def test_audioset_without_any_recording_says_how_to_name_them(tmp_path):
    write_audioset(tmp_path / "as", names=["1.wav"])
    with pytest.raises(FlamError, match="name each by its segment_id or YouTube id"):
        list_sources([str(tmp_path / "as")])


def write_desed(root: Path) -> None:
    """Its sound bank as `desed` unpacks and divides it, with the tables of licences."""
    for name in (
        "train/soundbank/foreground/Cat/100_0.wav",
        "train/soundbank/foreground/Frying_nOn_nOff/200_1_0.wav",
        "train/soundbank/foreground/Blender_nOff/300_0.wav",
        "train/soundbank/background/sins/DevNode1_ex5_1.wav",
        "train/soundbank/background/sins/DevNode3_ex7_1.wav",
        "train/soundbank/background/tut-scenes-2017-dev/b020_10_20.wav",
        "validation/soundbank/foreground/Cat/300_1.wav",
        "validation/soundbank/background/sins/DevNode2_ex5_9.wav",
        "eval/soundbank/foreground/Speech_nOn/400_0.wav",
        "eval/soundbank/foreground_on_off/Speech/400_0.wav",
        "eval/soundbank/foreground_short/Dog/500_0.wav",
        "eval/soundbank/background/youtube/a park.wav",
        "eval/soundbank/background_long/Frying/600_0.wav",
    ):
        write_sound(root / "audio" / name)
    (root / "license_training.tsv").write_text(
        "filename\tid\tdataset\tdownload\tlicense\tname\tusername\n"
        "/home/x/training/soundbank/foreground/Cat/100_0.wav\t100\tfreesound\t\t"
        "http://creativecommons.org/licenses/by/3.0/\tm.wav\tann\n"
    )
    (root / "license_eval.tsv").write_text(
        "dataset\tdownload\tfilename\tid\tlicense\tname\tusername\n"
        "YouTube\t\t/x/a park.wav\tabc\thttps://x.com/?q=https%3A%2F%2Fcreativecommons.org%2Flicenses%2Fby%2F4.0\t\tbob\n"
    )


def test_desed_is_read_with_its_split_without_its_variants_and_without_a_recording_on_two_sides(tmp_path):
    write_desed(tmp_path)
    (listing,) = list_sources([str(tmp_path)])
    assert [(file.role, file.label, file.group, file.split) for file in listing.files] == [
        ("foreground", "Blender", "freesound:300", "valid"),
        ("foreground", "Cat", "freesound:100", "train"),
        ("foreground", "Frying", "freesound:200", "train"),
        ("background", "domestic_ambience", "sins:ex5", None),
        ("background", "domestic_ambience", "sins:ex7", "train"),
        ("background", "domestic_ambience", "tut:b020", "train"),
        ("foreground", "Cat", "freesound:300", "valid"),
        ("background", "domestic_ambience", "sins:ex5", None),
        ("foreground", "Speech", "freesound:400", "test"),
        ("background", "domestic_ambience", "youtube:abc", "test"),
    ]
    known = {file.path.name: (file.licence, file.author) for file in listing.files if file.licence}
    assert known == {
        "100_0.wav": ("CC BY 3.0", "ann"),
        "a park.wav": ("CC BY 4.0", "bob"),
    }


def test_recordings_without_labels_are_backgrounds_of_unknown_content(tmp_path):
    write_sound(tmp_path / "outside/z.wav")
    for name in ("b.wav", "walks/2024/a.flac", ".hidden/c.wav", "walks/.d.wav"):
        write_sound(tmp_path / "own" / name)
    (tmp_path / "own/walks/notes.txt").write_text("rain")
    (tmp_path / "own/link").symlink_to(tmp_path / "outside")
    (tmp_path / "own/e.wav").symlink_to(tmp_path / "outside/z.wav")
    (listing,) = list_sources([], [tmp_path / "own"])
    assert [file.origin for file in listing.files] == ["b.wav", "walks/2024/a.flac"]
    assert {(file.role, file.label, file.cluster, file.content_known) for file in listing.files} == {
        ("background", "unlabelled", "unlabelled", False)
    }
    assert len({file.group for file in listing.files}) == 2
    assert {(reject.origin, reject.reason) for reject in listing.rejects} == {
        ("link", "link out of its folder"), ("e.wav", "link out of its folder"),
    }  # fmt: skip


def test_a_folder_of_backgrounds_that_is_missing_or_empty_is_named(tmp_path):
    with pytest.raises(FlamError, match="no folder of backgrounds at nowhere"):
        list_sources([], [Path("nowhere")])
    with pytest.raises(FlamError, match="no recording in"):
        list_sources([], [tmp_path])


def test_a_table_says_where_more_may_be_heard(tmp_path):
    content = "path,role,label,content\na,background,park,unknown\nb,background,park,\nc,background,park,known\n"
    assert [file.content_known for file in read_table(tmp_path / "t.csv", content).files] == [False, True, True]


# --- splits -------------------------------------------------------------------------------------------------------


def recordings_of(groups_per_label: dict[str, int], *, role="foreground", split=None) -> list[Recording]:
    return [
        Recording(role=role, label=label, group=f"{role}/{label}/{group}", split=split)
        for label, count in groups_per_label.items()
        for group in range(count)
        for _ in range(1 + group % 2)
    ]


def sides_by_label(recordings, split) -> dict[str, set[str]]:
    sides = defaultdict(set)
    for recording in recordings:
        sides[recording.label].add(split[recording.group])
    return sides


def divided(recordings, *, seed=0, valid_share=0.1, test_share=0.1) -> dict[str, str]:
    return assign_splits(recordings, seed=seed, valid_share=valid_share, test_share=test_share)


label_sizes = st.dictionaries(st.text(min_size=1, max_size=3), st.integers(1, 12), min_size=1, max_size=6)


@settings(max_examples=80, deadline=None)
@given(label_sizes, st.integers(0, 5), st.sampled_from([0.05, 0.1, 0.3, 0.45]), st.randoms())
def test_every_label_reaches_the_sides_that_its_groups_allow_whatever_the_order(sizes, seed, share, random):
    recordings = recordings_of(sizes)
    split = divided(recordings, seed=seed, valid_share=share, test_share=share)
    for label, sides in sides_by_label(recordings, split).items():
        assert sides == set(["train", "test", "valid"][: sizes[label]])
    random.shuffle(recordings)
    assert divided(recordings, seed=seed, valid_share=share, test_share=share) == split


@settings(max_examples=50, deadline=None)
@given(st.lists(st.tuples(st.sampled_from("abc"), st.sampled_from("12345678")), min_size=1, max_size=30))
def test_a_group_of_several_labels_is_on_one_side(pairs):
    recordings = [Recording(role="foreground", label=label, group=group, split=None) for label, group in pairs]
    split = divided(recordings)
    assert set(split) == {group for _, group in pairs}
    assert set(split.values()) <= {"train", "valid", "test"}


def test_shares_are_kept_and_the_seed_matters():
    recordings = recordings_of({"dog": 200})
    split = divided(recordings)
    assert [list(split.values()).count(side) for side in ("train", "valid", "test")] == [160, 20, 20]
    assert divided(recordings, seed=1) != split
    assert set(divided(recordings, valid_share=0, test_share=0).values()) == {"train"}


def test_a_split_of_the_corpus_is_kept_and_a_train_part_of_it_becomes_valid_where_there_is_none():
    train = recordings_of({"dog": 20, "cat": 3}, split="train")
    test = recordings_of({"owl": 2}, split="test")
    split = divided([*train, *test])
    assert all(split[recording.group] == "test" for recording in test)
    assert sides_by_label(train, split) == {"dog": {"train", "valid"}, "cat": {"train"}}
    assert list(split.values()).count("valid") == 2
    with_valid = [*train, *test, *recordings_of({"ant": 1}, split="valid")]
    assert all(divided(with_valid)[recording.group] == "train" for recording in train)


def test_an_unsplit_recording_follows_its_group_in_another_corpus():
    one, other = (Recording(role="foreground", label="dog", group="freesound:1", split=side) for side in ("test", None))
    assert divided([other, one]) == {"freesound:1": "test"}


def test_a_group_on_two_sides_is_refused_by_name():
    recordings = [Recording(role="foreground", label="dog", group="g7", split=side) for side in ("test", "train")]
    with pytest.raises(FlamError, match="group 'g7' is in test and in train"):
        divided(recordings)


@pytest.mark.parametrize("sizes", [{"park": 1, "rain": 1, "wind": 1}, {"park": 2, "rain": 2}, {"park": 3}])
def test_three_backgrounds_are_enough_for_all_sides(sizes):
    backgrounds = recordings_of(sizes, role="background")
    assert set(divided([*backgrounds, *recordings_of({"dog": 9})]).values()) == {"train", "valid", "test"}
    split = divided(backgrounds)
    assert {split[recording.group] for recording in backgrounds} == {"train", "valid", "test"}
