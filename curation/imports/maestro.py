"""MAESTRO Real: recordings of minutes, and for each second how many annotators heard each label, as a share.

development_annotation/soft_labels_SCENE/NAME.txt (onset, offset, label, share, without a header) beside
development_audio/SCENE/NAME.wav, as for DCASE 2023 Task 4B.
"""

from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

from curation.imports.clip import Clip, LabelledSpan, PublishedSet
from curation.imports.recordings import Recordings
from curation.imports.tables import label_files, side_of
from curation.sources.table import read_csv
from manifests.errors import FlamError
from manifests.frames import merged
from manifests.schema import Split

SIDES: dict[str, Split] = {"development": "train", "evaluation": "test"}
THRESHOLD = 0.5  # a share must be above it, as in the ground truth of DCASE 2024 Task 4
_COLUMNS = ("onset", "offset", "label", "share")


def read(path: Path, recordings: Recordings) -> PublishedSet:
    """Every recording; a label holds in the seconds that more than half of the annotators gave it, joined."""
    clips = [
        Clip(
            name=file.stem,
            recording=recordings.find(file.stem, near=file.parent.name.removeprefix("soft_labels_")),
            split=side_of(file, SIDES, root=path),
            annotation="closed",
            spans=list(_spans(file)),
        )
        for file in label_files(path, "soft_labels_*/*.txt")
    ]
    note = f"a label holds in the seconds in which its share is above {THRESHOLD}, as DCASE takes it"
    return PublishedSet(clips=clips, notes=[note])


def _spans(file: Path) -> Iterator[LabelledSpan]:
    seconds: dict[str, list[tuple[float, float]]] = defaultdict(list)
    for row in read_csv(file, required=_COLUMNS, delimiter="\t", header=_COLUMNS):
        span, share = row.span("onset", "offset"), row.number("share")
        if not 0 <= share <= 1:
            raise FlamError(f"{row.place}: share is {row['share']!r}, must be 0 to 1")
        if share > THRESHOLD:
            seconds[row["label"]].append(span)
    for label, spans in seconds.items():
        yield from (LabelledSpan(label=label, onset=onset, offset=offset) for onset, offset in merged(spans))
