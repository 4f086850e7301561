"""FineLAP's and FLAM's losses, on logits throughout: a probability in float32 has no gradient left at -110.

Each is a sum of what the clips of one process add, and what it is divided by: with the divisors of all processes added
up, the loss of several is that of one.
"""

from typing import NamedTuple

import torch
from jaxtyping import Bool, Float
from torch import Tensor
from torch.nn import functional


class Sum(NamedTuple):
    """A loss before it is divided by what it is a mean over."""

    total: Float[Tensor, ""]
    divisor: Float[Tensor, ""]

    @property
    def mean(self) -> Float[Tensor, ""]:
        """The loss; 0 over nothing."""
        return self.total / self.divisor.clamp(min=1e-6)


def clip_sigmoid_loss(logits: Float[Tensor, "clip caption"], matches: Bool[Tensor, "clip caption"]) -> Sum:
    """L_clip = -(1/B) sum_ij log sigmoid(z_ij s_ij), z = +1 where caption j describes clip i, else -1.

    FineLAP (arXiv 2604.01155), clip-level sigmoid loss. Unlike the paper's, a caption may describe several clips and a
    clip may have several captions. Of a clip that nobody described nothing is known: it counts not at all.
    """
    described = matches.any(1)
    signs = torch.where(matches, 1.0, -1.0)
    losses = -functional.logsigmoid(signs * logits).sum(1)
    return Sum((losses * described).sum(), described.sum().to(logits.dtype))


def infonce_loss(logits: Float[Tensor, "clip caption"], matches: Bool[Tensor, "clip caption"]) -> Float[Tensor, ""]:
    """L = -1/2 (mean_i log softmax_j(s)_ij + mean_j log softmax_i(s)_ij) over matching pairs.

    CLAP's symmetric loss, as FLAM (arXiv 2505.05335) uses it for clips; all clips and all captions of the batch in one
    matrix. Where several captions describe a clip, or a caption several clips, the mean of their terms counts.
    """
    described = matches.any(1)
    if not bool(described.any()):
        return logits.sum() * 0.0
    logits, matches = logits[described], matches[described]
    columns = matches.any(0)
    logits, matches = logits[:, columns], matches[:, columns]
    wanted = matches.to(logits.dtype)
    by_clip = -(functional.log_softmax(logits, dim=1) * wanted).sum(1) / wanted.sum(1)
    by_caption = -(functional.log_softmax(logits, dim=0) * wanted).sum(0) / wanted.sum(0)
    return 0.5 * (by_clip.mean() + by_caption.mean())


def frame_loss(
    logits: Float[Tensor, "clip phrase frame"],
    labels: Bool[Tensor, "clip phrase frame"],
    weights: Float[Tensor, "clip phrase frame"],
) -> Sum:
    """L_frame = mean over the cells, each by its weight, of BCE(sigmoid(q_int), y_int).

    FineLAP (arXiv 2604.01155), frame-level sigmoid loss, and L_SED of FLAM (arXiv 2505.05335, eq. 4), which differ in
    their logits and in what is asked. What is unknown weighs 0, and is never a negative.
    """
    losses = functional.binary_cross_entropy_with_logits(logits, labels.to(logits.dtype), reduction="none")
    return Sum((losses * weights).sum(), weights.sum())


def prior_loss(biases: Float[Tensor, " phrase"], shares: Float[Tensor, " phrase"]) -> Float[Tensor, ""]:
    """L_prior = -(1/K) sum_k [z_k log sigmoid(beta_k) + (1 - z_k) log sigmoid(-beta_k)].

    FLAM (arXiv 2505.05335, eq. 10): the only loss that trains a phrase's bias.

    Args:
        biases: beta of each phrase.
        shares: z, of the batch's known (clip, frame) cells those in which the phrase sounds; NaN where none is known.
    """
    known = ~torch.isnan(shares)
    losses = functional.binary_cross_entropy_with_logits(biases, torch.nan_to_num(shares), reduction="none")
    return (losses * known).sum() / known.sum().clamp(min=1)
