"""Words of a text that stand together and are about one sound: "a wooden door ... creaks", "the hiss of a snake"."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from curation.stems import Token, words_of
from curation.vocabulary import Meaning, fits, vocabulary

# What stands on two sides of these is seldom about the same sound.
_APART = words_of(
    "and or but while whilst as then before after followed plus amid amidst among amongst during when whenever until"
    " with alongside against accompanied over because so nor besides beside near"
)
_NOT_YET_A_CLAUSE = frozenset({"the", "it", "they", "a", "an", "all", "this", "that", "its", "their"})  # "once the ..."
_NEGATIONS = frozenset({"no", "without", "not", "never", "nobody", "neither", "nor", "none"})
_AFTER_NEGATION = frozenset({"any", "a", "an", "the", "further", "other", "single", "one", "more", "sound", "of"})


@dataclass(frozen=True, slots=True)
class Word:
    """A term of the vocabulary or of a cluster, in a text.

    Args:
        first, last: positions of its words, in tokens.
        meaning: what it means.
        owners: numbers of the clusters whose own words it is; empty for the vocabulary's.
    """

    first: int
    last: int
    meaning: Meaning
    owners: frozenset[int]


@dataclass(slots=True)
class Group:
    """Words that are about one sound, and what they are about when taken together."""

    words: list[Word]
    meaning: Meaning
    chunk: int  # number of the part of the text that they stand in

    @property
    def first(self) -> int:
        """Position of its first word, in tokens."""
        return self.words[0].first

    @property
    def last(self) -> int:
        """Position of its last word."""
        return self.words[-1].last


PIECES = ""  # key of the terms that may be found inside a word
OwnTerms = Mapping[str, Sequence[tuple[tuple[str, ...], int, Meaning]]]  # by first stem; longest first


def groups(row: Sequence[Token], own: OwnTerms, *, together: bool = False) -> list[Group]:
    """The groups of a text in order; what is said not to be there is left out.

    Args:
        row: the text.
        own: terms of the clusters with their numbers and what else fits them.
        together: the text is a label, all of whose words may be about one sound.
    """
    found: list[Group] = []
    chunk = [0] * len(row) if together else chunks(row)
    for word in _words(row, own):
        part = chunk[word.first]
        if _is_negated(row, word.first, chunk):
            continue
        last = found[-1] if found and found[-1].chunk == part else None
        joined = last.meaning.with_(word.meaning) if last is not None else None
        if last is not None and joined is not None:
            last.words.append(word)
            last.meaning = joined
        else:
            found.append(Group([word], word.meaning, part))
    return found


def chunks(row: Sequence[Token]) -> list[int]:
    """For each word the number of the part of the text that it stands in; marks and conjunctions begin a new one."""
    numbers, number = [], 0
    for at, word in enumerate(row):
        if not word.stem or word.text in _APART or (word.text == "once" and _text(row, at + 1) in _NOT_YET_A_CLAUSE):
            number += 1
        numbers.append(number)
    return numbers


def _text(row: Sequence[Token], at: int) -> str:
    return row[at].text if 0 <= at < len(row) else ""


def _words(row: Sequence[Token], own: OwnTerms) -> Iterator[Word]:
    """The terms of a text from left to right, each as long as can be; a cluster's own win over the vocabulary's."""
    vocabulary_ = vocabulary()
    at = 0
    while at < len(row):
        if not row[at].stem:
            at += 1
            continue
        length, meaning = vocabulary_.match(row, at) or (0, Meaning())
        owners: set[int] = set()
        near = 0
        for term, number, fitting in own.get(row[at].stem, ()):
            if len(term) < length:
                break
            if fits(term, row, at):
                if len(term) > length:
                    length, meaning = len(term), Meaning()
                owners.add(number)
                near |= fitting.near
        if not row[at].text.isascii():
            for (piece, *_), number, fitting in own.get(PIECES, ()):
                if piece in row[at].text:
                    length = max(length, 1)
                    owners.add(number)
                    near |= fitting.near
        if owners:
            meaning = Meaning(
                named=meaning.named,
                claimed=meaning.claimed,
                general=meaning.general,
                hinted=meaning.hinted,
                near=near,
            )
        if meaning.near:
            yield Word(at, at + length - 1, meaning, frozenset(owners))
        at += max(length, 1)


def _is_negated(row: Sequence[Token], at: int, chunk: Sequence[int]) -> bool:
    before = at - 1
    while before >= 0 and chunk[before] == chunk[at] and row[before].text in _AFTER_NEGATION:
        before -= 1
    return before >= 0 and chunk[before] == chunk[at] and row[before].text in _NEGATIONS
