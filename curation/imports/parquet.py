"""Sets on the Hugging Face hub: Parquet files in which a column `audio` holds each recording as the bytes of a file."""

import functools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from manifests.embedded import COLUMN
from manifests.errors import FlamError


@dataclass(frozen=True, kw_only=True, slots=True)
class Embedded:
    """Where a recording is."""

    file: Path
    group: int
    row: int

    def content(self) -> bytes | None:
        """The bytes of an audio file; None where the column has none. Recordings are asked for in their order."""
        value = _audio(self.file, self.group)[self.row].as_py()
        content = value.get("bytes") if isinstance(value, dict) else None
        return content if isinstance(content, bytes) else None


def rows(file: Path, columns: Sequence[str]) -> Iterator[tuple[dict[str, Any], Embedded]]:
    """Each row with those of the columns that are there, and its recording; raises FlamError."""
    try:
        with pq.ParquetFile(file) as parquet:
            names = parquet.schema_arrow.names
            if COLUMN not in names:
                raise FlamError(f"{file} has no column {COLUMN}; give a set whose Parquet files hold the recordings")
            for group in range(parquet.num_row_groups):
                table = parquet.read_row_group(group, columns=[name for name in columns if name in names])
                for row, item in enumerate(table.to_pylist()):
                    yield item, Embedded(file=file, group=group, row=row)
    except (pa.ArrowException, OSError, UnicodeDecodeError) as error:
        raise FlamError(f"{file} is damaged or no Parquet file ({error}); download it again") from None


@functools.lru_cache(maxsize=1)
def _audio(file: Path, group: int) -> pa.ChunkedArray:
    try:
        with pq.ParquetFile(file) as parquet:
            return parquet.read_row_group(group, columns=[COLUMN])[COLUMN]
    except (pa.ArrowException, OSError) as error:
        raise FlamError(f"{file} is damaged or no Parquet file ({error}); download it again") from None
