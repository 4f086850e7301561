"""A detector that hears less: everything through a low-pass filter."""

from collections.abc import Sequence

import numpy as np
import scipy.signal
from jaxtyping import Float

from evaluation.scored import Detector
from manifests import audio
from manifests.audio import Recording, Source

_ORDER = 8  # of the Butterworth filter, which runs over the sound forwards and then backwards


class LowPassed:
    """A detector as it answers to a narrower band.

    Args:
        detector: that hears what is left.
        cutoff_hz: of the filter, see `low_passed`.
    """

    def __init__(self, detector: Detector, cutoff_hz: float) -> None:
        self.detector, self.cutoff_hz, self.hop = detector, cutoff_hz, detector.hop

    @property
    def identity(self) -> str:
        """The detector's, and the cut-off."""
        return f"{self.detector.identity} below {self.cutoff_hz:g} Hz"

    def hear(
        self, source: Source, phrases: Sequence[str]
    ) -> tuple[Float[np.ndarray, "frame phrase"], Float[np.ndarray, " dim"]]:
        """The detector's answer to the filtered sound."""
        return self.detector.hear(low_passed(source, self.cutoff_hz), phrases)

    def caption_embeddings(self, captions: Sequence[str]) -> Float[np.ndarray, "caption dim"]:
        """The detector's own."""
        return self.detector.caption_embeddings(captions)


def low_passed(source: Source, cutoff_hz: float) -> Recording:
    """A sound at its own sample rate without what is above a frequency; unchanged if it holds nothing there.

    A Butterworth filter of order 8 forwards and backwards: no delay, -6 dB at the cut-off, then 96 dB an octave.
    """
    rate = source.sample_rate if isinstance(source, Recording) else audio.probe(source)[0]
    samples = audio.read(source, rate)
    if 2 * cutoff_hz < rate and len(samples):
        sections = scipy.signal.butter(_ORDER, cutoff_hz, output="sos", fs=rate)
        edge = min(round(2 * rate / cutoff_hz), len(samples) - 1)  # mirrored at both ends, to begin without a jump
        samples = scipy.signal.sosfiltfilt(sections, samples, padlen=edge).astype(np.float32)
    return Recording(samples=audio.to_int16(samples), sample_rate=rate, name=str(source))
