"""Audio files as mono float32 at one sample rate, and back. Whatever soundfile reads is read; soxr resamples."""

import functools
import io
import math
import os
import wave
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import soundfile
import soxr
from jaxtyping import Float, Int16

from manifests.errors import FlamError

MIN_SAMPLE_RATE, MAX_SAMPLE_RATE = 1_000, 768_000
_MP3_BEFORE = 24 * 1152  # samples: frames of MP3 are made of those before, which a decoder lacks after a leap
_BLOCK_SECONDS = 10
_FLAC_LEVEL = 0.0  # the fastest; the highest saves a few percent and takes twice the time


class AudioError(FlamError):
    """A file that cannot be used as audio. `reason` says why, without the path."""

    def __init__(self, path: Path, reason: str) -> None:
        super().__init__(f"{path}: {reason}")
        self.reason = reason


@dataclass(frozen=True, kw_only=True)
class Recording:
    """Mono sound that is no file of its own."""

    samples: Int16[np.ndarray, " sample"]
    sample_rate: int
    name: str  # for messages

    def __str__(self) -> str:
        """Its name, as a path would be shown."""
        return self.name


Source = Path | Recording


def probe(path: Path) -> tuple[int, int, float]:
    """Sample rate in Hz, channels and duration in seconds, as the header claims; raises AudioError."""
    try:
        if not path.is_file():  # a FIFO would hang, a folder has no sound
            raise AudioError(path, "no such file" if not path.exists() else "not a regular file")
        state = path.stat()
    except OSError as error:  # a folder that may not be entered
        raise AudioError(path, f"not readable as audio ({error.strerror})") from None
    try:
        info = _info(str(path), state.st_ino, state.st_size, state.st_mtime_ns)
    except UnicodeEncodeError:
        raise AudioError(path, "its name is not Unicode; rename it") from None
    except (soundfile.SoundFileError, OSError, RuntimeError) as error:
        raise AudioError(path, f"not readable as audio ({_reason(error)})") from None
    if not MIN_SAMPLE_RATE <= info.samplerate <= MAX_SAMPLE_RATE:
        raise AudioError(path, f"sample rate of {info.samplerate} Hz is not plausible")
    return info.samplerate, info.channels, info.frames / info.samplerate


@functools.lru_cache(maxsize=64)  # asked again at once, when the file is read
def _info(path: str, *_state: int) -> Any:
    return soundfile.info(path)


def duration(source: Source) -> float:
    """Seconds of a sound; of a file as its header claims."""
    return len(source.samples) / source.sample_rate if isinstance(source, Recording) else probe(source)[2]


def read_channels(
    path: Path, *, max_duration: float, onset: float = 0.0, offset: float | None = None
) -> tuple[Float[np.ndarray, "sample channel"], int]:
    """The samples from `onset` to `offset` seconds, and the sample rate in Hz; not resampled.

    Read in blocks: what a damaged header claims is never allocated. Where the file ends before `offset`, so do the
    samples. Raises AudioError past `max_duration` seconds.
    """
    sample_rate, channels, _ = probe(path)
    start, stop = round(onset * sample_rate), None if offset is None else round(offset * sample_rate)
    blocks, total = [], 0
    for block in _raw_blocks(path, sample_rate, start, stop):
        total += len(block)
        if total > max_duration * sample_rate:
            raise AudioError(path, f"longer than {max_duration:g} s")
        blocks.append(block)
    return np.concatenate(blocks) if blocks else np.zeros((0, channels), np.float32), sample_rate


def stream(
    source: Source, sample_rate: int, *, onset: float = 0.0, offset: float | None = None
) -> Iterator[Float[np.ndarray, " sample"]]:
    """A sound of any length as blocks of mono float32 at `sample_rate`, in constant memory; raises AudioError.

    From `onset` to `offset` seconds, or where the sound ends.
    """
    source_rate = source.sample_rate if isinstance(source, Recording) else probe(source)[0]
    start, stop = round(onset * source_rate), None if offset is None else round(offset * source_rate)
    if isinstance(source, Recording):
        blocks = _blocks_of(source, start, stop)
    else:
        blocks = (_mono(block) for block in _raw_blocks(source, source_rate, start, stop))
    if source_rate == sample_rate:
        yield from blocks
        return
    resampler = soxr.ResampleStream(source_rate, sample_rate, 1, dtype="float32")
    for block in blocks:
        yield resampler.resample_chunk(block)
    yield resampler.resample_chunk(np.zeros(0, np.float32), last=True)


def read(
    source: Source, sample_rate: int, *, onset: float = 0.0, offset: float | None = None
) -> Float[np.ndarray, " sample"]:
    """The same in one piece."""
    blocks = list(stream(source, sample_rate, onset=onset, offset=offset))
    return blocks[0] if len(blocks) == 1 else np.concatenate([np.zeros(0, np.float32), *blocks])


def resample(samples: Float[np.ndarray, " sample"], source_rate: int, target_rate: int) -> Float[np.ndarray, " out"]:
    """soxr's high quality, the one that agrees best with sox's `rate -h`."""
    return samples if source_rate == target_rate else soxr.resample(samples, source_rate, target_rate, "HQ")


def to_int16(samples: Float[np.ndarray, " sample"]) -> Int16[np.ndarray, " sample"]:
    """Rounded once, as the soundscape; full scale is 32768, as libsndfile reads it back."""
    scaled = samples * 32768.0
    np.rint(scaled, out=scaled)  # in place: new arrays of this size cost more than the arithmetic
    np.clip(scaled, -32768, 32767, out=scaled)
    return scaled.astype(np.int16)


def write(path: Path, samples: Int16[np.ndarray, " sample"], sample_rate: int) -> None:
    """Write 16-bit WAV or FLAC, by the name's ending; raises FlamError when the disk does not take it."""
    try:
        if path.suffix == ".wav":  # by the standard library, at half the cost of libsndfile
            with path.open("wb") as raw, wave.open(raw, "wb") as file:
                file.setparams((1, 2, sample_rate, len(samples), "NONE", ""))
                file.writeframesraw(np.ascontiguousarray(samples, "<i2").data)
        else:
            sound = Recording(samples=samples, sample_rate=sample_rate, name=str(path))
            path.write_bytes(encoded(sound, path.suffix.removeprefix(".")))
    except (soundfile.SoundFileError, OSError, RuntimeError) as error:
        raise FlamError(f"cannot write {path}: {_reason(error)}; what was finished before is kept") from None


def encoded(sound: Recording, name: str) -> bytes:
    """The content of a file of the format `name`, as "flac", without loss.

    libsndfile writes hundreds of pieces, waits for the disk, and calls every error of it alike: it writes to memory.
    """
    settings = {"format": name, "subtype": "PCM_16", "compression_level": _FLAC_LEVEL}
    try:
        with os.fdopen(os.memfd_create(name), "w+b", buffering=0) as file:
            soundfile.write(file.fileno(), sound.samples, sound.sample_rate, closefd=False, **settings)
            file.seek(0)
            return file.read()
    except (AttributeError, OSError, soundfile.SoundFileError):  # there is none, or none so large
        content = io.BytesIO()  # a Python call for each piece: slower
        soundfile.write(content, sound.samples, sound.sample_rate, **settings)
        return content.getvalue()


def _blocks_of(recording: Recording, start: int, stop: int | None) -> Iterator[Float[np.ndarray, " sample"]]:
    """In the blocks in which a file would be read: a resampler gives the same samples then."""
    size, samples = _BLOCK_SECONDS * recording.sample_rate, recording.samples[start:stop]
    for first in range(0, len(samples), size):
        yield samples[first : first + size] * np.float32(1 / 32768)


def _mono(block: Float[np.ndarray, "sample channel"]) -> Float[np.ndarray, " sample"]:
    """The mean of the channels; where they cancel (20 dB below the loudest), that one, lest a sound go unheard."""
    if block.shape[1] == 1:
        return block[:, 0]
    mean = (
        (block[:, 0] + block[:, 1]) / 2 if block.shape[1] == 2 else block.mean(axis=1)
    )  # which takes five times as long
    powers = np.square(block).mean(axis=0)
    if np.square(mean).mean() < 0.01 * powers.max():
        return np.ascontiguousarray(block[:, int(powers.argmax())])
    return np.asarray(mean)


def _raw_blocks(
    path: Path, sample_rate: int, start: int = 0, stop: int | None = None
) -> Iterator[Float[np.ndarray, "sample channel"]]:
    """The samples from `start` to before `stop`, a few seconds at a time."""
    size, place, end = _BLOCK_SECONDS * sample_rate, start, math.inf if stop is None else stop
    try:
        with soundfile.SoundFile(str(path)) as file:
            if start >= file.frames and start:
                return
            before = _MP3_BEFORE if file.format == "MP3" else 0
            if not file.seekable():  # ADPCM of some kinds: read up to there
                for block in file.blocks(size, frames=start, dtype="float32") if start else ():
                    del block
            elif start:
                file.seek(start)
            while True:
                skipped = min(before, place)
                if skipped:
                    file.seek(place - skipped)
                wanted = skipped + int(min(size, end - place))
                block = file.read(wanted, dtype="float32", always_2d=True)[skipped:]
                if not len(block):
                    return
                place += len(block)
                yield block
    except (soundfile.SoundFileError, OSError, RuntimeError) as error:
        raise AudioError(path, f"not readable as audio ({_reason(error)})") from None


def _reason(error: Exception) -> str:
    text = getattr(error, "error_string", "") or str(error)
    return text.strip().rstrip(".") or type(error).__name__
