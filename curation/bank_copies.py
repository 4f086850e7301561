"""Which clips of a bank are copies of others, in whole or in part, and the groups that this makes one."""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from curation.duplicates import same_sounds
from curation.source_clip import SourceClip

Samples = Callable[[SourceClip, int, int], npt.NDArray[np.int16]]  # of a clip, from a sample on, so many


class Unions:
    """Names that become one."""

    def __init__(self) -> None:
        self._joined: dict[str, str] = {}

    def root(self, name: str) -> str:
        """What a name has become."""
        while name in self._joined:
            above = self._joined[name]
            self._joined[name] = self._joined.get(above, above)  # half the way for whoever asks next
            name = above
        return name

    def join(self, name: str, to: str) -> None:
        """Make a name another, and all that has become it, too."""
        if self.root(name) != self.root(to):
            self._joined[self.root(name)] = self.root(to)


def find_copies(
    clips: Sequence[SourceClip], anchors: npt.NDArray[Any], samples: Samples, *, sample_rate: int
) -> list[tuple[int, int]]:
    """Places of clips that share a sound without being identical, as many as make known which groups belong together.

    Two clips of one cluster whose groups are known to belong together already are not compared: nothing would follow.
    Of identical sounds only the first is looked at.
    """
    unions = Unions()
    found = []

    def excerpt(place: int, start: float, stop: float) -> tuple[npt.NDArray[np.floating[Any]], int]:
        first, last = round(start * sample_rate), min(round(stop * sample_rate), clips[place].num_samples)
        return samples(clips[place], first, last - first) / np.float32(32768), sample_rate

    def skip(one: int, other: int) -> bool:
        a, b = clips[one], clips[other]
        return a.cluster == b.cluster and unions.root(a.group) == unions.root(b.group)

    for one, other in same_sounds(anchors[_is_first(clips)[anchors["clip"]]], excerpt, skip=skip):
        unions.join(clips[other].group, clips[one].group)
        found.append((one, other))
    return found


def _is_first(clips: Sequence[SourceClip]) -> npt.NDArray[np.bool_]:
    """Of each clip, whether none before it has the same samples."""
    first = np.zeros(len(clips), bool)
    first[list({clip.source_id[1:]: place for place, clip in reversed(list(enumerate(clips)))}.values())] = True
    return first
