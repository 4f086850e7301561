"""ESC-50 as its authors publish it: audio/ beside meta/esc50.csv, 2,000 clips of 5 s in 50 classes and five folds."""

from pathlib import Path

from curation.source_clip import SourceFile
from curation.sources.listing import Listing, default_cluster
from curation.sources.table import TableRow, read_csv
from manifests.errors import FlamError
from manifests.schema import Split

LICENCE = "CC BY-NC 3.0"  # of the collection as a whole
AUTHOR = "ESC-50 (Karol J. Piczak) and the recordists named in its LICENSE file"
SPLITS: dict[int, Split] = {1: "train", 2: "train", 3: "train", 4: "valid", 5: "test"}


def recognises(root: Path) -> bool:
    """Whether a folder has this layout; esc50.csv may also lie beside audio/."""
    return table_path(root).is_file() and (root / "audio").is_dir()


def read(root: Path) -> Listing:
    """Every clip as foreground, grouped by Freesound recording. Fold 5 is for testing, fold 4 for validation.

    Where not all five folds are there, no split is given, and the bank divides the recordings itself.
    """
    root = root.resolve()
    rows = list(read_csv(table_path(root), required=("fold", "category", "src_file")))
    last_fold: dict[str, int] = {}  # a few recordings were cut into two folds: keep their clips together
    for row in rows:
        source = row["src_file"]
        last_fold[source] = max(last_fold.get(source, 0), fold_of(row))
    complete = {fold_of(row) for row in rows} == set(SPLITS)
    listing = Listing(name=root.name, layout="esc50")
    for row in rows:
        name = Path(row.get("filename") or row.get("file")).name
        file = SourceFile(
            path=root / "audio" / name,
            origin=f"audio/{name}",
            role="foreground",
            label=row["category"],
            cluster=default_cluster(row["category"]),
            group=f"freesound:{row['src_file']}",
            split=SPLITS[last_fold[row["src_file"]]] if complete else None,
            licence=LICENCE,
            author=row.get("clip_author") or AUTHOR,
        )
        listing.add(file, root=root)
    return listing


def table_path(root: Path) -> Path:
    """Where its table is."""
    official = root / "meta" / "esc50.csv"
    return official if official.is_file() else root / "esc50.csv"


def fold_of(row: TableRow) -> int:
    """A clip's fold; raises FlamError."""
    if row["fold"] not in {"1", "2", "3", "4", "5"}:
        raise FlamError(f"{row.place}: fold {row['fold']!r} is none of 1 to 5; use ESC-50's own table")
    return int(row["fold"])
