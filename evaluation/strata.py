"""How well sounds are told apart by how loud they stand out, how long they last, and how much sounds beside them."""

import dataclasses
from collections.abc import Callable, Sequence
from itertools import pairwise

import numpy as np
from jaxtyping import Float

from evaluation.frame_auroc import ordered_auroc
from evaluation.scored import ScoredSplit
from manifests.frames import window_labels
from manifests.schema import Event, Soundscape

SNR_DB = (-np.inf, 0.0, 5.0, 10.0, 15.0, 20.0, np.inf)
SECONDS = (0.0, 0.5, 1.0, 2.0, 4.0, np.inf)
OTHERS = (0.0, 1.0, 2.0, 3.0, np.inf)  # other labels that sound in the same window


@dataclasses.dataclass(frozen=True, kw_only=True)
class Stratum:
    """Windows of events of which something is from `low` to below `high`.

    Args:
        name: for an axis.
        auroc: mean over labels of AUROC with these windows as positives and all of the label's negatives; None without.
        num_labels: in that mean.
        num_windows: positives.
    """

    name: str
    low: float
    high: float
    auroc: float | None
    num_labels: int
    num_windows: int

    def to_dict(self) -> dict[str, str | float | int | None]:
        """For JSON, which has no infinity."""
        low, high = (None if np.isinf(value) else value for value in (self.low, self.high))
        return {**dataclasses.asdict(self), "low": low, "high": high}


def strata(scored: ScoredSplit, soundscapes: Sequence[Soundscape]) -> dict[str, list[Stratum]]:
    """By what is looked at; only what is known of an event counts.

    They are `snr_db` (LUFS of the event less LUFS of the background), `seconds` (that an event sounds for) and `others`
    (how many other labels sound in the same window).
    """
    seconds = _by_event(scored, soundscapes, _seconds)
    found = {"seconds": (SECONDS, seconds), "others": (OTHERS, _others(scored))}
    snr = _by_event(scored, soundscapes, lambda event: event.snr_db)
    return {
        name: _strata(scored, values, edges) for name, (edges, values) in {"snr_db": (SNR_DB, snr), **found}.items()
    }


def _seconds(event: Event) -> float:
    return sum(stretch.offset - stretch.onset for stretch in event.activity)


_Values = Callable[[int], Float[np.ndarray, " window"]]


def _by_event(
    scored: ScoredSplit, soundscapes: Sequence[Soundscape], value: Callable[[Event], float | None]
) -> _Values:
    """Of a label's windows, the value of its event there; the highest of several, NaN without any."""
    label_of = {query.cluster: label for label, query in enumerate(scored.labels)}
    rows: dict[int, list[tuple[int, Event, float]]] = {}
    for clip, soundscape in enumerate(soundscapes):
        for event in soundscape.events:
            found = value(event)
            if found is not None:
                rows.setdefault(label_of[event.cluster], []).append((clip, event, found))

    def of(label: int) -> Float[np.ndarray, " window"]:
        scores = scored.scores
        result = np.full(int(scores.starts[-1]), np.nan)
        for clip, event, found in rows.get(label, []):
            part = result[scores.starts[clip] : scores.starts[clip + 1]]
            for stretch in event.activity:
                inside = window_labels((stretch.onset, stretch.offset), scores.edges_of(clip))
                part[inside] = np.fmax(part[inside], found)
        return result

    return of


def _others(scored: ScoredSplit) -> _Values:
    sounding = np.zeros(int(scored.scores.starts[-1]))
    for label in range(scored.truth.num_labels):
        sounding += scored.truth.active(label, scored.scores)
    return lambda _: sounding - 1.0


def _strata(scored: ScoredSplit, values_of: _Values, edges: Sequence[float]) -> list[Stratum]:
    clips = scored.scores.clip_of_window
    found: list[list[float]] = [[] for _ in edges[1:]]
    num_windows = [0] * (len(edges) - 1)
    for label in range(scored.truth.num_labels):
        known, sounds = scored.truth.known[:, label][clips], scored.truth.active(label, scored.scores)
        scores, values = scored.scores.row(label), values_of(label)
        negatives = np.sort(scores[known & ~sounds])
        for index, (low, high) in enumerate(pairwise(edges)):
            positives = scores[known & sounds & (values >= low) & (values < high)]
            num_windows[index] += len(positives)
            area = ordered_auroc(positives, negatives)
            if np.isfinite(area):
                found[index].append(area)
    return [
        Stratum(
            name=bin_name(low, high, is_count=edges is OTHERS),
            low=low,
            high=high,
            auroc=float(np.mean(areas)) if areas else None,
            num_labels=len(areas),
            num_windows=count,
        )
        for (low, high), areas, count in zip(pairwise(edges), found, num_windows, strict=True)
    ]


def bin_name(low: float, high: float, *, is_count: bool = False) -> str:
    """What lies from `low` to below `high`, for an axis."""
    if np.isinf(low):
        return f"< {high:g}"
    if np.isinf(high):
        return f"≥ {low:g}"
    return f"{low:g}" if is_count else f"{low:g} to {high:g}"
