"""Detections frame by frame, F1 by half by hand and by sed_scores_eval, and what is chosen on validation data."""

import numpy as np
import pytest
from scored_arrays import frame_scores, scorer_tables, truth_of_spans
from sed_scores_eval import intersection_based
from test_evaluation_metrics import random_spans

from evaluation.post_processing import PostProcessing, choose, detection_f1, detections, smoothed

PLAIN = PostProcessing(max_gap=0.0)


def by_loop(values, *, hop, threshold, post):
    """Detections of one clip, frame by frame."""
    found, onset, last = [], None, None
    for frame, value in enumerate([*values, -np.inf]):
        if value > threshold:
            if onset is not None and (frame - last - 1) * hop > post.max_gap + 1e-6:
                found.append((onset * hop, (last + 1) * hop))
                onset = None
            onset = frame if onset is None else onset
            last = frame
    if onset is not None:
        found.append((onset * hop, (last + 1) * hop))
    return [span for span in found if span[1] - span[0] >= post.min_duration - 1e-6]


@pytest.mark.parametrize(
    "post", [PLAIN, PostProcessing(), PostProcessing(max_gap=0.4, min_duration=0.2), PostProcessing(min_duration=0.4)]
)
def test_detections_of_all_clips_at_once_are_those_of_a_loop_over_frames(post):
    rng = np.random.default_rng(0)
    clips = [(rng.random((length, 2)) < 0.4) * 0.9 for length in (80, 3, 1, 60)]
    scores = frame_scores(clips, hop=0.1)
    for label in range(2):
        found = list(zip(*detections(scores, label, threshold=0.5, post=post), strict=True))
        expected = [
            (index, *span)
            for index, clip in enumerate(clips)
            for span in by_loop(clip[:, label], hop=0.1, threshold=0.5, post=post)
        ]
        np.testing.assert_allclose(found, expected)


@pytest.mark.parametrize("threshold", [0.3, 0.5])
def test_f1_by_half_is_that_of_intersections(threshold):
    scores, truth = random_spans(0, hop=0.1)
    expected = intersection_based.fscore(
        *scorer_tables(scores, truth)[:2], threshold=threshold, dtc_threshold=0.5, gtc_threshold=0.5
    )[0]
    found = detection_f1(scores, truth, threshold=threshold, post=PLAIN)
    assert (found.macro, found.micro) == pytest.approx((expected["macro_average"], expected["micro_average"]))
    assert found.macro > 0.02


def test_f1_by_half_worked_by_hand():
    values = np.zeros(100)
    values[10:15] = values[17:22] = values[60:61] = 0.9  # at 0.1 s: 1 to 1.5, 1.7 to 2.2, 6 to 6.1
    scores, truth = frame_scores([values[:, None]], hop=0.1), truth_of_spans([{0: [(1.0, 2.2), (8.0, 9.0)]}], [10.0])
    assert detection_f1(scores, truth, threshold=0.5, post=PostProcessing()).macro == pytest.approx(2 / (1 + 1 + 2))
    # nothing bridged, the two together still fill ten twelfths of the event
    assert detection_f1(scores, truth, threshold=0.5, post=PLAIN).macro == pytest.approx(2 / (1 + 1 + 2))
    short = PostProcessing(min_duration=0.2)
    assert detection_f1(scores, truth, threshold=0.5, post=short).macro == pytest.approx(2 / (1 + 0 + 2))


def test_what_is_not_known_is_not_counted():
    scores = frame_scores([np.ones((10, 1)), np.ones((10, 1))])
    truth = truth_of_spans([{0: [(0.0, 10.0)]}, {}], [10.0, 10.0])
    assert detection_f1(scores, truth, threshold=0.5, post=PLAIN).macro == pytest.approx(2 / 3)
    truth.known[1] = False
    assert detection_f1(scores, truth, threshold=0.5, post=PLAIN).macro == 1.0


def test_the_median_is_of_the_frames_around():
    values = np.array([0.0, 0.9, 0.1, 0.2, 0.8, 0.8, 0.7])
    np.testing.assert_array_equal(smoothed(values, 1), values)
    np.testing.assert_array_equal(smoothed(values, 3), [0.0, 0.1, 0.2, 0.2, 0.8, 0.8, 0.7])


def noisy(seed, *, gap):
    """Clips whose events are scored with drop-outs of a length, beside single frames of noise."""
    rng = np.random.default_rng(seed)
    clips, spans = [], []
    for _ in range(8):
        values = np.where(rng.random((250, 1)) < 0.03, 0.9, 0.1)
        values[50:150] = 0.9
        for start in range(60, 140, 20):
            values[start : start + round(gap / 0.04)] = 0.1
        clips.append(values)
        spans.append({0: [(2.0, 6.0)]})
    return frame_scores(clips, hop=0.04), truth_of_spans(spans, [10.0] * 8)


def test_noise_of_single_frames_and_drop_outs_are_taken_away():
    scores, truth = noisy(0, gap=0.6)
    post, threshold = choose(scores, truth)
    assert post.median > 1 or post.min_duration > 0
    assert post.max_gap == 1.0
    assert 0.1 < threshold < 0.9
    plain = detection_f1(scores, truth, threshold=threshold, post=PostProcessing()).macro
    assert plain < 0.3
    unheard, truth = noisy(1, gap=0.6)
    smooth = [smoothed(np.asarray(unheard.of(clip, 0), float), post.median)[:, None] for clip in range(8)]
    assert detection_f1(frame_scores(smooth, hop=0.04), truth, threshold=threshold, post=post).macro > 0.8


def test_of_equals_the_one_that_does_least_is_chosen():
    values = np.zeros((100, 1))
    values[20:60] = 1.0
    post, _ = choose(frame_scores([values], hop=0.1), truth_of_spans([{0: [(2.0, 6.0)]}], [10.0]))
    assert post == PLAIN
    nothing = choose(frame_scores([values], hop=0.1), truth_of_spans([{0: [(11.0, 12.0)]}], [10.0]))
    assert nothing == (PLAIN, 0.5)


def test_a_choice_is_said_in_words():
    assert str(PostProcessing()) == "no median filter, gaps up to 0.2 s bridged, detections of at least 0 s"
    assert str(PostProcessing(median=5, min_duration=0.4)).startswith("a median of 5 frames")
