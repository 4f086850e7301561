"""What a clip of a batch is made of, and what is true of it: told by tables alone, before any audio is read."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float

from manifests import audio
from manifests.errors import FlamError
from manifests.frames import frame_labels, num_frames
from manifests.schema import Soundscape, Stretch
from training.soundscapes import Item

MASKED_DB = -5.0  # below, an event is active and nobody hears it
_TOLERANCE = 0.04  # seconds: resampling and decoders round

Frames = Bool[np.ndarray, " frame"]


@dataclass(frozen=True, kw_only=True, eq=False)
class Take:
    """A stretch of one soundscape."""

    dataset: int
    item: Item
    begin: float  # seconds into the soundscape
    gain: float  # a factor
    caption: str | None


@dataclass(frozen=True, kw_only=True)
class Truth:
    """What is known of a clip."""

    active: Mapping[str, Frames]  # by cluster
    heard: Mapping[str, Frames]  # the same, without what other sounds hide
    unknown: frozenset[str]  # clusters that may sound at any time, unlabelled
    closed: bool  # whatever its datasets have labels for and is not listed does not sound
    inside: Frames  # frames before the end of the recording


def truth(takes: Sequence[Take], *, duration: float, hop: float) -> Truth:
    """Of soundscapes that sound together: the labels of all, and known is what is known of each."""
    frames = num_frames(duration, hop)
    active: dict[str, Frames] = {}
    heard: dict[str, Frames] = {}
    unknown: set[str] = set()
    inside = np.ones(frames, dtype=bool)
    for take in takes:
        row = take.item.row
        inside &= np.arange(frames) * hop < row.duration - take.begin - 1e-6
        for event in row.events:
            stretches = _shifted(event.activity, -take.begin, duration)
            for found, some in ((active, stretches), (heard, [one for one in stretches if _is_heard(one)])):
                labels = frame_labels(some, num_frames=frames, hop=hop)
                found[event.cluster] = found[event.cluster] | labels if event.cluster in found else labels
            unknown.update(event.contains)
        if row.background is not None:
            unknown |= {row.background.cluster, *row.background.contains}
    closed = all(take.item.row.annotation == "closed" for take in takes)
    return Truth(active=active, heard=heard, unknown=frozenset(unknown), closed=closed, inside=inside)


def waveform(
    takes: Sequence[Take], read: Callable[[Take], Float[np.ndarray, " sample"]], num_samples: int
) -> Float[np.ndarray, " sample"]:
    """The sum of the takes, each by its gain; silence after the end of the longest."""
    mixed = np.zeros(num_samples, np.float32)
    for take in takes:
        samples = read(take)[:num_samples]
        mixed[: len(samples)] += np.float32(take.gain) * samples
    return mixed


def samples_of(take: Take, sample_rate: int) -> Float[np.ndarray, " sample"]:
    """From its beginning to the end of the soundscape."""
    source, row = take.item.audio(), take.item.row
    samples = audio.read(source, sample_rate)
    if abs(len(samples) / sample_rate - row.duration) > _TOLERANCE:
        raise FlamError(
            f"{source} lasts {len(samples) / sample_rate:.2f} s, its row says {row.duration:.2f} s; "
            "simulate it again, or see `flam-cli validate --read-audio`"
        )
    return samples[round(take.begin * sample_rate) :]


def crop(row: Soundscape, duration: float, hop: float, rng: np.random.Generator) -> float:
    """Where a clip of `duration` begins in a soundscape that may be longer: after a whole number of frames."""
    if row.duration <= duration + 1e-6:
        return 0.0
    return int(rng.integers(int((row.duration - duration) / hop + 1e-6) + 1)) * hop


def _shifted(activity: Sequence[Stretch], shift: float, duration: float) -> list[Stretch]:
    return [
        Stretch(
            onset=max(stretch.onset + shift, 0.0),
            offset=min(stretch.offset + shift, duration),
            audible_db=stretch.audible_db,
        )
        for stretch in activity
        if stretch.offset + shift > 0.0 and stretch.onset + shift < duration
    ]


def _is_heard(stretch: Stretch) -> bool:
    """Whether other sounds leave it audible; yes where nobody knows."""
    return stretch.audible_db is None or stretch.audible_db >= MASKED_DB
