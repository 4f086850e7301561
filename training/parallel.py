"""What the processes of one run say to each other. Alone, every function is the identity.

Each process holds some clips and embeds some texts of the same global batch. A loss is the sum of what the processes
add to it, so that gradients are sums, too: those of one process that holds the whole batch.
"""

import datetime
import os
from collections.abc import Iterator, Sequence
from typing import Any

import torch
import torch.distributed as dist
from jaxtyping import Float
from torch import Tensor

_TIMEOUT = datetime.timedelta(hours=1)  # the others wait while one validates


def device_name(name: str) -> str:
    """`cuda` is, of several processes on a machine, one's own GPU."""
    return f"cuda:{os.environ['LOCAL_RANK']}" if name == "cuda" and "LOCAL_RANK" in os.environ else name


def begin(device: torch.device) -> None:
    """Meet the other processes, if torchrun started this one. A restarted group meets under a prefix of its own."""
    size, number = int(os.environ.get("WORLD_SIZE", "1")), int(os.environ.get("RANK", "0"))
    if size == 1 or dist.is_initialized():
        return
    store = dist.TCPStore(  # type: ignore[attr-defined]
        os.environ["MASTER_ADDR"],
        int(os.environ["MASTER_PORT"]),
        is_master=number == 0 and os.environ.get("TORCHELASTIC_USE_AGENT_STORE") != "True",
        timeout=_TIMEOUT,
    )
    attempt = os.environ.get("TORCHELASTIC_RESTART_COUNT", "0")
    dist.init_process_group(
        "nccl" if device.type == "cuda" else "gloo",
        store=dist.PrefixStore(f"flam-{attempt}", store),  # type: ignore[attr-defined]
        rank=number,
        world_size=size,
        timeout=_TIMEOUT,
    )


def end() -> None:
    """Part from the others, if `begin` met any: a process that ends without is aborted by its threads."""
    if dist.is_initialized():
        dist.destroy_process_group()


def rank() -> int:
    """This process's number; 0 alone."""
    return dist.get_rank() if dist.is_initialized() else 0


def world() -> int:
    """How many processes there are."""
    return dist.get_world_size() if dist.is_initialized() else 1


def total(value: Tensor) -> Tensor:
    """The sum over processes, without a gradient."""
    if world() == 1:
        return value.detach()
    summed = value.detach().clone()
    dist.all_reduce(summed)
    return summed


def summed(value: Tensor) -> Tensor:
    """The sum over processes, whose gradient goes back to all of them."""
    found: Tensor = value if world() == 1 else _Sum.apply(value)  # type: ignore[no-untyped-call]
    return found


def gathered(own: Float[Tensor, "own dim"], size: int) -> Float[Tensor, "all dim"]:
    """Rows of all processes, of which each holds every `world`-th; gradients go back to where a row is from."""
    if world() == 1:
        return own
    longest = -(-size // world())
    padded = torch.cat([own, own.new_zeros(longest - len(own), *own.shape[1:])])
    rows: Tensor = _Gather.apply(padded)  # type: ignore[no-untyped-call]
    return rows.transpose(0, 1).flatten(0, 1)[:size]


def ring(own: Float[Tensor, "own dim"], size: int) -> Iterator[tuple[slice, Float[Tensor, "block dim"]]]:
    """The same rows a process's block at a time, each with the places of its rows among all (FLAM, section 3.3).

    A block goes from process to process; gradients come back the same way.
    """
    count = world()
    longest = -(-size // count)
    block = torch.cat([own, own.new_zeros(longest - len(own), *own.shape[1:])]) if count > 1 else own
    for hop in range(count):
        places = slice((rank() - hop) % count, size, count)
        yield places, block[: len(range(*places.indices(size)))]
        if hop < count - 1:
            shifted: Tensor = _Shift.apply(block)  # type: ignore[no-untyped-call]
            block = shifted


def add_gradients(parameters: Sequence[torch.nn.Parameter]) -> None:
    """Put the sum over processes into every parameter's gradient. One that has none in any keeps none, as alone."""
    if world() == 1:
        return
    having = total(
        torch.tensor(
            [parameter.grad is not None for parameter in parameters], device=parameters[0].device, dtype=torch.float32
        )
    )
    for parameter, count in zip(parameters, having.tolist(), strict=True):
        if parameter.grad is None and count:
            parameter.grad = torch.zeros_like(parameter)
    gradients = [parameter.grad for parameter in parameters if parameter.grad is not None]
    flat = torch.cat([gradient.flatten() for gradient in gradients])
    dist.all_reduce(flat)
    for gradient, part in zip(gradients, torch.split(flat, [gradient.numel() for gradient in gradients]), strict=True):
        gradient.copy_(part.view_as(gradient))


class _Sum(torch.autograd.Function):
    @staticmethod
    def forward(_: Any, value: Tensor) -> Tensor:
        found = value.clone()
        dist.all_reduce(found)
        return found

    @staticmethod
    def backward(_: Any, gradient: Tensor) -> Tensor:
        found = gradient.clone()
        dist.all_reduce(found)
        return found


class _Gather(torch.autograd.Function):
    @staticmethod
    def forward(_: Any, own: Tensor) -> Tensor:
        found = [torch.empty_like(own) for _ in range(world())]
        dist.all_gather(found, own.contiguous())
        return torch.stack(found)

    @staticmethod
    def backward(_: Any, gradient: Tensor) -> Tensor:
        found = gradient.contiguous().clone()
        dist.all_reduce(found)
        return found[rank()]


class _Shift(torch.autograd.Function):
    """To the next process, from the one before; gradients the other way."""

    @staticmethod
    def forward(_: Any, block: Tensor) -> Tensor:
        return _exchanged(block, 1)

    @staticmethod
    def backward(_: Any, gradient: Tensor) -> Tensor:
        return _exchanged(gradient, -1)


def _exchanged(block: Tensor, step: int) -> Tensor:
    found = torch.empty_like(block)
    to, come_from = (rank() + step) % world(), (rank() - step) % world()
    # together: one after the other they could wait for each other on GPUs
    both = [dist.P2POp(dist.isend, block.contiguous(), to), dist.P2POp(dist.irecv, found, come_from)]
    for request in dist.batch_isend_irecv(both):
        request.wait()
    return found
