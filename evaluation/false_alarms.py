"""False alarms an hour: how often a detector hears what isn't there, as `flam-cli detect` would say it."""

import dataclasses

import numpy as np
from jaxtyping import Bool, Float

from evaluation.bootstrap import resampled
from evaluation.frame_scores import FrameScores
from evaluation.post_processing import PostProcessing, detections

_HOUR = 3600.0


@dataclasses.dataclass(frozen=True, kw_only=True)
class FalseAlarms:
    """Detections in clips in which a query's sound is known to be absent.

    Args:
        of_query: an hour; NaN for one that was not listened for.
        per_hour: mean of the queries that were listened for; None without any.
        replicates: the same with each clip counted as often as each replicate does.
    """

    of_query: Float[np.ndarray, " query"]
    per_hour: float | None
    replicates: Float[np.ndarray, " replicate"]


def false_alarms(
    scores: FrameScores,
    absent: Bool[np.ndarray, "clip query"],
    *,
    threshold: float,
    post: PostProcessing,
    weights: Float[np.ndarray, "replicate clip"] | None = None,
) -> FalseAlarms:
    """Count detections, of one query after the other.

    Args:
        scores: of the queries.
        absent: in which clips each query's sound is known not to be.
        threshold: a score must be above it.
        post: what else makes a detection.
        weights: how often each replicate counts each clip; none without.
    """
    once = np.ones((1, len(scores.clips)), np.float32)
    wanted = (once,) if weights is None else (once, weights)
    total, listened = np.zeros((2, sum(map(len, wanted))))
    of_query = np.full(len(scores.labels), np.nan)
    for query in range(len(scores.labels)):
        clips, _, _ = detections(scores, query, threshold=threshold, post=post)
        counts = np.bincount(clips, minlength=len(scores.clips))
        table = np.stack([counts, scores.durations], axis=1) * absent[:, query, None]
        alarms, seconds = np.concatenate([resampled(part, table) for part in wanted]).T
        found = np.divide(alarms * _HOUR, seconds, out=np.full(len(total), np.nan), where=seconds > 0)
        of_query[query] = found[0]
        total += np.nan_to_num(found)
        listened += seconds > 0
    rates = np.full(len(total), np.nan)
    np.divide(total, listened, out=rates, where=listened > 0)
    return FalseAlarms(of_query=of_query, per_hour=float(rates[0]) if listened[0] else None, replicates=rates[1:])
