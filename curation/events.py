"""The events of a soundscape before their gain: as the bank measured them, or processed and measured now."""

from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from curation.bank import Bank
from curation.effects import EventEffects, processed
from curation.filters import band_limited
from curation.loudness import integrated_lufs
from curation.measures import FADE, Measures, fade_ends, measure_event, quarter_sine
from curation.plan import Plan, PlannedEvent, PlannedMicrophone, PlannedRoom
from curation.rooms import reverberated, synthetic_room
from curation.slices import measured_slice

Samples = npt.NDArray[np.float32]  # full scale 1.0

_TO_FLOAT = np.float32(1 / 32768)  # a power of two: exact
_KNOWN_CLIPS = 8192  # about 1 kB each
_KNOWN_SLICES = 64  # about 50 kB each
_KNOWN_PROCESSED = 32  # up to a megabyte each
_PLAIN = EventEffects()


class Heard(NamedTuple):
    """An event before its gain."""

    lufs: float  # before its fades
    measures: Measures  # with them
    samples: Samples | None  # as effects left it; None: as it is in the bank


class Events:
    """Measures the events of plans. Remembers what it may be asked for again."""

    def __init__(self, bank: Bank) -> None:
        self.bank = bank
        self._stored_fade = int(FADE * bank.sample_rate)  # for which the bank's measures hold
        self._clips: dict[int, Heard] = {}
        self._slices: dict[tuple[int, int, int, int], Heard] = {}  # by clip, first sample, number of them, fade
        self._processed: dict[tuple[int, int, int, int, int, EventEffects], Heard] = {}  # of one room and microphone
        self._processed_of: tuple[PlannedRoom | None, PlannedMicrophone | None] = None, None
        self._room: tuple[PlannedRoom | None, Samples] = None, np.zeros(0, np.float32)  # the last one

    def heard(self, event: PlannedEvent, plan: Plan) -> Heard:
        """Measured before its gain, from which that follows: by the bank for a whole clip as it is."""
        if plan.room is not None or plan.microphone is not None or event.effects != _PLAIN:
            return self._heard_processed(event, plan)
        clip = self.bank.clips[event.clip]
        if event.num_samples == clip.num_samples and event.fade == self._stored_fade:
            if event.clip not in self._clips:
                _forget_if_full(self._clips, _KNOWN_CLIPS)
                measures = self.bank.measures(clip)
                is_measured = len(measures.powers) > 0  # not if it is shorter than two fades
                known = Heard(lufs=clip.lufs, measures=measures, samples=None)
                self._clips[event.clip] = known if is_measured else self._heard_slice(event)
            return self._clips[event.clip]
        key = (event.clip, event.source_start, event.num_samples, event.fade)
        if key not in self._slices:
            _forget_if_full(self._slices, _KNOWN_SLICES)
            self._slices[key] = self._heard_slice(event)
        return self._slices[key]

    def _heard_processed(self, event: PlannedEvent, plan: Plan) -> Heard:
        """Copies of a source, and a plan from which an event was taken out, have it processed once."""
        if self._processed_of != (plan.room, plan.microphone):
            self._processed_of = plan.room, plan.microphone
            self._processed.clear()
        key = (event.clip, event.source_start, event.source_samples, event.num_samples, event.fade, event.effects)
        if key not in self._processed:
            _forget_if_full(self._processed, _KNOWN_PROCESSED)
            samples = self._process(event, plan)
            self._processed[key] = self._measured(samples, event.fade, samples)
        return self._processed[key]

    def _heard_slice(self, event: PlannedEvent) -> Heard:
        samples = event_pcm(event, self.bank) * _TO_FLOAT
        measured = measured_slice(
            samples,
            self.bank.measures(self.bank.clips[event.clip]),
            event.source_start,
            fade=quarter_sine(event.fade),
            sample_rate=self.bank.sample_rate,
        )
        if measured is None:
            return self._measured(samples, event.fade, None)
        return Heard(lufs=measured[0], measures=measured[1], samples=None)

    def _measured(self, samples: Samples, fade: int, processed: Samples | None) -> Heard:
        faded = samples.astype(np.float64)
        fade_ends(faded, quarter_sine(fade))
        return Heard(
            lufs=integrated_lufs(samples, self.bank.sample_rate),
            measures=measure_event(faded, self.bank.sample_rate),
            samples=processed,
        )

    def _process(self, event: PlannedEvent, plan: Plan) -> Samples:
        """The event's own sound as the soundscape's room and microphone let it be heard, before its gain."""
        rate = self.bank.sample_rate
        samples = processed(event_pcm(event, self.bank) * _TO_FLOAT, event.effects, rate)
        if plan.room is not None:
            samples = samples.copy()
            fade_ends(samples, quarter_sine(event.fade))  # where a slice begins or ends, the room must not hear a click
            samples = reverberated(samples, self._room_response(plan.room))
        if plan.microphone is not None:
            low_hz, high_hz = plan.microphone.low_hz, plan.microphone.high_hz
            samples = band_limited(samples, low_hz=low_hz, high_hz=high_hz, sample_rate=rate)
        missing = max(event.num_samples - len(samples), 0)
        return np.pad(samples, (0, missing))[: event.num_samples]

    def _room_response(self, room: PlannedRoom) -> Samples:
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


def event_pcm(event: PlannedEvent, bank: Bank) -> npt.NDArray[np.int16]:
    """The event's slice as it is in the bank."""
    return bank.samples(bank.clips[event.clip], event.source_start, event.source_samples)


def _forget_if_full(known: dict[Any, Any], most: int) -> None:
    """Forget all once there is too much."""
    if len(known) >= most:
        known.clear()
