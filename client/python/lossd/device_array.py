"""Tensors on GPUs as their libraries describe them; this module imports no such library."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from lossd import arguments, element_type
from lossd.pytorch import torch_of


@dataclass(frozen=True)
class DeviceArray:
    """The place and the layout of a tensor on a GPU."""

    address: int
    shape: tuple[int, ...]
    dtype: str  # the name that ElementType uses, or NumPy's name of another type
    item_bytes: int
    contiguous: bool
    writable: bool
    device: str  # the GPU in error messages
    # Whether the library copies the tensor to the host when NumPy asks for an array. CuPy
    # refuses and says how to copy explicitly.
    copies_itself: bool
    # Waits for the work that the caller's thread has queued on its current stream. None if
    # the library does not tell which stream that is.
    synchronize: Callable[[], None] | None

    @property
    def size(self) -> int:
        """The number of elements."""
        return math.prod(self.shape)

    @property
    def byte_size(self) -> int:
        """The size of all elements in bytes."""
        return self.size * self.item_bytes


def of(name: str, array: Any) -> DeviceArray | None:
    """Returns a description of `array` if it lies on a GPU, else None.

    PyTorch's tensors are recognised, and objects with the CUDA array interface, such as those
    of CuPy and Numba. Raises TypeError, which names `name`, for a tensor on a GPU without one
    block of memory, such as a sparse one.
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
    """Returns the error for a tensor that can neither be sent nor passed by reference."""
    return TypeError(
        f"{name}: lies on {array.device}; give the client shared_memory="
        "lossd.SharedMemory(path), which needs a server on this host, or copy the array to the "
        "host's memory"
    )


def _of_tensor(torch: Any, tensor: Any) -> DeviceArray:
    """Describes a PyTorch tensor by its own methods.

    Its CUDA array interface lacks bfloat16 and float8, and refuses tensors that require a gradient.
    """
    if tensor.layout != torch.strided:
        raise TypeError(f"a tensor of layout {tensor.layout} has no plain memory")
    return DeviceArray(
        address=tensor.data_ptr(),
        shape=tuple(tensor.shape),
        dtype=str(tensor.dtype).removeprefix("torch."),
        item_bytes=tensor.element_size(),
        # PyTorch negates the elements of an is_neg() tensor only when it reads them.
        contiguous=tensor.is_contiguous() and not tensor.is_neg(),
        writable=True,
        device=str(tensor.device),
        copies_itself=True,
        synchronize=torch.cuda.current_stream(tensor.device).synchronize,
    )


def _of_interface(array: Any, interface: dict[str, Any]) -> DeviceArray:
    """Describes an object by its CUDA array interface, version 3 or older."""
    if interface.get("mask") is not None:
        raise TypeError("the mask of a masked array would be lost; use ignore_target")
    address, read_only = interface["data"]
    # NumPy does not know "<f1", the type string of float8_e5m2.
    typestr = interface["typestr"]
    dtype = np.dtype("V1" if typestr[1:] == "f1" else typestr)
    shape = tuple(interface["shape"])
    # The type string of bfloat16 is "<V2" and that of float8_e4m3fn "<V1", so only the object's
    # own dtype tells their names.
    own = getattr(getattr(array, "dtype", None), "name", "")
    is_extension = dtype.kind == "V" and element_type.extension(own) is not None
    return DeviceArray(
        address=address or 0,
        shape=shape,
        dtype=own if is_extension else dtype.newbyteorder("<").name,
        item_bytes=dtype.itemsize,
        contiguous=_is_row_major(shape, interface.get("strides"), dtype.itemsize)
        and dtype.newbyteorder("<") == dtype,
        writable=not read_only,
        device="a GPU",
        copies_itself=hasattr(array, "__array__"),
        synchronize=None,
    )


def _is_row_major(shape: tuple[int, ...], strides: tuple[int, ...] | None, item_bytes: int) -> bool:
    """Returns whether the elements are in row-major order without gaps.

    The CUDA array interface leaves the strides out for such an array.
    """
    if strides is None or 0 in shape:
        return True
    expected = item_bytes
    for dimension, stride in zip(reversed(shape), reversed(strides), strict=True):
        if dimension != 1 and stride != expected:
            return False
        expected *= dimension
    return True
