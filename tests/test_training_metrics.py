"""Frame AUROC and segment F1 against cases worked by hand, slow references, and the field's own scorer."""

import tracemalloc

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from sklearn.metrics import roc_auc_score

from training.metrics import auroc, best_threshold, frame_auroc, segment_f1, segment_scores, segment_truth
from training.psds import score_table, segment_based

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
    result = frame_auroc(scores, truth, known, active_only=active_only)
    expected = [frames_auroc_by_loop(scores, truth, known, label, active_only) for label in range(4)]
    np.testing.assert_allclose(result.per_label, expected)
    assert result.num_left_out == np.isnan(expected).sum()


def test_detecting_that_anything_sounds_is_rewarded_over_all_frames_and_not_over_active_ones():
    truth = np.zeros((100, 2), bool)
    truth[20:30, 0] = truth[60:70, 1] = True
    anything = np.repeat(truth.any(axis=1)[:, None], 2, axis=1).astype(np.float32)
    known = np.ones((1, 2), bool)
    assert frame_auroc([anything], [truth], known, active_only=False).macro == pytest.approx(
        (80 + 10 / 2) / 90  # 80 silent frames are below, 10 of the other sound are tied
    )
    assert frame_auroc([anything], [truth], known, active_only=True).macro == 0.5


def test_unknown_labels_and_labels_without_positives_are_left_out_and_counted():
    truth = np.array([[True, False, True], [False, False, False]])
    scores = np.array([[1, 1, 1], [0, 0, 0]], np.float32)
    result = frame_auroc([scores], [truth], np.array([[True, True, False]]), active_only=False)
    assert (result.macro, result.num_labels, result.num_left_out) == (1.0, 1, 2)
    assert frame_auroc([scores], [truth], np.zeros((1, 3), bool), active_only=False).macro is None


def test_a_segment_takes_the_highest_score_of_the_frames_that_overlap_it():
    scores = np.array([[0.1], [0.7], [0.2], [0.3], [0.9]], np.float32)  # frames of 0.4 s: 0 .4 .8 1.2 1.6 2.0
    np.testing.assert_array_equal(segment_scores(scores, hop=0.4, duration=1.9)[:, 0], np.float32([0.7, 0.9]))
    np.testing.assert_array_equal(segment_scores(scores, hop=0.5, duration=2.0)[:, 0], np.float32([0.7, 0.3]))


def test_a_segment_is_active_if_any_part_of_it_is_and_its_edges_do_not_count():
    np.testing.assert_array_equal(segment_truth([(1.0, 2.0)], duration=3.5), [False, True, False, False])
    np.testing.assert_array_equal(segment_truth([(1.9, 2.0 + 1e-9)], duration=3.0), [False, True, False])
    np.testing.assert_array_equal(segment_truth([(2.0, 2.0)], duration=3.0), [False, False, False])
    assert len(segment_truth([], duration=3.0 + 1e-9)) == 3


def test_segment_f1_worked_by_hand_with_a_strict_threshold():
    scores = np.array([[0.9, 0.5], [0.8, 0.6], [0.1, 0.7], [0.9, 0.9]])
    truth = np.array([[True, True], [False, True], [True, False], [True, True]])
    known = np.array([[True, True], [True, True], [True, True], [False, False]])
    # label 0: 1 hit, 1 false alarm, 1 miss -> 2/4; label 1: .5 is not above .5: 1 hit, 1 false alarm, 1 miss -> 2/4
    result = segment_f1(scores, truth, known, threshold=0.5)
    np.testing.assert_allclose(result.labels.per_label, [0.5, 0.5])
    assert result.macro == 0.5
    assert result.micro == 0.5
    # below .5 label 1 has 2 hits, 1 false alarm, no miss -> 4/5, together 2*3/(5+4)
    lower = segment_f1(scores, truth, known, threshold=0.4)
    assert lower.labels.per_label[1] == pytest.approx(0.8)
    assert lower.micro == pytest.approx(6 / 9)


def test_a_label_that_never_occurs_counts_its_false_alarms_in_the_micro_average_only():
    scores, truth = np.array([[0.9, 0.9]]), np.array([[True, False]])
    result = segment_f1(scores, truth, np.ones((1, 2), bool), threshold=0.5)
    assert result.macro == 1.0
    assert result.micro == pytest.approx(2 / 3)
    assert result.labels.num_left_out == 1


@pytest.mark.parametrize("hop", [0.04, 0.1, 0.3125])
@pytest.mark.parametrize("threshold", [0.3, 0.5])
def test_segment_f1_equals_sed_scores_eval(hop, threshold):
    rng = np.random.default_rng(0)
    labels, truths, tables, rows = ["a", "b", "c"], {}, {}, []
    durations = {f"clip{i}": float(duration) for i, duration in enumerate([10.0, 3.7, 5.000001, 0.5, 10.0])}
    for clip, duration in durations.items():
        frames = int(np.ceil(round(duration / hop, 6)))
        scores = rng.choice([0.1, 0.3, 0.5, 0.7], size=(frames, 3), p=[0.85, 0.05, 0.05, 0.05])
        spans = {label: _spans(rng, duration) for label in labels}
        tables[clip] = score_table(scores, labels=labels, hop=hop, duration=duration)
        truths[clip] = [(*span, label) for label in labels for span in spans[label]]
        truth = np.stack([segment_truth(spans[label], duration=duration) for label in labels], axis=1)
        rows.append((segment_scores(scores, hop=hop, duration=duration), truth, np.ones_like(truth)))
    result = segment_f1(*(np.concatenate(part) for part in zip(*rows, strict=True)), threshold=threshold)
    expected = segment_based.fscore(tables, truths, durations, threshold=threshold, segment_length=1.0)[0]
    assert result.macro == pytest.approx(expected["macro_average"])
    assert result.micro == pytest.approx(expected["micro_average"])


def _spans(rng, duration):
    edges = np.sort(np.round(rng.random(4) * duration, 1))
    return [(float(a), float(b)) for a, b in ((edges[0], edges[1]), (edges[2] + 0.01, edges[3])) if a < b <= duration]


def test_the_best_threshold_is_the_middle_of_those_with_the_highest_f1():
    scores = np.array([[0.21], [0.61], [0.61], [0.21]])
    truth = np.array([[False], [True], [True], [False]])
    known = np.ones_like(truth)
    assert best_threshold(scores, truth, known) == pytest.approx(0.4)  # .22 to .60 all give 1
    assert best_threshold(scores, truth, known, grid=(0.1, 0.7)) == 0.1


def test_frame_auroc_adds_memory_for_one_label_not_for_all():
    rng = np.random.default_rng(0)
    scores = [rng.random((250, 100), dtype=np.float32)] * 200  # the same array again: only what is added is measured
    truth = [rng.random((250, 100)) < 0.05] * 200
    tracemalloc.start()
    frame_auroc(scores, truth, np.ones((200, 100), bool), active_only=True)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 4e6  # all scores are 20 MB, those of one label 0.2 MB
