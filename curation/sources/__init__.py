"""Readers of the dataset layouts that a sound bank can be made from, one file each."""

from collections.abc import Sequence
from pathlib import Path

from curation.sources import builtin_bank, esc50, folders, table
from curation.sources.listing import Listing
from manifests.errors import FlamError

BUILTIN = "builtin"


def list_sources(sources: Sequence[str]) -> list[Listing]:
    """The recordings of each SOURCE: the word `builtin`, a CSV file, an ESC-50 checkout, or folders by role and label.

    Raises FlamError for what the user must mend first: a missing path, an unknown layout, a bad table.
    """
    listings = []
    for source in sources:
        try:
            listings.append(_list_source(source))
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
    if esc50.recognises(path):
        return esc50.read(path)
    if folders.recognises(path):
        return folders.read(path)
    raise FlamError(
        f"{source} is no sound collection that is known here: expected foreground/LABEL/ and background/LABEL/ "
        "folders, an ESC-50 checkout, or a CSV file with the columns path, role and label"
    )
