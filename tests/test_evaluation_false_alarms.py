"""False alarms an hour against what `detect` would say, and a case worked by hand."""

import numpy as np
import pytest
from scored_arrays import frame_scores

from evaluation.false_alarms import false_alarms
from evaluation.post_processing import PostProcessing
from manifests.frames import MAX_GAP


def by_loop(values, *, threshold, hop):
    """Detections in one clip, frame by frame."""
    count, last = 0, None
    for frame, value in enumerate(values):
        if value > threshold:
            count += last is None or (frame - last - 1) * hop > MAX_GAP + 1e-6
            last = frame
    return count


@pytest.mark.parametrize("hop", [0.04, 0.1, 0.2])
def test_detections_are_counted_as_a_loop_over_frames_counts_them(hop):
    rng = np.random.default_rng(0)
    clips = [(rng.random((length, 2)) < 0.3) * 0.9 for length in (50, 3, 1, 70)]
    each = np.eye(4, dtype=np.float32)  # a replicate for each clip
    found = false_alarms(
        frame_scores(clips, hop=hop), np.ones((4, 2), bool), threshold=0.5, post=PostProcessing(), weights=each
    )
    counts = [[by_loop(clip[:, query], threshold=0.5, hop=hop) for query in range(2)] for clip in clips]
    seconds = [len(clip) * hop for clip in clips]
    np.testing.assert_allclose(found.replicates, 3600 * np.mean(counts, axis=1) / seconds)
    assert found.per_hour == pytest.approx(3600 * np.mean(np.sum(counts, axis=0)) / np.sum(seconds))


def test_only_clips_without_the_sound_are_listened_to():
    loud = np.full((10, 1), 0.9)
    absent = np.array([[True, False, False], [False, False, False], [True, True, False]])  # (clip, query)
    scores = frame_scores([np.tile(part, 3) for part in (loud, loud, loud * 0)])
    weights = np.array([[2, 1, 0], [0, 0, 0]], np.float32)
    found = false_alarms(scores, absent, threshold=0.5, post=PostProcessing(), weights=weights)
    # query 0: one in 20 s, query 1: none in 10 s, query 2: never listened for
    assert found.per_hour == pytest.approx((180 + 0) / 2)
    np.testing.assert_allclose(found.replicates, [360.0, np.nan])
    assert false_alarms(scores, absent & False, threshold=0.5, post=PostProcessing()).per_hour is None
    assert false_alarms(scores, absent, threshold=0.9, post=PostProcessing()).per_hour == 0.0  # above it, not equal
