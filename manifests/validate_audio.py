"""What may be wrong with a soundscape's audio."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import soundfile

from manifests.audio import AudioError, Recording, Source, probe
from manifests.schema import Soundscape


def check_samples(source: Source, row: Soundscape) -> Iterator[str]:
    """What is wrong with the audio of a row; a file is read in blocks to its end."""
    try:
        if isinstance(source, Recording):
            sample_rate, channels, num_samples = source.sample_rate, 1, len(source.samples)
            silent, numbers = not source.samples.any(), True
        else:
            sample_rate, channels, _ = probe(source)
            num_samples, silent, numbers = read_through(source, sample_rate)
    except AudioError as error:
        yield error.reason
        return
    if sample_rate != row.sample_rate:
        yield f"{sample_rate} Hz, the row says {row.sample_rate}"
    if channels != 1 and row.engine is not None:  # what others recorded is made mono when it is read
        yield f"{channels} channels, not 1"
    if num_samples != row.num_samples:
        yield f"{num_samples} samples, the row says {row.num_samples}"
    if not numbers:
        yield "holds samples that are no number"
    if silent:
        yield "every sample is 0 or not a number"


def read_through(path: Path, sample_rate: int) -> tuple[int, bool, bool]:
    """How many samples there are, whether none of them is a sound, and whether all are finite numbers."""
    num_samples, silent, numbers = 0, True, True
    try:
        for block in soundfile.blocks(str(path), blocksize=10 * sample_rate, dtype="float32", always_2d=True):
            num_samples += len(block)
            finite = np.isfinite(block)
            numbers = numbers and bool(finite.all())
            silent = silent and not (finite & (block != 0)).any()
    except (soundfile.SoundFileError, OSError, RuntimeError) as error:
        raise AudioError(path, f"not readable as audio ({error})") from None
    return num_samples, silent, numbers
