"""Integrated loudness (ITU-R BS.1770-4) by Scaper's rule: our LUFS and Scaper's SNR mean the same.

The filters and the gating are pyloudnorm's, which Scaper uses. pyloudnorm sums each block in a
Python loop; here every sample is summed once.
"""

import functools
import math
from typing import Any

import numpy as np
import numpy.typing as npt
import scipy.signal

from curation.kernels import gated_power

Floats = npt.NDArray[np.floating[Any]]
Indices = npt.NDArray[np.intp]

FLOOR_LUFS = -70.0  # what Scaper reports for silence, and BS.1770's absolute gate
_MIN_SECONDS = 0.5  # Scaper repeats a shorter clip until it is this long
_STEPS_PER_SECOND = 10
_BLOCK_SECONDS = 0.4
_STEPS_PER_BLOCK = 4
_OVERLAP = 0.75
_OFFSET = -0.691  # BS.1770 eq. 2, in LU
_FLOOR_POWER = 10 ** ((FLOOR_LUFS - _OFFSET) / 10)
_PIECE = 32768  # samples
_RELATIVE_GATE = 0.1  # -10 LU, BS.1770 eq. 6


def integrated_lufs(samples: Floats, sample_rate: int) -> float:
    """Gated loudness of a mono signal in LUFS, at least -70; full scale is 1.0.

    A signal under 0.5 s is repeated to at least 0.5 s first, as `scaper.audio.get_integrated_lufs`
    does: BS.1770 has no value for less than one block of 0.4 s.
    """
    if not len(samples):
        return FLOOR_LUFS
    return gated_lufs(block_powers(samples, sample_rate))


def block_powers(samples: Floats, sample_rate: int) -> Floats:
    """Mean square of each 0.4-s block after K-weighting, a block every 0.1 s (BS.1770 eq. 3).

    The powers of a signal multiplied by g are these times g squared: no second filtering.
    """
    duration = len(samples) / sample_rate
    if duration < _MIN_SECONDS:
        samples = np.tile(samples, math.ceil(_MIN_SECONDS / duration))
    weighted = _k_weighted(samples, sample_rate)
    edges, first, last = _blocks(len(weighted), sample_rate)
    np.square(weighted, out=weighted)
    sums = np.concatenate([[0.0], np.cumsum(np.add.reduceat(weighted, edges))])
    powers: Floats = (sums[last] - sums[first]) / (_BLOCK_SECONDS * sample_rate)
    return powers


def step_samples(sample_rate: int) -> int:
    """Samples in a step of 0.1 s, at a rate of which a tenth is a whole number; else a little less than that."""
    return sample_rate // _STEPS_PER_SECOND


def step_energies(samples: Floats, sample_rate: int) -> Floats:
    """Sum of squares after K-weighting in each whole step of 0.1 s; before the first there is silence."""
    weighted = _k_weighted(samples, sample_rate)
    return _sums_of_squares(weighted, sample_rate)


def starting_energies(samples: Floats, sample_rate: int) -> Floats:
    """The same for each step as if the signal began with it. It sets a filter that forgets in 0.1 s apart (to 1e-9)."""
    step = step_samples(sample_rate)
    steps = samples[: len(samples) // step * step].reshape(-1, step)
    weighted = scipy.signal.lfilter(*_k_weighting(sample_rate), steps, axis=1)
    return _sums_of_squares(weighted.reshape(-1), sample_rate)


def _sums_of_squares(weighted: Floats, sample_rate: int) -> Floats:
    step = step_samples(sample_rate)
    sums: Floats = np.square(weighted[: len(weighted) // step * step]).reshape(-1, step).sum(axis=1)
    return sums


def step_powers(energies: Floats, sample_rate: int) -> Floats:
    """What `block_powers` gives, from the energies of a signal that is a whole number of steps of just 0.1 s long."""
    sums = np.concatenate([[0.0], np.cumsum(energies)])
    powers: Floats = (sums[_STEPS_PER_BLOCK:] - sums[:-_STEPS_PER_BLOCK]) / (_BLOCK_SECONDS * sample_rate)
    return powers


def gated_lufs(powers: Floats, gain: float = 1.0) -> float:
    """Loudness in LUFS of the blocks that pass both gates (BS.1770 eq. 5 to 7), -70 if none; `gain` is a factor."""
    power = gated_power(powers, gain * gain, _FLOOR_POWER, _RELATIVE_GATE)
    return _OFFSET + 10 * math.log10(power) if power else FLOOR_LUFS


def _k_weighted(samples: Floats, sample_rate: int) -> Floats:
    """In pieces that stay in the processor's cache; the filter's state is carried over."""
    numerator, denominator = _k_weighting(sample_rate)
    weighted = np.empty(len(samples))
    state = np.zeros(len(numerator) - 1)
    for start in range(0, len(samples), _PIECE):
        piece = samples[start : start + _PIECE].astype(np.float64, copy=False)
        filtered, state = scipy.signal.lfilter(numerator, denominator, piece, zi=state)
        weighted[start : start + _PIECE] = filtered
    return weighted


@functools.cache
def _k_weighting(sample_rate: int) -> tuple[Floats, Floats]:
    """Pyloudnorm's 'K-weighting': a high shelf times a high pass, both RBJ cookbook filters.

    One filter of the fourth order takes less time than two, and differs by 1e-12.
    """
    amplitude = 10 ** (4.0 / 40)
    up, down = amplitude + 1, amplitude - 1
    cos, alpha = _angle(1500.0, sample_rate, quality=1 / math.sqrt(2))
    slope = 2 * math.sqrt(amplitude) * alpha
    shelf_b = np.array([up + down * cos + slope, -2 * (down + up * cos), up + down * cos - slope])
    shelf_a = np.array([up - down * cos + slope, 2 * (down - up * cos), up - down * cos - slope])
    cos, alpha = _angle(38.0, sample_rate, quality=0.5)
    pass_b = np.array([(1 + cos) / 2, -(1 + cos), (1 + cos) / 2])
    pass_a = np.array([1 + alpha, -2 * cos, 1 - alpha])
    numerator = _product(amplitude * shelf_b, pass_b)
    denominator = _product(shelf_a, pass_a)
    return numerator / denominator[0], denominator / denominator[0]


def _product(first: Floats, second: Floats) -> Floats:
    """Of two polynomials of the second degree; what np.convolve adds first depends on the processor."""
    terms = np.outer(first, second)[:, ::-1]
    return np.array([terms.trace(offset) for offset in range(2, -3, -1)])


def _angle(frequency_hz: float, sample_rate: int, *, quality: float) -> tuple[float, float]:
    omega = 2 * math.pi * frequency_hz / sample_rate
    return math.cos(omega), math.sin(omega) / (2 * quality)


@functools.lru_cache(maxsize=256)
def _blocks(num_samples: int, sample_rate: int) -> tuple[Indices, Indices, Indices]:
    """The samples at which blocks start or end, and which of these each block starts and ends at.

    The rounding is pyloudnorm's, term by term: another order of the factors can move an edge by
    one sample.
    """
    step = 1.0 - _OVERLAP
    duration = num_samples / sample_rate
    num_blocks = int(np.round((duration - _BLOCK_SECONDS) / (_BLOCK_SECONDS * step))) + 1
    starts = [int(_BLOCK_SECONDS * (j * step) * sample_rate) for j in range(num_blocks)]
    ends = [int(_BLOCK_SECONDS * (j * step + 1) * sample_rate) for j in range(num_blocks)]
    ends = [min(num_samples, end) for end in ends]
    edges = np.unique(np.array([*starts, *ends]))
    # np.add.reduceat sums from each edge to the next; the sum from the last one on is never used
    inside = edges[edges < num_samples]
    return inside, np.searchsorted(edges, starts), np.searchsorted(edges, ends)
