"""F1 at one threshold for all labels, from counts by clip."""

import dataclasses

import numpy as np
from jaxtyping import Float

from evaluation.label_mean import LabelMean

_LABELS_AT_ONCE = 16  # whose resampled counts are held together


@dataclasses.dataclass(frozen=True, kw_only=True)
class F1:
    """Of events or segments: the mean of labels that occur, and over all of all labels together.

    A label that occurs nowhere has no F1 of its own; its false alarms count in the micro average.

    Args:
        threshold: a score must be above it, not equal.
        counts: hits, false alarms, and what there is to find.
    """

    threshold: float
    counts: Float[np.ndarray, "label clip 3"]

    @property
    def labels(self) -> LabelMean:
        """By label."""
        return LabelMean(per_label=_f1(self.counts.sum(axis=1, dtype=np.float64)))

    @property
    def macro(self) -> float | None:
        """Mean of labels; None if none occurs."""
        return self.labels.macro

    @property
    def micro(self) -> float | None:
        """Over all labels together; None if none occurs."""
        value = float(_f1(self.counts.sum(axis=(0, 1), dtype=np.float64)))
        return None if np.isnan(value) else value

    def resampled(
        self, weights: Float[np.ndarray, "replicate clip"]
    ) -> tuple[Float[np.ndarray, " replicate"], Float[np.ndarray, " replicate"]]:
        """Macro and micro F1 with each clip counted as often as the weights say."""
        total, count = np.zeros(len(weights)), np.zeros(len(weights))
        together = np.zeros((len(weights), 3))
        for start in range(0, len(self.counts), _LABELS_AT_ONCE):
            found = np.einsum("rc,lcn->rln", weights, self.counts[start : start + _LABELS_AT_ONCE], optimize=True)
            together += found.sum(axis=1)
            values = _f1(found)
            total += np.nansum(values, axis=1)
            count += np.isfinite(values).sum(axis=1)
        with np.errstate(invalid="ignore"):
            return total / count, _f1(together)


def _f1(counts: Float[np.ndarray, "*any 3"]) -> Float[np.ndarray, "*any"]:
    hits, alarms, there = np.moveaxis(counts, -1, 0)
    result = np.full(hits.shape, np.nan)
    np.divide(2 * hits, hits + alarms + there, out=result, where=there > 0)
    return result
