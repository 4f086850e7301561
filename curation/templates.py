"""A soundscape -> one sentence in plain English, without a language model.

Sounds of one cluster are one mention with a count. Mentions that sound together or take turns make
a moment; moments follow one another. What is said about order, overlap and repetition is true of
the measured activity.
"""

import itertools
import random
from collections.abc import Sequence
from dataclasses import dataclass

from curation.wording import Wording, background_wording, wording
from manifests.frames import merged
from manifests.schema import Event, Soundscape

_TOGETHER = 0.5  # share of the shorter sound that must overlap the other for "while"
_SAME_SOUND_GAP = 0.25  # seconds between two events of a cluster that still count as one


@dataclass(frozen=True, slots=True)
class _Mention:
    """One sound of the sentence."""

    word: Wording
    spans: list[tuple[float, float]]

    @property
    def onset(self) -> float:
        return self.spans[0][0]

    @property
    def last_onset(self) -> float:
        return self.spans[-1][0]

    @property
    def offset(self) -> float:
        return self.spans[-1][1]


def template_caption(soundscape: Soundscape, *, seed: int) -> str:
    """A sentence that depends only on the soundscape's id, labels and times, and on the seed."""
    rng = random.Random(f"{seed}:{soundscape.soundscape_id}")  # a string seeds alike on every machine and in any order
    moments = _moments(_mentions(soundscape.events))
    background = background_wording(soundscape.background)
    if not moments:
        sentence = _only_background(background, soundscape, rng)
    elif background is None or background in [mention.word for moment in moments for mention in moment]:
        sentence = _story(moments, rng)
    else:
        sentence = _with_background(_story(moments, rng), background, rng)
    return sentence[0].upper() + sentence[1:] + "."


def _mentions(events: Sequence[Event]) -> list[_Mention]:
    """What can be heard, by first onset; a cluster's events that touch count once."""
    spans: dict[str, list[tuple[float, float]]] = {}
    labels: dict[str, str] = {}
    for event in sorted(events, key=lambda event: (event.onset, event.label)):
        if event.activity:
            span = (min(s.onset for s in event.activity), max(s.offset for s in event.activity))
            spans.setdefault(event.cluster, []).append(span)
            labels.setdefault(event.cluster, event.label)
    mentions = [_Mention(wording(labels[key]), merged(spans[key], gap=_SAME_SOUND_GAP)) for key in spans]
    return sorted(mentions, key=lambda mention: (mention.onset, mention.word.words))


def _moments(mentions: Sequence[_Mention]) -> list[list[_Mention]]:
    """Runs of mentions between which "then" is true: one has begun for good before the next."""
    moments: list[list[_Mention]] = []
    for mention in mentions:
        if moments and any(_together(one, mention) or one.last_onset > mention.onset for one in moments[-1]):
            moments[-1].append(mention)
        else:
            moments.append([mention])
    return moments


def _together(one: _Mention, other: _Mention) -> bool:
    shared = _shared(one, other)
    shortest = min(sum(end - start for start, end in mention.spans) for mention in (one, other))
    return shared > 0 and shared >= _TOGETHER * shortest


def _shared(one: _Mention, other: _Mention) -> float:
    """Seconds in which both sound."""
    return sum(max(0.0, min(a[1], b[1]) - max(a[0], b[0])) for a in one.spans for b in other.spans)


def _story(moments: Sequence[Sequence[_Mention]], rng: random.Random) -> str:
    clauses = [_moment_clause(moment, rng) for moment in moments]
    nouns = [_moment_noun(moment, rng) for moment in moments]
    if len(moments) == 1:
        return clauses[0]
    if len(moments) == 2:
        return rng.choice(
            (
                f"{clauses[0]}, then {clauses[1]}",
                f"first {clauses[0]}, then {clauses[1]}",
                f"{clauses[0]}, followed by {nouns[1]}",
                f"{clauses[0]}, and after that {clauses[1]}",
                f"{clauses[0]} before {clauses[1]}",
                f"after {nouns[0]}, {clauses[1]}",
            )
        )
    middle = ", then ".join(clauses[1:-1])
    return rng.choice(
        (
            f"first {clauses[0]}, then {middle}, and finally {clauses[-1]}",
            f"{clauses[0]}, then {middle}, and then {clauses[-1]}",
            f"{clauses[0]}, followed by {', then '.join(nouns[1:-1])} and finally {nouns[-1]}",
            f"after {nouns[0]}, {middle}, and at the end {clauses[-1]}",
            f"{clauses[0]}, after that {middle}, and lastly {clauses[-1]}",
        )
    )


def _moment_clause(moment: Sequence[_Mention], rng: random.Random) -> str:
    first, *others = moment
    if not others:
        return _clause(first, rng)
    if all(_together(first, other) for other in others):
        return _while(first, others, rng)
    if len(others) == 1:
        return _taking_turns(first, others[0], rng)
    nouns = _listed([mention.word.noun for mention in moment])
    overlap = any(_shared(one, other) > 0 for one in moment for other in moment if one is not other)
    return f"{nouns} are heard, {'partly at the same time' if overlap else 'in turn'}"


def _while(first: _Mention, others: Sequence[_Mention], rng: random.Random) -> str:
    """All of `others` sound during `first`, or it during them."""
    if len(others) > 1:
        if all(_in_order(before, other) for before, other in itertools.pairwise(others)):
            rest = " and then ".join(_clause(other, rng) for other in others)
        else:
            nouns = _listed([other.word.noun for other in others])
            rest = f"{nouns} {rng.choice(('are', 'can be'))} heard"
        return f"{rest} {rng.choice(('while', 'as'))} {_clause(first, rng)}"
    other = others[0]
    forms = [
        f"{_clause(first, rng)} while {_clause(other, rng)}",
        f"{_clause(other, rng)} while {_clause(first, rng)}",
    ]
    if len(first.spans) == len(other.spans) == 1:
        forms += [
            f"{_clause(first, rng)} at the same time as {_noun(other, rng)}",
            f"{first.word.noun} and {other.word.noun} are heard together",
            f"{first.word.noun} and {other.word.noun} are heard at the same time",
        ]
    return rng.choice(forms)


def _taking_turns(first: _Mention, other: _Mention, rng: random.Random) -> str:
    """`first` is heard again after `other` has begun: no order to tell."""
    if len(other.spans) == 1 and _shared(first, other) == 0:
        return f"{_clause(first, rng)}, with {_noun(other, rng)} in between"
    if len(other.spans) > 1:
        verb = "alternate" if first.word.plural else "alternates"
        return rng.choice(
            (
                f"{first.word.noun} and {other.word.noun} are heard in turn",
                f"{first.word.noun} and {other.word.noun} are heard by turns",
                f"{first.word.noun} {verb} with {other.word.noun}",
            )
        )
    return rng.choice(
        (
            f"{_clause(first, rng)} and {_clause(other, rng)}",
            f"{_clause(other, rng)} as {_clause(first, rng)}",
        )
    )


def _moment_noun(moment: Sequence[_Mention], rng: random.Random) -> str:
    if len(moment) == 1:
        return _noun(moment[0], rng)
    nouns = _listed([mention.word.noun for mention in moment])
    together = all(_together(moment[0], other) for other in moment[1:])
    return f"{nouns} {rng.choice(('together', 'at the same time'))}" if together and len(moment) == 2 else nouns


def _in_order(before: _Mention, after: _Mention) -> bool:
    return before.last_onset <= after.onset and not _together(before, after)


def _listed(nouns: Sequence[str]) -> str:
    return nouns[0] if len(nouns) == 1 else f"{', '.join(nouns[:-1])} and {nouns[-1]}"


def _clause(mention: _Mention, rng: random.Random) -> str:
    """A finite clause: "a dog barks twice"."""
    word, times = mention.word, _times(mention, rng)
    heard = f"{word.heard}{times}"
    audible = f"{word.noun} can be heard{times}"
    if not word.verb or (times and word.lasting):
        return rng.choice((heard, audible))
    now = word.acts if times else word.is_acting  # nobody "is barking twice"
    return rng.choice((f"{word.acts}{times}", f"{word.acts}{times}", f"{now}{times}", audible))


def _noun(mention: _Mention, rng: random.Random) -> str:
    """A noun phrase: "a dog barking twice"."""
    word, times = mention.word, _times(mention, rng)
    if times and (not word.verb or word.lasting):
        return f"{word.noun}{rng.choice((' heard', ''))}{times}"
    return rng.choice((f"{word.doing}{times}", word.sound_of if not times else f"{word.doing}{times}"))


def _times(mention: _Mention, rng: random.Random) -> str:
    count = len(mention.spans)
    if count == 1:
        return ""
    few = {2: (" twice", " two times"), 3: (" three times", " repeatedly")}
    return rng.choice(few.get(count, (" repeatedly", " several times", " again and again")))


def _with_background(story: str, word: Wording, rng: random.Random) -> str:
    forms = [f"{story}, over {word.sound_of}"]
    if not word.place:
        forms += [
            f"{story}, with {word.noun} in the background",
            f"{story}, all against {word.sound_of}",
        ]
    if word.verb:
        forms.append(f"{story}, while {word.is_acting} in the background")
    if not story.startswith("after "):  # one introduction is enough
        forms.append(f"over {word.sound_of}, {story}")
        forms.append(f"{word.place}, {story}" if word.place else f"with {word.noun} in the background, {story}")
    return rng.choice(forms)


def _only_background(word: Wording | None, soundscape: Soundscape, rng: random.Random) -> str:
    if word is None:
        return "no distinct sound can be heard" if soundscape.annotation == "closed" else "unknown sounds are heard"
    if word.place:
        return rng.choice((f"only {word.sound_of} can be heard", f"there is only {word.sound_of}"))
    return rng.choice(
        (
            word.heard,
            f"only {word.noun} can be heard",
            f"{word.heard} throughout",
            f"there is only {word.sound_of}",
            f"{word.sound_of} continues throughout",
        )
    )
