"""A detector's scores of every soundscape of a split beside the truth, computed once for all metrics."""

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Protocol, runtime_checkable

import numpy as np
from jaxtyping import Bool, Float

from manifests.audio import Source
from manifests.errors import FlamError
from manifests.frames import frame_labels, merged, num_frames
from manifests.progress import progress
from manifests.schema import Phrase, Soundscape
from manifests.store import DatasetFolder
from training.metrics import LabelMean, frame_auroc, segment_scores, segment_truth
from training.psds import Psds, psds, score_table, truth_events

_SPARE_FRAMES = 2  # by which a clip's activations may miss its end: encoders round their strides


@runtime_checkable
class Detector(Protocol):
    """What evaluation asks of a model."""

    hop: float

    def activations(self, source: Source, phrases: Sequence[str]) -> Float[np.ndarray, "frame phrase"]:
        """Probabilities; frame i covers [i * hop, (i + 1) * hop)."""

    def clip_embedding(self, source: Source) -> Float[np.ndarray, " dim"]:
        """Of unit norm."""

    def caption_embeddings(self, captions: Sequence[str]) -> Float[np.ndarray, "caption dim"]:
        """Of unit norm."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Query:
    """One label of a split: a cluster, and the phrase that the detector is asked for it."""

    cluster: str
    label: str
    phrase: str


@dataclasses.dataclass(frozen=True, kw_only=True)
class ScoredClip:
    """One soundscape's scores beside its truth."""

    soundscape_id: str
    duration: float
    scores: Float[np.ndarray, "frame label"]
    truth: Bool[np.ndarray, "frame label"]
    spans: dict[str, list[tuple[float, float]]]  # by cluster: seconds in which any of its events is active
    known: Bool[np.ndarray, " label"]


@dataclasses.dataclass(frozen=True, kw_only=True)
class ScoredSplit:
    """Every clip of a split, scored for the same queries."""

    queries: list[Query]
    hop: float
    clips: list[ScoredClip]

    @property
    def known(self) -> Bool[np.ndarray, "clip label"]:
        """Whether each clip is known to hold or not to hold each label."""
        return np.array([clip.known for clip in self.clips])

    def auroc(self, *, active_only: bool) -> LabelMean:
        """Frame AUROC per label; see `frame_auroc`."""
        scores, truth = [clip.scores for clip in self.clips], [clip.truth for clip in self.clips]
        return frame_auroc(scores, truth, self.known, active_only=active_only)

    def segments(
        self,
    ) -> tuple[
        Float[np.ndarray, "segment label"], Bool[np.ndarray, "segment label"], Bool[np.ndarray, "segment label"]
    ]:
        """Scores, truth and known of all clips' one-second segments, for `segment_f1` and `best_threshold`."""
        scores = [segment_scores(clip.scores, hop=self.hop, duration=clip.duration) for clip in self.clips]
        known = [np.tile(clip.known, (len(part), 1)) for clip, part in zip(self.clips, scores, strict=True)]
        return (
            np.concatenate(scores),
            np.concatenate([self._segment_truth(clip) for clip in self.clips]),
            np.concatenate(known),
        )

    def _segment_truth(self, clip: ScoredClip) -> Bool[np.ndarray, "segment label"]:
        columns = [segment_truth(clip.spans.get(query.cluster, []), duration=clip.duration) for query in self.queries]
        return np.stack(columns, axis=1)

    def psds(self) -> Psds | None:
        """PSDS over the clips; where a label is unknown its score is 0. None if no event is left to be found."""
        clusters = [query.cluster for query in self.queries]
        tables, truth, durations = {}, {}, {}
        for clip in self.clips:
            name, length = clip.soundscape_id, clip.duration
            kept = np.where(clip.known, clip.scores, np.float32(0))
            tables[name] = score_table(kept, labels=clusters, hop=self.hop, duration=length)
            spans = {cluster: clip.spans.get(cluster, []) for cluster in np.array(clusters)[clip.known]}
            truth[name] = truth_events(spans, duration=length)
            durations[name] = length
        return psds(tables, truth, durations) if any(truth.values()) else None


def split_soundscapes(folder: DatasetFolder, split: str, *, limit: int | None = None) -> list[Soundscape]:
    """The soundscapes of a split; raises FlamError with the splits there are if it has none."""
    splits: set[str] = set()
    found: list[Soundscape] = []
    for soundscape in folder.soundscapes():
        splits.add(soundscape.split)
        if soundscape.split == split:
            found.append(soundscape)
        if len(found) == limit:
            break
    if not found:
        there = ", ".join(sorted(splits)) or "no soundscapes at all"
        raise FlamError(f"{folder.root} has no soundscape in split {split!r}; it has {there}; choose one of these")
    return found


def collect_scores(detector: Detector, folder: DatasetFolder, soundscapes: Sequence[Soundscape]) -> ScoredSplit:
    """Scores and truth of soundscapes for every cluster that occurs in them as an event."""
    phrases = folder.phrases() if folder.phrases_path.exists() else []
    queries = split_queries(soundscapes, phrases)
    if not queries:
        raise FlamError(f"the {len(soundscapes)} soundscapes of {folder.root} to evaluate hold no event to look for")
    ancestors = {phrase.cluster: frozenset(phrase.ancestors) for phrase in phrases}
    texts = [query.phrase for query in queries]
    clips = []
    with progress("evaluate", len(soundscapes)) as advance:
        for soundscape in soundscapes:
            activations = detector.activations(folder.audio(soundscape), texts)
            scores = _fit(activations, soundscape, detector.hop)
            clips.append(_scored_clip(soundscape, queries, scores, detector.hop, ancestors))
            advance()
    return ScoredSplit(queries=queries, hop=detector.hop, clips=clips)


def split_queries(soundscapes: Sequence[Soundscape], phrases: Sequence[Phrase]) -> list[Query]:
    """One query per cluster of the events: its first phrase of origin "label", else the words of its label."""
    wording: dict[str, str] = {}
    for phrase in phrases:
        if phrase.origin == "label":
            wording.setdefault(phrase.cluster, phrase.phrase)
    labels: dict[str, str] = {}
    for soundscape in soundscapes:
        for event in soundscape.events:
            labels[event.cluster] = min(event.label, labels.get(event.cluster, event.label))
    return [
        Query(cluster=cluster, label=label, phrase=wording.get(cluster) or label_words(label))
        for cluster, label in sorted(labels.items())
    ]


def label_words(label: str) -> str:
    """A label as words: `Car_horn` is asked as "car horn"."""
    return " ".join(label.replace("_", " ").split()).lower() or label


def _unknown_clusters(soundscape: Soundscape, ancestors: Mapping[str, frozenset[str]]) -> set[str]:
    """Clusters of which nobody knows when they sound.

    They are those of the background, those that an event's recording holds besides its own, and whatever is more
    general or more special than a sound that is there.
    """
    unknown = {cluster for event in soundscape.events for cluster in event.contains}
    if soundscape.background is not None:
        unknown |= {soundscape.background.cluster, *soundscape.background.contains}
    present = unknown | {event.cluster for event in soundscape.events}
    general = {parent for cluster in present for parent in ancestors.get(cluster, ()) if parent != cluster}
    special = {cluster for cluster, parents in ancestors.items() if (parents - {cluster}) & present}
    return unknown | general | special


def _scored_clip(
    soundscape: Soundscape,
    queries: Sequence[Query],
    scores: Float[np.ndarray, "frame label"],
    hop: float,
    ancestors: Mapping[str, frozenset[str]],
) -> ScoredClip:
    unknown = _unknown_clusters(soundscape, ancestors)
    closed = soundscape.annotation == "closed"
    truth = np.zeros(scores.shape, bool)
    column = {query.cluster: index for index, query in enumerate(queries)}
    spans: dict[str, list[tuple[float, float]]] = {}
    for event in soundscape.events:
        truth[:, column[event.cluster]] |= frame_labels(event.activity, num_frames=len(scores), hop=hop)
        spans.setdefault(event.cluster, []).extend((stretch.onset, stretch.offset) for stretch in event.activity)
    return ScoredClip(
        soundscape_id=soundscape.soundscape_id,
        duration=soundscape.duration,
        scores=scores,
        truth=truth,
        spans={cluster: merged(stretches) for cluster, stretches in spans.items()},
        known=np.array([closed and query.cluster not in unknown for query in queries]),
    )


def _fit(
    activations: Float[np.ndarray, "frame label"], soundscape: Soundscape, hop: float
) -> Float[np.ndarray, "frames label"]:
    """Activations cut or continued by a frame or two to just cover the clip; raises FlamError if they hold NaN."""
    frames = num_frames(soundscape.duration, hop)
    missing = frames - len(activations)
    if missing > _SPARE_FRAMES or not len(activations):
        raise FlamError(
            f"{soundscape.soundscape_id} lasts {soundscape.duration:g} s, its audio only {len(activations) * hop:g} s; "
            "run `flam-cli validate --read-audio` on the dataset"
        )
    if not np.isfinite(activations).all():
        raise FlamError(f"the model gives NaN for {soundscape.soundscape_id}; its weights are damaged, train again")
    return np.pad(activations[:frames], ((0, max(missing, 0)), (0, 0)), mode="edge").astype(np.float32)
