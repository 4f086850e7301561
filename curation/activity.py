"""Where a sound is active, from its own signal: FLAM's relabelling of its events (2505.05335, C.4).

The level is the A-weighted RMS of a centred 50-ms window, taken every 5 ms. Level k describes the
5 ms from k * HOP to (k + 1) * HOP (as in manifests.frames), its window is centred on their middle,
and there is silence before and after the signal. So an abrupt onset far above the threshold is
placed up to 25 ms early, an abrupt end up to 25 ms late, and one that is just 3 dB above is placed
exactly; a stretch never leaves the signal.

0 dBFS is the level of a square wave at full scale (RMS 1.0); a full-scale sine at 1 kHz reads
-3.01 dBFS.
"""

import functools
from typing import Any

import numpy as np
import numpy.typing as npt
import scipy.fft

from curation.kernels import runs_above
from manifests.frames import MAX_GAP
from manifests.schema import Stretch

Floats = npt.NDArray[np.floating[Any]]
Runs = npt.NDArray[np.int64]  # (run, 2): first and end, in levels

HOP = 0.005  # seconds from one level to the next
WINDOW = 0.05  # seconds
MIN_BLIP = 0.04  # seconds; shorter stretches are dropped then
_MAX_GAP_LEVELS, _MIN_BLIP_LEVELS = round(MAX_GAP / HOP), round(MIN_BLIP / HOP)
_POLES_HZ = (20.598997, 107.65265, 737.86223, 12194.217)  # IEC 61672-1, annex E
_BLOCKS_AT_ONCE = 8
_SILENCE = 1e-20  # mean square; keeps the logarithm finite


def active_stretches(samples: Floats, sample_rate: int, *, threshold_dbfs: float) -> list[Stretch]:
    """Spans in seconds in which a sound rises above a threshold; empty only if it never does."""
    levels = a_weighted_dbfs(samples, sample_rate)
    return stretches_of(active_runs(levels, threshold_dbfs=threshold_dbfs), duration=len(samples) / sample_rate)


def a_weighted_dbfs(samples: Floats, sample_rate: int) -> Floats:
    """A-weighted level in dBFS for each 5 ms of a signal, of the 50 ms around; -200 for silence."""
    num_levels = int(np.ceil(len(samples) / sample_rate / HOP - 1e-6))
    if num_levels == 0:
        return np.zeros(0)
    weighted = a_weighted(samples, sample_rate)
    np.square(weighted, out=weighted)
    reach = round(WINDOW / HOP)  # a window reaches so many cells of half a hop from its centre
    num_cells = 2 * num_levels
    edges = np.rint(np.arange(num_cells + 1) * (HOP / 2 * sample_rate)).astype(np.int64)
    edges = np.minimum(edges, len(samples))
    inside = edges[:-1] < len(samples)
    cells = np.zeros(num_cells + 2 * reach)
    cells[reach:-reach][inside] = np.add.reduceat(weighted, edges[:-1][inside])
    # Level k is centred on the edge after cell 2k: its window spans the 2 * reach cells around.
    windows = np.lib.stride_tricks.sliding_window_view(cells, 2 * reach)[1 : num_cells + 1 : 2]
    mean_squares: Floats = windows.sum(axis=1) / (WINDOW * sample_rate)
    return np.asarray(10 * np.log10(np.maximum(mean_squares, _SILENCE)))


def active_runs(levels: Floats, *, threshold_dbfs: float) -> Runs:
    """First level and end of each run of levels above a threshold.

    Gaps under 200 ms are filled, then blips under 40 ms are dropped; if all are blips, the longest is kept.
    """
    return runs_above(levels, threshold_dbfs, _MAX_GAP_LEVELS, _MIN_BLIP_LEVELS)


def stretches_of(runs: Runs, *, duration: float) -> list[Stretch]:
    """Runs in seconds; `duration` is the signal's: no stretch ends after it."""
    return [Stretch(onset=start * HOP, offset=min(end * HOP, duration)) for start, end in runs.tolist()]


def a_weighted(samples: Floats, sample_rate: int) -> Floats:
    """The signal A-weighted by IEC 61672's frequency response, without any delay.

    Done in blocks that overlap (overlap-save), at each side by an eighth of their length: within
    these 30 ms the response's impulse has faded to -100 dB. A few blocks at a time stay in the
    processor's cache.
    """
    response = _a_response(sample_rate)
    size = 2 * (len(response) - 1)
    margin = size // 8
    step = size - 2 * margin
    num_blocks = -(-len(samples) // step)
    padded = np.zeros((num_blocks - 1) * step + size, np.float32)
    padded[margin : margin + len(samples)] = samples
    blocks = np.lib.stride_tricks.sliding_window_view(padded, size)[::step]
    weighted = np.empty((num_blocks, step), np.float32)
    for first in range(0, num_blocks, _BLOCKS_AT_ONCE):
        spectrum = scipy.fft.rfft(blocks[first : first + _BLOCKS_AT_ONCE], axis=1)
        spectrum *= response
        filtered = scipy.fft.irfft(spectrum, n=size, axis=1, overwrite_x=True)
        weighted[first : first + _BLOCKS_AT_ONCE] = filtered[:, margin : margin + step]
    return weighted.reshape(-1)[: len(samples)]


@functools.cache
def _a_response(sample_rate: int) -> Floats:
    """Gain of the A-weighting, 1.0 at 1 kHz, at the bins of a transform of 0.25 s or more."""
    size = 1 << int(np.ceil(np.log2(0.25 * sample_rate)))
    return a_weighting(scipy.fft.rfftfreq(size, 1 / sample_rate)).astype(np.float32)


def a_weighting(frequencies_hz: Floats) -> Floats:
    """Gain of the A-weighting at these frequencies, as a factor; 1.0 at 1 kHz."""
    return np.asarray(_a_gain(frequencies_hz) / _a_gain(np.array(1000.0)))


def _a_gain(frequency_hz: Floats) -> Floats:
    squared = np.square(frequency_hz)
    low, mid_1, mid_2, high = (pole_hz**2 for pole_hz in _POLES_HZ)
    middle = np.sqrt((squared + mid_1) * (squared + mid_2))
    return np.asarray(high * squared**2 / ((squared + low) * middle * (squared + high)))
