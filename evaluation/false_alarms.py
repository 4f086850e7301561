"""False alarms an hour: how often a detector hears what isn't there, as `flam-cli detect` would say it."""

import dataclasses

import numpy as np
from jaxtyping import Bool, Float

from evaluation.frame_scores import FrameScores
from evaluation.post_processing import PostProcessing, detections

_HOUR = 3600.0


@dataclasses.dataclass(frozen=True, kw_only=True)
class FalseAlarms:
    """Detections in clips in which a query's sound is known to be absent.

    Args:
        counts: of detections.
        seconds: listened to; 0 where the sound is there or nobody knows.
    """

    counts: Float[np.ndarray, "query clip"]
    seconds: Float[np.ndarray, "query clip"]

    @property
    def per_hour(self) -> float | None:
        """Mean of the queries that were listened for; None without any."""
        value = float(self.resampled(np.ones((1, self.counts.shape[1]), np.float32))[0])
        return None if np.isnan(value) else value

    def resampled(self, weights: Float[np.ndarray, "replicate clip"]) -> Float[np.ndarray, " replicate"]:
        """The same with each clip counted as often as the weights say."""
        counts, seconds = (weights.astype(np.float64) @ table.T for table in (self.counts, self.seconds))
        rates = np.full(counts.shape, np.nan)
        np.divide(counts * _HOUR, seconds, out=rates, where=seconds > 0)
        listened = np.isfinite(rates).sum(axis=1)
        result = np.full(len(weights), np.nan)
        np.divide(np.nansum(rates, axis=1), listened, out=result, where=listened > 0)
        return result


def false_alarms(
    scores: FrameScores, absent: Bool[np.ndarray, "clip query"], *, threshold: float, post: PostProcessing
) -> FalseAlarms:
    """Count detections.

    Args:
        scores: of the queries.
        absent: in which clips each query's sound is known not to be.
        threshold: a score must be above it.
        post: what else makes a detection.
    """
    counts = np.zeros((len(scores.labels), len(scores.clips)))
    for query in range(len(scores.labels)):
        clips, _, _ = detections(scores, query, threshold=threshold, post=post)
        counts[query] = np.bincount(clips, minlength=len(scores.clips))
    return FalseAlarms(counts=counts * absent.T, seconds=scores.durations * absent.T)
