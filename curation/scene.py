"""What may be said of a soundscape's sounds: how often, how loud, in which order, together, and where in time.

All of it is measured, or not said.
"""

import itertools
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

from curation.heard import Sound, sure_sounds
from curation.source_clip import UNLABELLED
from curation.wording import Wording, wording
from manifests.schema import Soundscape

# Twice as loud is about 10 LU: a sound 15 LU above its background is nearly three times as loud. It must also stand
# out from the other sounds by 10 dB.
LOUD_SNR_DB, LOUD_AUDIBLE_DB = _LOUD = (15.0, 10.0)
FAINT_AUDIBLE_DB = 3.0  # even where it stands out most, it has hardly more energy than the rest has
LOUDER_DB = 6.0  # two sounds that differ less may be heard the other way round, as their timbres are different
_TOGETHER = 0.5  # share of the shorter sound that must overlap the other for "while"
_ALL = 0.9  # share of the soundscape that "throughout" covers
_EDGE = 0.05  # share of the soundscape at its start and end that "throughout" may leave out


@dataclass(frozen=True)
class Mention:
    """One sound to tell of, surely heard.

    Args:
        sound: what is heard of it.
        word: how it is called.
        quietest: `snr_db` of its quietest event, doubtful ones among them; None if that of one is not known.
        loudest: the same of its loudest event.
        dimmest: `audible_db` of the event that stands out least; None if that of one is not known.
    """

    sound: Sound
    word: Wording
    quietest: float | None
    loudest: float | None
    dimmest: float | None

    @cached_property
    def onset(self) -> float:
        """When it is first heard, seconds."""
        return self.sound.spans[0][0]

    @cached_property
    def last_onset(self) -> float:
        """When it is heard for the last time, seconds."""
        return self.sound.spans[-1][0]

    @cached_property
    def offset(self) -> float:
        """When it is over for good, seconds."""
        return max(offset for _, offset in self.sound.spans)

    @cached_property
    def least(self) -> int:
        """How often it is heard at least."""
        return len(self.sound.spans)

    @cached_property
    def count(self) -> int:
        """How often it is heard; 0 if that depends on what one counts, or if it goes on rather than happens."""
        certain = len(self.sound.spans) == len(self.sound.bursts) and not self.sound.doubtful
        return len(self.sound.spans) if certain and not self.word.lasting else 0

    @cached_property
    def loudness(self) -> str:
        """It is "loud", "faint", or empty: neither, or nobody knows."""
        snr, audible = self.sound.snr_db, self.sound.audible_db
        least = (self.quietest, self.dimmest)
        if all(db is not None and db >= bound for db, bound in zip(least, _LOUD, strict=True)):
            return "loud"
        faint = audible is not None and audible <= FAINT_AUDIBLE_DB and (snr is None or snr < LOUD_SNR_DB)
        return "faint" if faint else ""


@dataclass(frozen=True, slots=True)
class Scene:
    """All that a caption is made of.

    Args:
        mentions: by first onset.
        background: None where nothing is behind them, nobody knows what, or it is one of the mentions.
        duration: seconds.
        closed: whether there is nothing else.
    """

    mentions: Sequence[Mention]
    background: Wording | None
    duration: float
    closed: bool


def scene_of(soundscape: Soundscape) -> Scene:
    """The scene of a soundscape, whatever the order of its events."""
    mentions = [_mention(soundscape, sound) for sound in sure_sounds(soundscape)]
    mentions.sort(key=lambda mention: (mention.onset, mention.word.words, mention.sound.cluster))
    behind = soundscape.background
    background = wording(behind.label) if behind is not None and behind.label != UNLABELLED else None
    if any(one.word == background or (behind and one.sound.cluster == behind.cluster) for one in mentions):
        background = None
    return Scene(mentions, background, soundscape.duration, soundscape.annotation == "closed")


def _mention(soundscape: Soundscape, sound: Sound) -> Mention:
    events = [event for event in soundscape.events if event.cluster == sound.cluster and event.activity]
    known = [event.snr_db for event in events if event.snr_db is not None]
    clear = [[db for stretch in event.activity if (db := stretch.audible_db) is not None] for event in events]
    return Mention(
        sound=sound,
        word=wording(sound.label),
        quietest=min(known) if len(known) == len(events) else None,
        loudest=max(known) if len(known) == len(events) else None,
        dimmest=min(map(max, clear)) if all(clear) else None,
    )


def shared(one: Mention, other: Mention) -> float:
    """Seconds in which both sound."""
    return sum(max(0.0, min(a[1], b[1]) - max(a[0], b[0])) for a in one.sound.spans for b in other.sound.spans)


def length(mention: Mention) -> float:
    """Seconds in which it sounds."""
    return sum(offset - onset for onset, offset in mention.sound.spans)


def together(one: Mention, other: Mention) -> bool:
    """Whether most of the shorter is heard while the other is, and some of each time that one of them is heard."""
    both = shared(one, other)
    if both <= 0 or both < _TOGETHER * min(length(one), length(other)):
        return False
    return _each_overlaps(one, other) and _each_overlaps(other, one)


def _each_overlaps(one: Mention, other: Mention) -> bool:
    return all(any(a[0] < b[1] and b[0] < a[1] for b in other.sound.spans) for a in one.sound.spans)


def coincide(one: Mention, other: Mention) -> bool:
    """Whether both are heard once and most of the longer is heard while the other is."""
    return one.least == other.least == 1 and shared(one, other) >= _TOGETHER * max(length(one), length(other))


def inside(one: Mention, other: Mention, margin: float = 0.0) -> bool:
    """Whether all of `one` is heard during the only span of `other`, `margin` seconds from its ends."""
    return other.least == 1 and other.onset + margin <= one.onset and one.offset <= other.offset - margin


def by_turns(one: Mention, other: Mention) -> bool:
    """Whether each is heard between two times of the other, as long as there are any."""
    spans = [(span, who) for who, mention in enumerate((one, other)) for span in mention.sound.spans]
    order = [who for _, who in sorted(spans)]
    return len(order) > 2 and all(before != after for before, after in itertools.pairwise(order))


def louder(one: Mention, other: Mention) -> bool:
    """Whether even the quietest of `one` is clearly louder than all of `other`."""
    if one.quietest is None or other.loudest is None:
        return False
    return one.quietest >= other.loudest + LOUDER_DB


def throughout(mention: Mention, duration: float) -> bool:
    """Whether it is heard from beginning to end, with short gaps at most."""
    heard = sum(max(0.0, min(offset, duration) - onset) for onset, offset in mention.sound.bursts)
    reaches = mention.onset <= _EDGE * duration and mention.offset >= (1 - _EDGE) * duration
    return reaches and heard >= _ALL * duration


def moments(mentions: Sequence[Mention]) -> list[list[Mention]]:
    """Runs of mentions between which "then" is true: each has begun for the last time before the next begins."""
    found: list[list[Mention]] = []
    for mention in mentions:
        if found and any(one.last_onset >= mention.onset or together(one, mention) for one in found[-1]):
            found[-1].append(mention)
        else:
            found.append([mention])
    return found
