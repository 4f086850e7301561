"""Where the recordings of a set are: found by name in whatever folders they were unpacked to."""

from collections import Counter, defaultdict
from functools import cached_property
from pathlib import Path, PurePath

from curation.sources.listing import sound_files_below, why_refused
from manifests.errors import FlamError

NOT_THERE = "no such recording"
AMBIGUOUS = "several recordings of this name"


class Recordings:
    """The sound files of a folder and of all folders in it. A link that leads out of it is not followed."""

    def __init__(self, root: Path) -> None:
        if not root.is_dir():
            raise FlamError(f"no folder of recordings at {root}; say where they are by --audio")
        self.root = root.resolve()
        self._by_name: dict[str, list[Path]] = defaultdict(list)
        self._by_stem: dict[str, list[Path]] = defaultdict(list)
        for path in sound_files_below(self.root):
            self._by_name[path.name].append(path)
            self._by_stem[path.stem].append(path)

    @cached_property
    def stems(self) -> dict[str, Path]:
        """The first file of each name without its ending."""
        return {stem: paths[0] for stem, paths in self._by_stem.items()}

    def find(self, name: str, *, near: PurePath | str = "") -> Path | str:
        """The file of a name, with this ending or another, or why there is none.

        Args:
            name: with an ending or without; folders before it are left out.
            near: where the set says it is: among several files the one that is in most of these folders is it.
        """
        name = PurePath(name).name
        found = self._by_name.get(name) or self._by_stem.get(name) or self._by_stem.get(PurePath(name).stem, [])
        if not found:
            return NOT_THERE
        folders = Counter(PurePath(near).parts)
        shared = [(Counter(path.relative_to(self.root).parts[:-1]) & folders).total() for path in found]
        best = [path for path, count in zip(found, shared, strict=True) if count == max(shared)]
        return self.checked(best[0]) if len(best) == 1 else AMBIGUOUS

    def checked(self, path: Path) -> Path | str:
        """A file of these, or why it is not used."""
        return why_refused(path, self.origin(path), self.root) or path

    def origin(self, path: Path) -> str:
        """Its place in the folder."""
        return path.relative_to(self.root).as_posix()
