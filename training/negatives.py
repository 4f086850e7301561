"""Which phrases are asked in a step, and how much those count in a clip that do not sound there."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from jaxtyping import Bool, Float

from training.phrase_book import PhraseBook

NegativeKind = Literal["cluster", "in-batch", "random"]
_KINDS_PER_CLIP = 20


@dataclass(frozen=True, kw_only=True)
class Column:
    """A phrase that is asked of every clip of a step."""

    phrase: str
    cluster: str
    kind: Literal["sounds", "drawn", "random"]  # it sounds in the batch; a cluster drawn beside these; any phrase


@dataclass(frozen=True, kw_only=True)
class Negatives:
    """How many phrases that do not sound count against those that do, and which.

    `cluster` (FineLAP's): any cluster but what may sound in the clip, one wording of each. `in-batch` (FLAM's): what
    sounds in other clips of the batch. `random`: any phrase of the table, whatever it means; for comparison, for such
    a phrase may mean a sound that is there.
    """

    shares: Mapping[NegativeKind, float]  # of the phrases that count
    per_clip: int | None  # FineLAP's N, those that sound included; None: all that are asked
    num_phrases: int  # asked in a step: those that sound in the batch, then others


def asked(sounding: Sequence[str], book: PhraseBook, negatives: Negatives, rng: np.random.Generator) -> list[Column]:
    """What is asked in a step: each cluster that sounds in the batch, and others by the shares of kinds.

    Every cluster is asked by one of its wordings, so that no text stands twice; a random phrase may be another wording.
    """
    columns = [Column(phrase=str(rng.choice(book.phrases[name])), cluster=name, kind="sounds") for name in sounding]
    wanted = max(negatives.num_phrases - len(columns), 0)
    total = sum(negatives.shares.get(kind, 0.0) for kind in ("cluster", "random"))
    if not total:
        return columns
    num_random = round(wanted * negatives.shares.get("random", 0.0) / total)
    others = [name for name in book.clusters if name not in set(sounding)]
    drawn = [others[index] for index in rng.permutation(len(others))[: wanted - num_random]]
    columns += [Column(phrase=str(rng.choice(book.phrases[name])), cluster=name, kind="drawn") for name in drawn]
    if num_random:
        there = {column.phrase for column in columns}
        every = [(text, name) for name in book.clusters for text in book.phrases[name] if text not in there]
        careless = [every[index] for index in rng.permutation(len(every))[:num_random]]
        columns += [Column(phrase=text, cluster=name, kind="random") for text, name in careless]
    return columns


def phrase_weights(
    sounds: Bool[np.ndarray, "clip phrase"],
    absent: Bool[np.ndarray, "clip phrase"],
    columns: Sequence[Column],
    negatives: Negatives,
) -> Float[np.ndarray, "clip phrase"]:
    """1 for what sounds in a clip; what is known to be absent weighs together as the N - P phrases that FineLAP draws.

    That is the loss of drawing them in expectation, without the noise of drawing. A kind of negatives weighs its share
    of it, spread over all of that kind whose absence is known; none weighs more than what sounds.
    """
    kinds = np.array([column.kind for column in columns], dtype=object)
    eligible = {"cluster": kinds != "random", "in-batch": kinds == "sounds", "random": kinds == "random"}
    weights = sounds.astype(np.float32)
    total = sum(negatives.shares.values())
    for kind, share in negatives.shares.items():
        weights += _spread(absent & eligible[kind], sounds, negatives.per_clip, share / total)
    return weights


def kind_weights(
    sounds: Bool[np.ndarray, "clip kind"], absent: Bool[np.ndarray, "clip kind"]
) -> Float[np.ndarray, "clip kind"]:
    """The same for kinds of sound, which are always all asked."""
    weights: Float[np.ndarray, "clip kind"] = sounds.astype(np.float32)
    weights += _spread(absent, sounds, _KINDS_PER_CLIP, 1.0)
    return weights


def _spread(
    cells: Bool[np.ndarray, "clip phrase"], sounds: Bool[np.ndarray, "clip phrase"], per_clip: int | None, share: float
) -> Float[np.ndarray, "clip phrase"]:
    if per_clip is None:
        return cells * np.float32(share)
    number = np.maximum(per_clip - sounds.sum(1), 1) * share
    each = np.minimum(number / np.maximum(cells.sum(1), 1), 1.0)
    found: Float[np.ndarray, "clip phrase"] = (cells * each[:, None]).astype(np.float32)
    return found
