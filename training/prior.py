"""How common a sound is, told from its text: the part of FLAM's per-text bias (arXiv 2505.05335) that is the prior.

FLAM learns it beside the model; here it is fitted to the finished text vectors, so that it changes no ranking within a
phrase. A text of which nothing can be told gets the mean of all.
"""

from collections.abc import Mapping, Sequence

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from jaxtyping import Float, Int

Prior = tuple[Float[np.ndarray, " dim"], float]  # weights of a text's vector, and a constant

_PENALTIES = 10.0 ** np.arange(-2, 4)  # of ridge regression, in units of one text
_NUM_FOLDS = 10
_LEAST_GAIN = 0.05  # of the squared error
_SECONDS = 0.5  # as if every sound had been heard this much more: one that never was has log-odds, too


def shares_of_time(rows: pa.Table) -> dict[str, float]:
    """The share of time in which each cluster sounds, of soundscapes that list all of their sounds if there are any.

    Events of a cluster that sound at once count once; what sounds in no such soundscape has no share.

    Args:
        rows: of a table of soundscapes.
    """
    closed = rows.filter(pc.equal(rows["annotation"], "closed"))
    rows = closed if closed.num_rows else rows
    total = pc.sum(rows["duration"]).as_py() or 0.0
    listed = rows["events"].combine_chunks()
    events = listed.flatten()
    activity = pc.struct_field(events, "activity")
    event_of = pc.list_parent_indices(activity).to_numpy()
    clusters = pc.struct_field(events, "cluster").dictionary_encode()
    cluster_of = clusters.indices.to_numpy()[event_of]
    soundscape_of = pc.list_parent_indices(listed).to_numpy()[event_of]
    stretches = activity.flatten()
    onsets, offsets = (pc.struct_field(stretches, name).to_numpy() for name in ("onset", "offset"))
    sums = np.bincount(
        cluster_of, weights=_alone(onsets, offsets, cluster_of, soundscape_of), minlength=len(clusters.dictionary)
    )
    names = clusters.dictionary.to_pylist()
    return {name: (sum_ + _SECONDS) / (total + 2 * _SECONDS) for name, sum_ in zip(names, sums.tolist(), strict=True)}


def _alone(
    onsets: Float[np.ndarray, " stretch"],
    offsets: Float[np.ndarray, " stretch"],
    clusters: Int[np.ndarray, " stretch"],
    soundscapes: Int[np.ndarray, " stretch"],
) -> Float[np.ndarray, " stretch"]:
    """Seconds of each stretch after those of its cluster and soundscape that begin before it."""
    order = np.lexsort((onsets, clusters, soundscapes))
    begins = (np.diff(soundscapes[order], prepend=-1) != 0) | (np.diff(clusters[order], prepend=-1) != 0)
    group = np.cumsum(begins) * (offsets.max(initial=0.0) + 1.0)  # one after another, so that no two groups overlap
    start, end = onsets[order] + group, offsets[order] + group
    before = np.concatenate([[-np.inf], np.maximum.accumulate(end)[:-1]]) if len(end) else end
    seconds = np.empty(len(onsets))
    seconds[order] = np.clip(end - np.maximum(start, before), 0.0, None)
    return seconds


def coverage(rows: pa.Table) -> float:
    """Mean share of a soundscape's time in which an event of it is active; of a table of soundscapes."""
    durations, events = rows["duration"].to_numpy(), rows["events"].combine_chunks()
    activity = pc.struct_field(events.flatten(), "activity")
    stretches = activity.flatten()
    seconds = pc.subtract(pc.struct_field(stretches, "offset"), pc.struct_field(stretches, "onset")).to_numpy()
    whole = durations[pc.list_parent_indices(events).to_numpy()].sum()
    return float(seconds.sum() / whole) if whole else 0.1


def fit_prior(vectors: Float[np.ndarray, "text dim"], clusters: Sequence[str], shares: Mapping[str, float]) -> Prior:
    """Weights and constant with which `weights @ vector + constant` is the log-odds of a text's sound, by ridge.

    The penalty is the one that is best for clusters that were left out of the fit; if none of them is clearly better
    than the mean of all, the weights are zero.

    Args:
        vectors: of the texts.
        clusters: whose texts they are.
        shares: of time, by cluster, each above 0 and below 1.
    """
    target = np.array([np.log(shares[name] / (1 - shares[name])) for name in clusters])
    names = {name: index for index, name in enumerate(dict.fromkeys(clusters))}
    index = np.array([names[name] for name in clusters])
    weight = 1.0 / np.bincount(index)[index]  # every cluster counts as much, however many texts it has
    errors = np.zeros(len(_PENALTIES))
    error_of_mean = 0.0
    for fold in range(_NUM_FOLDS):
        out = index % _NUM_FOLDS == fold
        if not out.any() or out.all():
            continue
        for place, penalty in enumerate(_PENALTIES):
            slope, constant = _ridge(vectors[~out], target[~out], weight[~out], penalty)
            errors[place] += weight[out] @ np.square(vectors[out] @ slope + constant - target[out])
        mean = np.average(target[~out], weights=weight[~out])
        error_of_mean += weight[out] @ np.square(mean - target[out])
    best = int(errors.argmin())
    if errors[best] >= (1 - _LEAST_GAIN) * error_of_mean:
        return np.zeros(vectors.shape[1]), float(np.average(target, weights=weight))
    return _ridge(vectors, target, weight, _PENALTIES[best])


def _ridge(
    vectors: Float[np.ndarray, "text dim"],
    target: Float[np.ndarray, " text"],
    weight: Float[np.ndarray, " text"],
    penalty: float,
) -> Prior:
    mean, middle = np.average(vectors, axis=0, weights=weight), np.average(target, weights=weight)
    centred = vectors - mean
    gram = (centred * weight[:, None]).T @ centred + penalty * np.eye(vectors.shape[1])
    slope = np.linalg.solve(gram, centred.T @ (weight * (target - middle)))
    return slope, float(middle - mean @ slope)
