"""Folders by role and label, Scaper's layout: foreground/LABEL/FILE and background/LABEL/FILE."""

from pathlib import Path

from curation.source_clip import SourceFile
from curation.sources.listing import ROLES, Listing, default_cluster, sound_files, visible


def recognises(root: Path) -> bool:
    """Whether a folder has this layout."""
    return any((root / role).is_dir() for role in ROLES)


def read(root: Path) -> Listing:
    """Every file of every label folder. Nothing is known of who made what, so each file is its own group."""
    root = root.resolve()
    listing = Listing(name=root.name, layout="folders")
    for role in ROLES:
        for folder in visible(root / role):
            if listing.refuses(folder, origin=f"{role}/{folder.name}", root=root):
                continue
            for path in sound_files(folder):
                origin = f"{role}/{folder.name}/{path.name}"
                file = SourceFile(
                    path=path,
                    origin=origin,
                    role=role,
                    label=folder.name,
                    cluster=default_cluster(folder.name),
                    group=f"{root.name}/{origin}",
                )
                listing.add(file, root=root)
    return listing
