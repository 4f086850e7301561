"""ESC-50: 2,000 clips of 5 s, each of one of 50 labels, in five folds: meta/esc50.csv beside audio/."""

from pathlib import Path

from curation.imports.clip import Clip, LabelledSpan, PublishedSet
from curation.imports.recordings import Recordings
from curation.sources import esc50 as published
from curation.sources.table import read_csv


def read(path: Path, recordings: Recordings) -> PublishedSet:
    """Every clip, its label holding all of its time. The labels exclude each other, so all others are absent."""
    table = path if path.is_file() else published.table_path(path)
    clips = []
    for row in read_csv(table, required=("fold", "category")):
        name = row.get("filename") or row["file"]
        clips.append(
            Clip(
                name=Path(name).stem,
                recording=recordings.find(name, near="audio"),
                split=published.SPLITS[published.fold_of(row)],
                annotation="closed",
                spans=[LabelledSpan(label=row["category"])],
                licence=row.get("clip_licence") or published.LICENCE,
                author=row.get("clip_author") or published.AUTHOR,
            )
        )
    return PublishedSet(clips=clips)
