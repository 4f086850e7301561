"""Where a text mentions which sounds of a soundscape, and what it mentions that is not there."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from curation.groups import Group, chunks, groups
from curation.known import Known
from curation.stems import Token
from curation.vocabulary import Meaning, vocabulary

_VERB_REACH = 2  # words from a noun to its verb, "is screeching"


@dataclass(frozen=True, slots=True)
class Mention:
    """Words about one sound, or about one of several that they fit alike.

    Args:
        first, last: positions of its words, in tokens.
        clusters: which sounds; empty for what is not there.
        text: its words.
    """

    first: int
    last: int
    clusters: frozenset[str]
    text: str


@dataclass(frozen=True, slots=True)
class Mentions:
    """What a text says.

    Args:
        row: its words and marks.
        chunk: for each the number of the part of the text that it stands in.
        found: mentions of sounds of the soundscape, in order; none that say that they are not heard.
        invented: mentions of what is not there, those that say so among them: nobody tells what a clip lacks.
    """

    row: Sequence[Token]
    chunk: Sequence[int]
    found: Sequence[Mention]
    invented: Sequence[Mention]


def mentions(row: Sequence[Token], present: Sequence[tuple[str, Known]]) -> Mentions:
    """Find what a text mentions.

    Args:
        row: the text.
        present: every cluster that can be heard, and how it is recognised.
    """
    all_groups = groups(row, [(known.terms, known.near) for _, known in present])
    claiming = {group.chunk for group in all_groups if _claims(group)}
    everything = 0
    for _, known in present:
        everything |= known.sounds
    words = frozenset().union(*(known.words for _, known in present))
    opaque = any(not known.sounds for _, known in present)
    found: list[Mention] = []
    invented: list[Mention] = []
    doer: Group | None = None  # the last group that is about a sound of the soundscape
    for group in all_groups:
        if not _claims(group) and len(group.words) == 1 and group.chunk in claiming:
            continue  # a stray "runs" or "water" beside what is really told of
        clusters = _clusters(group, present)
        mention = _mention(row, group, clusters)
        if clusters:
            if not group.denied:
                found.append(mention)
                doer = group
        elif (
            _claims(group)
            and not group.meaning.near & everything
            and not _is_said(row, group, words)
            and not (opaque and _is_general(group.meaning))
            and not _is_done_by(row, group, doer)
        ):
            invented.append(mention)
    return Mentions(row, chunks(row), found, invented)


def _claims(group: Group) -> bool:
    return any(word.owners or word.meaning.claimed for word in group.words)


def _clusters(group: Group, present: Sequence[tuple[str, Known]]) -> frozenset[str]:
    """Those that a group is about; the surest reading that fits any of them counts."""
    owners = frozenset().union(*(word.owners for word in group.words))
    if owners:
        return frozenset(present[number][0] for number in owners)
    meaning, vocabulary_ = group.meaning, vocabulary()
    readings = [meaning.claimed, meaning.general, vocabulary_.whole(meaning.claimed), meaning.hinted]
    for word in group.words:
        readings += [word.meaning.named]
    for reading in readings:
        if reading:
            clusters = frozenset(name for name, known in present if known.sounds & reading)
            if clusters:
                return clusters
    return frozenset()


def _is_done_by(row: Sequence[Token], group: Group, doer: Group | None) -> bool:
    """Whether it is but a verb after what is there: "the train screeches", "... rattles and screeches"."""
    if doer is None or group.meaning.named:
        return False
    if group.chunk == doer.chunk:
        return group.first - doer.last <= _VERB_REACH
    second = row[group.first - 1].text in ("and", "then") and row[group.first].text.endswith("s")
    return second and group.first - doer.last == _VERB_REACH


def _is_said(row: Sequence[Token], group: Group, words: frozenset[str]) -> bool:
    """Whether labels say the same words."""
    return all(row[at].stem in words for word in group.words for at in range(word.first, word.last + 1))


def _is_general(meaning: Meaning) -> bool:
    """Whether it is about a kind of sounds: one of which nobody knows the words may be of that kind."""
    return meaning.general.bit_count() > 1 + meaning.claimed.bit_count() or not meaning.named


def _mention(row: Sequence[Token], group: Group, clusters: Iterable[str]) -> Mention:
    return Mention(
        first=group.first,
        last=group.last,
        clusters=frozenset(clusters),
        text=" ".join(token.text for token in row[group.first : group.last + 1]),
    )
