"""What mixing needs to know of a clip, measured once when the bank is made. A gain only shifts it.

Of a foreground clip, as it is with its ends faded: the power of its loudness blocks and its A-weighted levels. Of a
background clip, of which slices of whole tenths of a second are used: the K-weighted energy of each tenth.
"""

import functools
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from curation.activity import a_weighted_dbfs
from curation.loudness import block_powers, step_energies
from curation.source_clip import Role

Floats = npt.NDArray[np.floating[Any]]

FADE = 0.01  # seconds, Scaper's: what stored measurements of foregrounds hold for


@dataclass(frozen=True, kw_only=True, slots=True)
class Measures:
    """Of an event as it is mixed, before its gain, or of a background clip."""

    powers: Floats  # of blocks, by `loudness.block_powers`; of a background energies, by `loudness.step_energies`
    levels_dbfs: Floats  # by `activity.a_weighted_dbfs`; of a background none


def measure_clip(samples: Floats, role: Role, sample_rate: int) -> Measures:
    """What the bank stores of a clip; nothing of a foreground clip that is shorter than two fades."""
    if role == "background":
        return Measures(powers=step_energies(samples, sample_rate), levels_dbfs=np.zeros(0))
    num_fade = int(FADE * sample_rate)
    if len(samples) < 2 * num_fade:
        return Measures(powers=np.zeros(0), levels_dbfs=np.zeros(0))
    faded = samples.astype(np.float64)
    fade_ends(faded, quarter_sine(num_fade))
    return measure_event(faded, sample_rate)


def measure_event(faded: Floats, sample_rate: int) -> Measures:
    """Measure a signal whose ends are faded; full scale is 1.0."""
    return Measures(powers=block_powers(faded, sample_rate), levels_dbfs=a_weighted_dbfs(faded, sample_rate))


def fade_ends(samples: Floats, fade: Floats) -> None:
    """Multiply a signal's start by `fade` and its end by the same backwards, in place, as Scaper does."""
    samples[: len(fade)] *= fade
    samples[len(samples) - len(fade) :] *= fade[::-1]


@functools.cache
def quarter_sine(num_samples: int) -> Floats:
    """From 0 to 1, as Scaper's fades are."""
    return np.sin(np.linspace(0, np.pi / 2, num_samples)).astype(np.float32)
