"""How a label's detections change as the threshold falls, clip by clip.

As the threshold falls, a detection begins at a local maximum, grows, and ends where it meets a neighbour: of all
thresholds there are no more different detections in a clip than windows. Each is judged once, and counts from the
score at which it appears to the score at which it is part of another. Ebbers, Serizel and Haeb-Umbach (ICASSP 2022)
count the same at every score. Kept apart by clip, the changes give the counts at any threshold of any choice of clips.
"""

import dataclasses

import numpy as np
from jaxtyping import Bool, Float, Int

from evaluation.frame_scores import FrameScores
from evaluation.truth import Truth
from manifests.compiled import compiled


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
    known = truth.known[:, label]
    rates = _cross_trigger_rates(truth) if cross_trigger_tolerance is not None else np.zeros(truth.num_labels)
    tolerances = detection_tolerance, truth_tolerance, cross_trigger_tolerance or 0.0
    values = scores.row(label).astype(np.float64)
    table = _changes(
        values, np.array(scores.edges), scores.starts, known, *truth.events_by_clip, label, rates, *tolerances
    )
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


def _cross_trigger_rates(truth: Truth) -> Float[np.ndarray, " label"]:
    """What one cross-trigger with each label counts as: one over the seconds of its events."""
    seconds = np.bincount(truth.label, weights=truth.offset - truth.onset, minlength=truth.num_labels)
    return 1 / np.maximum(seconds, 1e-12)


@compiled
def _rounded(seconds: float) -> float:
    """To the microsecond, as sed_scores_eval: exactly seven tenths must not depend on float rounding."""
    return float(np.rint(seconds * 1e6)) / 1e6


@compiled
def _overlap(onset: float, offset: float, other_onset: float, other_offset: float) -> float:
    return max(min(offset, other_offset) - max(onset, other_onset), 0.0)


@compiled
def _judged(  # noqa: PLR0913 - compiled code takes arrays
    onset: float,
    offset: float,
    label: int,
    event_label: Int[np.ndarray, " event"],
    event_onset: Float[np.ndarray, " event"],
    event_offset: Float[np.ndarray, " event"],
    rates: Float[np.ndarray, " label"],
    detection_tolerance: float,
    cross_trigger_tolerance: float,
) -> tuple[bool, float]:
    """Whether a detection is right, and if it isn't, the rate of the labels that it is a cross-trigger of.

    The events are those of the clip, by label.
    """
    total = 0.0
    for event in range(len(event_label)):
        if event_label[event] == label:
            total += _overlap(onset, offset, event_onset[event], event_offset[event])
    if _rounded(total) >= _rounded(detection_tolerance * (offset - onset)):
        return True, 0.0
    crossed, total = 0.0, 0.0
    least = _rounded(cross_trigger_tolerance * (offset - onset))
    for event in range(len(event_label)):
        other = event_label[event]
        total += _overlap(onset, offset, event_onset[event], event_offset[event])
        if event + 1 == len(event_label) or event_label[event + 1] != other:
            if other != label and _rounded(total) >= least:
                crossed += rates[other]
            total = 0.0
    return False, crossed


@compiled
def _changes(  # noqa: PLR0913, PLR0915, C901 - compiled code takes arrays, and is one loop
    values: Float[np.ndarray, " window"],
    edges: Float[np.ndarray, " edge"],
    starts: Int[np.ndarray, " clips"],
    known: Bool[np.ndarray, " clip"],
    event_starts: Int[np.ndarray, " clips"],
    event_label: Int[np.ndarray, " event"],
    event_onset: Float[np.ndarray, " event"],
    event_offset: Float[np.ndarray, " event"],
    label: int,
    rates: Float[np.ndarray, " label"],
    detection_tolerance: float,
    truth_tolerance: float,
    cross_trigger_tolerance: float,
) -> Float[np.ndarray, "five change"]:
    """Rows of score, clip, hits, false alarms and cross-triggers, in no order, several of one score perhaps.

    A clip's windows are gone through once, with a stack of the detections that may still grow. On it lie their score,
    their first window, and what the smaller ones that they are made of count.
    """
    longest = 0
    for clip in range(len(known)):
        longest = max(longest, starts[clip + 1] - starts[clip])
    stack_score, stack_alarms, stack_crossed = np.empty(longest + 1), np.empty(longest + 1), np.empty(longest + 1)
    stack_first = np.empty(longest + 1, np.int64)
    right = np.empty((4, longest + 1))  # detections that are right: score, the score at which they end, onset, offset
    out, count = np.empty((5, 1024)), 0
    for clip in range(len(known)):
        if not known[clip]:
            continue
        events = slice(event_starts[clip], event_starts[clip + 1])
        labels, onsets, offsets = event_label[events], event_onset[events], event_offset[events]
        begin, length = starts[clip], starts[clip + 1] - starts[clip]
        room = length
        for event in range(len(labels)):
            if labels[event] == label:
                room += 2 * length
        while count + room > out.shape[1]:
            larger = np.empty((5, 2 * out.shape[1]))
            larger[:, :count] = out[:, :count]
            out = larger
        depth, num_right = 0, 0
        for window in range(length + 1):
            value = values[begin + window] if window < length else -np.inf
            first, alarms, crossed = window, 0.0, 0.0
            while depth and stack_score[depth - 1] > value:
                depth -= 1
                score, first = stack_score[depth], stack_first[depth]
                onset, offset = edges[begin + clip + first], edges[begin + clip + window]
                is_right, rate = _judged(
                    onset, offset, label, labels, onsets, offsets, rates, detection_tolerance, cross_trigger_tolerance
                )
                ends = max(value, stack_score[depth - 1]) if depth else value
                is_one = offset > onset
                if is_right and is_one:
                    right[0, num_right], right[1, num_right] = score, ends
                    right[2, num_right], right[3, num_right] = onset, offset
                    num_right += 1
                alarm = 1.0 if is_one and not is_right else 0.0
                rate = rate if is_one else 0.0
                more_alarms, more_crossed = alarm - stack_alarms[depth], rate - stack_crossed[depth]
                if more_alarms != 0.0 or more_crossed != 0.0:
                    out[0, count], out[1, count], out[2, count] = score, clip, 0.0
                    out[3, count], out[4, count] = more_alarms, more_crossed
                    count += 1
                if depth and stack_score[depth - 1] >= value:  # it ends as a part of that
                    stack_alarms[depth - 1] += alarm
                    stack_crossed[depth - 1] += rate
                else:  # of the one that this window begins
                    alarms, crossed = alarms + alarm, crossed + rate
            if window < length and not (depth and stack_score[depth - 1] == value):
                stack_score[depth], stack_first[depth] = value, first
                stack_alarms[depth], stack_crossed[depth] = alarms, crossed
                depth += 1
        for event in range(len(labels)):
            if labels[event] == label:
                count = _found(out, count, clip, right[:, :num_right], onsets[event], offsets[event], truth_tolerance)
    return out[:, :count]


@compiled
def _found(
    out: Float[np.ndarray, "five change"],
    count: int,
    clip: int,
    right: Float[np.ndarray, "four detection"],
    onset: float,
    offset: float,
    truth_tolerance: float,
) -> int:
    """Append when an event is found, and when not any more, as right detections grow and become wrong."""
    num = right.shape[1]
    at, seconds = np.empty(2 * num), np.empty(2 * num)
    for detection in range(num):
        filled = _overlap(onset, offset, right[2, detection], right[3, detection])
        at[2 * detection], seconds[2 * detection] = -right[0, detection], filled
        at[2 * detection + 1], seconds[2 * detection + 1] = -right[1, detection], -filled
    least, total, is_found = _rounded(truth_tolerance * (offset - onset)), 0.0, False
    order = np.argsort(at)
    for place in range(2 * num):
        total += seconds[order[place]]
        score = -at[order[place]]
        if place + 1 < 2 * num and -at[order[place + 1]] == score:
            continue
        if score == -np.inf:  # below all scores there is no threshold
            break
        now = _rounded(total) >= least
        if now != is_found:
            out[0, count], out[1, count], out[2, count] = score, clip, 1.0 if now else -1.0
            out[3, count], out[4, count] = 0.0, 0.0
            count, is_found = count + 1, now
    return count
