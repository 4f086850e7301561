"""The background of a soundscape before its gain: its samples, and what the bank or a measurement knows of them."""

import math
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from curation import kernels
from curation.bands import Energies, band_energies, step_length
from curation.bank import Bank
from curation.filters import band_limited
from curation.loops import looped
from curation.loudness import block_powers, step_powers, step_samples
from curation.measures import Measures
from curation.plan import Plan
from curation.source_clip import SourceClip

Floats = npt.NDArray[np.floating[Any]]
Pcm = npt.NDArray[np.int16]
Sound = npt.NDArray[Any]  # int16 as in the bank, or float32; full scale 32768
Loop = tuple[npt.NDArray[np.float32], Pcm]

_HIGHEST_PEAK = math.sqrt(2)  # of what no filter changed: where a loop closes, if its end and its start are alike
_TO_FLOAT = 1 / 32768  # a power of two: exact
_KNOWN_LOOPS = 1024  # about 10 kB each


class Behind(NamedTuple):
    """A background before its gain."""

    powers: Floats  # of its loudness blocks
    bands: Energies
    peak: float  # at most
    samples: npt.NDArray[np.float32] | None  # as a microphone left it, full scale 1.0; None: as it is in the bank


class Backgrounds:
    """Measures the backgrounds of plans. Remembers the loops of short clips."""

    def __init__(self, bank: Bank) -> None:
        self.bank = bank
        self._loops: dict[int, Loop] = {}

    def behind(self, plan: Plan) -> Behind:
        """What is known of a plan's background."""
        if plan.microphone is None:
            measures = self.bank.measures(self.bank.clips[plan.background.clip])
            return Behind(
                powers=self._powers(plan, measures),
                bands=self._bands(plan, measures),
                peak=_HIGHEST_PEAK,
                samples=None,
            )
        samples = band_limited(
            np.concatenate(self.pieces(plan)) * np.float32(_TO_FLOAT),
            low_hz=plan.microphone.low_hz,
            high_hz=plan.microphone.high_hz,
            sample_rate=self.bank.sample_rate,
        )
        return Behind(
            powers=block_powers(samples, self.bank.sample_rate),
            bands=band_energies(samples, self.bank.sample_rate),
            peak=kernels.peak(samples),
            samples=samples,
        )

    def _powers(self, plan: Plan, measures: Measures) -> Floats:
        """Of the slice's loudness blocks, from the bank's energies."""
        rate, num_samples = self.bank.sample_rate, plan.num_samples
        step = step_samples(rate)
        if step * 10 != rate or num_samples % step:
            return block_powers(np.concatenate(self.pieces(plan)) * _TO_FLOAT, rate)
        first, num_steps = plan.background.source_start // step, num_samples // step
        if self.bank.clips[plan.background.clip].num_samples >= num_samples:
            energies = measures.energies[first : first + num_steps].astype(np.float64)
            energies[0] = measures.starts[first]
        else:
            first %= len(measures.loop_energies)
            energies = np.resize(np.roll(measures.loop_energies, -first), num_steps).astype(np.float64)
            energies[0] = measures.loop_starts[first]
        return step_powers(energies, rate)

    def _bands(self, plan: Plan, measures: Measures) -> Energies:
        step = step_length(self.bank.sample_rate)
        first, num_steps = round(plan.background.source_start / step), -(-plan.num_samples // step)
        if self.bank.clips[plan.background.clip].num_samples >= plan.num_samples:
            return measures.bands[first : first + num_steps]
        loop = measures.bands[: len(measures.loop_energies) * step_samples(self.bank.sample_rate) // step]
        return np.take(loop, np.arange(first, first + num_steps), axis=0, mode="wrap")

    def pieces(self, plan: Plan) -> list[Sound]:
        """As `background_pieces`."""
        clip = plan.background.clip
        if self.bank.clips[clip].num_samples >= plan.num_samples:
            return background_pieces(plan, self.bank)
        if clip not in self._loops:
            if len(self._loops) >= _KNOWN_LOOPS:
                self._loops.clear()
            self._loops[clip] = loop_pieces(self.bank.clips[clip], self.bank)
        return background_pieces(plan, self.bank, self._loops[clip])


def background_pieces(plan: Plan, bank: Bank, loop: Loop | None = None) -> list[Sound]:
    """The background's slice, one part after another; a clip shorter than the soundscape is looped. Full scale 32768.

    Args:
        plan: of the soundscape.
        bank: of the clip.
        loop: the clip's `loop_pieces`, if they are at hand.
    """
    clip, start = bank.clips[plan.background.clip], plan.background.source_start
    if clip.num_samples >= plan.num_samples:
        return [bank.samples(clip, start, plan.num_samples)]
    head, body = loop or loop_pieces(clip, bank)
    start %= len(head) + len(body)
    pieces: list[Sound] = [head[start:], body[max(start - len(head), 0) :]]
    missing = plan.num_samples - len(pieces[0]) - len(pieces[1])
    pieces += [head, body] * (missing // (len(head) + len(body)) + 1)
    return _first_pieces(plan.num_samples, pieces)


def loop_pieces(clip: SourceClip, bank: Bank) -> Loop:
    """A clip as a loop: its start, into which its end passes and which may exceed full scale, and what follows."""
    head, body = looped(bank.samples(clip), bank.sample_rate)
    return head.astype(np.float32), body


def _first_pieces(num_samples: int, pieces: list[Sound]) -> list[Sound]:
    """The pieces up to so many samples."""
    found = []
    for piece in pieces:
        if len(piece) and num_samples:
            found.append(piece[:num_samples])
            num_samples -= len(found[-1])
    return found
