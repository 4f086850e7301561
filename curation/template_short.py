"""The terse style, like tags or a headline, and phrases about one sound."""

import random
from collections.abc import Sequence

from curation.clauses import counted, how_often, listed
from curation.grammar import bare
from curation.scene import Mention, Scene, inside, moments, together
from curation.wording import wording

_BACKGROUND_TOLD = 0.7  # the share of terse captions with a background that tell of it
_TIMES_TOLD = 0.4  # how likely a tag tells how often
_LONGEST = 9  # words of a label in a phrase: with the words around them 13 at most
_TWO_IN_ORDER = ("{a}, then {b}", "{a} and then {b}", "{a} followed by {b}", "{a} before {b}")
_TWO_TOGETHER = ("{a} with {b}", "{a} and {b}", "{a} together with {b}")
_ONE_INSIDE = ("{a} with {b}", "{a} and {b}", "{a} during {b}", "{a} over {b}", "{a} amid {b}")  # a is heard during b
_TWO = ("{a}, {b}", "{a} and {b}")
_BEHIND = ("{s}, {bg}", "{s} over {bg}", "{s} with {bg}", "{s} amid {bg}", "{bg} and {s}", "{bg}, {s}")


def terse(scene: Scene, rng: random.Random) -> str:
    """A few words without a capital; there must be a mention."""
    tag = rng.choice((_doing, _headline, _name))
    mentions = list(scene.mentions)
    if tag is not _headline and len(mentions) == 2 and rng.random() < 0.7:
        text = _two(mentions[0], mentions[1], [tag(one, rng) for one in mentions], rng)
    elif len(moments(mentions)) == len(mentions) > 1 and rng.random() < 0.5:
        text = rng.choice((", then ", ", ")).join(tag(one, rng) for one in mentions)
    else:
        rng.shuffle(mentions)
        tags = [tag(one, rng) for one in mentions]
        text = ", ".join(tags) if rng.random() < 0.6 else listed(tags)
    if scene.background is None or rng.random() >= _BACKGROUND_TOLD:
        return text
    return _with_background(text, scene, rng)


def phrase(label: str, mention: Mention | None, rng: random.Random) -> str:
    """A phrase about a sound; one that may go unnoticed, without a mention, is only named."""
    word = wording(label)
    if len(word.words.split()) > _LONGEST:
        return f"the sound of {' '.join(word.words.split()[:_LONGEST])}"
    texts = [word.sound_of, word.doing, word.noun]
    if mention is not None:
        often = how_often(mention, rng)
        if mention.loudness:
            texts += [word.called(mention.loudness)] * 3
        if often and word.verb:
            texts = [f"{word.doing}{often}"]
        elif often:
            texts = [f"{word.noun} heard{often}"]
        if often and not word.lasting and word.noun != word.doing:
            texts.append(f"repeated {word.many}" if word.many else f"{word.noun} more than once")
        if mention.count > 1 and word.many:
            texts.append(f"{counted(mention, rng)} {word.many}")
    return rng.choice([text for text in texts if 2 <= len(text.split()) <= 13])


def _two(first: Mention, other: Mention, tags: Sequence[str], rng: random.Random) -> str:
    """Two sounds and how they lie in time."""
    a, b = tags
    forms: Sequence[str] = _TWO
    if inside(other, first):
        a, b = b, a
    if inside(first, other) or inside(other, first):
        forms = _ONE_INSIDE
    elif together(first, other):
        forms = _TWO_TOGETHER
    elif first.last_onset < other.onset:
        forms = _TWO_IN_ORDER[:3] if first.offset > other.onset else _TWO_IN_ORDER
    return rng.choice(forms).format(a=a, b=b)


def _with_background(text: str, scene: Scene, rng: random.Random) -> str:
    word = scene.background
    assert word is not None
    if word.place:
        return f"{text} {word.place}"
    behind = rng.choice((word.bare, bare(word.doing)))
    forms: Sequence[str] = _BEHIND[:1] + _BEHIND[-1:] if ", " in text else _BEHIND  # "a, b over c" would be b over c
    return rng.choice(forms).format(s=text, bg=behind)


def _doing(mention: Mention, rng: random.Random) -> str:
    """As in "dog barking twice"."""
    return f"{_levelled(mention, bare(mention.word.doing), rng)}{_sometimes(mention, rng)}"


def _name(mention: Mention, rng: random.Random) -> str:
    """As in "dog", "three gunshots"."""
    if mention.count > 1 and mention.word.many:
        return f"{counted(mention, rng)} {mention.word.many}"
    return _levelled(mention, mention.word.bare, rng)


def _headline(mention: Mention, rng: random.Random) -> str:
    """As in "dog barks twice"."""
    return f"{bare(mention.word.acts)}{_sometimes(mention, rng)}" if mention.word.verb else _name(mention, rng)


def _levelled(mention: Mention, text: str, rng: random.Random) -> str:
    word = mention.word
    named = text == word.bare and not (word.verb and word.noun == word.doing)  # "faint dog barking" is no faint dog
    return f"{mention.loudness} {text}" if named and mention.loudness and rng.random() < 0.4 else text


def _sometimes(mention: Mention, rng: random.Random) -> str:
    return how_often(mention, rng) if rng.random() < _TIMES_TOLD else ""
