"""Another duration at the same pitch: WSOLA (Verhelst & Roelands, ICASSP 1993), spliced where sox would splice.

Segments of the signal are laid down one after the other, each overlapping the one before. Around the place where a
segment is due, the start is searched at which it continues the one before best: the smallest sum of squared
differences over the overlap, the first of equals. There the two are cross-faded linearly. Lengths and roundings were
measured on sox 14.4.2 (docs/effects.md); the output agrees with it sample for sample.
"""

import math
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float32

from curation.kernels import peak
from manifests.compiled import compiled

_BOX = 8  # samples; an overlap is a whole number of boxes
_TILE = 32  # starts that are compared together
_SLACK = 1 + 1e-4  # more than what rounding does to the sum of an overlap's squares
_ROUNDING = 16 * 2.0**-24  # of two sums over a box, relative to the box's size and the signal's peak


@dataclass(frozen=True, kw_only=True, slots=True)
class Splicing:
    """Lengths in samples."""

    segment: int
    overlap: int  # of two segments; a multiple of 8
    search: int  # starts that are tried, half of them before the place where a segment is due


def splicing(segment_ms: float, *, overlap_ms: float, search_ms: float, sample_rate: float) -> Splicing:
    """Rounded as sox does it: to the nearest sample, the overlap to a multiple of 8, at most half a segment."""
    segment = int(segment_ms * sample_rate / 1000 + 0.5)
    overlap = int(overlap_ms * sample_rate / 1000 + 4.5) // _BOX * _BOX
    return Splicing(
        segment=segment,
        overlap=min(overlap, segment // 2 // _BOX * _BOX),
        search=int(search_ms * sample_rate / 1000 + 0.5),
    )


def splicing_for_pitch(sample_rate: float) -> Splicing:
    """What sox's `pitch` uses at any factor; it is said to suit small changes to music."""
    return splicing(82.0, overlap_ms=12.0, search_ms=14.68, sample_rate=sample_rate)


def splicing_for_tempo(tempo: float, sample_rate: float) -> Splicing:
    """What sox's `tempo -s` uses: shorter segments, the more so the faster."""
    segment_ms = 35.0 / max(tempo**0.33, 1.0)
    return splicing(segment_ms, overlap_ms=segment_ms / 2.5, search_ms=segment_ms / 2.14, sample_rate=sample_rate)


def stretched_length(num_samples: int, tempo: float) -> int:
    """Samples of a signal that is played `tempo` times as fast."""
    return int(num_samples / tempo + 0.5)


def stretched(
    samples: Float32[np.ndarray, " sample"], tempo: float, lengths: Splicing
) -> Float32[np.ndarray, " longer"]:
    """The signal `tempo` times as fast, 0.5 is twice as long; silence is before it and after it."""
    num_out = stretched_length(len(samples), tempo)
    segment, overlap, search = lengths.segment, lengths.overlap, lengths.search
    num_segments = -(-num_out // (segment - overlap)) + 1
    before, after = search // 2, segment + search + _TILE + 2 * _BOX
    size = before + max(len(samples), int(num_segments * (segment - overlap) * tempo)) + after
    padded = np.zeros(size, np.float32)
    padded[before : before + len(samples)] = samples
    margin = _ROUNDING * math.sqrt(overlap) * peak(padded)
    return _spliced(padded, _boxes(padded), num_segments, tempo, segment, overlap, search, margin)[:num_out]


@compiled
def _boxes(signal: Float32[np.ndarray, " sample"]) -> Float32[np.ndarray, " box"]:
    """Sums of eight samples from each sample on."""
    sums = np.empty(len(signal) - _BOX + 1, np.float32)
    for start in range(len(sums)):
        total = np.float32(0)
        for i in range(_BOX):
            total += signal[start + i]
        sums[start] = total
    return sums


@compiled
def _spliced(
    signal: Float32[np.ndarray, " sample"],
    boxes: Float32[np.ndarray, " box"],
    num_segments: int,
    tempo: float,
    segment: int,
    overlap: int,
    search: int,
    margin: float,
) -> Float32[np.ndarray, " out"]:
    """The segments in their places; half a search is before the signal."""
    step = segment - overlap
    out = np.empty((num_segments - 1) * step + segment, np.float32)
    bounds = np.empty(search, np.float32)
    start = search // 2
    out[:segment] = signal[start : start + segment]
    rise = np.float32(1) / np.float32(overlap) * np.arange(overlap).astype(np.float32)
    fall = np.float32(1) - rise
    for index in range(1, num_segments):
        last, due = start + step, int(index * (tempo * step) + 0.5)
        start = due + _best_lag(signal, boxes, last, due, overlap, bounds, margin)
        place = index * step
        faded, old, new = out[place : place + overlap], signal[last : last + overlap], signal[start : start + overlap]
        for i in range(overlap):
            faded[i] = old[i] * fall[i] + new[i] * rise[i]
        out[place + overlap : place + segment] = signal[start + overlap : start + segment]
    return out


@compiled
def _best_lag(
    signal: Float32[np.ndarray, " sample"],
    boxes: Float32[np.ndarray, " box"],
    last: int,
    due: int,
    overlap: int,
    bounds: Float32[np.ndarray, " lag"],
    margin: float,
) -> int:
    """The lag whose overlap from `due + lag` on is nearest to that from `last` on.

    Most are found to be too far by the sums over boxes: their squared differences are never more than 8 times those of
    the samples (Cauchy-Schwarz). They are summed in another order than sox's, so `margin` covers what rounding does.
    """
    _bounds(boxes, last, due, overlap, bounds)
    promising = 0
    for lag in range(len(bounds)):
        if bounds[lag] < bounds[promising]:
            promising = lag
    num_tiles = (len(bounds) + _TILE - 1) // _TILE
    sums = np.empty(_TILE, np.float32)
    best, nearest, limit = len(bounds), np.float32(np.inf), np.float32(np.inf)
    for turn in range(-1, num_tiles):
        tile = promising // _TILE if turn < 0 else turn
        first = tile * _TILE
        if nearest == 0:  # nothing before it is as near: its bound would be 0 too, and the first such was promising
            break
        if turn == promising // _TILE:
            continue
        tried = sums[: min(_TILE, len(bounds) - first)]
        if not _any_within(bounds[first : first + _TILE], limit):
            continue
        if not _distances(signal, last, due + first, overlap, tried, nearest):
            continue
        for i in range(len(tried)):
            if tried[i] < nearest or (tried[i] == nearest and first + i < best):
                nearest, best = tried[i], first + i
        limit = np.float32(_BOX * (math.sqrt(nearest) * _SLACK + margin) ** 2)
    return min(best, len(bounds) - 1)


@compiled
def _any_within(values: Float32[np.ndarray, " value"], limit: np.float32) -> bool:
    """Whether one is not above the limit. All are looked at: that is vectorised."""
    num_within = np.int32(0)
    for i in range(len(values)):
        if values[i] <= limit:
            num_within += np.int32(1)
    return bool(num_within > 0)


@compiled
def _bounds(
    boxes: Float32[np.ndarray, " box"], fixed: int, moving: int, overlap: int, out: Float32[np.ndarray, " lag"]
) -> None:
    """What 8 times the squared differences between the overlaps from `fixed` and from `moving + lag` on are at least.

    Of every eighth sum over a box, as those of `_distances`.
    """
    num_lags = len(out)
    out[:] = 0
    for place in range(0, overlap - 4 * _BOX + 1, 4 * _BOX):
        near = boxes[moving + place : moving + place + num_lags + 3 * _BOX]
        own = boxes[fixed + place : fixed + place + 4 * _BOX]
        for lag in range(num_lags):
            total = out[lag]
            for i in range(0, 4 * _BOX, _BOX):
                apart = own[i] - near[lag + i]
                total += apart * apart
            out[lag] = total


@compiled
def _distances(
    signal: Float32[np.ndarray, " sample"],
    fixed: int,
    moving: int,
    overlap: int,
    out: Float32[np.ndarray, " lag"],
    nearest: np.float32,
) -> bool:
    """Squared differences between the overlaps from `fixed` and from `moving + lag` on, each summed in order.

    All lags side by side: that is vectorised, and rounds as a loop over one overlap does. False as soon as all are
    beyond `nearest`.
    """
    num_lags = len(out)
    out[:] = 0
    for place in range(0, overlap, _BOX):
        near = signal[moving + place : moving + place + num_lags + _BOX]
        own = signal[fixed + place : fixed + place + _BOX]
        for lag in range(num_lags):
            total = out[lag]
            for i in range(_BOX):
                apart = own[i] - near[lag + i]
                total += apart * apart
            out[lag] = total
        if place % (8 * _BOX) == 0 and not _any_within(out, nearest):
            return False
    return True
