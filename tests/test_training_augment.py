"""What is done to spectrograms in training."""

import math

import pytest
import torch

from training.augment import SpectrogramAugment, augment_of
from training.config import TrainConfig

STILL = SpectrogramAugment(max_equaliser_db=0.0, max_shift_mels=0, num_masks=0)


def drawn(augment: SpectrogramAugment, clips: int, seed: int = 0) -> torch.Tensor:
    return torch.rand(clips, augment.num_draws, generator=torch.Generator().manual_seed(seed))


@pytest.fixture
def mels() -> torch.Tensor:
    return torch.randn(40, 64, 100, generator=torch.Generator().manual_seed(1))


def test_without_any_change_a_spectrogram_is_what_it_was(mels: torch.Tensor) -> None:
    assert torch.equal(STILL(mels, drawn(STILL, 40)), mels)


def test_a_clip_is_changed_alike_whatever_is_beside_it(mels: torch.Tensor) -> None:
    augment = SpectrogramAugment(num_masks=2)
    draws = drawn(augment, 40)
    whole = augment(mels, draws)
    assert torch.equal(whole[7:9], augment(mels[7:9], draws[7:9]))
    assert not torch.equal(whole[0] - mels[0], whole[1] - mels[1])


def test_a_shift_moves_bands_by_at_most_three(mels: torch.Tensor) -> None:
    augment = SpectrogramAugment(max_equaliser_db=0.0, num_masks=0)
    moved = augment(mels, drawn(augment, 40, seed=1))
    shifts = set()
    for before, after in zip(mels, moved, strict=True):
        (shift,) = [s for s in range(-3, 4) if torch.equal(before[5 - s : 55 - s], after[5:55])]
        shifts.add(shift)
    assert shifts == set(range(-3, 4))


def test_the_equaliser_adds_one_curve_to_all_frames_of_a_clip(mels: torch.Tensor) -> None:
    augment = SpectrogramAugment(max_shift_mels=0, num_masks=0)
    curve = augment(mels, drawn(augment, 40)) - mels
    assert torch.allclose(curve, curve[:, :, :1].expand_as(curve), atol=1e-5)
    most = 6.0 * math.log(10) / 10
    assert 0.7 * most < float(curve.abs().max()) <= most + 1e-5
    assert abs(float(curve.mean())) < 0.1


def test_masks_are_bands_and_spans_at_the_clips_mean(mels: torch.Tensor) -> None:
    augment = SpectrogramAugment(max_equaliser_db=0.0, max_shift_mels=0, num_masks=2)
    masked = augment(mels, drawn(augment, 40)) != mels
    assert torch.allclose(
        augment(mels, drawn(augment, 40))[masked], mels.mean((1, 2))[:, None, None].expand_as(mels)[masked]
    )
    bands, spans = masked.all(2), masked.all(1)
    assert torch.equal(masked, bands[:, :, None] | spans[:, None, :])
    assert 0 < int(bands.sum(1).max()) <= 2 * 8
    assert 0 < int(spans.sum(1).max()) <= 2 * 24
    assert int(bands.sum(1).min()) < 8


def test_a_run_has_as_many_masks_as_its_recipe_says() -> None:
    assert augment_of(TrainConfig(num_masks=3)).num_masks == 3
