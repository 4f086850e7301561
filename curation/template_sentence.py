"""The sentence style: what happens, in order, together or by turns, over what."""

import itertools
import random
from collections.abc import Sequence

from curation import template_forms as form
from curation.clauses import Noun, clause, listed, named, noun, sounding
from curation.scene import Mention, Scene, by_turns, coincide, inside, moments, shared, together
from curation.wording import Wording

_BACKGROUND_TOLD = 0.8  # the share of sentences with a background that tell of it
_SOON = 1.0  # seconds of silence at most
_PAUSE = 2.0  # seconds of silence at least
_OVER = 0.1  # seconds that "before" and "after" may overlap


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
        return rng.choice(form.ALONE).format(c=clauses[0], n=thing.text, be=thing.be)
    nouns = [_moment_noun(moment, rng) for moment in told]
    forms = form.SEVERAL if len(told) > 2 else _two_forms(told[0], told[1])
    if len(told) > 2 and all(_silence(*two) >= -_OVER for two in itertools.pairwise(told)):
        forms += form.SEVERAL_APART
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


def _silence(before: Sequence[Mention], after: Sequence[Mention]) -> float:
    """Seconds in between; negative for those in which both are heard."""
    return min(one.onset for one in after) - max(one.offset for one in before)


def _two_forms(before: Sequence[Mention], after: Sequence[Mention]) -> tuple[str, ...]:
    silence = _silence(before, after)
    forms: tuple[str, ...] = form.THEN
    if silence >= -_OVER:
        forms += form.OVER_BEFORE
    # of two that come together either may be named first
    if silence >= -_OVER and max(one.onset for one in after) - max(one.offset for one in before) <= _SOON:
        forms += form.AT_ONCE_AFTER
    if silence >= _PAUSE:
        forms += form.AFTER_A_PAUSE
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
        forms = form.WHILE
        if coincide(first, other):
            forms += form.COINCIDE
        swapped = inside(other, first)
        if swapped or inside(first, other):
            forms += form.INSIDE
        elif first.least == other.least == 1 and first.onset < other.onset:
            forms += form.JOINED
    elif shared(first, other) == 0 and by_turns(first, other):
        forms = form.IN_BETWEEN if other.least == 1 else form.BY_TURNS
    else:
        forms = form.BOTH
    one, two = (other, first) if swapped else (first, other)
    if forms is form.BY_TURNS:
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
    forms: tuple[str, ...] = form.PLACED if word.place else form.BEHIND
    introduced = story.startswith(form.INTRODUCED) or " as " in story or " while " in story
    if not word.place and not introduced:  # one introduction is enough
        forms += form.BEFORE
    behind = named(word, rng)
    return rng.choice(forms).format(
        s=story, of=word.sound_of, bg=behind.text, be=behind.be, bare=word.bare, heard=word.heard, acts=word.acts,
        acting=word.is_acting, place=word.place,
    )  # fmt: skip
