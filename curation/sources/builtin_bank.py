"""The built-in bank as a source: its sounds have an origin instead of a file."""

from pathlib import Path

import numpy as np
import numpy.typing as npt

from curation.builtin import KINDS, synthesise
from curation.source_clip import SourceFile
from curation.sources.listing import Listing, default_cluster

NUM_SOUNDS = {"foreground": 40, "background": 12}  # of each kind
LICENCE = "CC0-1.0"
AUTHOR = "flam-cli"
_SCHEME = "builtin:"


def read() -> Listing:
    """Every sound of every kind."""
    listing = Listing(name="builtin", layout="builtin")
    for kind in KINDS:
        for index in range(NUM_SOUNDS[kind.role]):
            origin = f"{_SCHEME}{kind.label}:{index}"
            file = SourceFile(
                path=Path(origin),
                origin=origin,
                role=kind.role,
                label=kind.label,
                cluster=default_cluster(kind.label),
                group=origin,
                licence=LICENCE,
                author=AUTHOR,
            )
            listing.files.append(file)
    return listing


def is_builtin(file: SourceFile) -> bool:
    """Whether a source is made by code. The paths of real files are absolute."""
    return not file.path.is_absolute()


def render(file: SourceFile, *, seed: int, sample_rate: int) -> npt.NDArray[np.float32]:
    """The sound of a built-in source at `sample_rate` Hz."""
    (kind,) = (kind for kind in KINDS if (kind.role, kind.label) == (file.role, file.label))
    index = int(file.origin.rpartition(":")[2])
    return synthesise(kind, index, seed=seed, sample_rate=sample_rate)
