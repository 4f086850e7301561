"""Sounds on top of each other, added up a tile at a time: what is added to stays in the processor's cache."""

from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from curation import kernels

Fade = npt.NDArray[np.float32]

_TILE = 1 << 17  # samples


class Layer(NamedTuple):
    """A sound, where it starts, and what it is multiplied by."""

    start: int
    samples: npt.NDArray[Any]  # int16 or float32
    gain: float


class Layers:
    """A mixture to be: parts of a background, one after another, and events with the fades of their ends."""

    def __init__(self, num_samples: int) -> None:
        self.num_samples = num_samples
        self.behind: list[Layer] = []
        self.events: list[tuple[Layer, Fade]] = []

    def peak(self, start: int, stop: int) -> float:
        """The largest absolute value of the sum, from one sample to before another."""
        return max(kernels.peak(tile) for _, tile in self._tiles(start, stop))

    def mix_into(self, out: npt.NDArray[np.int16], gain: float) -> None:
        """out = the sum, full scale 1.0, times a factor, rounded once."""
        if len(out) != self.num_samples:  # compiled loops would write past its end
            raise ValueError(f"an array of {len(out)} samples for a mixture of {self.num_samples}")
        for first, tile in self._tiles(0, self.num_samples):
            kernels.round_into(out[first : first + len(tile)], tile, np.float32(gain))

    def _tiles(self, start: int, stop: int) -> Iterator[tuple[int, npt.NDArray[np.float32]]]:
        """The first sample of each tile, and the sum there; valid until the next is asked for."""
        buffer = np.empty(min(_TILE, stop - start), np.float32)
        for first in range(start, stop, _TILE):
            last = min(first + _TILE, stop)
            tile = buffer[: last - first]
            for place, samples, gain in self.behind:
                begin, end = max(place, first), min(place + len(samples), last)
                if begin < end:
                    kernels.fill(
                        tile[begin - first : end - first], samples[begin - place : end - place], np.float32(gain)
                    )
            for (place, samples, gain), fade in self.events:
                begin, end = max(place, first), min(place + len(samples), last)
                if begin < end:
                    part, there = samples[begin - place : end - place], tile[begin - first : end - first]
                    kernels.add(there, part, np.float32(gain), fade, begin - place, len(samples))
            yield first, tile
