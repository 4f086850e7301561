"""False alarms an hour: how often a detector hears what isn't there, as `flam-cli detect` would say it."""

import dataclasses

import numpy as np
from jaxtyping import Bool, Float

from evaluation.frame_scores import FrameScores
from manifests.frames import MAX_GAP

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


def false_alarms(scores: FrameScores, absent: Bool[np.ndarray, "clip query"], *, threshold: float) -> FalseAlarms:
    """Count detections: windows above a threshold, those of one clip not more than 0.2 s apart taken as one.

    Args:
        scores: of the queries.
        absent: in which clips each query's sound is known not to be.
        threshold: a score must be above it.
    """
    num_queries, num_clips = len(scores.labels), len(scores.clips)
    counts = np.zeros((num_queries, num_clips))
    clips = scores.clip_of_window
    begins = np.delete(scores.edges, scores.starts[1:] + np.arange(num_clips))  # without the last edge of each clip
    ends = np.delete(scores.edges, scores.starts[:-1] + np.arange(num_clips))  # without the first
    for query in range(num_queries):
        above = np.flatnonzero(scores.values[query] > threshold)
        same = np.diff(clips[above], prepend=-1) == 0
        near = np.append(False, begins[above][1:] - ends[above][:-1] <= MAX_GAP + 1e-6)[: len(above)]
        counts[query] = np.bincount(clips[above[~(same & near)]], minlength=num_clips)
    return FalseAlarms(counts=counts * absent.T, seconds=scores.durations * absent.T)
