"""AudioCaps: captions of AudioSet's recordings, one a clip for training and five for validation and testing.

{train,val,test}.csv: audiocap_id, youtube_id, start_time, caption. Recordings are named as AudioSet's.
"""

from pathlib import Path

from curation.imports.clip import Clip, PublishedSet
from curation.imports.recordings import NOT_THERE, Recordings
from curation.imports.tables import label_files, side_of, texts_of
from curation.sources.audioset_strong import recording_of
from curation.sources.table import read_csv
from manifests.schema import Split

SIDES: dict[str, Split] = {"train": "train", "val": "valid", "test": "test"}
_COLUMNS = ("audiocap_id", "youtube_id", "start_time", "caption")


def read(path: Path, recordings: Recordings) -> PublishedSet:
    """Every clip with its captions; nothing says when what they tell of is heard."""
    clips: dict[tuple[str, int], Clip] = {}
    for table in label_files(path, "train.csv", "val.csv", "test.csv"):
        for row in read_csv(table, required=_COLUMNS):
            key = row["youtube_id"], round(1000 * row.seconds("start_time"))
            if key not in clips:
                file = recording_of(recordings.stems, *key)
                clips[key] = Clip(
                    name="{}_{}".format(*key),
                    recording=recordings.checked(file) if file else NOT_THERE,
                    split=side_of(table, SIDES, root=path),
                    annotation="none",
                )
            clips[key].captions += texts_of(row["caption"], place=row.place, what="caption")
    return PublishedSet(clips=list(clips.values()))
