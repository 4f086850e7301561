"""A CSV file that names sounds.

Columns path, role and label, and where known cluster, contains (separated by |), content (known or unknown), group,
split, licence, author and audioset_id. Others are ignored. Clusters stay as written; where the cell is blank, the
label makes one (`default_cluster`).
"""

import csv
import io
import math
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from curation.source_clip import SourceFile
from curation.sources.listing import ALL_ROLES, Listing, default_cluster, default_group
from manifests.errors import FlamError
from manifests.schema import SPLITS

_NAMES = {",": "commas", "\t": "tabs"}


@dataclass(frozen=True, kw_only=True, slots=True)
class TableRow:
    """A row of text, every cell as its writer wrote it: 007, NaN and =1+1 stay these strings."""

    cells: dict[str, str]
    place: str  # file:line

    def __getitem__(self, column: str) -> str:
        """A cell that must not be empty; raises FlamError."""
        value = self.get(column)
        if not value:
            raise FlamError(f"{self.place}: {column} is empty; every row needs one")
        return value

    def get(self, column: str) -> str:
        """A cell without blanks around it; empty where the table has no such column."""
        return self.cells.get(column, "").strip()

    def number(self, column: str, *, what: str = "a number") -> float:
        """A cell as a finite number; raises FlamError, saying what it should be."""
        try:
            value = float(self[column])
        except ValueError:
            value = math.nan
        if not math.isfinite(value):
            raise FlamError(f"{self.place}: {column} is {self[column]!r}, must be {what}, as 2.5")
        return value

    def seconds(self, column: str) -> float:
        """A cell as a time; raises FlamError."""
        return self.number(column, what="a number of seconds")

    def span(self, onset: str, offset: str) -> tuple[float, float]:
        """The times in two columns, the second after the first; raises FlamError."""
        return check_span(self.seconds(onset), self.seconds(offset), self.place)


def check_span(onset: float, offset: float, place: str) -> tuple[float, float]:
    """The two times of an event; raises FlamError unless they are a span."""
    if not 0 <= onset < offset:
        raise FlamError(f"{place}: an event from {onset:g} to {offset:g} s; it must start at 0 or later, and end then")
    return onset, offset


def read(path: Path) -> Listing:
    """Every row, in the table's order. Paths are relative to the table's folder and stay inside it."""
    root = path.resolve().parent
    listing = Listing(name=path.name, layout="table")
    for row in read_csv(path, required=("path", "role", "label")):
        listing.add(_source_file(row, root, table=path.stem), root=root)
    return listing


def read_csv(
    path: Path,
    *,
    required: Sequence[str],
    delimiter: str = ",",
    header: Sequence[str] = (),
    may_end_early: bool = False,
) -> Iterator[TableRow]:
    """The rows of a UTF-8 table, columns in any order; raises FlamError with file:line.

    Args:
        path: the file.
        required: columns that it must have.
        delimiter: a comma, or a tab; between tabs quotes are text.
        header: the columns of a table that does not name them itself.
        may_end_early: whether a row may leave out its last cells, which are empty then.
    """
    reader = csv.reader(
        io.StringIO(_text(path), newline=""),
        strict=True,
        delimiter=delimiter,
        quoting=csv.QUOTE_NONE if delimiter == "\t" else csv.QUOTE_MINIMAL,
    )
    try:
        header = header or [name.strip() for name in next(reader, [])]
        _check_header(header, required, delimiter, place=f"{path}:1")
        for cells in reader:
            place = f"{path}:{reader.line_num}"
            if not cells:
                continue
            if may_end_early:
                cells += [""] * (len(header) - len(cells))
            if len(cells) != len(header):
                raise FlamError(
                    f"{place}: {len(cells)} cells under {len(header)} columns; quote cells that hold a separator"
                )
            yield TableRow(cells=dict(zip(header, cells, strict=True)), place=place)
    except csv.Error as error:
        raise FlamError(f"{path}:{reader.line_num}: {error}; mend the quotes in or above this line") from None


def _text(path: Path) -> str:
    try:
        content = path.read_bytes()
    except OSError as error:
        raise FlamError(f"cannot read {path}: {error.strerror}") from None
    if content.startswith((b"\xff\xfe", b"\xfe\xff")) or b"\0" in content[:1000]:
        raise FlamError(f"{path}:1: is UTF-16 or no text; save it as CSV in UTF-8")
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        raise FlamError(f"{path}:{line}: is not UTF-8; save the table as CSV in UTF-8") from None


def _check_header(header: Sequence[str], required: Sequence[str], delimiter: str, *, place: str) -> None:
    missing = [name for name in required if name not in header]
    twice = [name for name, count in Counter(header).items() if count > 1]
    if missing:
        raise FlamError(
            f"{place}: no column {', '.join(missing)}; the header must name it, separated by {_NAMES[delimiter]}"
        )
    if twice:
        raise FlamError(f"{place}: column {twice[0]!r} occurs twice; rename one")


def _source_file(row: TableRow, root: Path, *, table: str) -> SourceFile:
    origin, label, role, split = row["path"], row["label"], row["role"], row.get("split") or None
    if PurePosixPath(origin).is_absolute() or ".." in PurePosixPath(origin).parts or "\0" in origin:
        raise FlamError(f"{row.place}: path {origin!r} must be relative to {root} and stay inside it")
    if role not in ALL_ROLES:
        raise FlamError(f"{row.place}: role is {role!r}, must be one of {', '.join(ALL_ROLES)}")
    if split not in (None, *SPLITS):
        raise FlamError(f"{row.place}: split is {split!r}, must be empty or one of {', '.join(SPLITS)}")
    content = row.get("content") or "known"
    if content not in ("known", "unknown"):
        raise FlamError(f"{row.place}: content is {content!r}, must be empty, known or unknown")
    return SourceFile(
        path=root / origin,
        origin=origin,
        role=role,
        label=label,
        cluster=row.get("cluster") or default_cluster(label),
        contains=tuple(cluster for part in row.get("contains").split("|") if (cluster := part.strip())),
        content_known=content == "known",
        group=row.get("group") or default_group(table, role, label, origin),
        split=split,
        licence=row.get("licence"),
        author=row.get("author"),
        audioset_id=row.get("audioset_id"),
    )
