"""UrbanSound8K as its authors publish it: audio/fold1 to fold10 beside metadata/UrbanSound8K.csv, 8,732 slices."""

from pathlib import Path

from curation.source_clip import SourceFile
from curation.sources.listing import Listing, Reject, default_cluster
from curation.sources.table import TableRow, read_csv
from manifests.errors import FlamError
from manifests.schema import Split

LICENCE = "CC BY-NC 3.0"  # of the collection as a whole
AUTHOR = "UrbanSound8K (J. Salamon, C. Jacoby, J. P. Bello) and the recordists named in its FREESOUNDCREDITS.txt"
_NUM_FOLDS = 10
SPLITS: dict[int, Split] = {9: "valid", 10: "test"}  # its folds keep the slices of a recording together
_FOREGROUND = "1"  # of the column salience; 2 is heard behind other sounds


def recognises(root: Path) -> bool:
    """Whether a folder has this layout."""
    return table_path(root).is_file() and (root / "audio").is_dir()


def read(root: Path) -> Listing:
    """Every slice in the foreground of its recording, grouped by Freesound recording.

    Fold 10 is for testing and fold 9 for validation; where not all ten folds are there, no split is given, and the bank
    divides the recordings itself. A slice in the background of its recording is refused: what is loud in it is
    another sound.
    """
    root = root.resolve()
    rows = list(read_csv(table_path(root), required=("slice_file_name", "fsID", "salience", "fold", "class")))
    complete = {fold_of(row) for row in rows} == set(range(1, _NUM_FOLDS + 1))
    listing = Listing(name=root.name, layout="urbansound8k")
    for row in rows:
        name = Path(row["slice_file_name"]).name
        origin = f"audio/fold{fold_of(row)}/{name}"
        if row["salience"] != _FOREGROUND:
            listing.rejects.append(
                Reject(origin=origin, reason="in the background of its recording", detail="", bad=False)
            )
            continue
        file = SourceFile(
            path=root / origin,
            origin=origin,
            role="foreground",
            label=row["class"],
            cluster=default_cluster(row["class"]),
            group=f"freesound:{row['fsID']}",
            split=SPLITS.get(fold_of(row), "train") if complete else None,
            licence=LICENCE,
            author=AUTHOR,
        )
        listing.add(file, root=root)
    return listing


def table_path(root: Path) -> Path:
    """Where its table is."""
    return root / "metadata" / "UrbanSound8K.csv"


def fold_of(row: TableRow) -> int:
    """A slice's fold; raises FlamError."""
    if not row["fold"].isdecimal() or not 1 <= int(row["fold"]) <= _NUM_FOLDS:
        raise FlamError(f"{row.place}: fold {row['fold']!r} is none of 1 to {_NUM_FOLDS}; use UrbanSound8K's own table")
    return int(row["fold"])
