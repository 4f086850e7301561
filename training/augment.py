"""Changes to a log-mel spectrogram that leave its labels true: with few recordings, what training depends on most."""

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional

_LN_PER_DB = 0.2302585  # natural logarithm of power per decibel


@dataclass(frozen=True, kw_only=True)
class SpectrogramAugment:
    """Random equaliser, shift along the mel axis, and masked bands and spans (SpecAugment), drawn per clip."""

    max_equaliser_db: float = 6.0
    max_shift_mels: int = 3
    max_masked_mels: int = 8
    max_masked_frames: int = 24
    num_masks: int = 2

    def __call__(self, mels: Float[Tensor, "clip mel frame"]) -> Float[Tensor, "clip mel frame"]:
        """A changed copy. Draws from torch's default generator, which the training loop seeds for every step."""
        changed = torch.stack([self._shifted(clip) for clip in mels])
        changed = changed + self._equaliser(mels)
        return torch.where(self._masked(mels), mels.mean(), changed)

    def _shifted(self, mels: Float[Tensor, "mel frame"]) -> Float[Tensor, "mel frame"]:
        """Every sound a little higher or lower; the outermost band is repeated at the edge."""
        shift = _random(2 * self.max_shift_mels) - self.max_shift_mels
        bands = torch.arange(len(mels), device=mels.device) - shift
        return mels[bands.clamp(0, len(mels) - 1)]

    def _equaliser(self, mels: Float[Tensor, "clip mel frame"]) -> Float[Tensor, "clip mel one"]:
        points = (torch.rand(len(mels), 1, 3 + _random(3)) * 2 - 1) * self.max_equaliser_db
        curve = functional.interpolate(points, mels.shape[1], mode="linear", align_corners=True).transpose(1, 2)
        return (curve * _LN_PER_DB).to(mels.device)

    def _masked(self, mels: Float[Tensor, "clip mel frame"]) -> Tensor:
        clips, bands, frames = mels.shape
        masked = torch.zeros(clips, bands, frames, dtype=torch.bool)
        for clip in masked:
            for _ in range(self.num_masks):
                height, width = _random(self.max_masked_mels), _random(self.max_masked_frames)
                low, start = _random(bands - height), _random(max(frames - width, 0))
                clip[low : low + height] = True
                clip[:, start : start + width] = True
        return masked.to(mels.device)


def _random(highest: int) -> int:
    """A whole number from 0 to `highest`, both included."""
    return int(torch.randint(highest + 1, ()))
