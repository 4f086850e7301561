"""What may be done to an event before it is mixed: another pitch, another duration, another timbre.

Pitch and duration are Scaper's `pitch_shift` and `time_stretch`, as it has sox do them, without sox (docs/effects.md).
Samples are float32, full scale 1.0; results may exceed it. Nothing is random.
"""

import math
from dataclasses import dataclass

import numpy as np
import soxr
from jaxtyping import Float32

from curation.filters import tilted
from curation.wsola import splicing_for_pitch, splicing_for_tempo, stretched, stretched_length

_RANGES = {"pitch_semitones": (-24.0, 24.0), "time_stretch": (0.25, 4.0), "tilt_db": (-12.0, 12.0)}
_LEAST_RATE = 4000  # Hz; below, segments would get too short to overlap


@dataclass(frozen=True, kw_only=True, slots=True)
class EventEffects:
    """Applied in this order; the defaults change nothing."""

    pitch_semitones: float = 0.0  # -24 to 24
    time_stretch: float = 1.0  # factor of the duration, 0.25 to 4; 2 is twice as long
    tilt_db: float = 0.0  # per octave around 1 kHz, -12 to 12; positive is brighter

    def __post_init__(self) -> None:
        for name, (least, most) in _RANGES.items():
            value = getattr(self, name)
            if not least <= value <= most:  # not true of NaN either
                raise ValueError(f"{name} is {value}; it must be between {least:g} and {most:g}")


def processed_length(num_samples: int, effects: EventEffects) -> int:
    """Samples of the event with its effects: `num_samples`, unless it is stretched."""
    if effects.time_stretch == 1.0:
        return num_samples
    return stretched_length(num_samples, tempo_of(effects))


def processed(
    samples: Float32[np.ndarray, " sample"], effects: EventEffects, sample_rate: int
) -> Float32[np.ndarray, " longer"]:
    """The event with its effects, `processed_length` samples in a new array; just as it was if there are none.

    Like sox's, a shifted signal that is then stretched has its segments measured at the rate it is to be played at.
    """
    if sample_rate < _LEAST_RATE:
        raise ValueError(f"sample_rate is {sample_rate}; it must be at least {_LEAST_RATE}")
    faster, tempo = _pitch_tempo(effects), tempo_of(effects)
    out, rate = samples, float(sample_rate)
    if faster != 1.0:
        out, rate = stretched(out, faster, splicing_for_pitch(rate)), rate / faster
    if tempo != 1.0:
        out = stretched(out, tempo, splicing_for_tempo(tempo, rate))
    if faster != 1.0:
        out = soxr.resample(out, rate, sample_rate, "HQ")  # as manifests.audio.resample
    out = _fitted(out, processed_length(len(samples), effects))
    return tilted(out, effects.tilt_db, sample_rate)


def tempo_of(effects: EventEffects) -> float:
    """Scaper's `1.0 / time_stretch`, in the six decimals in which sox is told it."""
    return round(1.0 / effects.time_stretch, 6)


def _pitch_tempo(effects: EventEffects) -> float:
    """How much faster it is played before it is resampled back; sox keeps six digits of it."""
    return float(f"{math.pow(2.0, -round(100 * effects.pitch_semitones, 6) / 1200):g}")


def _fitted(samples: Float32[np.ndarray, " sample"], num_samples: int) -> Float32[np.ndarray, " fitted"]:
    """A copy without what is too much, or with silence for what is missing: a sample or two after resampling."""
    out = np.zeros(num_samples, np.float32)
    kept = min(num_samples, len(samples))
    out[:kept] = samples[:kept]
    return out
