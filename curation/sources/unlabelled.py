"""Recordings without labels as backgrounds: whatever is heard in them, nobody has said it."""

from pathlib import Path

from curation.source_clip import UNLABELLED, SourceFile
from curation.sources.listing import Listing, sound_files_below
from manifests.errors import FlamError


def read(root: Path) -> Listing:
    """Every recording in a folder and the folders in it, each a group of its own."""
    if not root.is_dir():
        raise FlamError(f"no folder of backgrounds at {root}; give one that holds recordings")
    root = root.resolve()
    listing = Listing(name=root.name, layout="unlabelled")
    for path in sound_files_below(root):
        origin = path.relative_to(root).as_posix()
        file = SourceFile(
            path=path,
            origin=origin,
            role="background",
            label=UNLABELLED,
            cluster=UNLABELLED,
            content_known=False,
            group=f"{root.name}/{origin}",
        )
        listing.add(file, root=root)
    if not listing.files:
        raise FlamError(f"no recording in {root} that could be a background; put some there, or leave the option out")
    return listing
