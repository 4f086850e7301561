"""What holds for every bank and every recipe."""

import itertools
import math
from pathlib import Path

import hypothesis
import numpy as np
import pyloudnorm
import pytest
import scipy.signal
from hypothesis import HealthCheck, Phase, given, settings
from random_recipes import World, opened, worlds

from curation.bank import Bank
from curation.config import Recipe
from curation.effects import processed
from curation.filters import band_limited
from curation.plan import Plan, PlannedEvent, plan
from curation.rooms import synthetic_room
from curation.soundscapes import Made, Soundscapes
from curation.source_clip import SourceClip
from manifests.schema import Event
from manifests.validate import check_soundscape

many = settings(
    max_examples=100,
    deadline=None,
    derandomize=True,
    phases=[Phase.explicit, Phase.generate, Phase.shrink],  # Phase.explain takes minutes
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("banks")


def plan_of(soundscapes: Soundscapes, index: int) -> Plan:
    job = soundscapes.job
    return plan(index, catalogue=soundscapes.catalogue, recipe=job.recipe, seed=job.seed)


def heard(clip: SourceClip) -> set[str]:
    return {clip.cluster, *clip.contains}


@many
@given(world=worlds())
def test_a_plan_keeps_to_its_clip_its_split_and_its_recipe(folder: Path, world: World) -> None:
    soundscapes = opened(world, folder)
    clips, recipe = soundscapes.bank.clips, world.recipe
    split_of: dict[str, str] = {}
    for index in range(12):
        made = plan_of(soundscapes, index)
        behind = clips[made.background.clip]
        assert (behind.role, behind.split) == ("background", made.split)
        assert 0 <= made.background.source_start < behind.num_samples
        if behind.num_samples >= made.num_samples:
            assert made.background.source_start + made.num_samples <= behind.num_samples
        counted = np.zeros(made.num_samples, int)
        for event in made.events:
            clip = clips[event.clip]
            assert (clip.role, clip.split) == ("foreground", made.split)
            assert 0 <= event.source_start < event.source_start + event.source_samples <= clip.num_samples
            assert 0 <= event.start < event.start + event.num_samples <= made.num_samples
            assert event.num_samples >= 2 * event.fade
            assert heard(clip).isdisjoint(heard(behind))
            counted[event.start : event.start + event.num_samples] += 1
        assert counted.max(initial=0) <= (recipe.polyphony or math.inf)
        used = [made.background.clip, *(event.clip for event in made.events)]
        if made.room is not None and made.room.clip is not None:
            used.append(made.room.clip)
        for clip in (clips[place] for place in used):
            assert split_of.setdefault(clip.group, made.split) == made.split
        check_pairs(made, recipe, clips)


def check_pairs(made: Plan, recipe: Recipe, clips: list[SourceClip]) -> None:
    labels = [clips[clip].label for clip in {event.clip for event in made.events}]
    for pair in recipe.together:
        if pair.weight == 0:
            assert tuple(sorted(pair.labels)) not in itertools.combinations(sorted(labels), 2)


@many
@given(world=worlds())
def test_a_soundscape_depends_on_bank_recipe_seed_and_its_number_alone(folder: Path, world: World) -> None:
    soundscapes = opened(world, folder)
    made = [soundscapes.make(index) for index in world.indices]
    other = Soundscapes(soundscapes.job)
    for one in reversed(made):
        index = int(one.row.soundscape_id)
        assert plan_of(other, index) == plan_of(soundscapes, index)
        assert_same(other.make(index), one)


def assert_same(one: Made, other: Made) -> None:
    assert one.row == other.row
    np.testing.assert_array_equal(one.mixture.samples(), other.mixture.samples())


@many
@given(world=worlds())
def test_rows_break_no_rule(folder: Path, world: World) -> None:
    soundscapes = opened(world, folder)
    for index in world.indices:
        row = soundscapes.make(index).row
        assert list(check_soundscape(row)) == []
        counted = np.zeros(row.num_samples, int)
        for event in row.events:
            edges = [edge for stretch in event.activity for edge in (stretch.onset, stretch.offset)]
            assert 0 <= event.onset <= edges[0] < edges[-1] <= event.offset <= row.duration
            assert edges == sorted(edges)
            assert all(-60 <= stretch.audible_db <= 60 for stretch in event.activity)
            counted[event.start : event.start + event.num_samples] += 1
        assert counted.max(initial=0) <= (world.recipe.polyphony or math.inf)
        known = {clip.source_id: clip.content_known for clip in soundscapes.bank.clips}
        told = all(known[heard.source_id] for heard in (row.background, *row.events))
        assert row.annotation == ("closed" if told else "open")


@many
@given(world=worlds())
def test_snr_is_what_was_asked_for(folder: Path, world: World) -> None:
    """Measured with pyloudnorm on the signals that are mixed, before fades, of events of 0.1 s or more.

    Where the absolute gate of -70 LUFS leaves out blocks of a sound, it measures louder than by its gain. In the
    mixture that is met by lifting both sounds by 60 dB. As they are in the bank, it is left to be so, as Scaper does.
    """
    soundscapes = opened(world, folder)
    bank, rate = soundscapes.bank, soundscapes.bank.sample_rate
    for index in world.indices:
        made, row = plan_of(soundscapes, index), soundscapes.make(index).row
        behind = background_alone(made, bank)
        mixed_behind = behind * from_db(row.background.gain_db + row.mix_gain_db)
        for event in row.events:
            if event.num_samples < 0.1 * rate:
                continue
            signal = event_alone(planned(made, event, bank), made, bank, world.recipe)
            mixed = signal * from_db(event.gain_db + row.mix_gain_db)
            if is_gated(behind, rate) or is_gated(signal, rate):
                hypothesis.event("gated in the bank")
                continue
            lifted = lufs(mixed * 1000, rate) - lufs(mixed_behind * 1000, rate)
            assert lifted == pytest.approx(event.target_snr_db, abs=0.5)
            if is_gated(mixed_behind, rate) or is_gated(mixed, rate):
                hypothesis.event("gated in the mixture")
                continue
            hypothesis.event("measured as it is")
            assert lufs(mixed, rate) - lufs(mixed_behind, rate) == pytest.approx(event.target_snr_db, abs=0.5)


def is_gated(samples: np.ndarray, rate: int) -> bool:
    """Whether a sound has blocks that the absolute gate leaves out and the relative one would not."""
    return abs(lufs(samples * 1000, rate) - 60 - lufs(samples, rate)) > 0.01


@many
@given(world=worlds(effects=False))
def test_samples_are_the_sum_of_parts_computed_one_by_one(folder: Path, world: World) -> None:
    soundscapes = opened(world, folder)
    for index in world.indices:
        one = soundscapes.make(index)
        expected = mixed_slowly(plan_of(soundscapes, index), one.row.events, soundscapes.bank, world.recipe)
        assert np.abs(one.mixture.samples() - expected).max() <= 2
        assert one.row.mix_gain_db < 0 or np.abs(expected).max() <= 32768


def mixed_slowly(made: Plan, events: list[Event], bank: Bank, recipe: Recipe) -> np.ndarray:
    """In 64-bit floats at the scale of 16-bit samples, each gain from pyloudnorm; of events those that were heard."""
    behind = background_alone(made, bank)
    out = behind * from_db(made.background.lufs - lufs(behind, bank.sample_rate))
    for event in (planned(made, event, bank) for event in events):
        num_fade = event.fade
        signal = event_alone(event, made, bank, recipe)
        signal *= from_db(made.background.lufs + event.snr_db - lufs(signal, bank.sample_rate))
        for i in range(num_fade):
            angle = math.pi / 2 * i / (num_fade - 1)
            signal[i] *= math.sin(angle)
            signal[-1 - i] *= math.sin(angle)
        out[event.start : event.start + event.num_samples] += signal
    return 32768 * out / max(np.abs(out).max(), 1.0)


def planned(made: Plan, event: Event, bank: Bank) -> PlannedEvent:
    """The plan's event that a row's is."""
    (found,) = (
        one
        for one in made.events
        if (bank.clips[one.clip].source_id, one.start, one.num_samples)
        == (event.source_id, event.start, event.num_samples)
        and one.snr_db == event.target_snr_db
    )
    return found


def event_alone(event: PlannedEvent, made: Plan, bank: Bank, recipe: Recipe) -> np.ndarray:
    """An event's own signal before its gain and its fades, each effect applied to the whole."""
    rate = bank.sample_rate
    samples = bank.samples(bank.clips[event.clip], event.source_start, event.source_samples) / np.float32(32768)
    samples = processed(samples, event.effects, rate).astype(np.float64)
    if made.room is not None:
        num_fade = event.fade
        fade = np.sin(np.linspace(0, np.pi / 2, num_fade))
        samples[:num_fade] *= fade
        samples[len(samples) - num_fade :] *= fade[::-1]
        if made.room.clip is None:
            room = made.room
            response = synthetic_room(room.seed, rt60=room.rt60, direct_db=room.direct_db, sample_rate=rate)
        else:
            recorded = bank.samples(bank.clips[made.room.clip])
            response = recorded / np.abs(recorded).max()
        samples = scipy.signal.fftconvolve(samples, response.astype(np.float64))
    samples = through_microphone(samples, made, rate)
    return np.pad(samples, (0, max(event.num_samples - len(samples), 0)))[: event.num_samples]


def background_alone(made: Plan, bank: Bank) -> np.ndarray:
    """A background before its gain. Of a loop, its end passes into its start in 50 ms or a little more."""
    samples = bank.samples(bank.clips[made.background.clip]) / 32768
    start, rate = made.background.source_start, bank.sample_rate
    if len(samples) < made.num_samples:
        length = (len(samples) - round(0.05 * rate)) // (rate // 10) * (rate // 10)
        overlap = len(samples) - length
        angle = np.linspace(0, np.pi / 2, overlap)
        loop = samples[:length].copy()
        loop[:overlap] = samples[:overlap] * np.sin(angle) + samples[length:] * np.cos(angle)
        samples = np.tile(loop, made.num_samples // length + 2)
        start %= length
    return through_microphone(samples[start : start + made.num_samples], made, rate)


def through_microphone(samples: np.ndarray, made: Plan, rate: int) -> np.ndarray:
    if made.microphone is None:
        return samples
    low_hz, high_hz = made.microphone.low_hz, made.microphone.high_hz
    return band_limited(samples.astype(np.float32), low_hz=low_hz, high_hz=high_hz, sample_rate=rate).astype(float)


def lufs(samples: np.ndarray, rate: int) -> float:
    """As Scaper measures it: less than half a second is repeated until it is that long."""
    duration = len(samples) / rate
    if duration < 0.5:
        samples = np.tile(samples, math.ceil(0.5 / duration))
    with np.errstate(divide="ignore"):
        return max(float(pyloudnorm.Meter(rate).integrated_loudness(samples)), -70.0)


def from_db(gain_db: float) -> float:
    return 10 ** (gain_db / 20)
