"""F1 of events by onset and offset: collar-based, at one threshold for all labels."""

import warnings

import numpy as np
from jaxtyping import Float

from evaluation.f1 import F1, F1Sums
from evaluation.frame_scores import FrameScores
from evaluation.post_processing import PostProcessing, detections
from evaluation.truth import Truth

with warnings.catch_warnings():
    # its dependency dcase_util imports pkg_resources, which warns of its own end to whoever only wants a score
    warnings.filterwarnings("ignore", message="pkg_resources is deprecated")
    # invalid escapes in its docstrings; Python says so once, when it compiles them
    warnings.filterwarnings("ignore", message="invalid escape sequence", category=SyntaxWarning)
    warnings.filterwarnings("ignore", message="invalid escape sequence", category=DeprecationWarning)
    from sed_scores_eval.collar_based.intermediate_statistics import statistics_fn

ONSET_COLLAR = OFFSET_COLLAR = 0.2  # seconds, as DCASE Task 4
OFFSET_SHARE = 0.2  # of the event's duration, if that is more
_RAW = PostProcessing(max_gap=0.0)


def collar_f1(
    scores: FrameScores,
    truth: Truth,
    *,
    thresholds: tuple[float, ...],
    weights: Float[np.ndarray, "replicate clip"] | None = None,
) -> list[F1]:
    """F1 of events whose onset is right to 0.2 s, and the offset to 0.2 s or a fifth of the event.

    At each threshold; a score must be above it, not equal.
    """
    sums = [F1Sums(weights) for _ in thresholds]
    for label in range(truth.num_labels):
        known, events = truth.known[:, label], truth.clips_of(label)
        for threshold, of_threshold in zip(thresholds, sums, strict=True):
            clip, onset, offset = detections(scores, label, threshold=threshold, post=_RAW)
            counts = np.zeros((len(scores.clips), 3), dtype=np.float32)
            counts[:, 1] = np.bincount(clip, minlength=len(scores.clips))
            for at, spans in events.items():
                found = slice(*np.searchsorted(clip, [at, at + 1]))
                hits = _hits(onset[found], offset[found], np.array(spans))
                counts[at] = hits, counts[at, 1] - hits, len(spans)
            of_threshold.add(counts * known[:, None])
    return [found.f1(threshold) for threshold, found in zip(thresholds, sums, strict=True)]


def _hits(
    onset: Float[np.ndarray, " detection"], offset: Float[np.ndarray, " detection"], spans: Float[np.ndarray, "event 2"]
) -> int:
    """Events that are found: each by one detection, which finds no other."""
    if not len(onset):
        return 0
    counted = statistics_fn(
        detection_onset_times=onset[None],
        detection_offset_times=offset[None],
        target_onset_times=spans[:, 0],
        target_offset_times=spans[:, 1],
        other_onset_times={},
        other_offset_times={},
        onset_collar=ONSET_COLLAR,
        offset_collar=OFFSET_COLLAR,
        offset_collar_rate=OFFSET_SHARE,
    )
    return int(counted["tps"][0])
