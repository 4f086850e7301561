"""The sentence style: what happens, in order, together or by turns, over what."""

import itertools
import random
from collections.abc import Sequence

from curation.clauses import Noun, clause, listed, named, noun, sounding
from curation.scene import Mention, Scene, by_turns, coincide, inside, moments, shared, together
from curation.wording import Wording

_BACKGROUND_TOLD = 0.8  # the share of sentences with a background that tell of it
_SOON = 1.0  # seconds of silence at most
_PAUSE = 2.0  # seconds of silence at least
_OVER = 0.1  # seconds that "before" and "after" may overlap

_THEN = (
    "{c0}, then {c1}",
    "{c0} and then {c1}",
    "first {c0}, then {c1}",
    "{c0}, followed by {n1}",
    "{n0} {be0} followed by {n1}",
    "{n0} {come0} first, then {n1}",
    "first {come0} {n0}, then {n1}",
    "there {be0} {n0} and then {n1}",
)
_OVER_BEFORE = (
    "{c0} before {c1}",
    "after {n0}, {c1}",
    "{c0}, and after that {c1}",
    "{c1} after {n0}",
    "{n0} {precede0} {n1}",
    "{n1} {follow1} {n0}",
    "following {n0}, {c1}",
    "{c0}, and afterwards {c1}",
)
_AT_ONCE_AFTER = ("{c0}, and soon after that {c1}", "{n0} {give0} way to {n1}", "{c0}, and then straight away {c1}")
_AFTER_A_PAUSE = ("{c0}, and after a pause {c1}", "{c0}, and a while later {c1}", "{c0}, a pause follows, then {c1}")
_SEVERAL = (
    "first {c0}, then {middle}, and finally {c1}",
    "{c0}, then {middle}, and then {c1}",
    "{c0}, followed by {nouns} and finally {n1}",
    "{c0}, after that {middle}, and lastly {c1}",
    "{c0} and then {middle}, followed by {n1}",
    "{n0} {come0} first, then {nouns}, and {n1} {come1} last",
    "{c0}, next {middle}, and at last {c1}",
    "there {be0} {n0}, then {nouns}, then {n1}",
    "{c0}, {middle} after that, and {c1} in the end",
    "first {c0}, next {middle}, then {c1}",
    "it starts with {n0}, then {middle}, and {c1} at last",
    "{c0}, later {middle}, and finally {c1}",
)
_WHILE = (
    "{c0} while {c1}",
    "{c1} while {c0}",
    "{c0} as {c1}",
    "{c1} as {c0}",
    "{c0}, and at the same time {c1}",
    "{c0} and meanwhile {c1}",
    "{c0}, and meanwhile there {be1} {n1}",
    "there {be0} {n0} while {c1}",
    "while {c0}, {c1}",
    "as {c1}, {c0}",
)
_COINCIDE = (
    "{c0} at the same time as {n1}",
    "{n0} and {n1} are heard together",
    "{n0} and {n1} are heard at the same time",
    "{n0} and {n1} sound together",
    "there {be0} {n0} together with {n1}",
    "{c0} along with {n1}",
    "{n0} and {n1} coincide",
)
_INSIDE = (  # 0 is heard during 1
    "during {d1}, {c0}",
    "{c0} during {d1}",
    "{c0} over {d1}",
    "{c1}, with {n0} on top",
    "amid {d1}, {c0}",
    "{n0} can be heard over {d1}",
)
_JOINED = ("{n0} {be0} joined by {n1}", "{n1} {join1} {n0}", "{c0}, and then {c1} at the same time")
_IN_BETWEEN = (
    "{c0}, with {n1} in between",
    "{c0}, and in between {c1}",
    "{c0}, and in between there {be1} {n1}",
    "{c0}, {n1} in between",
    "{c0}, and {n1} {come1} in between",
    "{c0}, and between the times {c1}",
)
_BY_TURNS = (
    "{n0} and {n1} are heard in turn",
    "{n0} and {n1} are heard by turns",
    "{n0} {alternate0} with {n1}",
    "{n0} and {n1} take turns",
    "by turns there {be0} {n0} and {n1}",
    "in turn, {n0} and {n1} are heard",
)
_BOTH = ("{c0} and {c1}", "{c1} as well as {n0}", "{c0}, and {c1} too", "there {be0} both {n0} and {n1}")
_ALONE = ("{c}", "{c}", "{c}", "{c}", "there {be} {n}", "what can be heard {be} {n}")
_PLACED = ("{place}, {s}", "{s} {place}", "{s}, over {of}", "over {of}, {s}")
_BEHIND = (
    "{s}, over {of}",
    "{s}, with {bg} in the background",
    "{s}, all against {of}",
    "{s}, with {bg} behind it all",
    "{s} against a background of {bare}",
    "{s}, and {heard} in the background",
    "{s}, to {of}",
)
_BEFORE = (  # not for stories that have an introduction already
    "over {of}, {s}",
    "with {bg} in the background, {s}",
    "against a background of {bare}, {s}",
    "amid {of}, {s}",
    "{acts} in the background as {s}",
    "{acts}, and over it {s}",
    "there {be} {bg} in the background, and {s}",
    "while {acting} in the background, {s}",
)
_INTRODUCED = (
    "after ",
    "as ",
    "while ",
    "during ",
    "amid ",
    "first ",
    "following ",
    "there ",
    "it starts ",
    "by turns ",
    "in turn",
)


def sentence(scene: Scene, rng: random.Random) -> str:
    """One sentence without its capital and full stop; there must be a mention."""
    story = _story(moments(scene.mentions), rng)
    if scene.background is None or rng.random() >= _BACKGROUND_TOLD:
        return story
    return _with_background(story, scene.background, rng)


def only_background(scene: Scene, rng: random.Random) -> str:
    """The sentence where there is nothing to tell but the background."""
    word = scene.background
    if word is None:
        return "no distinct sound can be heard" if scene.closed else "unknown sounds are heard"
    be = "are" if word.plural else "is"
    forms = ["only {bg} can be heard", "there {be} only {bg}", "nothing but {bg} can be heard", "just {bg} and no more"]
    if not word.place:
        forms += ["{heard}", "{acts}", "{acts} throughout", "{of} continues throughout", "{heard} all the time"]
    return rng.choice(forms).format(be=be, bg=word.noun, of=word.sound_of, heard=word.heard, acts=word.acts)


def _story(told: Sequence[Sequence[Mention]], rng: random.Random) -> str:
    clauses = [_moment_clause(moment, rng) for moment in told]
    if len(told) == 1:
        only = told[0]
        if len(only) > 1 or len(clauses) > 1:
            return clauses[0]
        thing = noun(only[0], rng)
        return rng.choice(_ALONE).format(c=clauses[0], n=thing.text, be=thing.be)
    nouns = [_moment_noun(moment, rng) for moment in told]
    forms = _SEVERAL if len(told) > 2 else _two_forms(told[0], told[1])
    return rng.choice(forms).format(
        middle=", then ".join(clauses[1:-1]),
        nouns=", then ".join(each.text for each in nouns[1:-1]),
        **_filled(clauses[0], nouns[0], clauses[-1], nouns[-1]),
    )


def _filled(clause0: str, noun0: Noun, clause1: str, noun1: Noun) -> dict[str, str]:
    """What the forms of two things name."""
    filled = {"c0": clause0, "n0": noun0.text, "be0": noun0.be, "c1": clause1, "n1": noun1.text, "be1": noun1.be}
    for verb in ("come", "precede", "give", "alternate"):
        filled[f"{verb}0"] = noun0.verb(verb)
    for verb in ("come", "follow", "join"):
        filled[f"{verb}1"] = noun1.verb(verb)
    return filled


def _two_forms(before: Sequence[Mention], after: Sequence[Mention]) -> Sequence[str]:
    silence = min(one.onset for one in after) - max(one.offset for one in before)
    forms: tuple[str, ...] = _THEN
    if silence >= -_OVER:
        forms += _OVER_BEFORE
    if -_OVER <= silence <= _SOON:
        forms += _AT_ONCE_AFTER
    if silence >= _PAUSE:
        forms += _AFTER_A_PAUSE
    return forms


def _moment_clause(moment: Sequence[Mention], rng: random.Random) -> str:
    if len(moment) == 1:
        return clause(moment[0], rng)
    if len(moment) == 2:
        return _pair(moment[0], moment[1], rng)
    for host in sorted(moment, key=lambda one: one.onset - one.offset):  # the longest first
        others = [one for one in moment if one is not host]
        if all(together(host, other) for other in others):
            return f"{_in_order_or_listed(others, rng)} {rng.choice(('while', 'as'))} {clause(host, rng)}"
    nouns = listed([one.word.noun for one in moment])
    overlap = any(shared(one, other) > 0 for one, other in itertools.combinations(moment, 2))
    return f"{nouns} are heard, {'partly at the same time' if overlap else 'one at a time'}"


def _in_order_or_listed(mentions: Sequence[Mention], rng: random.Random) -> str:
    if len(moments(mentions)) == len(mentions):
        return " and then ".join(clause(one, rng) for one in mentions)
    return f"{listed([one.word.noun for one in mentions])} {rng.choice(('are', 'can be'))} heard"


def _pair(first: Mention, other: Mention, rng: random.Random) -> str:
    """Two sounds that overlap, or of which the first is heard again after the other has begun."""
    forms: tuple[str, ...]
    swapped = False
    if together(first, other):
        forms = _WHILE
        if coincide(first, other):
            forms += _COINCIDE
        swapped = inside(other, first)
        if swapped or inside(first, other):
            forms += _INSIDE
        elif first.least == other.least == 1 and first.onset < other.onset:
            forms += _JOINED
    elif shared(first, other) == 0 and by_turns(first, other):
        forms = _IN_BETWEEN if other.least == 1 else _BY_TURNS
    else:
        forms = _BOTH
    one, two = (other, first) if swapped else (first, other)
    if forms is _BY_TURNS:
        nouns = Noun(one.word.noun, one.word.plural), Noun(two.word.noun, two.word.plural)
    else:
        nouns = noun(one, rng), noun(two, rng)
    filled = _filled(clause(one, rng), nouns[0], clause(two, rng), nouns[1])
    return rng.choice(forms).format(d1=sounding(two.word), **filled)


def _moment_noun(moment: Sequence[Mention], rng: random.Random) -> Noun:
    if len(moment) == 1:
        return noun(moment[0], rng)
    nouns = listed([noun(one, rng).text if len(moment) == 2 else one.word.noun for one in moment])
    if len(moment) == 2 and coincide(*moment):
        return Noun(f"{nouns} {rng.choice(('together', 'at the same time'))}", True)
    return Noun(nouns, True)


def _with_background(story: str, word: Wording, rng: random.Random) -> str:
    forms: tuple[str, ...] = _PLACED if word.place else _BEHIND
    introduced = story.startswith(_INTRODUCED) or " as " in story or " while " in story
    if not word.place and not introduced:  # one introduction is enough
        forms += _BEFORE
    behind = named(word, rng)
    return rng.choice(forms).format(
        s=story, of=word.sound_of, bg=behind.text, be=behind.be, bare=word.bare, heard=word.heard, acts=word.acts,
        acting=word.is_acting, place=word.place,
    )  # fmt: skip
