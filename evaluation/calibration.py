"""Whether probabilities mean what they say: of windows scored p, does a share p hold the sound?

Counted over every window of every label that is known, in bins of equal width (Guo et al., ICML 2017) for the expected
calibration error, and in bins of log-odds for the diagram: sounds are rare, and most scores lie near 0.
"""

import dataclasses

import numpy as np
from jaxtyping import Bool, Float

from evaluation.bootstrap import resampled
from evaluation.frame_scores import FrameScores
from evaluation.truth import Truth

NUM_BINS = 15
_LOG_ODDS = np.arange(-7.0, 7.5, 0.5)  # edges of the diagram's bins
_LEAST_COUNT = 50  # windows: of fewer, a share says little


@dataclasses.dataclass(frozen=True, kw_only=True)
class Reliability:
    """Bins of the diagram that hold enough windows.

    Args:
        said: mean probability.
        found: share of windows that hold the sound.
        count: windows.
    """

    said: Float[np.ndarray, " bin"]
    found: Float[np.ndarray, " bin"]
    count: Float[np.ndarray, " bin"]


@dataclasses.dataclass(frozen=True, kw_only=True)
class Calibration:
    """Sums over windows, kept apart by clip so that they can be resampled.

    Args:
        bins: by equal-width bin the number of windows, the sum of probabilities, and how many hold the sound.
        squares: sum of squared errors and number of windows.
        reliability: the diagram.
    """

    bins: Float[np.ndarray, "clip bin 3"]
    squares: Float[np.ndarray, "clip 2"]
    reliability: Reliability

    def expected_error(self, weights: Float[np.ndarray, "replicate clip"]) -> Float[np.ndarray, " replicate"]:
        """Mean distance of what was said from what was found, over windows; NaN without any."""
        counts = resampled(weights, self.bins)
        total = counts[..., 0].sum(axis=1)
        result = np.full(len(weights), np.nan)
        np.divide(np.abs(counts[..., 1] - counts[..., 2]).sum(axis=1), total, out=result, where=total > 0)
        return result

    def brier(self, weights: Float[np.ndarray, "replicate clip"]) -> Float[np.ndarray, " replicate"]:
        """Mean squared error."""
        errors, total = resampled(weights, self.squares).T
        result = np.full(len(weights), np.nan)
        np.divide(errors, total, out=result, where=total > 0)
        return result

    def brier_of_prior(self) -> float | None:
        """The Brier score of always saying how common sounds are: what a useful model must be below."""
        count, _, found = self.bins.sum(axis=(0, 1))
        return float(found / count * (1 - found / count)) if count else None


def calibration(scores: FrameScores, truth: Truth) -> Calibration:
    """Count every window of every label where it is known; scores are probabilities."""
    clips, num_clips = scores.clip_of_window, len(scores.clips)
    bins = np.zeros((num_clips * NUM_BINS, 3))
    squares = np.zeros((num_clips, 2))
    diagram = np.zeros((len(_LOG_ODDS) + 1, 3))
    for label in range(truth.num_labels):
        known = truth.known[:, label][clips]
        said = scores.row(label)[known].astype(np.float64)
        found, clip = truth.active(label, scores)[known], clips[known]
        place = clip * NUM_BINS + np.minimum((said * NUM_BINS).astype(np.int64), NUM_BINS - 1)
        _add(bins, place, said, found)
        safe = np.clip(said, 1e-7, 1 - 1e-7)
        _add(diagram, np.searchsorted(_LOG_ODDS, np.log(safe / (1 - safe)), side="right"), said, found)
        squares[:, 0] += np.bincount(clip, weights=(said - found) ** 2, minlength=num_clips)
        squares[:, 1] += np.bincount(clip, minlength=num_clips)
    count, said, found = diagram[diagram[:, 0] >= _LEAST_COUNT].T
    reliability = Reliability(said=said / count, found=found / count, count=count)
    return Calibration(bins=bins.reshape(num_clips, NUM_BINS, 3), squares=squares, reliability=reliability)


def _add(
    table: Float[np.ndarray, "bin 3"],
    place: np.ndarray,
    said: Float[np.ndarray, " window"],
    found: Bool[np.ndarray, " window"],
) -> None:
    for column, weights in enumerate((None, said, found)):
        table[:, column] += np.bincount(place, weights=weights, minlength=len(table))
