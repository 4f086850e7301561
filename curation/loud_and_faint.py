"""Does a text call one sound loud and another faint, and were they measured the other way round?"""

from collections.abc import Iterator

from curation.mentions import Mention, Mentions
from curation.scene import Mention as Heard
from curation.scene import scene_of
from curation.stems import words_of
from manifests.schema import Soundscape

_LOUD = words_of("loud loudly louder loudest deafening deafeningly")
_FAINT = words_of("faint faintly fainter faintest quiet quietly quieter soft softly softer")
_REACH = 3  # words from an adjective to its sound
_CLEAR_DB = 10.0  # about twice as loud: no difference of timbre makes up for it


def wrong_levels(said: Mentions, soundscape: Soundscape) -> list[str]:
    """A sentence for each two sounds of which the loud one is clearly the fainter.

    Args:
        said: what the text mentions.
        soundscape: what it is about.
    """
    loud, faint = (list(_called(said, words)) for words in (_LOUD, _FAINT))
    if not (loud and faint):
        return []
    levels = {one.sound.cluster: one for one in scene_of(soundscape).mentions}
    return [
        f"it calls {a.text!r} loud and {b.text!r} faint, but they are the other way round"
        for a in loud
        for b in faint
        if _is_louder(levels.get(_cluster(b)), levels.get(_cluster(a)))
    ]


def _called(said: Mentions, words: frozenset[str]) -> Iterator[Mention]:
    """What such a word is about: as an adjective what follows it closely, else what stands before it."""
    for at, word in enumerate(said.row):
        if word.text not in words:
            continue
        here = [mention for mention in said.found if said.chunk[mention.first] == said.chunk[at]]
        compares = at + 1 < len(said.row) and said.row[at + 1].text == "than"
        after = [mention for mention in here if at < mention.last and mention.first <= at + _REACH and not compares]
        yield from after[:1] or [mention for mention in here if mention.first < at][-1:]


def _is_louder(one: Heard | None, other: Heard | None) -> bool:
    if one is None or other is None or one.quietest is None or other.loudest is None:
        return False
    return one.quietest >= other.loudest + _CLEAR_DB


def _cluster(mention: Mention) -> str:
    return next(iter(mention.clusters)) if len(mention.clusters) == 1 else ""
