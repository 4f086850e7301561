"""Zero-phase filters: a spectral tilt and a pass band. Nothing is delayed, and an impulse stays where it is.

Each is a symmetric FIR filter with the gain that its formula has at each frequency. Samples are float32, full scale
1.0; results may exceed it, and have the length of the input, with silence before and after it.
"""

import functools
from typing import Any

import numpy as np
import numpy.typing as npt
import scipy.fft
import scipy.signal
from jaxtyping import Float32

Floats = npt.NDArray[np.floating[Any]]

_TILT_CENTRE_HZ, _TILT_LEAST_HZ = 1000.0, 50.0
_TILT_REACH = 0.05  # seconds before and after an impulse; beyond, less than -100 dB are left
_BAND_ORDER = 7  # -3 dB at the edge, -42 dB an octave beyond
_BAND_REACH = 8.0  # periods of the edge before and after an impulse; beyond, -90 dB are left
LEAST_HZ = 10.0  # of an edge


def tilted(samples: Float32[np.ndarray, " sample"], tilt_db: float, sample_rate: int) -> Float32[np.ndarray, " sample"]:
    """The signal with `tilt_db` more per octave, unchanged at 1 kHz; below 50 Hz the gain stays what it is there.

    A new array; just as it was if `tilt_db` is 0.
    """
    if tilt_db == 0.0:
        return samples.copy()
    return _filtered(samples, _tilt_taps(tilt_db, sample_rate))


def band_limited(
    samples: Float32[np.ndarray, " sample"], *, low_hz: float, high_hz: float, sample_rate: int
) -> Float32[np.ndarray, " sample"]:
    """The signal as a microphone hears it: -3 dB at `low_hz` and `high_hz`, -42 dB an octave beyond (Butterworth).

    A side at which nothing is to be cut: `low_hz` 0, `high_hz` half the sample rate or more. A new array.
    """
    nyquist_hz = sample_rate / 2
    if not (low_hz == 0 or LEAST_HZ <= low_hz < nyquist_hz):
        raise ValueError(f"low_hz is {low_hz}; it must be 0, or from {LEAST_HZ:g} to below {nyquist_hz:g}")
    if not (high_hz > low_hz and high_hz >= LEAST_HZ):
        raise ValueError(f"high_hz is {high_hz}; it must be above low_hz, {low_hz:g}, and at least {LEAST_HZ:g}")
    out = samples.copy()
    if low_hz > 0:
        out = _filtered(out, _edge_taps(low_hz, sample_rate, side=-1))
    if high_hz < nyquist_hz:
        out = _filtered(out, _edge_taps(high_hz, sample_rate, side=1))
    return out


def convolved(one: Float32[np.ndarray, " one"], two: Float32[np.ndarray, " two"]) -> Float32[np.ndarray, " sum"]:
    """len(one) + len(two) - 1 samples; by overlap and add, in float32. Nothing if one of them is empty."""
    return np.asarray(scipy.signal.oaconvolve(one, two), np.float32)


def _filtered(
    samples: Float32[np.ndarray, " sample"], taps: Float32[np.ndarray, " tap"]
) -> Float32[np.ndarray, " sample"]:
    reach = len(taps) // 2
    return convolved(samples, taps)[reach : reach + len(samples)].copy()


def _tilt_taps(tilt_db: float, sample_rate: int) -> Float32[np.ndarray, " tap"]:
    reach = int(_TILT_REACH * sample_rate)
    frequencies = _frequencies(reach, sample_rate)
    # the least frequency is rounded off: a corner would ring
    octaves = np.log2((frequencies**4 + _TILT_LEAST_HZ**4) ** 0.25 / _TILT_CENTRE_HZ)
    return _taps(10.0 ** (tilt_db * octaves / 20), reach)


@functools.lru_cache(maxsize=64)
def _edge_taps(edge_hz: float, sample_rate: int, *, side: int) -> Float32[np.ndarray, " tap"]:
    """Of what cuts what is above the edge (side 1) or below (-1)."""
    reach = int(_BAND_REACH / edge_hz * sample_rate)
    beyond = np.maximum(_frequencies(reach, sample_rate), 1e-3 * edge_hz) / edge_hz
    return _taps((1.0 + beyond ** (2.0 * side * _BAND_ORDER)) ** -0.5, reach)


def _frequencies(reach: int, sample_rate: int) -> Floats:
    """In Hz, close enough that what is beyond the reach does not fold back."""
    return np.asarray(scipy.fft.rfftfreq(4 * scipy.fft.next_fast_len(reach + 1), 1 / sample_rate))


def _taps(gains: Floats, reach: int) -> Float32[np.ndarray, " tap"]:
    """2 * reach + 1 taps, the middle one first met by the signal's own sample."""
    response = scipy.fft.irfft(gains)
    return np.concatenate([response[-reach:] if reach else response[:0], response[: reach + 1]]).astype(np.float32)
