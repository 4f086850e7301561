"""Plan -> waveform and measured labels, straight from the bank: the fast engine.

It computes what Scaper 1.6.5 computes, in the same order (scaper_engine hands Scaper the same plan,
and a test holds the two together): the gain of a sound follows from the LUFS of the slice that is
used, an event's SNR refers to the background's target LUFS, quarter-sine fades come after the gain,
and a sum that leaves [-1, 1] is scaled to just touch it. It adds in 32-bit floats, Scaper in 64: a
sample may differ by 1 of 32,768.

Labels come first, from what the bank knows of its clips; audio is mixed when it is asked for, or where only the
mixture itself tells whether it would clip.
"""

import math
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from curation import kernels
from curation.activity import active_runs
from curation.bands import band_energies, step_length
from curation.bank import Bank
from curation.config import Recipe
from curation.effects import EventEffects, processed
from curation.filters import band_limited
from curation.loops import looped
from curation.loudness import block_powers, gated_lufs, integrated_lufs, step_powers, step_samples
from curation.measures import FADE, Measures, fade_ends, measure_event, quarter_sine
from curation.plan import Plan, PlannedEvent, PlannedMicrophone, PlannedRoom
from curation.rendered import Energies, Measured, Mixture, Rendered, finished
from curation.rooms import reverberated, synthetic_room
from curation.slices import measured_slice
from curation.source_clip import SourceClip

Floats = npt.NDArray[np.floating[Any]]
Pcm = npt.NDArray[np.int16]
Sound = npt.NDArray[Any]  # int16 as in the bank, or float32
Loop = tuple[npt.NDArray[np.float32], Pcm]

_Key = tuple[int, int, int]  # a slice: clip, first sample, number of samples

_TO_FLOAT = 1 / 32768  # a power of two: exact
_PER_DB = math.log(10) / 20
_CLIPPING_MARGIN = 1e-10  # Scaper's
_LOOP_PEAK = math.sqrt(2)  # where it closes, if its end and its start are alike
_SURELY_BELOW = 0.999  # a sum of peaks under this does not reach 1 by rounding
_KNOWN_CLIPS = 8192  # about 1 kB each
_KNOWN_SLICES = 64  # about 50 kB each
_KNOWN_LOOPS = 1024  # about 10 kB each
_KNOWN_PROCESSED = 32  # up to a megabyte each
_PLAIN = EventEffects()
_NO_RUNS = np.zeros((0, 2), np.int64)


class _Heard(NamedTuple):
    """A sound before its gain."""

    lufs: float  # before its fades
    measures: Measures  # with them
    peak: float  # at most
    samples: npt.NDArray[np.float32] | None  # as effects left it; None: as it is in the bank


class _Behind(NamedTuple):
    """A background before its gain."""

    powers: Floats  # of its loudness blocks
    bands: Energies
    samples: npt.NDArray[np.float32] | None


class Mixer:
    """Renders plans from one bank by one recipe. Remembers what the bank does not hold of its clips."""

    def __init__(self, bank: Bank, recipe: Recipe) -> None:
        self.bank, self.recipe = bank, recipe
        self._fade = quarter_sine(int(recipe.fade * bank.sample_rate))
        self._mixed = np.zeros(0, np.float32)  # used again and again: new memory costs more than the arithmetic
        self._clips: dict[int, _Heard] = {}
        self._slices: dict[_Key, _Heard] = {}
        self._loops: dict[int, Loop] = {}
        self._processed: dict[tuple[int, int, int, int, EventEffects], _Heard] = {}  # of one room and microphone
        self._processed_of: tuple[PlannedRoom | None, PlannedMicrophone | None] = None, None
        self._room: tuple[PlannedRoom | None, npt.NDArray[np.float32]] = None, np.zeros(0, np.float32)  # the last one

    def mix(self, plan: Plan, *, audio: bool = True) -> Mixture:
        """A plan's soundscape, rounded once to int16, and labels measured from what is mixed; or the labels alone."""
        return finished(plan, self.bank, self.recipe, self._render, audio=audio)

    def _render(self, plan: Plan) -> Rendered:
        behind = self._behind(plan)
        behind_db = plan.background.lufs - gated_lufs(behind.powers)
        heard = [self._heard(event, plan) for event in plan.events]
        gains_db = [
            plan.background.lufs + event.snr_db - sound.lufs for event, sound in zip(plan.events, heard, strict=True)
        ]
        gains = [from_db(gain_db) for gain_db in gains_db]
        mix_gain, is_mixed = 1.0, False
        if _highest_peak(plan, from_db(behind_db), gains, heard) > _SURELY_BELOW:
            self._mix(plan, behind, from_db(behind_db), heard, gains)
            peak, is_mixed = kernels.peak(self._mixed), True
            mix_gain = 1.0 if peak <= 1 else 1.0 / (peak + _CLIPPING_MARGIN)

        def samples() -> Pcm:
            if not is_mixed:
                self._mix(plan, behind, from_db(behind_db), heard, gains)
            return kernels.rounded(self._mixed, np.float32(mix_gain))

        factor = mix_gain * from_db(behind_db)
        return Rendered(
            samples=samples,
            mix_gain=mix_gain,
            background=Measured(
                gain_db=behind_db,
                lufs=gated_lufs(behind.powers, factor),
                runs=_NO_RUNS,
                bands=behind.bands,
                factor=factor,
            ),
            events=[
                self._amplified(sound.measures, gain_db, mix_gain * gain)
                for sound, gain_db, gain in zip(heard, gains_db, gains, strict=True)
            ],
        )

    def _mix(self, plan: Plan, behind: _Behind, behind_gain: float, heard: list[_Heard], gains: list[float]) -> None:
        """Fill the mixture."""
        if len(self._mixed) != plan.num_samples:
            self._mixed = np.empty(plan.num_samples, np.float32)
        if behind.samples is not None:
            kernels.fill(self._mixed, behind.samples, np.float32(behind_gain))
        else:
            position = 0
            for piece in self._pieces(plan):
                kernels.fill(self._mixed[position : position + len(piece)], piece, np.float32(behind_gain * _TO_FLOAT))
                position += len(piece)
        for event, sound, gain in zip(plan.events, heard, gains, strict=True):
            part = self._mixed[event.start : event.start + event.num_samples]
            if sound.samples is not None:
                kernels.add(part, sound.samples, np.float32(gain), self._fade)
            else:
                kernels.add(part, event_pcm(event, self.bank), np.float32(gain * _TO_FLOAT), self._fade)

    def _pieces(self, plan: Plan) -> list[Sound]:
        clip = plan.background.clip
        if self.bank.clips[clip].num_samples >= plan.num_samples:
            return background_pieces(plan, self.bank)
        if clip not in self._loops:
            _make_room(self._loops, _KNOWN_LOOPS)
            self._loops[clip] = loop_pieces(self.bank.clips[clip], self.bank)
        return background_pieces(plan, self.bank, self._loops[clip])

    def _behind(self, plan: Plan) -> _Behind:
        if plan.microphone is None:
            return _Behind(powers=self._background_powers(plan), bands=self._background_bands(plan), samples=None)
        samples = band_limited(
            np.concatenate(self._pieces(plan)) * np.float32(_TO_FLOAT),
            low_hz=plan.microphone.low_hz,
            high_hz=plan.microphone.high_hz,
            sample_rate=self.bank.sample_rate,
        )
        return _Behind(
            powers=block_powers(samples, self.bank.sample_rate),
            bands=band_energies(samples, self.bank.sample_rate),
            samples=samples,
        )

    def _background_powers(self, plan: Plan) -> Floats:
        """Of the slice's loudness blocks, from the bank's energies."""
        rate, num_samples = self.bank.sample_rate, plan.num_samples
        step = step_samples(rate)
        if step * 10 != rate or num_samples % step:
            return block_powers(np.concatenate(self._pieces(plan)) * _TO_FLOAT, rate)
        clip = self.bank.clips[plan.background.clip]
        measures, first, num_steps = self.bank.measures(clip), plan.background.source_start // step, num_samples // step
        if clip.num_samples >= num_samples:
            energies = measures.energies[first : first + num_steps].astype(np.float64)
            energies[0] = measures.starts[first]
        else:
            first %= len(measures.loop_energies)
            energies = np.resize(np.roll(measures.loop_energies, -first), num_steps).astype(np.float64)
            energies[0] = measures.loop_starts[first]
        return step_powers(energies, rate)

    def _background_bands(self, plan: Plan) -> Energies:
        clip, step = self.bank.clips[plan.background.clip], step_length(self.bank.sample_rate)
        bands, first = self.bank.measures(clip).bands, round(plan.background.source_start / step)
        num_steps = -(-plan.num_samples // step)
        if clip.num_samples >= plan.num_samples:
            return bands[first : first + num_steps]
        loop = bands[: len(self.bank.measures(clip).loop_energies) * step_samples(self.bank.sample_rate) // step]
        return np.take(loop, np.arange(first, first + num_steps), axis=0, mode="wrap")

    def _heard(self, event: PlannedEvent, plan: Plan) -> _Heard:
        """Measured before its gain, from which that follows: by the bank for a whole clip as it is."""
        if plan.room is not None or plan.microphone is not None or event.effects != _PLAIN:
            return self._heard_processed(event, plan)
        clip = self.bank.clips[event.clip]
        if event.num_samples == clip.num_samples and self.recipe.fade == FADE:
            if event.clip not in self._clips:
                _make_room(self._clips, _KNOWN_CLIPS)
                measures = self.bank.measures(clip)
                is_measured = len(measures.powers) > 0  # not if it is shorter than two fades
                known = _Heard(lufs=clip.lufs, measures=measures, peak=1.0, samples=None)
                self._clips[event.clip] = known if is_measured else self._heard_slice(event)
            return self._clips[event.clip]
        key = (event.clip, event.source_start, event.num_samples)
        if key not in self._slices:
            _make_room(self._slices, _KNOWN_SLICES)
            self._slices[key] = self._heard_slice(event)
        return self._slices[key]

    def _heard_processed(self, event: PlannedEvent, plan: Plan) -> _Heard:
        """Copies of a source, and a plan from which an event was taken out, have it processed once."""
        if self._processed_of != (plan.room, plan.microphone):
            self._processed_of = plan.room, plan.microphone
            self._processed.clear()
        key = (event.clip, event.source_start, event.source_samples, event.num_samples, event.effects)
        if key not in self._processed:
            _make_room(self._processed, _KNOWN_PROCESSED)
            samples = self._process(event, plan)
            self._processed[key] = self._measured(samples, samples)
        return self._processed[key]

    def _heard_slice(self, event: PlannedEvent) -> _Heard:
        samples = event_pcm(event, self.bank) * np.float32(_TO_FLOAT)
        measured = measured_slice(
            samples,
            self.bank.measures(self.bank.clips[event.clip]),
            event.source_start,
            fade=self._fade,
            sample_rate=self.bank.sample_rate,
        )
        if measured is None:
            return self._measured(samples, None)
        return _Heard(lufs=measured[0], measures=measured[1], peak=1.0, samples=None)

    def _measured(self, samples: npt.NDArray[np.float32], processed: npt.NDArray[np.float32] | None) -> _Heard:
        faded = samples.astype(np.float64)
        fade_ends(faded, self._fade)
        return _Heard(
            lufs=integrated_lufs(samples, self.bank.sample_rate),
            measures=measure_event(faded, self.bank.sample_rate),
            peak=kernels.peak(samples),
            samples=processed,
        )

    def _process(self, event: PlannedEvent, plan: Plan) -> npt.NDArray[np.float32]:
        """The event's own sound as the soundscape's room and microphone let it be heard, before its gain."""
        rate = self.bank.sample_rate
        samples = processed(event_pcm(event, self.bank) * np.float32(_TO_FLOAT), event.effects, rate)
        if plan.room is not None:
            samples = samples.copy()
            fade_ends(samples, self._fade)  # where a slice begins or ends, the room must not hear a click
            samples = reverberated(samples, self._room_response(plan.room))
        if plan.microphone is not None:
            low_hz, high_hz = plan.microphone.low_hz, plan.microphone.high_hz
            samples = band_limited(samples, low_hz=low_hz, high_hz=high_hz, sample_rate=rate)
        missing = max(event.num_samples - len(samples), 0)
        return np.pad(samples, (0, missing))[: event.num_samples]

    def _room_response(self, room: PlannedRoom) -> npt.NDArray[np.float32]:
        """The room's answer to an impulse; the direct sound is 1.0."""
        if self._room[0] != room:
            if room.clip is None:
                rate = self.bank.sample_rate
                response = synthetic_room(room.seed, rt60=room.rt60, direct_db=room.direct_db, sample_rate=rate)
            else:
                response = self.bank.samples(self.bank.clips[room.clip]).astype(np.float32)
                response /= np.abs(response).max()
            self._room = room, response
        return self._room[1]

    def _amplified(self, measures: Measures, gain_db: float, factor: float) -> Measured:
        threshold_dbfs = self.recipe.activity_dbfs - 20 * math.log10(factor)
        return Measured(
            gain_db=gain_db,
            lufs=gated_lufs(measures.powers, factor),
            runs=active_runs(measures.levels_dbfs, threshold_dbfs=threshold_dbfs),
            bands=measures.bands,
            factor=factor,
        )


def _make_room(known: dict[Any, Any], most: int) -> None:
    """Forget all once there is too much."""
    if len(known) >= most:
        known.clear()


def _highest_peak(plan: Plan, behind_gain: float, gains: list[float], heard: list[_Heard]) -> float:
    """What the mixture's peak can be at most: the background's is at most that of a loop if nothing filtered it."""
    if plan.microphone is not None:
        return math.inf
    highest = 0.0
    spans = [
        (event.start, event.start + event.num_samples, gain * sound.peak)
        for event, gain, sound in zip(plan.events, gains, heard, strict=True)
    ]
    for point, _, _ in spans:
        highest = max(highest, sum(peak for start, end, peak in spans if start <= point < end))
    return _LOOP_PEAK * behind_gain + highest


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


def event_pcm(event: PlannedEvent, bank: Bank) -> Pcm:
    """The event's slice as it is in the bank."""
    return bank.samples(bank.clips[event.clip], event.source_start, event.source_samples)


def from_db(gain_db: float) -> float:
    """A gain in dB as a factor."""
    return math.exp(gain_db * _PER_DB)
