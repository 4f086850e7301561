"""The fast engine: levels, labels and samples of what it mixes, each checked by itself."""

import dataclasses
from pathlib import Path

import numpy as np
import pytest
from small_bank import Sound, noise, tone, write_bank

from curation.activity import active_stretches
from curation.backgrounds import Backgrounds, background_pieces
from curation.bank import Bank
from curation.catalogue import Catalogue
from curation.config import Recipe
from curation.distributions import Constant, Uniform
from curation.events import Events, event_pcm
from curation.layers import Layers
from curation.loudness import gated_lufs, integrated_lufs
from curation.measures import fade_ends, measure_event, quarter_sine
from curation.mix import Mixer
from curation.plan import Plan, PlannedBackground, PlannedEvent, plan
from curation.rendered import Mixture
from manifests.errors import FlamError

RECIPE = Recipe(name="test")
RATE = 16000


@pytest.fixture(scope="module")
def bank(tmp_path_factory: pytest.TempPathFactory) -> Bank:
    return write_bank(tmp_path_factory.mktemp("mix") / "bank")


def plans(bank: Bank, num: int, recipe: Recipe = RECIPE) -> list[Plan]:
    catalogue = Catalogue(bank.clips, sample_rate=bank.sample_rate, recipe=recipe)
    return [plan(index, catalogue=catalogue, recipe=recipe, seed=0) for index in range(num)]


def background_samples(made: Plan, bank: Bank) -> np.ndarray:
    return np.concatenate(background_pieces(made, bank)) / 32768


def alone(made: Plan, bank: Bank, recipe: Recipe = RECIPE) -> list[tuple[Mixture, np.ndarray]]:
    """Each event's own signal in the mixture, as what its absence changes."""
    whole = Mixer(bank, recipe).mix(made).samples().astype(np.float64)
    parts = []
    for place in range(len(made.events)):
        without = Mixer(bank, recipe).mix(made.without([place]))
        parts.append((without, (whole - without.samples()) / 32768))
    return parts


def unscaled(bank: Bank, num: int) -> list[tuple[Plan, Mixture]]:
    mixer = Mixer(bank, RECIPE)
    mixed = [(made, mixer.mix(made)) for made in plans(bank, num)]
    return [(made, mixture) for made, mixture in mixed if mixture.mix_gain_db == 0]


def test_loudness_is_as_planned_when_measured_in_the_soundscape(bank: Bank) -> None:
    for made, mixture in unscaled(bank, 12):
        assert mixture.background.lufs == pytest.approx(made.background.lufs, abs=1e-6)
        for event, (_, signal) in zip(mixture.events, alone(made, bank), strict=True):
            heard = signal[event.start : event.start + event.num_samples]
            assert event.snr_db == pytest.approx(integrated_lufs(heard, RATE) + 50, abs=0.05)
            if event.num_samples > RATE:  # fades change a short sound, and one that dies away
                slack = 0.5 if event.label == "alarm" else 0.05
                assert event.snr_db == pytest.approx(event.target_snr_db, abs=slack)


def test_labels_are_where_the_events_own_signal_is(bank: Bank) -> None:
    for made, mixture in unscaled(bank, 12):
        for event, (_, signal) in zip(mixture.events, alone(made, bank), strict=True):
            outside = signal.copy()
            outside[event.start : event.start + event.num_samples] = 0
            assert np.abs(outside).max() < 1e-4  # rounding to int16
            heard = signal[event.start : event.start + event.num_samples]
            expected = active_stretches(heard, RATE, threshold_dbfs=RECIPE.activity_dbfs)
            assert len(event.activity) == len(expected)
            for found, stretch in zip(event.activity, expected, strict=True):
                assert found.onset - event.onset == pytest.approx(stretch.onset, abs=0.0101)
                assert found.offset - event.onset == pytest.approx(stretch.offset, abs=0.0101)


def test_a_pause_in_a_sound_is_a_pause_in_its_label(bank: Bank) -> None:
    knocks = [e for _, m in unscaled(bank, 60) for e in m.events if e.label == "knock"]
    assert knocks
    for event in knocks:
        first, second = event.activity
        assert first.offset - event.onset == pytest.approx(1.0, abs=0.03)
        assert second.onset - event.onset == pytest.approx(1.5, abs=0.03)


def test_labels_never_leave_the_event_or_the_clip(bank: Bank) -> None:
    mixer = Mixer(bank, RECIPE)
    for made in plans(bank, 60):
        mixture = mixer.mix(made)
        assert len(mixture.samples()) == made.num_samples
        for event in mixture.events:
            edges = [edge for s in event.activity for edge in (s.onset, s.offset)]
            assert edges == sorted(edges)
            assert 0 <= event.onset <= edges[0] < edges[-1] <= event.offset <= 10.0


def test_a_mixture_that_would_clip_is_scaled_and_its_labels_measured_after(bank: Bank) -> None:
    recipe = Recipe(name="loud", background_lufs=Constant(distribution="constant", value=-20.0))
    made = next(made for made in plans(bank, 60, recipe) if len(made.events) > 3)
    mixture = Mixer(bank, recipe).mix(made)
    assert mixture.mix_gain_db < -1
    assert np.abs(mixture.samples().astype(int)).max() >= 32767
    assert mixture.background.lufs == pytest.approx(-20 + mixture.mix_gain_db, abs=1e-6)
    for event in mixture.events:
        if event.num_samples > RATE and event.label != "alarm":
            assert event.snr_db == pytest.approx(event.target_snr_db, abs=0.05)


def test_no_sample_that_might_clip_is_overlooked(bank: Bank, monkeypatch: pytest.MonkeyPatch) -> None:
    looked_at, peak = [], Layers.peak
    monkeypatch.setattr(Layers, "peak", lambda layers, *span: looked_at.append((layers, span)) or peak(layers, *span))
    recipe = Recipe(name="loud", background_lufs=Uniform(distribution="uniform", low=-30, high=-20))
    for made in plans(bank, 40, recipe):
        # that end at the end of a step: if a step more or less were looked at, it would show
        events = [dataclasses.replace(event, start=event.start // 320 * 320 + 319) for event in made.events]
        made = dataclasses.replace(made, events=tuple(e for e in events if e.start + e.num_samples <= 160_000))
        Mixer(bank, recipe).mix(made)
    assert any(span != (0, 160_000) for _, span in looked_at)
    ends = 0
    for layers, (start, stop) in looked_at:
        mixed = np.concatenate([tile.copy() for _, tile in layers._tiles(0, layers.num_samples)])
        loud = np.flatnonzero(np.abs(mixed) > 0.999)
        assert ((start <= loud) & (loud < stop)).all()
        ends += (loud >= stop - 320).any() and stop < 160_000
    assert ends > 2


def test_an_event_below_the_threshold_is_neither_heard_nor_labelled(bank: Bank) -> None:
    recipe = Recipe(name="faint", snr_db=Uniform(distribution="uniform", low=-60, high=-20))
    made = next(made for made in plans(bank, 60, recipe) if len(made.events) > 2)
    mixture = Mixer(bank, recipe).mix(made)
    assert mixture.events == []
    assert mixture.num_inaudible == len(made.events)
    only_background = Mixer(bank, recipe).mix(dataclasses.replace(made, events=()))
    np.testing.assert_array_equal(mixture.samples(), only_background.samples())


def test_events_that_fall_silent_when_the_mixture_is_scaled_are_left_out(bank: Bank) -> None:
    loud, faint = (PlannedEvent(clip=i, source_start=0, num_samples=bank.clips[i].num_samples,
                                source_samples=bank.clips[i].num_samples, fade=160, start=start, snr_db=snr_db)
                   for i, start, snr_db in ((4, 0, 60.0), (5, 60000, -9.0)))  # fmt: skip
    background = PlannedBackground(clip=0, source_start=0, lufs=-50.0)
    made = Plan(index=0, split="train", num_samples=160000, background=background, events=(loud, faint))
    mixture = Mixer(bank, RECIPE).mix(made)
    assert mixture.num_inaudible == 1
    assert [event.start for event in mixture.events] == [0]
    again = Mixer(bank, RECIPE).mix(made.without([1]))
    np.testing.assert_array_equal(mixture.samples(), again.samples())


def test_a_short_background_loops_without_a_click(tmp_path: Path) -> None:
    hum = tone(3.003, 100)  # does not end where it began
    sounds = [Sound(samples=hum, role="background", label="hum"), Sound(samples=noise(1, 1))]
    bank = write_bank(tmp_path / "bank", sounds)
    for made in plans(bank, 5):
        looped = background_samples(made, bank)
        assert len(looped) == 160000
        steepest = np.abs(np.diff(hum)).max()
        assert np.abs(np.diff(looped)).max() < 1.5 * steepest
    noisy = write_bank(tmp_path / "noisy", [
        Sound(samples=noise(3, 5), role="background", label="hiss"), Sound(samples=noise(1, 1)),
    ])  # fmt: skip
    looped = background_samples(plans(noisy, 1)[0], noisy).reshape(-1, 800)
    levels = looped.std(axis=1)
    assert levels.min() > 0.8 * levels.mean()  # equal power: no dip in the crossfade


def test_a_loop_whose_end_is_like_its_start_is_not_clipped(tmp_path: Path) -> None:
    hum = tone(3.15, 100, level=0.9)  # closes in phase: the crossfade is 3 dB louder
    bank = write_bank(
        tmp_path / "bank", [Sound(samples=hum, role="background", label="hum"), Sound(samples=noise(1, 1))]
    )
    looped = background_samples(plans(bank, 1)[0], bank)
    assert np.abs(looped).max() == pytest.approx(0.9 * 2**0.5, abs=0.02)


@pytest.mark.parametrize("rate", [16000, 11025])  # a tenth of a second is no whole number of samples
@pytest.mark.parametrize("duration", [10.0, 9.87, 0.5])
def test_a_backgrounds_loudness_from_the_bank_is_that_of_the_samples(
    tmp_path: Path, rate: int, duration: float
) -> None:
    drift = 0.3 * np.sin(2 * np.pi * 3 * np.arange(13 * rate) / rate)  # where a filter starts makes a difference
    loud_end = noise(4, 2, rate=rate) * np.linspace(0.01, 1, 4 * rate)
    bank = write_bank(tmp_path / "bank", [
        Sound(samples=noise(13, 1, rate=rate) * 0.1 + drift, role="background", label="sea"),
        Sound(samples=loud_end, role="background", label="rain"),
        Sound(samples=tone(1, 500, rate=rate)),
    ], rate=rate)  # fmt: skip
    recipe = Recipe(name="test", duration=duration)
    for made in plans(bank, 20, recipe):
        samples = background_samples(made, bank)
        powers = Backgrounds(bank).behind(made).powers
        assert gated_lufs(powers) == pytest.approx(integrated_lufs(samples, rate), abs=1e-5)  # 32-bit floats


@pytest.mark.parametrize("fade", [0.01, 0.02, 0.0])
def test_measures_from_the_bank_are_those_of_the_faded_samples(bank: Bank, fade: float) -> None:
    recipe = Recipe(name="test", fade=fade)
    events = Events(bank)
    for made, event in [(one, event) for one in plans(bank, 20, recipe) for event in one.events]:
        plain = event_pcm(event, bank) / 32768
        faded = plain.copy()
        fade_ends(faded, quarter_sine(int(fade * RATE)))
        lufs, measures, _ = events.heard(event, made)
        expected = measure_event(faded, RATE)
        np.testing.assert_allclose(measures.powers, expected.powers, rtol=2e-7)  # stored as 32-bit floats
        np.testing.assert_allclose(measures.levels_dbfs, expected.levels_dbfs, atol=1e-3)
        np.testing.assert_allclose(measures.bands, expected.bands, rtol=1e-3, atol=1e-9)
        assert lufs == pytest.approx(integrated_lufs(plain, RATE), abs=1e-6)


def test_a_long_background_is_the_banks_own_slice(bank: Bank) -> None:
    made = next(made for made in plans(bank, 20) if bank.clips[made.background.clip].label == "wind")
    clip, start = bank.clips[made.background.clip], made.background.source_start
    expected = bank.samples(clip, start, 160000) / 32768
    np.testing.assert_array_equal(background_samples(made, bank), expected)


def test_fades_are_quarter_sines_at_both_ends() -> None:
    plain = noise(1, 3)
    faded = plain.copy()
    fade_ends(faded, quarter_sine(160))
    sine = np.sin(np.linspace(0, np.pi / 2, 160))
    np.testing.assert_allclose(faded[:160], plain[:160] * sine, atol=1e-7)
    np.testing.assert_allclose(faded[-160:], plain[-160:] * sine[::-1], atol=1e-7)
    np.testing.assert_array_equal(faded[160:-160], plain[160:-160])
    fade_ends(faded, quarter_sine(0))
    np.testing.assert_array_equal(faded[160:-160], plain[160:-160])


def test_what_was_mixed_before_changes_nothing(bank: Bank) -> None:
    made = plans(bank, 20)
    mixer = Mixer(bank, RECIPE)
    for one in made:
        mixer.mix(one)
    warm, cold = mixer.mix(made[7]), Mixer(bank, RECIPE).mix(made[7])
    np.testing.assert_array_equal(warm.samples(), cold.samples())
    assert (warm.events, warm.background) == (cold.events, cold.background)


def test_provenance_points_into_the_original_file(bank: Bank) -> None:
    for made in plans(bank, 20):
        for event in Mixer(bank, RECIPE).mix(made).events:
            assert event.origin_start == 100 + 2 * event.source_start
            assert event.origin.startswith(event.label)
            assert event.licence in {"CC0", "CC-BY"}


def test_a_background_that_is_silent_where_it_is_taken_is_an_error_that_names_it(tmp_path: Path) -> None:
    park = np.concatenate([noise(2.5, 1), np.zeros(20 * RATE), noise(1, 2)])
    sounds = [Sound(samples=park, role="background", label="park"), Sound(samples=tone(1, 500))]
    bank = write_bank(tmp_path / "bank", sounds)
    made = plans(bank, 1)[0]
    silent = dataclasses.replace(made, background=dataclasses.replace(made.background, source_start=5 * RATE))
    with pytest.raises(FlamError, match=r"park/0\.wav \(source s000\), .* measures -70\.0 LUFS, not -50\.0"):
        Mixer(bank, RECIPE).mix(silent)


@pytest.mark.parametrize(("pause_dbfs", "target", "louder"), [(-60.0, -35.0, True), (-85.0, 0.0, False)])
def test_a_background_with_pauses_need_not_measure_its_target(
    pause_dbfs: float, target: float, louder: bool, tmp_path: Path
) -> None:
    """Attenuated, its pauses fall below BS.1770's absolute gate, amplified, they rise above it, and count."""
    burst = np.concatenate([noise(0.5, 1), noise(0.5, 3, level=0.014), noise(30, 2, level=10 ** (pause_dbfs / 20))])
    bank = write_bank(
        tmp_path / "bank", [Sound(samples=burst, role="background", label="rain"), Sound(samples=tone(1, 500))]
    )
    made = plans(bank, 1)[0]
    made = dataclasses.replace(
        made, events=(), background=dataclasses.replace(made.background, source_start=0, lufs=target)
    )
    found = Mixer(bank, RECIPE).mix(made).background
    assert (found.gain_db < 0) == louder
    assert abs(found.lufs - target) > 1
    assert (found.lufs > target) == louder


def test_a_mixture_that_is_scaled_down_to_the_floor_of_loudness_is_no_error(bank: Bank) -> None:
    recipe = Recipe(
        name="loud",
        background_lufs=Constant(distribution="constant", value=-65.0),
        snr_db=Uniform(distribution="uniform", low=55, high=60),
    )
    gains = [Mixer(bank, recipe).mix(made).mix_gain_db for made in plans(bank, 20, recipe)]
    assert min(gains) < -5
