"""Events to frames and back: half of a frame, short events, and the end of the clip."""

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from manifests.frames import frame_labels, frame_spans, merged, num_frames
from manifests.schema import Stretch

HOP = 0.04
FRAMES = 250
TIMES = st.floats(0, 10, allow_nan=False)
SPANS = st.lists(st.tuples(TIMES, TIMES).map(sorted).map(tuple), max_size=6)


def stretches(*spans):
    return [Stretch(onset=float(onset), offset=float(offset)) for onset, offset in spans]


def active(*spans, hop=1.0, frames=10):
    return np.flatnonzero(frame_labels(stretches(*spans), num_frames=frames, hop=hop)).tolist()


def slow_labels(spans, hop, frames):
    """Which frames are filled by half, by counting thousands of points in each."""
    points = (np.arange(frames * 2000) + 0.5) * hop / 2000
    inside = np.any([(points > onset) & (points < offset) for onset, offset in spans], axis=0)
    return inside.reshape(frames, 2000).mean(axis=1)


def test_a_frame_is_marked_if_it_is_filled_by_half():
    assert active((1.5, 3.5)) == [1, 2, 3]
    assert active((1.51, 3.49)) == [2]
    assert active((0.0, 0.04), hop=0.04) == [0]


def test_an_event_shorter_than_half_a_frame_marks_the_one_it_fills_most():
    assert active((2.9, 3.2)) == [3]
    assert active((2.7, 3.2)) == [2]
    assert active((9.9, 9.95)) == [9]


def test_stretches_add_up_in_a_frame_and_overlap_counts_once():
    assert active((2.1, 2.4), (2.6, 2.9)) == [2]
    assert active((2.1, 2.4), (2.1, 2.4), (4.0, 5.0)) == [4]


def test_what_lies_outside_the_clip_marks_nothing():
    assert active((11.0, 12.0)) == []
    assert active() == []
    assert active((9.5, 30.0)) == [9]


@given(SPANS)
@settings(max_examples=60, deadline=None)
def test_labels_are_those_of_counting_points(spans):
    labels = frame_labels(stretches(*spans), num_frames=20, hop=0.5)
    filled = slow_labels(spans, 0.5, 20) if spans else np.zeros(20)
    sure = np.abs(filled - 0.5) > 0.003 * (1 + len(spans))
    if (filled[sure] > 0.5).any():
        np.testing.assert_array_equal(labels[sure], filled[sure] > 0.5)
    assert labels.sum() >= any(offset - onset > 1e-12 for onset, offset in spans)


@given(TIMES, st.floats(1e-6, HOP / 2 * 0.99))
@settings(max_examples=60, deadline=None)
def test_an_event_shorter_than_half_a_frame_marks_exactly_one(onset, length):
    onset = min(onset, 9.9)
    assert len(active((onset, onset + length), hop=HOP, frames=FRAMES)) == 1


@given(st.lists(st.booleans(), min_size=1, max_size=FRAMES), st.sampled_from([0.04, 0.01, 0.02, 0.3125, 10 / 64]))
@settings(max_examples=100, deadline=None)
def test_frames_to_spans_to_frames_is_the_same(frames, hop):
    labels = np.array(frames)
    spans = frame_spans(labels, hop=hop)
    assert spans == merged(spans)
    np.testing.assert_array_equal(frame_labels(stretches(*spans), num_frames=len(labels), hop=hop), labels)


@given(SPANS)
@settings(max_examples=60, deadline=None)
def test_events_to_frames_to_spans_stay_in_the_clip_and_near_the_events(spans):
    labels = frame_labels(stretches(*spans), num_frames=FRAMES, hop=HOP)
    found = frame_spans(labels, hop=HOP)
    assert all(0 <= onset < offset <= 10 + 1e-9 for onset, offset in found)
    for onset, offset in found:  # each found span begins within a frame of some event
        assert any(on - HOP <= onset <= off + 1e-9 and on - 1e-9 <= offset for on, off in spans)


@given(SPANS, st.sampled_from([0.0, 0.5]))
@settings(max_examples=60, deadline=None)
def test_merged_spans_are_in_order_apart_and_cover_the_same(spans, gap):
    joined = merged(spans, gap=gap)
    assert all(before[1] + gap < after[0] for before, after in itertools.pairwise(joined))
    assert all(any(on <= onset and offset <= off for on, off in joined) for onset, offset in spans)
    assert {onset for onset, _ in joined} <= {onset for onset, _ in spans}
    assert merged(joined, gap=gap) == joined


def test_spans_that_touch_are_one_and_a_gap_can_be_bridged():
    assert merged([(2.0, 3.0), (0.0, 1.0), (1.0, 2.0)]) == [(0.0, 3.0)]
    assert merged([(0.0, 5.0), (1.0, 2.0)]) == [(0.0, 5.0)]
    assert merged([(0.0, 1.0), (1.2, 2.0)], gap=0.2 + 1e-9) == [(0.0, 2.0)]


@pytest.mark.parametrize(
    ("duration", "frames"), [(10.0, 250), (0.001, 1), (0.04, 1), (0.0401, 2), (0.28, 7), (3.0, 75)]
)
def test_there_are_enough_frames_to_cover_a_clip_and_no_more(duration, frames):
    assert num_frames(duration, HOP) == frames
