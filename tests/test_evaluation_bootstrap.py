"""Intervals: each replicate is the metric of the clips it draws, and intervals are as wide as theory says."""

import dataclasses

import numpy as np
import pytest
from scored_arrays import truth_of_spans
from test_evaluation_metrics import random_spans

from evaluation import psds as psds_module
from evaluation.binned import bin_edges, by_clip_and_bin, weighted_auroc
from evaluation.binned import resampled_auroc as binned_auroc
from evaluation.bootstrap import clip_weights, interval
from evaluation.event_f1 import collar_f1
from evaluation.false_alarms import false_alarms
from evaluation.frame_auroc import auroc, frame_auroc, pooled_auroc, resampled_auroc
from evaluation.frame_scores import FrameScores
from evaluation.post_processing import PostProcessing, detection_f1
from evaluation.psds import PSDS1, PSDS1_A, area, measure, psds
from evaluation.results import Metric
from evaluation.segments import partial_auroc, resampled_partial_auroc, segment_f1
from evaluation.truth import Truth

HOP, DURATIONS = 0.1, [10.0, 7.3, 10.0, 4.0, 10.0, 6.0, 9.0, 10.0]


def drawn(scores: FrameScores, truth: Truth, times: np.ndarray) -> tuple[FrameScores, Truth]:
    """Each clip as often as it was drawn: the slow way."""
    clips = np.repeat(np.arange(len(times)), times.astype(int)).tolist()
    parts = [np.asarray(scores.values[:, scores.starts[clip] : scores.starts[clip + 1]]).T for clip in clips]
    durations = scores.durations[clips].tolist()
    names = [f"clip {index}" for index in range(len(clips))]
    result = FrameScores.empty(scores.labels, names, durations, [len(part) for part in parts], dtype=np.float64)
    for index, clip in enumerate(clips):
        result.fill(index, scores.edges_of(clip), parts[index])
    spans = truth_of_spans([truth.by_clip[clip] for clip in clips], durations)
    return result, dataclasses.replace(spans, known=truth.known[clips])


@pytest.fixture(scope="module")
def replicates():
    scores, truth = random_spans(0, hop=HOP, durations=DURATIONS)
    known = np.random.default_rng(1).random((len(DURATIONS), 3)) < 0.9
    truth = dataclasses.replace(truth, known=known)
    weights = clip_weights(len(DURATIONS))[:12]
    return scores, truth, weights, [drawn(scores, truth, row) for row in weights]


def test_replicates_draw_as_many_clips_as_there_are_and_always_the_same():
    weights = clip_weights(50)
    assert weights.shape == (1000, 50)
    assert (weights.sum(axis=1) == 50).all()
    np.testing.assert_array_equal(weights, clip_weights(50))
    assert abs(weights.var() - 1) < 0.05  # of a Poisson count, nearly


@pytest.mark.parametrize("active_only", [False, True])
def test_resampled_auroc_is_that_of_the_clips_drawn(replicates, active_only):
    scores, truth, weights, slow = replicates
    labels, pooled = resampled_auroc(scores, truth, weights, active_only=active_only)
    expected = [frame_auroc(*part, active_only=active_only).per_label for part in slow]
    np.testing.assert_allclose(labels.T, expected, atol=1e-6)
    np.testing.assert_allclose(pooled, [pooled_auroc(*part, active_only=active_only) for part in slow], atol=1e-6)


def test_resampled_f1_is_that_of_the_clips_drawn(replicates):
    scores, truth, weights, slow = replicates
    post = PostProcessing(max_gap=0.3)
    for measured in (
        lambda *part, **more: collar_f1(*part, thresholds=(0.2, 0.4), **more)[1],
        lambda *part, **more: segment_f1(*part, threshold=0.4, **more),
        lambda *part, **more: detection_f1(*part, threshold=0.4, post=post, **more),
    ):
        found, again = measured(scores, truth, weights=weights), [measured(*part) for part in slow]
        np.testing.assert_allclose(found.macro_replicates, [part.macro for part in again], rtol=1e-6)
        np.testing.assert_allclose(found.micro_replicates, [part.micro for part in again], rtol=1e-6)
        assert found.macro > 0


def test_resampled_false_alarms_are_those_of_the_clips_drawn(replicates):
    scores, truth, weights, slow = replicates
    how = {"threshold": 0.4, "post": PostProcessing()}
    absent = truth.known & (np.arange(len(DURATIONS)) % 2 == 0)[:, None]
    found = false_alarms(scores, absent, weights=weights, **how)
    parts = zip(slow, weights, strict=True)
    expected = [false_alarms(part, absent.repeat(row.astype(int), axis=0), **how).per_hour for (part, _), row in parts]
    np.testing.assert_allclose(found.replicates, expected, rtol=1e-6)
    assert found.per_hour > 0


def test_resampled_partial_auroc_is_that_of_the_clips_drawn(replicates):
    scores, truth, weights, slow = replicates
    # ties are joined by a line, not by a step: never below
    steps = np.array([partial_auroc(*part).per_label for part in slow])
    assert (steps - 1e-6 <= resampled_partial_auroc(scores, truth, weights).T)[np.isfinite(steps)].all()
    fine = dataclasses.replace(scores, values=scores.values + np.random.default_rng(0).random(scores.values.shape) / 50)
    untied = resampled_partial_auroc(fine, truth, weights)
    expected = [partial_auroc(*drawn(fine, truth, row)).per_label for row in weights]
    np.testing.assert_allclose(untied.T, expected, atol=1e-6)


def test_resampled_psds_is_that_of_the_clips_drawn(replicates):
    scores, truth, weights, slow = replicates
    wide = dataclasses.replace(PSDS1, max_false_alarms=2000.0)
    found = measure(scores, truth, wide, weights=weights)
    for variant in (PSDS1, PSDS1_A):
        variant = dataclasses.replace(variant, max_false_alarms=2000.0)
        expected = [psds(list(measure(*part, variant).rocs.values()), variant) for part in slow]
        np.testing.assert_allclose(found.resampled(variant), expected, atol=2e-3)
        assert np.ptp(expected) > 0.02
    everything = measure(scores, truth, wide, weights=np.ones((1, len(DURATIONS)), np.float32))
    assert everything.resampled(dataclasses.replace(wide, instability_weight=0.0))[0] == pytest.approx(
        np.mean([area(roc, wide) for roc in everything.rocs.values()]), abs=1e-3
    )


def test_leaving_out_what_lies_far_beyond_changes_nothing(monkeypatch):
    scores, truth = random_spans(3, hop=0.04, durations=[10.0] * 12)
    weights = clip_weights(12)[:12]
    variant = dataclasses.replace(PSDS1, max_false_alarms=500.0)
    assert not psds_module._near(psds_module.variant_deltas(scores, truth, 0, variant), variant).is_whole
    found = measure(scores, truth, variant, weights=weights).hits
    monkeypatch.setattr(psds_module, "_AMPLE", 10**9)
    np.testing.assert_array_equal(found, measure(scores, truth, variant, weights=weights).hits)
    assert found.max() > 0.02


def test_an_interval_is_as_wide_as_theory_says():
    values = np.random.default_rng(0).random(400)
    weights = clip_weights(400)
    found = interval(weights @ values / 400, around=values.mean())
    error = 1.96 * values.std() / np.sqrt(400)
    assert (found.low, found.high) == pytest.approx((values.mean() - error, values.mean() + error), abs=error / 5)


def test_an_interval_lies_around_the_value_though_replicates_are_biased():
    replicates = np.random.default_rng(0).normal(0.5, 0.1, 1000)
    found = interval(replicates + 0.3, around=0.5)
    assert (found.low + found.high) / 2 == pytest.approx(0.5, abs=0.02)
    metric = Metric(value=0.98, replicates=np.minimum(replicates, 1.0))
    assert metric.interval.high == 1.0
    assert Metric(value=0.02, replicates=replicates).interval.low == 0.0
    rare = Metric(value=0.0, replicates=np.array([0.0] * 99 + [0.5]))  # their mean is above all but one of them
    assert (rare.interval.low, rare.interval.high) == (0.0, 0.0)
    assert Metric(value=300.0, replicates=replicates + 299.5).interval.high > 300.1


def test_a_metric_that_is_mostly_undefined_has_no_interval():
    assert interval(np.full(10, np.nan), around=1.0) is None
    assert interval(np.r_[np.full(6, np.nan), np.ones(4)], around=1.0) is None
    assert interval(np.r_[np.full(4, np.nan), np.ones(6)], around=1.0).low == 1.0
    assert interval(np.zeros(0), around=1.0) is None
    assert Metric(value=None, replicates=np.ones(10)).interval is None


@pytest.mark.parametrize("num_clips", [40, 700])  # fewer than there are bins, and more
def test_binned_auroc_is_the_same_by_clips_with_positives_and_by_bins(num_clips):
    rng = np.random.default_rng(0)
    clip = np.sort(rng.integers(0, num_clips, 8 * num_clips))
    scores, sounds = rng.integers(0, 50, len(clip)) / 50, rng.random(len(clip)) < 0.5
    parts = [(scores[of], clip[of]) for of in (sounds, ~sounds)]
    edges, weights = bin_edges(scores), clip_weights(num_clips, num=20)
    found = binned_auroc(*parts, edges, weights)
    by_bin = [weights @ by_clip_and_bin(*part, edges, num_clips=num_clips) for part in parts]
    np.testing.assert_allclose(found, weighted_auroc(*by_bin), rtol=1e-9)
    once = binned_auroc(*parts, edges, np.ones((1, num_clips), np.float32))
    assert once[0] == pytest.approx(auroc(scores[sounds], scores[~sounds]), abs=1e-6)
    assert np.isnan(binned_auroc(*parts, edges, np.zeros((1, num_clips), np.float32)))


def test_weights_are_those_that_one_draw_of_all_would_give():
    whole = np.random.default_rng(0).multinomial(30, np.full(30, 1 / 30), size=50)
    np.testing.assert_array_equal(clip_weights(30, num=50), whole)
