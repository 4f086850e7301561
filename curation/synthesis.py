"""Building blocks for sounds made by code: noise, struck modes, harmonic tones, pulses, rooms.

Everything here works at one rate, `RATE_HZ`, and below `TOP_HZ`; `finish` takes the result to the
rate that is asked for, so one seed is the same sound at every sample rate. Times are seconds,
levels are linear unless named `_db`.
"""

import math
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import fft, signal

Audio = NDArray[np.float32]  # a finished sound
Wave = NDArray[np.floating[Any]]  # a sound in the making, 32 or 64 bits
Curve = NDArray[np.float64]
Points = Sequence[tuple[float, float]]

RATE_HZ = 32_000
TOP_HZ = 15_000.0
PEAK = 0.8
FADE_IN, FADE_OUT = 0.002, 0.015
MAX_FOREGROUND = 6.0


def samples(duration: float) -> int:
    """Length of a duration in samples at `RATE_HZ`."""
    return round(duration * RATE_HZ)


def log_uniform(rng: np.random.Generator, low: float, high: float) -> float:
    """A number whose logarithm is uniform: the fair way to draw pitches and rates."""
    return float(np.exp(rng.uniform(math.log(low), math.log(high))))


def envelope(points: Points, length: int) -> Curve:
    """Straight lines through `(part of the whole, value)` points, the parts from 0 to 1."""
    parts, values = zip(*points, strict=True)
    return np.asarray(np.interp(np.linspace(0.0, 1.0, length), parts, values))


def drift(rng: np.random.Generator, length: int, *, every: float, spread: float) -> Curve:
    """A slow random curve around 0: a new normal value each `every` seconds, joined smoothly."""
    knots = rng.normal(0.0, spread, max(2, math.ceil(length / samples(every)) + 2))
    position = np.arange(length) / samples(every)
    left = position.astype(np.int64)
    blend = 0.5 - 0.5 * np.cos(np.pi * (position - left))
    return np.asarray(knots[left] * (1.0 - blend) + knots[left + 1] * blend)


def noise(rng: np.random.Generator, length: int, spectrum: Points) -> Wave:
    """Gaussian noise of RMS 1 whose spectrum runs through `(frequency_hz, level_db)` points."""
    padded = fft.next_fast_len(length, real=True)
    num_bins = padded // 2 + 1
    frequencies_hz, levels_db = zip(*spectrum, strict=True)
    grid_hz = np.geomspace(10.0, RATE_HZ / 2, 200)
    level = 10.0 ** (np.interp(np.log(grid_hz), np.log(frequencies_hz), levels_db) / 20.0)
    level[grid_hz > TOP_HZ] = 0.0
    gain = np.interp(np.linspace(0.0, RATE_HZ / 2, num_bins), grid_hz, level, left=0.0)
    bins = rng.standard_normal(2 * num_bins, dtype=np.float32).view(np.complex64)
    wave = fft.irfft(bins * gain.astype(np.float32), padded)[:length]
    return unit(wave)


def unit(wave: Wave) -> Wave:
    """The sound at RMS 1."""
    return np.asarray(wave / max(float(wave.std()), 1e-9))


def ring(frequencies_hz: ArrayLike, t60: ArrayLike, gains: ArrayLike, duration: float) -> Wave:
    """Damped sines struck at time 0: what a bell, a plank or a drop of water does.

    Args:
        frequencies_hz: one per mode; modes above `TOP_HZ` are left out.
        t60: seconds in which each mode falls by 60 dB.
        gains: one per mode.
        duration: seconds.
    """
    modes = np.broadcast_arrays(*(np.atleast_1d(x) for x in (frequencies_hz, t60, gains)))
    hz, decay, gain = (mode[modes[0] < TOP_HZ] for mode in modes)
    poles = -math.log(1000.0) / decay + 2j * np.pi * hz
    length, block = samples(duration), 256
    # exp(pole * (start + rest)) = exp(pole * start) * exp(pole * rest), so the sum over modes is
    # one matrix product.
    starts = np.exp(np.outer(np.arange(0, length, block) / RATE_HZ, poles)) * gain
    rests = np.exp(np.outer(poles, np.arange(block) / RATE_HZ))
    return np.asarray((starts @ rests).imag.ravel()[:length], dtype=np.float32)


def harmonics(frequency_hz: Curve, gains: NDArray[np.float64]) -> Wave:
    """A harmonic tone that follows a pitch curve; harmonics that would pass `TOP_HZ` are left out.

    Args:
        frequency_hz: the fundamental at each sample.
        gains: (harmonic, point): the level of each harmonic at evenly spaced points of the tone.
    """
    length = len(frequency_hz)
    phase = np.cumsum(frequency_hz) * (2 * np.pi / RATE_HZ)
    fundamental = np.exp(1j * phase).astype(np.complex64)
    partial, tone = fundamental.copy(), np.zeros(length, dtype=np.float32)
    where = np.linspace(0.0, 1.0, length)
    points = np.linspace(0.0, 1.0, gains.shape[1])
    for row in gains[: int(TOP_HZ / frequency_hz.max())]:
        level = row[0] if len(row) == 1 else np.interp(where, points, row)
        tone += (partial.imag * level).astype(np.float32)
        partial *= fundamental
    return tone


def formants(
    frequency_hz: ArrayLike,
    centres_hz: Sequence[ArrayLike],
    *,
    width_hz: float,
    tilt: float,
    num: int,
) -> NDArray[np.float64]:
    """Gains for `harmonics` of a voice: a source that falls as harmonic**-tilt, through resonances.

    Args:
        frequency_hz: the fundamental at each point.
        centres_hz: each resonance at each point, or one value for all.
        width_hz: half-width of the lowest resonance; higher ones are wider.
        tilt: 1 is a bright buzz, 2 a soft voice.
        num: number of harmonics.
    """
    order = np.arange(1, num + 1)[:, None]
    hz = order * np.atleast_1d(frequency_hz)
    total = np.zeros(hz.shape)
    for place, centre in enumerate(centres_hz):
        total += 0.8**place / (1.0 + ((hz - np.asarray(centre)) / (width_hz * (1 + 0.5 * place))) ** 2)
    return np.asarray(total * order**-tilt)


def pulses(rng: np.random.Generator, frequency_hz: Curve, *, jitter: float, pattern: ArrayLike = 1.0) -> Wave:
    """One impulse each period, its level drawn from `pattern` in turn and shaken by `jitter`."""
    phase = np.cumsum(frequency_hz) / RATE_HZ
    at = np.flatnonzero(np.diff(np.floor(phase)) > 0)
    train = np.zeros(len(phase), dtype=np.float32)
    levels = np.resize(np.atleast_1d(pattern), len(at)) * (1.0 + rng.normal(0.0, jitter, len(at)))
    train[at] = levels
    return train


def convolve(wave: Wave, response: Wave) -> Wave:
    """The two convolved, cut to the length of `wave`."""
    whole = signal.oaconvolve(wave.astype(np.float32), response.astype(np.float32))
    return np.asarray(whole[: len(wave)])


def mix(parts: Iterable[tuple[float, Wave]]) -> Wave:
    """The sum of sounds, each at its onset in seconds."""
    placed = [(samples(onset), part) for onset, part in parts]
    total = np.zeros(max(start + len(part) for start, part in placed), dtype=np.float32)
    for start, part in placed:
        total[start : start + len(part)] += part
    return total


def room(rng: np.random.Generator, wave: Wave, *, t60: float, wet_db: float) -> Wave:
    """The sound in a room of that reverberation time, by a coloured microphone; its tail added."""
    length = samples(0.7 * t60)
    decay = np.exp(-math.log(1000.0) / samples(t60) * np.arange(length))
    tail = noise(rng, length, [(100.0, 0.0), (1500.0, 0.0), (8000.0, -12.0)]) * decay
    tail[: samples(rng.uniform(0.002, 0.02))] = 0.0
    tail *= 10.0 ** (wet_db / 20.0) / max(float(np.sqrt(np.sum(tail**2))), 1e-9)
    tail[0], tail[1] = 1.0, rng.uniform(-0.4, 0.4)
    return np.asarray(signal.oaconvolve(wave.astype(np.float32), tail.astype(np.float32)))


def resample(wave: Wave, sample_rate: int) -> Wave:
    """The sound at another rate, with nothing folded back over the new Nyquist frequency."""
    if sample_rate == RATE_HZ:
        return wave
    common = math.gcd(sample_rate, RATE_HZ)
    up, down = sample_rate // common, RATE_HZ // common
    low_pass = signal.firwin(2 * 48 * max(up, down) + 1, 0.93 / max(up, down), window=("kaiser", 8.0))
    return np.asarray(signal.resample_poly(wave, up, down, window=low_pass))


def finish(wave: Wave, *, sample_rate: int) -> Audio:
    """The sound at `sample_rate`, without rumble or DC, its peak at `PEAK`, its ends faded."""
    high_pass = signal.butter(2, 30.0, "highpass", fs=sample_rate, output="sos")
    out = signal.sosfilt(high_pass, resample(wave, sample_rate).astype(np.float64))
    fade_in, fade_out = (round(fade * sample_rate) for fade in (FADE_IN, FADE_OUT))
    out[:fade_in] *= np.linspace(0.0, 1.0, fade_in)
    out[-fade_out:] *= np.linspace(1.0, 0.0, fade_out)
    return np.asarray(out * (PEAK / np.abs(out).max()), dtype=np.float32)


def onsets(rng: np.random.Generator, count: int, period: float, *, jitter: float) -> list[float]:
    """Onsets in seconds, `period` apart but for a jitter given as a part of it."""
    gaps = period * (1.0 + rng.uniform(-jitter, jitter, count))
    return [0.0, *np.cumsum(gaps).tolist()[: count - 1]]
