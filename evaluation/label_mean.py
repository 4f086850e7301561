"""One value per label and their mean."""

import dataclasses

import numpy as np
from jaxtyping import Bool, Float


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
