"""Clips that hold the same sound, found by their fingerprints and proved by their samples.

Two anchors whose descriptors agree make their clips candidates, and say how these lie to each other. So that no clip
need be compared with all others, descriptors are looked up by thirds: of two that differ in a few signs, one third is
often the same. Then the samples decide. Where two signals are one, the phases of all their frequencies agree at one
lag, and so do the small ups and downs of their spectra; hum agrees with hum at a few frequencies only, and of two
clicks the phases agree but not the spectra.
"""

import itertools
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import scipy.fft
import scipy.ndimage

from curation.fingerprint import HOP, RATE, at_rate

Floats = npt.NDArray[np.floating[Any]]
Rows = npt.NDArray[np.uint32]
Excerpt = Callable[[int, float, float], tuple[Floats, int]]  # clip, seconds from and to -> samples and their rate

ANCHOR = np.dtype([("clip", "<u4"), ("frame", "<u4"), ("descriptor", "<u8")])
MAX_DIFFERENT = 8  # signs of 64
MIN_PHASES, MIN_SPECTRA, MIN_EVIDENCE = 0.55, 0.4, 10.0  # see Likeness; by benchmarks/fingerprint.py
THIRDS = ((0, 22), (22, 21), (43, 21))  # lowest bit and number of bits
_NEIGHBOURS = 64  # descriptors with the same third that each is compared with, the most alike first
_ALIGNMENTS = 3  # of a pair that are tried
_ROWS_AT_ONCE = 2_000_000  # more of them are thinned out at once: of many copies of one sound there is no end
_LONGEST = 8192  # samples at RATE that are compared
_SHORTEST = 200
_MAX_LAG = 256  # samples at RATE by which anchors may be wrong
_FINER = 4  # times, for lags of parts of a sample
_WEAK = 1e-4  # of the strongest frequency's power: what is weaker is noise or nothing
_TREND = 31  # frequencies


@dataclass(frozen=True, kw_only=True, slots=True)
class Likeness:
    """How alike two pieces of sound are, from 0 to 1."""

    phases: float  # agreement of phases at the best lag, over the frequencies that are strong in both
    spectra: float  # correlation of their log spectra without the trend
    evidence: float  # `phases` against what chance would give with so many frequencies: its standard deviations

    @property
    def score(self) -> float:
        """1 or more where one is a copy of the other: the least of the three against what it has to be."""
        return min(self.phases / MIN_PHASES, self.spectra / MIN_SPECTRA, self.evidence / MIN_EVIDENCE)


def same_sounds(
    anchors: npt.NDArray[Any], excerpt: Excerpt, *, skip: Callable[[int, int], bool]
) -> Iterator[tuple[int, int]]:
    """Pairs of clips, the earlier first, that hold the same sound, if only in part, one after another.

    Args:
        anchors: of all clips, as ANCHOR.
        excerpt: samples of a clip.
        skip: pairs of which nobody needs to know, after those found before.
    """
    for pair, found in compared(candidates(anchors), excerpt, skip=skip):
        if found.score >= 1:
            yield pair


def compared(
    rows: Rows, excerpt: Excerpt, *, skip: Callable[[int, int], bool]
) -> Iterator[tuple[tuple[int, int], Likeness]]:
    """Each pair of `candidates`, and how alike it is where it is most alike."""
    starts = np.flatnonzero(_rank_in_pair(rows) == 0)
    for start, stop in itertools.pairwise([*starts.tolist(), len(rows)]):
        one, other = rows[start, :2].tolist()
        if not skip(one, other):
            alignments = rows[start:stop, 2:4].tolist()
            found = (_compare(excerpt, (one, frames[0]), (other, frames[1])) for frames in alignments)
            yield (one, other), max(found, key=lambda likeness: likeness.score)


def likeness(one: Floats, other: Floats, at_one: int, at_other: int) -> Likeness:
    """How alike two sounds at RATE are around the samples of each that should be the same."""
    found = Likeness(phases=0, spectra=0, evidence=0)
    for finer in (1, _FINER):  # the second time without the lag that was found, and if it is worth it
        before = min(at_one, at_other, _LONGEST // 2)
        length = before + min(len(one) - at_one, len(other) - at_other, _LONGEST // 2)
        if before < 0 or length < _SHORTEST:
            return found
        window = np.hanning(length)
        start_one, start_other = at_one - before, at_other - before
        found, lag = _measured(
            scipy.fft.rfft(one[start_one : start_one + length] * window),
            scipy.fft.rfft(other[start_other : start_other + length] * window),
            length,
            finer,
        )
        if found.evidence < MIN_EVIDENCE / 2:
            return found
        at_other -= lag
    return found


def _measured(one: npt.NDArray[Any], other: npt.NDArray[Any], length: int, finer: int) -> tuple[Likeness, int]:
    cross = one * np.conj(other)
    power = np.abs(cross)
    strong = power > _WEAK * power.max()
    count = int(strong.sum())
    size = scipy.fft.next_fast_len(finer * length)
    by_lag = np.abs(scipy.fft.irfft(np.where(strong, cross / np.maximum(power, 1e-30), 0), size)) * size / 2
    reach = min(_MAX_LAG * size // length, size // 2 - 1)
    near = np.concatenate([by_lag[:reach], by_lag[-reach:]])
    at = int(near.argmax())
    phases = float(near[at]) / max(count, 1)
    lag = round((at if at < reach else at - 2 * reach) * length / size)
    found = Likeness(
        phases=phases, spectra=_correlation(one, other, strong), evidence=phases * float(np.sqrt(2 * count))
    )
    return found, lag


def _correlation(one: npt.NDArray[Any], other: npt.NDArray[Any], strong: npt.NDArray[np.bool_]) -> float:
    rests = []
    for spectrum in (one, other):
        log = np.log(np.abs(spectrum) + 1e-12)
        rest = (log - scipy.ndimage.uniform_filter1d(log, _TREND))[strong]
        rests.append(rest - rest.mean() if len(rest) else rest)
    norm = float(np.sqrt(np.dot(rests[0], rests[0]) * np.dot(rests[1], rests[1])))
    return float(np.dot(rests[0], rests[1])) / norm if norm else 0.0


def _compare(excerpt: Excerpt, one: tuple[int, int], other: tuple[int, int]) -> Likeness:
    """Around an anchor of each: a clip and its frame."""
    half = (_LONGEST // 2 + _MAX_LAG) / RATE
    pieces, places = [], []
    for clip, frame in (one, other):
        at = frame * HOP / RATE
        start = max(0.0, at - half)
        pieces.append(at_rate(*excerpt(clip, start, at + half)))
        places.append(round((at - start) * RATE))
    return likeness(pieces[0], pieces[1], places[0], places[1])


def candidates(anchors: npt.NDArray[Any]) -> Rows:
    """Two clips, the earlier first, a frame of each, and how many signs differ there.

    In the order of clips; of each pair the few best alignments, the best first.
    """
    rows, limit = np.zeros((0, 5), np.uint32), _ROWS_AT_ONCE
    for low, bits in THIRDS:
        for found in _agreeing(anchors, low, bits):
            rows = np.concatenate([rows, found])
            if len(rows) > limit:
                rows = _best(rows)
                limit = len(rows) + _ROWS_AT_ONCE
    return _best(rows)


def _best(rows: Rows) -> Rows:
    rows = rows[np.lexsort((rows[:, 3], rows[:, 2], rows[:, 4], rows[:, 1], rows[:, 0]))]
    rows = rows[np.r_[True, (rows[1:] != rows[:-1]).any(axis=1)][: len(rows)]]  # two thirds may find the same
    return rows[_rank_in_pair(rows) < _ALIGNMENTS]


def _rank_in_pair(rows: Rows) -> npt.NDArray[np.intp]:
    """Of sorted rows, how many of the same pair stand before each."""
    starts = np.r_[True, (rows[1:, :2] != rows[:-1, :2]).any(axis=1)][: len(rows)]
    places = np.arange(len(rows))
    return places - np.maximum.accumulate(np.where(starts, places, 0))


def _agreeing(anchors: npt.NDArray[Any], low: int, bits: int) -> Iterator[Rows]:
    # the third in front, so that descriptors that share it stand together, the most alike side by side
    turned = anchors["descriptor"] << np.uint64(64 - low - bits)
    if low + bits < 64:
        turned |= anchors["descriptor"] >> np.uint64(low + bits)
    order = np.argsort(turned, kind="stable")
    turned = turned[order]
    for step in range(1, _NEIGHBOURS + 1):
        differ = turned[step:] ^ turned[:-step]
        places = np.flatnonzero(differ >> np.uint64(64 - bits) == 0)
        if not len(places):
            return
        count = np.bitwise_count(differ[places])
        places, count = places[count <= MAX_DIFFERENT], count[count <= MAX_DIFFERENT]
        one, other = anchors[order[places]], anchors[order[places + step]]
        swap = one["clip"] > other["clip"]
        one, other = np.where(swap, other, one), np.where(swap, one, other)
        rows = np.stack([one["clip"], other["clip"], one["frame"], other["frame"], count.astype(np.uint32)], axis=1)
        yield rows[one["clip"] != other["clip"]]
