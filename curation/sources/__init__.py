"""Readers of the dataset layouts that a sound bank can be made from, one file each."""

import functools
from collections.abc import Callable, Sequence
from pathlib import Path

from curation.sources import (
    audioset_strong,
    builtin_bank,
    desed,
    esc50,
    folders,
    fsd50k,
    table,
    unlabelled,
    urbansound8k,
)
from curation.sources.listing import Listing
from manifests.errors import FlamError

BUILTIN = "builtin"
_LAYOUTS: tuple[tuple[Callable[[Path], bool], Callable[[Path], Listing]], ...] = tuple(
    (layout.recognises, layout.read) for layout in (esc50, urbansound8k, fsd50k, folders, desed, audioset_strong)
)


def list_sources(sources: Sequence[str], backgrounds: Sequence[Path] = ()) -> list[Listing]:
    """The recordings of each SOURCE: `builtin`, a CSV file, a collection as published, or folders by role and label.

    Those in the folders `backgrounds` follow, of which nobody knows what they hold. Raises FlamError for what the
    user must mend first: a missing path, an unknown layout, a bad table.
    """
    reads = [(source, functools.partial(_list_source, source)) for source in sources]
    reads += [(str(folder), functools.partial(unlabelled.read, folder)) for folder in backgrounds]
    listings = []
    for source, read in reads:
        try:
            listings.append(read())
        except OSError as error:
            raise FlamError(f"cannot read {error.filename or source}: {error.strerror}; check its rights") from None
    return listings


def _list_source(source: str) -> Listing:
    path = Path(source)
    if source == BUILTIN:
        return builtin_bank.read()
    if not path.exists():
        raise FlamError(f"no such source: {source}; give a folder, a CSV file or the word {BUILTIN}")
    if path.is_file():
        return table.read(path)
    for recognises, read in _LAYOUTS:
        if recognises(path):
            return read(path)
    raise FlamError(
        f"{source} is no sound collection that is known here: expected foreground/LABEL/ and background/LABEL/ "
        "folders, ESC-50, UrbanSound8K, FSD50K, DESED's sound bank or AudioSet's strong labels as published, or a CSV "
        "file with the columns path, role and label"
    )
