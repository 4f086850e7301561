"""A checksum of what a table says, whatever way Arrow stores it: of the labels in shards that hold audio.

Parquet's own page checksums are for all columns or for none, and those of audio take as long as mixing it.
"""

import itertools
import json
import zlib
from collections.abc import Sequence

import numpy as np
import pyarrow as pa

KEY = b"labels_crc32"  # of the file's metadata: JSON, a list of numbers of rows, each with the checksum of these


def checksum(table: pa.Table) -> int:
    """CRC-32 of the values, column by column; nothing but a value, its place or a missing one changes it."""
    crc = 0
    for column in table.columns:
        crc = _continued(crc, column.combine_chunks())
    return crc


def metadata(checksums: Sequence[tuple[int, int]]) -> dict[bytes, bytes]:
    """What to write into the file, given the number of rows and the checksum of each part of it."""
    return {KEY: json.dumps(checksums).encode()}


def is_intact(table: pa.Table, found: dict[bytes, bytes] | None) -> bool:
    """Whether a table says what was written, by the metadata of its file; True if these have no checksums."""
    if not found or KEY not in found:
        return True
    try:
        parts = [(int(num_rows), int(crc)) for num_rows, crc in json.loads(found[KEY])]
    except (ValueError, TypeError, OverflowError):
        return False
    ends = list(itertools.accumulate((num_rows for num_rows, _ in parts), initial=0))
    return ends[-1] == len(table) and all(
        checksum(table.slice(first, num_rows)) == crc for first, (num_rows, crc) in zip(ends, parts, strict=False)
    )


def _continued(crc: int, array: pa.Array) -> int:
    if array.null_count:
        crc = zlib.crc32(np.asarray(array.is_valid()).tobytes(), crc)
        array = array.drop_null()
    if pa.types.is_struct(array.type):
        for child in array.flatten():
            crc = _continued(crc, child)
        return crc
    if pa.types.is_list(array.type):
        return _continued(zlib.crc32(np.diff(np.asarray(array.offsets)).tobytes(), crc), array.flatten())
    if pa.types.is_string(array.type):
        return zlib.crc32(b"\0".join(array.cast(pa.binary()).to_pylist()), crc)
    return zlib.crc32(np.ascontiguousarray(array.to_numpy(zero_copy_only=False)).tobytes(), crc)
