"""What goes into soundscape i. Pure: (bank, recipe, seed, i) -> Plan, without reading any audio.

Everything is drawn from `SeedSequence(seed, spawn_key=(i,))`, so that a plan depends neither on how
many soundscapes there are nor on the order in which they are made.
"""

import dataclasses
import math
from bisect import bisect_right
from collections.abc import Iterable
from dataclasses import dataclass
from itertools import accumulate

import numpy as np

from curation.catalogue import Catalogue
from curation.config import Recipe
from curation.distributions import Constant
from curation.effects import EventEffects, processed_length
from curation.filters import LEAST_HZ
from curation.placing import (
    Part,
    draw_background_start,
    draw_pieces,
    draw_slice,
    draw_starts,
    most_at_once,
    num_fitting,
)
from manifests.schema import Split

_PLAIN = EventEffects()
_DRAWS_A_PART = 20  # of places that keep to the polyphony, before one part less is tried
_MAX_SEED = 2**63


@dataclass(frozen=True, kw_only=True, slots=True)
class PlannedBackground:
    """A slice of a background clip; one shorter than the soundscape is looped from there on.

    It starts at a whole step of `loudness.step_samples`, from which on the bank knows its loudness.
    """

    clip: int  # index into the bank's clips
    source_start: int
    lufs: float  # target of its integrated loudness; the reference of every snr_db


@dataclass(frozen=True, kw_only=True, slots=True)
class PlannedEvent:
    """A slice of a foreground clip, what is done to it, and its place. Positions are samples at the bank's rate."""

    clip: int
    source_start: int
    source_samples: int
    start: int  # in the soundscape
    num_samples: int  # there, after its effects, with the room's answer to it
    snr_db: float  # its LUFS minus the background's
    fade: int  # samples, at each end
    effects: EventEffects = _PLAIN


@dataclass(frozen=True, kw_only=True, slots=True)
class PlannedRoom:
    """The room of all events: a clip of the bank, or one synthesised from a seed."""

    clip: int | None
    seed: int
    rt60: float  # seconds
    direct_db: float


@dataclass(frozen=True, kw_only=True, slots=True)
class PlannedMicrophone:
    """The pass band of everything."""

    low_hz: float
    high_hz: float


@dataclass(frozen=True, kw_only=True, slots=True)
class Plan:
    """All that was drawn for one soundscape."""

    index: int
    split: Split
    num_samples: int
    background: PlannedBackground
    events: tuple[PlannedEvent, ...]  # by start
    room: PlannedRoom | None = None
    microphone: PlannedMicrophone | None = None

    def without(self, events: Iterable[int]) -> "Plan":
        """The plan with the events at these places left out."""
        dropped = set(events)
        kept = tuple(event for place, event in enumerate(self.events) if place not in dropped)
        return dataclasses.replace(self, events=kept)


def plan(index: int, *, catalogue: Catalogue, recipe: Recipe, seed: int, split: Split | None = None) -> Plan:
    """Soundscape `index`: its split, background, events, room and microphone.

    Args:
        index: number of the soundscape in its dataset.
        catalogue: the bank's clips, for this recipe.
        recipe: the distributions.
        seed: of the whole dataset.
        split: put every soundscape there, instead of drawing it by the recipe's shares.
    """
    rng = np.random.default_rng(np.random.SeedSequence(seed, spawn_key=(index,)))
    return _Drawer(rng, catalogue, recipe, split).plan(index)


class _Drawer:
    """Draws one plan."""

    def __init__(self, rng: np.random.Generator, catalogue: Catalogue, recipe: Recipe, wanted: Split | None) -> None:
        self.rng, self.catalogue, self.recipe = rng, catalogue, recipe
        shares = catalogue.shares(wanted)
        place = bisect_right(list(accumulate(shares.values())), rng.random())
        self.split = list(shares)[min(place, len(shares) - 1)]
        self.pool = catalogue.pool(self.split)
        seconds = recipe.duration.sample(rng)
        if not isinstance(recipe.duration, Constant):
            seconds = round(seconds, 1)  # a whole number of loudness steps
        self.num_samples = round(seconds * catalogue.sample_rate)
        self.events: list[PlannedEvent] = []
        self.room_samples = 0  # by which the room's answer is longer than the sound

    def plan(self, index: int) -> Plan:
        recipe, rng = self.recipe, self.rng
        kind = rng.random()
        near_silent = kind < recipe.near_silent
        empty = kind < recipe.near_silent + recipe.background_only
        background = self._background(near_silent=near_silent)
        room = None if empty else self._room()
        if not empty:
            count = recipe.events.sample(rng)
            for clip in self.pool.draw_foregrounds(rng, background=background.clip, count=count):
                self.events += self._events_of(clip)
        return Plan(
            index=index,
            split=self.split,
            num_samples=self.num_samples,
            background=background,
            events=tuple(sorted(self.events, key=lambda event: (event.start, event.clip))),
            room=room,
            microphone=self._microphone(),
        )

    def _background(self, *, near_silent: bool) -> PlannedBackground:
        clip = self.pool.draw_background(self.rng)
        lufs = self.recipe.near_silent_lufs if near_silent else self.recipe.background_lufs
        return PlannedBackground(
            clip=clip,
            source_start=draw_background_start(
                self.rng,
                self.catalogue.clips[clip],
                self.catalogue.activity(clip),
                num_samples=self.num_samples,
                sample_rate=self.catalogue.sample_rate,
            ),
            lufs=lufs.sample(self.rng),
        )

    def _room(self) -> PlannedRoom | None:
        reverb, rng = self.recipe.reverb, self.rng
        if not reverb.share or rng.random() >= reverb.share:
            return None
        if reverb.rooms == "bank":
            rooms = self.catalogue.rooms(self.split)
            clip = rooms[int(rng.integers(len(rooms)))]
            response = self.catalogue.clips[clip]
            self.room_samples = response.num_samples - 1
            return PlannedRoom(clip=clip, seed=0, rt60=response.duration, direct_db=0.0)
        rt60 = reverb.rt60.sample(rng)
        self.room_samples = round(rt60 * self.catalogue.sample_rate)
        return PlannedRoom(
            clip=None, seed=int(rng.integers(_MAX_SEED)), rt60=rt60, direct_db=reverb.direct_db.sample(rng)
        )

    def _microphone(self) -> PlannedMicrophone | None:
        microphone, rng = self.recipe.microphone, self.rng
        if not microphone.share or rng.random() >= microphone.share:
            return None
        low_hz, high_hz = microphone.low_hz.sample(rng), microphone.high_hz.sample(rng)
        return PlannedMicrophone(low_hz=low_hz if low_hz >= LEAST_HZ else 0.0, high_hz=high_hz)

    def _events_of(self, clip: int) -> list[PlannedEvent]:
        """One source: once, several times or in pieces, as many of these as fit."""
        effects = self._effects(self.catalogue.clips[clip].num_samples)
        parts, gaps = self._parts(clip, effects)
        lengths = [processed_length(part.source_samples, effects) for part in parts]
        count = num_fitting(lengths, gaps, num_samples=self.num_samples)
        parts, lengths, gaps = parts[:count], lengths[:count], gaps[: max(count - 1, 0)] if gaps else gaps
        fade = int(self.recipe.fade.sample(self.rng) * self.catalogue.sample_rate)
        starts: list[int] = []
        draws = 0
        while parts and not starts:
            starts = draw_starts(self.rng, lengths, gaps, num_samples=self.num_samples)
            if starts and not self._keeps_polyphony(starts, lengths):
                starts, draws = [], draws + 1
                if draws % _DRAWS_A_PART:
                    continue
            if not starts:
                parts, lengths, gaps = parts[:-1], lengths[:-1], gaps[:-1] if gaps else gaps
        return [
            PlannedEvent(
                clip=clip,
                source_start=part.source_start,
                source_samples=part.source_samples,
                start=start,
                num_samples=self._heard(start, length),
                snr_db=self.recipe.snr_db.sample(self.rng),
                fade=min(fade, length // 2),
                effects=effects,
            )
            for part, start, length in zip(parts, starts, lengths, strict=True)
        ]

    def _heard(self, start: int, length: int) -> int:
        """Samples of a sound in the soundscape, with the room's answer."""
        return min(length + self.room_samples, self.num_samples - start)

    def _keeps_polyphony(self, starts: list[int], lengths: list[int]) -> bool:
        if self.recipe.polyphony is None:
            return True
        spans = [(event.start, event.start + event.num_samples) for event in self.events]
        spans += [(start, start + self._heard(start, length)) for start, length in zip(starts, lengths, strict=True)]
        return most_at_once(spans) <= self.recipe.polyphony

    def _effects(self, num_samples: int) -> EventEffects:
        """What is done to a source of so many samples; its length stays if it would be under two fades."""
        recipe = self.recipe
        drawn = {
            name: quantity.sample(self.rng)
            for name, quantity, neutral in (
                ("pitch_semitones", recipe.pitch_semitones, 0.0),
                ("time_stretch", recipe.time_stretch, 1.0),
                ("tilt_db", recipe.tilt_db, 0.0),
            )
            if not (isinstance(quantity, Constant) and quantity.value == neutral)
        }
        effects = EventEffects(**drawn) if drawn else _PLAIN
        if processed_length(num_samples, effects) < self.catalogue.min_samples:
            effects = dataclasses.replace(effects, time_stretch=1.0)
        return effects

    def _parts(self, index: int, effects: EventEffects) -> tuple[list[Part], list[int] | None]:
        """The slices of a source in their order, and the gaps between them, if these were asked for."""
        recipe, rng, clip = self.recipe, self.rng, self.catalogue.clips[index]
        rate, activity = self.catalogue.sample_rate, self.catalogue.activity(index)
        longest = min(round(recipe.max_event_duration.sample(rng) * rate), self.num_samples)
        shortest = self.catalogue.min_samples  # of the source, so that it is two fades long with its effects
        if effects.time_stretch < 1:
            shortest = math.ceil(shortest / effects.time_stretch) + 1
        length = min(clip.num_samples, max(int(longest / effects.time_stretch), shortest))
        while processed_length(length, effects) > self.num_samples and length > shortest:
            length -= 1
        whole = draw_slice(rng, clip, activity, length=length, shortest=shortest, sample_rate=rate)
        parts = [whole]
        if clip.duration < recipe.repeat_below and self._happens(recipe.repeat_share):
            parts *= recipe.repeats.sample(rng)
        elif self._happens(recipe.cut_share):
            count = recipe.pieces.sample(rng)
            parts = draw_pieces(rng, whole, activity, count=count, shortest=shortest, sample_rate=rate)
        if recipe.gap is None:
            return parts, None
        return parts, [round(recipe.gap.sample(rng) * rate) for _ in parts[1:]]

    def _happens(self, share: float) -> bool:
        return share >= 1 or (share > 0 and self.rng.random() < share)
