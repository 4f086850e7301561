"""Frame AUROC and segment F1 over labels, from scores, truth and what is known. Pure functions of arrays.

A clip's scores are (frame, label); `known` is (clip, label) and excludes what nobody knows: a sound that the background
may hold is neither present nor absent. Means are over labels; a label for which a value is undefined is left out of
the mean and counted.
"""

import dataclasses
from collections.abc import Sequence

import numpy as np
from jaxtyping import Bool, Float

SEGMENT_SECONDS = 1.0
_TIME_DECIMALS = 6  # as sed_scores_eval: a time on a segment's edge must not depend on float rounding


@dataclasses.dataclass(frozen=True, kw_only=True)
class LabelMean:
    """One value per label, NaN where it is undefined, and the mean of the others."""

    per_label: Float[np.ndarray, " label"]

    @property
    def macro(self) -> float | None:
        """Mean over the labels that have a value; None if none has."""
        return float(np.nanmean(self.per_label)) if self.num_labels else None

    @property
    def num_labels(self) -> int:
        """How many labels have a value."""
        return int(np.isfinite(self.per_label).sum())

    @property
    def num_left_out(self) -> int:
        """How many labels have none."""
        return len(self.per_label) - self.num_labels

    def subset(self, chosen: Bool[np.ndarray, " label"]) -> "LabelMean":
        """The same for some of the labels."""
        return LabelMean(per_label=self.per_label[chosen])


@dataclasses.dataclass(frozen=True, kw_only=True)
class SegmentF1:
    """F1 over segments: the mean over labels that occur, and over all segments of all labels together."""

    threshold: float
    labels: LabelMean
    micro: float | None

    @property
    def macro(self) -> float | None:
        """Mean over the labels that occur in known segments."""
        return self.labels.macro


def auroc(positives: Float[np.ndarray, " positive"], negatives: Float[np.ndarray, " negative"]) -> float:
    """Chance that a positive scores above a negative, a tie counting half; NaN without positives or negatives."""
    if not len(positives) or not len(negatives):
        return float("nan")
    ordered = np.sort(negatives)
    below = np.searchsorted(ordered, positives, side="left")
    not_above = np.searchsorted(ordered, positives, side="right")
    return float((below.mean() + not_above.mean()) / (2 * len(negatives)))


def frame_auroc(
    scores: Sequence[Float[np.ndarray, "_ label"]],
    truth: Sequence[Bool[np.ndarray, "_ label"]],
    known: Bool[np.ndarray, "clip label"],
    *,
    active_only: bool,
) -> LabelMean:
    """AUROC of each label over the frames of all clips in which it is known.

    Args:
        scores: per clip; clips may differ in length.
        truth: per clip, the frames in which each label sounds.
        known: whether presence and absence of the label in the clip are known.
        active_only: count as negatives only frames in which some other label sounds. It asks which sound, not whether
            there is one, and is the number that shows open-vocabulary skill.
    """
    eligible = [clip.any(axis=1) if active_only else np.ones(len(clip), bool) for clip in truth]
    values = np.full(known.shape[1], np.nan)
    for label in range(known.shape[1]):  # one label at a time: nothing larger than one label's frames is copied
        clips = np.flatnonzero(known[:, label]).tolist()
        if not any(truth[clip][:, label].any() for clip in clips):
            continue
        positives = [scores[clip][truth[clip][:, label], label] for clip in clips]
        negatives = [scores[clip][eligible[clip] & ~truth[clip][:, label], label] for clip in clips]
        values[label] = auroc(np.concatenate(positives), np.concatenate(negatives))
    return LabelMean(per_label=values)


def segment_scores(
    scores: Float[np.ndarray, "frame label"], *, hop: float, duration: float
) -> Float[np.ndarray, "segment label"]:
    """The highest score in each second of a clip, over the frames that overlap it, however little.

    Args:
        scores: frame i covers [i * hop, (i + 1) * hop); frames past the clip's end don't count.
        hop: seconds.
        duration: of the clip, in seconds; the last segment may be shorter.
    """
    onsets, offsets = _segments(duration)
    edges = np.round(np.minimum(np.arange(len(scores) + 1) * hop, duration), _TIME_DECIMALS)
    first = np.maximum(np.searchsorted(edges, onsets, side="right") - 1, 0)
    last = np.minimum(np.searchsorted(edges, offsets, side="left"), len(scores))
    result = np.zeros((len(onsets), scores.shape[1]), scores.dtype)
    for segment, (start, stop) in enumerate(zip(first, last, strict=True)):
        if stop > start:
            result[segment] = scores[start:stop].max(axis=0)
    return result


def segment_truth(spans: Sequence[tuple[float, float]], *, duration: float) -> Bool[np.ndarray, " segment"]:
    """Which seconds of a clip one label sounds in, however little; `spans` are (onset, offset) in seconds."""
    onsets, offsets = _segments(duration)
    active = np.zeros(len(onsets), bool)
    for onset, offset in spans:
        if offset > onset:
            active |= (onsets < round(offset, _TIME_DECIMALS)) & (offsets > round(onset, _TIME_DECIMALS))
    return active


def _segments(duration: float) -> tuple[Float[np.ndarray, " segment"], Float[np.ndarray, " segment"]]:
    num_segments = int(np.ceil(round(duration, _TIME_DECIMALS) / SEGMENT_SECONDS))
    edges = np.arange(num_segments + 1) * SEGMENT_SECONDS
    return edges[:-1], edges[1:]


def segment_f1(
    scores: Float[np.ndarray, "segment label"],
    truth: Bool[np.ndarray, "segment label"],
    known: Bool[np.ndarray, "segment label"],
    *,
    threshold: float,
) -> SegmentF1:
    """F1 at one threshold over the segments of all clips; a score must be above it, not equal.

    A label that occurs in no known segment has no F1 of its own; its false alarms count in the micro average.
    """
    decided = (scores > threshold) & known
    present = truth & known
    hits = (decided & present).sum(axis=0)
    decisions, occurrences = decided.sum(axis=0), present.sum(axis=0)
    per_label = np.full(len(hits), np.nan)
    np.divide(2 * hits, decisions + occurrences, out=per_label, where=occurrences > 0)
    total = int(decisions.sum() + occurrences.sum())
    micro = float(2 * hits.sum() / total) if occurrences.any() else None
    return SegmentF1(threshold=threshold, labels=LabelMean(per_label=per_label), micro=micro)


def best_threshold(
    scores: Float[np.ndarray, "segment label"],
    truth: Bool[np.ndarray, "segment label"],
    known: Bool[np.ndarray, "segment label"],
    *,
    grid: Sequence[float] = tuple(np.round(np.arange(0.02, 1.0, 0.02), 2).tolist()),
) -> float:
    """The one threshold for all labels with the highest macro segment F1, the middle one of several that are equal.

    Give it validation scores: a threshold chosen on the test set makes the test set's F1 too high.
    """
    values = np.array([segment_f1(scores, truth, known, threshold=threshold).macro or 0.0 for threshold in grid])
    best = np.flatnonzero(values >= values.max() - 1e-12)
    return float(grid[int(best[(len(best) - 1) // 2])])
