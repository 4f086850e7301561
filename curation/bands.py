"""How a sound's energy is spread over time and frequency: what tells whether other sounds mask it.

A-weighted energies of 12 bands, each two critical bands wide (Zwicker's Bark scale), every 20 ms. Windows of 40 ms
overlap by half and their squares add up to one, so that all energies together are those of the signal.
"""

import functools
import math
from typing import Any

import numpy as np
import numpy.typing as npt
import scipy.fft

from curation import kernels
from curation.activity import HOP, Runs, a_weighting

Floats = npt.NDArray[np.floating[Any]]
Energies = npt.NDArray[np.float32]

EDGES_HZ = (0.0, 200.0, 400.0, 630.0, 920.0, 1270.0, 1720.0, 2320.0, 3150.0, 4400.0, 6400.0, 9500.0, math.inf)
NUM_BANDS = len(EDGES_HZ) - 1
STEP = 0.02  # seconds
OWN_SHARE = 0.1  # a band is a sound's own if at least so much of its energy lies there
MAX_AUDIBLE_DB = 60.0
_FLOOR_DBFS = -100.0  # of all bands together: what 16 bits leave of the softest sounds
_STEPS_AT_ONCE = 64


def step_length(sample_rate: int) -> int:
    """Samples in a step."""
    return round(STEP * sample_rate)


def band_energies(samples: Floats, sample_rate: int) -> Energies:
    """Energy (sum of squares, full scale 1.0) of each step and band; step k is samples k * step_length on."""
    step = step_length(sample_rate)
    window, weights, first_bins = _analysis(sample_rate)
    num_steps = -(-len(samples) // step)
    padded = np.zeros((num_steps + 1) * step, np.float32)
    padded[step // 2 : step // 2 + len(samples)] = samples
    frames = np.lib.stride_tricks.sliding_window_view(padded, 2 * step)[::step]
    energies = np.zeros((num_steps, NUM_BANDS), np.float32)
    for first in range(0, num_steps, _STEPS_AT_ONCE):
        spectrum = scipy.fft.rfft(frames[first : first + _STEPS_AT_ONCE] * window, axis=1)
        power = (spectrum.real**2 + spectrum.imag**2) * weights
        # Not a matrix product: what BLAS adds first depends on the processor
        energies[first : first + _STEPS_AT_ONCE, : len(first_bins)] = np.add.reduceat(power, first_bins, axis=1)
    return energies


def step_peaks(samples: Floats, sample_rate: int) -> Energies:
    """The largest absolute sample of each step."""
    step = step_length(sample_rate)
    padded = np.zeros(-(-len(samples) // step) * step, np.float32)
    padded[: len(samples)] = np.abs(samples)
    peaks: Energies = padded.reshape(-1, step).max(axis=1, initial=0.0)
    return peaks


@functools.cache
def _analysis(sample_rate: int) -> tuple[Energies, Energies, npt.NDArray[np.intp]]:
    """The window, the weight of each bin's power (A-weighted, by Parseval's theorem), the first bin of each band."""
    size = 2 * step_length(sample_rate)
    window = np.sin(np.pi * (np.arange(size) + 0.5) / size).astype(np.float32)
    frequencies = scipy.fft.rfftfreq(size, 1 / sample_rate)
    counted = np.full(len(frequencies), 2.0)  # the negative frequencies too
    counted[0] = 1.0
    if size % 2 == 0:
        counted[-1] = 1.0
    power = counted * np.square(a_weighting(frequencies)) / size
    edges = [edge for edge in EDGES_HZ if edge <= frequencies[-1]]
    return window, power.astype(np.float32), np.searchsorted(frequencies, edges)


class Scene:
    """The energies of all sounds of a soundscape, to set each beside the others."""

    def __init__(self, num_samples: int, sample_rate: int) -> None:
        self._step = step_length(sample_rate)
        self._seconds = self._step / sample_rate
        self._total = np.zeros((-(-num_samples // self._step), NUM_BANDS))
        self._floor = 10 ** (_FLOOR_DBFS / 10) * self._step / NUM_BANDS

    def add(self, bands: Energies, start: int, gain: float) -> None:
        """Put a sound in: its energies before the gain, and the sample at which it starts, to the nearest step."""
        kernels.add_bands(self._total, round(start / self._step), bands, gain * gain)

    def audible_db(self, bands: Energies, start: int, gain: float, runs: Runs) -> list[float]:
        """How far a sound that is in the scene stands above all others in each of its runs, by its best own band.

        Args:
            bands: as it was put in.
            start: as it was put in.
            gain: as it was put in.
            runs: by `activity.active_runs`.

        Returns:
            dB, -60 to 60.
        """
        scale, place = HOP / self._seconds, round(start / self._step)
        decibels: list[float] = kernels.stands_above(
            self._total, place, bands, gain * gain, runs, scale, self._floor, OWN_SHARE, MAX_AUDIBLE_DB
        ).tolist()
        return decibels
