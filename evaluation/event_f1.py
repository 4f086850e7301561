"""F1 of events by onset and offset: collar-based, at one threshold for all labels."""

import numpy as np

from evaluation.deltas import collar_deltas
from evaluation.f1 import F1
from evaluation.frame_scores import FrameScores
from evaluation.truth import Truth

ONSET_COLLAR = OFFSET_COLLAR = 0.2  # seconds, as DCASE Task 4
OFFSET_SHARE = 0.2  # of the event's duration, if that is more


def collar_f1(scores: FrameScores, truth: Truth, *, thresholds: tuple[float, ...]) -> list[F1]:
    """F1 of events whose onset is right to 0.2 s, and the offset to 0.2 s or a fifth of the event.

    At each threshold; a score must be above it, not equal.
    """
    counts = np.zeros((len(thresholds), truth.num_labels, len(scores.clips), 3), dtype=np.float32)
    for label in range(truth.num_labels):
        deltas = collar_deltas(
            scores, truth, label, onset=ONSET_COLLAR, offset=OFFSET_COLLAR, offset_share=OFFSET_SHARE
        )
        for index, threshold in enumerate(thresholds):
            above = deltas.score > threshold
            for column, changes in enumerate((deltas.hits, deltas.false_alarms)):
                counts[index, label, :, column] = np.bincount(
                    deltas.clip[above], weights=changes[above], minlength=len(scores.clips)
                )
            counts[index, label, :, 2] = deltas.events
    return [F1(threshold=threshold, counts=counts[index]) for index, threshold in enumerate(thresholds)]
