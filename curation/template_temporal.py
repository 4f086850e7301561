"""The temporal style: when each sound is heard, and how it lies to the one before."""

import random
from collections.abc import Sequence

from curation.clauses import clause, listed
from curation.scene import Mention, Scene, inside, shared, throughout

_BACKGROUND_TOLD = 0.6  # the share of captions with a background that tell of it
_AT_ONCE = 0.2  # seconds between onsets that are "at the same moment"
_SHORTLY = 0.7  # seconds of silence, at most, before what comes "shortly after"
_PAUSE = 1.5  # seconds of silence, at least, that are "a pause"
_PLACE_TOLD = 0.6  # how likely the place of a later sound in the soundscape is told
_START = ("at the start", "at the beginning", "right at the start")
_MIDDLE = ("in the middle", "halfway through", "midway through")
_END = ("near the end", "towards the end")
_FIRST_HALF = ("in the first half", "early on")
_SECOND_HALF = ("in the second half", "later on")
_TILL_END = ("until the end", "to the very end")
_FROM_START = ("from the start", "from the beginning")
_BEHIND = ("{s}, over {of} throughout", "{s}, with {bg} in the background throughout", "{s}, with {bg} all along")
_BEFORE = ("{acts} throughout, and {s}", "over {of} throughout, {s}", "with {bg} in the background all along, {s}")


def temporal(scene: Scene, rng: random.Random) -> str:
    """One sentence without its capital and full stop; there must be a mention."""
    lasting = [one for one in scene.mentions if throughout(one, scene.duration)]
    passing = [one for one in scene.mentions if one not in lasting]
    parts = []
    if lasting:
        clauses = listed([clause(one, rng, times="", loud=0.1) for one in lasting])
        parts.append(f"{clauses} {rng.choice(('throughout', 'from beginning to end', 'the whole time'))}")
    for index, mention in enumerate(passing):
        said = clause(mention, rng, loud=0.1)
        places = where(mention, scene.duration)
        if index == 0:
            parts.append(_placed(said, places, rng) if places else said)
            continue
        link = rng.choice(links(passing[:index], mention, lasting))
        if places and (not link or rng.random() < _PLACE_TOLD):
            said = f"{said} {rng.choice(places)}"
        parts.append(f"{link} {said}".strip())
    text = f"{', '.join(parts[:-1])}, and {parts[-1]}" if len(parts) > 1 else parts[0]
    if scene.background is None or rng.random() >= _BACKGROUND_TOLD:
        return text
    word = scene.background
    if word.place:
        return rng.choice(("{place}, {s}", "{s}, all of it {place}")).format(s=text, place=word.place)
    forms: tuple[str, ...] = (
        _BEHIND if lasting or text.startswith(("at ", "right ", "from ", "in ")) else _BEHIND + _BEFORE
    )
    return rng.choice(forms).format(s=text, of=word.sound_of, bg=word.noun, acts=word.acts)


def where(mention: Mention, duration: float) -> Sequence[str]:
    """Where all of it lies in the soundscape; empty if that is no place with a name."""
    start, end = mention.onset / duration, mention.offset / duration
    once = len(mention.sound.bursts) == 1
    if start <= 0.1 and end <= 0.5:
        return _START[: 3 if start <= 0.03 else 2]
    if start >= 0.75:
        return _END
    if once and start >= 0.25 and end >= 0.97:
        return _TILL_END
    if once and start <= 0.03 and end >= 0.5:
        return _FROM_START
    if start >= 0.35 and end <= 0.65:
        return _MIDDLE
    if end <= 0.5:
        return _FIRST_HALF if end <= 0.4 else _FIRST_HALF[:1]
    if start >= 0.5:
        return _SECOND_HALF if start >= 0.6 else _SECOND_HALF[:1]
    return ()


def links(before: Sequence[Mention], mention: Mention, lasting: Sequence[Mention]) -> Sequence[str]:
    """What may be said in front of a sound, of how it lies to the ones told before it; "" where nothing may.

    Args:
        before: what has been told, by first onset, the last one being told just before.
        mention: the sound to tell, first heard not before them.
        lasting: what is heard throughout, so that there is no pause.
    """
    last = before[-1]
    silence = mention.onset - max(one.offset for one in before)
    if abs(mention.onset - last.onset) <= _AT_ONCE and shared(last, mention) > 0:
        return "at the same time", "at the same moment", "together with that"
    if last.onset >= mention.onset:
        return ("",)
    if silence >= _PAUSE:
        later = ("some time later", "a while later")
        return later if lasting else (*later, "after a pause", "after a gap", "then, after a pause,")
    if silence >= 0:
        if mention.onset - last.offset <= _SHORTLY:
            return "shortly after that", "right after that", "soon after that", "then"
        return "then", "next", "after that"
    if last.least == 1 and inside(mention, last, margin=0.3):
        return "partway through that", "while that lasts", "during that", "overlapping that"
    if last.least == 1 and last.offset - mention.onset > 0.1:
        return "overlapping that", "before that is over", "then, overlapping it,"
    if last.last_onset < mention.onset:
        return "then", "next", "then"
    if mention.least == 1 and shared(last, mention) == 0:
        return "in between", "between those"
    return ("",)


def _placed(said: str, places: Sequence[str], rng: random.Random) -> str:
    """The first sound with its place, before or after it."""
    place = rng.choice(places)
    if places is _TILL_END or rng.random() < 0.3:
        return f"{said} {place}"
    return f"{place} {said}"
