"""Recall and mean average precision of text to audio and audio to text retrieval."""

import dataclasses
import math
from collections.abc import Sequence

import numpy as np
from jaxtyping import Bool, Float, Int

from evaluation.queries import normalised

RECALL_AT = (1, 5, 10)
MAP_AT = 10
_BLOCK = 1024  # queries whose similarities are held at once
_DECIMALS = 6  # cosines equal to float32's precision are ties: the same text must not beat itself by rounding


@dataclasses.dataclass(frozen=True, kw_only=True)
class Ranking:
    """How well each query is answered, 0 to 1; means over queries are the metrics.

    Args:
        clip: that each query is of.
        hits: by k, whether a correct answer is among the first k.
        precision: average precision of the first ten.
    """

    clip: Int[np.ndarray, " query"]
    hits: dict[int, Float[np.ndarray, " query"]]
    precision: Float[np.ndarray, " query"]

    def by_name(self) -> dict[str, Float[np.ndarray, " query"]]:
        """Each metric's values of the queries."""
        return {**{f"recall_at_{k}": hits for k, hits in self.hits.items()}, f"map_at_{MAP_AT}": self.precision}

    def means(self) -> dict[str, float]:
        """The metrics."""
        return {name: float(values.mean()) for name, values in self.by_name().items()}


@dataclasses.dataclass(frozen=True, kw_only=True)
class Retrieval:
    """Both ways; every caption is a query, and every clip that has one."""

    text_to_audio: Ranking
    audio_to_text: Ranking


def retrieval(
    audio: Float[np.ndarray, "clip dim"],
    captions: Float[np.ndarray, "caption dim"],
    *,
    clip_of: Int[np.ndarray, " caption"],
    texts: Sequence[str],
) -> Retrieval:
    """Recall at 1, 5 and 10 and mean average precision at 10, for any number of captions a clip.

    Clips that share a caption's text are all correct answers to it, and each text is one candidate however often it
    occurs: nobody could tell such clips apart by it. Among equal similarities every order is as likely as any other,
    and the values are the expected ones: a model that gives one embedding for everything scores chance.

    Args:
        audio: unit norm.
        captions: unit norm.
        clip_of: the row of `audio` that each caption was written for.
        texts: the captions.
    """
    keys = [normalised(text) for text in texts]
    first = {key: row for row, key in reversed(list(enumerate(keys)))}
    column = {key: index for index, key in enumerate(first)}
    relevant = np.zeros((len(audio), len(column)), bool)  # (clip, text)
    relevant[clip_of, [column[key] for key in keys]] = True
    candidates = captions[list(first.values())]
    captioned = np.unique(clip_of)
    answers = relevant.T[[column[key] for key in keys]]  # (caption, clip)
    return Retrieval(
        text_to_audio=_ranking(captions, audio, answers, clip_of),
        audio_to_text=_ranking(audio[captioned], candidates, relevant[captioned], captioned),
    )


def _ranking(
    queries: Float[np.ndarray, "query dim"],
    candidates: Float[np.ndarray, "candidate dim"],
    relevant: Bool[np.ndarray, "query candidate"],
    clip: Int[np.ndarray, " query"],
) -> Ranking:
    hits = {k: np.zeros(len(queries)) for k in RECALL_AT}
    precision = np.zeros(len(queries))
    for start in range(0, len(queries), _BLOCK):
        block = queries[start : start + _BLOCK].astype(np.float64)
        similarity = np.round(block @ candidates.T.astype(np.float64), _DECIMALS)
        for row, (found, correct) in enumerate(zip(similarity, relevant[start : start + _BLOCK], strict=True), start):
            best = found[correct].max()
            above, tied = int((found > best).sum()), found == best
            for k in RECALL_AT:
                hits[k][row] = _expected_hit(k - above, int(tied.sum()), int((tied & correct).sum()))
            precision[row] = _expected_precision(found, correct)
    return Ranking(clip=clip, hits=hits, precision=precision)


def _expected_precision(similarity: Float[np.ndarray, " candidate"], correct: Bool[np.ndarray, " candidate"]) -> float:
    """Average precision of the first ten: of as many as are correct, or ten, the mean of the precision where they are.

    Among `tied` equal candidates, `right` of them correct, each place holds a correct one in right / tied of the
    orders, with (right - 1) / (tied - 1) correct ones at each place before it.
    """
    place, above, total = 0, 0, 0.0
    for level in np.unique(similarity[np.argpartition(-similarity, min(MAP_AT, len(similarity)) - 1)[:MAP_AT]])[::-1]:
        ties = similarity == level
        tied, right = int(ties.sum()), int((ties & correct).sum())
        for offset in range(min(tied, MAP_AT - place)):
            before = above + (offset * (right - 1) / (tied - 1) if tied > 1 else 0.0)
            total += right / tied * (before + 1) / (place + offset + 1)
        place, above = place + tied, above + right
    return total / min(int(correct.sum()), MAP_AT)


def _expected_hit(places: int, tied: int, relevant: int) -> float:
    """Chance that one of `relevant` among `tied` equal candidates takes one of the first `places` places."""
    if places <= 0:
        return 0.0
    return 1.0 if places >= tied else 1.0 - math.comb(tied - relevant, places) / math.comb(tied, places)
