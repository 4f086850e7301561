"""The objective of a step: which losses, over which clips and texts (docs/model.md)."""

import functools
from collections.abc import Iterator
from contextlib import nullcontext
from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor
from torch.utils.checkpoint import checkpoint

from training import parallel
from training.augment import SpectrogramAugment
from training.batch_norm import statistics_kept
from training.config import TrainConfig
from training.data import Batch
from training.losses import Sum, clip_sigmoid_loss, frame_loss, infonce_loss, prior_loss
from training.model import FlamModel

_CELLS = 4_000_000  # of (clip, phrase, frame) at once in the frame loss: more is counted in parts

AUGMENT = SpectrogramAugment()


class Part(NamedTuple):
    """One loss, and what it weighs."""

    weight: float
    own: Float[Tensor, ""]  # what this process adds: the loss is the sum over processes


def step_losses(model: FlamModel, batch: Batch, config: TrainConfig) -> dict[str, Part]:
    """Each loss that has a weight, over the global batch; batch is on the model's device."""
    frames, clips = embed_clips(model, batch, config.micro_batch)
    parts: dict[str, Part] = {}
    if config.clip_weight and batch.captions:
        own = model.embed_text(batch.captions[parallel.rank() :: parallel.world()])
        captions = parallel.gathered(own, len(batch.captions))
        parts["clip"] = Part(config.clip_weight, _clip(model, clips, captions, batch, config))
    if (config.frame_weight or config.prior_weight) and batch.phrases:
        own = model.embed_text(batch.phrases[parallel.rank() :: parallel.world()])
        if config.frame_weight:
            parts["frame"] = Part(config.frame_weight, _share(_frame(model, frames, own, batch, config)))
        if config.prior_weight:
            phrases = parallel.gathered(own, len(batch.phrases))
            parts["prior"] = Part(config.prior_weight, _prior(model, phrases, batch))
    if config.kind_weight:
        weights = batch.kind_known * batch.kind_weights[:, :, None]
        kinds = frame_loss(model.kind_logits(frames), batch.kind_labels, weights)
        parts["kind"] = Part(config.kind_weight, _share(kinds))
    return parts


def embed_clips(
    model: FlamModel, batch: Batch, micro_batch: int | None
) -> tuple[Float[Tensor, "clip frame dim"], Float[Tensor, "clip dim"]]:
    """Frames and clips of a batch in training, in bfloat16 where that is fast.

    With `micro_batch` clips at a time, whose activations are forgotten and computed again going backwards: memory is
    that of so many clips, and the losses still see all of them.
    """

    def embed(waveforms: Tensor, draws: Tensor) -> tuple[Tensor, Tensor]:
        with torch.autocast(waveforms.device.type, torch.bfloat16, enabled=has_bf16(waveforms.device)):
            return model.embed_audio(waveforms, functools.partial(AUGMENT, draws=draws))

    if micro_batch is None or micro_batch >= len(batch.waveforms):
        return embed(batch.waveforms, batch.draws)
    parts = [
        checkpoint(embed, *part, use_reentrant=False, context_fn=lambda: (nullcontext(), statistics_kept(model)))
        for part in zip(torch.split(batch.waveforms, micro_batch), torch.split(batch.draws, micro_batch), strict=True)
    ]
    return torch.cat([frames for frames, _ in parts]), torch.cat([clips for _, clips in parts])


def _share(found: Sum) -> Float[Tensor, ""]:
    """What the clips of this process add to a mean over those of all."""
    return found.total / parallel.total(found.divisor).clamp(min=1e-6)


def _clip(
    model: FlamModel,
    clips: Float[Tensor, "clip dim"],
    captions: Float[Tensor, "caption dim"],
    batch: Batch,
    config: TrainConfig,
) -> Float[Tensor, ""]:
    if config.clip_loss == "sigmoid":
        return _share(clip_sigmoid_loss(model.clip_logits(clips, captions), batch.matches))
    every = parallel.gathered(clips, config.batch_size)
    matches = parallel.gathered(batch.matches.float(), config.batch_size) > 0
    return infonce_loss(model.clip_logits(every, captions), matches) / parallel.world()


def _frame(
    model: FlamModel,
    frames: Float[Tensor, "clip frame dim"],
    own: Float[Tensor, "own dim"],
    batch: Batch,
    config: TrainConfig,
) -> Sum:
    """Own clips against the phrases of all processes, a block of phrases at a time."""
    detached = config.prior_weight > 0

    def loss(vectors: Float[Tensor, "block dim"], places: slice) -> tuple[Tensor, Tensor]:
        hidden = (1.0 - config.masked_weight) * batch.masked[:, places]
        weights = batch.known[:, places] * batch.weights[:, places, None] * (1.0 - hidden)
        return frame_loss(model.frame_logits(frames, vectors, bias_detached=detached), batch.labels[:, places], weights)

    sums = [
        loss(vectors, places) if whole else checkpoint(loss, vectors, places, use_reentrant=False)
        for vectors, places, whole in _blocks(own, batch, config)
    ]
    return Sum(torch.stack([one[0] for one in sums]).sum(), torch.stack([one[1] for one in sums]).sum())


def _blocks(
    own: Float[Tensor, "own dim"], batch: Batch, config: TrainConfig
) -> Iterator[tuple[Float[Tensor, "block dim"], slice, bool]]:
    """Phrase vectors, their places among all phrases, and whether they are all that there are.

    By a ring no process ever holds all, as in FLAM; gathered, each does. In a block whose logits are computed again
    going backwards, memory is that of one block.
    """
    size, per_block = len(batch.phrases), max(1, _CELLS // (batch.labels.shape[0] * batch.labels.shape[2]))
    if config.exchange == "ring":
        whole = [(places, vectors) for places, vectors in parallel.ring(own, size)]
    else:
        whole = [(slice(0, size, 1), parallel.gathered(own, size))]
    for places, vectors in whole:
        start, _, step = places.indices(size)
        for first in range(0, len(vectors), per_block):
            block = vectors[first : first + per_block]
            stop = start + (first + len(block)) * step
            yield block, slice(start + first * step, min(stop, size), step), len(whole) == 1 and len(block) == size


def _prior(model: FlamModel, phrases: Float[Tensor, "phrase dim"], batch: Batch) -> Float[Tensor, ""]:
    cells = torch.stack([batch.labels.sum((0, 2)), batch.known.sum((0, 2))]).to(phrases)
    positive, known = parallel.total(cells)
    return prior_loss(model.phrase_biases(phrases), positive / known) / parallel.world()


def has_bf16(device: torch.device) -> bool:
    """Whether bfloat16 is faster than float32 there: on a CPU, only with instructions made for it."""
    if device.type != "cpu":
        return device.type == "cuda" and torch.cuda.is_bf16_supported()
    return torch.cpu._is_avx512_bf16_supported()
