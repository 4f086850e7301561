"""How sure a metric is: what it would be on other clips drawn from the same (Efron's bootstrap, by clip).

Each replicate counts every clip some number of times. The same clips are drawn every time, so that two models' metrics
on the same dataset can be taken from each other replicate by replicate: a paired comparison.
"""

import dataclasses

import numpy as np
from jaxtyping import Float

NUM_REPLICATES = 1000
_CLIPS_AT_ONCE = 512  # whose weights are held in double precision
_LEAST_DEFINED = 0.5  # of the replicates: a metric undefined in more has no interval


@dataclasses.dataclass(frozen=True, kw_only=True)
class Interval:
    """95 % of the replicates lie between."""

    low: float
    high: float


def clip_weights(num_clips: int, *, num: int = NUM_REPLICATES) -> Float[np.ndarray, "replicate clip"]:
    """How often each replicate counts each clip: for the same number of clips always the same."""
    rng, shares = np.random.default_rng(0), np.full(num_clips, 1 / num_clips)
    result = np.empty((num, num_clips), np.float32)
    for row in result:  # one by one: whole, the integers would take twice the memory of what is kept
        row[:] = rng.multinomial(num_clips, shares)
    return result


def resampled(
    weights: Float[np.ndarray, "replicate clip"], values: Float[np.ndarray, "clip *value"]
) -> Float[np.ndarray, "replicate *value"]:
    """Sums over clips, each counted as often as the weights say, in double precision."""
    flat = values.reshape(len(values), -1)
    result = np.zeros((len(weights), flat.shape[1]))
    eventful = np.flatnonzero(flat.any(axis=1))  # of most labels few clips count anything
    for start in range(0, len(eventful), _CLIPS_AT_ONCE):
        clips = eventful[start : start + _CLIPS_AT_ONCE]
        result += weights[:, clips].astype(np.float64) @ flat[clips].astype(np.float64)
    return result.reshape(len(weights), *values.shape[1:])


def interval(replicates: Float[np.ndarray, " replicate"], *, around: float) -> Interval | None:
    """From percentile 2.5 to 97.5, moved so that the replicates' mean lies on the value.

    Copies of a clip are equals of one another, which there are none of in the clips themselves: retrieval and average
    precision come out a little different in every replicate.

    Args:
        replicates: of a metric, NaN where it is undefined; if that is in most of them, there is no interval.
        around: the metric's value.
    """
    defined = replicates[np.isfinite(replicates)]
    if not len(defined) or len(defined) < _LEAST_DEFINED * len(replicates):
        return None
    low, high = np.quantile(defined, [0.025, 0.975]) + (around - defined.mean())
    return Interval(low=float(low), high=float(high))
