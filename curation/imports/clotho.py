"""Clotho: recordings of 15 to 30 s with five captions each.

clotho_captions_{development,validation,evaluation}.csv: file_name, caption_1 to caption_5, beside the folders of these
names.
"""

from pathlib import Path

from curation.imports.clip import Clip, PublishedSet
from curation.imports.recordings import Recordings
from curation.imports.tables import label_files, side_of, texts_of
from curation.sources.table import read_csv
from manifests.schema import Split

SIDES: dict[str, Split] = {"development": "train", "validation": "valid", "evaluation": "test"}
_CAPTIONS = tuple(f"caption_{number}" for number in range(1, 6))


def read(path: Path, recordings: Recordings) -> PublishedSet:
    """Every clip with its captions; nothing says when what they tell of is heard."""
    clips = []
    for table in label_files(path, "clotho_captions_*.csv"):
        near = table.stem.removeprefix("clotho_captions_")
        for row in read_csv(table, required=("file_name", *_CAPTIONS)):
            texts = [row[column] for column in _CAPTIONS]
            clip = Clip(
                name=Path(row["file_name"]).stem,
                recording=recordings.find(row["file_name"], near=near),
                split=side_of(table, SIDES, root=path),
                annotation="none",
                captions=texts_of(texts, place=row.place, what="captions"),
            )
            clips.append(clip)
    return PublishedSet(clips=clips)
