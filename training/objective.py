"""The objective of a step: which losses, over which clips and texts (docs/model.md)."""

import functools
from collections.abc import Callable, Iterator, Sequence
from contextlib import nullcontext
from typing import Any, NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor
from torch.utils.checkpoint import checkpoint

from training import parallel
from training.augment import augment_of
from training.batch_norm import statistics_kept
from training.config import TrainConfig
from training.data import Batch
from training.losses import Sum, clip_sigmoid_loss, frame_loss, infonce_loss, prior_loss
from training.model import FlamModel

_CELLS = 4_000_000  # of (clip, phrase, frame) at once in the frame loss: more is counted in parts


class Part(NamedTuple):
    """One loss, and what it weighs."""

    weight: float
    own: Float[Tensor, ""]  # what this process adds: the loss is the sum over processes


def step_losses(model: FlamModel, batch: Batch, config: TrainConfig) -> dict[str, Part]:
    """Each loss that has a weight, over the global batch; batch is on the model's device."""
    frames, clips = embed_clips(model, batch, config)
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
    model: FlamModel, batch: Batch, config: TrainConfig
) -> tuple[Float[Tensor, "clip frame dim"], Float[Tensor, "clip dim"]]:
    """Frames and clips of a batch in training, in bfloat16 where that is fast.

    With about `micro_batch` clips at a time, whose activations are forgotten and computed again going backwards:
    memory is that of so many clips, and the losses still see all of them.
    """
    augment = augment_of(config)
    fewest, more = divmod(config.batch_size, parallel.world())  # clips of a process; some have one more
    # As many parts in every process, none of them empty: each one's batch norm waits for the others'
    num_parts = 1 if config.micro_batch is None else min(-(-(fewest + bool(more)) // config.micro_batch), fewest)

    def embed(waveforms: Tensor, draws: Tensor) -> tuple[Tensor, Tensor]:
        with torch.autocast(waveforms.device.type, torch.bfloat16, enabled=has_bf16(waveforms.device)):
            return model.embed_audio(waveforms, functools.partial(augment, draws=draws))

    if num_parts == 1:
        return embed(batch.waveforms, batch.draws)
    parts = [
        checkpoint(embed, *part, use_reentrant=False, context_fn=lambda: (nullcontext(), statistics_kept(model)))
        for part in zip(*(torch.tensor_split(one, num_parts) for one in (batch.waveforms, batch.draws)), strict=True)
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

    def loss(frames: Tensor, vectors: Tensor, places: slice) -> tuple[Tensor, Tensor]:
        labels = batch.dense(batch.labels, places)
        weights = (batch.told[:, places, None] | labels) * batch.weights[:, places, None]
        if config.masked_weight < 1.0:
            weights = weights * (1.0 - (1.0 - config.masked_weight) * batch.dense(batch.masked, places))
        logits = model.frame_logits(frames, vectors, bias_detached=config.prior_weight > 0)
        return frame_loss(logits, labels, weights)

    blocks = list(_blocks(own, batch, config))
    parameters = [one for one in model.frame_logit.parameters() if one.requires_grad]
    places = [place for _, place in blocks]
    inputs = (frames, *(vectors for vectors, _ in blocks), *parameters)
    total, divisor = _InBlocks.apply(loss, places, *inputs)  # type: ignore[no-untyped-call]
    return Sum(total, divisor)


class _InBlocks(torch.autograd.Function):
    """A sum over blocks, whose gradient is taken block by block while it is computed: no block is kept or seen twice.

    torch.utils.checkpoint would compute each block again, and in the meantime keeps more than it should (torch 2.13).
    """

    @staticmethod
    def forward(
        ctx: Any,
        loss: Callable[[Tensor, Tensor, slice], tuple[Tensor, Tensor]],
        places: Sequence[slice],
        frames: Tensor,
        *others: Tensor,
    ) -> tuple[Tensor, Tensor]:
        vectors, parameters = others[: len(places)], others[len(places) :]
        total, divisor = frames.new_zeros(()), frames.new_zeros(())
        heard = frames.detach().requires_grad_()
        of_blocks: list[Tensor] = []
        of_all = [torch.zeros_like(one) for one in (frames, *parameters)]
        for block, place in zip(vectors, places, strict=True):
            asked = block.detach().requires_grad_()
            with torch.enable_grad():
                part, weight = loss(heard, asked, place)
                gradients = torch.autograd.grad(part, (asked, heard, *parameters), allow_unused=True)
            of_blocks.append(gradients[0])
            for summed, gradient in zip(of_all, gradients[1:], strict=True):
                if gradient is not None:
                    summed += gradient
            total, divisor = total + part.detach(), divisor + weight.detach()
        ctx.save_for_backward(of_all[0], *of_blocks, *of_all[1:])
        ctx.mark_non_differentiable(divisor)
        return total, divisor

    @staticmethod
    def backward(ctx: Any, gradient: Tensor, _: Tensor) -> tuple[Tensor | None, ...]:
        return (None, None, *(gradient * one for one in ctx.saved_tensors))


def _blocks(
    own: Float[Tensor, "own dim"], batch: Batch, config: TrainConfig
) -> Iterator[tuple[Float[Tensor, "block dim"], slice]]:
    """Phrase vectors and their places among all phrases: gathered, or as they come by FLAM's ring."""
    size, per_block = len(batch.phrases), max(1, _CELLS // (len(batch.told) * batch.labels.shape[1]))
    whole = (
        parallel.ring(own, size)
        if config.exchange == "ring"
        else iter([(slice(0, size, 1), parallel.gathered(own, size))])
    )
    for places, vectors in whole:
        start, _, step = places.indices(size)
        # An empty one, too: its gradient's way back is that of the others', through every process
        for first in range(0, max(len(vectors), 1), per_block):
            block = vectors[first : first + per_block]
            stop = start + (first + len(block)) * step
            yield block, slice(start + first * step, min(stop, size), step)


def _prior(model: FlamModel, phrases: Float[Tensor, "phrase dim"], batch: Batch) -> Float[Tensor, ""]:
    """In clips that tell when a phrase does not sound: others would say that it always does."""
    clips, places = batch.sounding.T
    known = batch.told.sum(0) * batch.labels.shape[1]  # frames
    active = batch.labels.sum(1) * batch.told[clips, places]
    positive = torch.zeros_like(known).index_add(0, places, active)
    positive, known = parallel.total(torch.stack([positive, known]).to(phrases))
    return prior_loss(model.phrase_biases(phrases), positive / known) / parallel.world()


def has_bf16(device: torch.device) -> bool:
    """Whether bfloat16 is faster than float32 there: on a CPU, only with instructions made for it."""
    if device.type != "cpu":
        return device.type == "cuda" and torch.cuda.is_bf16_supported()
    return torch.cpu._is_avx512_bf16_supported()
