"""A detector on a split of a dataset: scores of every soundscape and label once, and all metrics from them."""

import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Bool, Float

from evaluation.bootstrap import NUM_REPLICATES, clip_weights
from evaluation.calibration import Calibration, calibration
from evaluation.event_f1 import collar_f1
from evaluation.f1 import F1
from evaluation.false_alarms import false_alarms
from evaluation.frame_auroc import frame_auroc, pooled_auroc, resampled_auroc
from evaluation.grounding import grounding_psds, pairs_of, threshold_auc
from evaluation.label_mean import LabelMean
from evaluation.post_processing import PostProcessing, detection_f1
from evaluation.psds import Psds, detection_scores
from evaluation.queries import UNTRAINED, Trained
from evaluation.results import DEFAULT_THRESHOLD, TITLES, Evaluation, LabelRow, Metric
from evaluation.retrieval import Retrieval, retrieval
from evaluation.robustness import robustness_curves
from evaluation.score_folder import ScoreFolder
from evaluation.scored import Detector, ScoredSplit, collect_scores, soundscapes_digest, split_soundscapes
from evaluation.segments import best_threshold, partial_auroc, resampled_partial_auroc, segment_f1
from evaluation.strata import strata
from evaluation.zero_shot import zero_shot
from manifests.captions import caption_texts
from manifests.errors import FlamError
from manifests.schema import Soundscape
from manifests.store import DatasetFolder


def evaluate(
    detector: Detector | ScoreFolder,
    folder: DatasetFolder,
    *,
    split: str = "test",
    trained: Trained = UNTRAINED,
    caption_set: str | None = None,
    limit: int | None = None,
    work: Path | None = None,
    num_replicates: int = NUM_REPLICATES,
) -> Evaluation:
    """All metrics of a detector on one split of a dataset, with 95 % intervals over its soundscapes.

    Args:
        detector: the model, or scores of one; of these retrieval and zero-shot metrics are not taken.
        folder: the dataset.
        split: train, valid or test.
        trained: what the model was trained with. AUROC is then also given for its labels, for others, and for unseen
            wordings; F1s also at its threshold.
        caption_set: captions to measure retrieval with.
        limit: only the first soundscapes.
        work: folder that keeps the scores, and from which a run that was stopped goes on; None holds them in memory.
        num_replicates: of the bootstrap; with 0 there are no intervals.
    """
    soundscapes = split_soundscapes(folder, split, limit=limit)
    captions = _captions(folder, caption_set, soundscapes) if caption_set is not None else None
    weights = clip_weights(len(soundscapes), num=num_replicates)
    if isinstance(detector, ScoreFolder):
        scored = detector.scored(folder, soundscapes, work=work)
    elif captions is not None and not any(soundscape.events for soundscape in soundscapes):
        return _of_captions(detector, folder, soundscapes, captions, weights, work=work)
    else:
        scored = collect_scores(detector, folder, soundscapes, trained=trained, work=work)
    known = {query.cluster for query in scored.labels} if trained.clusters is None else set(trained.clusters)
    is_held_out = np.array([query.cluster not in known for query in scored.labels])
    threshold = trained.threshold
    auroc_all, auroc_active, metrics = _auroc(scored, weights, is_held_out)
    found = detection_scores(scored.scores, scored.truth, weights=weights)
    metrics |= _psds(found, weights)
    f1s = _f1s(scored, threshold, weights)
    for name, f1 in f1s.items():
        metrics |= _f1(name, f1)
    metrics |= _oracle(scored, weights)
    calibrated = calibration(scored.scores, scored.truth)
    metrics |= _calibration(calibrated, weights)
    metrics |= _detections(scored, trained, weights)
    metrics |= _grounding(scored, weights)
    if not isinstance(detector, ScoreFolder):
        metrics |= _zero_shot(detector, scored, weights)
        metrics |= {} if captions is None else _retrieval(detector, scored, captions, weights)
    chosen = f1s.get("segment_f1_{}", f1s["segment_f1_{}_at_0.5"])
    return Evaluation(
        split=split,
        num_soundscapes=len(soundscapes),
        soundscapes=soundscapes_digest(soundscapes),
        num_labels=len(scored.labels),
        labels_left_out={"auroc_all": auroc_all.num_left_out, "auroc_active": auroc_active.num_left_out},
        threshold=threshold,
        post=trained.post,
        metrics={name: metrics[name] for name in TITLES if name in metrics},
        labels=_label_rows(scored, is_held_out, (auroc_all, auroc_active, chosen.labels), found),
        scored=scored,
        curves=found.curves if found else {},
        calibration=calibrated,
        strata=strata(scored, soundscapes),
    )


def with_curves(
    evaluation: Evaluation,
    detector: Detector,
    folder: DatasetFolder,
    *,
    trained: Trained = UNTRAINED,
    limit: int | None = None,
    work: Path | None = None,
) -> Evaluation:
    """The same with robustness curves; the other arguments are those of `evaluate`.

    A split in which no sound has a label has none.
    """
    if not evaluation.num_labels:
        return evaluation
    soundscapes = split_soundscapes(folder, evaluation.split, limit=limit)
    folder_of_points = None if work is None else work / "curves"
    curves = robustness_curves(detector, folder, soundscapes, evaluation.scored, trained=trained, work=folder_of_points)
    return dataclasses.replace(evaluation, robustness=curves)


def _of_captions(
    detector: Detector,
    folder: DatasetFolder,
    soundscapes: Sequence[Soundscape],
    captions: Sequence[tuple[int, str]],
    weights: Float[np.ndarray, "replicate clip"],
    *,
    work: Path | None,
) -> Evaluation:
    """Of a split in which no sound has a label: retrieval is all that can be measured."""
    scored = collect_scores(detector, folder, soundscapes, work=work, needs_events=False)
    metrics = _retrieval(detector, scored, captions, weights)
    return Evaluation(
        split=soundscapes[0].split,
        num_soundscapes=len(soundscapes),
        soundscapes=soundscapes_digest(soundscapes),
        num_labels=0,
        labels_left_out={},
        threshold=None,
        metrics={name: metrics[name] for name in TITLES if name in metrics},
        labels=[],
        scored=scored,
        curves={},
        calibration=calibration(scored.scores, scored.truth),
        strata={},
        post=PostProcessing(),
    )


def _auroc(
    scored: ScoredSplit, weights: Float[np.ndarray, "replicate clip"], is_held_out: Bool[np.ndarray, " label"]
) -> tuple[LabelMean, LabelMean, dict[str, Metric]]:
    scores, truth = scored.scores, scored.truth
    groups = {"": np.ones_like(is_held_out)}
    if is_held_out.any():
        groups |= {"_known": ~is_held_out, "_held_out": is_held_out}
    metrics, means = {}, []
    for name, active_only in (("auroc_all", False), ("auroc_active", True)):
        mean = frame_auroc(scores, truth, active_only=active_only)
        labels, pooled = resampled_auroc(scores, truth, weights, active_only=active_only)
        for group, chosen in groups.items():
            value = mean.subset(chosen).macro
            metrics[f"{name}{group}"] = Metric(value=value, replicates=_mean(labels[chosen]))
        value = pooled_auroc(scores, truth, active_only=active_only)
        metrics[f"{name}_pooled"] = Metric(value=value, replicates=pooled)
        means.append(mean)
    wordings, label_of = scored.of_kind("wording")
    if label_of:
        of_labels = truth.take(label_of)
        for name, active_only in (("auroc_all", False), ("auroc_active", True)):
            mean = frame_auroc(wordings, of_labels, active_only=active_only, among=truth)
            labels, _ = resampled_auroc(wordings, of_labels, weights, active_only=active_only, among=truth)
            metrics[f"{name}_unseen_wordings"] = Metric(value=mean.macro, replicates=_mean(labels))
    partial = partial_auroc(scores, truth).macro
    replicates = _mean(resampled_partial_auroc(scores, truth, weights))
    return means[0], means[1], {**metrics, "mpauc": Metric(value=partial, replicates=replicates)}


def _mean(values: Float[np.ndarray, "label replicate"]) -> Float[np.ndarray, " replicate"]:
    """Over the labels that have a value."""
    count = np.isfinite(values).sum(axis=0)
    result = np.full(values.shape[1], np.nan)
    np.divide(np.nansum(values, axis=0), count, out=result, where=count > 0)
    return result


def _psds(found: Psds | None, weights: Float[np.ndarray, "replicate clip"]) -> dict[str, Metric]:
    if found is None:
        nothing = np.full(len(weights), np.nan)
        return {name: Metric(value=None, replicates=nothing) for name in ("psds1", "psds1_a", "psds2")}
    values = {"psds1": found.psds1, "psds1_a": found.psds1_a, "psds2": found.psds2}
    return {name: Metric(value=value, replicates=found.replicates[name]) for name, value in values.items()}


def _f1s(scored: ScoredSplit, threshold: float | None, weights: Float[np.ndarray, "replicate clip"]) -> dict[str, F1]:
    """By a name with a place for macro or micro."""
    wanted = {"_at_0.5": DEFAULT_THRESHOLD} | ({} if threshold is None else {"": threshold})
    scores, truth = scored.scores, scored.truth
    events = collar_f1(scores, truth, thresholds=tuple(wanted.values()), weights=weights)
    segments = [segment_f1(scores, truth, threshold=at, weights=weights) for at in wanted.values()]
    return {
        f"{name}_f1_{{}}{at}": f1
        for name, f1s in (("collar", events), ("segment", segments))
        for at, f1 in zip(wanted, f1s, strict=True)
    }


def _oracle(scored: ScoredSplit, weights: Float[np.ndarray, "replicate clip"]) -> dict[str, Metric]:
    """What the best threshold for this very split would give: how much a threshold costs, never a result."""
    best = best_threshold(scored.scores, scored.truth)
    f1 = segment_f1(scored.scores, scored.truth, threshold=best, weights=weights)
    return {"segment_f1_macro_oracle": Metric(value=f1.macro, replicates=f1.macro_replicates)}


def _calibration(found: Calibration, weights: Float[np.ndarray, "replicate clip"]) -> dict[str, Metric]:
    once = np.ones((1, weights.shape[1]), np.float32)
    return {
        "ece": Metric(value=_number(found.expected_error(once)[0]), replicates=found.expected_error(weights)),
        "brier": Metric(value=_number(found.brier(once)[0]), replicates=found.brier(weights)),
        "brier_of_prior": Metric(value=found.brier_of_prior(), replicates=np.full(len(weights), np.nan)),
    }


def _detections(
    scored: ScoredSplit, trained: Trained, weights: Float[np.ndarray, "replicate clip"]
) -> dict[str, Metric]:
    """As `detect` gives them: how many are right, how often there are some of what isn't there, and of near misses."""
    threshold = DEFAULT_THRESHOLD if trained.threshold is None else trained.threshold
    absent = scored.truth.absent
    how: Any = {"threshold": threshold, "post": trained.post, "weights": weights}
    alarms = {"false_alarms_per_hour": false_alarms(scored.scores, absent, **how)}
    near, label_of = scored.of_kind("near miss")
    if label_of:
        there = (scored.truth.known & ~absent)[:, label_of]
        alarms["false_alarms_per_hour_near_misses"] = false_alarms(near, there, **how)
    metrics = {name: Metric(value=rate.per_hour, replicates=rate.replicates) for name, rate in alarms.items()}
    if trained.threshold is not None:
        metrics |= _f1("detection_f1_{}", detection_f1(scored.scores, scored.truth, **how))
    return metrics


def _f1(name: str, f1: F1) -> dict[str, Metric]:
    return {
        name.format("macro"): Metric(value=f1.macro, replicates=f1.macro_replicates),
        name.format("micro"): Metric(value=f1.micro, replicates=f1.micro_replicates),
    }


def _zero_shot(
    detector: Detector, scored: ScoredSplit, weights: Float[np.ndarray, "replicate clip"]
) -> dict[str, Metric]:
    found = zero_shot(detector, scored)
    value = found.average_precision().macro
    metrics = {"zero_shot_map": Metric(value=value, replicates=found.resampled_map(weights))}
    if found.is_single_label:
        replicates = weights @ found.correct / weights.shape[1]
        metrics["zero_shot_accuracy"] = Metric(value=float(found.correct.mean()), replicates=replicates)
    return metrics


def _grounding(scored: ScoredSplit, weights: Float[np.ndarray, "replicate clip"]) -> dict[str, Metric]:
    pairs = pairs_of(scored)
    if not len(pairs.clip):
        return {}
    found = {**grounding_psds(pairs, weights), "grounding_th_auc": threshold_auc(pairs, weights)}
    return {name: Metric(value=value, replicates=replicates) for name, (value, replicates) in found.items()}


def _captions(folder: DatasetFolder, caption_set: str, soundscapes: Sequence[Soundscape]) -> list[tuple[int, str]]:
    """(row of the soundscape, text) of every caption of these soundscapes."""
    row = {soundscape.soundscape_id: index for index, soundscape in enumerate(soundscapes)}
    found = [(row[key], text) for key, text in caption_texts(folder, caption_set) if key in row]
    if not found:
        raise FlamError(f"captions {caption_set!r} of {folder.root} hold none for this split; run `flam-cli caption`")
    return sorted(found)


def _retrieval(
    detector: Detector,
    scored: ScoredSplit,
    captions: Sequence[tuple[int, str]],
    weights: Float[np.ndarray, "replicate clip"],
) -> dict[str, Metric]:
    """Among the clips that have a caption. Replicates draw queries; what they are looked for in stays the same."""
    rows = sorted({row for row, _ in captions})
    at = {row: index for index, row in enumerate(rows)}
    texts = [text for _, text in captions]
    embedded = detector.caption_embeddings(texts)
    clip_of = np.array([at[row] for row, _ in captions])
    found: Retrieval = retrieval(scored.embeddings[rows], embedded, clip_of=clip_of, texts=texts)
    metrics = {}
    for way in ("text_to_audio", "audio_to_text"):
        ranking = getattr(found, way)
        of_query, num_clips = np.array(rows)[ranking.clip], weights.shape[1]
        times = weights @ np.bincount(of_query, minlength=num_clips)
        for name, values in ranking.by_name().items():
            with np.errstate(invalid="ignore"):
                replicates = weights @ np.bincount(of_query, values, minlength=num_clips) / times
            metrics[f"{way}_{name}"] = Metric(value=float(values.mean()), replicates=replicates)
    return metrics


def _label_rows(
    scored: ScoredSplit,
    held_out: Bool[np.ndarray, " label"],
    values: tuple[LabelMean, LabelMean, LabelMean],
    psds_result: Psds | None,
) -> list[LabelRow]:
    auroc_all, auroc_active, f1 = ([_number(value) for value in mean.per_label] for mean in values)
    areas = psds_result.per_label if psds_result else {}
    return [
        LabelRow(
            cluster=query.cluster,
            label=query.label,
            phrase=query.phrase,
            held_out=bool(held_out[index]),
            num_soundscapes=int((scored.truth.num_events(index) > 0).sum()),
            auroc_all=auroc_all[index],
            auroc_active=auroc_active[index],
            psds1=areas.get(index),
            segment_f1=f1[index],
        )
        for index, query in enumerate(scored.labels)
    ]


def _number(value: float) -> float | None:
    return float(value) if np.isfinite(value) else None
