"""Another model's frame scores, as files, beside a model on the same soundscapes."""

import dataclasses
from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np
import pandas as pd
from jaxtyping import Float

from evaluation.frame_scores import FrameScores
from evaluation.queries import Query, split_queries
from evaluation.score_tables import read_table, some, table_edges, table_scores
from evaluation.scored import ScoredSplit, split_truth
from manifests.errors import FlamError
from manifests.progress import progress
from manifests.schema import Soundscape
from manifests.store import DatasetFolder

_SPARE_WINDOWS = 2  # by which a table may miss its clip's ends, as activations may


@dataclasses.dataclass(frozen=True, kw_only=True)
class ScoreFolder:
    """A folder with a table SOUNDSCAPE_ID.tsv for each soundscape: `onset offset LABEL...`, windows without gaps.

    Args:
        path: the folder.
        notes: what the user should know of it, once it was read.
    """

    path: Path
    notes: list[str] = dataclasses.field(default_factory=list)

    @property
    def name(self) -> str:
        """The folder's own."""
        return self.path.resolve().name

    def scored(
        self, folder: DatasetFolder, soundscapes: Sequence[Soundscape], *, work: Path | None = None
    ) -> ScoredSplit:
        """Its scores of the labels that occur in the soundscapes as events, beside the truth; without embeddings.

        Windows are the tables' own, cut at the soundscape's end, and scores are kept in single precision, as a
        model's. A label is found by the column that is called like its cluster, else like itself, else like the phrase
        that a model is asked. Raises FlamError for a soundscape without a table, a label without a column, and what
        `flam-cli score` would not take either.

        Args:
            folder: the dataset.
            soundscapes: of it.
            work: a folder to copy the scores to; None holds them in memory.
        """
        phrases = folder.phrases() if folder.phrases_path.exists() else []
        queries = split_queries(soundscapes, phrases)
        if not queries:
            raise FlamError(f"the soundscapes of {folder.root} hold no event: leave out --scores {self.path}")
        paths = [self.path / f"{soundscape.soundscape_id}.tsv" for soundscape in soundscapes]
        missing = [path.name for path in paths if not path.is_file()]
        if missing:
            raise FlamError(
                f"{self.path} has no {some(missing)}; give a folder with a table SOUNDSCAPE_ID.tsv for each of the "
                f"{len(paths)} soundscapes that are measured"
            )
        labels = read_table(paths[0], None).columns[2:].tolist()
        columns = self._columns(queries, labels)
        durations = [soundscape.duration for soundscape in soundscapes]
        scores = FrameScores.empty(
            [query.name for query in queries],
            [soundscape.soundscape_id for soundscape in soundscapes],
            durations,
            [_num_within(_onsets(path), duration) for path, duration in zip(paths, durations, strict=True)],
            folder=work,
        )
        with progress(f"scores of {self.name}", len(paths)) as advance:
            for clip, path in enumerate(paths):
                table = read_table(path, labels)
                edges = _cut(path, table_edges(path, table), durations[clip])
                scores.fill(clip, edges, table_scores(path, table, columns)[: len(edges) - 1].astype(np.float32))
                advance()
        return ScoredSplit(
            queries=queries,
            scores=scores,
            others=scores.rows(slice(0, 0)),
            truth=split_truth(soundscapes, queries, phrases),
            embeddings=np.zeros((len(soundscapes), 0)),
        )

    def _columns(self, queries: Sequence[Query], labels: Iterable[str]) -> list[str]:
        """Of each query, its column; notes those that nothing asks for."""
        free = dict.fromkeys(labels)
        found: dict[str, str] = {}
        for names in ("cluster", "label", "phrase"):  # a column that is one's cluster is never another's label
            for query in queries:
                name = getattr(query, names)
                if query.cluster not in found and name in free:
                    found[query.cluster] = name
                    del free[name]
        missing = [query.label for query in queries if query.cluster not in found]
        if missing:
            raise FlamError(
                f"{self.path} has no column for {some(missing)}, which the soundscapes hold; add one that is called "
                "like the label, of 0 if the model does not know it"
            )
        if free:
            self.notes.append(f"{self.path}: columns of no label in these soundscapes, not used: {some(list(free))}")
        return [found[query.cluster] for query in queries]


def score_folders(paths: Iterable[Path], *, taken: Iterable[str] = ()) -> dict[str, ScoreFolder]:
    """By their names; raises FlamError for one whose name is taken, by another or by what else stands beside."""
    found: dict[str, ScoreFolder] = {}
    for path in paths:
        folder = ScoreFolder(path=path)
        if folder.name in {*taken, *found}:
            raise FlamError(f"--scores {path}: another column is called {folder.name!r}; rename the folder")
        found[folder.name] = folder
    return found


def _cut(path: Path, edges: Float[np.ndarray, " edge"], duration: float) -> Float[np.ndarray, " kept"]:
    """Without what is beyond the clip's end; raises FlamError if windows are missing at its ends."""
    lead, rest = edges[0], duration - edges[-1]
    if lead > _SPARE_WINDOWS * (edges[1] - edges[0]) or rest > _SPARE_WINDOWS * (edges[-1] - edges[-2]):
        raise FlamError(
            f"{path} scores {edges[0]:g} to {edges[-1]:g} s, its soundscape lasts from 0 to {duration:g} s; "
            "score all of it"
        )
    kept: Float[np.ndarray, " kept"] = np.minimum(edges[: _num_within(edges[:-1], duration) + 1], duration)
    return kept


def _num_within(onsets: Float[np.ndarray, " window"], duration: float) -> int:
    """How many windows begin before the clip's end."""
    return max(1, int((onsets < duration - 1e-6).sum()))


def _onsets(path: Path) -> Float[np.ndarray, " window"]:
    """NaN for what is no number: `table_edges` says which."""
    found: Float[np.ndarray, " window"] = pd.to_numeric(read_table(path, None)["onset"], errors="coerce").to_numpy()
    return found
