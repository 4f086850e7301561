"""What a clip of a batch is made of, and what is true of it: told by tables alone, before any audio is read.

A soundscape that is shorter than the clip is heard again from its beginning, after a whole number of frames: silence
that no recording has would be heard with the rest of it, and never where the model is used.
"""

import dataclasses
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


def truth(takes: Sequence[Take], *, duration: float, hop: float) -> Truth:
    """Of soundscapes that sound together: the labels of all, and known is what is known of each."""
    frames = num_frames(duration, hop)
    active: dict[str, Frames] = {}
    heard: dict[str, Frames] = {}
    unknown: set[str] = set()
    for take in takes:
        row = take.item.row
        for event in row.events:
            labels = audible = np.resize(_labels_of(event.activity, take, hop, frames), frames)
            if (some := [one for one in event.activity if _is_heard(one)]) != event.activity:
                audible = np.resize(_labels_of(some, take, hop, frames), frames)
            for found, own in ((active, labels), (heard, audible)):
                found[event.cluster] = found[event.cluster] | own if event.cluster in found else own
            unknown.update(event.contains)
        if row.background is not None:
            unknown |= {row.background.cluster, *row.background.contains}
    closed = all(take.item.row.annotation == "closed" for take in takes)
    return Truth(active=active, heard=heard, unknown=frozenset(unknown), closed=closed)


def waveform(
    takes: Sequence[Take],
    read: Callable[[Take], Float[np.ndarray, " sample"]],
    *,
    duration: float,
    hop: float,
    sample_rate: int,
    out: Float[np.ndarray, " sample"],
) -> None:
    """The sum of the takes, each by its gain, and from its beginning again until the clip `out` is full."""
    frames, frame_samples = num_frames(duration, hop), round(hop * sample_rate)
    for place, take in enumerate(takes):
        whole = np.empty_like(out) if place else out
        length = _frames_left(take, hop, frames) * frame_samples
        samples = read(take)[:length]
        np.multiply(samples, np.float32(take.gain), out=whole[: len(samples)])
        whole[len(samples) : length] = 0.0
        if length < len(whole):
            whole[:] = np.resize(whole[:length], len(whole))
        if place:
            out += whole


def samples_of(take: Take, sample_rate: int, duration: float) -> Float[np.ndarray, " sample"]:
    """From its beginning, `duration` seconds or to the end of the soundscape."""
    source, row = take.item.audio(), take.item.row
    there, end = audio.duration(source), take.begin + duration  # as its header says
    samples = audio.read(source, sample_rate, onset=take.begin, offset=end if row.duration > end else None)
    heard = take.begin + len(samples) / sample_rate
    if abs(there - row.duration) <= _TOLERANCE and abs(heard - min(end, row.duration)) > _TOLERANCE:
        there = heard  # the header lies
    if abs(there - row.duration) > _TOLERANCE:
        raise FlamError(
            f"{source} lasts {there:.2f} s, its row says {row.duration:.2f} s; "
            "simulate it again, or see `flam-cli validate --read-audio`"
        )
    if not np.isfinite(samples).all():  # one would be the loss of the whole batch
        raise FlamError(f"{source}: holds samples that are no number; repair or encode it again")
    return samples


def crop(row: Soundscape, duration: float, hop: float, rng: np.random.Generator) -> float:
    """Where a clip of `duration` begins in a soundscape that may be longer: after a whole number of frames."""
    if row.duration <= duration + 1e-6:
        return 0.0
    return int(rng.integers(int((row.duration - duration) / hop + 1e-6) + 1)) * hop


def _frames_left(take: Take, hop: float, most: int) -> int:
    """Frames of the soundscape from where a take begins."""
    return min(num_frames(take.item.row.duration - take.begin, hop), most)


def _labels_of(stretches: Sequence[Stretch], take: Take, hop: float, most: int) -> Frames:
    """Of a take's frames as they are labelled in the whole soundscape: what a cut leaves of an event is no event."""
    first, number = round(take.begin / hop), _frames_left(take, hop, most)
    if not any(one.offset > first * hop and one.onset < (first + number) * hop for one in stretches):
        return np.zeros(number, dtype=bool)
    begin = min(first, *(int(one.onset / hop) for one in stretches))
    end = max(first + number, *(int(one.offset / hop) + 1 for one in stretches))
    shifted = (
        stretches
        if not begin
        else [
            dataclasses.replace(one, onset=one.onset - begin * hop, offset=one.offset - begin * hop)
            for one in stretches
        ]
    )
    return frame_labels(shifted, num_frames=end - begin, hop=hop)[first - begin :][:number]


def _is_heard(stretch: Stretch) -> bool:
    """Whether other sounds leave it audible; yes where nobody knows."""
    return stretch.audible_db is None or stretch.audible_db >= MASKED_DB
