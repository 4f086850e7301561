"""What of a sound stays the same in copies of it: louder or softer, coded with loss, resampled, cut to a part.

A sound is described at its anchors, the moments at which its spectrum rises fastest within a tenth of a second, each
found from its surroundings alone, so that a part of a recording has the anchors that the whole has there. A
descriptor says for 8 pairs of neighbouring bands and 8 steps around the anchor whether the lower band gained on the
higher one: 64 signs, as in Haitsma and Kalker's fingerprint (ISMIR 2002), which no gain and no equaliser changes.
"""

import functools
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import scipy.fft
import scipy.ndimage
import soxr

Floats = npt.NDArray[np.floating[Any]]

RATE = 8_000  # Hz; lower rates than this are not in the bank
HOP = 64  # samples, 8 ms
_WINDOW = 1024
_FRAMES_AT_ONCE = 2048  # so that half an hour does not fill the memory
_EDGES_HZ = np.geomspace(120, 3_400, 10)
_STEPS = np.arange(-12, 24, 4)  # frames from an anchor: -96 to 160 ms
_REACH = 6  # frames on either side within which an anchor is the highest
_FLOOR = 10**-2.5  # what a band is worth next to the loudest moment within 0.2 s
_AROUND = 24  # frames
_LEAST_RISE = 0.5  # of the spectrum at an anchor: sum over bands, natural logarithms of energy


@dataclass(frozen=True, kw_only=True, slots=True)
class Fingerprint:
    """The anchors of a sound, in order."""

    frames: npt.NDArray[np.uint32]  # where: HOP samples at RATE each, from the start
    descriptors: npt.NDArray[np.uint64]


def fingerprint(samples: Floats, sample_rate: int) -> Fingerprint:
    """The anchors of a sound and how its spectrum moves around each."""
    levels = _band_levels(at_rate(samples, sample_rate))
    rise = np.maximum(levels[4:] - levels[:-4], 0).sum(axis=1)
    highest = scipy.ndimage.maximum_filter1d(rise, 2 * _REACH + 1, mode="constant")
    anchors = np.flatnonzero((rise == highest) & (rise > _LEAST_RISE)) + 2
    return Fingerprint(frames=anchors.astype(np.uint32), descriptors=_descriptors(levels, anchors))


def at_rate(samples: Floats, sample_rate: int) -> npt.NDArray[np.float32]:
    """A sound at RATE."""
    samples = np.asarray(samples, np.float32)
    return samples if sample_rate == RATE else np.asarray(soxr.resample(samples, sample_rate, RATE, "LQ"))


def _band_levels(samples: Floats) -> Floats:
    """Natural logarithm of the energy in each band, frame by frame."""
    padded = np.pad(samples, _WINDOW // 2)
    frames = np.lib.stride_tricks.sliding_window_view(padded, _WINDOW)[::HOP]
    edges = np.rint(_EDGES_HZ / RATE * _WINDOW).astype(int)
    bands = np.empty((len(frames), len(edges) - 1))
    for start in range(0, len(frames), _FRAMES_AT_ONCE):
        spectrum = scipy.fft.rfft(frames[start : start + _FRAMES_AT_ONCE] * _window(), axis=1)
        power = np.square(spectrum.real) + np.square(spectrum.imag)
        bands[start : start + _FRAMES_AT_ONCE] = np.add.reduceat(power, edges, axis=1)[:, :-1]
    around = scipy.ndimage.maximum_filter1d(bands.sum(axis=1), 2 * _AROUND + 1)
    return np.asarray(np.log(bands + _FLOOR * around[:, np.newaxis] + 1e-9))


@functools.cache
def _window() -> npt.NDArray[np.float32]:
    return np.hanning(_WINDOW).astype(np.float32)


def _descriptors(levels: Floats, anchors: npt.NDArray[np.intp]) -> npt.NDArray[np.uint64]:
    padded = np.pad(levels, ((-_STEPS[0], _STEPS[-1]), (0, 0)), mode="edge")
    patches = padded[anchors[:, np.newaxis] + (_STEPS - _STEPS[0])]  # anchor, step, band
    signs = np.diff(np.diff(patches, axis=1), axis=2) > 0
    return np.packbits(signs.reshape(len(anchors), 64), axis=1).view(">u8").astype(np.uint64)[:, 0]
