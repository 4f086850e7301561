"""What an engine makes of a plan, and the parts of a soundscape's row that follow from it.

An event of which nothing rises above the recipe's threshold would be a label without a sound, and so would one that the
others mask more than the recipe allows: they are left out of the mixture and of the labels.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from curation.activity import HOP, Runs
from curation.bands import Scene
from curation.bank import Bank
from curation.config import Recipe
from curation.plan import Plan, PlannedBackground, PlannedEvent, PlannedRoom
from curation.source_clip import SourceClip
from manifests.errors import FlamError
from manifests.schema import Background, Event, Microphone, Room, Stretch
from manifests.validate import off_target

Pcm = npt.NDArray[np.int16]
Energies = npt.NDArray[np.float32]


class Measured(NamedTuple):
    """A sound as it is in the finished mixture."""

    gain_db: float  # applied to the prepared clip, without the mixture's own gain
    lufs: float
    runs: Runs  # by `activity.active_runs`; of a background none
    bands: Energies  # energies by `bands.band_energies`,
    factor: float  # of a sound that has to be multiplied by this


@dataclass(frozen=True, kw_only=True, slots=True)
class Rendered:
    """What an engine makes of a plan."""

    fill: Callable[[Pcm], None]  # puts the soundscape's samples into an array of as many
    mix_gain: float
    background: Measured
    events: list[Measured]


@dataclass(frozen=True, kw_only=True, slots=True)
class Mixture:
    """A rendered soundscape: its audio, and the parts of its row that only rendering can tell."""

    plan: Plan  # of what is in it
    fill: Callable[[Pcm], None]  # puts its samples into an array of `plan.num_samples`
    background: Background
    events: list[Event]
    room: Room | None
    microphone: Microphone | None
    num_inaudible: int  # planned events that were left out: too soft,
    num_masked: int  # or masked by others
    mix_gain_db: float

    def samples(self) -> Pcm:
        """Its samples, mixed now: labels alone need none."""
        out = np.empty(self.plan.num_samples, np.int16)
        self.fill(out)
        return out


def finished(plan: Plan, bank: Bank, recipe: Recipe, render: Callable[[Plan], Rendered]) -> Mixture:
    """The soundscape that an engine renders from a plan, without the events that cannot be heard.

    Without them less may be taken off the mixture to keep it from clipping: it is rendered again.
    """
    audible, rendered = plan, render(plan)
    num_inaudible = num_masked = 0
    while True:
        if silent := [i for i, event in enumerate(rendered.events) if not len(event.runs)]:
            num_inaudible += len(silent)
            audible = audible.without(silent)
            rendered = render(audible)
            continue
        stretches = _with_audibility(audible, rendered, bank.sample_rate)
        masked = _masked(stretches, recipe.drop_below_audible_db)
        if masked is None:
            break
        num_masked += 1
        audible = audible.without([masked])
        rendered = render(audible)
    mix_gain_db = 20 * math.log10(rendered.mix_gain)
    background = _background_row(audible.background, rendered.background, bank)
    if wrong := off_target(background, mix_gain_db):
        microphone = audible.microphone
        through = f", from {microphone.low_hz:g} to {microphone.high_hz:g} Hz" if microphone else ""
        raise FlamError(
            f"soundscape {plan.index}: the background {background.origin} (source {background.source_id}), taken "
            f"from {background.source_start / bank.sample_rate:g} s on{through}, {wrong}: it is silent there or nearly "
            "so; make the bank without it"
        )
    return Mixture(
        plan=audible,
        fill=rendered.fill,
        background=background,
        events=[
            _event_row(event, measured, spans, rendered.background, bank)
            for event, measured, spans in zip(audible.events, rendered.events, stretches, strict=True)
        ],
        room=_room_row(audible.room, bank) if audible.room is not None else None,
        microphone=Microphone(low_hz=audible.microphone.low_hz, high_hz=audible.microphone.high_hz)
        if audible.microphone is not None
        else None,
        num_inaudible=num_inaudible,
        num_masked=num_masked,
        mix_gain_db=mix_gain_db,
    )


def _with_audibility(plan: Plan, rendered: Rendered, sample_rate: int) -> list[list[Stretch]]:
    """Each event's stretches, in soundscape time, with how far they stand above everything else."""
    scene = Scene(plan.num_samples, sample_rate)
    scene.add(rendered.background.bands, 0, rendered.background.factor)
    for event, measured in zip(plan.events, rendered.events, strict=True):
        scene.add(measured.bands, event.start, measured.factor)
    found = []
    for event, measured in zip(plan.events, rendered.events, strict=True):
        audible_db = scene.audible_db(measured.bands, event.start, measured.factor, measured.runs)
        onset, offset = event.start / sample_rate, (event.start + event.num_samples) / sample_rate
        found.append(
            [
                Stretch(onset=onset + first * HOP, offset=min(onset + end * HOP, offset), audible_db=decibels)
                for (first, end), decibels in zip(measured.runs.tolist(), audible_db, strict=True)
            ]
        )
    return found


def _masked(stretches: list[list[Stretch]], least_db: float | None) -> int | None:
    """The event that is masked most, if it may not be; one at a time, for without it others may be heard."""
    if least_db is None or not stretches:
        return None
    audible = [max(stretch.audible_db or 0.0 for stretch in spans) for spans in stretches]
    lowest = min(range(len(audible)), key=audible.__getitem__)
    return lowest if audible[lowest] < least_db else None


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


def _event_row(
    event: PlannedEvent, measured: Measured, activity: list[Stretch], background: Measured, bank: Bank
) -> Event:
    clip = bank.clips[event.clip]
    return Event(
        label=clip.label,
        cluster=clip.cluster,
        contains=clip.contains,
        onset=event.start / bank.sample_rate,
        offset=(event.start + event.num_samples) / bank.sample_rate,
        activity=activity,
        start=event.start,
        num_samples=event.num_samples,
        source_id=clip.source_id,
        source_start=event.source_start,
        origin=clip.origin,
        origin_start=_origin_start(clip, event.source_start, bank),
        target_snr_db=event.snr_db,
        snr_db=measured.lufs - background.lufs,
        gain_db=measured.gain_db,
        pitch_semitones=event.effects.pitch_semitones,
        time_stretch=event.effects.time_stretch,
        tilt_db=event.effects.tilt_db,
        fade=event.fade / bank.sample_rate,
        licence=clip.licence,
        author=clip.author,
    )


def _room_row(room: PlannedRoom, bank: Bank) -> Room:
    clip = bank.clips[room.clip] if room.clip is not None else None
    return Room(
        rt60=room.rt60,
        direct_db=None if clip else room.direct_db,
        source_id=clip.source_id if clip else None,
        origin=clip.origin if clip else None,
        licence=clip.licence if clip else None,
        author=clip.author if clip else None,
    )


def _origin_start(clip: SourceClip, source_start: int, bank: Bank) -> int:
    return clip.origin_start + round(source_start * clip.origin_sample_rate / bank.sample_rate)
