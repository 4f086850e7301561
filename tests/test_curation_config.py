"""Recipes: what is valid, and what a user is told of what isn't."""

from pathlib import Path

import numpy as np
import pytest
import scipy.stats
from hypothesis import given
from hypothesis import strategies as st
from pydantic import TypeAdapter

from curation.config import Recipe, load_recipe
from curation.distributions import (
    AnyCount,
    AnyQuantity,
    Choice,
    Constant,
    IntegerChoice,
    IntegerConstant,
    IntegerUniform,
    LogUniform,
    Quantity,
    TruncatedNormal,
    Uniform,
)
from manifests.errors import FlamError


@pytest.fixture
def recipe_file(tmp_path: Path) -> Path:
    return tmp_path / "mine.toml"


def test_the_built_in_recipe_is_the_default_in_all_but_its_name() -> None:
    assert load_recipe("finelap-100k") == Recipe(name="finelap-100k")


def test_a_file_without_a_name_is_named_after_itself(recipe_file: Path) -> None:
    recipe_file.write_text("duration = 4.0\n")
    assert load_recipe(recipe_file) == Recipe(name="mine", duration=4.0)


@pytest.mark.parametrize(
    ("content", "told"),
    [
        ("duraton = 5.0", "duraton is not a key of a recipe; did you mean duration?"),
        ("xyzzy = 1", "xyzzy is not a key of a recipe; valid keys: name, duration, split"),
        ("split = { trian = 1.0 }", "split.trian is not a key of a recipe; did you mean train?"),
        (
            'snr_db = { distribution = "uniform", low = 1, hihg = 2, high = 3 }',
            "snr_db.hihg is not a key of a recipe; did you mean high?",
        ),
        (
            'events = { distribution = "integer_uniform", lo = 1, low = 1, high = 3 }',
            "events.lo is not a key of a recipe; did you mean low?",
        ),
        ('duration = "long"', 'duration: give a number or a distribution, such as { distribution = "uniform", low'),
        ("duration = -1", "duration: value = -1 is not between 0.5 and 3600"),
        ("fade = nan", "fade.value: Input should be a finite number"),
        (
            'snr_db = { distribution = "uniform", low = 9, high = 3 }',
            "low = 9.0 is above high = 3.0",
        ),
        ('snr_db = { distribution = "gaussian" }', "snr_db: Input tag 'gaussian'"),
        ('events = { distribution = "integer_uniform", low = -1, high = 3 }', "events: low = -1 is not between 0 and"),
        ('repeats = { distribution = "integer_uniform", low = 0, high = 3 }', "repeats: low = 0 is not between 1 and"),
        ("split = { train = 0.0 }", "split: all shares are 0"),
        ("max_event_duration = 0.02\nfade = 0.02", "under two fades"),
        ("max_event_duration = 1e308", "max_event_duration: value = 1e+308 is not between 0.02 and 3600"),
        (
            'events = { distribution = "integer_uniform", low = 1, high = 10000000000000000000 }',
            "events.high: Input should be less than or equal to 1000000",
        ),
        (
            'background_lufs = { distribution = "constant", value = 0.5 }',
            "background_lufs: value = 0.5 is not between -70 and 0",
        ),
        (
            'background_lufs = { distribution = "uniform", low = -70.5, high = -40 }',
            "background_lufs: low = -70.5 is not between -70 and 0",
        ),
        (
            'snr_db = { distribution = "uniform", low = 0, high = 1e300 }',
            "snr_db: high = 1e+300 is not between -60 and 60",
        ),
        ('snr_db = { distribution = "constant", value = -61 }', "snr_db: value = -61 is not between -60 and 60"),
        (
            'snr_db = { distribution = "uniform", low = -inf, high = 3 }',
            "snr_db.low: Input should be a finite number",
        ),
        ('snr_db = { distribution = "log_uniform", low = 0, high = 3 }', "snr_db.low: Input should be greater than 0"),
        (
            'snr_db = { distribution = "truncated_normal", mean = 0, std = 1, low = 7, high = 9 }',
            "snr_db: low = 7.0 to high = 9.0 is over 6 std from mean = 0.0",
        ),
        ('snr_db = { distribution = "choice", values = [] }', "snr_db.values: Tuple should have at least 1 item"),
        ('snr_db = { distribution = "choice", values = [1, 99] }', "snr_db: values[1] = 99 is not between -60 and 60"),
        (
            'events = { distribution = "choice", values = [1, 2], weights = [1] }',
            "events: 1 weights for 2 values; give one each, not all of them 0",
        ),
        (
            'snr_db = { distribution = "truncated_normal", maen = 0, mean = 0, std = 1, low = 1, high = 2 }',
            "snr_db.maen is not a key of a recipe; did you mean mean?",
        ),
        ("duration = true", "duration: give a number or a distribution"),
        ("reverb = { shar = 1 }", "reverb.shar is not a key of a recipe; did you mean share?"),
        ("reverb = { share = 2 }", "reverb.share: Input should be less than or equal to 1, not 2"),
        (
            'reverb = { rt60 = { distribution = "uniform", lo = 1, low = 1, high = 2 } }',
            "reverb.rt60.lo is not a key of a recipe; did you mean low?",
        ),
        ("microphone = { low_hz = 5000 }", "microphone.low_hz: value = 5000 is not between 0 and 1000"),
        ('together = [{ labels = ["a"], weight = 2 }]', "together.0.labels.1: Field required"),
        ('together = [{ labels = ["a", "b"], wieght = 2 }]', "together.0.weight: Field required"),
        ("frequency = { dog = 1 }", 'frequency is given, but balance = "sources"; set balance = "frequency"'),
        ("near_silent = 0.6\nbackground_only = 0.6", "background_only and near_silent are more than all soundscapes"),
        ("pieces = 1", "pieces: value = 1 is not between 2 and 100"),
        ("pitch_semitones = 24", "pitch_semitones: value = 24 is not between -12 and 12"),
        ("duration 5", "cannot be read as TOML"),
    ],
)
def test_a_mistake_is_one_line_with_file_key_and_advice(recipe_file: Path, content: str, told: str) -> None:
    recipe_file.write_text(content)
    with pytest.raises(FlamError) as error:
        load_recipe(recipe_file)
    assert str(recipe_file) in str(error.value)
    assert told in str(error.value)
    assert "\n" not in str(error.value)


def test_an_unknown_name_lists_the_built_in_ones() -> None:
    with pytest.raises(FlamError, match=r"no recipe 'finelap': .* built-in finelap-100k"):
        load_recipe("finelap")


def test_nothing_changes_a_recipe_after_it_was_read() -> None:
    with pytest.raises(ValueError, match="frozen"):
        load_recipe("finelap-100k").duration = 3.0  # type: ignore[misc]


@given(st.integers(-50, 50), st.integers(0, 50), st.integers(0, 2**32))
def test_draws_stay_between_their_bounds(low: int, span: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    whole = IntegerUniform(distribution="integer_uniform", low=low, high=low + span)
    assert low <= whole.sample(rng) <= low + span
    assert low <= Uniform(distribution="uniform", low=low, high=low + span).sample(rng) <= low + span
    above = LogUniform(low=10.0 ** (low / 10), high=10.0 ** ((low + span) / 10))
    assert above.low <= above.sample(rng) <= above.high
    bell = TruncatedNormal(mean=low + span / 3, std=1 + span, low=low, high=low + span)
    assert low <= bell.sample(rng) <= low + span
    assert Constant(distribution="constant", value=low).sample(rng) == low


def test_both_bounds_of_a_whole_number_are_drawn() -> None:
    rng = np.random.default_rng(0)
    whole = IntegerUniform(distribution="integer_uniform", low=1, high=3)
    assert {whole.sample(rng) for _ in range(100)} == {1, 2, 3}


def drawn(quantity: AnyQuantity | AnyCount, num: int = 20_000) -> np.ndarray:
    rng = np.random.default_rng(1)
    return np.array([quantity.sample(rng) for _ in range(num)])


def test_each_distribution_has_the_shape_of_its_name() -> None:
    log = np.log(drawn(LogUniform(low=0.1, high=10)))
    assert scipy.stats.kstest(log, scipy.stats.uniform(np.log(0.1), np.log(100)).cdf).pvalue > 1e-3
    bell = drawn(TruncatedNormal(mean=2, std=3, low=-1, high=4))
    assert scipy.stats.kstest(bell, scipy.stats.truncnorm(-1, 2 / 3, 2, 3).cdf).pvalue > 1e-3
    assert np.mean(drawn(Choice(values=(1, 2), weights=(1, 3))) == 2) == pytest.approx(0.75, abs=0.02)
    assert np.mean(drawn(IntegerChoice(values=(1, 2))) == 2) == pytest.approx(0.5, abs=0.02)
    assert set(drawn(Choice(values=(1, 2, 3), weights=(0, 1, 0)))) == {2}
    assert set(drawn(IntegerConstant(value=4), 10)) == {4}


def test_a_quantity_survives_json() -> None:
    quantity = TypeAdapter(Quantity)
    for value in (
        Constant(distribution="constant", value=-40),
        Uniform(distribution="uniform", low=0, high=1),
        LogUniform(low=0.5, high=2),
        TruncatedNormal(mean=0, std=1, low=-1, high=1),
        Choice(values=(1, 2), weights=(1, 0)),
    ):
        assert quantity.validate_json(quantity.dump_json(value)) == value
