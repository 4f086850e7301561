"""A step's losses on a batch: against loops, in parts, and what trains what."""

import dataclasses
import functools
import math
from typing import Any

import pytest
import torch
from conftest import cells_of, make_toy_dataset
from torch import nn

from manifests.errors import FlamError
from training import objective
from training.augment import augment_of
from training.batch_norm import BatchNorm1d, BatchNorm2d
from training.config import ModelConfig, TrainConfig, model_config
from training.data import Batch, make_batch
from training.losses import frame_loss
from training.model import FlamModel, TextHead
from training.objective import step_losses
from training.recipe import load_config
from training.sources import Data, open_sources, sampler_of
from training.trainer import Trainer

TINY: dict[str, Any] = {
    "channels": (16, 8, 8, 8), "width": 16, "num_layers": 1, "num_heads": 2, "text": "hash", "dropout": 0.0,
    "kind_dropout": 0.0,
}  # fmt: skip
PLAIN = TrainConfig(model=ModelConfig(**TINY), batch_size=6, clip_duration=2.0, num_phrases=7)
FLAM = load_config("flam").model_dump(exclude_unset=True, exclude={"model"})
AS_FLAM = TrainConfig.model_validate({**PLAIN.model_dump(), **FLAM, "model": {**TINY, "frame_scale": "text"}})


@pytest.fixture(scope="module")
def batch(tmp_path_factory: pytest.TempPathFactory) -> Batch:
    folder = make_toy_dataset(tmp_path_factory.mktemp("toy") / "data", train=12, valid=0, test=0)
    sources, book = open_sources([Data(root=folder.root)], PLAIN)
    found = make_batch(sources, book, sampler_of(PLAIN, 4.0), 0)
    return dataclasses.replace(found, waveforms=found.waveforms.double(), draws=found.draws)


def model_of(config: TrainConfig) -> FlamModel:
    torch.manual_seed(0)
    model = FlamModel(config.model)
    for parameter in model.parameters():
        nn.init.normal_(parameter, std=0.1)
    return model.double().train()


def gradients(model: FlamModel, batch: Batch, config: TrainConfig) -> dict[str, torch.Tensor]:
    model.zero_grad()
    parts = step_losses(model, batch, config)
    torch.stack([part.weight * part.own for part in parts.values()]).sum().backward()
    found = {name: value.grad.clone() for name, value in model.named_parameters() if value.grad is not None}
    return found | {f"loss {name}": part.own.detach() for name, part in parts.items()}


def assert_same(first: dict[str, torch.Tensor], second: dict[str, torch.Tensor], tolerance: float = 1e-9) -> None:
    assert first.keys() == second.keys()
    for name, value in first.items():
        assert float((value - second[name]).abs().max()) <= tolerance, name


@pytest.fixture(autouse=True)
def _exact(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(objective, "has_bf16", lambda device: False)


@pytest.mark.parametrize("config", [PLAIN, AS_FLAM], ids=["finelap", "flam"])
def test_the_frame_loss_in_parts_is_that_of_the_whole(config, batch, monkeypatch) -> None:
    model = model_of(config)
    whole = gradients(model, batch, config)
    monkeypatch.setattr(objective, "_CELLS", 6 * 50 * 2)  # two phrases at once, of five
    parts = gradients(model, batch, config)
    assert_same(whole, parts)


@pytest.mark.parametrize("config", [PLAIN, AS_FLAM], ids=["finelap", "flam"])
def test_the_gradient_taken_block_by_block_is_autograds(config: TrainConfig, batch: Batch) -> None:
    only = config.model_copy(update={"clip_weight": 0.0, "kind_weight": 0.0, "prior_weight": 0.0})
    model = model_of(only)
    found = gradients(model, batch, only)
    model.zero_grad()
    frames, _ = objective.embed_clips(model, batch, PLAIN)
    logits = model.frame_logits(frames, model.embed_text(batch.phrases))
    labels, known, _ = cells_of(batch)
    loss = frame_loss(logits, labels, known * batch.weights[:, :, None]).mean
    (only.frame_weight * loss).backward()
    plain = {name: value.grad for name, value in model.named_parameters() if value.grad is not None}
    assert_same(plain, {name: value for name, value in found.items() if not name.startswith("loss")})


def test_a_batch_in_small_parts_has_the_gradients_of_the_whole(batch: Batch) -> None:
    """Batch normalisation apart, whose means are those of a part: here it goes by its running means."""
    model = model_of(PLAIN)
    for module in model.modules():
        if isinstance(module, BatchNorm1d | BatchNorm2d):
            module.eval()
    whole = gradients(model, batch, PLAIN)
    for size in (1, 4):
        assert_same(whole, gradients(model, batch, PLAIN.model_copy(update={"micro_batch": size})))


def test_running_statistics_see_each_part_once(batch: Batch) -> None:
    config = PLAIN.model_copy(update={"micro_batch": 3})
    model = model_of(config)
    gradients(model, batch, config)
    expected = model_of(config)
    with torch.no_grad():
        for part in (slice(0, 3), slice(3, 6)):
            expected.embed_audio(batch.waveforms[part], functools.partial(augment_of(config), draws=batch.draws[part]))
    for name, value in expected.named_buffers():
        if "running" in name or "tracked" in name:
            assert torch.equal(value, dict(model.named_buffers())[name]), name


def test_flams_frame_loss_is_that_of_a_slow_loop(batch: Batch) -> None:
    model = model_of(AS_FLAM)
    with torch.no_grad():
        found = step_losses(model, batch, AS_FLAM)["frame"].own
        frames, _ = objective.embed_clips(model, batch, PLAIN)
        texts = model.embed_text(batch.phrases)
    for parameter in model.parameters():
        parameter.requires_grad_(False)
    head = model.frame_logit
    assert isinstance(head, TextHead)
    labels, known, _ = cells_of(batch)
    total, cells = 0.0, 0
    for k in range(len(batch.phrases)):
        hidden = nn.functional.gelu(head.scale_hidden.weight @ texts[k] + head.scale_hidden.bias)
        alpha = math.exp(float(head.scale_out.weight[0] @ hidden + head.scale_out.bias[0]))
        hidden = nn.functional.gelu(head.bias_hidden.weight @ texts[k] + head.bias_hidden.bias)
        beta = float(head.bias_out.weight[0] @ hidden + head.bias_out.bias[0])
        for i in range(frames.shape[0]):
            for t in range(frames.shape[1]):
                if not known[i, k, t]:
                    continue
                h = alpha * float(frames[i, t] @ texts[k]) + beta
                z = 1 if labels[i, k, t] else -1
                total += math.log1p(math.exp(-z * h))
                cells += 1
    assert cells > 1000
    assert math.isclose(float(found), total / cells, rel_tol=1e-9)


def test_flams_biases_learn_from_the_prior_loss_alone(batch: Batch) -> None:
    def of_bias(config: TrainConfig) -> dict[str, torch.Tensor]:
        found = gradients(model_of(config), batch, config)
        return {name: value for name, value in found.items() if "bias_hidden" in name or "bias_out" in name}

    both = of_bias(AS_FLAM)
    prior = of_bias(AS_FLAM.model_copy(update={"frame_weight": 0.0}))
    assert_same(both, prior)
    assert float(both["frame_logit.bias_out.bias"].abs()) > 1e-4
    frame = of_bias(AS_FLAM.model_copy(update={"prior_weight": 0.0}))  # then they learn with the rest
    assert float((frame["frame_logit.bias_out.bias"] - both["frame_logit.bias_out.bias"]).abs()) > 1e-4


@pytest.mark.parametrize("untold", [0, 2, 6])
def test_the_prior_loss_takes_the_share_of_cells_in_clips_that_tell(untold: int, batch: Batch) -> None:
    """A clip that lists what sounds, and perhaps not all, would say that it always does."""
    model = model_of(AS_FLAM)
    told = batch.told.clone()
    told[:untold] = False
    parts = step_losses(model, dataclasses.replace(batch, told=told), AS_FLAM)
    biases = model.phrase_biases(model.embed_text(batch.phrases)).tolist()
    labels, _, _ = cells_of(batch)
    total, number = 0.0, 0
    for k, beta in enumerate(biases):
        if not told[:, k].any():
            continue
        share = float(labels[told[:, k], k].double().mean())
        total += share * math.log1p(math.exp(-beta)) + (1 - share) * math.log1p(math.exp(beta))
        number += 1
    assert (number == 0) == (untold == 6)
    assert math.isclose(float(parts["prior"].own.detach()), total / max(number, 1), rel_tol=1e-9)


@pytest.mark.parametrize("left", ["clip", "frame", "kind", "prior"])
def test_any_loss_may_be_the_only_one(left: str, batch: Batch) -> None:
    off = {f"{name}_weight": 0.0 for name in ("clip", "frame", "kind", "prior") if name != left}
    parts = step_losses(model_of(AS_FLAM), batch, AS_FLAM.model_copy(update={"kind_weight": 5.0, **off}))
    assert list(parts) == [left]
    assert float(parts[left].own.detach()) > 0


def test_a_recipe_whose_losses_find_nothing_is_one_line(batch: Batch) -> None:
    config = PLAIN.model_copy(update={"clip_weight": 0.0, "frame_weight": 0.0, "kind_weight": 0.0})
    with pytest.raises(FlamError, match="no loss has anything to learn from at step 0"):
        Trainer(config, device="cpu").learn(dataclasses.replace(batch, waveforms=batch.waveforms.float()))


def test_flam_starts_at_the_coverage_over_the_batch_size() -> None:
    trainer = Trainer(AS_FLAM, device="cpu", coverage=0.3)
    biases = trainer.model.phrase_biases(trainer.model.embed_text(["a dog barks", "rain"]))
    assert torch.allclose(biases, torch.full((2,), math.log(0.3 / 6)))
    logits = trainer.model.frame_logits(torch.eye(256)[None, :2], torch.eye(256)[:2])
    assert torch.allclose(logits[0, 0], torch.tensor([10.0, 0.0]) + math.log(0.3 / 6), atol=1e-4)  # alpha is 10


def test_a_single_head_embeds_clips_as_the_mean_of_frames() -> None:
    model = FlamModel(ModelConfig(**{**TINY, "heads": "unified"})).eval()
    waveforms = torch.randn(2, 640 * 30, generator=torch.Generator().manual_seed(0))
    hidden = model.audio(waveforms)
    _, clips = model.embed_audio(waveforms)
    expected = nn.functional.normalize(model.frame_head(hidden).mean(1), dim=-1)  # linear: of the mean is the mean of
    assert torch.allclose(clips, expected, atol=1e-5)
    assert not any(name.startswith("clip_head") for name, _ in model.named_parameters())


@pytest.mark.parametrize(
    ("size", "low", "high"), [("small", 0.25e6, 0.35e6), ("base", 1.2e6, 1.8e6), ("large", 5e6, 7e6)]
)
@pytest.mark.parametrize("hop_ms", [40, 160])
def test_each_size_has_about_as_many_parameters_and_frames_as_it_says(size, low, high, hop_ms) -> None:
    model = FlamModel(model_config(size, hop_ms=hop_ms, text="hash")).eval()
    assert low < sum(parameter.numel() for parameter in model.audio.parameters()) < high
    assert model.config.hop == hop_ms / 1000
    frames, _ = model.embed_audio(torch.randn(1, 16 * round(hop_ms) * 25))
    assert frames.shape[1] == 25
