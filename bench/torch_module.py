"""Measures the module of lossd.torch beside PyTorch's own, forward and backward."""

from __future__ import annotations

import functools
import tempfile
import time
from collections.abc import Callable

import in_process
import lossd
import lossd.torch
import torch
from measurement import MEBI, Effort, Measurement, Result, alternate
from programs import Programs

_SMALL = 4 << 10


def seconds_per_step(
    criterion: Callable[[torch.Tensor, torch.Tensor], torch.Tensor],
    elements: int,
    seconds: float,
    place: Callable[[torch.Tensor], torch.Tensor] = torch.empty_like,
) -> float:
    """Returns the time of a loss and its backward pass, for tensors that `place` makes."""
    torch.set_num_threads(2)
    generator = torch.Generator().manual_seed(1)
    logits, targets = (place(torch.empty(elements)) for _ in range(2))
    logits.uniform_(-8, 8, generator=generator).requires_grad_()
    targets.bernoulli_(0.5, generator=generator)
    steps = -3  # the first steps allocate
    start = time.perf_counter()
    while steps < 2 or time.perf_counter() - start < seconds:
        logits.grad = None
        criterion(logits, targets).backward()
        steps += 1
        if steps == 0:
            start = time.perf_counter()
    return (time.perf_counter() - start) / steps


def _both(
    programs: Programs, effort: Effort, elements: int, *, placed: bool = False
) -> tuple[float, float]:
    """Returns the seconds of a step of the module and of PyTorch's.

    With `placed` the module's tensors lie in shared memory.
    """
    with tempfile.TemporaryDirectory() as folder:
        socket = f"{folder}/lossd"
        with (
            programs.lossd(f"--shared_memory_socket={socket}") as server,
            lossd.SharedMemory(socket) as memory,
            lossd.Client(server.target, shared_memory=memory) as client,
        ):
            module = lossd.torch.SigmoidCrossEntropyLoss(client=client)
            place = functools.partial(lossd.torch.empty_like, client=client)
            return alternate(
                effort.rounds,
                lambda: seconds_per_step(
                    module, elements, effort.seconds / 2, place if placed else torch.empty_like
                ),
                lambda: seconds_per_step(
                    torch.nn.BCEWithLogitsLoss(), elements, effort.seconds / 2
                ),
            )


def _what(elements: int, where: str = "to which it copies its tensors") -> str:
    return (
        f"lossd.torch.SigmoidCrossEntropyLoss of {elements} float32 elements, forward and "
        f"backward, with a client with shared memory, {where}; peer: "
        f"torch.nn.BCEWithLogitsLoss, PyTorch {in_process.version()}, eager, in process, two "
        "threads; both on the cores that the server uses too"
    )


def module_and_pytorch(name: str, programs: Programs, effort: Effort) -> Result:
    ours, peer = _both(programs, effort, MEBI)
    return Result(name, MEBI / ours, MEBI / peer, peer / ours, "elements/s", _what(MEBI))


def module_in_place_and_pytorch(name: str, programs: Programs, effort: Effort) -> Result:
    ours, peer = _both(programs, effort, MEBI, placed=True)
    what = _what(MEBI, "where its tensors lie already (lossd.torch.empty_like)")
    return Result(name, MEBI / ours, MEBI / peer, peer / ours, "elements/s", what)


def overhead(name: str, programs: Programs, effort: Effort) -> Result:
    ours, peer = (1e6 * seconds for seconds in _both(programs, effort, _SMALL))
    return Result(name, ours, peer, ours / peer, "us", _what(_SMALL))


TORCH_MEASUREMENTS: dict[str, Measurement] = {
    "torch_module_1Mi_shm_vs_pytorch": Measurement(2.5, module_and_pytorch),
    "torch_module_1Mi_in_shm_vs_pytorch": Measurement(None, module_in_place_and_pytorch),
    "torch_module_4Ki_overhead_us": Measurement(None, overhead),
}
