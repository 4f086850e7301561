"""UrbanSound8K: 8,732 slices of up to 4 s with one of ten labels: metadata/UrbanSound8K.csv beside audio/fold*/."""

from pathlib import Path

from curation.imports.clip import Clip, LabelledSpan, PublishedSet
from curation.imports.recordings import Recordings
from curation.sources import urbansound8k as published
from curation.sources.table import read_csv


def read(path: Path, recordings: Recordings) -> PublishedSet:
    """Every slice, its label holding all of its time. Others may be heard in it: it was cut out of a street."""
    table = path if path.is_file() else published.table_path(path)
    clips = []
    for row in read_csv(table, required=("slice_file_name", "fold", "class")):
        fold = published.fold_of(row)
        clips.append(
            Clip(
                name=Path(row["slice_file_name"]).stem,
                recording=recordings.find(row["slice_file_name"], near=f"audio/fold{fold}"),
                split=published.SPLITS.get(fold, "train"),
                annotation="open",
                spans=[LabelledSpan(label=row["class"])],
                licence=published.LICENCE,
                author=published.AUTHOR,
            )
        )
    return PublishedSet(clips=clips)
