"""FineLAP's dual-stream sigmoid loss, on logits throughout. A probability in float32 has no gradient left at -110."""

import torch
from jaxtyping import Bool, Float
from torch import Tensor
from torch.nn import functional


def clip_loss(logits: Float[Tensor, "clip caption"], matches: Bool[Tensor, "clip caption"]) -> Float[Tensor, ""]:
    """L_clip = -(1/B) sum_ij log sigmoid(z_ij s_ij), z = +1 where caption j describes clip i, else -1.

    FineLAP (arXiv 2604.01155), clip-level sigmoid loss. Unlike the paper's, a caption may describe several clips and a
    clip may have several captions.
    """
    signs = torch.where(matches, 1.0, -1.0)
    return -functional.logsigmoid(signs * logits).sum() / len(logits)


def frame_loss(
    logits: Float[Tensor, "clip phrase frame"],
    labels: Bool[Tensor, "clip phrase frame"],
    known: Bool[Tensor, "clip phrase frame"] | Float[Tensor, "clip phrase frame"],
    *,
    phrases_per_clip: int,
) -> Float[Tensor, ""]:
    """L_frame = mean over the cells, each weighing what is known of it, of BCE(sigmoid(q_int), y_int); 0 if nothing is.

    FineLAP (arXiv 2604.01155), frame-level sigmoid loss. What is unknown is masked, never a negative. The paper asks
    N = 20 phrases of a clip: the P that sound in it and N - P drawn from the others. Here all others are asked, each
    weighing (N - P) / (number of others), which is that loss in expectation without the noise of drawing.
    """
    losses = functional.binary_cross_entropy_with_logits(logits, labels.to(logits.dtype), reduction="none")
    sounds = labels.any(dim=2, keepdim=True)
    num_sounding = sounds.sum(dim=1, keepdim=True)
    others = (phrases_per_clip - num_sounding).clamp(min=1) / (logits.shape[1] - num_sounding).clamp(min=1)
    weights = torch.where(sounds, 1.0, others.clamp(max=1.0)) * known
    return (losses * weights).sum() / weights.sum().clamp(min=1e-6)
