"""What data-parallel processes have to agree on."""

from __future__ import annotations

from typing import Any

import torch
import torch.distributed as dist


def group_of(process_group: Any) -> Any:
    """Returns the group for torch.distributed; "world" is the default group."""
    return None if process_group == "world" else process_group


def divisor(
    normalizer: str | None,
    logits: torch.Tensor,
    targets: torch.Tensor,
    weight: torch.Tensor | None,
    ignore_target: float | None,
    process_group: Any,
) -> torch.Tensor:
    """Returns what each process divides its sum by: the count of all, divided by their number.

    The average of the processes' gradients, which DistributedDataParallel makes, is then the
    gradient of the mean over all elements, however many of them each process has. All processes
    of the group have to call this together.
    """
    group = group_of(process_group)
    count = _count(normalizer or "elements", logits, targets, weight, ignore_target)
    dist.all_reduce(count, group=group)
    # The server counts at least 1. It divides by 1 too where the weights add up to 0.
    least = 1.0 if normalizer != "weight_sum" else 0.0
    count = torch.where(count > least, count, torch.ones_like(count))
    return count / dist.get_world_size(group)


def _count(
    normalizer: str,
    logits: torch.Tensor,
    targets: torch.Tensor,
    weight: torch.Tensor | None,
    ignore_target: float | None,
) -> torch.Tensor:
    if normalizer == "elements":
        return _number(logits.numel(), logits)
    if normalizer == "batch":
        return _number(logits.shape[0] if logits.dim() > 0 else 1, logits)
    if ignore_target is None:
        valid = torch.ones_like(targets, dtype=torch.bool)
    elif ignore_target != ignore_target:  # NaN stands for every NaN
        valid = ~torch.isnan(targets)
    else:
        valid = targets != ignore_target
    if normalizer == "valid" or (normalizer == "nonzero_weights" and weight is None):
        return valid.sum().double()
    weights = torch.ones_like(logits) if weight is None else weight.expand_as(logits)
    if normalizer == "nonzero_weights":
        return (valid & (weights != 0)).sum().double()
    if normalizer == "weight_sum":
        return torch.where(valid, weights.double(), 0.0).sum()
    raise ValueError(f"normalizer: {normalizer!r} is no count that processes can add up")


def _number(value: int, like: torch.Tensor) -> torch.Tensor:
    return torch.full((), value, dtype=torch.float64, device=like.device)


def gather_rows(rows: torch.Tensor, process_group: Any) -> tuple[torch.Tensor, int]:
    """Returns the rows of all processes, in the order of their ranks, and the first own one.

    The processes may have different numbers of rows. Autograd adds up what the losses of all
    processes do to each row. All processes of the group have to call this together, and to run
    the backward pass.
    """
    group = group_of(process_group)
    own = torch.tensor([rows.shape[0]], device=rows.device)
    counts = [torch.empty_like(own) for _ in range(dist.get_world_size(group))]
    dist.all_gather(counts, own, group=group)
    sizes = [int(count) for count in counts]
    gathered: torch.Tensor = _Gather.apply(rows, sizes, group)
    return gathered, sum(sizes[: dist.get_rank(group)])


class _Gather(torch.autograd.Function):
    """Gathers rows; gloo's own gather has no backward pass, and takes equal numbers alone."""

    @staticmethod
    def forward(ctx: Any, rows: torch.Tensor, sizes: list[int], group: Any) -> torch.Tensor:
        ctx.group, ctx.size = group, rows.shape[0]
        ctx.first = sum(sizes[: dist.get_rank(group)])
        padded = rows.new_zeros((max(sizes), *rows.shape[1:]))
        padded[: rows.shape[0]] = rows
        parts = [torch.empty_like(padded) for _ in sizes]
        dist.all_gather(parts, padded, group=group)
        return torch.cat([part[:size] for part, size in zip(parts, sizes, strict=True)])

    @staticmethod
    def backward(ctx: Any, gradient: torch.Tensor) -> tuple[Any, ...]:
        total = gradient.contiguous().clone()
        dist.all_reduce(total, group=ctx.group)
        return total[ctx.first : ctx.first + ctx.size], None, None
