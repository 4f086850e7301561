"""DESED's tables of strong labels: filename, onset, offset, event_label; a clip without events has only its name.

metadata/{train,validation,eval}/*.tsv beside audio/{train,validation,eval}/*/*.wav. Ten labels, each annotated in every
clip.
"""

from pathlib import Path

from curation.imports.clip import Clip, LabelledSpan, PublishedSet
from curation.imports.recordings import Recordings
from curation.imports.tables import label_files, side_of
from curation.sources.table import TableRow, read_csv
from manifests.errors import FlamError
from manifests.schema import Split

SIDES: dict[str, Split] = {"train": "train", "validation": "valid", "eval": "test", "public": "test"}
_COLUMNS = ("filename", "onset", "offset", "event_label")
_REPEATED = ("test_dcase2018", "eval_dcase2018")  # parts of validation.tsv


def read(path: Path, recordings: Recordings) -> PublishedSet:
    """Every clip of the tables that have times; weak labels and lists of unlabelled clips are left out, with a note."""
    clips: dict[tuple[str, str], Clip] = {}
    notes = []
    for table in label_files(path, "*.tsv"):
        if table != path and table.stem in _REPEATED:
            continue
        columns = _columns(table)
        if "onset" in columns or table == path:
            _read_table(table, clips, recordings, path)
        elif "filename" in columns and "duration" not in columns:
            notes.append(f"{table} is left out: its labels have no times")
    if not clips:
        raise FlamError(f"{path} holds no table with the columns {', '.join(_COLUMNS)}, separated by tabs")
    return PublishedSet(clips=list(clips.values()), notes=notes)


def _columns(table: Path) -> set[str]:
    with table.open("rb") as file:
        return {name.strip() for name in file.readline(1000).decode("utf-8-sig", "replace").split("\t")}


def _read_table(table: Path, clips: dict[tuple[str, str], Clip], recordings: Recordings, root: Path) -> None:
    near = table.with_suffix("").relative_to(root) if table != root else Path(table.parent.name) / table.stem
    split = side_of(table, SIDES, root=root)
    for row in read_csv(table, required=_COLUMNS, delimiter="\t", may_end_early=True):
        key = (str(near), row["filename"])
        if key not in clips:
            clips[key] = Clip(
                name=Path(row["filename"]).stem if row["filename"].endswith((".wav", ".flac")) else row["filename"],
                recording=recordings.find(row["filename"], near=near),
                split=split,
                annotation="closed",
            )
        clips[key].spans += _spans(row)


def _spans(row: TableRow) -> list[LabelledSpan]:
    if not any(row.get(column) for column in _COLUMNS[1:]):
        return []
    onset, offset = row.span("onset", "offset")
    return [LabelledSpan(label=row["event_label"], onset=onset, offset=offset)]
