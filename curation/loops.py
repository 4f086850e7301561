"""Backgrounds that are shorter than a soundscape: repeated, without a click where the loop closes."""

from typing import Any

import numpy as np
import numpy.typing as npt

from curation.loudness import step_samples

_CROSSFADE = 0.05  # at least so many seconds, in which the end passes into the start


def looped(samples: npt.NDArray[Any], sample_rate: int) -> tuple[npt.NDArray[np.float64], npt.NDArray[Any]]:
    """A sound that may be repeated, a whole number of loudness steps long: its start, and what follows.

    Where the loop closes, the sound's end passes into its start with an equal-power crossfade. Full scale is as it was.
    """
    step = step_samples(sample_rate)
    length = (len(samples) - round(_CROSSFADE * sample_rate)) // step * step
    overlap = len(samples) - length
    angle = np.linspace(0, np.pi / 2, overlap)
    head = samples[:overlap] * np.sin(angle) + samples[length:] * np.cos(angle)
    return head, samples[overlap:length]
