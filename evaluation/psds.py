"""Polyphonic sound detection scores (Bilen et al., ICASSP 2020), from each label's detections at every threshold.

PSDS1 and PSDS2 are DCASE Task 4's. PSDS1_A, without the penalty for labels that are found unequally well, is the
mean of the labels' own areas: over hundreds of labels PSDS1 is next to nothing.
"""

import dataclasses

import numpy as np
from jaxtyping import Float, Int

from evaluation.deltas import Deltas, intersection_deltas
from evaluation.frame_scores import FrameScores
from evaluation.truth import Truth
from manifests.compiled import compiled
from manifests.progress import progress

_HOUR = 3600.0
_STEPS = 500  # of false alarm rates, for replicates
_AMPLE = 4  # times the most false alarms


@dataclasses.dataclass(frozen=True, kw_only=True)
class PsdsVariant:
    """Parameters, by the paper's names: rho_DTC, rho_GTC, rho_CTTC, alpha_CT, alpha_ST and e_max (per hour)."""

    detection_tolerance: float
    truth_tolerance: float
    cross_trigger_tolerance: float | None = None
    cross_trigger_weight: float = 0.0
    instability_weight: float
    max_false_alarms: float = 100.0


PSDS1 = PsdsVariant(detection_tolerance=0.7, truth_tolerance=0.7, instability_weight=1.0)
PSDS1_A = dataclasses.replace(PSDS1, instability_weight=0.0)
PSDS2 = PsdsVariant(
    detection_tolerance=0.1,
    truth_tolerance=0.1,
    cross_trigger_tolerance=0.3,
    cross_trigger_weight=0.5,
    instability_weight=1.0,
)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Roc:
    """A label's operating points, the best hit rate at each rate of false alarms at which it rises.

    Args:
        false_alarms: per hour, rising from 0; cross-triggers included, if they count.
        hits: share of the label's events that are found, 0 to 1, rising.
    """

    false_alarms: Float[np.ndarray, " point"]
    hits: Float[np.ndarray, " point"]


def variant_deltas(scores: FrameScores, truth: Truth, label: int, variant: PsdsVariant) -> Deltas:
    """The changes of one label that a variant counts."""
    return intersection_deltas(
        scores,
        truth,
        label,
        detection_tolerance=variant.detection_tolerance,
        truth_tolerance=variant.truth_tolerance,
        cross_trigger_tolerance=variant.cross_trigger_tolerance,
    )


def roc(deltas: Deltas, variant: PsdsVariant, *, num_labels: int) -> Roc:
    """The operating points of one label up to the most false alarms an hour that count.

    Args:
        deltas: of the label.
        variant: whose cross-triggers count.
        num_labels: of which it is one: a cross-trigger's rate is a mean over the others.
    """
    is_last = np.append(deltas.score[:-1] != deltas.score[1:], True)[: len(deltas.score)]
    hits, alarms, crossed = (
        np.cumsum(changes)[is_last] for changes in (deltas.hits, deltas.false_alarms, deltas.cross_triggers)
    )
    rates = alarms / deltas.seconds.sum()
    if variant.cross_trigger_weight:
        rates = rates + variant.cross_trigger_weight * crossed / max(num_labels - 1, 1)
    rates = np.append(0.0, rates * _HOUR)
    shares = np.append(0.0, hits / max(int(deltas.events.sum()), 1))
    inside = rates <= variant.max_false_alarms
    order = np.lexsort((shares[inside], rates[inside]))
    rates, shares = rates[inside][order], np.maximum.accumulate(shares[inside][order])
    is_last = np.append(rates[:-1] != rates[1:], True)
    rates, shares = rates[is_last], shares[is_last]
    rises = np.append(True, shares[1:] > shares[:-1])  # between them all rates have the same: few points are kept
    return Roc(false_alarms=rates[rises], hits=shares[rises])


def area(found: Roc, variant: PsdsVariant) -> float:
    """Mean hit rate up to the most false alarms that count: of a label's operating points, its own PSDS."""
    widths = np.diff(np.append(found.false_alarms, variant.max_false_alarms))
    return float((found.hits * widths).sum() / variant.max_false_alarms)


def combined(rocs: list[Roc], *, instability_weight: float) -> Roc:
    """Mean of the labels' hit rates less so many of their standard deviations, never below 0."""
    rates = np.unique(np.concatenate([found.false_alarms for found in rocs]))
    total, squares = np.zeros(len(rates)), np.zeros(len(rates))
    for found in rocs:  # one at a time: hundreds of labels have many thousand rates together
        at_rates = found.hits[np.searchsorted(found.false_alarms, rates, side="right") - 1]
        total += at_rates
        squares += at_rates**2
    mean = total / len(rocs)
    deviation = np.sqrt(np.maximum(squares / len(rocs) - mean**2, 0.0))
    return Roc(false_alarms=rates, hits=np.maximum(mean - instability_weight * deviation, 0.0))


def psds(rocs: list[Roc], variant: PsdsVariant) -> float:
    """The area under the combined operating points, 0 to 1."""
    return area(combined(rocs, instability_weight=variant.instability_weight), variant)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Measured:
    """All labels that have an event, by one variant's counting.

    Args:
        rocs: operating points by the label's position.
        hits: over rates of false alarms, the mean of the labels' hit rates in each replicate; NaN where undefined.
        spread: their standard deviation.
    """

    rocs: dict[int, Roc]
    hits: Float[np.ndarray, "replicate step"]
    spread: Float[np.ndarray, "replicate step"]

    def resampled(self, variant: PsdsVariant) -> Float[np.ndarray, " replicate"]:
        """The variant's PSDS in each replicate."""
        hits: Float[np.ndarray, "replicate step"] = self.hits - variant.instability_weight * self.spread
        return np.asarray(np.maximum(hits, 0.0).mean(axis=1))


def measure(
    scores: FrameScores,
    truth: Truth,
    variant: PsdsVariant,
    *,
    weights: Float[np.ndarray, "replicate column"] | None = None,
    column: Int[np.ndarray, " clip"] | None = None,
) -> Measured:
    """Each label's operating points, and those of replicates that count each clip as often as the weights say.

    In replicates hit rates are taken in the middle of each of many equal steps of false alarms, and a cross-trigger
    counts as much as in the clips as they are.

    Args:
        scores: of all clips.
        truth: of the same.
        variant: what counts.
        weights: none without.
        column: of the weights, for each clip; the clip's own if it isn't given.
    """
    weights = np.zeros((0, len(scores.clips)), np.float32) if weights is None else weights
    steps = (np.arange(_STEPS) + 0.5) * variant.max_false_alarms / _STEPS
    labels = [label for label in range(truth.num_labels) if truth.num_events(label).any()]
    rocs: dict[int, Roc] = {}
    total, squares = np.zeros((2, len(weights), _STEPS))
    count = np.zeros((len(weights), 1))
    with progress("detections", len(labels)) as advance:
        for label in labels:
            deltas = variant_deltas(scores, truth, label, variant)
            rocs[label] = roc(deltas, variant, num_labels=len(labels))
            if len(weights):
                if column is not None:
                    deltas = _by_column(deltas, column, num_columns=weights.shape[1])
                found = _resampled_hit_rates(deltas, weights, steps, variant, num_labels=len(labels))
                defined = np.isfinite(found[:, 0])
                total[defined] += found[defined]
                squares[defined] += found[defined] ** 2
                count[defined] += 1
            advance()
    with np.errstate(invalid="ignore"):
        mean = total / count
        return Measured(rocs=rocs, hits=mean, spread=np.sqrt(np.maximum(squares / count - mean**2, 0.0)))


def _by_column(deltas: Deltas, column: Int[np.ndarray, " clip"], *, num_columns: int) -> Deltas:
    """Of clips that are drawn together."""
    events, seconds = (np.bincount(column, part, minlength=num_columns) for part in (deltas.events, deltas.seconds))
    return dataclasses.replace(deltas, clip=column[deltas.clip], events=events.astype(np.int64), seconds=seconds)


def _near(deltas: Deltas, variant: PsdsVariant) -> Deltas:
    """The changes up to a multiple of the most false alarms that count: what follows is nearly everything."""
    most = _AMPLE * variant.max_false_alarms * deltas.seconds.sum() / _HOUR
    beyond = np.flatnonzero(np.cumsum(deltas.false_alarms) > most)
    stop = int(beyond[0]) + 1 if len(beyond) else len(deltas.score)
    parts = ("score", "clip", "hits", "false_alarms", "cross_triggers")
    return dataclasses.replace(
        deltas, is_whole=not len(beyond), **{name: getattr(deltas, name)[:stop] for name in parts}
    )


def _resampled_hit_rates(
    deltas: Deltas,
    weights: Float[np.ndarray, "replicate clip"],
    steps: Float[np.ndarray, " step"],
    variant: PsdsVariant,
    *,
    num_labels: int,
) -> Float[np.ndarray, "replicate step"]:
    """The largest share of events found at each rate of false alarms; NaN in replicates without any event."""
    crossed = variant.cross_trigger_weight / max(num_labels - 1, 1)
    events, seconds = weights @ deltas.events, weights.astype(np.float64) @ deltas.seconds
    found = np.full((len(weights), len(steps)), np.nan)
    rows = np.flatnonzero(events > 0)
    for part in (_near(deltas, variant), deltas):
        changes = part.score, part.clip, part.hits, part.false_alarms, crossed * part.cross_triggers, part.is_whole
        missing = [
            row
            for row in rows.tolist()
            if not _resampled_hits(*changes, weights[row], seconds[row], steps, variant.max_false_alarms, found[row])
        ]
        rows = np.array(missing, dtype=np.int64)  # in these replicates what is near is not near enough: rare
    shares: Float[np.ndarray, "replicate step"] = found / np.maximum(events, 1)[:, None]
    return shares


@compiled
def _resampled_hits(  # noqa: PLR0913 - compiled code takes arrays
    score: Float[np.ndarray, " change"],
    clip: Int[np.ndarray, " change"],
    hits: Float[np.ndarray, " change"],
    false_alarms: Float[np.ndarray, " change"],
    crossed: Float[np.ndarray, " change"],
    is_whole: bool,
    weight: Float[np.ndarray, " clip"],
    seconds: float,
    steps: Float[np.ndarray, " step"],
    most: float,
    best: Float[np.ndarray, " step"],
) -> bool:
    """Set the most events found at each rate of false alarms, each clip counted as often as its weight says.

    Returns whether the changes go on up to the last rate, or are all there are.
    """
    best[:] = 0.0
    found, rate, last = 0.0, 0.0, 0.0
    for change in range(len(score)):
        times = float(weight[clip[change]])
        rate += times * (false_alarms[change] / seconds + crossed[change])
        found += times * hits[change]
        is_end = change + 1 == len(score)
        if (is_end and not is_whole) or (not is_end and score[change] == score[change + 1]):
            continue
        last = rate * _HOUR
        place = np.searchsorted(steps, last - 1e-9)  # the first step at which the point is allowed
        if place < len(steps):
            best[place] = max(best[place], found)
    if not is_whole and last <= most:
        return False
    for step in range(1, len(steps)):
        best[step] = max(best[step], best[step - 1])
    return True


@dataclasses.dataclass(frozen=True, kw_only=True)
class Psds:
    """Areas under the PSD ROC, 0 to 1, and those of replicates."""

    psds1: float
    psds1_a: float
    psds2: float
    per_label: dict[int, float]  # PSDS1's area of each label that has an event, by its position
    curves: dict[str, Roc]  # the labels' mean hit rates by variant, to draw
    replicates: dict[str, Float[np.ndarray, " replicate"]]


def detection_scores(
    scores: FrameScores, truth: Truth, *, weights: Float[np.ndarray, "replicate clip"] | None = None
) -> Psds | None:
    """PSDS1, PSDS1_A and PSDS2; None without an event of a label that is known.

    Args:
        scores: of all clips.
        truth: of the same.
        weights: how often each replicate counts each clip; none without.
    """
    strict = measure(scores, truth, PSDS1, weights=weights)
    if not strict.rocs:
        return None
    loose = measure(scores, truth, PSDS2, weights=weights)
    rocs = list(strict.rocs.values())
    return Psds(
        psds1=psds(rocs, PSDS1),
        psds1_a=psds(rocs, PSDS1_A),
        psds2=psds(list(loose.rocs.values()), PSDS2),
        per_label={label: area(found, PSDS1) for label, found in strict.rocs.items()},
        curves={
            "PSDS1_A": combined(rocs, instability_weight=0.0),
            "PSDS1": combined(rocs, instability_weight=PSDS1.instability_weight),
            "PSDS2": combined(list(loose.rocs.values()), instability_weight=PSDS2.instability_weight),
        },
        replicates={
            "psds1": strict.resampled(PSDS1),
            "psds1_a": strict.resampled(PSDS1_A),
            "psds2": loose.resampled(PSDS2),
        },
    )
