import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from training.validation import fit_calibration, logit, sigmoid

NO_PRIOR = np.zeros(1)


def cells(scale: float, bias: float, seed: int = 0, num: int = 200_000) -> tuple[np.ndarray, np.ndarray]:
    """Probabilities of a model, and outcomes for which sigmoid(scale * logit + bias) is the true probability."""
    rng = np.random.default_rng(seed)
    logits = rng.normal(-2, 2, num)
    return sigmoid(logits), rng.random(len(logits)) < sigmoid(scale * logits + bias)


@settings(max_examples=10, deadline=None)
@given(st.floats(0.3, 2.5), st.floats(-2, 1))
def test_the_fit_finds_the_scale_and_bias_that_the_outcomes_were_drawn_with(scale: float, bias: float) -> None:
    found = fit_calibration([cells(scale, bias)], NO_PRIOR)
    assert found == pytest.approx((scale, bias, 0.0), abs=0.1)


@settings(max_examples=10, deadline=None)
@given(st.floats(0.3, 2.5), st.floats(-1, 1), st.floats(0.2, 1.5))
def test_the_fit_finds_how_much_a_labels_prior_counts(scale: float, bias: float, weight: float) -> None:
    log_odds = np.array([-3.0, -1.0, 0.0, 1.0])
    parts = [cells(scale, bias + weight * odds, seed, 100_000) for seed, odds in enumerate(log_odds)]
    assert fit_calibration(parts, log_odds) == pytest.approx((scale, bias, weight), abs=0.1)


def test_a_prior_that_the_model_makes_too_much_of_is_taken_off() -> None:
    log_odds = np.array([-1.0, 1.0])
    found = fit_calibration([cells(1.0, 0.5, 0), cells(1.0, -0.5, 1)], log_odds)
    assert found == pytest.approx((1.0, 0.0, -0.5), abs=0.05)


def test_a_model_that_ranks_backwards_keeps_its_order_and_gets_the_prior() -> None:
    probabilities, truth = cells(-1.0, -1.0)
    scale, bias, _ = fit_calibration([(probabilities, truth)], NO_PRIOR)
    assert scale == 1.0
    assert sigmoid(logit(probabilities) + bias).mean() == pytest.approx(truth.mean(), abs=0.01)


def test_separable_cells_give_a_finite_fit() -> None:
    separable = np.array([0.1] * 50 + [0.9] * 50), np.array([False] * 50 + [True] * 50)
    scale, bias, _ = fit_calibration([separable], NO_PRIOR)
    assert scale > 1
    assert np.isfinite([scale, bias]).all()


@pytest.mark.parametrize("outcome", [True, False])
def test_one_outcome_alone_calibrates_nothing(outcome: bool) -> None:
    assert fit_calibration([(np.array([0.2, 0.7]), np.array([outcome] * 2))], NO_PRIOR) == (1.0, 0.0, 0.0)
