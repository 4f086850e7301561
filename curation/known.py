"""By which words and sounds of the vocabulary a cluster is recognised in a text, whatever its labels are."""

import functools
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from curation.groups import PIECES, OwnTerms, groups
from curation.stems import Token, tokens, words_of
from curation.vocabulary import vocabulary
from curation.wording import plain_words, wordings
from manifests.schema import Phrase

_DULL = words_of(
    "a an the of and or in on at to by for with from into near over under off up down out is are be being been was"
    " can could may heard hear sound noise sfx fx audio effect someone somebody something person people man woman male"
    " female human his her their its it that this some one two three left right big small large little loud soft quiet"
    " low high long short new old sample take track recording misc other various unknown close distant far indoor"
    " outdoor inside outside hit open close start stop move go come make get"
)


@dataclass(frozen=True, kw_only=True, slots=True)
class Known:
    """How one cluster is recognised.

    Args:
        sounds: bit mask of the sounds of the vocabulary that its labels are about; 0 if they are about none.
        near: these, their kinds and parts; words beside the cluster's own are about it if they fit. -1 fits all.
        terms: rows of stems that mention it, wherever they stand; words in other scripts, to be found inside a word.
        words: all stems of its labels: what they say is there, as far as anybody knows.
    """

    sounds: int
    near: int
    terms: OwnTerms
    words: frozenset[str]


class Clusters:
    """The clusters of a dataset, as its phrase table and its labels tell of them."""

    def __init__(self, phrases: Iterable[Phrase]) -> None:
        labels: dict[str, dict[str, None]] = {}
        texts: dict[str, dict[str, None]] = {}
        for phrase in phrases:
            labels.setdefault(phrase.cluster, {})[phrase.label] = None
            texts.setdefault(phrase.cluster, {})[phrase.phrase] = None
        self._labels = {cluster: tuple(found) for cluster, found in labels.items()}
        self._texts = {cluster: tuple(found) for cluster, found in texts.items()}

    def known(self, cluster: str, label: str) -> Known:
        """How a cluster is recognised of which a soundscape has this label."""
        labels = self._labels.get(cluster, ())
        return _known((*labels, label) if label not in labels else labels, self._texts.get(cluster, ()))


@functools.lru_cache(maxsize=8192)
def _known(labels: tuple[str, ...], phrases: tuple[str, ...]) -> Known:
    texts = [plain_words(meaning) for label in labels for meaning in (label, *(word.words for word in wordings(label)))]
    rows = [tokens(text) for text in dict.fromkeys(texts)]
    sounds = 0
    for row in rows:
        sounds |= _sounds(row)
    words = frozenset(token.stem for row in rows for token in row)
    terms = {_term(row) for row in [*rows, *map(tokens, phrases)]}
    vocabulary_ = vocabulary()
    terms |= {
        (token.stem,)
        for row in rows
        for token in row
        if not (token.text in _DULL or vocabulary_.knows(token.stem) or token.stem.isdigit())
    }
    pieces = {token.text for row in rows for token in row if not token.text.isascii() and not _is_latin(token.text)}
    return Known(
        sounds=sounds,
        near=vocabulary_.near(sounds) if sounds else -1,
        terms=_by_first(terms, pieces),
        words=words - {""},
    )


def _by_first(terms: Iterable[tuple[str, ...]], pieces: Iterable[str]) -> OwnTerms:
    found: dict[str, list[tuple[str, ...]]] = {}
    for term in sorted(terms, key=len, reverse=True):
        if any(term):
            found.setdefault(term[0], []).append(term)
    if pieces:
        found[PIECES] = [(piece,) for piece in pieces]
    return found


def _term(row: Sequence[Token]) -> tuple[str, ...]:
    """The stems of a phrase from its first telling word on; empty if none tells anything."""
    stems = [token.stem for token in row]
    while stems and (row[len(row) - len(stems)].text in _DULL or not stems[0]):
        stems = stems[1:]
    return tuple(stems)


def _sounds(row: Sequence[Token]) -> int:
    """What a label is about: what its words claim, else what they hint at."""
    found = groups(row, (), together=True)
    claimed = hinted = 0
    for group in found:
        claimed |= group.meaning.claimed
        hinted |= group.meaning.hinted
    return claimed or hinted


def _is_latin(word: str) -> bool:
    return all(ord(char) < 0x250 or 0x1E00 <= ord(char) < 0x1F00 for char in word)
