"""Batch normalisation over the clips of all processes: torch's own does that on GPUs only."""

import contextlib
from collections.abc import Iterator

import torch
from jaxtyping import Float
from torch import Tensor, nn

from training import parallel


def exact(values: Float[Tensor, "*any"]) -> Float[Tensor, "*any"]:
    """In float32 at least."""
    return values.to(torch.promote_types(values.dtype, torch.float32))


class _OverProcesses(nn.modules.batchnorm._BatchNorm):
    """Alone it is torch's; of several processes each takes mean and variance of all their clips."""

    def _check_input_dim(self, input: Tensor) -> None:
        """Any with a channel dimension."""

    def forward(self, values: Float[Tensor, "clip channel *any"]) -> Float[Tensor, "clip channel *any"]:
        """Normalised by the batch in training, by the running statistics else."""
        if not self.training or parallel.world() == 1:
            normed: Tensor = super().forward(values)
            return normed
        whole = exact(values)
        others = [dim for dim in range(values.ndim) if dim != 1]
        count = parallel.total(whole.new_tensor(values.numel() // values.shape[1]))
        shape = (1, -1, *[1] * (values.ndim - 2))
        mean = parallel.summed(whole.sum(others)) / count
        centred = whole - mean.view(shape)
        variance = parallel.summed(centred.square().sum(others)) / count
        self._remember(mean.detach(), variance.detach() * count / (count - 1))
        scaled = centred * torch.rsqrt(variance + self.eps).view(shape)
        return (scaled * self.weight.view(shape) + self.bias.view(shape)).to(values.dtype)

    def _remember(self, mean: Tensor, variance: Tensor) -> None:
        if self.running_mean is not None and self.running_var is not None and self.num_batches_tracked is not None:
            self.num_batches_tracked += 1
            self.running_mean.lerp_(mean, self.momentum or 0.0)
            self.running_var.lerp_(variance, self.momentum or 0.0)


class BatchNorm1d(_OverProcesses):
    """Over clips and frames."""


class BatchNorm2d(_OverProcesses):
    """Over clips, bands and frames."""


@contextlib.contextmanager
def statistics_kept(model: nn.Module) -> Iterator[None]:
    """While a part of a step is computed a second time: running statistics have seen it already."""
    norms = [module for module in model.modules() if isinstance(module, _OverProcesses)]
    before = [(norm.momentum, norm.num_batches_tracked) for norm in norms]
    for norm in norms:
        norm.momentum, norm.num_batches_tracked = 0.0, None
    try:
        yield
    finally:
        for norm, (momentum, tracked) in zip(norms, before, strict=True):
            norm.momentum, norm.num_batches_tracked = momentum, tracked
