"""Soundscape shards that hold the audio too: WAV bytes, in a column that the Hugging Face hub plays.

The column `audio` is a struct of `bytes` and `path`, as `datasets.Audio` stores it; the schema's metadata say so under
the key `huggingface`. `audio_path` of such a row names the shard itself. The labels have a checksum; audio has none, as
in WAV files.
"""

import functools
import io
import itertools
import json
import wave
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import soundfile
from jaxtyping import Int16, UInt8

from manifests import digest
from manifests.audio import AudioError, Recording
from manifests.errors import FlamError
from manifests.schema import Soundscape, arrow_schema, to_table

COLUMN = "audio"
_GROUP_BYTES = 16 << 20  # of audio: a reader of one row passes half of its row group
_BUFFER_BYTES = 64 << 10  # of a file that a reader of one row reads at once
_BATCH_BYTES = 32 << 20  # of audio that is written at once: a table of few rows costs as much as one of many
_PAGE_BYTES = 512 << 10  # at least: what is copied into a page of few soundscapes stays in the processor's cache
_HEADER_BYTES = 44
_AUDIO_FIELDS = [pa.field("bytes", pa.binary()), pa.field("path", pa.string())]
AUDIO = pa.struct(_AUDIO_FIELDS)  # as `datasets.Audio` stores it
Pcm = Int16[np.ndarray, " sample"]
Bytes = UInt8[np.ndarray, " byte"]


class ShardWriter:
    """Writes rows with their audio, so that memory holds some megabytes of soundscapes only."""

    def __init__(self, path: Path) -> None:
        self._writer = pq.ParquetWriter(
            path,
            _schema(),
            compression="NONE",  # audio does not compress, and beside it the rest does not matter
            use_dictionary=False,
            write_statistics=False,
            data_page_size=_PAGE_BYTES,
        )
        self._checksums: list[tuple[int, int]] = []
        self._rows: list[Soundscape] = []
        self._sounds: list[pa.StructArray] = []
        self._bytes = 0

    def add(self, row: Soundscape, fill: Callable[[Pcm], None]) -> None:
        """Take a soundscape; `fill` puts its samples into an array, which is where they are written from."""
        content = np.empty(_HEADER_BYTES + 2 * row.num_samples, np.uint8)
        content[:_HEADER_BYTES] = np.frombuffer(_wav_header(row.num_samples, row.sample_rate), np.uint8)
        samples = content[_HEADER_BYTES:].view("<i2")
        fill(samples)
        self._rows.append(row)
        self._sounds.append(_audio_array(f"{row.soundscape_id}.wav", content))
        self._bytes += len(content)
        if self._bytes >= _BATCH_BYTES:
            self._write_batch()

    def close(self) -> None:
        """Write what is left and the footer."""
        if self._rows:
            self._write_batch()
        self._writer.add_key_value_metadata(digest.metadata(self._checksums))
        self._writer.close()

    def _write_batch(self) -> None:
        audio = pa.chunked_array(self._sounds, AUDIO)
        labels = to_table(self._rows, Soundscape)
        self._checksums.append((len(labels), digest.checksum(labels)))
        table = labels.append_column(pa.field(COLUMN, AUDIO), audio)
        table = table.replace_schema_metadata(_schema().metadata)
        self._writer.write_table(table, row_group_size=-(-_GROUP_BYTES * len(self._rows) // self._bytes))
        self._rows, self._sounds, self._bytes = [], [], 0


def read_embedded(shard: Path, soundscape_id: str) -> Recording:
    """The audio of one row; raises FlamError if the shard has no such row, no audio, or is damaged."""
    state = shard.stat()
    for group, ids in _ids(shard, state.st_mtime_ns, state.st_size):
        if soundscape_id in ids:
            return _decoded(_read_value(shard, group, ids.index(soundscape_id)), shard, soundscape_id)
    raise FlamError(f"{shard} holds no soundscape {soundscape_id}, but its row says so; simulate it again")


def _decoded(content: pa.Buffer | None, shard: Path, soundscape_id: str) -> Recording:
    name = f"{shard}#{soundscape_id}"
    if content is None:
        raise FlamError(f"{name}: no audio; simulate it again")
    try:
        samples, sample_rate = soundfile.read(io.BytesIO(content), dtype="int16", always_2d=True)
    except (soundfile.SoundFileError, RuntimeError) as error:
        raise AudioError(shard, f"audio of {soundscape_id} is not readable ({error})") from None
    return Recording(samples=samples[:, 0], sample_rate=sample_rate, name=name)


def _read_value(shard: Path, group: int, place: int) -> pa.Buffer | None:
    """A row's audio. Parquet has to pass those before it in the row group; what comes after is not read."""
    try:
        with pq.ParquetFile(shard, pre_buffer=False, buffer_size=_BUFFER_BYTES) as file:
            values = file.iter_batches(1, row_groups=[group], columns=[f"{COLUMN}.bytes"])
            return pc.struct_field(next(itertools.islice(values, place, None))[COLUMN], "bytes")[0].as_buffer()
    except (pa.ArrowException, OSError, KeyError, StopIteration) as error:
        raise FlamError(f"{shard} is damaged or holds no audio ({error}); delete it and simulate again") from None


@functools.lru_cache(maxsize=256)
def _ids(shard: Path, _modified: int, _size: int) -> Sequence[tuple[int, list[str]]]:
    """The ids of each row group."""
    try:
        with pq.ParquetFile(shard) as file:
            groups = range(file.num_row_groups)
            return [(k, file.read_row_group(k, columns=["soundscape_id"])[0].to_pylist()) for k in groups]
    except (pa.ArrowException, OSError) as error:
        raise FlamError(f"{shard} is damaged ({error}); delete it and simulate again") from None


def _audio_array(name: str, content: Bytes) -> pa.StructArray:
    """One value of the column: a view, for pyarrow would copy bytes."""
    view = pa.Array.from_buffers(pa.binary(), 1, [None, _offsets(len(content)), pa.py_buffer(content)])
    return pa.StructArray.from_arrays([view, pa.array([name], pa.string())], fields=_AUDIO_FIELDS)


@functools.lru_cache(maxsize=64)
def _offsets(num_bytes: int) -> pa.Buffer:
    return pa.py_buffer(np.array([0, num_bytes], np.int32))


@functools.lru_cache(maxsize=64)
def _wav_header(num_samples: int, sample_rate: int) -> bytes:
    """Of 16-bit mono: written by the standard library for silence, cut before its samples."""
    content = io.BytesIO()
    with wave.open(content, "wb") as file:
        file.setparams((1, 2, sample_rate, num_samples, "NONE", ""))
        file.writeframesraw(bytes(2 * num_samples))
    return content.getvalue()[:_HEADER_BYTES]


@functools.cache
def _schema() -> pa.Schema:
    return with_audio(arrow_schema(Soundscape))


def with_audio(plain: pa.Schema) -> pa.Schema:
    """The schema with the column of audio, and with metadata that say to `datasets` what each column is."""
    schema = plain.append(pa.field(COLUMN, AUDIO))
    features = {field.name: _feature(field.type) for field in plain} | {COLUMN: {"_type": "Audio"}}
    return schema.with_metadata({"huggingface": json.dumps({"info": {"features": features}})})


def _feature(arrow_type: pa.DataType) -> Any:
    """A column's type as `datasets` writes it."""
    if pa.types.is_struct(arrow_type):
        return {field.name: _feature(field.type) for field in arrow_type}
    if pa.types.is_list(arrow_type):
        return {"feature": _feature(arrow_type.value_type), "_type": "List"}
    names = {"double": "float64", "bool": "bool"}
    return {"dtype": names.get(str(arrow_type), str(arrow_type)), "_type": "Value"}
