"""Whole clips by labels they were never shown as classes: cosine of the clip with each label's prompts."""

import dataclasses

import numpy as np
from jaxtyping import Bool, Float
from sklearn.metrics import average_precision_score

from evaluation.label_mean import LabelMean
from evaluation.scored import Detector, ScoredSplit

_REPLICATES_AT_ONCE = 64
PROMPTS = ("{}", "the sound of {}", "this is a sound of {}", "a recording of {}")


@dataclasses.dataclass(frozen=True, kw_only=True)
class ZeroShot:
    """Similarity of clips and labels, and what is there.

    Args:
        similarity: cosine.
        there: whether the label sounds in the clip.
        known: whether anybody knows.
    """

    similarity: Float[np.ndarray, "clip label"]
    there: Bool[np.ndarray, "clip label"]
    known: Bool[np.ndarray, "clip label"]

    @property
    def is_single_label(self) -> bool:
        """Whether each clip holds one label, and all is known: only then is there one right answer."""
        return bool((self.there.sum(axis=1) == 1).all() and self.known.all())

    @property
    def correct(self) -> Float[np.ndarray, " clip"]:
        """Chance that the most similar label is the clip's: equal similarities are drawn from."""
        best = self.similarity == self.similarity.max(axis=1, keepdims=True)
        result: Float[np.ndarray, " clip"] = (best & self.there).sum(axis=1) / best.sum(axis=1)
        return result

    def average_precision(self) -> LabelMean:
        """Of each label over the clips in which it is known; NaN for one that sounds in all or none of them."""
        return LabelMean(per_label=np.array([self._of_label(label) for label in range(self.there.shape[1])]))

    def resampled_map(self, weights: Float[np.ndarray, "replicate clip"]) -> Float[np.ndarray, " replicate"]:
        """Mean of labels, each clip counted as often as the weights say."""
        total, count = np.zeros(len(weights)), np.zeros(len(weights))
        for label in range(self.there.shape[1]):
            known = np.flatnonzero(self.known[:, label])
            order = known[np.argsort(-self.similarity[known, label], kind="stable")]
            for start in range(0, len(weights), _REPLICATES_AT_ONCE):
                rows = slice(start, start + _REPLICATES_AT_ONCE)
                drawn = weights[rows, order].astype(np.float64)
                right = drawn * self.there[order, label]
                found = right.sum(axis=1)
                precision = np.cumsum(right, axis=1) / np.maximum(np.cumsum(drawn, axis=1), 1)
                defined = (found > 0) & (found < drawn.sum(axis=1))
                total[rows] += np.where(defined, (right * precision).sum(axis=1) / np.maximum(found, 1), 0.0)
                count[rows] += defined
        result = np.full(len(weights), np.nan)
        np.divide(total, count, out=result, where=count > 0)
        return result

    def _of_label(self, label: int) -> float:
        known = self.known[:, label]
        there = self.there[known, label]
        if there.all() or not there.any():
            return float("nan")
        return float(average_precision_score(there, self.similarity[known, label]))


def zero_shot(detector: Detector, scored: ScoredSplit) -> ZeroShot:
    """Compare each clip with each label, whose prompts' vectors are averaged."""
    classes = np.zeros((len(scored.labels), scored.embeddings.shape[1]))
    for prompt in PROMPTS:
        classes += detector.caption_embeddings([prompt.format(query.phrase) for query in scored.labels])
    classes /= np.linalg.norm(classes, axis=1, keepdims=True)
    there = np.zeros_like(scored.truth.known)
    there[scored.truth.clip, scored.truth.label] = True
    # as retrieval: equal to float32's precision is equal
    similarity = np.round(scored.embeddings.astype(np.float64) @ classes.T, 6)
    return ZeroShot(similarity=similarity, there=there, known=scored.truth.known)
