"""Areas under ROC curves of many replicates at once, from counts of scores by clip and bin."""

import numpy as np
from jaxtyping import Float, Int

NUM_BINS = 500


def bin_edges(values: Float[np.ndarray, " score"]) -> Float[np.ndarray, " edge"]:
    """Of bins that hold about as many scores each."""
    found: Float[np.ndarray, " edge"] = np.quantile(values, np.linspace(0, 1, NUM_BINS + 1))
    return found


def by_clip_and_bin(
    values: Float[np.ndarray, " score"],
    clips: Int[np.ndarray, " score"],
    edges: Float[np.ndarray, " edge"],
    *,
    num_clips: int,
) -> Float[np.ndarray, "clip bin"]:
    """How many scores of each clip each bin holds."""
    bins = np.clip(np.searchsorted(edges, values, side="right") - 1, 0, NUM_BINS - 1)
    counts = np.bincount(clips * NUM_BINS + bins, minlength=num_clips * NUM_BINS)
    return counts.reshape(num_clips, NUM_BINS).astype(np.float32)


def weighted_auroc(
    positives: Float[np.ndarray, "replicate bin"], negatives: Float[np.ndarray, "replicate bin"]
) -> Float[np.ndarray, " replicate"]:
    """AUROC of each replicate, scores in a bin taken as equal; NaN where undefined."""
    below = np.cumsum(negatives, axis=1, dtype=np.float64) - negatives / 2
    pairs = positives.sum(axis=1, dtype=np.float64) * negatives.sum(axis=1, dtype=np.float64)
    result = np.full(len(positives), np.nan)
    np.divide((positives * below).sum(axis=1), pairs, out=result, where=pairs > 0)
    return result


def weighted_partial_auroc(
    positives: Float[np.ndarray, "replicate bin"], negatives: Float[np.ndarray, "replicate bin"], *, most: float
) -> Float[np.ndarray, " replicate"]:
    """Mean hit rate up to a rate of false positives."""
    hits, alarms = (np.cumsum(counts[:, ::-1], axis=1, dtype=np.float64) for counts in (positives, negatives))
    with np.errstate(invalid="ignore", divide="ignore"):
        hits, alarms = (np.pad(counts / counts[:, -1:], ((0, 0), (1, 0))) for counts in (hits, alarms))
    widths = np.diff(np.minimum(alarms, most), axis=1)
    result: Float[np.ndarray, " replicate"] = ((hits[:, 1:] + hits[:, :-1]) / 2 * widths).sum(axis=1) / most
    return result
