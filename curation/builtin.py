"""The built-in sound bank: sounds synthesised by code; no files, no network, no licence.

Each kind draws its own pitch, rate, timbre, count, envelope and room for every index, so that the
sounds of one kind differ as recordings do. `KINDS` is in seed order: append to it, since a kind's
place is part of its random seed.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from curation import builtin_struck as struck
from curation import builtin_textures as textures
from curation import builtin_tones as tones
from curation.source_clip import Role
from curation.synthesis import (
    MAX_FOREGROUND,
    RATE_HZ,
    Audio,
    Wave,
    finish,
    log_uniform,
    room,
    samples,
)


@dataclass(frozen=True, kw_only=True, slots=True)
class Kind:
    """One label of the built-in bank and how to make a sound of it."""

    label: str
    role: Role
    draw: Callable[[np.random.Generator], Wave]  # a raw sound at synthesis.RATE_HZ


def synthesise(kind: Kind, index: int, *, seed: int, sample_rate: int = RATE_HZ) -> Audio:
    """Sound `index` of a kind: mono, peak 0.8, whatever else is made and in whichever order.

    Args:
        kind: one of `KINDS`.
        index: 0 and up; each index is another source.
        seed: of the whole bank.
        sample_rate: Hz, 8,000 to 48,000. The sound itself reaches up to 15 kHz.
    """
    sequence = np.random.SeedSequence(seed, spawn_key=(KINDS.index(kind), index))
    rng = np.random.Generator(np.random.PCG64(sequence))
    wave = kind.draw(rng)
    if kind.role == "foreground":
        wave = room(rng, wave, t60=log_uniform(rng, 0.12, 0.6), wet_db=rng.uniform(-24.0, -8.0))
        wave = wave[: samples(MAX_FOREGROUND)]
    return finish(wave, sample_rate=sample_rate)


KINDS: tuple[Kind, ...] = (
    Kind(label="siren", role="foreground", draw=tones.siren),
    Kind(label="church_bell", role="foreground", draw=struck.church_bell),
    Kind(label="door_knock", role="foreground", draw=struck.door_knock),
    Kind(label="engine", role="foreground", draw=tones.engine),
    Kind(label="bird_chirp", role="foreground", draw=tones.bird_chirp),
    Kind(label="footsteps", role="foreground", draw=struck.footsteps),
    Kind(label="alarm_beep", role="foreground", draw=tones.alarm_beep),
    Kind(label="whistling", role="foreground", draw=tones.whistling),
    Kind(label="dog_bark", role="foreground", draw=tones.dog_bark),
    Kind(label="telephone_ring", role="foreground", draw=struck.telephone_ring),
    Kind(label="clock_tick", role="foreground", draw=struck.clock_tick),
    Kind(label="car_horn", role="foreground", draw=tones.car_horn),
    Kind(label="hammering", role="foreground", draw=struck.hammering),
    Kind(label="frog_croak", role="foreground", draw=tones.frog_croak),
    Kind(label="glass_break", role="foreground", draw=struck.glass_break),
    Kind(label="thunder", role="foreground", draw=textures.thunder),
    Kind(label="cat_meow", role="foreground", draw=tones.cat_meow),
    Kind(label="water_drip", role="foreground", draw=struck.water_drip),
    Kind(label="rain", role="background", draw=textures.rain),
    Kind(label="wind", role="background", draw=textures.wind),
    Kind(label="sea_waves", role="background", draw=textures.sea_waves),
    Kind(label="stream", role="background", draw=textures.stream),
    Kind(label="city_traffic", role="background", draw=textures.city_traffic),
    Kind(label="room_tone", role="background", draw=textures.room_tone),
)
