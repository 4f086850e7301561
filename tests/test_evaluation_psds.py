"""PSDS against the reference vectors, the field's own scorer, a case worked by hand, and the scorer's traps."""

import dataclasses
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scored_arrays import frame_scores, scorer_tables, truth_of_spans
from sed_scores_eval import intersection_based
from test_evaluation_metrics import random_spans

from evaluation.psds import PSDS1, PSDS1_A, PSDS2, area, detection_scores, measure, psds
from evaluation.truth import Truth, clipped
from manifests.errors import FlamError

VECTORS = Path(__file__).parents[2] / "shared/reference/metrics"


@pytest.mark.skipif(not VECTORS.is_dir(), reason=f"no reference vectors at {VECTORS}")
def test_every_reference_vector_is_met_or_refused_as_the_reference_refuses_it():
    command = [sys.executable, "-m", "cli", "score", "{scores}", "--ground-truth", "{gt}", "--durations", "{dur}"]
    check = [sys.executable, VECTORS / "check_metrics.py", VECTORS, "--", *command, "--json"]
    done = subprocess.run(check, cwd=Path(__file__).parents[1], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.split()[0] == "145"


@pytest.mark.parametrize("hop", [0.04, 0.3125])
@pytest.mark.parametrize("seed", range(3))
def test_psds_equals_sed_scores_eval(seed, hop):
    scores, truth = random_spans(seed, hop=hop, durations=[10.0] * 20)
    tables = scorer_tables(scores, truth)
    common = {"unit_of_time": "hour", "max_efpr": 2000.0}  # at a few minutes of noise, 100 an hour is next to nothing
    seventy = {"dtc_threshold": 0.7, "gtc_threshold": 0.7}
    ten = {"dtc_threshold": 0.1, "gtc_threshold": 0.1, "cttc_threshold": 0.3, "alpha_ct": 0.5}
    for variant, criteria, spread in ((PSDS1, seventy, 1.0), (PSDS1_A, seventy, 0.0), (PSDS2, ten, 1.0)):
        expected, per_label, *_ = intersection_based.psds(*tables, **criteria, alpha_st=spread, **common)
        wide = dataclasses.replace(variant, max_false_alarms=2000.0)
        rocs = measure(scores, truth, wide).rocs
        assert psds(list(rocs.values()), wide) == pytest.approx(expected, abs=1e-9)
        assert expected > 0.01 or spread
        found = {scores.labels[label]: area(roc, wide) for label, roc in rocs.items()}
        assert found == pytest.approx({name: per_label[name] for name in found}, abs=1e-9)


def one_hour(scores, spans, *, hop=1.0):
    """PSDS of one clip of an hour: false alarms per hour are false alarms."""
    return detection_scores(
        frame_scores([np.asarray(scores)[:, None]], hop=hop), truth_of_spans([{0: spans}], [len(scores) * hop])
    )


def test_psds_worked_by_hand():
    scores = np.zeros(3600)
    scores[100:110] = 0.9  # found first
    for start in range(1000, 1050, 2):
        scores[start] = 0.5  # 25 false alarms
    scores[200:210] = 0.3  # the other event, found after them
    # half of the events up to 25 false alarms an hour, all of them from there to 100: (25 * .5 + 75) / 100
    assert one_hour(scores, [(100.0, 110.0), (200.0, 210.0)]).psds1_a == pytest.approx(0.875)


def test_psds1_a_is_the_mean_of_labels_and_psds1_takes_their_spread_off():
    scores = np.zeros((3600, 2))
    scores[100:110, 0] = 1
    truth = truth_of_spans([{0: [(100.0, 110.0)], 1: [(300.0, 310.0)]}], [3600.0])
    result = detection_scores(frame_scores([scores]), truth)
    assert result.per_label == {0: 1.0, 1: 0.0}
    assert result.psds1_a == pytest.approx(0.5)
    assert result.psds1 == pytest.approx(0.5 - 0.5)


@given(st.integers(1, 20), st.integers(0, 200), st.sampled_from([0.04, 0.01, 0.02, 0.1]))
@settings(max_examples=30, deadline=None)
def test_seven_tenths_are_a_hit_wherever_they_lie_on_the_grid(tens, start, hop):
    """The detection is 10 * tens frames and the event its first seven tenths, as rounded as times come."""
    scores = np.zeros(600)
    scores[start : start + 10 * tens] = 1
    assert one_hour(scores, [(start * hop, (start + 7 * tens) * hop)], hop=hop).psds1_a == pytest.approx(1.0)


def test_clips_without_events_count():
    event, noise = np.zeros((10, 1)), np.zeros((10, 1))
    event[2:4], noise[5] = 0.5, 0.9
    truth = truth_of_spans([{0: [(2.0, 4.0)]}, {}], [10.0, 10.0])
    # one false alarm in 20 s is 180 an hour, beyond the 100 that count
    assert detection_scores(frame_scores([event, noise]), truth).psds1_a == 0.0
    unknown = dataclasses.replace(truth, known=np.array([[True], [False]]))
    assert detection_scores(frame_scores([event, noise]), unknown).psds1_a == 1.0


def test_labels_without_ground_truth_are_left_out_of_the_mean():
    truth = truth_of_spans([{0: [(0.0, 1.0)], 2: [(2.0, 3.0)]}], [3.0])
    assert detection_scores(frame_scores([np.eye(3)]), truth).per_label == {0: 1.0, 2: 1.0}
    assert detection_scores(frame_scores([np.eye(3)]), Truth.of([], np.ones((1, 3), bool))) is None


def test_truth_is_cut_to_the_clip_and_what_touches_is_one_event():
    spans = [(-1.0, 2.0), (2.0, 3.0), (2.5, 4.0), (9.0, 12.0)]
    assert list(clipped(spans, 10.0)) == [(0.0, 4.0), (9.0, 10.0)]
    assert list(clipped([(10.0, 11.0), (3.0, 3.0)], 10.0)) == []
    assert list(clipped([(0.0, 1.0), (1.0 + 1e-8, 2.0)], 3.0)) == [(0.0, 2.0)]


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_scores_that_are_no_numbers_are_refused(bad):
    with pytest.raises(FlamError, match="scores of clip 0 hold NaN"):
        one_hour(np.r_[bad, np.zeros(3599)], [(100.0, 110.0)])
