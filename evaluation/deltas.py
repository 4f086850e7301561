"""How a label's detections change as the threshold falls, clip by clip.

sed_scores_eval's counting (Ebbers, Serizel and Haeb-Umbach, ICASSP 2022): a clip's true and false positives change at a
few of its scores only. Kept apart by clip, these changes give the counts at any threshold of any choice of clips.
"""

import dataclasses
import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
from jaxtyping import Bool, Float, Int

from evaluation.frame_scores import FrameScores
from evaluation.truth import Span, Truth

with warnings.catch_warnings():
    # its dependency dcase_util imports pkg_resources, which warns of its own end to whoever only wants a score
    warnings.filterwarnings("ignore", message="pkg_resources is deprecated")
    # invalid escapes in its docstrings; Python says so once, when it compiles them
    warnings.filterwarnings("ignore", message="invalid escape sequence", category=SyntaxWarning)
    warnings.filterwarnings("ignore", message="invalid escape sequence", category=DeprecationWarning)
    from sed_scores_eval.base_modules.cy_detection import onset_offset_curves
    from sed_scores_eval.collar_based.intermediate_statistics import statistics_fn as collar_counts
    from sed_scores_eval.intersection_based.intermediate_statistics import statistics_fn as intersection_counts

_Count = Callable[..., dict[str, Any]]


@dataclasses.dataclass(frozen=True, kw_only=True)
class Deltas:
    """What is counted more as the threshold falls below each score, in falling order of scores.

    Args:
        score: below which the threshold falls.
        clip: in which something changes then.
        hits: events found more, or fewer (negative).
        false_alarms: the same of detections of nothing.
        cross_triggers: of each detection of another label's event, as a rate: 1 / seconds of that label's events.
        events: of the label in each clip; those of clips in which it is not known are 0.
        seconds: of each clip in which the label is known, else 0.
        is_whole: whether these are all changes, and not the first only.
    """

    score: Float[np.ndarray, " change"]
    clip: Int[np.ndarray, " change"]
    hits: Float[np.ndarray, " change"]
    false_alarms: Float[np.ndarray, " change"]
    cross_triggers: Float[np.ndarray, " change"]
    events: Int[np.ndarray, " clip"]
    seconds: Float[np.ndarray, " clip"]
    is_whole: bool = True


def intersection_deltas(
    scores: FrameScores,
    truth: Truth,
    label: int,
    *,
    detection_tolerance: float,
    truth_tolerance: float,
    cross_trigger_tolerance: float | None = None,
) -> Deltas:
    """By intersection (Bilen et al., ICASSP 2020): of PSDS.

    Args:
        scores: of all clips.
        truth: of the same.
        label: its position.
        detection_tolerance: DTC, the share of a detection that the label's events must fill for it to be none too many.
        truth_tolerance: GTC, the share of an event that such detections must fill for it to be found.
        cross_trigger_tolerance: CTTC, the share of any other detection that another label's events must fill; None
            leaves cross-triggers uncounted.
    """
    criteria = {
        "dtc_threshold": detection_tolerance,
        "gtc_threshold": truth_tolerance,
        "cttc_threshold": cross_trigger_tolerance,
    }
    others: list[dict[int, list[Span]]] = [{} for _ in scores.clips]
    if cross_trigger_tolerance is not None:
        others = [{name: found for name, found in spans.items() if name != label} for spans in truth.by_clip]
    return _deltas(scores, truth, label, others, lambda **given: intersection_counts(**given, **criteria))


def collar_deltas(
    scores: FrameScores, truth: Truth, label: int, *, onset: float, offset: float, offset_share: float
) -> Deltas:
    """By onsets and offsets: within so many seconds; an offset also within a share of the event's duration."""
    collar = {"onset_collar": onset, "offset_collar": offset, "offset_collar_rate": offset_share}
    nothing: list[dict[int, list[Span]]] = [{} for _ in scores.clips]
    return _deltas(scores, truth, label, nothing, lambda **given: collar_counts(**given, **collar))


def _deltas(
    scores: FrameScores, truth: Truth, label: int, others: list[dict[int, list[Span]]], count: _Count
) -> Deltas:
    targets = truth.clips_of(label)
    known = truth.known[:, label]
    rates = _cross_trigger_rates(truth)
    eventful = np.array([clip in targets or bool(spans) for clip, spans in enumerate(others)], dtype=bool)
    parts = [_false_alarms(scores, label, known & ~eventful)]
    for clip in np.flatnonzero(known & eventful).tolist():
        at, onsets, offsets = onset_offset_curves(np.asarray(scores.of(clip, label), float), scores.edges_of(clip))
        other = {name: _ends(spans) for name, spans in others[clip].items()}
        target_onsets, target_offsets = _ends(targets.get(clip, []))
        counted = count(
            detection_onset_times=onsets,
            detection_offset_times=offsets,
            target_onset_times=target_onsets,
            target_offset_times=target_offsets,
            other_onset_times={name: ends[0] for name, ends in other.items()},
            other_offset_times={name: ends[1] for name, ends in other.items()},
        )
        crossed = sum((counted["cts"][name] * rates[name] for name in other), np.zeros(len(at)))
        totals = np.stack([counted["tps"], counted["fps"], crossed])
        changes = totals - np.pad(totals[:, 1:], ((0, 0), (0, 1)))  # scores rise: less what is there above them
        changing = np.abs(changes).sum(axis=0) > 0
        parts.append(np.concatenate([at[None], np.full((1, len(at)), clip), changes])[:, changing])
    table = np.concatenate(parts, axis=1)
    table = table[:, np.argsort(-table[0], kind="stable")]
    return Deltas(
        score=table[0],
        clip=table[1].astype(np.int64),
        hits=table[2],
        false_alarms=table[3],
        cross_triggers=table[4],
        events=truth.num_events(label),
        seconds=scores.durations * known,
    )


def _false_alarms(
    scores: FrameScores, label: int, silent: Bool[np.ndarray, " clip"]
) -> Float[np.ndarray, "five change"]:
    """The changes in clips without any event: one false alarm more at a local maximum, one less at a minimum."""
    values = np.asarray(scores.values[label], dtype=np.float64)
    before, after = np.roll(values, 1), np.roll(values, -1)
    before[scores.starts[:-1]] = after[scores.starts[1:] - 1] = -np.inf
    change = (values > before).astype(float) - (after > values)
    clips = scores.clip_of_window
    at = np.flatnonzero(silent[clips] & (change != 0))
    nothing = np.zeros(len(at))
    return np.stack([values[at], clips[at].astype(float), nothing, change[at], nothing])


def _cross_trigger_rates(truth: Truth) -> Float[np.ndarray, " label"]:
    """What one cross-trigger with each label counts as: one over the seconds of its events."""
    seconds = np.bincount(truth.label, weights=truth.offset - truth.onset, minlength=truth.num_labels)
    return 1 / np.maximum(seconds, 1e-12)


def _ends(spans: list[Span]) -> tuple[Float[np.ndarray, " span"], Float[np.ndarray, " span"]]:
    onsets, offsets = np.array(spans, dtype=float).reshape(-1, 2).T
    return onsets, offsets
