"""Tensors that lie in shared memory from the start."""

from __future__ import annotations

import numpy as np
import torch

from lossd.client import Client
from lossd.errors import LossdError
from lossd.torch import errors, servers


def empty_like(tensor: torch.Tensor, *, client: Client | str | None = None) -> torch.Tensor:
    """Returns a new tensor of the same shape and type in the client's shared memory.

    The server reads its elements there, so a loss of it copies nothing. Fill it again for each
    step: an allocation takes milliseconds. Its elements are not set. `client` is as in the losses.

    Raises ValueError for a client without shared memory, and ServerError if the server has none
    left. lossd.SharedMemory says how long the memory lives.
    """
    memory = servers.of(client).client._shared_memory
    if memory is None:
        raise ValueError(
            "client: has no shared memory; give lossd.Client(target, shared_memory=...)"
        )
    try:
        elements = memory.allocate(tensor.nbytes, np.uint8)
    except LossdError as error:
        raise errors.of(error) from error
    with torch.inference_mode(False):
        return torch.from_numpy(elements).view(tensor.dtype).view(tensor.shape)
