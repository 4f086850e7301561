"""FSD50K as its authors publish it: dev and eval audio beside FSD50K.ground_truth and FSD50K.metadata, 51,197 clips.

Every clip has the labels of all that can be heard in it, each with its parents in AudioSet's ontology.
"""

import json
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from curation.licences import short_name
from curation.source_clip import SourceFile
from curation.sources.listing import Listing, Reject, default_cluster
from curation.sources.table import TableRow, read_csv
from manifests.errors import FlamError

_PARTS = ("dev", "eval")
_SPLITS = {"train": "train", "val": "valid"}  # of the dev part; the eval part is for testing


def recognises(root: Path) -> bool:
    """Whether a folder has this layout, with the dev part, the eval part or both."""
    return any(_table_path(root, part).is_file() for part in _PARTS)


def read(root: Path) -> Listing:
    """Every clip that holds one kind of sound, as its length is fit for, with its licence and uploader.

    Its label is the most special of its labels; the others, which are parents of that one, may be heard in it, and so
    may all that are more special still. A clip with labels of several kinds is refused: nobody knows which of them is
    heard when.
    """
    root = root.resolve()
    listing = Listing(name=root.name, layout="fsd50k")
    parts = {part: _rows(root, part) for part in _PARTS if _table_path(root, part).is_file()}
    parents = _parents([_labels(row) for rows in parts.values() for row in rows])
    for part, rows in parts.items():
        info = _clip_info(root, part)
        for row in rows:
            _add(listing, root, part, row, info, parents)
    return listing


def _add(
    listing: Listing, root: Path, part: str, row: TableRow, info: Mapping[str, Any], parents: Mapping[str, set[str]]
) -> None:
    origin = f"FSD50K.{part}_audio/{row['fname']}.wav"
    labels = _labels(row)
    special = [label for label in labels if not any(label in parents[other] for other in labels)]
    if len(special) != 1:
        detail = ", ".join(special)
        listing.rejects.append(Reject(origin=origin, reason="several kinds of sound in one", detail=detail, bad=False))
        return
    label = special[0]
    heard = {other for other in parents if other in parents[label] or label in parents[other]}
    about = info.get(row["fname"], {})
    file = SourceFile(
        path=root / origin,
        origin=origin,
        role="either",
        label=label,
        cluster=default_cluster(label),
        contains=tuple(sorted(default_cluster(other) for other in heard)),
        group=f"freesound:{row['fname']}",
        split="test" if part == "eval" else _split(row),
        licence=short_name(str(about.get("license", ""))),
        author=str(about.get("uploader", "")),
        audioset_id=_audioset_ids(row, labels).get(label, ""),
    )
    listing.add(file, root=root)


def _rows(root: Path, part: str) -> list[TableRow]:
    return list(read_csv(_table_path(root, part), required=("fname", "labels", *(["split"] if part == "dev" else []))))


def _labels(row: TableRow) -> list[str]:
    return [label.strip() for label in row["labels"].split(",") if label.strip()]


def _audioset_ids(row: TableRow, labels: Sequence[str]) -> dict[str, str]:
    """The AudioSet id of each label: the column mids names them in the same order."""
    ids = [name.strip() for name in row.get("mids").split(",") if name.strip()]
    if ids and len(ids) != len(labels):
        raise FlamError(f"{row.place}: {len(ids)} mids for {len(labels)} labels; use FSD50K's own table")
    return dict(zip(labels, ids, strict=False))


def _parents(rows: Iterable[Sequence[str]]) -> Mapping[str, set[str]]:
    """For each label those that every clip with it has too: labels are handed up to all parents.

    Of two that are never apart the first is the child, for rows name the special before the general.
    """
    counts: Counter[str] = Counter()
    together: dict[str, Counter[str]] = defaultdict(Counter)
    before: Counter[tuple[str, str]] = Counter()
    for labels in rows:
        counts.update(labels)
        for place, label in enumerate(labels):
            together[label].update(labels)
            before.update((label, later) for later in labels[place + 1 :])
    return {
        label: {
            other
            for other, count in together[label].items()
            if other != label
            and count == counts[label]
            and (counts[other] > counts[label] or before[label, other] > before[other, label])
        }
        for label in counts
    }


def _split(row: TableRow) -> str:
    if row["split"] not in _SPLITS:
        raise FlamError(f"{row.place}: split {row['split']!r} is neither train nor val; use FSD50K's own table")
    return _SPLITS[row["split"]]


def _clip_info(root: Path, part: str) -> Mapping[str, Any]:
    """Licence and uploader of each clip, by its name."""
    path = root / "FSD50K.metadata" / f"{part}_clips_info_FSD50K.json"
    if not path.is_file():
        raise FlamError(f"{path} is missing: it names every clip's licence; unpack FSD50K.metadata.zip there")
    try:
        content = json.loads(path.read_text("utf-8"))
    except ValueError as error:
        raise FlamError(f"{path} is damaged ({error}); unpack FSD50K.metadata.zip again") from None
    if not isinstance(content, dict) or not all(isinstance(about, dict) for about in content.values()):
        raise FlamError(f"{path} does not hold an entry for each clip; unpack FSD50K.metadata.zip again")
    return content


def _table_path(root: Path, part: str) -> Path:
    return root / "FSD50K.ground_truth" / f"{part}.csv"
