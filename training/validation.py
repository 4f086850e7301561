"""What validation data say about a model in training: how good it is, how to calibrate it, and where to cut."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass
from typing import Any, NamedTuple

import numpy as np
import torch
from jaxtyping import Bool, Float
from scipy.optimize import minimize

from evaluation.frame_auroc import frame_auroc
from evaluation.post_processing import PostProcessing, choose
from evaluation.scored import ScoredSplit, collect_scores, split_soundscapes
from evaluation.segments import segment_f1
from manifests.schema import Soundscape
from manifests.store import DatasetFolder, read_table
from training.detect import Detector
from training.prior import Prior

_MAX_SOUNDSCAPES = 200  # enough for a mean over labels that is steady to about a hundredth
_LEAST_SCALE = 0.05
_HOLD = 1e-7  # of the square of each step from no calibration: what cells without overlap would drive to infinity
_EXTREME = 1e-7  # probabilities nearer to 0 or 1 are taken as this near


@dataclass(frozen=True, kw_only=True)
class Validation:
    """Measured on validation soundscapes, whose sources were not trained on."""

    auroc_all: float | None  # None where undefined
    auroc_active: float | None
    segment_f1: float | None  # macro, at `threshold`
    threshold: float  # on calibrated probabilities; the best for all labels together
    calibration_scale: float
    calibration_bias: float
    calibration_prior: tuple[float, ...]  # weights of a text's vector; empty if what is told from it does not help
    post_processing: PostProcessing

    def score(self) -> float:
        """What the best checkpoint is chosen by: telling one sound from another, not sound from silence."""
        return self.auroc_active or self.auroc_all or 0.0

    def measured(self) -> dict[str, Any]:
        """All but the weights, for a log."""
        return {name: value for name, value in asdict(self).items() if name != "calibration_prior"}


def validate(detector: Detector, folder: DatasetFolder, prior: Prior | None = None) -> Validation | None:
    """Measure a detector that is not calibrated yet; None if the dataset has no validation soundscapes with events.

    Args:
        detector: the model.
        folder: the dataset.
        prior: weights of a text's vector and a constant, for the log-odds of its sound; from training data.
    """
    if not any("valid" in read_table(path, Soundscape)["split"].to_pylist() for path in folder.soundscape_shards()):
        return None
    soundscapes = split_soundscapes(folder, "valid", limit=_MAX_SOUNDSCAPES)
    if not any(soundscape.events for soundscape in soundscapes):
        return None
    scored = collect_scores(detector, folder, soundscapes)
    log_odds = np.zeros(len(scored.queries))
    if prior is not None:
        texts = torch.stack(detector.embed_phrases([query.phrase for query in scored.queries])).cpu().numpy()
        log_odds = texts @ prior[0] + prior[1]
    scale, bias, weight = fit_calibration(_cells(scored), log_odds)
    for values, odds in zip(scored.scores.values, log_odds, strict=True):
        values[:] = sigmoid(scale * logit(values) + bias + weight * odds)
    post, threshold = choose(scored.scores, scored.truth)
    return Validation(
        auroc_all=frame_auroc(scored.scores, scored.truth, active_only=False).macro,
        auroc_active=frame_auroc(scored.scores, scored.truth, active_only=True).macro,
        segment_f1=segment_f1(scored.scores, scored.truth, threshold=threshold).macro,
        threshold=threshold,
        calibration_scale=scale,
        calibration_bias=bias + (weight * prior[1] if prior is not None else 0.0),
        calibration_prior=tuple((weight * prior[0]).tolist()) if prior is not None and weight else (),
        post_processing=post,
    )


def fit_calibration(
    cells: Iterable[tuple[Float[np.ndarray, " cell"], Bool[np.ndarray, " cell"]]], log_odds: Float[np.ndarray, " label"]
) -> tuple[float, float, float]:
    """Scale, bias and weight with which sigmoid(scale * logit + bias + weight * log-odds) is most likely (Platt).

    Fitted to counts per label and bin of logits, 0.05 wide. Without both outcomes there is nothing to fit:
    (1, 0, 0). A model so poor that its best scale is not positive keeps its order: calibration moves probabilities,
    within a label it never ranks. The weight is below 0 if the model's own logits make too much of the prior.

    Args:
        cells: probabilities and outcomes of each label.
        log_odds: of each label's prior.
    """
    counts = _counts(cells, log_odds)
    if counts.positive.sum() in (0, counts.total.sum()):
        return 1.0, 0.0, 0.0
    told = bool(np.ptp(counts.log_odds))
    scale, bias, weight = _fit(counts, [True, True, told])
    if scale <= _LEAST_SCALE:
        scale, bias, weight = _fit(counts, [False, True, False])
    return scale, bias, weight


class _Counts(NamedTuple):
    """Cells of one label and bin together."""

    logit: Float[np.ndarray, " bin"]
    log_odds: Float[np.ndarray, " bin"]
    total: Float[np.ndarray, " bin"]
    positive: Float[np.ndarray, " bin"]


def _counts(
    cells: Iterable[tuple[Float[np.ndarray, " cell"], Bool[np.ndarray, " cell"]]], log_odds: Float[np.ndarray, " label"]
) -> _Counts:
    parts = []
    for (probabilities, truth), odds in zip(cells, log_odds, strict=True):
        values, index = np.unique(np.round(logit(probabilities) / 0.05), return_inverse=True)
        total, positive = np.bincount(index), np.bincount(index, weights=truth)
        parts.append((values * 0.05, np.full(len(values), odds), total.astype(float), positive))
    return _Counts(*(np.concatenate(part) for part in zip(*parts, strict=True)))


def _fit(counts: _Counts, free: Sequence[bool]) -> tuple[float, float, float]:
    """The three that are most likely, of which those that are not free stay 1, 0 and 0."""
    design = np.stack([counts.logit, np.ones_like(counts.logit), counts.log_odds])
    moving, start, num_cells = np.array(free), np.array([1.0, 0.0, 0.0]), counts.total.sum()

    def weights(values: Float[np.ndarray, " free"]) -> Float[np.ndarray, " three"]:
        full = start.copy()
        full[moving] += values
        return full

    def loss(values: Float[np.ndarray, " free"]) -> float:
        x = weights(values) @ design
        likelihood = (counts.total * np.logaddexp(0, x) - counts.positive * x).sum() / num_cells
        return float(likelihood + _HOLD * values @ values)

    def gradient(values: Float[np.ndarray, " free"]) -> Float[np.ndarray, " free"]:
        error = counts.total * sigmoid(weights(values) @ design) - counts.positive
        slope: Float[np.ndarray, " free"] = (design @ error)[moving] / num_cells + 2 * _HOLD * values
        return slope

    def hessian(values: Float[np.ndarray, " free"]) -> Float[np.ndarray, "free free"]:
        expected = sigmoid(weights(values) @ design)
        full = (design * (counts.total * expected * (1 - expected))) @ design.T / num_cells
        curve: Float[np.ndarray, "free free"] = full[np.ix_(moving, moving)] + 2 * _HOLD * np.eye(int(moving.sum()))
        return curve

    found = minimize(loss, np.zeros(int(moving.sum())), method="trust-exact", jac=gradient, hess=hessian)
    scale, bias, weight = weights(found.x).tolist()
    return scale, bias, weight


def logit(probabilities: Float[np.ndarray, "*any"]) -> Float[np.ndarray, "*any"]:
    """log(p / (1 - p)), finite at 0 and 1."""
    p = np.clip(probabilities.astype(np.float64), _EXTREME, 1 - _EXTREME)
    return np.log(p / (1 - p))


def sigmoid(logits: Float[np.ndarray, "*any"]) -> Float[np.ndarray, "*any"]:
    """1 / (1 + exp(-x)) without overflow."""
    return 0.5 * (1 + np.tanh(0.5 * logits))


def _cells(scored: ScoredSplit) -> Iterator[tuple[Float[np.ndarray, " cell"], Bool[np.ndarray, " cell"]]]:
    """Every frame whose truth is known, label by label."""
    clips = scored.scores.clip_of_window
    for label in range(len(scored.queries)):
        known = scored.truth.known[:, label][clips]
        yield scored.scores.values[label][known], scored.truth.active(label, scored.scores)[known]
