"""VGGSound: ten seconds of a YouTube video with one of 309 labels.

vggsound.csv has no header: YouTube id, start in seconds, label, train or test. Recordings are ID_START, the start
with six digits, or named as AudioSet's.
"""

from pathlib import Path

from curation.imports.clip import Clip, LabelledSpan, PublishedSet
from curation.imports.recordings import NOT_THERE, Recordings
from curation.imports.tables import label_files
from curation.sources.audioset_strong import AUTHOR, LICENCE, recording_of
from curation.sources.table import read_csv
from manifests.errors import FlamError
from manifests.schema import Split

SIDES: dict[str, Split] = {"train": "train", "test": "test"}
_COLUMNS = ("video", "start", "label", "side")


def read(path: Path, recordings: Recordings) -> PublishedSet:
    """Every clip, its label holding all of its time. Others may be heard in it."""
    clips = []
    for table in label_files(path, "vggsound*.csv"):
        for row in read_csv(table, required=_COLUMNS, header=_COLUMNS):
            start = row.seconds("start")
            if row["side"] not in SIDES:
                raise FlamError(f"{row.place}: {row['side']!r} is neither train nor test; use VGGSound's own table")
            name = f"{row['video']}_{start:06.0f}"
            file = recordings.stems.get(name) or recording_of(recordings.stems, row["video"], round(1000 * start))
            clip = Clip(
                name=name,
                recording=recordings.checked(file) if file else NOT_THERE,
                split=SIDES[row["side"]],
                annotation="open",
                spans=[LabelledSpan(label=row["label"])],
                licence=LICENCE,
                author=AUTHOR.partition(";")[0].format(row["video"]),
            )
            clips.append(clip)
    return PublishedSet(clips=clips)
