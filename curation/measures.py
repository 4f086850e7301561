"""What mixing needs to know of a clip, measured once when the bank is made. A gain only shifts it.

The bank stores it as 32-bit floats: 1e-6 dB.
"""

import functools
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from curation.activity import a_weighted_dbfs
from curation.bands import NUM_BANDS, band_energies, step_peaks
from curation.loops import looped
from curation.loudness import block_powers, starting_energies, step_energies, step_samples
from curation.source_clip import Role

Floats = npt.NDArray[np.floating[Any]]
Stored = npt.NDArray[np.float32]

FADE = 0.01  # seconds, Scaper's: what stored measurements of foregrounds hold for
_NONE = np.zeros(0, np.float32)


class Measures(NamedTuple):
    """Of an event as it is mixed, before its gain, or of a background clip, of which slices of whole steps are used."""

    powers: Floats  # of an event's loudness blocks, by `loudness.block_powers`; of a background none
    levels_dbfs: Floats  # of an event, by `activity.a_weighted_dbfs`; of a background none
    energies: Floats  # of a clip's steps without fades, by `loudness.step_energies`; of an event none
    starts: Floats  # the same by `loudness.starting_energies`
    loop_energies: Floats  # of the loop that a background becomes where it is too short
    loop_starts: Floats
    peaks: Stored  # of steps, without fades, by `bands.step_peaks`
    bands: Stored  # (step, band), by `bands.band_energies`

    def parts(self) -> list[Floats]:
        """All of it as it is stored: one part after another."""
        return [part.reshape(-1) for part in self]

    @classmethod
    def from_parts(cls, values: Stored, start: int, sizes: list[int]) -> "Measures":
        """Views of stored values, given where they start and the size of each part."""
        parts = []
        for size in sizes:
            parts.append(values[start : start + size] if size else _NONE)
            start += size
        parts[-1] = parts[-1].reshape(-1, NUM_BANDS)
        return cls(*parts)


def measure_clip(samples: Floats, role: Role, sample_rate: int) -> Measures:
    """What the bank stores of a clip; of an impulse response nothing, of what is shorter than two fades its bands."""
    if role == "impulse_response":
        return _nothing_but(_NONE, np.zeros((0, NUM_BANDS), np.float32))
    bands, peaks = band_energies(samples, sample_rate), step_peaks(samples, sample_rate)
    energies, starts = step_energies(samples, sample_rate), starting_energies(samples, sample_rate)
    if role == "background":
        loop = np.concatenate(looped(samples, sample_rate))
        # heard twice: the filter must know what comes before the loop's start
        loop_energies = step_energies(np.tile(loop, 2), sample_rate)[len(loop) // step_samples(sample_rate) :]
        loop_starts = starting_energies(loop, sample_rate)
        return Measures(_NONE, _NONE, energies, starts, loop_energies, loop_starts, peaks, bands)
    num_fade = int(FADE * sample_rate)
    if len(samples) < 2 * num_fade:
        return _nothing_but(peaks, bands)
    faded = samples.astype(np.float64)
    fade_ends(faded, quarter_sine(num_fade))
    return measure_event(faded, sample_rate)._replace(energies=energies, starts=starts, peaks=peaks)


def measure_event(faded: Floats, sample_rate: int) -> Measures:
    """Measure a signal whose ends are faded; full scale is 1.0."""
    return _nothing_but(step_peaks(faded, sample_rate), band_energies(faded, sample_rate))._replace(
        powers=block_powers(faded, sample_rate), levels_dbfs=a_weighted_dbfs(faded, sample_rate)
    )


def _nothing_but(peaks: Stored, bands: Stored) -> Measures:
    return Measures(_NONE, _NONE, _NONE, _NONE, _NONE, _NONE, peaks, bands)


def fade_ends(samples: Floats, fade: Floats) -> None:
    """Multiply a signal's start by `fade` and its end by the same backwards, in place, as Scaper does."""
    samples[: len(fade)] *= fade
    samples[len(samples) - len(fade) :] *= fade[::-1]


@functools.lru_cache(maxsize=256)
def quarter_sine(num_samples: int) -> Floats:
    """From 0 to 1, as Scaper's fades are."""
    return np.sin(np.linspace(0, np.pi / 2, num_samples)).astype(np.float32)
