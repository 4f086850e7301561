"""F1 at one threshold for all labels, from counts by clip that are added up label by label."""

import dataclasses

import numpy as np
from jaxtyping import Float

from evaluation.bootstrap import resampled
from evaluation.label_mean import LabelMean


@dataclasses.dataclass(frozen=True, kw_only=True)
class F1:
    """Of events or segments: the mean of labels that occur, and over all of all labels together.

    A label that occurs nowhere has no F1 of its own; its false alarms count in the micro average.

    Args:
        threshold: a score must be above it, not equal.
        counts: hits, false alarms, and what there is to find, in all clips.
        macro_replicates: the mean of labels with each clip counted as often as each replicate does.
        micro_replicates: the same over all labels together.
    """

    threshold: float
    counts: Float[np.ndarray, "label 3"]
    macro_replicates: Float[np.ndarray, " replicate"]
    micro_replicates: Float[np.ndarray, " replicate"]

    @property
    def labels(self) -> LabelMean:
        """By label."""
        return LabelMean(per_label=_f1(self.counts))

    @property
    def macro(self) -> float | None:
        """Mean of labels; None if none occurs."""
        return self.labels.macro

    @property
    def micro(self) -> float | None:
        """Over all labels together; None if none occurs."""
        value = float(_f1(self.counts.sum(axis=0)))
        return None if np.isnan(value) else value


class F1Sums:
    """Counts added up label by label, so that those of no more than one label are kept apart by clip.

    Args:
        weights: how often each replicate counts each clip; no replicates without.
    """

    def __init__(self, weights: Float[np.ndarray, "replicate clip"] | None = None) -> None:
        self._weights, self._counts = weights, list[Float[np.ndarray, " 3"]]()
        num = 0 if weights is None else len(weights)
        self._total, self._defined, self._together = np.zeros(num), np.zeros(num), np.zeros((num, 3))

    def add(self, counts: Float[np.ndarray, "clip 3"]) -> None:
        """The next label's hits, false alarms, and what there is to find."""
        self._counts.append(counts.sum(axis=0, dtype=np.float64))
        if self._weights is not None:
            found = resampled(self._weights, counts)
            values = _f1(found)
            self._together += found
            self._total += np.nan_to_num(values)
            self._defined += np.isfinite(values)

    def f1(self, threshold: float) -> F1:
        """Of all that was added."""
        with np.errstate(invalid="ignore"):
            macro = self._total / self._defined
        counts = np.array(self._counts).reshape(-1, 3)
        return F1(threshold=threshold, counts=counts, macro_replicates=macro, micro_replicates=_f1(self._together))


def _f1(counts: Float[np.ndarray, "*any 3"]) -> Float[np.ndarray, "*any"]:
    hits, alarms, there = np.moveaxis(counts, -1, 0)
    result = np.full(hits.shape, np.nan)
    np.divide(2 * hits, hits + alarms + there, out=result, where=there > 0)
    return result
