"""A published set becomes a dataset folder, which appears whole or not at all.

It is made under another name beside its own, `.DATA.importing`, and renamed; what a killed run left there is removed by
the next.
"""

import contextlib
import shutil
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from curation.imports import (
    audiocaps,
    audiogrounding,
    audioset_strong,
    clotho,
    desed,
    esc50,
    finelap,
    maestro,
    urban_sed,
    urbansound8k,
    vggsound,
)
from curation.imports.clip import Clip, PublishedSet
from curation.imports.recordings import Recordings
from curation.imports.report import ImportReport
from curation.imports.writer import Writer
from manifests.errors import FlamError
from manifests.progress import progress
from manifests.schema import SCHEMA_VERSION, Annotation, Split
from manifests.store import DatasetFolder, locked, read_json, write_json

KINDS: dict[str, Callable[[Path, Recordings], PublishedSet]] = {
    "desed": desed.read,
    "audioset-strong": audioset_strong.read,
    "urban-sed": urban_sed.read,
    "maestro": maestro.read,
    "audiogrounding": audiogrounding.read,
    "esc50": esc50.read,
    "urbansound8k": urbansound8k.read,
    "vggsound": vggsound.read,
    "audiocaps": audiocaps.read,
    "clotho": clotho.read,
    "finelap": finelap.read,
}


def import_set(
    kind: str,
    path: Path,
    out: Path,
    *,
    audio: Path | None = None,
    split: Split | None = None,
    annotation: Annotation | None = None,
) -> ImportReport:
    """Make the dataset folder `out` of a published set. Raises FlamError before it writes if the labels are damaged.

    Args:
        kind: one of KINDS.
        path: the folder that the set was unpacked to, or one of its files of labels.
        out: a new folder, or one with the same import.
        audio: where the recordings are, in whatever folders; beside the labels if left out.
        split: of all clips, in the place of the set's own.
        annotation: of all clips that have events, in the place of what is known of the set.
    """
    if not path.exists():
        raise FlamError(f"nothing at {path}; give the folder that the set was unpacked to, or a file of its labels")
    made_from = {"kind": kind, "from": path.resolve().name, "split": split, "annotation": annotation}
    if _is_there(out, made_from):
        return ImportReport(is_new=False)
    recordings = Recordings(audio or (path if path.is_dir() else path.parent))
    published = KINDS[kind](path, recordings)
    if not published.clips:
        raise FlamError(f"{path} names no clip; give the folder that the set was unpacked to")
    clips = _settled(published.clips, root=recordings.root, split=split, annotation=annotation)
    staging = out.absolute().with_name(f".{out.absolute().name}.importing")
    report = ImportReport(notes=published.notes)
    try:
        with locked(staging, "flam-cli import"), _removed_if_it_fails(staging):
            _write(clips, staging, kind=kind, made_from=made_from, report=report)
            staging.replace(out.absolute())
    except OSError as error:
        raise FlamError(
            f"cannot write {out}: {error.strerror or error}; run the same command again once it can"
        ) from None
    return report


def _write(clips: Sequence[Clip], staging: Path, *, kind: str, made_from: dict[str, Any], report: ImportReport) -> None:
    writer = Writer(DatasetFolder(staging), captions=kind, report=report)
    with progress("recordings", len(clips)) as advance:
        for clip in clips:
            writer.add(clip)
            advance()
    if not report.num_soundscapes:
        first = report.rejects[0]
        raise FlamError(
            f"none of the {len(clips)} recordings can be used, the first is {first.origin}: {first.reason}"
            f"{f' ({first.detail})' if first.detail else ''}; say where they are by --audio"
        )
    rejects = dict(Counter(reject.reason for reject in report.rejects).most_common())
    info = {"schema_version": SCHEMA_VERSION, "import": made_from, "rejects": rejects}
    write_json(DatasetFolder(staging).info_path, info)
    writer.finish()


def _is_there(out: Path, made_from: dict[str, Any]) -> bool:
    """Whether the folder holds this import. Raises FlamError for one that holds anything else."""
    if not out.exists() or (out.is_dir() and not any(out.iterdir())):
        return False
    info_path = DatasetFolder(out).info_path
    if info_path.is_file():
        info = read_json(info_path)
        if isinstance(info, dict) and info.get("import") == made_from:
            return True
    raise FlamError(f"{out} is there already and holds something else; use another --out, or delete it")


def _settled(clips: Sequence[Clip], *, root: Path, split: Split | None, annotation: Annotation | None) -> list[Clip]:
    """Clips with the wanted split and annotation, and each with a name of its own: one that is shared gets folders.

    Raises FlamError for a clip without a split, and for one that is there twice.
    """
    shared = Counter(clip.name for clip in clips)
    settled, names = [], set()
    for clip in clips:
        name = clip.name
        if isinstance(clip.recording, Path):
            if shared[name] > 1:
                name = clip.recording.relative_to(root).with_suffix("").as_posix()
            if name in names:
                raise FlamError(
                    f"clip {name} is named by several rows of the set; import one of its label files at a time"
                )
            names.add(name)
        side = split or clip.split
        if side is None:
            raise FlamError(f"nothing says which split {name} is in; say it by --split")
        known = annotation if annotation and clip.spans else clip.annotation
        settled.append(replace(clip, name=name, split=side, annotation=known))
    return settled


@contextlib.contextmanager
def _removed_if_it_fails(staging: Path) -> Iterator[None]:
    """An empty folder but for its lock: without what a killed run left, and without what a failed one leaves."""
    for path in staging.iterdir():
        if path.name != ".lock":
            shutil.rmtree(path) if path.is_dir() else path.unlink()
    try:
        yield
    except BaseException:
        shutil.rmtree(staging, ignore_errors=True)
        raise
