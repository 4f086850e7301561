"""Calibration against a case worked by hand, a loop, and sklearn."""

import numpy as np
import pytest
from scored_arrays import frame_scores, truth_of_frames
from sklearn.metrics import brier_score_loss

from evaluation.calibration import calibration

EVERY = np.ones((1, 1), np.float32)


def test_expected_error_and_brier_worked_by_hand():
    scores, sounds = np.array([[0.9], [0.9], [0.1], [0.1]]), np.array([[True], [False], [False], [False]])
    found = calibration(frame_scores([scores]), truth_of_frames([sounds]))
    # at .9 half sounds, .4 off; at .1 nothing does, .1 off
    assert found.expected_error(EVERY)[0] == pytest.approx((2 * 0.4 + 2 * 0.1) / 4)
    assert found.brier(EVERY)[0] == pytest.approx((0.01 + 0.81 + 0.01 + 0.01) / 4)
    assert found.brier_of_prior() == pytest.approx(0.25 * 0.75)


def test_sums_over_known_windows_equal_a_loop_and_sklearn_and_follow_the_weights():
    rng = np.random.default_rng(0)
    clips = [rng.random((20, 3)) for _ in range(6)]
    sounds = [rng.random((20, 3)) < clip**2 for clip in clips]
    known = rng.random((6, 3)) < 0.7
    found = calibration(frame_scores(clips), truth_of_frames(sounds, known))
    weights = np.array([[1, 1, 1, 1, 1, 1], [3, 0, 2, 0, 1, 0]], np.float32)
    for row, times in enumerate(weights.astype(int)):
        chosen = [(clip, label) for clip in np.repeat(np.arange(6), times) for label in range(3) if known[clip, label]]
        said = np.concatenate([clips[clip][:, label] for clip, label in chosen])
        true = np.concatenate([sounds[clip][:, label] for clip, label in chosen])
        assert found.brier(weights)[row] == pytest.approx(brier_score_loss(true, said))
        error = 0.0
        for low in np.arange(15) / 15:
            inside = (said >= low) & (said < low + 1 / 15)
            if inside.any():
                error += inside.mean() * abs(said[inside].mean() - true[inside].mean())
        assert found.expected_error(weights)[row] == pytest.approx(error)


def test_a_calibrated_model_lies_on_the_diagonal_and_a_bold_one_does_not():
    rng = np.random.default_rng(0)
    chance = rng.random((20_000, 1)) ** 4
    sounds = rng.random((20_000, 1)) < chance
    truth = truth_of_frames([sounds])
    right = calibration(frame_scores([chance]), truth)
    np.testing.assert_allclose(right.reliability.said, right.reliability.found, atol=0.07)
    assert right.expected_error(EVERY)[0] < 0.02
    bold = calibration(frame_scores([np.sqrt(chance)]), truth)
    assert bold.expected_error(EVERY)[0] > 0.1
    assert right.reliability.count.min() >= 50


def test_where_nothing_is_known_nothing_is_said():
    found = calibration(
        frame_scores([np.ones((5, 1))]), truth_of_frames([np.ones((5, 1), bool)], np.zeros((1, 1), bool))
    )
    assert np.isnan(found.expected_error(EVERY)[0])
    assert found.brier_of_prior() is None
    assert not len(found.reliability.said)
