"""From scores to detections: a median filter, gaps that are bridged, a least duration; chosen on validation data."""

import dataclasses
import itertools

import numpy as np
from jaxtyping import Float, Int
from scipy.ndimage import median_filter

from evaluation.f1 import F1, F1Sums
from evaluation.frame_scores import FrameScores
from evaluation.segments import best_threshold
from evaluation.truth import Span, Truth
from manifests.frames import MAX_GAP

MEDIANS = (1, 3, 5, 9)  # frames
GAPS = (0.0, 0.2, 0.5, 1.0)  # seconds
LEAST_SECONDS = (0.0, 0.1, 0.2, 0.4)
_HALF = 0.5  # of a detection that events must fill, and of an event that such detections must fill


@dataclasses.dataclass(frozen=True, kw_only=True)
class PostProcessing:
    """How detections are made of scores.

    Args:
        median: frames of the median filter over scores, odd; 1 for none.
        max_gap: seconds; detections that are no farther apart are one.
        min_duration: seconds; shorter detections are none.
    """

    median: int = 1
    max_gap: float = MAX_GAP
    min_duration: float = 0.0

    def __str__(self) -> str:
        """In words."""
        median = f"a median of {self.median} frames" if self.median > 1 else "no median filter"
        return f"{median}, gaps up to {self.max_gap:g} s bridged, detections of at least {self.min_duration:g} s"


def smoothed(values: Float[np.ndarray, " window"], median: int) -> Float[np.ndarray, " window"]:
    """The median of so many windows around each; the first and the last stand for what is beyond."""
    return values if median == 1 else np.asarray(median_filter(values, size=median, mode="nearest"))


def detections(
    scores: FrameScores, label: int, *, threshold: float, post: PostProcessing
) -> tuple[Int[np.ndarray, " detection"], Float[np.ndarray, " detection"], Float[np.ndarray, " detection"]]:
    """Clip, onset and offset of a label's detections; scores are taken as smoothed already, and must be above it."""
    above = np.flatnonzero(scores.row(label) > threshold)
    clip = scores.clip_of_window[above]
    begins, ends = scores.edges[above + clip], scores.edges[above + clip + 1]
    joined = (clip[1:] == clip[:-1]) & (begins[1:] - ends[:-1] <= post.max_gap + 1e-6)
    first, last = np.append(True, ~joined)[: len(above)], np.append(~joined, True)[: len(above)]
    long = ends[last] - begins[first] >= post.min_duration - 1e-6
    return clip[first][long], begins[first][long], ends[last][long]


def detection_f1(
    scores: FrameScores,
    truth: Truth,
    *,
    threshold: float,
    post: PostProcessing,
    weights: Float[np.ndarray, "replicate clip"] | None = None,
) -> F1:
    """F1 of detections by half: one that events fill by half is right, an event that these fill by half is found.

    The intersection criterion of PSDS with DTC = GTC = 0.5, at one threshold for all labels.
    """
    sums = F1Sums(weights)
    for label in range(truth.num_labels):
        clip, onset, offset = detections(scores, label, threshold=threshold, post=post)
        counts = np.zeros((len(scores.clips), 3), dtype=np.float32)
        counts[:, 1] = np.bincount(clip, minlength=len(scores.clips))
        for at, events in truth.clips_of(label).items():
            found = slice(*np.searchsorted(clip, [at, at + 1]))
            counts[at] = count_by_half(list(zip(onset[found].tolist(), offset[found].tolist(), strict=True)), events)
        sums.add(counts * truth.known[:, label, None])
    return sums.f1(threshold)


def count_by_half(found: list[Span], events: list[Span]) -> tuple[int, int, int]:
    """Events found, detections of nothing, and events."""
    right = [span for span in found if _filled(span, events) >= _HALF * (span[1] - span[0]) - 1e-9]
    hits = sum(_filled(event, right) >= _HALF * (event[1] - event[0]) - 1e-9 for event in events)
    return hits, len(found) - len(right), len(events)


def choose(scores: FrameScores, truth: Truth) -> tuple[PostProcessing, float]:
    """What gives the highest mean of the labels' F1 by half, and its threshold; of equals the one that does least.

    The threshold is, for each median filter, that with the best segment F1. Give it validation scores.
    """
    best, best_value, threshold = PostProcessing(), -1.0, 0.5
    for median in MEDIANS:
        smooth = dataclasses.replace(scores, values=_all_smoothed(scores, median))
        at = best_threshold(smooth, truth)
        for max_gap, min_duration in itertools.product(GAPS, LEAST_SECONDS):
            post = PostProcessing(median=median, max_gap=max_gap, min_duration=min_duration)
            value = detection_f1(smooth, truth, threshold=at, post=post).macro or 0.0
            if value > best_value + 1e-9:
                best, best_value, threshold = post, value, at
    return best, threshold


def _all_smoothed(scores: FrameScores, median: int) -> Float[np.ndarray, "label window"]:
    values = np.array(scores.values)
    for start, stop in itertools.pairwise(scores.starts.tolist()):
        for label in range(len(values)):
            values[label, start:stop] = smoothed(values[label, start:stop], median)
    return values


def _filled(span: Span, others: list[Span]) -> float:
    """Seconds of a span that others, which do not overlap, fill."""
    return sum((max(0.0, min(span[1], offset) - max(span[0], onset)) for onset, offset in others), 0.0)
