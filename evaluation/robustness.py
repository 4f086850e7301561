"""Curves: how scores fall with the band that is heard, the length of clips, and the distance of wordings."""

import dataclasses
import functools
import hashlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float, Int
from rich.table import Table

from evaluation.clip_length import scores_at_length
from evaluation.false_alarms import false_alarms
from evaluation.frame_auroc import frame_auroc
from evaluation.frame_scores import FrameScores
from evaluation.label_mean import LabelMean
from evaluation.low_pass import LowPassed
from evaluation.queries import Trained
from evaluation.scored import Detector, ScoredSplit, collect_scores, soundscapes_digest
from evaluation.strata import bin_name
from evaluation.truth import Truth
from evaluation.wording_distance import wording_distances
from manifests.errors import FlamError
from manifests.progress import progress
from manifests.schema import Phrase, Soundscape
from manifests.store import DatasetFolder, read_json, write_json

CUTOFFS_HZ = (1000.0, 2000.0, 4000.0, 8000.0)
CLIP_SECONDS = (1.0, 2.0, 5.0, 10.0, 30.0, 60.0, 120.0, 600.0)
DISTANCES = (-np.inf, 0.001, 0.05, 0.1, 0.2, 0.4, np.inf)
NUM_SOUNDSCAPES = 120  # that are heard again for each band and length: two clips of ten minutes, if they last 10 s
_SEED = 0  # of their choice and order
_POINTS = "points.json"  # what an earlier run measured

TITLES = {
    "bandwidth": "low-passed at",
    "clip_length": "heard in clips of",
    "wording_distance": "distance of wording",
    "label_distance": "distance of held-out label",
}
COLUMNS = ("", "", "AUROC, all frames", "frames with sound", "false alarms an hour", "texts")


@dataclasses.dataclass(frozen=True, kw_only=True)
class Point:
    """Of a curve.

    Args:
        name: for an axis.
        at: where on it: Hz, None for all that there is; seconds; or mean distance, None without any text.
        auroc_all: frame AUROC over all frames, mean of texts; None where it is undefined.
        auroc_active: over frames with sound.
        false_alarms_per_hour: at the threshold of validation; None without one.
        num_texts: that have a value of `auroc_all`.
    """

    name: str
    at: float | None
    auroc_all: float | None
    auroc_active: float | None
    false_alarms_per_hour: float | None
    num_texts: int


Curves = Mapping[str, Sequence[Point]]  # by the names in TITLES


def robustness_curves(
    detector: Detector,
    folder: DatasetFolder,
    soundscapes: Sequence[Soundscape],
    scored: ScoredSplit,
    *,
    trained: Trained,
    work: Path | None = None,
) -> dict[str, list[Point]]:
    """All curves of a detector.

    Those of wordings are taken from the scores that there are. For the others up to NUM_SOUNDSCAPES soundscapes are
    heard again for each point, drawn with a fixed seed.

    Args:
        detector: the model.
        folder: the dataset.
        soundscapes: of a split.
        scored: the same ones.
        trained: what the model was trained with; without its phrases there are no curves of wordings.
        work: a folder from which a run that was stopped goes on.
    """
    phrases = folder.phrases() if folder.phrases_path.exists() else []
    chosen = drawn(soundscapes)
    identity = f"{detector.identity} {soundscapes_digest(chosen)} {phrases} {trained.threshold} {trained.post}"
    kept = _KeptPoints(work, hashlib.sha256(identity.encode()).hexdigest())
    passes = list(_passes(detector, folder, chosen, trained, work))
    found: dict[str, list[Point]] = {}
    with progress("curves", len(passes)) as advance:
        for curve, name, at, listen in passes:
            found.setdefault(curve, []).append(kept.get_or_measure(curve, name, at, listen))
            advance(note=f"{TITLES[curve]} {name}")
    return {**found, **_wordings(detector, scored, phrases, trained)}


def drawn(soundscapes: Sequence[Soundscape]) -> list[Soundscape]:
    """Up to NUM_SOUNDSCAPES of them in random order, always the same."""
    order = np.random.default_rng(_SEED).permutation(len(soundscapes))
    return [soundscapes[index] for index in order[:NUM_SOUNDSCAPES]]


@dataclasses.dataclass(frozen=True, kw_only=True)
class _Texts:
    """Metrics of each text that was asked."""

    auroc_all: Float[np.ndarray, " text"]
    auroc_active: Float[np.ndarray, " text"]
    alarms: Float[np.ndarray, " text"] | None  # an hour

    @classmethod
    def of(cls, scores: FrameScores, truth: Truth, trained: Trained, *, among: Truth | None = None) -> "_Texts":
        """Among whose labels others sound, if not the same truth's."""
        every, active = (frame_auroc(scores, truth, active_only=only, among=among).per_label for only in (False, True))
        alarms = None
        if trained.threshold is not None:
            alarms = false_alarms(scores, truth.absent, threshold=trained.threshold, post=trained.post).of_query
        return cls(auroc_all=every, auroc_active=active, alarms=alarms)

    def point(self, name: str, at: float | None, rows: Int[np.ndarray, " row"] | slice = slice(None)) -> Point:
        """The mean of some texts."""
        every, active = LabelMean(per_label=self.auroc_all[rows]), LabelMean(per_label=self.auroc_active[rows])
        alarms = None if self.alarms is None else LabelMean(per_label=self.alarms[rows]).macro
        return Point(
            name=name,
            at=at,
            auroc_all=every.macro,
            auroc_active=active.macro,
            false_alarms_per_hour=alarms,
            num_texts=every.num_labels,
        )


_Listen = Callable[[], _Texts]


def _passes(
    detector: Detector, folder: DatasetFolder, chosen: Sequence[Soundscape], trained: Trained, work: Path | None
) -> Iterator[tuple[str, str, float | None, _Listen]]:
    """Curve, name and place of each point that must be listened for, and how."""

    @functools.cache
    def as_they_are() -> ScoredSplit:
        return collect_scores(detector, folder, chosen, work=None if work is None else work / "scores")

    def all_of_them() -> _Texts:
        return _Texts.of(as_they_are().scores, as_they_are().truth, trained)

    def below(cutoff: float) -> _Texts:
        scored = collect_scores(LowPassed(detector, cutoff), folder, chosen)
        return _Texts.of(scored.scores, scored.truth, trained)

    def in_clips(seconds: float) -> _Texts:
        scored = as_they_are()
        scores = scores_at_length(detector, folder, chosen, scored, seconds=seconds)
        return _Texts.of(scores, scored.truth, trained)

    rate = max(soundscape.sample_rate for soundscape in chosen)
    for cutoff in CUTOFFS_HZ:
        if 2 * cutoff < rate:
            yield "bandwidth", f"{cutoff / 1000:g} kHz", cutoff, functools.partial(below, cutoff)
    yield "bandwidth", "unfiltered", None, all_of_them
    total = sum(soundscape.duration for soundscape in chosen)
    for seconds in CLIP_SECONDS:
        if seconds <= total + 1e-6:
            name = f"{seconds:g} s" if seconds < 60 else f"{seconds / 60:g} min"
            yield "clip_length", name, seconds, functools.partial(in_clips, seconds)


class _KeptPoints:
    """Points on disk, each written once it is measured.

    Args:
        work: their folder; None keeps none.
        identity: of all that they depend on.
    """

    def __init__(self, work: Path | None, identity: str) -> None:
        self.path = None if work is None else work / _POINTS
        self.content: dict[str, Any] = {"identity": identity, "points": {}}
        if self.path is not None and self.path.exists():
            try:
                found = read_json(self.path)
            except FlamError:  # damaged: measured anew
                return
            if isinstance(found, dict) and found.get("identity") == identity:
                self.content = found

    def get_or_measure(self, curve: str, name: str, at: float | None, listen: _Listen) -> Point:
        """A point that was measured before, or now."""
        points = self.content["points"].setdefault(curve, {})
        if name not in points:
            points[name] = dataclasses.asdict(listen().point(name, at))
            if self.path is not None:
                write_json(self.path, self.content)
        return Point(**points[name])


def _wordings(
    detector: Detector, scored: ScoredSplit, phrases: Sequence[Phrase], trained: Trained
) -> dict[str, list[Point]]:
    """By distance: labels that the model was trained with and their other wordings; and held-out labels."""
    if trained.clusters is None or not trained.phrases:
        return {}
    queries = [query for query in scored.queries if query.kind != "near miss"]
    distances = wording_distances(detector, queries, phrases, trained)
    is_known = np.array([query.cluster in trained.clusters for query in queries])
    others, label_of = scored.of_kind("wording")
    parts = [_Texts.of(scored.scores, scored.truth, trained)]
    if label_of:
        parts.append(_Texts.of(others, scored.truth.take(label_of), trained, among=scored.truth))
    alarms = [part.alarms for part in parts if part.alarms is not None]
    texts = _Texts(
        auroc_all=np.concatenate([part.auroc_all for part in parts]),
        auroc_active=np.concatenate([part.auroc_active for part in parts]),
        alarms=np.concatenate(alarms) if alarms else None,
    )
    return {
        name: _by_distance(texts, np.where(member, distances, np.nan))
        for name, member in (("wording_distance", is_known), ("label_distance", ~is_known))
        if member.any()
    }


def _by_distance(texts: _Texts, distances: Float[np.ndarray, " text"]) -> list[Point]:
    points = []
    for low, high in pairwise(DISTANCES):
        rows = np.flatnonzero((distances >= low) & (distances < high))
        at = float(distances[rows].mean()) if len(rows) else None
        points.append(texts.point(bin_name(low, high), at, rows))
    return points


def curve_rows(curves: Curves) -> Iterator[tuple[str, ...]]:
    """In words, in the order of COLUMNS; of each curve's title, only its first row says it."""
    for curve, points in curves.items():
        for index, point in enumerate(points):
            values = (point.auroc_all, point.auroc_active, point.false_alarms_per_hour)
            shown = ("-" if value is None else f"{value:.3f}" for value in values)
            yield "" if index else TITLES[curve], point.name, *shown, str(point.num_texts)


def curves_table(curves: Curves) -> Table:
    """The curves for a terminal, one below the other."""
    table = Table(title="curves")
    for index, column in enumerate(COLUMNS):
        table.add_column(column, justify="right" if index > 1 else "left")
    for row in curve_rows(curves):
        table.add_row(*row)
    return table
