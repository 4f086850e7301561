"""Areas under ROC curves of many replicates at once, from counts of scores by clip and bin."""

from collections.abc import Iterator

import numpy as np
from jaxtyping import Float, Int

from manifests.compiled import compiled

NUM_BINS = 500
_CLIPS_AT_ONCE = 256


def bin_edges(values: Float[np.ndarray, " score"]) -> Float[np.ndarray, " edge"]:
    """Of bins that hold about as many scores each."""
    found: Float[np.ndarray, " edge"] = np.quantile(np.sort(values), np.linspace(0, 1, NUM_BINS + 1))
    return found


def by_clip_and_bin(
    values: Float[np.ndarray, " score"],
    clips: Int[np.ndarray, " score"],
    edges: Float[np.ndarray, " edge"],
    *,
    num_clips: int,
) -> Float[np.ndarray, "clip bin"]:
    """How many scores of each clip each bin holds."""
    counts = np.zeros((num_clips, NUM_BINS), np.float32)
    _count(values, clips, edges, counts)
    return counts


@compiled
def _count(
    values: Float[np.ndarray, " score"],
    clips: Int[np.ndarray, " score"],
    edges: Float[np.ndarray, " edge"],
    counts: Float[np.ndarray, "clip bin"],
) -> None:
    """Add each score to the bin of the last edge that is not above it, or to the first or last bin."""
    for place in range(len(values)):
        low, high = 0, len(edges) - 1  # of bins
        while high - low > 1:
            middle = (low + high) // 2
            if edges[middle] <= values[place]:
                low = middle
            else:
                high = middle
        counts[clips[place], low] += 1


def by_replicate_and_bin(
    values: Float[np.ndarray, " score"],
    clips: Int[np.ndarray, " score"],
    edges: Float[np.ndarray, " edge"],
    weights: Float[np.ndarray, "replicate clip"],
) -> Float[np.ndarray, "replicate bin"]:
    """The same with each clip counted as often as the weights say. Clips are in order."""
    result = np.zeros((len(weights), NUM_BINS))
    for chosen, counts in _blocks(values, clips, edges, num_clips=weights.shape[1]):
        result += weights[:, chosen] @ counts
    return result


def resampled_auroc(
    positives: tuple[Float[np.ndarray, " positive"], Int[np.ndarray, " positive"]],
    negatives: tuple[Float[np.ndarray, " negative"], Int[np.ndarray, " negative"]],
    edges: Float[np.ndarray, " edge"],
    weights: Float[np.ndarray, "replicate clip"],
) -> Float[np.ndarray, " replicate"]:
    """AUROC of each replicate, from scores and their clips, in order; scores in a bin are taken as equal.

    Few clips hold positives as a rule. Then what counts is, for each of them and each clip with negatives, how many
    pairs of the two are in order: fewer numbers than bins.
    """
    clips, row = np.unique(positives[1], return_inverse=True)
    if len(clips) >= NUM_BINS:
        return weighted_auroc(*(by_replicate_and_bin(*part, edges, weights) for part in (positives, negatives)))
    there = by_clip_and_bin(positives[0], row, edges, num_clips=len(clips)).astype(np.float64)
    in_order, num_negatives = np.zeros((len(weights), len(clips))), np.zeros(len(weights))
    for chosen, counts in _blocks(*negatives, edges, num_clips=weights.shape[1]):
        times = weights[:, chosen].astype(np.float64)
        in_order += times @ (_below(counts) @ there.T)
        num_negatives += times @ counts.sum(axis=1)
    drawn = weights[:, clips].astype(np.float64)
    pairs = (drawn @ there.sum(axis=1)) * num_negatives
    result = np.full(len(weights), np.nan)
    np.divide(np.einsum("rc,rc->r", drawn, in_order), pairs, out=result, where=pairs > 0)
    return result


def weighted_auroc(
    positives: Float[np.ndarray, "replicate bin"], negatives: Float[np.ndarray, "replicate bin"]
) -> Float[np.ndarray, " replicate"]:
    """AUROC of each replicate, scores in a bin taken as equal; NaN where undefined."""
    pairs = positives.sum(axis=1, dtype=np.float64) * negatives.sum(axis=1, dtype=np.float64)
    result = np.full(len(positives), np.nan)
    np.divide((positives * _below(negatives)).sum(axis=1), pairs, out=result, where=pairs > 0)
    return result


def _below(counts: Float[np.ndarray, "row bin"]) -> Float[np.ndarray, "row bin"]:
    """How many are in lower bins, those of the same bin as half."""
    below: Float[np.ndarray, "row bin"] = np.cumsum(counts, axis=1, dtype=np.float64) - counts / 2
    return below


def _blocks(
    values: Float[np.ndarray, " score"],
    clips: Int[np.ndarray, " score"],
    edges: Float[np.ndarray, " edge"],
    *,
    num_clips: int,
) -> Iterator[tuple[slice, Float[np.ndarray, "clip bin"]]]:
    """Counts by clip and bin of so many clips at once: those of all would be larger than the scores."""
    for first in range(0, num_clips, _CLIPS_AT_ONCE):
        chosen = slice(first, min(first + _CLIPS_AT_ONCE, num_clips))
        part = slice(*np.searchsorted(clips, [chosen.start, chosen.stop]))
        counts = by_clip_and_bin(values[part], clips[part] - first, edges, num_clips=chosen.stop - first)
        yield chosen, counts


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
