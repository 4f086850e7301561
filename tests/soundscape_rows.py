"""Soundscape rows without audio, for tests that only need labels and times."""

from collections.abc import Sequence
from pathlib import Path

from manifests.schema import Background, Event, Soundscape, Stretch
from manifests.store import DatasetFolder, write_rows

Span = tuple[float, float]


def event(label: str, *spans: Span, cluster: str | None = None) -> Event:
    """An event active in `spans`; without any, it cannot be heard."""
    return Event(
        label=label,
        cluster=cluster or label,
        contains=[],
        onset=min((on for on, _ in spans), default=0.0),
        offset=max((off for _, off in spans), default=1.0),
        activity=[Stretch(onset=float(on), offset=float(off)) for on, off in spans],
        start=None,
        num_samples=None,
        source_id=None,
        source_start=None,
        origin=None,
        origin_start=None,
        target_snr_db=None,
        snr_db=None,
        gain_db=None,
        pitch_semitones=None,
        time_stretch=None,
        tilt_db=None,
        fade=None,
        licence=None,
        author=None,
    )


def soundscape(name: str, events: Sequence[Event], background: str | None = None) -> Soundscape:
    """A closed 10-second soundscape."""
    behind = background and Background(
        label=background,
        cluster=background,
        contains=[],
        source_id="b",
        source_start=0,
        origin="b.wav",
        origin_start=0,
        target_lufs=-40.0,
        lufs=-40.0,
        gain_db=0.0,
        licence="CC0-1.0",
        author="nobody",
    )
    return Soundscape(
        soundscape_id=name,
        split="train",
        audio_path=f"audio/{name}.wav",
        duration=10.0,
        sample_rate=16_000,
        num_samples=160_000,
        annotation="closed",
        events=list(events),
        background=behind or None,
        room=None,
        microphone=None,
        licences=[],
        seed=None,
        recipe=None,
        engine=None,
        mix_gain_db=None,
        num_inaudible=None,
        num_masked=None,
    )


def dataset(root: Path, *shards: Sequence[Soundscape]) -> Path:
    """A dataset folder with these shards and nothing else."""
    for index, rows in enumerate(shards):
        write_rows(DatasetFolder(root).soundscape_shard(index), rows, Soundscape)
    return root


def numbered(count: int, *, first: int = 0) -> list[Soundscape]:
    """Soundscapes whose label tells which one a request was about."""
    rows = range(first, first + count)
    return [soundscape(f"{index:08d}", [event(f"sound number n{index}x", (1.0, 2.0))], "rain") for index in rows]


def barking(count: int, *, first: int = 0) -> list[Soundscape]:
    """Soundscapes in which a dog barks in the rain."""
    rows = range(first, first + count)
    return [soundscape(f"{index:08d}", [event("dog bark", (1.0, 2.0 + index / 100))], "rain") for index in rows]
