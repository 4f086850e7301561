"""What a reader gives back: the recordings that it found, not opened yet, and those that it refused."""

import re
import typing
import unicodedata
from collections.abc import Collection, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from curation.licences import families
from curation.source_clip import Role, SourceFile

ROLES: tuple[Role, ...] = ("foreground", "background")  # that every bank needs
ALL_ROLES: tuple[Role, ...] = typing.get_args(Role)

# What systems, downloads and corpora leave beside the sounds. Hidden files (.DS_Store, ._x) are ignored too.
_NO_SOUND = re.compile(
    r".*(~|\.(bak|cfg|crdownload|csv|db|docx?|gif|html?|ini|jams|jpe?g|jsonl?|lock|log|m3u|md|md5|parquet|part|pdf|png|py"
    r"|sha\d+|tmp|tsv|txt|xml|ya?ml))",
    re.IGNORECASE | re.DOTALL,
)


@dataclass(frozen=True, kw_only=True, slots=True)
class Reject:
    """A recording that the bank cannot use."""

    origin: str
    reason: str  # one of few, for counting
    detail: str  # empty, or what the reason does not say
    bad: bool = True  # False: nothing is wrong with it, it is only not what was asked for


@dataclass(frozen=True, kw_only=True, slots=True)
class Listing:
    """One SOURCE of the bank."""

    name: str  # without the path to it, which differs from machine to machine
    layout: str  # folders | table | builtin, or the name of the reader
    files: list[SourceFile] = field(default_factory=list)
    rejects: list[Reject] = field(default_factory=list)

    def add(self, file: SourceFile, *, root: Path) -> None:
        """Take a recording, unless `refuses` finds a reason not to."""
        if not self.refuses(file.path, origin=file.origin, root=root):
            self.files.append(file)

    def keep_licences(self, wanted: Collection[str]) -> None:
        """Reject what is under another licence than of these families, or under one that nobody knows."""
        kept = []
        for file in self.files:
            found = families(file.licence)
            if found and found <= set(wanted):
                kept.append(file)
                continue
            reason = "licence not wanted" if found else "licence unknown"
            self.rejects.append(Reject(origin=file.origin, reason=reason, detail=file.licence, bad=False))
        self.files[:] = kept

    def refuses(self, path: Path, *, origin: str, root: Path) -> bool:
        """Reject a file or folder that leaves `root`, a resolved path, through a link, or whose name is not Unicode."""
        reason = why_refused(path, origin, root)
        if reason:
            self.rejects.append(Reject(origin=printable(origin), reason=reason, detail=""))
        return bool(reason)


def default_cluster(label: str) -> str:
    """The cluster of a label whose source names none: twins in case or spelling, as Dog-Bark and dog_bark, share it.

    They name one sound: apart, each would be a negative wherever the other is heard. A label in snake case is its own.
    """
    folded = unicodedata.normalize("NFC", unicodedata.normalize("NFD", label).casefold())  # Unicode 3.13, D145
    return re.sub(r"[\s_-]+", "_", folded).strip("_") or label


def default_group(source: str, role: str, label: str, origin: str) -> str:
    """The group of a file of which nothing else is known: itself; of an impulse response its room, by the label."""
    return f"{source}/{role}/{label}" if role == "impulse_response" else f"{source}/{origin}"


def printable(text: str) -> str:
    """A name as text that any file can hold: bytes that are not UTF-8 become escapes."""
    return text.encode("utf-8", "backslashreplace").decode("utf-8")


def sound_files(folder: Path) -> Iterator[Path]:
    """What may be a sound in a folder, by name, in a fixed order."""
    for path in visible(folder):
        if not _NO_SOUND.fullmatch(path.name):
            yield path


def sound_files_below(folder: Path) -> Iterator[Path]:
    """The same for a folder and all folders in it; no link to a folder is followed, it comes out as it is."""
    for path in visible(folder):
        if path.is_dir() and not path.is_symlink():
            yield from sound_files_below(path)
        elif not _NO_SOUND.fullmatch(path.name):
            yield path


def visible(folder: Path) -> Iterator[Path]:
    """All but the hidden entries of a folder, in an order that no file system changes."""
    if folder.is_dir():
        yield from sorted(path for path in folder.iterdir() if not path.name.startswith("."))


def why_refused(path: Path, origin: str, root: Path) -> str:
    """Why a file or folder below `root`, a resolved path, is not used; empty if it is."""
    if printable(origin) != origin:
        return "name is not Unicode"
    try:
        outside = not path.resolve().is_relative_to(root)
    except (OSError, RuntimeError):  # a loop of links is a RuntimeError up to Python 3.12
        return "link that leads nowhere"
    return "link out of its folder" if outside else ""
