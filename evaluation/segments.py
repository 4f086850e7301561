"""One-second segments: F1 at a threshold, the best threshold, and the partial AUROC of soft labels' challenges."""

import dataclasses
from collections.abc import Iterator, Sequence

import numpy as np
from jaxtyping import Bool, Float, Int

from evaluation.binned import bin_edges, by_replicate_and_bin, weighted_partial_auroc
from evaluation.f1 import F1, F1Sums
from evaluation.frame_scores import FrameScores
from evaluation.label_mean import LabelMean
from evaluation.truth import Truth

SEGMENT_SECONDS = 1.0
MAX_FALSE_POSITIVE_RATE = 0.1  # of mpAUC, as DCASE 2024 Task 4
_MOST_VALUES = 1 << 20  # that thresholds are looked for among
_TIME_DECIMALS = 6  # as sed_scores_eval: a time on a segment's edge must not depend on float rounding


@dataclasses.dataclass(frozen=True, kw_only=True)
class Segments:
    """One label's segments, those of all clips in which it is known one after the other.

    Args:
        scores: the highest of the windows that overlap the segment, however little.
        sounds: whether an event does.
        clip: that each is of.
    """

    scores: Float[np.ndarray, " segment"]
    sounds: Bool[np.ndarray, " segment"]
    clip: Int[np.ndarray, " segment"]


def segments_by_label(scores: FrameScores, truth: Truth) -> Iterator[Segments]:
    """The segments of each label in turn, so that no more than one label's scores are held.

    A clip's last segment may be shorter than the others. Windows past the clip's end don't count.
    """
    num_segments = np.ceil(np.round(scores.durations, _TIME_DECIMALS) / SEGMENT_SECONDS).astype(np.int64)
    starts = np.concatenate([[0], np.cumsum(num_segments)])
    clip = np.repeat(np.arange(len(num_segments)), num_segments)
    windows = np.empty((len(clip), 2), dtype=np.int64)
    for index, duration in enumerate(scores.durations):
        onsets = np.arange(num_segments[index]) * SEGMENT_SECONDS
        edges = np.round(np.minimum(scores.edges_of(index), duration), _TIME_DECIMALS)
        first = np.maximum(np.searchsorted(edges, onsets, side="right") - 1, 0)
        last = np.minimum(np.searchsorted(edges, onsets + SEGMENT_SECONDS, side="left"), len(edges) - 1)
        windows[starts[index] : starts[index + 1]] = scores.starts[index] + np.stack([first, last], axis=1)
    covered = windows[:, 1] > windows[:, 0]
    for label in range(truth.num_labels):
        # the maximum from each first window to the last; what lies between one segment and the next is thrown away
        values = np.append(scores.row(label), -np.inf)
        highest = np.where(covered, np.maximum.reduceat(values, windows.ravel())[::2], 0.0)
        sounds = np.zeros(len(clip), dtype=bool)
        for index, spans in truth.clips_of(label).items():
            sounds[starts[index] : starts[index + 1]] = segment_truth(spans, duration=float(scores.durations[index]))
        known = truth.known[:, label][clip]
        yield Segments(scores=highest[known], sounds=sounds[known], clip=clip[known])


def segment_truth(spans: Sequence[tuple[float, float]], *, duration: float) -> Bool[np.ndarray, " segment"]:
    """Which seconds of a clip one label sounds in, however little; `spans` are (onset, offset) in seconds."""
    onsets = np.arange(int(np.ceil(round(duration, _TIME_DECIMALS) / SEGMENT_SECONDS))) * SEGMENT_SECONDS
    active = np.zeros(len(onsets), bool)
    for onset, offset in spans:
        if offset > onset:
            before = onsets < round(offset, _TIME_DECIMALS)
            active |= before & (onsets + SEGMENT_SECONDS > round(onset, _TIME_DECIMALS))
    return active


def segment_f1(
    scores: FrameScores,
    truth: Truth,
    *,
    threshold: float,
    weights: Float[np.ndarray, "replicate clip"] | None = None,
) -> F1:
    """F1 over segments at one threshold for all labels; a score must be above it, not equal."""
    sums = F1Sums(weights)
    for found in segments_by_label(scores, truth):
        counts = np.empty((len(scores.clips), 3), dtype=np.float32)
        decided = found.scores > threshold
        for column, chosen in enumerate((decided & found.sounds, decided & ~found.sounds, found.sounds)):
            counts[:, column] = np.bincount(found.clip[chosen], minlength=len(scores.clips))
        sums.add(counts)
    return sums.f1(threshold)


def best_threshold(scores: FrameScores, truth: Truth) -> float:
    """The one threshold for all labels with the highest mean of the labels' segment F1, the middle one of equals.

    Give it validation scores: a threshold chosen on the test set makes the test set's F1 too high. Without any label
    that sounds it is 0.5.
    """
    grid, values = f1_by_threshold(scores, truth)
    if not len(grid):
        return 0.5
    best = np.flatnonzero(values >= values.max() - 1e-12)
    return float(grid[int(best[(len(best) - 1) // 2])])


def f1_by_threshold(
    scores: FrameScores, truth: Truth, *, num_steps: int = 400
) -> tuple[Float[np.ndarray, " threshold"], Float[np.ndarray, " threshold"]]:
    """Thresholds, and the mean of the labels' segment F1 at each; nothing without a label that sounds.

    Thresholds lie between scores that occur, in steps of their own distribution: with rare sounds the best is far
    below 0.5.
    """
    stride, parts = 1, list[Float[np.ndarray, " score"]]()  # each label's scores from the highest down, every so many
    for found in segments_by_label(scores, truth):
        if found.sounds.any():
            parts.append(np.sort(found.scores)[::-stride].copy())
        if sum(map(len, parts)) > _MOST_VALUES:  # a part of them has the same distribution
            stride, parts = 2 * stride, [part[::2].copy() for part in parts]
    if not parts:
        return np.zeros(0), np.zeros(0)
    values = np.unique(np.concatenate(parts).astype(np.float64))
    if len(values) > num_steps:  # finer towards the highest
        values = np.unique(values[np.round((1 - np.logspace(0, -4, num_steps)) * (len(values) - 1)).astype(np.int64)])
    values = np.append(min(0.0, values[0]), values)  # a threshold below all scores is one too
    grid = (values[1:] + values[:-1]) / 2
    total, num_labels = np.zeros(len(grid)), 0
    for found in segments_by_label(scores, truth):
        if not found.sounds.any():
            continue
        num_labels += 1
        positives = np.sort(found.scores[found.sounds])
        hits = len(positives) - np.searchsorted(positives, grid, side="right")
        decided = len(found.scores) - np.searchsorted(np.sort(found.scores), grid, side="right")
        total += 2 * hits / (decided + len(positives))
    return grid, total / num_labels


def partial_auroc(scores: FrameScores, truth: Truth) -> LabelMean:
    """mpAUC: of each label the mean hit rate over segments up to a tenth of false positives (DCASE 2024 Task 4)."""
    per_label = []
    for found in segments_by_label(scores, truth):
        positives, negatives = np.sort(found.scores[found.sounds]), np.sort(found.scores[~found.sounds])
        if not len(positives) or not len(negatives):
            per_label.append(np.nan)
            continue
        thresholds = np.unique(found.scores)[::-1]
        hits = np.append(0.0, 1 - np.searchsorted(positives, thresholds, side="left") / len(positives))
        alarms = np.append(0.0, 1 - np.searchsorted(negatives, thresholds, side="left") / len(negatives))
        inside = alarms <= MAX_FALSE_POSITIVE_RATE + 1e-12
        widths = np.diff(np.append(alarms[inside], MAX_FALSE_POSITIVE_RATE))
        per_label.append(float((hits[inside] * widths).sum()) / MAX_FALSE_POSITIVE_RATE)
    return LabelMean(per_label=np.array(per_label))


def resampled_partial_auroc(
    scores: FrameScores, truth: Truth, weights: Float[np.ndarray, "replicate clip"]
) -> Float[np.ndarray, "label replicate"]:
    """mpAUC of each label, each clip counted as often as the weights say; NaN where undefined."""
    labels = np.full((truth.num_labels, len(weights)), np.nan)
    for label, found in enumerate(segments_by_label(scores, truth)):
        if found.sounds.any() and not found.sounds.all():
            edges = bin_edges(found.scores)
            parts = [(found.scores[of], found.clip[of]) for of in (found.sounds, ~found.sounds)]
            counts = [by_replicate_and_bin(*part, edges, weights) for part in parts]
            labels[label] = weighted_partial_auroc(*counts, most=MAX_FALSE_POSITIVE_RATE)
    return labels
