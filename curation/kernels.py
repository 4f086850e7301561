"""The inner loops of mixing, compiled: NumPy would pass over a soundscape's samples a dozen times.

Without fast-math, so that every processor gives the same bits. Samples are float32 here, full scale 1.0, and int16 in
the bank and in the finished soundscape.
"""

from collections.abc import Callable
from typing import Any, TypeVar, cast

import numba
import numpy as np
from jaxtyping import Float32, Float64, Int16, Int64

Function = TypeVar("Function", bound=Callable[..., Any])


def _compiled(function: Function) -> Function:
    """Compiled once for all processes, or for this one where no folder can be written to keep it in."""
    try:
        return cast("Function", numba.njit(cache=True, nogil=True)(function))
    except RuntimeError:
        return cast("Function", numba.njit(nogil=True)(function))


@_compiled
def fill(out: Float32[np.ndarray, " sample"], start: int, pcm: Int16[np.ndarray, " part"], gain: np.float32) -> None:
    """out[start:] = gain * pcm."""
    for i in range(len(pcm)):
        out[start + i] = gain * np.float32(pcm[i])


@_compiled
def add(
    out: Float32[np.ndarray, " sample"],
    start: int,
    pcm: Int16[np.ndarray, " part"],
    gain: np.float32,
    fade: Float32[np.ndarray, " edge"],
) -> None:
    """out[start:] += gain * pcm, whose first samples are multiplied by `fade` and its last by the same backwards."""
    num_samples, num_fade = len(pcm), len(fade)
    for i in range(num_fade):
        out[start + i] += gain * (fade[i] * np.float32(pcm[i]))
    for i in range(num_fade, num_samples - num_fade):
        out[start + i] += gain * np.float32(pcm[i])
    for i in range(num_fade):
        last = num_samples - 1 - i
        out[start + last] += gain * (fade[i] * np.float32(pcm[last]))


@_compiled
def peak(samples: Float32[np.ndarray, " sample"]) -> float:
    """The largest absolute value. Found on the bits, which are in the order of the values: that can be vectorised."""
    bits = samples.view(np.int32)
    largest = np.int32(0)
    for i in range(len(bits)):
        largest = max(largest, bits[i] & np.int32(0x7FFFFFFF))
    return float(np.array([largest], dtype=np.int32).view(np.float32)[0])


@_compiled
def rounded(samples: Float32[np.ndarray, " sample"], gain: np.float32) -> Int16[np.ndarray, " sample"]:
    """gain * samples as int16: to the nearest, to even in the middle, clipped."""
    out = np.empty(len(samples), np.int16)
    scale = gain * np.float32(32768)
    for i in range(len(samples)):
        value = np.rint(samples[i] * scale)
        out[i] = np.int16(min(max(value, np.float32(-32768)), np.float32(32767)))
    return out


@_compiled
def gated_power(powers: Float64[np.ndarray, " block"], gain: float, absolute: float, relative: float) -> float:
    """Mean of the blocks, amplified by `gain` in power, that pass both gates (BS.1770 eq. 5 to 7); 0 if none does.

    Args:
        powers: of the blocks.
        gain: what they are multiplied by.
        absolute: the power that a block has to reach.
        relative: the share of the mean of these that it has to exceed.
    """
    total, count = 0.0, 0
    for power in powers:
        if power * gain >= absolute:
            total += power * gain
            count += 1
    if not count:
        return 0.0
    gate = max(relative * total / count, absolute)
    total, count = 0.0, 0
    for power in powers:
        if power * gain > gate:
            total += power * gain
            count += 1
    return total / count if count else 0.0


@_compiled
def runs_above(
    levels: Float64[np.ndarray, " level"], threshold: float, gap: int, blip: int
) -> Int64[np.ndarray, "run two"]:
    """First level and end of each run above a threshold.

    Gaps of fewer than `gap` levels are filled, then runs of fewer than `blip` are dropped, but the longest if all are.
    """
    runs = np.empty((len(levels) // 2 + 1, 2), np.int64)
    count = 0
    for i in range(len(levels)):
        if not levels[i] > threshold:
            continue
        if count and i - runs[count - 1, 1] < max(gap, 1):
            runs[count - 1, 1] = i + 1
        else:
            runs[count, 0], runs[count, 1] = i, i + 1
            count += 1
    longest, num_kept = 0, 0
    for k in range(count):
        if runs[k, 1] - runs[k, 0] > runs[longest, 1] - runs[longest, 0]:
            longest = k
    first, last = (runs[longest, 0], runs[longest, 1]) if count else (0, 0)
    for k in range(count):
        if runs[k, 1] - runs[k, 0] >= blip:
            runs[num_kept, 0], runs[num_kept, 1] = runs[k, 0], runs[k, 1]
            num_kept += 1
    if count and not num_kept:
        runs[0, 0], runs[0, 1] = first, last
        num_kept = 1
    return runs[:num_kept]
