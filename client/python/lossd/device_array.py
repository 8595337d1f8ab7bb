"""Tensors in the memory of GPUs, as their libraries show them; none is imported here."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from lossd import arguments
from lossd.element_type import BFLOAT16
from lossd.pytorch import torch_of


@dataclass(frozen=True)
class DeviceArray:
    """Where a tensor lies on a GPU, and what it is made of."""

    address: int
    shape: tuple[int, ...]
    dtype: str  # NumPy's name, or bfloat16
    item_bytes: int
    contiguous: bool
    writable: bool
    device: str  # for messages
    # Whether its library copies it to the host when it is asked for an array there; CuPy says
    # then how to do that instead.
    copies_itself: bool
    # Waits for the work that the caller's thread has given its stream; None: nobody knows
    # which stream.
    synchronize: Callable[[], None] | None

    @property
    def size(self) -> int:
        return math.prod(self.shape)

    @property
    def byte_size(self) -> int:
        return self.size * self.item_bytes


def of(name: str, array: Any) -> DeviceArray | None:
    """`array`, if it lies on a GPU: a tensor of PyTorch's, or anything that has the CUDA array
    interface, as CuPy's and Numba's arrays do. TypeError, naming `name`, for one that has no
    plain memory there.
    """
    torch = torch_of(array)
    if torch is not None:
        if array.device.type != "cuda":
            return None
        with arguments.naming(name):
            return _of_tensor(torch, array)
    if isinstance(array, np.ndarray):
        return None
    with arguments.naming(name):
        interface = getattr(array, "__cuda_array_interface__", None)
        return None if interface is None else _of_interface(array, interface)


def not_lent(name: str, array: DeviceArray) -> TypeError:
    """What to do about one that nothing here can reach."""
    return TypeError(
        f"{name}: lies on {array.device}; give the client shared_memory="
        "lossd.SharedMemory(path), which needs a server on this host, or copy the array to the "
        "host's memory"
    )


def _of_tensor(torch: Any, tensor: Any) -> DeviceArray:
    if tensor.layout != torch.strided:
        raise TypeError(f"a tensor of layout {tensor.layout} has no plain memory")
    return DeviceArray(
        # The array interface has no bfloat16, and refuses what requires a gradient.
        address=tensor.data_ptr(),
        shape=tuple(tensor.shape),
        dtype=str(tensor.dtype).removeprefix("torch."),
        item_bytes=tensor.element_size(),
        # One that is to be negated when it is read does not have its elements in memory.
        contiguous=tensor.is_contiguous() and not tensor.is_neg(),
        writable=True,
        device=str(tensor.device),
        copies_itself=True,
        synchronize=torch.cuda.current_stream(tensor.device).synchronize,
    )


def _of_interface(array: Any, interface: dict[str, Any]) -> DeviceArray:
    """Version 3 of the interface, and those before it, in all that is read here."""
    if interface.get("mask") is not None:
        raise TypeError("the mask of a masked array would be lost; use ignore_target")
    address, read_only = interface["data"]
    dtype = np.dtype(interface["typestr"])
    shape = tuple(interface["shape"])
    own = getattr(getattr(array, "dtype", None), "name", "")  # ml_dtypes': "<V2" says nothing
    return DeviceArray(
        address=address or 0,
        shape=shape,
        dtype=own if dtype.kind == "V" and own == BFLOAT16.name else dtype.newbyteorder("<").name,
        item_bytes=dtype.itemsize,
        contiguous=_in_a_row(shape, interface.get("strides"), dtype.itemsize)
        and dtype.newbyteorder("<") == dtype,
        writable=not read_only,
        device="a GPU",
        copies_itself=hasattr(array, "__array__"),
        synchronize=None,
    )


def _in_a_row(shape: tuple[int, ...], strides: tuple[int, ...] | None, item_bytes: int) -> bool:
    """Whether elements are in row-major order without gaps; no strides say that they are."""
    if strides is None or 0 in shape:
        return True
    expected = item_bytes
    for dimension, stride in zip(reversed(shape), reversed(strides), strict=True):
        if dimension != 1 and stride != expected:
            return False
        expected *= dimension
    return True
