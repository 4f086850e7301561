"""Recall at k of text to audio and audio to text retrieval."""

import dataclasses
import math
import unicodedata
from collections.abc import Sequence

import numpy as np
from jaxtyping import Bool, Float, Int

RECALL_AT = (1, 5, 10)
_BLOCK = 1024  # queries whose similarities are held at once
_DECIMALS = 6  # cosines equal to float32's precision are ties: the same text must not beat itself by rounding


@dataclasses.dataclass(frozen=True, kw_only=True)
class Retrieval:
    """Share of queries with a correct answer among the first k, for each k."""

    text_to_audio: dict[int, float]
    audio_to_text: dict[int, float]
    num_captions: int
    num_clips: int


def normalised(caption: str) -> str:
    """A caption without the differences that don't make it another: case, spaces, the full stop at its end."""
    return " ".join(unicodedata.normalize("NFKC", caption).casefold().split()).rstrip(" .!")


def retrieval(
    audio: Float[np.ndarray, "clip dim"],
    captions: Float[np.ndarray, "caption dim"],
    *,
    clip_of: Int[np.ndarray, " caption"],
    texts: Sequence[str],
) -> Retrieval:
    """Recall at 1, 5 and 10, for any number of captions a clip.

    Clips that share a caption's text are all correct answers to it, and each text is one candidate however often it
    occurs: nobody could tell such clips apart by it. Among equal similarities every order is as likely as any other,
    and the recall is the expected one: a model that gives one embedding for everything scores chance.

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
        text_to_audio=_recall(captions, audio, answers),
        audio_to_text=_recall(audio[captioned], candidates, relevant[captioned]),
        num_captions=len(texts),
        num_clips=len(captioned),
    )


def _recall(
    queries: Float[np.ndarray, "query dim"],
    candidates: Float[np.ndarray, "candidate dim"],
    relevant: Bool[np.ndarray, "query candidate"],
) -> dict[int, float]:
    """Mean over queries of the chance that a relevant candidate is among the first k."""
    found = dict.fromkeys(RECALL_AT, 0.0)
    for start in range(0, len(queries), _BLOCK):
        block, correct = queries[start : start + _BLOCK], relevant[start : start + _BLOCK]
        similarity = np.round(block.astype(np.float64) @ candidates.T.astype(np.float64), _DECIMALS)
        best = np.where(correct, similarity, -np.inf).max(axis=1, keepdims=True)
        above = (similarity > best).sum(axis=1)
        tied = (similarity == best).sum(axis=1)
        tied_relevant = ((similarity == best) & correct).sum(axis=1)
        for k in RECALL_AT:
            found[k] += sum(map(_expected_hit, (k - above).tolist(), tied.tolist(), tied_relevant.tolist()))
    return {k: total / len(queries) for k, total in found.items()}


def _expected_hit(places: int, tied: int, relevant: int) -> float:
    """Chance that one of `relevant` among `tied` equal candidates takes one of the first `places` places."""
    if places <= 0:
        return 0.0
    return 1.0 if places >= tied else 1.0 - math.comb(tied - relevant, places) / math.comb(tied, places)
