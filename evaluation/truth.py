"""When each label sounds in each clip, and where nobody knows."""

import dataclasses
from collections.abc import Iterable, Iterator, Sequence
from functools import cached_property

import numpy as np
from jaxtyping import Bool, Float, Int

from evaluation.frame_scores import FrameScores
from manifests.frames import merged, window_labels

Span = tuple[float, float]  # onset and offset, seconds


@dataclasses.dataclass(frozen=True, kw_only=True)
class Truth:
    """Events by label.

    Args:
        known: whether presence and absence of each label in each clip are known; what is not is not scored.
        label: of each event, in order; a position in the scores' labels, as `clip` in their clips.
        clip: of each event, in order within a label.
        onset: in seconds.
        offset: in seconds.
    """

    known: Bool[np.ndarray, "clip label"]
    label: Int[np.ndarray, " event"]
    clip: Int[np.ndarray, " event"]
    onset: Float[np.ndarray, " event"]
    offset: Float[np.ndarray, " event"]

    @classmethod
    def of(cls, events: Iterable[tuple[int, int, float, float]], known: Bool[np.ndarray, "clip label"]) -> "Truth":
        """From (label, clip, onset, offset) in any order."""
        rows = sorted(events)
        label, clip, onset, offset = zip(*rows, strict=True) if rows else ((), (), (), ())
        return cls(
            known=known,
            label=np.array(label, dtype=np.int64),
            clip=np.array(clip, dtype=np.int64),
            onset=np.array(onset, dtype=float),
            offset=np.array(offset, dtype=float),
        )

    def take(self, labels: Sequence[int]) -> "Truth":
        """Of some labels, each perhaps several times: label i is then that of `labels[i]`."""
        rows = [np.arange(self._rows(label).start, self._rows(label).stop) for label in labels]
        at = np.concatenate([*rows, np.zeros(0, np.int64)]).astype(np.int64)
        return Truth(
            known=self.known[:, labels],
            label=np.repeat(np.arange(len(labels)), [len(part) for part in rows]),
            clip=self.clip[at],
            onset=self.onset[at],
            offset=self.offset[at],
        )

    @property
    def num_labels(self) -> int:
        """How many labels there are, with events or without."""
        return int(self.known.shape[1])

    def num_events(self, label: int) -> Int[np.ndarray, " clip"]:
        """In each clip in which the label is known."""
        counts = np.bincount(self.clip[self._rows(label)], minlength=len(self.known))
        return np.where(self.known[:, label], counts, 0)

    @property
    def absent(self) -> Bool[np.ndarray, "clip label"]:
        """In which clips each label is known not to sound."""
        sounds: Bool[np.ndarray, "clip label"] = np.zeros_like(self.known)
        sounds[self.clip, self.label] = True
        absent: Bool[np.ndarray, "clip label"] = self.known & ~sounds
        return absent

    def clips_of(self, label: int) -> dict[int, list[Span]]:
        """The spans of a label, for each clip that has one, known or not."""
        found: dict[int, list[Span]] = {}
        for row in range(self._rows(label).start, self._rows(label).stop):
            found.setdefault(int(self.clip[row]), []).append((float(self.onset[row]), float(self.offset[row])))
        return found

    @cached_property
    def by_clip(self) -> list[dict[int, list[Span]]]:
        """The spans in each clip, by label."""
        found: list[dict[int, list[Span]]] = [{} for _ in range(len(self.known))]
        for label, clip, onset, offset in zip(self.label, self.clip, self.onset, self.offset, strict=True):
            found[int(clip)].setdefault(int(label), []).append((float(onset), float(offset)))
        return found

    @cached_property
    def events_by_clip(
        self,
    ) -> tuple[
        Int[np.ndarray, " clips"], Int[np.ndarray, " event"], Float[np.ndarray, " event"], Float[np.ndarray, " event"]
    ]:
        """Events of clip i are starts[i] to starts[i + 1] of label, onset and offset, by label and time."""
        order = np.argsort(self.clip, kind="stable")
        starts = np.concatenate([[0], np.cumsum(np.bincount(self.clip, minlength=len(self.known)))]).astype(np.int64)
        return starts, self.label[order], self.onset[order], self.offset[order]

    def active(self, label: int, scores: FrameScores) -> Bool[np.ndarray, " window"]:
        """The windows in which a label sounds: those that an event fills by half, or if there is none, at most."""
        result = np.zeros(int(scores.starts[-1]), dtype=bool)
        for clip, spans in self.clips_of(label).items():
            part = result[scores.starts[clip] : scores.starts[clip + 1]]
            for span in spans:
                part |= window_labels(span, scores.edges_of(clip))
        return result

    def any_active(self, scores: FrameScores) -> Bool[np.ndarray, " window"]:
        """The windows in which any label sounds."""
        result = np.zeros(int(scores.starts[-1]), dtype=bool)
        for label in range(self.num_labels):
            result |= self.active(label, scores)
        return result

    def _rows(self, label: int) -> slice:
        begin, end = np.searchsorted(self.label, [label, label + 1])
        return slice(int(begin), int(end))


def clipped(spans: Sequence[Span], duration: float) -> Iterator[Span]:
    """Spans of one label within a clip: cut at its ends, and joined where they overlap or touch, for the scorer."""
    cut = [(max(onset, 0.0), min(offset, duration)) for onset, offset in spans]
    # to the scorer's microsecond first, or spans that touch after its rounding would still be two
    rounded = [(round(onset, 6), round(offset, 6)) for onset, offset in cut]
    yield from merged([span for span in rounded if span[1] > span[0]])
