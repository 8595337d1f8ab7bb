"""Computes mean binary cross-entropy and its gradient by PyTorch, for each row of a batch."""

from __future__ import annotations

import os
import sys

# Triton's interpreter ignores PYTHONPATH, so the bench names the folder of PyTorch here.
sys.path.insert(0, os.environ["BENCH_SITE_PACKAGES"])

import torch  # noqa: E402
import triton_python_backend_utils as triton  # noqa: E402
from torch.nn import functional  # noqa: E402
from torch.utils.dlpack import to_dlpack  # noqa: E402

# Requests of up to this many elements are computed together. Beyond it, copying them into
# one tensor takes longer than calling PyTorch once for each.
MOST_TOGETHER = 1 << 14


class TritonPythonModel:
    """The class that Triton's Python backend looks for."""

    def initialize(self, args: dict[str, str]) -> None:
        del args
        torch.set_num_threads(1)

    def execute(self, requests: list[triton.InferenceRequest]) -> list[triton.InferenceResponse]:
        rows = [(_input(request, "LOGITS"), _input(request, "TARGETS")) for request in requests]
        sizes = {logits.shape for logits, _ in rows}
        if len(rows) > 1 and len(sizes) == 1 and rows[0][0].numel() <= MOST_TOGETHER:
            losses, gradients = compute(*(torch.cat(column) for column in zip(*rows, strict=True)))
            answers = list(zip(losses.chunk(len(rows)), gradients.chunk(len(rows)), strict=True))
        else:
            answers = [compute(logits, targets) for logits, targets in rows]
        return [_response(loss, gradient) for loss, gradient in answers]


def compute(logits: torch.Tensor, targets: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Returns the mean loss of each row, and the gradient of each mean."""
    logits.requires_grad_()
    if len(logits) == 1:
        loss = functional.binary_cross_entropy_with_logits(logits, targets)
        losses = loss.detach().reshape(1, 1)
    else:
        means = functional.binary_cross_entropy_with_logits(logits, targets, reduction="none").mean(
            dim=1, keepdim=True
        )
        loss, losses = means.sum(), means.detach()
    (gradient,) = torch.autograd.grad(loss, logits)
    return losses, gradient


# Tensors are passed by DLPack, because the backend was built before NumPy 2 and misreads
# its arrays.


def _input(request: triton.InferenceRequest, name: str) -> torch.Tensor:
    """Returns a tensor that shares the request's memory."""
    return torch.from_dlpack(triton.get_input_tensor_by_name(request, name).to_dlpack())


def _output(name: str, tensor: torch.Tensor) -> triton.Tensor:
    return triton.Tensor.from_dlpack(name, to_dlpack(tensor))


def _response(loss: torch.Tensor, gradient: torch.Tensor) -> triton.InferenceResponse:
    return triton.InferenceResponse([_output("LOSS", loss), _output("GRADIENT", gradient)])
