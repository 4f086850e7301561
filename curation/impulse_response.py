"""Impulse responses of rooms: from the direct sound on, to where nothing of it is left."""

import numpy as np
import numpy.typing as npt

from manifests.audio import resample

BEFORE_PEAK = 0.001  # seconds
LONGEST = 4.0  # seconds after the peak
_FADED = 10 ** (-60 / 20)  # of the peak: what stays below is cut

Audio = npt.NDArray[np.float32]


def cut_response(channels: Audio, origin_rate: int, sample_rate: int) -> tuple[Audio, int]:
    """One channel at `sample_rate`, cut, and where it begins, in samples of `channels`; empty where it is silent.

    The first channel: the mean of two microphones would be a room that nobody was ever in.
    """
    original = np.ascontiguousarray(channels[:, 0])
    peak = int(np.abs(original).argmax())  # before a lower rate makes the direct sound softer than what follows
    origin_start = max(0, peak - round(BEFORE_PEAK * origin_rate))
    response = resample(original, origin_rate, sample_rate)[round(origin_start * sample_rate / origin_rate) :]
    levels = np.abs(response[: round((BEFORE_PEAK + LONGEST) * sample_rate)])
    if not levels.any():
        return response[:0], 0
    return response[: int(np.flatnonzero(levels >= _FADED * levels.max())[-1]) + 1], origin_start
