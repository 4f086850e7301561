"""One sound -> a clause or a noun phrase, with how often and how loud it is."""

import random
from collections.abc import Sequence
from typing import NamedTuple

from curation.scene import Mention
from curation.wording import Wording

NUMBERS = ("no", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten")
_ADVERBS = {"loud": ("loudly",), "faint": ("faintly", "softly", "quietly")}
ADJECTIVES = {"loud": ("loud",), "faint": ("faint", "soft", "quiet")}


class Noun(NamedTuple):
    """A noun phrase and its number."""

    text: str
    plural: bool

    @property
    def be(self) -> str:
        """The verb that it takes."""
        return "are" if self.plural else "is"

    def verb(self, base: str) -> str:
        """The regular verb that it takes: "joins"."""
        return base if self.plural else f"{base}s"


def clause(mention: Mention, rng: random.Random, *, times: str | None = None, loud: float = 0.25) -> str:
    """A finite clause: "a dog barks loudly twice".

    Args:
        mention: the sound.
        rng: draws how it is said.
        times: how often, as it shall be said, with a space before it; None: drawn.
        loud: how likely its loudness is told, if there is anything to tell.
    """
    word = mention.word
    often = how_often(mention, rng) if times is None else times
    level = mention.loudness if rng.random() < loud else ""
    if not word.verb:
        subject, number = word.noun, word.plural
        if level:
            subject = word.called(rng.choice(ADJECTIVES[level]))
        return f"{subject} {_heard(number, rng)}{often}"
    if level:
        return f"{word.acts} {rng.choice(_ADVERBS[level])}{often}"
    drawn = rng.random()
    if drawn < 0.55 or (often and drawn < 0.85):  # nobody "is barking twice"
        return f"{word.acts}{often}"
    if drawn < 0.85:
        return word.is_acting
    return f"{word.noun} {_heard(word.plural, rng)}{often}"


def noun(mention: Mention, rng: random.Random, *, loud: float = 0.2) -> Noun:
    """A noun phrase: "a dog barking twice", "three gunshots", "a faint siren"; parameters as of `clause`."""
    word = mention.word
    level = mention.loudness if rng.random() < loud else ""
    if mention.count > 1 and word.many and rng.random() < 0.6:
        return Noun(f"{counted(mention, rng)} {ADJECTIVES[level][0] + ' ' if level else ''}{word.many}", True)
    often = how_often(mention, rng)
    if level and not often:
        return Noun(word.called(rng.choice(ADJECTIVES[level])), word.plural)
    if word.verb:
        if not often and rng.random() < 0.4:
            return named(word, rng)
        return Noun(f"{word.doing}{often}", word.subject_plural)
    if often:
        return Noun(f"{word.noun} heard{often}", word.plural)
    return named(word, rng)


def named(word: Wording, rng: random.Random) -> Noun:
    """Just the sound: "a siren", "the sound of a siren"."""
    source = bool(word.verb) and word.noun == word.subject  # nobody hears "a dog and then a cat"
    if source or rng.random() < 0.3:
        return Noun(word.sound_of, word.plural and word.sound_of == word.noun)
    return Noun(word.noun, word.plural)


def sounding(word: Wording) -> str:
    """A noun phrase of something that takes time, for "during": "a dog barking", "the sound of a drill"."""
    return word.doing if word.verb else word.sound_of


def counted(mention: Mention, rng: random.Random) -> str:
    """How many: "three", "several"; for sounds that are heard more than once and can be counted."""
    if mention.count >= len(NUMBERS) or (mention.count > 2 and rng.random() < 0.3):
        return "several"
    return NUMBERS[mention.count]


def how_often(mention: Mention, rng: random.Random, *, exact: bool = False) -> str:
    """How often it is heard, with a space before it: " twice", " again and again"; empty for once.

    `exact` is for captions that are about numbers: then a number is told if there is one.
    """
    count = mention.count
    if mention.least < 2:
        return ""
    if mention.word.lasting:
        return rng.choice((" on and off", " off and on", " from time to time"))
    vague = [" more than once", " repeatedly"]
    if mention.least > 2:
        vague = [" repeatedly", " several times", " again and again"]
    if not 2 <= count < len(NUMBERS):
        return rng.choice(vague)
    number = " twice" if count == 2 else f" {NUMBERS[count]} times"
    if exact or count == 2:
        return number
    return number if rng.random() < (0.6 if count < 5 else 0.2) else rng.choice(vague)


def listed(texts: Sequence[str]) -> str:
    """All in a row: "a, b and c"."""
    return texts[0] if len(texts) == 1 else f"{', '.join(texts[:-1])} and {texts[-1]}"


def _heard(plural: bool, rng: random.Random) -> str:
    return rng.choice(("are heard" if plural else "is heard", "can be heard"))
