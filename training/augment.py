"""Changes to a log-mel spectrogram that leave its labels true: with few recordings, what training depends on most."""

from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from training.config import TrainConfig

_LN_PER_DB = 0.2302585  # natural logarithm of power per decibel
_LEAST_POINTS, _MOST_POINTS = 3, 6  # of the equaliser's curve


@dataclass(frozen=True, kw_only=True)
class SpectrogramAugment:
    """Random equaliser, shift along the mel axis, and masked bands and spans (SpecAugment), drawn per clip."""

    max_equaliser_db: float = 6.0
    max_shift_mels: int = 3
    max_masked_mels: int = 8
    max_masked_frames: int = 24
    num_masks: int = 0

    @property
    def num_draws(self) -> int:
        """Random numbers that one clip takes."""
        return 2 + _MOST_POINTS + 4 * self.num_masks

    def __call__(
        self, mels: Float[Tensor, "clip mel frame"], draws: Float[Tensor, "clip draw"]
    ) -> Float[Tensor, "clip mel frame"]:
        """A changed copy; each clip's changes follow from its own draws, whatever is beside it.

        Args:
            mels: log-mel spectrograms.
            draws: `num_draws` of each clip, uniform in [0, 1).
        """
        shift, points, levels, masks = torch.split(draws, [1, 1, _MOST_POINTS, 4 * self.num_masks], dim=1)
        changed = self._shifted(mels, _whole(shift, 2 * self.max_shift_mels) - self.max_shift_mels)
        changed = changed + _curve(_whole(points, _MOST_POINTS - _LEAST_POINTS), levels, mels.shape[1]).mul(
            2 * self.max_equaliser_db * _LN_PER_DB
        )
        masked = self._masked(mels, masks.view(len(mels), self.num_masks, 4))
        return torch.where(masked, mels.mean((1, 2), keepdim=True), changed)

    def _shifted(
        self, mels: Float[Tensor, "clip mel frame"], shift: Int[Tensor, "clip one"]
    ) -> Float[Tensor, "clip mel frame"]:
        """Every sound a little higher or lower; the outermost band is repeated at the edge."""
        bands = (torch.arange(mels.shape[1], device=mels.device) - shift).clamp(0, mels.shape[1] - 1)
        return mels.gather(1, bands[:, :, None].expand_as(mels))

    def _masked(
        self, mels: Float[Tensor, "clip mel frame"], draws: Float[Tensor, "clip mask four"]
    ) -> Bool[Tensor, "clip mel frame"]:
        bands = _spans(draws[..., 0], draws[..., 1], self.max_masked_mels, mels.shape[1])
        frames = _spans(draws[..., 2], draws[..., 3], self.max_masked_frames, mels.shape[2])
        return bands[:, :, None] | frames[:, None, :]


def augment_of(config: TrainConfig) -> SpectrogramAugment:
    """That of a run."""
    return SpectrogramAugment(num_masks=config.num_masks)


def _whole(draws: Float[Tensor, "*any"], highest: int) -> Int[Tensor, "*any"]:
    """Whole numbers from 0 to `highest`, both included."""
    return (draws * (highest + 1)).long()


def _curve(
    extra: Int[Tensor, "clip one"], levels: Float[Tensor, "clip point"], num_mels: int
) -> Float[Tensor, "clip mel one"]:
    """Straight lines between 3 to 6 random levels from -1/2 to 1/2, evenly spaced over the bands."""
    last = extra + _LEAST_POINTS - 1
    place = torch.linspace(0.0, 1.0, num_mels, device=levels.device) * last
    left = torch.minimum(place.long(), last - 1)
    low, high = levels.gather(1, left), levels.gather(1, left + 1)
    return torch.lerp(low, high, place - left)[:, :, None] - 0.5


def _spans(
    lengths: Float[Tensor, "clip mask"], starts: Float[Tensor, "clip mask"], longest: int, size: int
) -> Bool[Tensor, "clip size"]:
    """Where any of a clip's random spans lies."""
    length = _whole(lengths, min(longest, size))[..., None]
    start = (starts[..., None] * (size - length + 1)).long()
    places = torch.arange(size, device=lengths.device)
    return ((places >= start) & (places < start + length)).any(1)
