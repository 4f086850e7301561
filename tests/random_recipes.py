"""Small banks and recipes drawn at random, for properties that hold for all of them."""

import dataclasses
import functools
from pathlib import Path
from typing import Any

import numpy as np
from hypothesis import assume
from hypothesis import strategies as st
from small_bank import Sound, write_bank

from curation.bank import Bank
from curation.config import Recipe
from curation.distributions import Uniform
from curation.soundscapes import Job, Soundscapes
from curation.source_clip import Role
from curation.splits import Recording, assign_splits
from manifests.errors import FlamError
from manifests.schema import SPLITS

NUM_BANKS = 16  # to make one takes longer than to plan and mix a few soundscapes
LABELS = ("bark", "bell", "crash", "drip", "engine", "rain")
BEDS = ("park", "rain", "street", "room tone")
CLUSTERS = ("dog", "metal", "rain", "vehicle")
PEAK = 10 ** (-1 / 20)  # of every clip of a bank


@dataclasses.dataclass(frozen=True, kw_only=True)
class World:
    """A bank, a recipe, and which soundscapes of it to look at."""

    bank: int  # its number
    recipe: Recipe
    seed: int
    indices: tuple[int, ...]


def opened(world: World, folder: Path) -> Soundscapes:
    """The world's soundscapes, if its bank can serve the recipe.

    Args:
        world: what was drawn.
        folder: where banks are kept from one example to the next.
    """
    root = folder / str(world.bank)
    if not root.exists():
        write_bank(root, list(random_sounds(world.bank)), rate=sample_rate(world.bank))
    job = Job(
        bank_dir=root,
        bank_fingerprint=Bank.open(root).fingerprint,
        recipe=world.recipe,
        seed=world.seed,
        engine="mix",
        audio_format="none",
        split=None,
    )
    soundscapes = Soundscapes(job)
    try:
        soundscapes.catalogue.shares(None)
    except FlamError as error:
        assume("no usable foreground and background" not in str(error))
        raise
    return soundscapes


@st.composite
def worlds(draw: st.DrawFn, *, effects: bool = True) -> World:
    """Every field of a recipe is drawn."""
    bank = draw(st.integers(0, NUM_BANKS - 1))
    return World(
        bank=bank,
        recipe=draw(recipes(random_sounds(bank), effects=effects)),
        seed=draw(st.integers(0, 2**63 - 1)),
        indices=tuple(draw(st.lists(st.integers(0, 10**6), min_size=3, max_size=3, unique=True))),
    )


def sample_rate(bank: int) -> int:
    """Of a bank. A tenth of a second is no whole number of samples at one of the rates."""
    return (8000, 16000, 11025)[bank % 3]


@functools.cache
def random_sounds(bank: int) -> tuple[Sound, ...]:
    """Clips of 0.03 to 13 s in groups, with clusters that overlap, in up to three splits."""
    rng = np.random.default_rng(bank)
    rate = sample_rate(bank)
    sounds = [_sound(rng, "foreground", rate) for _ in range(rng.integers(3, 12))]
    sounds += [_sound(rng, "background", rate) for _ in range(rng.integers(2, 7))]
    splits = assign_splits(
        [Recording(role=sound.role, label=sound.label, group=sound.group, split=None) for sound in sounds],
        seed=bank,
        valid_share=rng.choice((0.0, 0.3)),
        test_share=rng.choice((0.0, 0.3)),
    )
    rooms = [
        Sound(
            samples=_response(rng, rng.uniform(0.05, 0.5), rate),
            role="impulse_response",
            label="room",
            group=f"room {split}",
            split=split,
        )
        for split in SPLITS
    ]
    return (*(dataclasses.replace(sound, split=splits[sound.group]) for sound in sounds), *rooms)


def _sound(rng: np.random.Generator, role: Role, rate: int) -> Sound:
    is_event = role == "foreground"
    shortest, longest = ((0.03, 0.5), (0.03, 13), (2, 13))[rng.integers(2) if is_event else 2]
    return Sound(
        samples=_samples(rng, rng.uniform(shortest, longest), rate),
        role=role,
        label=str(rng.choice(LABELS if is_event else BEDS)),
        cluster=str(rng.choice(("", "", *CLUSTERS))),
        contains=rng.choice(CLUSTERS, size=rng.integers(2), replace=False).tolist(),
        group=f"group {rng.integers(12)}",
        content_known=bool(rng.random() < (0.9 if is_event else 0.5)),
    )


def _samples(rng: np.random.Generator, seconds: float, rate: int) -> np.ndarray:
    """A tone or noise, steady, dying away, in bursts with pauses between, or loud for a moment only."""
    num = round(seconds * rate)
    time = np.arange(num) / rate
    if rng.random() < 0.5:
        samples = rng.normal(0, 1, num)
    else:
        samples = np.sin(2 * np.pi * rng.uniform(400, 3000) * time) + rng.normal(0, 0.01, num)
    shape = rng.integers(4)
    if shape == 1:
        samples *= 10 ** (-rng.uniform(5, 40) * time / 20)
    elif shape == 2:
        samples *= np.floor(time / rng.uniform(0.2, 1.0)) % 2 == 0
    elif shape == 3:
        samples[num // 5 :] *= 10 ** (-rng.uniform(0, 50) / 20)
    return samples * (PEAK / np.abs(samples).max())


def _response(rng: np.random.Generator, seconds: float, rate: int) -> np.ndarray:
    num = round(seconds * rate)
    samples = rng.normal(0, 0.1, num) * 10 ** (-3 * np.arange(num) / num)
    samples[num // 100] = PEAK
    return samples


@st.composite
def recipes(draw: st.DrawFn, sounds: tuple[Sound, ...], *, effects: bool) -> Recipe:
    """As a TOML file would say it."""
    labels = sorted({sound.label for sound in sounds if sound.role == "foreground"})
    fade = draw(st.sampled_from((0.01, 0.01, 0.0, 0.02, 0.1, 0.3)))
    balance = draw(st.sampled_from(("sources", "labels", "frequency")))
    background_only = draw(st.sampled_from((0.0, 0.0, 0.1, 0.5)))
    content: dict[str, Any] = {
        "name": "random",
        "duration": draw(quantities(max(0.5, 2 * fade), 6)),
        "split": dict(zip(SPLITS, draw(st.tuples(st.just(0.5), *[st.floats(0, 1)] * 2)), strict=True)),
        "background_lufs": draw(quantities(-70, -5)),
        "background_only": background_only,
        "near_silent": draw(st.floats(0, 0.3)),
        "near_silent_lufs": draw(quantities(-70, -55)),
        "events": draw(counts(0, 6)),
        "balance": balance,
        "frequency": draw(st.dictionaries(st.sampled_from(labels), st.floats(0, 10))) if balance == "frequency" else {},
        "together": draw(st.lists(_pairs(labels), max_size=3)),
        "hold_out": draw(st.lists(st.sampled_from(labels), max_size=1)),
        "snr_db": draw(quantities(-20, 40)),
        "max_event_duration": draw(quantities(max(0.02, 2 * fade), 8)),
        "repeat_below": draw(st.floats(0, 5)),
        "repeat_share": draw(st.floats(0, 1)),
        "repeats": draw(counts(1, 5)),
        "cut_share": draw(st.floats(0, 1)),
        "pieces": draw(counts(2, 5)),
        "gap": draw(st.none() | quantities(0, 2)),
        "polyphony": draw(st.none() | st.integers(1, 3)),
        "fade": draw(st.sampled_from((fade, Uniform(low=fade, high=min(fade + 0.2, 1.0))))),
        "activity_dbfs": draw(st.floats(-90, -40)),
        "drop_below_audible_db": draw(st.none() | st.floats(-20, 20)),
    }
    if effects:
        content |= {
            "pitch_semitones": draw(st.just(0) | quantities(-12, 12)),
            "time_stretch": draw(st.just(1) | quantities(0.5, 2)),
            "tilt_db": draw(st.just(0) | quantities(-6, 6)),
            "reverb": {
                "share": draw(st.sampled_from((0.0, 0.0, 0.5, 1.0))),
                "rooms": draw(st.sampled_from(("synthetic", "bank"))),
                "rt60": draw(quantities(0.1, 1)),
                "direct_db": draw(quantities(-20, 40)),
            },
            "microphone": {
                "share": draw(st.sampled_from((0.0, 0.0, 0.5, 1.0))),
                "low_hz": draw(quantities(0, 300)),  # a filter may leave nothing of a background, which is an error
                "high_hz": draw(quantities(2000, 20_000)),
            },
        }
    return Recipe.model_validate(content)


def _pairs(labels: list[str]) -> st.SearchStrategy[dict[str, Any]]:
    return st.fixed_dictionaries({
        "labels": st.tuples(st.sampled_from(labels), st.sampled_from(labels)),
        "weight": st.just(0.0) | st.floats(0, 1000),
    })  # fmt: skip


@st.composite
def quantities(draw: st.DrawFn, low: float, high: float) -> Any:
    """A number, or any of the distributions."""
    kind = draw(st.sampled_from(("number", "constant", "uniform", "log_uniform", "truncated_normal", "choice")))
    if kind == "log_uniform" and low <= 0:
        kind = "uniform"
    one, other = sorted(draw(st.tuples(st.floats(low, high), st.floats(low, high))))
    if kind == "number":
        return one
    if kind == "constant":
        return {"distribution": kind, "value": one}
    if kind == "choice":
        values = draw(st.lists(st.floats(low, high), min_size=1, max_size=3))
        weights = draw(st.just([]) | st.just([1.0] * len(values)))
        return {"distribution": kind, "values": values, "weights": weights}
    bounds = {"distribution": kind, "low": one, "high": other}
    if kind == "truncated_normal":
        bounds |= {"mean": draw(st.floats(one, other)), "std": draw(st.floats(0.1, 10))}
    return bounds


@st.composite
def counts(draw: st.DrawFn, low: int, high: int) -> Any:
    """A whole number, or any of the distributions."""
    kind = draw(st.sampled_from(("number", "constant", "integer_uniform", "choice")))
    one, other = sorted(draw(st.tuples(st.integers(low, high), st.integers(low, high))))
    if kind == "number":
        return one
    if kind == "constant":
        return {"distribution": kind, "value": one}
    if kind == "choice":
        return {"distribution": kind, "values": [one, other], "weights": [1.0, 2.0]}
    return {"distribution": kind, "low": one, "high": other}
