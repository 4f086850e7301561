from dataclasses import replace

from soundscape_rows import event, soundscape

from curation.heard import sounds, sure_sounds
from manifests.schema import Event


def faint(found: Event, audible_db: float) -> Event:
    return replace(found, activity=[replace(stretch, audible_db=audible_db) for stretch in found.activity])


def test_events_of_a_cluster_are_one_sound_and_those_that_touch_one_span() -> None:
    rows = [event("yap", (5, 6), cluster="dog"), event("bark", (1, 2), (2.6, 3), cluster="dog"), event("bell", (0, 1))]
    found = sounds(soundscape("a", [*rows, event("howl", (6.2, 7), cluster="dog")]))
    assert [(sound.cluster, sound.label) for sound in found] == [("bell", "bell"), ("dog", "bark")]
    assert found[1].spans == ((1, 3), (5, 7))
    assert found[1].bursts == ((1, 2), (2.6, 3), (5, 7))


def test_a_sound_that_cannot_be_heard_is_none() -> None:
    assert sounds(soundscape("a", [event("bell")])) == []


def test_a_sound_that_may_go_unnoticed_is_not_sure() -> None:
    rows = [faint(event("dog", (1, 2)), 0.0), event("dog", (4, 5)), faint(event("bell", (0, 1)), -3.0)]
    first, last = sounds(soundscape("a", rows))
    assert (first.spans, first.doubtful) == (((4, 5),), 1)
    assert (last.label, last.spans, last.bursts, last.doubtful) == ("bell", (), (), 1)
    assert sure_sounds(soundscape("a", rows)) == [first]


def test_how_loud_and_clear_is_that_of_the_loudest_and_clearest_event() -> None:
    rows = [
        replace(faint(event("dog", (1, 2)), 3.0), snr_db=4.0),
        replace(faint(event("dog", (3, 4)), 9.0), snr_db=2.0),
    ]
    (sound,) = sounds(soundscape("a", rows))
    assert (sound.snr_db, sound.audible_db) == (4.0, 9.0)
