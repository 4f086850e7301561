"""One optimizer step against the same by hand."""

import math
from pathlib import Path
from typing import Any

import pytest
import torch
from conftest import make_toy_dataset
from torch import nn

from training import objective, trainer
from training.checkpoint import load_tensors
from training.config import ModelConfig, TrainConfig
from training.data import Batch, make_batch
from training.objective import Part
from training.sources import Data, open_sources, sampler_of
from training.trainer import Trainer

TINY = ModelConfig(channels=(16, 8, 8, 8), width=16, num_layers=1, num_heads=2, text="hash")
CONFIG = TrainConfig(model=TINY, steps=8, batch_size=4, clip_duration=2.0, warmup_steps=3)


@pytest.fixture(scope="module")
def batch(tmp_path_factory: pytest.TempPathFactory) -> Batch:
    folder = make_toy_dataset(tmp_path_factory.mktemp("toy") / "data", train=8, valid=0, test=0)
    sources, book = open_sources([Data(root=folder.root)], CONFIG)
    return make_batch(sources, book, sampler_of(CONFIG, sources.longest()), 0)


def test_the_rate_rises_in_a_line_and_falls_as_half_a_cosine(batch: Batch) -> None:
    taught = Trainer(CONFIG.model_copy(update={"learning_rate": 0.01}), device="cpu")
    rates = []
    for _ in range(8):
        taught.learn(batch)
        rates.append(taught.optimizer.param_groups[0]["lr"])
    root = math.sqrt(0.5)
    by_hand = [1 / 3, 2 / 3 * (1 + math.cos(math.pi / 8)) / 2, (1 + root) / 2, (1 + math.cos(3 * math.pi / 8)) / 2]
    by_hand += [0.5, (1 - math.cos(3 * math.pi / 8)) / 2, (1 - root) / 2, (1 - math.cos(math.pi / 8)) / 2]
    assert rates == pytest.approx([0.01 * value for value in by_hand])


@pytest.mark.parametrize(("size", "left"), [(0.01, 0.01), (50.0, 2.0)])
def test_a_gradient_longer_than_two_is_shortened_to_two(
    size: float, left: float, batch: Batch, monkeypatch: pytest.MonkeyPatch
) -> None:
    taught = Trainer(CONFIG, device="cpu")
    count = sum(one.numel() for one in taught.model.parameters())

    def pulled(model: nn.Module, *_: Any) -> dict[str, Part]:
        """Every weight has the same gradient; all of them together are `size` long."""
        return {"pull": Part(1.0, sum(one.sum() for one in model.parameters()) * (size / math.sqrt(count)))}

    monkeypatch.setattr(trainer, "step_losses", pulled)
    taught.learn(batch)
    gradients = torch.cat([one.grad.flatten() for one in taught.model.parameters() if one.grad is not None])
    assert float(gradients.norm()) == pytest.approx(left, rel=1e-3)


def test_the_averaged_weights_are_a_running_mean(batch: Batch) -> None:
    taught = Trainer(CONFIG.model_copy(update={"ema_decay": 0.15, "learning_rate": 0.01}), device="cpu")
    name = "frame_head.weight"
    mean = taught.model.get_parameter(name).detach().clone()
    for step in (1, 2, 3):
        taught.learn(batch)
        decay = min(0.15, step / (step + 10))  # the first steps forget faster
        mean = decay * mean + (1 - decay) * taught.model.get_parameter(name).detach()
        torch.testing.assert_close(taught.average.get_parameter(name), mean)
    assert not torch.allclose(mean, taught.model.get_parameter(name).detach(), atol=1e-5)


def test_in_bfloat16_the_losses_are_nearly_those_of_float32(batch: Batch, monkeypatch: pytest.MonkeyPatch) -> None:
    losses = {}
    for short in (True, False):
        monkeypatch.setattr(objective, "has_bf16", lambda _, short=short: short)
        losses[short] = Trainer(CONFIG, device="cpu").learn(batch)["loss"]
    assert losses[True] != losses[False]
    assert losses[True] == pytest.approx(losses[False], rel=0.02)


def test_what_does_not_learn_is_held_and_written_once(batch: Batch, tmp_path: Path) -> None:
    real = trainer.FlamModel

    def with_a_frozen_head(*arguments: Any) -> Any:
        model = real(*arguments)
        model.frame_head.requires_grad_(False)
        return model

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(trainer, "FlamModel", with_a_frozen_head)
        taught, again = (Trainer(CONFIG, device="cpu") for _ in range(2))
    taught.learn(batch)
    head, mean = taught.model.frame_head.weight, taught.average.frame_head.weight
    assert head.data_ptr() == mean.data_ptr()
    taught.save(tmp_path / "a.safetensors", {})
    names = load_tensors(tmp_path / "a.safetensors")[0].keys()
    assert "model.frame_head.weight" in names
    assert "average.frame_head.weight" not in names
    with torch.no_grad():
        again.model.frame_head.weight.zero_()
    again.restore(tmp_path / "a.safetensors")
    assert torch.equal(again.average.frame_head.weight, head)
    for first, second in ((taught.model, again.model), (taught.average, again.average)):
        for name, value in first.state_dict().items():
            assert torch.equal(value, second.state_dict()[name]), name
