"""Synthetic rooms: impulse responses made of shaped noise, from a seed.

After Moorer (1979): a direct sound, a few early reflections, then noise that decays exponentially, the highs faster, as
air and walls absorb them. No room's geometry is modelled.
"""

from typing import Any

import numpy as np
import numpy.typing as npt
import scipy.fft
import scipy.signal
from jaxtyping import Float32

from curation.filters import convolved

Floats = npt.NDArray[np.floating[Any]]

# Bands of the tail, which has nothing below 50 Hz, and their decay times relative to rt60.
_BANDS_HZ = (50.0, 125.0, 250.0, 500.0, 1000.0, 2000.0, 4000.0, 8000.0, np.inf)
_DECAYS = (1.0, 1.0, 1.0, 1.0, 0.9, 0.75, 0.55, 0.4)
_MEASURED_HZ = (500.0, 1000.0)  # where the decay is made just rt60
_MEASURED_DB = (-5.0, -30.0)  # between T20 and T30 of ISO 3382-1
_NEPERS = 3 * np.log(10.0)  # -60 dB
_NUM_REFLECTIONS = 6
_NUM_CORRECTIONS = 6
_LEAST_RATE = 4000


def synthetic_room(seed: int, *, rt60: float, direct_db: float, sample_rate: int) -> Float32[np.ndarray, " sample"]:
    """An impulse response that begins with the direct sound, 1.0, and lasts for `rt60`. The seed decides all else.

    Args:
        seed: not negative.
        rt60: seconds in which the sound of 500 to 1000 Hz decays by 60 dB, 0.05 to 10.
        direct_db: level of the direct sound over that of all the rest, -40 to 40.
        sample_rate: in Hz.
    """
    if not 0.05 <= rt60 <= 10:
        raise ValueError(f"rt60 is {rt60}; it must be between 0.05 and 10 seconds")
    if not -40 <= direct_db <= 40:
        raise ValueError(f"direct_db is {direct_db}; it must be between -40 and 40")
    if sample_rate < _LEAST_RATE:
        raise ValueError(f"sample_rate is {sample_rate}; it must be at least {_LEAST_RATE}")
    rng = np.random.Generator(np.random.PCG64(seed))
    num_samples = int(np.ceil(rt60 * sample_rate)) + 1
    tail = _tail(rng, rt60, num_samples, sample_rate)
    _add_reflections(tail, rng, rt60, sample_rate)
    seconds = np.arange(num_samples) / sample_rate
    for _ in range(_NUM_CORRECTIONS):  # the whole is made to decay just so where that is measured
        measured = _decay_time(tail, sample_rate)
        tail *= np.exp(_NEPERS * (1 / measured - 1 / rt60) * seconds)
    tail *= np.sqrt(10.0 ** (-direct_db / 10) / np.sum(np.square(tail)))
    tail[0] = 1
    return tail.astype(np.float32)


def reverberated(
    samples: Float32[np.ndarray, " sample"], response: Float32[np.ndarray, " response"]
) -> Float32[np.ndarray, " longer"]:
    """The sound in the room: len(samples) + len(response) - 1 samples. Where it is in the room alone decides."""
    return convolved(samples, response)


def _add_reflections(tail: Floats, rng: np.random.Generator, rt60: float, sample_rate: int) -> None:
    """Nothing before the first, then a few impulses that stand out of the noise, by less and less.

    A room that rings longer is larger: the first comes after some milliseconds more.
    """
    first = (0.001 + 0.002 * rt60**0.5) * rng.uniform(1.0, 2.5)
    times = first * np.concatenate([[1.0], 1.0 + rng.uniform(0.2, 6.0, _NUM_REFLECTIONS - 1)])
    signs = 1.0 - 2.0 * rng.integers(0, 2, _NUM_REFLECTIONS)
    places = np.minimum(np.rint(times * sample_rate).astype(np.int64), len(tail) - 1)
    level = np.sqrt(np.mean(np.square(tail[places[0] : 2 * places[0] + 1])) * sample_rate / 1000)
    tail[: places[0]] = 0
    np.add.at(tail, places, signs * first / times * level)


def _tail(rng: np.random.Generator, rt60: float, num_samples: int, sample_rate: int) -> Floats:
    """Noise in bands, each with its own decay. Of each, chance decides the phases only: its envelope is exact."""
    seconds = np.arange(num_samples) / sample_rate
    size = scipy.fft.next_fast_len(2 * num_samples)
    spectrum = scipy.fft.fft(rng.uniform(-1.0, 1.0, num_samples), size)
    frequencies = np.arange(size) * (sample_rate / size)
    tail = np.zeros(num_samples)
    for low_hz, high_hz, decay in zip(_BANDS_HZ[:-1], _BANDS_HZ[1:], _DECAYS, strict=True):
        width_hz = min(high_hz, sample_rate / 2) - low_hz
        if width_hz <= 0:
            break
        inside = (frequencies >= low_hz) & (frequencies < low_hz + width_hz)  # and no negative frequency
        analytic = scipy.fft.ifft(np.where(inside, spectrum, 0))[:num_samples]
        envelope = np.sqrt(width_hz) * np.exp(-_NEPERS / (rt60 * decay) * seconds)
        tail += envelope * analytic.real / np.maximum(np.abs(analytic), 1e-12)
    return tail


def _decay_time(response: Floats, sample_rate: int) -> float:
    """Seconds to -60 dB of the middle frequencies, by the slope of Schroeder's backward integral."""
    sections = scipy.signal.butter(4, _MEASURED_HZ, "bandpass", output="sos", fs=sample_rate)
    band = scipy.signal.sosfilt(sections, np.concatenate([response, np.zeros(sample_rate // 10)]))
    energy = np.cumsum(np.square(band)[::-1])[::-1]
    levels_db = 10 * np.log10(energy / energy[0] + 1e-30)
    start, end = (int(np.argmax(levels_db <= level)) for level in _MEASURED_DB)
    slope = np.polyfit(np.arange(start, end) / sample_rate, levels_db[start:end], 1)[0]
    return float(-60 / slope)
