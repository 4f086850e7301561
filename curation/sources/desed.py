"""DESED's sound bank as its authors publish it: audio/train, validation and eval, each with soundbank/foreground/LABEL.

From Freesound, cut by hand; backgrounds from there, YouTube, SINS and TUT. The variants foreground_on_off,
foreground_short and background_long hold the same sounds again and are left out.
"""

import re
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from curation.licences import short_name
from curation.source_clip import Role, SourceFile
from curation.sources.listing import ROLES, Listing, default_cluster, sound_files, visible
from curation.sources.table import TableRow, read_csv

BACKGROUND_LABEL = "domestic_ambience"  # its folders are named by where they come from
_SPLITS = {"train": "train", "validation": "valid", "eval": "test"}
_TABLES = {"train": "license_training.tsv", "validation": "license_training.tsv", "eval": "license_eval.tsv"}
_CUT = re.compile(r"(_nOn)?(_nOff)?$")  # a label's ending where the sound's start or end is not in the recording
_RECORDINGS = {  # what a file's name tells of the recording that it was cut from
    "freesound": re.compile(r"([0-9]+)(_[0-9]+)*"),
    "sins": re.compile(r"DevNode[0-9]+_(ex[0-9]+)_[0-9]+"),  # a session, which several nodes recorded
    "tut": re.compile(r"([a-z][0-9]+)_[0-9]+_[0-9]+"),
}


@dataclass(frozen=True, kw_only=True, slots=True)
class _Found:
    """A file of the sound bank, and what its place says of it."""

    path: Path
    role: Role
    folder: str
    part: str
    group: str
    row: TableRow | None  # of the table of licences


def recognises(root: Path) -> bool:
    """Whether a folder has this layout, with any of its parts."""
    return any(_soundbank(root, part).is_dir() for part in _SPLITS)


def read(root: Path) -> Listing:
    """Every file of foreground/ and background/, on the side that DESED has it on, grouped by recording.

    Its parts were divided file by file. Pieces of one foreground recording on two sides all go to the later one of
    train, valid and test; pieces of such a background recording have no side, and the bank divides these recordings.
    """
    root = root.resolve()
    listing = Listing(name=root.name, layout="desed")
    tables = {name: _licences(root / name) for name in set(_TABLES.values())}
    files = [file for part in _SPLITS for role in ROLES for file in _files(listing, root, part, role, tables)]
    parts: dict[str, set[str]] = defaultdict(set)
    for file in files:
        parts[file.group].add(file.part)
    for file in files:
        listing.add(_source_file(file, root, parts[file.group]), root=root)
    return listing


def _files(
    listing: Listing, root: Path, part: str, role: Role, tables: Mapping[str, Mapping[str, TableRow]]
) -> list[_Found]:
    rows, found = tables[_TABLES[part]], []
    for folder in visible(_soundbank(root, part) / role):
        if listing.refuses(folder, origin=folder.relative_to(root).as_posix(), root=root):
            continue
        for path in sound_files(folder):
            row = rows.get(path.name)
            group = _group(path, root, row)
            found.append(_Found(path=path, role=role, folder=folder.name, part=part, group=group, row=row))
    return found


def _source_file(file: _Found, root: Path, parts: set[str]) -> SourceFile:
    label = BACKGROUND_LABEL if file.role == "background" else _CUT.sub("", file.folder) or file.folder
    last = max(parts, key=list(_SPLITS).index)
    return SourceFile(
        path=file.path,
        origin=file.path.relative_to(root).as_posix(),
        role=file.role,
        label=label,
        cluster=default_cluster(label),
        group=file.group,
        split=None if len(parts) > 1 and file.role == "background" else _SPLITS[last],
        licence=short_name(file.row.get("license")) if file.row else "",
        author=file.row.get("username") if file.row else "",
    )


def _group(path: Path, root: Path, row: TableRow | None) -> str:
    if row and row.get("id"):
        return f"{row.get('dataset').lower() or 'freesound'}:{row.get('id')}"
    for corpus, pattern in _RECORDINGS.items():
        if found := pattern.fullmatch(path.stem):
            return f"{corpus}:{found[1]}"
    return f"{root.name}/{path.name}"


def _licences(path: Path) -> dict[str, TableRow]:
    """The rows of a table of licences by file name: its paths are those of its author's machine."""
    if not path.is_file():
        return {}
    rows = read_csv(path, required=("filename", "id", "license", "username"), delimiter="\t")
    return {row["filename"].replace("\\", "/").rpartition("/")[2]: row for row in rows}


def _soundbank(root: Path, part: str) -> Path:
    return root / "audio" / part / "soundbank"
