"""Shards that hold the audio: other tools open them, and none needs to know of flam-cli."""

import io
import json
import shutil
import wave
from pathlib import Path

import datasets
import numpy as np
import pandas
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import soundfile
from small_bank import default_sounds, write_bank

from curation.config import Recipe
from curation.simulate import simulate
from manifests import digest, embedded
from manifests.embedded import read_embedded
from manifests.errors import FlamError
from manifests.schema import Soundscape, arrow_schema
from manifests.store import DatasetFolder, read_rows
from manifests.validate import validate

RECIPE = Recipe.model_validate({
    "name": "test",
    "duration": {"distribution": "choice", "values": [0.5, 1.0]},
    "background_only": 0.2,
    "reverb": {"share": 0.3},
})  # fmt: skip
NUM = 130


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Of the same dataset in two formats."""
    root = tmp_path_factory.mktemp("embedded")
    bank = write_bank(root / "bank", [sound for sound in default_sounds() if len(sound.samples) < 80_000])
    for audio_format in ("wav", "shards"):
        simulate(bank.root, root / audio_format, recipe=RECIPE, num=NUM, audio_format=audio_format, workers=1)
    return root


@pytest.fixture
def shard(folder: Path) -> Path:
    return folder / "shards" / "soundscapes" / "00000.parquet"


def files(folder: Path) -> list[bytes]:
    return [(folder / "wav" / row.audio_path).read_bytes() for row in DatasetFolder(folder / "wav").soundscapes()]


def test_the_column_holds_the_very_files(folder: Path) -> None:
    table = pq.read_table(folder / "shards" / "soundscapes")
    cells = table["audio"].to_pylist()
    assert [cell["bytes"] for cell in cells] == files(folder)
    assert [cell["path"] for cell in cells] == [f"{name}.wav" for name in table["soundscape_id"].to_pylist()]


def test_the_rows_beside_it_are_those_of_the_dataset_with_files(folder: Path, shard: Path) -> None:
    own, others = (pq.read_table(folder / name / "soundscapes") for name in ("shards", "wav"))
    assert own.drop_columns(["audio", "audio_path"]).equals(others.drop_columns(["audio_path"]))
    assert set(own["audio_path"].to_pylist()) == {"soundscapes/00000.parquet", "soundscapes/00001.parquet"}
    assert pq.read_schema(shard).field("events").equals(arrow_schema(Soundscape).field("events"))
    assert validate(folder / "shards", read_audio=True) == []


def test_pandas_and_soundfile_read_the_audio(folder: Path, shard: Path) -> None:
    frame = pandas.read_parquet(shard)
    for cell, duration, expected in zip(frame["audio"], frame["duration"], files(folder)[:100], strict=True):
        samples, rate = soundfile.read(io.BytesIO(cell["bytes"]), dtype="int16")
        assert len(samples) == round(duration * rate)
        with wave.open(io.BytesIO(expected)) as file:
            np.testing.assert_array_equal(samples, np.frombuffer(file.readframes(10**9), "<i2"))


def test_datasets_loads_it_as_audio(folder: Path, tmp_path: Path) -> None:
    shards = [str(path) for path in DatasetFolder(folder / "shards").soundscape_shards()]
    loaded = datasets.load_dataset("parquet", data_files=shards, split="train", cache_dir=str(tmp_path))
    assert isinstance(loaded.features["audio"], datasets.Audio)
    raw = loaded.cast_column("audio", datasets.Audio(decode=False))
    assert [cell["bytes"] for cell in raw["audio"]] == files(folder)
    assert raw[0]["events"] == pq.read_table(shards[0])["events"][0].as_py()


def test_the_metadata_are_what_datasets_would_write(shard: Path) -> None:
    schema = pq.read_schema(shard)
    plain = datasets.Features.from_arrow_schema(schema.remove_metadata())
    features = datasets.Features({**plain, "audio": datasets.Audio()})
    written, expected = (json.loads(one.metadata[b"huggingface"]) for one in (schema, features.arrow_schema))
    assert written == expected
    assert datasets.Features.from_arrow_schema(schema) == features


def test_a_reader_of_one_soundscape_reads_one_row_group(folder: Path, shard: Path) -> None:
    with pq.ParquetFile(shard) as file:
        assert file.num_row_groups == 1  # of 16 MB
        assert file.metadata.num_rows == 100
    recording = read_embedded(shard, "00000042")
    expected, _ = soundfile.read(io.BytesIO(files(folder)[42]), dtype="int16")
    np.testing.assert_array_equal(recording.samples, expected)
    assert str(recording) == f"{shard}#00000042"


def test_a_shard_written_in_several_parts_is_the_same(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(embedded, "_BATCH_BYTES", 80_000)
    simulate(folder / "bank", tmp_path / "data", recipe=RECIPE, num=30, audio_format="shards", workers=1)
    path = tmp_path / "data" / "soundscapes" / "00000.parquet"
    assert len(json.loads(pq.read_metadata(path).metadata[digest.KEY])) > 3
    assert read_rows(path, Soundscape) == read_rows(folder / "shards" / "soundscapes" / path.name, Soundscape)[:30]
    assert [cell["bytes"] for cell in pq.read_table(path)["audio"].to_pylist()] == files(folder)[:30]


def test_a_soundscape_that_is_not_there_is_one_line(shard: Path) -> None:
    with pytest.raises(FlamError, match=r"00000\.parquet holds no soundscape 00000100"):
        read_embedded(shard, "00000100")


def test_a_shard_without_the_column_is_one_line(shard: Path, tmp_path: Path) -> None:
    other = tmp_path / "00000.parquet"
    pq.write_table(pq.read_table(shard).drop_columns(["audio"]), other)
    with pytest.raises(FlamError, match="is damaged or holds no audio"):
        read_embedded(other, "00000000")


def test_a_flipped_bit_is_an_error_and_never_another_label(shard: Path, tmp_path: Path) -> None:
    content, expected = shard.read_bytes(), read_rows(shard, Soundscape)
    other, rng = tmp_path / "00000.parquet", np.random.default_rng(0)
    first, last = content.index(b"RIFF"), content.rindex(b"RIFF") + 44 + 2 * expected[-1].num_samples
    refused = 0
    for place in [*rng.integers(first, size=150), *rng.integers(last, len(content), size=150)]:
        other.write_bytes(content[:place] + bytes([content[place] ^ 1]) + content[place + 1 :])
        try:
            assert read_rows(other, Soundscape) == expected
        except FlamError:
            refused += 1
    assert refused > 100  # not where bits say how the file was made


def test_shards_that_another_tool_wrote_again_are_read(folder: Path, tmp_path: Path) -> None:
    """With large strings, all columns nullable and other row groups, as pandas and datasets leave them."""
    copy = shutil.copytree(folder / "shards", tmp_path / "data")
    path = copy / "soundscapes" / "00000.parquet"
    table = pq.read_table(path)
    fields = [pa.field(field.name, field.type, nullable=True) for field in table.schema]
    pq.write_table(pa.table(table.columns, schema=pa.schema(fields)), path, row_group_size=7)
    assert read_rows(path, Soundscape) == read_rows(folder / "shards" / "soundscapes" / "00000.parquet", Soundscape)
    expected, _ = soundfile.read(io.BytesIO(files(folder)[99]), dtype="int16")
    np.testing.assert_array_equal(read_embedded(path, "00000099").samples, expected)
