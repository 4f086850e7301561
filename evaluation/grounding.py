"""Text-to-audio grounding: of a phrase that is known to be in a clip, when? (Xu et al., ICASSP 2021).

Each clip with each label that sounds in it is one recording with one kind of event.
"""

import dataclasses

import numpy as np
from jaxtyping import Bool, Float, Int

from evaluation.bootstrap import resampled
from evaluation.frame_scores import FrameScores
from evaluation.post_processing import count_by_half
from evaluation.psds import PsdsVariant, measure, psds
from evaluation.scored import ScoredSplit
from evaluation.truth import Span, Truth
from manifests.frames import merged

# As FineLAP's evaluation: hits and detections by the same share, up to 800 false alarms an hour
VARIANTS = {
    f"grounding_psds_{share:g}": PsdsVariant(
        detection_tolerance=share, truth_tolerance=share, instability_weight=0.0, max_false_alarms=800.0
    )
    for share in (0.1, 0.5, 0.7)
}
_THRESHOLDS = np.linspace(0.01, 0.99, 50)
_MAX_GAP = 0.5  # seconds; nearer detections are one


@dataclasses.dataclass(frozen=True, kw_only=True)
class Pairs:
    """Clips with one label each.

    Args:
        scores: of the one label of each.
        truth: its events.
        clip: that each is of.
    """

    scores: FrameScores
    truth: Truth
    clip: Int[np.ndarray, " pair"]


def pairs_of(scored: ScoredSplit) -> Pairs:
    """Every clip with every label that sounds in it and is known."""
    scores, truth = scored.scores, scored.truth
    found = [
        (clip, label, spans)
        for clip, by_label in enumerate(truth.by_clip)
        for label, spans in sorted(by_label.items())
        if truth.known[clip, label]
    ]
    clips = [clip for clip, _, _ in found]
    result = FrameScores.empty(
        ["event"],
        [f"{scores.clips[clip]} {scores.labels[label]}" for clip, label, _ in found],
        scores.durations[clips].tolist(),
        np.diff(scores.starts)[clips].tolist(),
    )
    pairs: dict[int, list[int]] = {}
    for pair, (_, label, _) in enumerate(found):
        pairs.setdefault(label, []).append(pair)
    for label, of_label in sorted(pairs.items()):
        values = scores.row(label)
        for pair in of_label:
            clip = found[pair][0]
            part = values[scores.starts[clip] : scores.starts[clip + 1], None]
            result.fill(pair, scores.edges_of(clip), part)
    events = [(0, pair, *span) for pair, (_, _, spans) in enumerate(found) for span in spans]
    known = np.ones((len(found), 1), dtype=bool)
    return Pairs(scores=result, truth=Truth.of(events, known), clip=np.array(clips, dtype=np.int64))


def grounding_psds(
    pairs: Pairs, weights: Float[np.ndarray, "replicate clip"]
) -> dict[str, tuple[float, Float[np.ndarray, " replicate"]]]:
    """By name, PSDS with each share, and its replicates."""
    found = {}
    for name, variant in VARIANTS.items():
        measured = measure(pairs.scores, pairs.truth, variant, weights=weights, column=pairs.clip)
        found[name] = psds(list(measured.rocs.values()), variant), measured.resampled(variant)
    return found


def threshold_auc(
    pairs: Pairs, weights: Float[np.ndarray, "replicate clip"]
) -> tuple[float, Float[np.ndarray, " replicate"]]:
    """Th-AUC: mean over thresholds of F1, by trapezoids, and its replicates.

    At each of 50 thresholds decisions are smoothed by a median of three frames and joined over gaps of up to 0.5 s;
    detections and events count by half, all pairs together.
    """
    num_pairs = len(pairs.clip)
    counts = np.zeros((num_pairs, len(_THRESHOLDS), 3))
    for pair in range(num_pairs):
        values, edges = np.asarray(pairs.scores.of(pair, 0)), pairs.scores.edges_of(pair)
        events = pairs.truth.by_clip[pair][0]
        before: Bool[np.ndarray, " window"] | None = None
        for index, threshold in enumerate(_THRESHOLDS):
            active = _median_of_three(values > threshold)
            if before is not None and (active == before).all():
                counts[pair, index] = counts[pair, index - 1]
            else:
                counts[pair, index] = count_by_half(_detections(active, edges), events)
            before = active
    by_clip = np.zeros((weights.shape[1], len(_THRESHOLDS), 3))
    np.add.at(by_clip, pairs.clip, counts)
    return float(_area(by_clip.sum(axis=0, keepdims=True))[0]), _area(resampled(weights, by_clip))


def _area(counts: Float[np.ndarray, "replicate threshold 3"]) -> Float[np.ndarray, " replicate"]:
    hits, alarms, events = np.moveaxis(counts, -1, 0)
    f1 = np.full(hits.shape, np.nan)
    np.divide(2 * hits, hits + alarms + events, out=f1, where=events > 0)
    return np.asarray(np.trapezoid(f1, _THRESHOLDS, axis=1) / (_THRESHOLDS[-1] - _THRESHOLDS[0]))


def _median_of_three(active: Bool[np.ndarray, " window"]) -> Bool[np.ndarray, " window"]:
    padded = np.pad(active, 1, mode="edge").astype(np.int8)
    smoothed: Bool[np.ndarray, " window"] = padded[:-2] + padded[1:-1] + padded[2:] >= 2
    return smoothed


def _detections(active: Bool[np.ndarray, " window"], edges: Float[np.ndarray, " edge"]) -> list[Span]:
    changes = np.flatnonzero(np.diff(np.concatenate([[False], active, [False]]).astype(np.int8)))
    spans = [(float(edges[start]), float(edges[stop])) for start, stop in zip(changes[::2], changes[1::2], strict=True)]
    return merged(spans, gap=_MAX_GAP + 1e-6)
