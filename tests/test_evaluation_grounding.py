"""Grounding against sed_scores_eval over clips of one label each, and cases worked by hand."""

import dataclasses

import numpy as np
import pytest
from scored_arrays import frame_scores, scorer_tables, truth_of_spans
from sed_scores_eval import intersection_based
from test_evaluation_metrics import random_spans

from evaluation.grounding import VARIANTS, Pairs, grounding_psds, pairs_of, threshold_auc
from evaluation.queries import Query
from evaluation.scored import ScoredSplit


def split_of(scores, truth):
    queries = [Query(cluster=name, label=name, phrase=name) for name in scores.labels]
    return ScoredSplit(
        queries=queries, scores=scores, others=scores.rows(slice(0, 0)), truth=truth, embeddings=np.ones((1, 1))
    )


def one(values, spans, *, hop=0.1):
    scores = frame_scores([np.asarray(values, float)[:, None]], hop=hop)
    return pairs_of(split_of(scores, truth_of_spans([{0: spans}], [len(values) * hop])))


def test_pairs_are_clips_with_each_label_that_sounds_in_them():
    scores, truth = random_spans(0, hop=0.1)
    known = truth.known.copy()
    known[1] = False
    pairs = pairs_of(split_of(scores, dataclasses.replace(truth, known=known)))
    expected = [(clip, label) for clip, found in enumerate(truth.by_clip) for label in sorted(found) if clip != 1]
    assert pairs.clip.tolist() == [clip for clip, _ in expected]
    for pair, (clip, label) in enumerate(expected):
        np.testing.assert_allclose(pairs.scores.of(pair, 0), scores.of(clip, label))
        assert pairs.truth.by_clip[pair][0] == truth.by_clip[clip][label]


def test_grounding_psds_equals_sed_scores_eval():
    scores, truth = random_spans(1, hop=0.1, durations=[10.0] * 12)
    pairs = pairs_of(split_of(scores, truth))
    everything = np.ones((1, 12), np.float32)
    for name, (value, replicates) in grounding_psds(pairs, everything).items():
        share = VARIANTS[name].detection_tolerance
        expected, *_ = intersection_based.psds(
            *scorer_tables(pairs.scores, pairs.truth), dtc_threshold=share, gtc_threshold=share, max_efpr=800.0
        )
        assert value == pytest.approx(expected, abs=1e-9)
        assert replicates[0] == pytest.approx(value, abs=2e-3)
        assert value > 0.005


def test_th_auc_worked_by_hand():
    once = np.ones((1, 1), np.float32)
    values = np.zeros(100)
    values[10:20] = 0.5
    # found at thresholds up to .49 (25 of 50): F1 is 1 there and 0 from .51 on
    area, replicates = threshold_auc(one(values, [(1.0, 2.0)]), once)
    assert area == pytest.approx((0.48 + 0.01) / 0.98)
    assert replicates[0] == area
    values[50] = 0.9  # one frame alone: the median takes it away
    assert threshold_auc(one(values, [(1.0, 2.0)]), once)[0] == area
    values[60:62] = 0.9  # two stay: a false alarm at all thresholds up to .89
    assert threshold_auc(one(values, [(1.0, 2.0)]), once)[0] == pytest.approx(area * 2 / 3, abs=1e-6)


def test_detections_are_joined_over_half_a_second_and_count_by_half():
    once = np.ones((1, 1), np.float32)
    values = np.zeros(100)
    values[10:15] = values[20:25] = 1.0  # a gap of exactly 0.5 s: one detection from 1 to 2.5 s
    assert threshold_auc(one(values, [(1.0, 2.5)]), once)[0] == pytest.approx(1.0)
    assert threshold_auc(one(values, [(1.75, 2.5)]), once)[0] == pytest.approx(1.0)  # it fills half of the detection
    assert threshold_auc(one(values, [(1.8, 2.5)]), once)[0] == 0.0
    assert threshold_auc(one(values, [(1.0, 4.0)]), once)[0] == pytest.approx(1.0)  # half of the event is found
    assert threshold_auc(one(values, [(1.0, 4.1)]), once)[0] == 0.0


def test_replicates_count_pairs_with_their_clip():
    scores, truth = random_spans(2, hop=0.1)
    pairs = pairs_of(split_of(scores, truth))
    times = np.array([[2, 0, 1, 0, 2]], np.float32)
    drawn = np.repeat(np.arange(len(pairs.clip)), times[0, pairs.clip].astype(int)).tolist()
    again = frame_scores(
        [np.asarray(pairs.scores.of(pair, 0), float)[:, None] for pair in drawn],
        hop=0.1,
        durations=pairs.scores.durations[drawn].tolist(),
    )
    spans = truth_of_spans([pairs.truth.by_clip[pair] for pair in drawn], again.durations.tolist())
    copied = Pairs(scores=again, truth=spans, clip=np.arange(len(drawn)))
    once = np.ones((1, len(drawn)), np.float32)
    assert threshold_auc(pairs, times)[1][0] == pytest.approx(threshold_auc(copied, once)[0])
    for name, (value, _) in grounding_psds(copied, once).items():
        assert grounding_psds(pairs, times)[name][1][0] == pytest.approx(value, abs=3e-3)
