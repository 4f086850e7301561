"""A detector's scores of every soundscape of a split beside the truth, computed once for all metrics."""

import contextlib
import dataclasses
import hashlib
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Protocol, runtime_checkable

import numpy as np
from jaxtyping import Float

from evaluation.frame_scores import ABOUT, FrameScores
from evaluation.queries import UNTRAINED, Kind, Query, Trained, split_queries
from evaluation.truth import Span, Truth, clipped
from manifests.audio import Source
from manifests.errors import FlamError
from manifests.frames import num_frames
from manifests.progress import progress
from manifests.schema import Phrase, Soundscape
from manifests.store import DatasetFolder, replacing

_EMBEDDINGS = "embeddings.npy"
_MARK_SECONDS = 10.0  # how much listening a kill may cost
_SPARE_FRAMES = 2  # by which a clip's activations may miss its end: encoders round their strides


@runtime_checkable
class Detector(Protocol):
    """What evaluation asks of a model."""

    hop: float

    @property
    def identity(self) -> str:
        """Detectors of the same answer the same."""

    def hear(
        self, source: Source, phrases: Sequence[str]
    ) -> tuple[Float[np.ndarray, "frame phrase"], Float[np.ndarray, " dim"]]:
        """Probabilities, frame i of [i * hop, (i + 1) * hop), and an embedding of the whole, of unit norm."""

    def caption_embeddings(self, captions: Sequence[str]) -> Float[np.ndarray, "caption dim"]:
        """Of unit norm."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class ScoredSplit:
    """The clips of a split, scored for the same queries, beside the truth.

    Args:
        queries: those for labels, then others.
        others: scores of the others.
        scores: of the queries for labels.
        truth: of the labels.
        embeddings: of the clips.
    """

    queries: list[Query]
    scores: FrameScores
    others: FrameScores
    truth: Truth
    embeddings: Float[np.ndarray, "clip dim"]

    @property
    def labels(self) -> list[Query]:
        """The queries for labels: query i is label i of scores and truth."""
        return self.queries[: len(self.scores.labels)]

    def of_kind(self, kind: Kind) -> tuple[FrameScores, list[int]]:
        """The scores of all queries of another kind, and the label that each is of."""
        rest = self.queries[len(self.scores.labels) :]
        rows = [row for row, query in enumerate(rest) if query.kind == kind]
        label_of = {query.cluster: label for label, query in enumerate(self.labels)}
        chosen = slice(rows[0], rows[-1] + 1) if rows else slice(0, 0)  # they lie side by side
        return self.others.rows(chosen), [label_of[rest[row].cluster] for row in rows]


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


def collect_scores(
    detector: Detector,
    folder: DatasetFolder,
    soundscapes: Sequence[Soundscape],
    *,
    trained: Trained = UNTRAINED,
    work: Path | None = None,
    needs_events: bool = True,
) -> ScoredSplit:
    """Scores and truth of soundscapes for every cluster that occurs in them as an event.

    Args:
        detector: the model.
        folder: the dataset.
        soundscapes: of it.
        trained: what the detector was trained with; it is asked for other wordings of these too.
        work: a folder for the scores, which stay there, and from which a run that was stopped goes on; None holds
            them in memory.
        needs_events: refuse soundscapes without any event: there is nothing to ask for, only embeddings to take.
    """
    phrases = folder.phrases() if folder.phrases_path.exists() else []
    queries = split_queries(soundscapes, phrases, trained)
    if needs_events and not queries:
        raise FlamError(
            f"the {len(soundscapes)} soundscapes of {folder.root} to evaluate hold no event to look for; "
            "give --captions if they have some: these are measured by retrieval"
        )
    texts = [query.phrase for query in queries]
    identity = _identity(detector, soundscapes, queries)
    scores, embeddings, num_done = _begun(queries, soundscapes, detector.hop, work, identity)
    marked = time.monotonic()
    with progress("listen", len(soundscapes), done=num_done) as advance:
        for clip, soundscape in enumerate(soundscapes[num_done:], num_done):
            found, embedding = detector.hear(folder.audio(soundscape), texts)
            found = fitted(found, name=soundscape.soundscape_id, duration=soundscape.duration, hop=detector.hop)
            edges = np.minimum(np.arange(len(found) + 1) * detector.hop, soundscape.duration)
            scores.fill(clip, edges, found)
            embeddings.append(embedding)
            advance()
            if work is not None and (time.monotonic() > marked + _MARK_SECONDS or clip == len(soundscapes) - 1):
                _save_embeddings(work, embeddings)
                scores.mark(work, identity=identity, num_done=clip + 1)
                marked = time.monotonic()
    labels = [query for query in queries if query.kind == "label"]
    return ScoredSplit(
        queries=queries,
        scores=scores.rows(slice(0, len(labels))),
        others=scores.rows(slice(len(labels), len(queries))),
        truth=split_truth(soundscapes, labels, phrases),
        embeddings=np.stack(embeddings),
    )


def _begun(
    queries: Sequence[Query], soundscapes: Sequence[Soundscape], hop: float, work: Path | None, identity: str
) -> tuple[FrameScores, list[Float[np.ndarray, " dim"]], int]:
    """What an earlier run left of the same, or room for it: scores, embeddings, and of how many clips they are."""
    if work is not None and (work / ABOUT).exists():
        with contextlib.suppress(FlamError, OSError, EOFError, ValueError):
            scores, num_done = FrameScores.load(work, identity=identity, writable=True)
            embeddings = np.load(work / _EMBEDDINGS, allow_pickle=False)
            return scores, list(embeddings[:num_done]), num_done
    scores = FrameScores.empty(
        [query.name for query in queries],
        [soundscape.soundscape_id for soundscape in soundscapes],
        [soundscape.duration for soundscape in soundscapes],
        [num_frames(soundscape.duration, hop) for soundscape in soundscapes],
        folder=work,
    )
    return scores, [], 0


def _save_embeddings(work: Path, embeddings: Sequence[Float[np.ndarray, " dim"]]) -> None:
    with replacing(work / _EMBEDDINGS) as temporary, temporary.open("wb") as file:
        np.save(file, np.stack(embeddings))


def _identity(detector: Detector, soundscapes: Sequence[Soundscape], queries: Sequence[Query]) -> str:
    """Of all that scores depend on."""
    parts = f"{detector.identity} {detector.hop} {list(queries)} {soundscapes_digest(soundscapes)}"
    return hashlib.sha256(parts.encode()).hexdigest()


def soundscapes_digest(soundscapes: Sequence[Soundscape]) -> str:
    """The same for the same rows in the same order, wherever and in whatever format their audio is."""
    digest = hashlib.sha256()
    for soundscape in soundscapes:
        digest.update(repr(dataclasses.replace(soundscape, audio_path="")).encode())
    return digest.hexdigest()


def split_truth(soundscapes: Sequence[Soundscape], queries: Sequence[Query], phrases: Sequence[Phrase]) -> Truth:
    """When each query's cluster is active in each soundscape, cut at its ends, and where nobody knows."""
    ancestors = {phrase.cluster: frozenset(phrase.ancestors) for phrase in phrases}
    label_of = {query.cluster: label for label, query in enumerate(queries)}
    known = np.zeros((len(soundscapes), len(queries)), dtype=bool)
    rows: list[tuple[int, int, float, float]] = []
    for clip, soundscape in enumerate(soundscapes):
        unknown = _unknown_clusters(soundscape, ancestors)
        if soundscape.annotation == "closed":
            known[clip] = [query.cluster not in unknown for query in queries]
        spans: dict[str, list[Span]] = {}
        for event in soundscape.events:
            spans.setdefault(event.cluster, []).extend((stretch.onset, stretch.offset) for stretch in event.activity)
        for cluster, found in spans.items():
            if cluster in label_of:
                rows += [(label_of[cluster], clip, *span) for span in clipped(found, soundscape.duration)]
    return Truth.of(rows, known)


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


def fitted(
    activations: Float[np.ndarray, "frame label"], *, name: str, duration: float, hop: float
) -> Float[np.ndarray, "frames label"]:
    """Activations cut or continued by a frame or two to just cover a clip of `duration` seconds.

    Raises FlamError if more are missing.
    """
    frames = num_frames(duration, hop)
    missing = frames - len(activations)
    if missing > _SPARE_FRAMES or not len(activations):
        raise FlamError(
            f"{name} lasts {duration:g} s, its audio only {len(activations) * hop:g} s; "
            "run `flam-cli validate --read-audio` on the dataset"
        )
    return np.pad(activations[:frames], ((0, max(missing, 0)), (0, 0)), mode="edge").astype(np.float32)
