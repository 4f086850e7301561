"""Scores of many clips for many labels, on disk or in memory, label by label.

Every metric goes through one label after the other, so a label's scores lie side by side: whatever the number of clips
and labels, one row of the table is all that is read at a time.
"""

import dataclasses
import mmap
from collections.abc import Sequence
from pathlib import Path
from typing import Literal

import numpy as np
from jaxtyping import Float, Int

from manifests.errors import FlamError
from manifests.store import read_json, write_json

ABOUT = "scores.json"  # what the arrays beside it hold
_CLIPS_HELD = 16  # whose pages are in memory while scores are filled in
_DECIMALS = 6  # of times: what the scorer compares by


@dataclasses.dataclass(frozen=True, kw_only=True)
class FrameScores:
    """Scores in windows of time.

    Args:
        labels: what was scored.
        clips: names of the clips.
        durations: of the clips, in seconds.
        starts: the windows of clip i are starts[i] to starts[i + 1].
        edges: where windows begin and end, in seconds, clip after clip: one more than windows for each clip.
        values: a score for each label and window.
    """

    labels: list[str]
    clips: list[str]
    durations: Float[np.ndarray, " clip"]
    starts: Int[np.ndarray, " clips"]
    edges: Float[np.ndarray, " edge"]
    values: Float[np.ndarray, "label window"]

    @classmethod
    def empty(
        cls,
        labels: Sequence[str],
        clips: Sequence[str],
        durations: Sequence[float],
        num_windows: Sequence[int],
        *,
        dtype: type[np.floating] = np.float32,
        folder: Path | None = None,
    ) -> "FrameScores":
        """Room for scores, to be filled clip by clip; in a folder if one is given."""
        starts = np.concatenate([[0], np.cumsum(num_windows)]).astype(np.int64)
        shapes = {"scores": (len(labels), int(starts[-1])), "edges": (int(starts[-1]) + len(clips),)}
        if folder is None:
            values, edges = np.zeros(shapes["scores"], dtype), np.zeros(shapes["edges"])
        else:
            folder.mkdir(parents=True, exist_ok=True)
            (folder / ABOUT).unlink(missing_ok=True)
            values, edges = (
                np.lib.format.open_memmap(folder / f"{name}.npy", mode="w+", dtype=kind, shape=shapes[name])
                for name, kind in (("scores", dtype), ("edges", np.float64))
            )
        return cls(
            labels=list(labels),
            clips=list(clips),
            durations=np.array(durations, dtype=float),
            starts=starts,
            edges=edges,
            values=values,
        )

    @classmethod
    def load(cls, folder: Path, *, identity: str | None = None, writable: bool = False) -> tuple["FrameScores", int]:
        """Those of a folder, and of how many clips they are whole; raises FlamError if it holds none, or others.

        Args:
            folder: that `empty` was given.
            identity: that `mark` was given; None takes any.
            writable: to fill the rest.
        """
        try:
            about = read_json(folder / ABOUT)
            mode: Literal["r+", "r"] = "r+" if writable else "r"
            values = np.load(folder / "scores.npy", mmap_mode=mode, allow_pickle=False)
            edges = np.load(folder / "edges.npy", mmap_mode=mode, allow_pickle=False)
            starts = np.concatenate([[0], np.cumsum(about["windows"])]).astype(np.int64)
            found = cls(
                labels=about["labels"],
                clips=about["clips"],
                durations=np.array(about["durations"], dtype=float),
                starts=starts,
                edges=edges,
                values=values,
            )
            if values.shape != (len(found.labels), starts[-1]) or len(edges) != starts[-1] + len(found.clips):
                raise ValueError("its parts do not belong together")
            if identity not in (None, about["identity"]):
                raise ValueError("they are of another model, dataset or phrases")
            return found, int(about["num_done"])
        except (FlamError, OSError, EOFError, ValueError, KeyError, TypeError) as error:
            raise FlamError(f"{folder} holds no such scores ({error}); run `flam-cli evaluate` again") from None

    def fill(self, clip: int, edges: Float[np.ndarray, " edge"], scores: Float[np.ndarray, "window label"]) -> None:
        """Set a clip's scores; raises FlamError if one is no number."""
        if not np.isfinite(scores).all():
            raise FlamError(f"scores of {self.clips[clip]} hold NaN or infinity; mend the model or the table")
        self.values[:, self.starts[clip] : self.starts[clip + 1]] = scores.T
        self.edges[self._edges_of(clip)] = np.round(edges, _DECIMALS)
        if clip % _CLIPS_HELD == 0:
            self._let_go()

    def mark(self, folder: Path, *, identity: str, num_done: int) -> None:
        """Say that the first clips are filled, once that is so on disk.

        Args:
            folder: that `empty` was given.
            identity: of all that the scores depend on.
            num_done: how many clips.
        """
        for part in (self.values, self.edges):
            if isinstance(part, np.memmap):
                part.flush()
        about = {"clips": self.clips, "durations": self.durations.tolist(), "windows": np.diff(self.starts).tolist()}
        about |= {"labels": self.labels, "identity": identity, "num_done": num_done}
        write_json(folder / ABOUT, about)

    def rows(self, chosen: slice) -> "FrameScores":
        """Those of some labels, without copying."""
        return dataclasses.replace(self, labels=self.labels[chosen], values=self.values[chosen])

    def row(self, label: int) -> Float[np.ndarray, " window"]:
        """One label's scores in all clips, copied to memory."""
        found = np.array(self.values[label])
        self._let_go()
        return found

    def edges_of(self, clip: int) -> Float[np.ndarray, " edge"]:
        """Of a clip's windows, in seconds."""
        return self.edges[self._edges_of(clip)]

    def of(self, clip: int, label: int) -> Float[np.ndarray, " window"]:
        """One label's scores in one clip."""
        return self.values[label, self.starts[clip] : self.starts[clip + 1]]

    @property
    def clip_of_window(self) -> Int[np.ndarray, " window"]:
        """Which clip each window is of."""
        return np.repeat(np.arange(len(self.clips)), np.diff(self.starts))

    def _let_go(self) -> None:
        """Of scores on disk, keep no page in memory for longer than it is needed."""
        if isinstance(self.values, np.memmap) and hasattr(mmap, "MADV_DONTNEED"):
            self.values._mmap.madvise(mmap.MADV_DONTNEED)  # type: ignore[attr-defined]

    def _edges_of(self, clip: int) -> slice:
        return slice(int(self.starts[clip]) + clip, int(self.starts[clip + 1]) + clip + 1)
