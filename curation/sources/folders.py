"""Folders by role and label, as Scaper's: foreground/LABEL/FILE, background/LABEL/FILE; impulse_response/ROOM/FILE."""

from pathlib import Path

from curation.source_clip import SourceFile
from curation.sources.listing import ALL_ROLES, Listing, default_cluster, default_group, sound_files, visible


def recognises(root: Path) -> bool:
    """Whether a folder has this layout."""
    return any((root / role).is_dir() for role in ALL_ROLES)


def read(root: Path) -> Listing:
    """Every file of every label folder. Nothing is known of who made what: groups are those of `default_group`."""
    root = root.resolve()
    listing = Listing(name=root.name, layout="folders")
    for role in ALL_ROLES:
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
                    group=default_group(root.name, role, folder.name, origin),
                )
                listing.add(file, root=root)
    return listing
