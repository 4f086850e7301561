"""Frame AUROC and segment F1 against cases worked by hand, slow references, and the field's own scorer."""

import dataclasses
import tracemalloc

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from scored_arrays import frame_scores, scorer_tables, truth_of_frames, truth_of_spans
from sed_scores_eval import collar_based, segment_based
from sklearn.metrics import roc_auc_score

from evaluation import frame_auroc as frame_auroc_module
from evaluation import segments
from evaluation.bootstrap import clip_weights
from evaluation.calibration import calibration
from evaluation.event_f1 import collar_f1
from evaluation.false_alarms import false_alarms
from evaluation.frame_auroc import auroc, frame_auroc, pooled_auroc, resampled_auroc
from evaluation.frame_scores import FrameScores
from evaluation.post_processing import PostProcessing, detection_f1
from evaluation.psds import detection_scores
from evaluation.segments import (
    best_threshold,
    f1_by_threshold,
    partial_auroc,
    resampled_partial_auroc,
    segment_f1,
    segment_truth,
    segments_by_label,
)

# Few different values, so that ties are common
TIED_SCORES = hnp.arrays(np.float32, st.integers(1, 30), elements=st.sampled_from([0.0, 0.25, 0.5, 1.0]))


def pairwise_auroc(positives, negatives):
    """The definition: every pair of a positive and a negative."""
    wins = [float(p > n) + 0.5 * float(p == n) for p in positives for n in negatives]
    return sum(wins) / len(wins)


def frames_auroc_by_loop(scores, truth, known, label, active_only):
    positives, negatives = [], []
    for clip in range(len(scores)):
        if not known[clip, label]:
            continue
        for frame in range(len(scores[clip])):
            others = [truth[clip][frame, other] for other in range(known.shape[1]) if other != label]
            if truth[clip][frame, label]:
                positives.append(scores[clip][frame, label])
            elif any(others) or not active_only:
                negatives.append(scores[clip][frame, label])
    return pairwise_auroc(positives, negatives) if positives and negatives else np.nan


def random_clips(seed, num_labels=4):
    rng = np.random.default_rng(seed)
    lengths = rng.integers(1, 12, size=5)
    scores = [rng.integers(0, 6, (length, num_labels)).astype(np.float32) / 5 for length in lengths]
    truth = [rng.random((length, num_labels)) < 0.2 for length in lengths]
    return scores, truth, rng.random((5, num_labels)) < 0.7


def test_auroc_of_three_positives_and_two_negatives_worked_by_hand():
    # pairs: .9 beats both (2), .5 ties one and beats one (1.5), .1 beats none (0) -> 3.5 of 6
    assert auroc(np.array([0.9, 0.5, 0.1]), np.array([0.5, 0.2])) == pytest.approx(3.5 / 6)


@given(TIED_SCORES, TIED_SCORES)
@settings(max_examples=50, deadline=None)
def test_auroc_is_the_share_of_pairs_in_order_and_agrees_with_sklearn(positives, negatives):
    value = auroc(positives, negatives)
    assert value == pytest.approx(pairwise_auroc(positives, negatives))
    labels = np.r_[np.ones(len(positives)), np.zeros(len(negatives))]
    assert value == pytest.approx(roc_auc_score(labels, np.r_[positives, negatives]))


@pytest.mark.parametrize("active_only", [False, True])
@pytest.mark.parametrize("seed", range(5))
def test_frame_auroc_equals_a_loop_over_frames(seed, active_only):
    scores, truth, known = random_clips(seed)
    result = frame_auroc(frame_scores(scores), truth_of_frames(truth, known), active_only=active_only)
    expected = [frames_auroc_by_loop(scores, truth, known, label, active_only) for label in range(4)]
    np.testing.assert_allclose(result.per_label, expected)
    assert result.num_left_out == np.isnan(expected).sum()


def test_detecting_that_anything_sounds_is_rewarded_over_all_frames_and_not_over_active_ones():
    truth = np.zeros((100, 2), bool)
    truth[20:30, 0] = truth[60:70, 1] = True
    anything = np.repeat(truth.any(axis=1)[:, None], 2, axis=1).astype(np.float32)
    known = np.ones((1, 2), bool)
    assert frame_auroc(
        frame_scores([anything]), truth_of_frames([truth], known), active_only=False
    ).macro == pytest.approx(
        (80 + 10 / 2) / 90  # 80 silent frames are below, 10 of the other sound are tied
    )
    assert frame_auroc(frame_scores([anything]), truth_of_frames([truth], known), active_only=True).macro == 0.5


def test_unknown_labels_and_labels_without_positives_are_left_out_and_counted():
    truth = np.array([[True, False, True], [False, False, False]])
    scores = np.array([[1, 1, 1], [0, 0, 0]], np.float32)
    result = frame_auroc(
        frame_scores([scores]), truth_of_frames([truth], np.array([[True, True, False]])), active_only=False
    )
    assert (result.macro, result.num_labels, result.num_left_out) == (1.0, 1, 2)
    assert (
        frame_auroc(frame_scores([scores]), truth_of_frames([truth], np.zeros((1, 3), bool)), active_only=False).macro
        is None
    )


def segment_scores(scores, *, hop, duration):
    found = frame_scores([scores], hop=hop, durations=[duration])
    (only,) = segments_by_label(found, truth_of_frames([scores > 2], hop=hop))
    return only.scores


def test_a_segment_takes_the_highest_score_of_the_frames_that_overlap_it():
    scores = np.array([[0.1], [0.7], [0.2], [0.3], [0.9]])  # frames of 0.4 s: 0 .4 .8 1.2 1.6 2.0
    np.testing.assert_array_equal(segment_scores(scores, hop=0.4, duration=1.9), [0.7, 0.9])
    np.testing.assert_array_equal(segment_scores(scores, hop=0.5, duration=2.0), [0.7, 0.3])


def test_a_segment_is_active_if_any_part_of_it_is_and_its_edges_do_not_count():
    np.testing.assert_array_equal(segment_truth([(1.0, 2.0)], duration=3.5), [False, True, False, False])
    np.testing.assert_array_equal(segment_truth([(1.9, 2.0 + 1e-9)], duration=3.0), [False, True, False])
    np.testing.assert_array_equal(segment_truth([(2.0, 2.0)], duration=3.0), [False, False, False])
    assert len(segment_truth([], duration=3.0 + 1e-9)) == 3


def test_segment_f1_worked_by_hand_with_a_strict_threshold():
    scores = [np.array([[0.9, 0.5], [0.8, 0.6], [0.1, 0.7]]), np.array([[0.9, 0.9]])]
    sounds = [np.array([[True, True], [False, True], [True, False]]), np.array([[True, True]])]
    found, truth = frame_scores(scores), truth_of_frames(sounds, np.array([[True, True], [False, False]]))
    # label 0: 1 hit, 1 false alarm, 1 miss -> 2/4; label 1: .5 is not above .5: 1 hit, 1 false alarm, 1 miss -> 2/4
    result = segment_f1(found, truth, threshold=0.5)
    np.testing.assert_allclose(result.labels.per_label, [0.5, 0.5])
    assert result.macro == 0.5
    assert result.micro == 0.5
    # below .5 label 1 has 2 hits, 1 false alarm, no miss -> 4/5, together 2*3/(5+4)
    lower = segment_f1(found, truth, threshold=0.4)
    assert lower.labels.per_label[1] == pytest.approx(0.8)
    assert lower.micro == pytest.approx(6 / 9)


def test_a_label_that_never_occurs_counts_its_false_alarms_in_the_micro_average_only():
    found, truth = frame_scores([np.array([[0.9, 0.9]])]), truth_of_frames([np.array([[True, False]])])
    for result in (segment_f1(found, truth, threshold=0.5), *collar_f1(found, truth, thresholds=(0.5,))):
        assert result.macro == 1.0
        assert result.micro == pytest.approx(2 / 3)
        assert result.labels.num_left_out == 1


def random_spans(seed, *, hop, durations=(10.0, 3.7, 5.000001, 0.5, 10.0), num_labels=3):
    """Scores of few values, higher in half of the events; each label has an event in the first clip."""
    rng = np.random.default_rng(seed)
    clips, spans = [], []
    for index, duration in enumerate(durations):
        num_frames = int(np.ceil(round(duration / hop, 6)))
        clips.append(rng.choice([0.1, 0.3, 0.5, 0.7], size=(num_frames, num_labels), p=[0.85, 0.05, 0.05, 0.05]))
        edges = np.sort(np.round(rng.random((num_labels, 4)) * duration, 1), axis=1)
        spans.append({label: [(a, b), (c + 0.01, d)] for label, (a, b, c, d) in enumerate(edges.tolist())})
        if index == 0:
            spans[0] = {label: [*spans[0][label], (3.0, 4.2)] for label in range(num_labels)}
        for label, onset, offset in [(label, *span) for label, found in spans[-1].items() for span in found]:
            clips[-1][round(onset / hop) : round(offset / hop), label] += rng.choice(
                [0.0, 0.2, 0.4], p=[0.5, 0.25, 0.25]
            )
    clips = [np.round(clip, 1) for clip in clips]
    return frame_scores(clips, hop=hop, durations=durations), truth_of_spans(spans, durations)


@pytest.mark.parametrize("hop", [0.04, 0.1, 0.3125])
@pytest.mark.parametrize("threshold", [0.3, 0.5])
def test_segment_and_event_f1_equal_sed_scores_eval(hop, threshold):
    for seed in range(3):
        scores, truth = random_spans(seed, hop=hop)
        tables = scorer_tables(scores, truth)
        expected = segment_based.fscore(*tables, threshold=threshold, segment_length=1.0)[0]
        result = segment_f1(scores, truth, threshold=threshold)
        assert (result.macro, result.micro) == pytest.approx((expected["macro_average"], expected["micro_average"]))
        collar = {"onset_collar": 0.2, "offset_collar": 0.2, "offset_collar_rate": 0.2}
        expected = collar_based.fscore(*tables[:2], threshold=threshold, **collar)[0]
        (result,) = collar_f1(scores, truth, thresholds=(threshold,))
        assert (result.macro, result.micro) == pytest.approx((expected["macro_average"], expected["micro_average"]))


def test_event_f1_worked_by_hand():
    scores = np.zeros((100, 1))
    scores[10:30] = scores[50:60] = scores[80:90] = 0.9  # at 0.1 s: 1 to 3, 5 to 6, 8 to 9
    # 1.2 to 3.4 is found: its onset is off by 0.2 s, its offset by 0.4 s, below a fifth of 2.2 s. 5.0 to 5.7 isn't:
    # 0.3 s is more than 0.2 s and than a fifth of 0.7 s. So 1 hit, 2 false alarms, 1 miss
    truth = truth_of_spans([{0: [(1.2, 3.4), (5.0, 5.7)]}], [10.0])
    result, none = collar_f1(frame_scores([scores], hop=0.1), truth, thresholds=(0.5, 0.9))
    assert result.macro == result.micro == pytest.approx(2 / 5)
    assert none.macro == 0.0  # above it, not equal


@pytest.mark.parametrize("hop", [0.04, 0.3125])
def test_partial_auroc_equals_sed_scores_eval(hop):
    for seed in range(3):
        scores, truth = random_spans(seed, hop=hop)
        expected = segment_based.auroc(*scorer_tables(scores, truth), segment_length=1.0, max_fpr=0.1)[0]
        assert partial_auroc(scores, truth).macro == pytest.approx(expected["mean"])
        assert expected["mean"] > 0.05


def test_partial_auroc_worked_by_hand():
    scores = np.r_[0.9, 0.8, 0.7, np.full(19, 0.1), 0.75, 0.5][:, None]  # of a second each
    truth = truth_of_spans([{0: [(0.0, 3.0), (23.0, 24.0)]}], [24.0])  # .9 .8 .7 and .5
    # 20 negatives: from 0 to .05 of them two of four are found, from .05 to .1 all four
    assert partial_auroc(frame_scores([scores]), truth).macro == pytest.approx((0.5 + 1.0) / 2)


@pytest.mark.parametrize("seed", range(3))
def test_pooled_auroc_is_that_of_all_labels_frames_together(seed):
    clips, sounds, known = random_clips(seed)
    values = np.concatenate([clip[:, known[i]].ravel() for i, clip in enumerate(clips)])
    labels = np.concatenate([clip[:, known[i]].ravel() for i, clip in enumerate(sounds)])
    scores, truth = frame_scores(clips), truth_of_frames(sounds, known)
    assert pooled_auroc(scores, truth, active_only=False) == pytest.approx(roc_auc_score(labels, values))
    busy = np.concatenate([np.repeat(s.any(axis=1), known[i].sum()) for i, s in enumerate(sounds)])
    expected = roc_auc_score(labels[busy], values[busy])
    assert pooled_auroc(scores, truth, active_only=True) == pytest.approx(expected)


def test_the_best_threshold_is_the_middle_of_those_with_the_highest_f1():
    scores, truth = np.array([[0.2], [0.6], [0.6], [0.2]]), np.array([[False], [True], [True], [False]])
    found = best_threshold(frame_scores([scores]), truth_of_frames([truth]))
    assert 0.3 < found < 0.5  # from .2 on, up to .6, all give 1
    assert best_threshold(frame_scores([scores]), truth_of_frames([~truth & False])) == 0.5


@pytest.mark.parametrize("seed", range(3))
def test_no_threshold_of_a_fine_grid_is_better_than_the_best(seed):
    scores, truth = random_spans(seed, hop=0.1)
    best = segment_f1(scores, truth, threshold=best_threshold(scores, truth)).macro
    assert best == max(segment_f1(scores, truth, threshold=t).macro for t in np.arange(0.01, 1.0, 0.01))


def test_frame_auroc_adds_memory_for_one_label_not_for_all(tmp_path):
    rng = np.random.default_rng(0)
    names, num_windows = [f"clip {index}" for index in range(200)], [250] * 200
    labels = [f"label {index}" for index in range(100)]
    scores = FrameScores.empty(labels, names, [10.0] * 200, num_windows, folder=tmp_path / "scores")
    spans = []
    for clip in range(200):
        scores.fill(clip, np.arange(251) * 0.04, rng.random((250, 100), dtype=np.float32))
        spans.append({int(label): [(1.0, 2.0)] for label in rng.integers(0, 100, 5)} | {99: [(4.0, 5.0)]})
    scores.mark(tmp_path / "scores", identity="", num_done=200)
    truth = truth_of_spans(spans, [10.0] * 200)
    tracemalloc.start()
    loaded, _ = FrameScores.load(tmp_path / "scores")
    frame_auroc(loaded, truth, active_only=True)
    pooled_auroc(loaded, truth, active_only=True)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 4e6  # all scores are 20 MB, those of one label 0.2 MB


def test_thresholds_of_many_scores_are_looked_for_among_a_part_of_them(monkeypatch):
    scores, truth = random_spans(0, hop=0.1, durations=[10.0] * 20)
    untied = scores.values + np.random.default_rng(0).random(scores.values.shape) / 50
    scores = dataclasses.replace(scores, values=untied)
    grid, values = f1_by_threshold(scores, truth)
    monkeypatch.setattr(segments, "_MOST_VALUES", 100)
    fewer, found = f1_by_threshold(scores, truth)
    assert len(grid) > 100 > len(fewer)
    assert np.quantile(fewer, 0.25) < 0.5  # low ones are among them
    np.testing.assert_allclose(found, np.interp(fewer, grid, values), atol=0.02)  # the same curve


def peaks(folder, *, num_labels, num_clips):
    """Bytes that each measure of scores on disk takes, one event a clip."""
    names = [f"clip {index}" for index in range(num_clips)]
    labels = [f"label {index}" for index in range(num_labels)]
    scores = FrameScores.empty(labels, names, [2.0] * num_clips, [20] * num_clips, folder=folder)
    rng = np.random.default_rng(0)
    for clip in range(num_clips):
        scores.fill(clip, np.arange(21) * 0.1, rng.random((20, num_labels), dtype=np.float32))
    truth = truth_of_spans([{clip % num_labels: [(0.5, 1.5)]} for clip in range(num_clips)], [2.0] * num_clips)
    weights = clip_weights(num_clips, num=4)
    post = {"threshold": 0.5, "post": PostProcessing()}
    found = {}
    for name, measure in {
        "psds": lambda: detection_scores(scores, truth, weights=weights),
        "collar f1": lambda: collar_f1(scores, truth, thresholds=(0.2, 0.5), weights=weights),
        "segment f1": lambda: segment_f1(scores, truth, threshold=0.5, weights=weights),
        "threshold": lambda: best_threshold(scores, truth),
        "detection f1": lambda: detection_f1(scores, truth, weights=weights, **post),
        "false alarms": lambda: false_alarms(scores, truth.known, weights=weights, **post),
        "calibration": lambda: calibration(scores, truth),
        "auroc": lambda: resampled_auroc(scores, truth, weights, active_only=True),
        "mpauc": lambda: resampled_partial_auroc(scores, truth, weights),
    }.items():
        tracemalloc.start()
        measure()
        found[name] = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
    return found


def test_what_is_held_does_not_grow_with_labels_times_clips(tmp_path, monkeypatch):
    # held while a threshold and bins are looked for, however many labels there are
    monkeypatch.setattr(segments, "_MOST_VALUES", 5_000)
    monkeypatch.setattr(frame_auroc_module, "_MOST_SAMPLED", 5_000)
    peaks(tmp_path / "warm", num_labels=2, num_clips=2)
    few, many = (peaks(tmp_path / str(num), num_labels=num, num_clips=800) for num in (4, 40))
    grown = {name: many[name] - few[name] for name in few}
    assert max(grown.values()) < 36 * 800 * 8, grown  # less than a number more for each label and clip
