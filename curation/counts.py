"""Does a text say how often a sound is heard, and is that so?"""

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from curation.heard import Sound
from curation.mentions import Mention, Mentions
from curation.stems import words_of
from curation.vocabulary import vocabulary

_NUMBERS = {
    word: number
    for number, name in enumerate(
        ["one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten"], start=1
    )
    for word in (name, str(number))
} | {"single": 1, "lone": 1, "sole": 1, "double": 2, "triple": 3, "couple": 2}
_ADVERBS = {"once": 1, "twice": 2, "thrice": 3}
_TIMES = frozenset(
    {"times", "time", "occasions", "occasion", "moments", "bouts", "bursts", "burst", "bout", "instances"}
)
_UNITS = frozenset({"second", "seconds", "minute", "minutes", "more", "another", "after", "by", "side", "or", "last"})
_SOMEONE = frozenset({("can", "hear"), ("could", "hear"), ("may", "hear"), ("might", "hear"), ("would", "hear")})
_ONLY = frozenset({"only", "just", "exactly", "single", "sole", "lone"})
_MANY = frozenset({"repeatedly", "several", "numerous", "multiple", "frequently"})
_MANY_PAIRS = frozenset({("again", "and"), ("over", "and"), ("many", "times"), ("series", "of"), ("time", "after")})
_TELL_COUNT = _MANY | {first for first, _ in _MANY_PAIRS} | _ADVERBS.keys() | _NUMBERS.keys()
_NOT_ADVERB = words_of("the it they a an all this that more again her his their")
_REACH = 4  # words from a number to what it counts
_ANY = 10**6
_SHORT = 1.0  # seconds; in a longer stretch a sound may well be heard several times
_PLAINLY_MANY = 4  # bursts in one event that nobody would call one


@dataclass(frozen=True, slots=True)
class _Count:
    """What a text says of a sound: at least `fewest`, at most `most` times."""

    mention: Mention
    fewest: int
    most: int
    words: str  # the same, for the model
    emphatic: bool = False  # "only once"
    vague: bool = False  # "several"


def wrong_counts(said: Mentions, sounds: Mapping[str, Sound]) -> list[str]:
    """A sentence for each count that the sounds contradict; doubt is no contradiction.

    Args:
        said: what the text mentions.
        sounds: by cluster; the background is none of them.
    """
    often = Counter(cluster for mention in said.found for cluster in mention.clusters)
    problems = []
    for count in _counts(said):
        (cluster,) = count.mention.clusters if len(count.mention.clusters) == 1 else ("",)
        sound = sounds.get(cluster)
        if sound is None:
            continue
        low = max(1, len(sound.spans) - sound.doubtful)
        high = len(sound.bursts) + sound.doubtful
        longest = max((off - on for on, off in sound.bursts), default=_SHORT)
        if count.vague:
            wrong = high < 2 and longest < _SHORT
        elif count.emphatic and count.most == 1 and often[cluster] == 1:
            wrong = low > 1 or len(sound.bursts) >= _PLAINLY_MANY
        else:
            wrong = count.fewest > high or (count.most < low and often[cluster] == 1)
        if wrong:
            heard = _often(low) if low == high else f"{low} to {high} times"
            problems.append(f"it says that {count.mention.text!r} is heard {count.words}, but it is heard {heard}")
    return problems


def _often(number: int) -> str:
    return {1: "once", 2: "twice"}.get(number, f"{number} times")


def _counts(said: Mentions) -> Iterator[_Count]:
    row, used = said.row, set[int]()
    for at, word in enumerate(row):
        if word.text not in _TELL_COUNT or at in used:
            continue
        following = row[at + 1].text if at + 1 < len(row) else ""
        before = row[at - 1].text if at else ""
        if word.text in _MANY or (word.text, following) in _MANY_PAIRS:
            if (mention := _nearest(said, at)) is not None:
                yield _Count(mention, 2, _ANY, "again and again", vague=True)
            continue
        number = _ADVERBS.get(word.text)
        if number is not None:
            if number == 1 and ((following in _NOT_ADVERB and before not in _ONLY | {"than", "and"}) or before == "at"):
                continue
            mention = _nearest(said, at)
        elif word.text in _NUMBERS:
            number = _NUMBERS[word.text]
            later = [token.text for token in row[at + 1 : at + 3]]
            used.update(range(at + 1, at + 2) if following in _NUMBERS else ())
            if following == "of" and word.text not in ("single", "couple"):
                continue
            if _UNITS & set(later[:1]) or (word.text == "one" and (before in ("a", "the") or tuple(later) in _SOMEONE)):
                continue
            mention = _nearest(said, at) if _TIMES & set(later) and "of" not in later else _counted(said, at, number)
        else:
            continue
        if mention is not None:
            yield _count(said, at, mention, number)


def _count(said: Mentions, at: int, mention: Mention, number: int) -> _Count:
    """With what stands before a number: "more than", "at least", "exactly"."""
    before = [token.text for token in said.row[max(0, at - 3) : at]]
    words = said.row[at].text
    if before[-2:] in (["at", "least"], ["fewer", "than"], ["less", "than"]) and before[:1] != ["not"]:
        return _Count(mention, number, _ANY, f"at least {_often(number)}")
    if before[-2:] == ["more", "than"]:
        return _Count(mention, number + 1, _ANY, f"more than {_often(number)}")
    emphatic = words in _ONLY or bool(_ONLY & set(before)) or bool(_ONLY & {t.text for t in said.row[at : at + 2]})
    return _Count(mention, number, number, _often(number), emphatic=emphatic)


def _nearest(said: Mentions, at: int) -> Mention | None:
    """What an adverb is about: the last mention before it in its part of the text, the next, or the last of all."""
    part = said.chunk[at]
    here = [mention for mention in said.found if said.chunk[mention.first] == part]
    before = [mention for mention in here if mention.first < at]
    earlier = [mention for mention in said.found if mention.first < at]
    return next(iter(before[-1:] or here[:1] or earlier[-1:]), None)


def _counted(said: Mentions, at: int, number: int) -> Mention | None:
    """What a number before a noun counts; None if that is what makes the sound, or no sound."""
    part = said.chunk[at]
    for mention in said.found:
        if not (at < mention.last and said.chunk[mention.first] == part and mention.first <= at + _REACH):
            continue
        if _TIMES & {token.text for token in said.row[at + 1 : mention.first]}:
            return mention  # "two bursts of chatter"
        inside = range(max(at + 1, mention.first), mention.last + 1)
        if number > 1:
            plural = next((here for here in range(at + 1, mention.last + 1) if said.row[here].plural), -1)
            return mention if plural in inside and not _is_source(said, plural) else None
        return None if _is_source(said, inside[0]) else mention
    return None


def _is_source(said: Mentions, at: int) -> bool:
    """Whether a word names what makes a sound, and not the sound: nobody can hear how many dogs bark."""
    found = vocabulary().match(said.row, at)
    return found is not None and bool(found[1].named & vocabulary().sources)
