"""URBAN-SED: ten thousand soundscapes by Scaper, with every event of UrbanSound8K's ten labels known.

annotations/{train,validate,test}/NAME.txt (onset, offset, label, without a header) and NAME.jams beside
audio/{train,validate,test}/NAME.wav.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from curation.imports.clip import Clip, LabelledSpan, PublishedSet
from curation.imports.recordings import Recordings
from curation.imports.tables import label_files, read_json_labels, side_of
from curation.sources.table import check_span, read_csv
from manifests.errors import FlamError
from manifests.schema import Split

LICENCE = "CC BY 4.0"
AUTHOR = "URBAN-SED (J. Salamon, D. MacConnell, M. Cartwright, P. Li, J. P. Bello)"
SIDES: dict[str, Split] = {"train": "train", "validate": "valid", "test": "test"}
_COLUMNS = ("onset", "offset", "label")


def read(path: Path, recordings: Recordings) -> PublishedSet:
    """Every clip that has a text file of labels, or where there is none a JAMS file."""
    root = path / "annotations" if (path / "annotations").is_dir() else path
    files = {file.with_suffix(""): file for file in label_files(root, "*.jams", "*.txt")}  # sorted: text comes last
    clips = [
        Clip(
            name=file.stem,
            recording=recordings.find(file.stem, near=file.parent.name),
            split=side_of(file, SIDES, root=root),
            annotation="closed",
            spans=list(_jams(file) if file.suffix == ".jams" else _text(file)),
            licence=LICENCE,
            author=AUTHOR,
        )
        for file in files.values()
    ]
    return PublishedSet(clips=clips)


def _text(file: Path) -> Iterator[LabelledSpan]:
    for row in read_csv(file, required=_COLUMNS, delimiter="\t", header=_COLUMNS):
        onset, offset = row.span("onset", "offset")
        yield LabelledSpan(label=row["label"], onset=onset, offset=offset)


def _jams(file: Path) -> Iterator[LabelledSpan]:
    """The foreground events of Scaper's annotation; the background is noise."""
    content = read_json_labels(file)
    try:
        (events,) = (
            annotation["data"]
            for annotation in content["annotations"]
            if annotation["namespace"] in ("scaper", "sound_event")
        )
        for event in events:
            if event["value"]["role"] == "foreground":
                yield _span(event, place=str(file))
    except (KeyError, TypeError, ValueError):
        raise FlamError(f"{file}: holds no annotation by Scaper; download it again") from None


def _span(event: dict[str, Any], *, place: str) -> LabelledSpan:
    onset, duration = float(event["time"]), float(event["duration"])
    onset, offset = check_span(onset, onset + duration, place)
    return LabelledSpan(label=str(event["value"]["label"]), onset=onset, offset=offset)
