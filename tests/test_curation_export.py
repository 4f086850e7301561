"""A dataset for the hub: what `datasets` reads of it, what comes back by import, and what a second run does."""

import dataclasses
import io
from collections import Counter
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
import soundfile
from small_bank import write_bank

from curation import export as exporting
from curation.caption import caption
from curation.config import Recipe, Shares
from curation.export import export
from curation.imports.importing import import_set
from curation.render import Renderer
from curation.simulate import simulate
from curation.wording import wording
from manifests.audio import read
from manifests.errors import FlamError
from manifests.schema import Caption
from manifests.store import DatasetFolder, write_rows

RECIPE = Recipe(name="test", duration=2.0, split=Shares(train=0.5, valid=0.3, test=0.2))
NUM = 20


def made(root: Path, audio_format: str = "wav") -> DatasetFolder:
    if not (root / "bank").exists():
        write_bank(root / "bank")
    data = root / audio_format
    simulate(root / "bank", data, recipe=RECIPE, num=NUM, audio_format=audio_format, workers=1)
    caption(data)
    caption(data, styles=("event",))
    return DatasetFolder.open(data, render=Renderer.open(data) if audio_format == "none" else None)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> DatasetFolder:
    return made(tmp_path_factory.mktemp("export"))


@pytest.fixture
def small_files(monkeypatch: pytest.MonkeyPatch, folder: DatasetFolder) -> None:
    """Four soundscapes in a file, two in a row group."""
    num_bytes = 2 * next(folder.soundscapes()).num_samples
    monkeypatch.setattr(exporting, "_FILE_BYTES", 4 * num_bytes)
    monkeypatch.setattr(exporting, "_GROUP_BYTES", 2 * num_bytes)


def exported(out: Path) -> dict[str, dict]:
    files = sorted((out / "data").glob("*.parquet"))
    return {row["audio_id"]: row for file in files for row in pq.read_table(file).to_pylist()}


def sound(row: dict) -> np.ndarray:
    samples, _ = soundfile.read(io.BytesIO(row["audio"]["bytes"]), dtype="int16")
    return samples


@pytest.mark.usefixtures("small_files")
def test_the_hubs_own_library_reads_splits_audio_captions_and_phrases(folder: DatasetFolder, tmp_path: Path) -> None:
    import datasets  # takes seconds

    export(folder, tmp_path / "hub", captions="template")
    loaded = datasets.load_dataset(str(tmp_path / "hub"), cache_dir=str(tmp_path / "cache"))
    rows = {row.soundscape_id: row for row in folder.soundscapes()}
    texts = {row.soundscape_id: row.text for row in folder.captions("template") if not row.cluster}
    assert {name: len(part) for name, part in loaded.items()} == {
        exporting.SPLIT_NAMES[split]: count for split, count in Counter(row.split for row in rows.values()).items()
    }
    for name, part in loaded.items():
        assert isinstance(part.features["audio"], datasets.Audio)
        for item in part.cast_column("audio", datasets.Audio(decode=False)):
            row = rows[item["audio_id"]]
            assert exporting.SPLIT_NAMES[row.split] == name
            assert item["caption"] == texts[row.soundscape_id]
            np.testing.assert_array_equal(sound(item), soundfile.read(folder.audio(row), dtype="int16")[0])
            assert [phrase["segments"] for phrase in item["phrases"]] == [
                [{"start": part.onset, "end": part.offset} for part in event.activity] for event in row.events
            ]


@pytest.mark.parametrize("audio_format", ["flac", "shards", "none"])
def test_samples_are_the_same_wherever_the_audio_lies(folder: DatasetFolder, tmp_path: Path, audio_format: str) -> None:
    other = made(folder.root.parent, audio_format)
    export(other, tmp_path / "hub", captions="template")
    found = exported(tmp_path / "hub")
    for row in folder.soundscapes():
        np.testing.assert_array_equal(
            sound(found[row.soundscape_id]), soundfile.read(folder.audio(row), dtype="int16")[0]
        )


@pytest.mark.usefixtures("small_files")
def test_import_takes_it_back(folder: DatasetFolder, tmp_path: Path) -> None:
    export(folder, tmp_path / "hub", captions="template")
    report = import_set("finelap", tmp_path / "hub", tmp_path / "back")
    assert report.num_soundscapes == NUM
    assert not report.rejects
    back = DatasetFolder.open(tmp_path / "back")
    assert not list(back.root.glob(".*tracted*"))
    rows = {row.soundscape_id: row for row in back.soundscapes()}
    for row in folder.soundscapes():
        other = rows[row.soundscape_id]
        assert other.split == row.split
        spans = [
            (event.label, event.cluster, part.onset, part.offset) for event in row.events for part in event.activity
        ]
        assert sorted((e.label, e.cluster, e.onset, e.offset) for e in other.events) == sorted(spans)
        np.testing.assert_array_equal(read(back.audio(other), 16_000), read(folder.audio(row), 16_000))
    texts = {(row.soundscape_id, row.text) for row in folder.captions("template") if not row.cluster}
    assert {(row.soundscape_id, row.text) for row in back.captions("finelap")} == texts


def test_a_recording_that_is_missing_or_no_sound_is_a_reject(folder: DatasetFolder, tmp_path: Path) -> None:
    export(folder, tmp_path / "hub", captions="template")
    for file in (tmp_path / "hub" / "data").glob("train-*"):
        table = pq.read_table(file)
        audio = table["audio"].to_pylist()
        audio[0], audio[1] = {"bytes": None, "path": "a.wav"}, {"bytes": b"no sound", "path": "../b.wav"}
        at = table.schema.get_field_index("audio")
        pq.write_table(table.set_column(at, table.schema.field(at), [audio]), file)
    report = import_set("finelap", tmp_path / "hub", tmp_path / "back")
    assert {reason: len(names) for reason, names in report.rejects_by_reason().items()} == {
        "no such recording": 1, "not readable as sound": 1,
    }  # fmt: skip
    assert report.num_soundscapes == NUM - 2


def test_phrases_are_the_captions_of_single_sounds_or_labels_in_words(folder: DatasetFolder, tmp_path: Path) -> None:
    own = {(row.soundscape_id, row.cluster): row.text for row in folder.captions("template") if row.cluster}
    assert any(text != cluster for (_, cluster), text in own.items())
    export(folder, tmp_path / "all", captions="template")
    export(folder, tmp_path / "sentences", captions="template/sentence")
    for row in folder.soundscapes():
        with_own, without = (exported(tmp_path / name)[row.soundscape_id]["phrases"] for name in ("all", "sentences"))
        for event, one, other in zip(row.events, with_own, without, strict=True):
            words = wording(event.label).words
            # one that others mask is not in the captions
            assert one["phrase"] == own.get((row.soundscape_id, event.cluster), words)
            assert other["phrase"] == words
            assert (one["label"], one["original_clip_id"]) == (event.label, event.origin)


def test_sets_are_mixed_in_equal_shares(folder: DatasetFolder, tmp_path: Path) -> None:
    other = [
        dataclasses.replace(row, text=f"other {row.text}", model="m", via="openai")
        for row in folder.captions("template")
        if row.style == "sentence"
    ]
    write_rows(folder.root / "captions" / "other" / "00000.parquet", other, Caption)
    export(folder, tmp_path / "hub", captions="template/sentence,other")
    rows = exported(tmp_path / "hub").values()
    assert all(len(row["captions"]) == 2 and row["caption"] in row["captions"] for row in rows)
    assert 4 <= sum(row["caption"].startswith("other ") for row in rows) <= NUM - 4


def test_a_soundscape_without_a_caption_has_none_and_is_counted(folder: DatasetFolder, tmp_path: Path) -> None:
    kept = [row for row in folder.captions("template") if row.style == "sentence"][1:]
    write_rows(folder.root / "captions" / "most" / "00000.parquet", kept, Caption)
    report = export(folder, tmp_path / "hub", captions="most")
    assert report.num_without_caption == 1
    assert Counter(row["caption"] is None for row in exported(tmp_path / "hub").values()) == {False: NUM - 1, True: 1}


@pytest.mark.usefixtures("small_files")
def test_a_second_run_writes_only_what_is_missing_and_refuses_another_choice(
    folder: DatasetFolder, tmp_path: Path
) -> None:
    out = tmp_path / "hub"
    export(folder, out, captions="template")
    files = sorted((out / "data").iterdir())
    assert len(files) > 3
    before = {file: (file.read_bytes(), file.stat().st_mtime_ns) for file in files}
    files[1].unlink()
    export(folder, out, captions="template")
    assert sorted((out / "data").iterdir()) == files
    assert files[1].read_bytes() == before[files[1]][0]
    assert {file: file.stat().st_mtime_ns for file in files if file != files[1]} == {
        file: time for file, (_, time) in before.items() if file != files[1]
    }
    with pytest.raises(FlamError, match="captions = "):
        export(folder, out, captions="template/sentence")


def test_another_dataset_is_refused(folder: DatasetFolder, tmp_path: Path) -> None:
    export(folder, tmp_path / "hub", captions="template")
    simulate(
        tmp_path.parent / "x" if False else folder.root.parent / "bank",
        tmp_path / "more",
        recipe=RECIPE,
        num=NUM + 1,
        workers=1,
    )
    caption(tmp_path / "more")
    caption(tmp_path / "more", styles=("event",))
    with pytest.raises(FlamError, match="captions_crc32 = "):
        export(DatasetFolder.open(tmp_path / "more"), tmp_path / "hub", captions="template")


def test_a_file_that_was_cut_is_refused_and_what_was_written_is_kept(tmp_path: Path) -> None:
    folder = made(tmp_path)
    row = [row for row in folder.soundscapes() if row.split == "valid"][-1]
    path = folder.audio(row)
    assert isinstance(path, Path)
    content = path.read_bytes()
    path.write_bytes(content[: len(content) // 2])
    with pytest.raises(FlamError, match="is not as long as its row says"):
        export(folder, tmp_path / "hub", captions="template")
    assert [file.name for file in (tmp_path / "hub" / "data").iterdir()] == ["train-00000-of-00001.parquet"]
    path.write_bytes(content)
    assert export(folder, tmp_path / "hub", captions="template").num_files == 3


def test_the_card_names_the_files_of_each_split_and_the_licences(folder: DatasetFolder, tmp_path: Path) -> None:
    export(folder, tmp_path / "hub", captions="template")
    card = (tmp_path / "hub" / "README.md").read_text("utf-8")
    assert card.count("---\n") == 2
    assert "  - split: validation\n    path: data/validation-*.parquet\n" in card
    assert "## Licences" in card
    assert (tmp_path / "hub" / "ATTRIBUTION.md").read_bytes() == (folder.root / "ATTRIBUTION.md").read_bytes()
