"""What validation data say about a model in training: how good it is, how to calibrate it, and where to cut."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float

from evaluation.frame_auroc import frame_auroc
from evaluation.post_processing import PostProcessing, choose
from evaluation.scored import ScoredSplit, collect_scores, split_soundscapes
from evaluation.segments import segment_f1
from manifests.schema import Soundscape
from manifests.store import DatasetFolder, read_table
from training.detect import Detector

_MAX_SOUNDSCAPES = 200  # enough for a mean over labels that is steady to about a hundredth
_LEAST_SCALE = 0.05
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
    post_processing: PostProcessing

    def score(self) -> float:
        """What the best checkpoint is chosen by: telling one sound from another, not sound from silence."""
        return self.auroc_active or self.auroc_all or 0.0


def validate(detector: Detector, folder: DatasetFolder) -> Validation | None:
    """Measure a detector that is not calibrated yet; None if the dataset has no validation soundscapes with events."""
    if not any("valid" in read_table(path, Soundscape)["split"].to_pylist() for path in folder.soundscape_shards()):
        return None
    soundscapes = split_soundscapes(folder, "valid", limit=_MAX_SOUNDSCAPES)
    if not any(soundscape.events for soundscape in soundscapes):
        return None
    scored = collect_scores(detector, folder, soundscapes)
    scale, bias = fit_calibration(*_cells(scored))
    for values in scored.scores.values:
        values[:] = sigmoid(scale * logit(values) + bias)
    post, threshold = choose(scored.scores, scored.truth)
    return Validation(
        auroc_all=frame_auroc(scored.scores, scored.truth, active_only=False).macro,
        auroc_active=frame_auroc(scored.scores, scored.truth, active_only=True).macro,
        segment_f1=segment_f1(scored.scores, scored.truth, threshold=threshold).macro,
        threshold=threshold,
        calibration_scale=scale,
        calibration_bias=bias,
        post_processing=post,
    )


def fit_calibration(probabilities: Float[np.ndarray, " cell"], truth: Bool[np.ndarray, " cell"]) -> tuple[float, float]:
    """Scale and bias with which sigmoid(scale * logit + bias) is the most likely probability (Platt scaling).

    Newton's method on counts per bin of logits, 0.05 wide. Without both outcomes there is nothing to fit: (1, 0). A
    model so poor that its best scale is not positive keeps its order: calibration moves probabilities, it never ranks.
    """
    if truth.all() or not truth.any():
        return 1.0, 0.0
    scale, bias = _fit(probabilities, truth, with_scale=True)
    return (scale, bias) if scale > _LEAST_SCALE else _fit(probabilities, truth, with_scale=False)


def _fit(
    probabilities: Float[np.ndarray, " cell"], truth: Bool[np.ndarray, " cell"], *, with_scale: bool
) -> tuple[float, float]:
    bins = np.round(logit(probabilities) / 0.05).astype(int)
    values, index = np.unique(bins, return_inverse=True)
    x, total = values * 0.05, np.bincount(index).astype(float)
    positive = np.bincount(index, weights=truth)
    design, weights = np.stack([x, np.ones_like(x)]), np.array([1.0, 0.0])
    for _ in range(50):
        expected = sigmoid(weights @ design)
        gradient = design @ (positive - total * expected)
        hessian = (design * (total * expected * (1 - expected))) @ design.T + 1e-6 * np.eye(2)
        step = np.linalg.solve(hessian, gradient)
        if not with_scale:
            step = np.array([0.0, gradient[1] / hessian[1, 1]])
        weights = weights + step * min(1.0, 2.0 / np.abs(step).max())  # a long step can overshoot on few cells
        if np.abs(step).max() < 1e-8:
            break
    return float(weights[0]), float(weights[1])


def logit(probabilities: Float[np.ndarray, "*any"]) -> Float[np.ndarray, "*any"]:
    """log(p / (1 - p)), finite at 0 and 1."""
    p = np.clip(probabilities.astype(np.float64), _EXTREME, 1 - _EXTREME)
    return np.log(p / (1 - p))


def sigmoid(logits: Float[np.ndarray, "*any"]) -> Float[np.ndarray, "*any"]:
    """1 / (1 + exp(-x)) without overflow."""
    return 0.5 * (1 + np.tanh(0.5 * logits))


def _cells(scored: ScoredSplit) -> tuple[Float[np.ndarray, " cell"], Bool[np.ndarray, " cell"]]:
    """Every frame of every label whose truth is known."""
    clips = scored.scores.clip_of_window
    scores, truth = [], []
    for label in range(len(scored.queries)):
        known = scored.truth.known[:, label][clips]
        scores.append(scored.scores.values[label][known])
        truth.append(scored.truth.active(label, scored.scores)[known])
    return np.concatenate(scores), np.concatenate(truth)
