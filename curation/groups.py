"""Words of a text that stand together and are about one sound: "a wooden door ... creaks", "the hiss of a snake"."""

from collections.abc import Iterator, Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass

from curation.stems import Token, words_of
from curation.vocabulary import NO_SOUND, Meaning, fits, vocabulary

# What stands on two sides of these is seldom about the same sound.
_APART = words_of(
    "and or but while whilst as then before after followed plus amid amidst among amongst during when whenever until"
    " with alongside against accompanied over because so nor besides beside near"
)
_NOT_YET_A_CLAUSE = frozenset({"the", "it", "they", "a", "an", "all", "this", "that", "its", "their"})  # "once the ..."
_NEGATIONS = words_of("no without not never nobody neither nor none absence lack lacks lacking devoid instead")
_AFTER_NEGATION = words_of(
    "any a an the further other single one more sound sign signs trace hint of loud distant audible"
)
_DENIALS = words_of("not never cannot")
_BE = words_of("is are was were be been being stay stays stayed remain remains remained")
_AUXILIARIES = _BE | words_of("do does did has have had can could will would may might")
_BESIDE_DENIAL = words_of("be been being ever even actually really at all a an the any")
_HEARD = words_of("hear heard audible present there make sound occur appear")  # "does not make a sound"
_GONE = words_of("absent silent inaudible missing")
_ONLY_THEN = words_of("until till before after again anymore more yet just only unless")  # "does not bark until ..."
_ONCE = words_of("once after when until before as")  # "once the dog is silent": so it was heard


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
    denied: bool  # it is said not to be heard

    @property
    def first(self) -> int:
        """Position of its first word, in tokens."""
        return self.words[0].first

    @property
    def last(self) -> int:
        """Position of its last word."""
        return self.words[-1].last


PIECES = ""  # key of the terms that may be found inside a word
OwnTerms = Mapping[str, Sequence[tuple[str, ...]]]  # of one cluster by first stem, the longest first


def groups(row: Sequence[Token], own: Sequence[tuple[OwnTerms, int]], *, together: bool = False) -> list[Group]:
    """The groups of a text in order, without what "no" stands before.

    Args:
        row: the text.
        own: the terms of each cluster, and the mask of what else fits it.
        together: the text is a label, all of whose words may be about one sound.
    """
    found: list[Group] = []
    chunk = [0] * len(row) if together else chunks(row)
    words = list(_words(row, own))
    denials = _denied_chunks(row, chunk, {word.first for word in words if word.owners or word.meaning.claimed})
    negated = -1  # where the last word that is said not to be heard ends
    for word in words:
        part = chunk[word.first]
        if _is_negated(row, word.first, chunk, negated):
            negated = word.last
            continue
        denied = part in denials
        if negated >= 0 and chunk[negated] == part and _is_all(row[negated + 1 : word.first], _AUXILIARIES | _HEARD):
            denied, negated = True, word.last  # "no dog barks"
        last = found[-1] if found and (found[-1].chunk, found[-1].denied) == (part, denied) else None
        joined = last.meaning.with_(word.meaning) if last is not None else None
        if last is not None and joined is not None:
            last.words.append(word)
            last.meaning = joined
        else:
            found.append(Group([word], word.meaning, part, denied))
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


def _words(row: Sequence[Token], own: Sequence[tuple[OwnTerms, int]]) -> Iterator[Word]:
    """The terms of a text from left to right, each as long as can be; a cluster's own win over the vocabulary's."""
    vocabulary_ = vocabulary()
    at = 0
    while at < len(row):
        if not row[at].stem:
            at += 1
            continue
        length, meaning = vocabulary_.match(row, at) or (0, NO_SOUND)
        longest, owners = _own_term(row, at, own)
        if longest < length:
            owners = []
        elif longest > length:
            length, meaning = longest, NO_SOUND
        if owners:
            near = 0
            for number in owners:
                near |= own[number][1]
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


def _own_term(row: Sequence[Token], at: int, own: Sequence[tuple[OwnTerms, int]]) -> tuple[int, list[int]]:
    """The longest term of any cluster that begins with word `at`: how many words, and the clusters that have it."""
    length, owners = 0, list[int]()
    for number, (terms, _) in enumerate(own):
        for term in terms.get(row[at].stem, ()):
            if len(term) >= length and fits(term, row, at):
                owners = [*owners, number] if len(term) == length else [number]
                length = len(term)
                break
    if not row[at].text.isascii():
        for number, (terms, _) in enumerate(own):
            if any(piece in row[at].text for (piece,) in terms.get(PIECES, ())):
                length, owners = max(length, 1), [*owners, number]
    return length, owners


def _is_negated(row: Sequence[Token], at: int, chunk: Sequence[int], negated: int) -> bool:
    """Whether "no" stands before a word, or "or" between it and one before which it does, which ends at `negated`."""
    before = at - 1
    while before >= 0 and chunk[before] == chunk[at] and row[before].text in _AFTER_NEGATION:
        before -= 1
    if before < 0 or chunk[before] != chunk[at]:
        return False
    return row[before].text in _NEGATIONS or (row[before].text == "or" and 0 <= negated == before - 1)


def _denied_chunks(row: Sequence[Token], chunk: Sequence[int], sounds: AbstractSet[int]) -> set[int]:
    """The parts of a text whose verb is denied: "a dog does not bark", "thunder is absent".

    Args:
        row: the text.
        chunk: for each word the number of its part.
        sounds: where words that are about sounds begin.
    """
    found = set()
    for at, word in enumerate(row):
        before = _text(row, at - 1)
        if word.text in _GONE:
            denied = before in _BE
        elif word.text in _DENIALS or word.text.endswith("n't"):
            verb = next((here for here in range(at + 1, len(row)) if row[here].text not in _BESIDE_DENIAL), at)
            denied = (word.text != "not" or before in _AUXILIARIES) and (verb in sounds or _text(row, verb) in _HEARD)
        else:
            continue
        stop = next((here for here in range(at, len(row)) if not row[here].stem), len(row))
        if (
            denied
            and row[chunk.index(chunk[at])].text not in _ONCE
            and _ONLY_THEN.isdisjoint(token.text for token in row[at:stop])
        ):
            found.add(chunk[at])
    return found


def _is_all(row: Sequence[Token], words: AbstractSet[str]) -> bool:
    return all(token.text in words for token in row)
