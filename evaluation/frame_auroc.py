"""Frame AUROC: of each label, their mean, and of all labels together.

What nobody knows is left out: a sound that the background may hold is neither present nor absent. A label for which a
value is undefined is left out of the mean and counted.
"""

import dataclasses
from collections.abc import Iterator

import numpy as np
from jaxtyping import Float, Int

from evaluation.binned import NUM_BINS, bin_edges, by_clip_and_bin, weighted_auroc
from evaluation.binned import resampled_auroc as binned_auroc
from evaluation.frame_scores import FrameScores
from evaluation.label_mean import LabelMean
from evaluation.truth import Truth

_MOST_SAMPLED = 1 << 20  # scores whose distribution gives the bins of all labels together


@dataclasses.dataclass(frozen=True, kw_only=True)
class Frames:
    """One label's scores in the windows that count, and the clips of these."""

    positives: Float[np.ndarray, " positive"]
    negatives: Float[np.ndarray, " negative"]
    positive_clips: Int[np.ndarray, " positive"]
    negative_clips: Int[np.ndarray, " negative"]


def auroc(positives: Float[np.ndarray, " positive"], negatives: Float[np.ndarray, " negative"]) -> float:
    """Chance that a positive scores above a negative, a tie counting half; NaN without positives or negatives."""
    return ordered_auroc(positives, np.sort(negatives))


def ordered_auroc(positives: Float[np.ndarray, " positive"], negatives: Float[np.ndarray, " negative"]) -> float:
    """The same of negatives in order, which several positives may have in common."""
    if not len(positives) or not len(negatives):
        return float("nan")
    below = np.searchsorted(negatives, positives, side="left")
    not_above = np.searchsorted(negatives, positives, side="right")
    return float((below.mean() + not_above.mean()) / (2 * len(negatives)))


def frame_auroc(scores: FrameScores, truth: Truth, *, active_only: bool, among: Truth | None = None) -> LabelMean:
    """AUROC of each label over the windows of all clips in which it is known.

    Args:
        scores: of the clips.
        truth: of the same clips and labels.
        active_only: count as negatives only windows in which some other label sounds. It asks which sound, not whether
            there is one, and is the number that shows open-vocabulary skill.
        among: whose labels these others are; the same truth's, if it isn't given.
    """
    parts = _frames(scores, truth, active_only=active_only, among=among)
    found = [auroc(label.positives, label.negatives) for label in parts]
    return LabelMean(per_label=np.array(found))


def pooled_auroc(scores: FrameScores, truth: Truth, *, active_only: bool) -> float | None:
    """AUROC over the windows of all labels together: one threshold for all of them. None where it is undefined.

    Only the positives of all labels are held at once, which are few.
    """
    positives = np.sort(np.concatenate([found.positives for found in _frames(scores, truth, active_only=active_only)]))
    below, num_negatives = 0.0, 0
    for found in _frames(scores, truth, active_only=active_only):
        num_negatives += len(found.negatives)
        negatives = np.sort(found.negatives)  # far faster to look up
        above = len(positives) - np.searchsorted(positives, negatives, side="right")
        not_below = len(positives) - np.searchsorted(positives, negatives, side="left")
        below += float((above + not_below).sum()) / 2
    pairs = len(positives) * num_negatives
    return below / pairs if pairs else None


def resampled_auroc(
    scores: FrameScores,
    truth: Truth,
    weights: Float[np.ndarray, "replicate clip"],
    *,
    active_only: bool,
    among: Truth | None = None,
) -> tuple[Float[np.ndarray, "label replicate"], Float[np.ndarray, " replicate"]]:
    """AUROC of each label and pooled, each clip counted as often as the weights say; NaN where undefined.

    Scores are put into bins of about as many scores each, and those of a bin are taken as equal.
    """
    num_clips = len(scores.clips)
    step = max(scores.values.shape[1] // min(10_000, max(_MOST_SAMPLED // truth.num_labels, 1)), 1)
    every = bin_edges(np.concatenate([scores.row(label)[::step].copy() for label in range(truth.num_labels)]))
    together = np.zeros((2, num_clips, NUM_BINS), dtype=np.float32)
    labels = np.full((truth.num_labels, len(weights)), np.nan)
    for label, found in enumerate(_frames(scores, truth, active_only=active_only, among=among)):
        parts = ((found.positives, found.positive_clips), (found.negatives, found.negative_clips))
        for index, part in enumerate(parts):
            together[index] += by_clip_and_bin(*part, every, num_clips=num_clips)
        if len(found.positives) and len(found.negatives):
            edges = bin_edges(np.concatenate([found.positives, found.negatives]))
            labels[label] = binned_auroc(*parts, edges, weights)
    return labels, weighted_auroc(weights @ together[0], weights @ together[1])


def _frames(scores: FrameScores, truth: Truth, *, active_only: bool, among: Truth | None = None) -> Iterator[Frames]:
    """One label at a time."""
    clips = scores.clip_of_window
    eligible = (among or truth).any_active(scores) if active_only else np.ones(len(clips), dtype=bool)
    for label in range(truth.num_labels):
        values, known, sounds = scores.row(label), truth.known[:, label][clips], truth.active(label, scores)
        positive, negative = known & sounds, known & eligible & ~sounds
        yield Frames(
            positives=values[positive],
            negatives=values[negative],
            positive_clips=clips[positive],
            negative_clips=clips[negative],
        )
