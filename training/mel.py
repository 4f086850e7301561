"""Waveform -> log-mel spectrogram, in torch, so that it runs wherever the model does."""

import math

import torch
from jaxtyping import Float
from torch import Tensor, nn


class LogMel(nn.Module):
    """Log-mel spectrogram whose frame j is centred at (j + 0.5) * hop_samples, so that frames tile the clip.

    Args:
        sample_rate: Hz.
        num_mels: number of triangular filters on Slaney's mel scale, each of unit area.
        fft_samples: length of the Hann window and of the transform.
        hop_samples: samples from one frame to the next; a waveform must be a multiple of it long.
    """

    filters: Tensor
    window: Tensor

    def __init__(self, *, sample_rate: int, num_mels: int, fft_samples: int, hop_samples: int) -> None:
        super().__init__()
        self.fft_samples, self.hop_samples = fft_samples, hop_samples
        filters = mel_filters(sample_rate=sample_rate, num_mels=num_mels, fft_samples=fft_samples)
        self.register_buffer("filters", filters, persistent=False)
        self.register_buffer("window", torch.hann_window(fft_samples), persistent=False)

    def forward(self, waveforms: Float[Tensor, "batch sample"]) -> Float[Tensor, "batch mel frame"]:
        """Natural logarithm of the power in each mel band, plus a floor of 1e-8 against log 0."""
        left = (self.fft_samples - self.hop_samples) // 2
        right = self.fft_samples - self.hop_samples - left
        padded = nn.functional.pad(waveforms, (left, right))
        at_once = 1 if padded.device.type == "cpu" else len(padded)  # one at a time stays in a CPU's cache
        return torch.cat([self._log_mel(part) for part in torch.split(padded, at_once)])

    def _log_mel(self, padded: Float[Tensor, "batch sample"]) -> Float[Tensor, "batch mel frame"]:
        spectrum = torch.stft(
            padded, self.fft_samples, self.hop_samples, window=self.window, center=False, return_complex=True
        )
        power = spectrum.real.square() + spectrum.imag.square()
        return torch.log(self.filters @ power + 1e-8)


def mel_filters(*, sample_rate: int, num_mels: int, fft_samples: int) -> Float[Tensor, "mel bin"]:
    """Triangular filters from 0 Hz to the Nyquist frequency, as librosa.filters.mel makes them by default."""
    edges = _mel_to_hz(torch.linspace(0.0, _hz_to_mel(sample_rate / 2), num_mels + 2, dtype=torch.float64))
    bins = torch.linspace(0.0, sample_rate / 2, fft_samples // 2 + 1, dtype=torch.float64)
    low, centre, high = edges[:-2, None], edges[1:-1, None], edges[2:, None]
    triangles = torch.minimum((bins - low) / (centre - low), (high - bins) / (high - centre)).clamp(min=0.0)
    return (triangles * 2.0 / (high - low)).float()


_LINEAR_HZ_PER_MEL, _BREAK_HZ, _LOG_STEP = 200.0 / 3, 1000.0, math.log(6.4) / 27


def _hz_to_mel(hz: float) -> float:
    if hz < _BREAK_HZ:
        return hz / _LINEAR_HZ_PER_MEL
    return _BREAK_HZ / _LINEAR_HZ_PER_MEL + math.log(hz / _BREAK_HZ) / _LOG_STEP


def _mel_to_hz(mels: Tensor) -> Tensor:
    break_mel = _BREAK_HZ / _LINEAR_HZ_PER_MEL
    return torch.where(
        mels < break_mel, mels * _LINEAR_HZ_PER_MEL, _BREAK_HZ * torch.exp((mels - break_mel) * _LOG_STEP)
    )
