"""Plan -> waveform and measured labels, straight from the bank: the fast engine.

It computes what Scaper 1.6.5 computes, in the same order (scaper_engine hands Scaper the same plan,
and a test holds the two together): the gain of a sound follows from the LUFS of the slice that is
used, an event's SNR refers to the background's target LUFS, quarter-sine fades come after the gain,
and a sum that leaves [-1, 1] is scaled to just touch it. It adds in 32-bit floats, Scaper in 64: a
sample may differ by 1 of 32,768.

An event of which nothing rises above the recipe's threshold would be a label without a sound. It is
left out of the mixture and of the labels.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from curation import kernels
from curation.activity import stretches_above
from curation.bank import Bank
from curation.config import Recipe
from curation.loudness import block_powers, gated_lufs, integrated_lufs, step_energies, step_powers, step_samples
from curation.measures import FADE, Measures, fade_ends, measure_event, quarter_sine
from curation.plan import Plan, PlannedBackground, PlannedEvent
from curation.source_clip import SourceClip
from manifests.audio import to_int16
from manifests.errors import FlamError
from manifests.schema import Background, Event, Stretch
from manifests.validate import off_target

Floats = npt.NDArray[np.floating[Any]]
Pcm = npt.NDArray[np.int16]

_Key = tuple[int, int, int]  # a slice: clip, first sample, number of samples

_TO_FLOAT = 1 / 32768  # a power of two: exact
_CROSSFADE = 0.05  # at least so many seconds, in which a looped background's end passes into its start
_CLIPPING_MARGIN = 1e-10  # Scaper's
_CACHED_SLICES = 2048  # about 10 kB each


@dataclass(frozen=True, kw_only=True, slots=True)
class Mixture:
    """A rendered soundscape: samples and the parts of its row that only rendering can tell."""

    samples: Pcm
    background: Background
    events: list[Event]
    num_inaudible: int  # planned events that were left out
    mix_gain_db: float


@dataclass(frozen=True, kw_only=True, slots=True)
class Measured:
    """A sound as it is in the finished mixture. `activity` counts from its own first sample."""

    gain_db: float  # applied to the prepared clip, without the mixture's own gain
    lufs: float
    activity: list[Stretch]


@dataclass(frozen=True, kw_only=True, slots=True)
class Rendered:
    """What an engine makes of a plan."""

    samples: Pcm
    mix_gain: float
    background: Measured
    events: list[Measured]


class Mixer:
    """Renders plans from one bank by one recipe. Remembers what the bank does not hold of its clips."""

    def __init__(self, bank: Bank, recipe: Recipe) -> None:
        self.bank, self.recipe = bank, recipe
        self._fade = quarter_sine(int(recipe.fade * bank.sample_rate))
        self._mixed = np.zeros(0, np.float32)  # used again and again: new memory costs more than the arithmetic
        self._slices: dict[_Key, tuple[float, Measures]] = {}
        self._loops: dict[int, Floats] = {}

    def mix(self, plan: Plan) -> Mixture:
        """A plan's soundscape, rounded once to int16; labels are measured from what was mixed."""
        return finished(plan, self.bank, self._render)

    def _render(self, plan: Plan) -> Rendered:
        pieces = background_pieces(plan, self.bank)
        powers = self._background_powers(plan, pieces)
        background_gain_db = plan.background.lufs - gated_lufs(powers)
        measured = [self._measured(event) for event in plan.events]
        gains_db = [
            plan.background.lufs + event.snr_db - lufs for event, (lufs, _) in zip(plan.events, measured, strict=True)
        ]
        mix_gain = self._mix(plan, pieces, background_gain_db, gains_db)
        lufs = gated_lufs(powers, mix_gain * from_db(background_gain_db))
        return Rendered(
            samples=kernels.rounded(self._mixed, np.float32(mix_gain)),
            mix_gain=mix_gain,
            background=Measured(gain_db=background_gain_db, lufs=lufs, activity=[]),
            events=[
                self._amplified(event, measures, gain_db, mix_gain)
                for event, (_, measures), gain_db in zip(plan.events, measured, gains_db, strict=True)
            ],
        )

    def _mix(self, plan: Plan, pieces: list[Pcm], background_gain_db: float, gains_db: list[float]) -> float:
        """Fill the mixture; gives the factor by which it must be scaled to stay in [-1, 1]."""
        if len(self._mixed) != plan.num_samples:
            self._mixed = np.empty(plan.num_samples, np.float32)
        gain, position = np.float32(from_db(background_gain_db) * _TO_FLOAT), 0
        for piece in pieces:
            kernels.fill(self._mixed, position, piece, gain)
            position += len(piece)
        for event, gain_db in zip(plan.events, gains_db, strict=True):
            pcm = event_pcm(event, self.bank)
            kernels.add(self._mixed, event.start, pcm, np.float32(from_db(gain_db) * _TO_FLOAT), self._fade)
        peak = kernels.peak(self._mixed)
        return 1.0 if peak <= 1 else 1.0 / (peak + _CLIPPING_MARGIN)

    def _background_powers(self, plan: Plan, pieces: list[Pcm]) -> Floats:
        """Of the slice's loudness blocks, from the bank's energies; only its first step has a filter of its own.

        The filter forgets in a tenth of a second what came before (1e-9 is left).
        """
        rate, num_samples = self.bank.sample_rate, plan.num_samples
        step = step_samples(rate)
        if step * 10 != rate or num_samples % step:
            return block_powers(np.concatenate(pieces) * _TO_FLOAT, rate)
        clip = self.bank.clips[plan.background.clip]
        first = plan.background.source_start // step
        if clip.num_samples >= num_samples:
            energies = self.bank.measures(clip).powers[first : first + num_samples // step].copy()
        else:
            energies = np.resize(np.roll(self._loop_energies(plan.background.clip), -first), num_samples // step)
        energies[:1] = step_energies(np.concatenate(_first_pieces(step, pieces)) * _TO_FLOAT, rate)
        return step_powers(energies, rate)

    def _loop_energies(self, clip: int) -> Floats:
        """K-weighted energies of a looped clip's steps, when the filter has heard the loop before."""
        if clip not in self._loops:
            loop = np.concatenate(loop_pieces(self.bank.clips[clip], self.bank))
            energies = step_energies(np.tile(loop, 2) * _TO_FLOAT, self.bank.sample_rate)
            self._loops[clip] = energies[len(energies) // 2 :]
        return self._loops[clip]

    def _measured(self, event: PlannedEvent) -> tuple[float, Measures]:
        """LUFS before the fades, from which the gain follows, and measures after them: the bank's for a whole clip."""
        clip, rate = self.bank.clips[event.clip], self.bank.sample_rate
        if event.num_samples == clip.num_samples and clip.num_powers and self.recipe.fade == FADE:
            return clip.lufs, self.bank.measures(clip)
        key = (event.clip, event.source_start, event.num_samples)
        if key not in self._slices:
            if len(self._slices) >= _CACHED_SLICES:
                self._slices.clear()
            samples = event_pcm(event, self.bank) * _TO_FLOAT
            lufs = integrated_lufs(samples, rate)
            fade_ends(samples, self._fade)
            self._slices[key] = lufs, measure_event(samples, rate)
        return self._slices[key]

    def _amplified(self, event: PlannedEvent, measures: Measures, gain_db: float, mix_gain: float) -> Measured:
        total = mix_gain * from_db(gain_db)
        activity = stretches_above(
            measures.levels_dbfs,
            threshold_dbfs=self.recipe.activity_dbfs - 20 * math.log10(total),
            duration=event.num_samples / self.bank.sample_rate,
        )
        lufs = gated_lufs(measures.powers, total)
        return Measured(gain_db=gain_db, lufs=lufs, activity=activity)


def finished(plan: Plan, bank: Bank, render: Callable[[Plan], Rendered]) -> Mixture:
    """The soundscape that an engine renders from a plan, without the events that are inaudible.

    Without them less may be taken off the mixture to keep it from clipping: it is rendered again.
    """
    audible, rendered = plan, render(plan)
    while silent := [i for i, event in enumerate(rendered.events) if not event.activity]:
        audible = audible.without(silent)
        rendered = render(audible)
    mix_gain_db = 20 * math.log10(rendered.mix_gain)
    background = _background_row(audible.background, rendered.background, bank)
    if wrong := off_target(background, mix_gain_db):
        raise FlamError(
            f"soundscape {plan.index}: the background {background.origin} (source {background.source_id}), taken "
            f"from {background.source_start / bank.sample_rate:g} s on, {wrong}: it is silent there or nearly so; make "
            "the bank without it"
        )
    return Mixture(
        samples=rendered.samples,
        background=background,
        events=[
            _event_row(event, measured, rendered.background, bank)
            for event, measured in zip(audible.events, rendered.events, strict=True)
        ],
        num_inaudible=len(plan.events) - len(audible.events),
        mix_gain_db=mix_gain_db,
    )


def background_pieces(plan: Plan, bank: Bank) -> list[Pcm]:
    """The background's slice, one part after another; a clip shorter than the soundscape is looped."""
    clip, start = bank.clips[plan.background.clip], plan.background.source_start
    if clip.num_samples >= plan.num_samples:
        return [bank.samples(clip, start, plan.num_samples)]
    head, body = loop_pieces(clip, bank)
    start %= len(head) + len(body)
    pieces = [head[start:], body[max(start - len(head), 0) :]]
    missing = plan.num_samples - len(pieces[0]) - len(pieces[1])
    pieces += [head, body] * (missing // (len(head) + len(body)) + 1)
    return _first_pieces(plan.num_samples, pieces)


def loop_pieces(clip: SourceClip, bank: Bank) -> tuple[Pcm, Pcm]:
    """A clip that may be repeated, a whole number of loudness steps long: its start, and what follows.

    Where the loop closes, the clip's end passes into its start with an equal-power crossfade.
    """
    whole, step = bank.samples(clip), step_samples(bank.sample_rate)
    length = (len(whole) - round(_CROSSFADE * bank.sample_rate)) // step * step
    overlap = len(whole) - length
    angle = np.linspace(0, np.pi / 2, overlap)
    head = (whole[:overlap] * np.sin(angle) + whole[length:] * np.cos(angle)) * _TO_FLOAT
    return to_int16(head), whole[overlap:length]


def _first_pieces(num_samples: int, pieces: list[Pcm]) -> list[Pcm]:
    """The pieces up to so many samples."""
    found = []
    for piece in pieces:
        if len(piece) and num_samples:
            found.append(piece[:num_samples])
            num_samples -= len(found[-1])
    return found


def event_pcm(event: PlannedEvent, bank: Bank) -> Pcm:
    """The event's slice, before gain and fades."""
    return bank.samples(bank.clips[event.clip], event.source_start, event.num_samples)


def from_db(gain_db: float) -> float:
    """A gain in dB as a factor, as Scaper computes it."""
    return float(np.exp(gain_db * np.log(10) / 20))


def _background_row(planned: PlannedBackground, measured: Measured, bank: Bank) -> Background:
    clip = bank.clips[planned.clip]
    return Background(
        label=clip.label,
        cluster=clip.cluster,
        contains=clip.contains,
        source_id=clip.source_id,
        source_start=planned.source_start,
        origin=clip.origin,
        origin_start=_origin_start(clip, planned.source_start, bank),
        target_lufs=planned.lufs,
        lufs=measured.lufs,
        gain_db=measured.gain_db,
        licence=clip.licence,
        author=clip.author,
    )


def _event_row(event: PlannedEvent, measured: Measured, background: Measured, bank: Bank) -> Event:
    clip = bank.clips[event.clip]
    onset = event.start / bank.sample_rate
    offset = (event.start + event.num_samples) / bank.sample_rate
    return Event(
        label=clip.label,
        cluster=clip.cluster,
        contains=clip.contains,
        onset=onset,
        offset=offset,
        activity=[
            Stretch(onset=onset + stretch.onset, offset=min(onset + stretch.offset, offset))
            for stretch in measured.activity
        ],
        start=event.start,
        num_samples=event.num_samples,
        source_id=clip.source_id,
        source_start=event.source_start,
        origin=clip.origin,
        origin_start=_origin_start(clip, event.source_start, bank),
        target_snr_db=event.snr_db,
        snr_db=measured.lufs - background.lufs,
        gain_db=measured.gain_db,
        licence=clip.licence,
        author=clip.author,
    )


def _origin_start(clip: SourceClip, source_start: int, bank: Bank) -> int:
    return clip.origin_start + round(source_start * clip.origin_sample_rate / bank.sample_rate)
