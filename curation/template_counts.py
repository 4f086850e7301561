"""The counts style: how many times each sound is heard, and how loud."""

import itertools
import random
from collections.abc import Sequence

from curation.clauses import ADJECTIVES, NUMBERS, Noun, clause, how_often, listed
from curation.grammar import bare
from curation.scene import Mention, Scene, length, louder, throughout

_BACKGROUND_TOLD = 0.7  # the share of captions with a background that tell of it
_AS_NOUNS = 0.3  # the share of captions that list things, "two knocks and a siren", rather than what happens
_LOUDNESS_TOLD = 0.8  # how likely loudness is told where there is any to tell
_ONCE = 3.0  # seconds; a longer sound is no single happening that one counts
_STEADY = 2.0  # seconds; a shorter sound is over before one thinks of it as going on
_BEHIND = ("{s}, over {of}", "{s}, with {bg} in the background", "{s}, against {of}", "over {of}, {s}")


def counts(scene: Scene, rng: random.Random) -> str:
    """One sentence without its capital and full stop; there must be a mention."""
    mentions = list(scene.mentions)
    if rng.random() < 0.5:
        rng.shuffle(mentions)
    nameable = all(one.least == 1 or one.word.verb or (one.count and one.word.many) for one in mentions)
    if nameable and rng.random() < _AS_NOUNS:  # "there is a drum heard twice" would be stiff
        nouns = [_noun(one, rng) for one in mentions]
        forms = ("there {be} {all}", "{all} {be_all} heard", "one can hear {all}")
        be_all = "are" if len(nouns) > 1 else nouns[0].be
        text = rng.choice(forms).format(all=listed([each.text for each in nouns]), be=nouns[0].be, be_all=be_all)
    else:
        said = [_counted(one, scene.duration, rng) for one in mentions]
        text = f"{', '.join(said[:-1])}, and {said[-1]}" if len(said) > 2 else listed(said)
    text += _compared(mentions, rng)
    word = scene.background
    if word is None or rng.random() >= _BACKGROUND_TOLD:
        return text
    if word.place:
        return f"{word.place}, {text}"
    return rng.choice(_BEHIND).format(s=text, of=word.sound_of, bg=word.noun)


def _counted(mention: Mention, duration: float, rng: random.Random) -> str:
    word = mention.word
    level = mention.loudness if rng.random() < _LOUDNESS_TOLD else ""
    if 0 < mention.count < len(NUMBERS) and word.many and rng.random() < 0.5:
        adjective = f"{rng.choice(ADJECTIVES[level])} " if level else ""
        if mention.count == 1:
            return f"a single {adjective}{word.bare} is heard"
        return f"{NUMBERS[mention.count]} {adjective}{word.many} are heard"
    often = _times(mention, duration, rng)
    if level and often == " continuously":
        often = " without a break"  # "faintly continuously" is one adverb too many
    return clause(mention, rng, times=often, loud=1.0 if level else 0.0)


def _noun(mention: Mention, rng: random.Random) -> Noun:
    """As in "three loud gunshots", "a single faint knock", "a siren wailing twice"."""
    word = mention.word
    level = mention.loudness if rng.random() < _LOUDNESS_TOLD else ""
    adjective = f"{rng.choice(ADJECTIVES[level])} " if level else ""
    if 0 < mention.count < len(NUMBERS) and word.many:
        if mention.count == 1:
            return Noun(f"a single {adjective}{word.bare}", False)
        return Noun(f"{NUMBERS[mention.count]} {adjective}{word.many}", True)
    often = how_often(mention, rng, exact=True)
    if level and not often:
        return Noun(word.called(adjective.strip()), word.plural)
    return Noun(f"{word.doing}{often}", word.subject_plural) if word.verb else Noun(word.noun, word.plural)


def _times(mention: Mention, duration: float, rng: random.Random) -> str:
    if throughout(mention, duration):
        return rng.choice((" throughout", " the whole time"))
    if mention.least > 1:
        return how_often(mention, rng, exact=True)
    if mention.word.lasting and len(mention.sound.bursts) == 1 and length(mention) >= _STEADY:
        return rng.choice((" continuously", " without a break", ""))
    plural = mention.word.subject_plural if mention.word.verb else mention.word.plural
    return " once" if mention.count == 1 and length(mention) <= _ONCE and not plural else ""


def _compared(mentions: Sequence[Mention], rng: random.Random) -> str:
    """Which sound is louder than which, if one clearly is and that is drawn to be said."""
    pairs = [
        (one, other)
        for one, other in itertools.permutations(mentions, 2)
        if louder(one, other) and one.loudness != "faint" and other.loudness != "loud" and _the(one) != _the(other)
    ]
    if not pairs or rng.random() >= _LOUDNESS_TOLD:
        return ""
    one, other = rng.choice(pairs)
    if rng.random() < 0.3:
        return f", with {_the(other)} quieter than {_the(one)}"
    return f", with {_the(one)} louder than {_the(other)}"


def _the(mention: Mention) -> str:
    word = mention.word
    if word.subject in ("someone", "something"):
        return word.sound_of if word.noun == word.doing else f"the {word.bare}"
    return f"the {bare(word.subject or word.noun)}"
