"""What can be heard in a soundscape, sound by sound: what captions are made of and checked against."""

from collections.abc import Sequence
from dataclasses import dataclass

from manifests.frames import merged
from manifests.schema import Event, Soundscape

SURE_DB = 0.0  # audible_db up to which a sound, even in the band in which it stands out most, may go unnoticed
_SAME_SOUND_GAP = 0.25  # seconds between two events of a cluster that still count as one

Span = tuple[float, float]


@dataclass(frozen=True, slots=True)
class Sound:
    """All events of one cluster, the cluster being what one hears the same sound in.

    Args:
        cluster: its name.
        label: of its first event.
        spans: (onset, offset) in seconds of its events that are surely heard; events that touch are one. Empty if none
            is sure: then it may be mentioned, or left out.
        bursts: the stretches in which these events are active, those that touch joined: at least as many as spans.
        doubtful: how many other events it has, that may go unnoticed.
        snr_db: loudness of its loudest sure event over the background's, dB; None where nobody knows.
        audible_db: how far its clearest sure event stands out from everything else, dB; None where nobody knows.
    """

    cluster: str
    label: str
    spans: tuple[Span, ...]
    bursts: tuple[Span, ...]
    doubtful: int
    snr_db: float | None
    audible_db: float | None


def sounds(soundscape: Soundscape) -> list[Sound]:
    """The sounds of a soundscape by first onset, the doubtful ones last; the background is none of them."""
    by_cluster: dict[str, list[Event]] = {}
    for event in sorted(soundscape.events, key=lambda event: (event.onset, event.label)):
        if event.activity:
            by_cluster.setdefault(event.cluster, []).append(event)
    found = [_sound(cluster, events) for cluster, events in by_cluster.items()]
    return sorted(found, key=lambda sound: (not sound.spans, sound.spans[:1], sound.label))


def sure_sounds(soundscape: Soundscape) -> list[Sound]:
    """Only those that are surely heard, by onset."""
    return [sound for sound in sounds(soundscape) if sound.spans]


def _sound(cluster: str, events: Sequence[Event]) -> Sound:
    sure = [event for event in events if _is_sure(event)]
    spans = [(min(s.onset for s in event.activity), max(s.offset for s in event.activity)) for event in sure]
    bursts = [(stretch.onset, stretch.offset) for event in sure for stretch in event.activity]
    snr = [event.snr_db for event in sure if event.snr_db is not None]
    clear = [db for event in sure for stretch in event.activity if (db := stretch.audible_db) is not None]
    return Sound(
        cluster=cluster,
        label=(sure or events)[0].label,
        spans=tuple(merged(spans, gap=_SAME_SOUND_GAP)),
        bursts=tuple(merged(bursts, gap=_SAME_SOUND_GAP)),
        doubtful=len(events) - len(sure),
        snr_db=max(snr, default=None),
        audible_db=max(clear, default=None),
    )


def _is_sure(event: Event) -> bool:
    return any(stretch.audible_db is None or stretch.audible_db > SURE_DB for stretch in event.activity)
