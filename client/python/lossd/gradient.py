"""The place that a caller gives for the gradient."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from lossd import device_array, element_type, pytorch, wire
from lossd.element_type import GRADIENT_TYPES, ElementType
from lossd.memory_references import MemoryReferences
from lossd.v1 import loss_service_pb2, loss_spec_pb2, tensor_pb2

# tensor.proto requires that a gradient in a region begins at a multiple of 64 bytes.
_ALIGNMENT = 64

_NOT_FIT = "gradient_out: must be C-contiguous and writable"


def new_place(request: loss_service_pb2.ComputeLossRequest, logits: ArrayLike) -> Any | None:
    """Returns a new tensor for the gradient on the GPU of PyTorch logits.

    Returns None if the request asks for no gradient or the logits are not a PyTorch tensor on
    a GPU. The request's spec and logits must be set.
    """
    if request.spec.gradient == loss_spec_pb2.GRADIENT_MODE_OMIT:
        return None
    wanted = element_type.by_data_type(request.spec.gradient_dtype or request.logits.dtype)
    if wanted not in GRADIENT_TYPES:
        return None  # the server answers with an error about the logits
    return pytorch.new_gradient(logits, wanted)


def ask_for(
    request: loss_service_pb2.ComputeLossRequest, out: Any, references: MemoryReferences
) -> None:
    """Makes the request ask for a gradient that fits `out`.

    The server writes it to `out` itself if that is memory it can reach; otherwise put() copies
    it there later. Raises ValueError, TypeError or LossdError if `out` cannot have the
    gradient.
    """
    shape = tuple(request.logits.shape)
    device = device_array.of("gradient_out", out)
    if device is None:
        values = place(request.spec, shape, out)
        reference = references.reference(values)
        if reference is not None and reference.offset % _ALIGNMENT == 0:
            request.gradient_destination.CopyFrom(reference)
        return
    known = element_type.by_name(device.dtype)
    _check(request.spec, shape, device.shape, device.dtype, known)
    if not device.contiguous or not device.writable:
        raise ValueError(_NOT_FIT)
    if device.size == 0:
        return
    reference = references.device_reference("gradient_out", device)
    if reference.offset % _ALIGNMENT != 0:
        raise ValueError(
            f"gradient_out: on {device.device}, and not at a multiple of {_ALIGNMENT} bytes; "
            "give a whole tensor instead of a part of one"
        )
    request.gradient_destination.CopyFrom(reference)


def place(spec: loss_spec_pb2.LossSpec, shape: tuple[int, ...], out: Any) -> NDArray[Any]:
    """Returns `out` as an array over its own memory, and sets the spec's gradient_dtype to its
    type.

    Raises ValueError if the gradient of logits of `shape` does not fit there, TypeError if
    `out` is neither an array nor a tensor in host memory.
    """
    values, known = _place(out)
    _check(spec, shape, values.shape, values.dtype, known)
    return values


def put(data: bytes | NDArray[Any], out: Any) -> Any:
    """Copies the bytes of a gradient to `out`, for which they are known to fit; returns `out`."""
    values, _ = _place(out)
    if values.size > 0:
        source = (
            np.frombuffer(data, np.uint8)
            if isinstance(data, bytes)
            else data.reshape(-1).view(np.uint8)
        )
        values.reshape(-1).view(np.uint8)[:] = source
    return out


def _place(out: Any) -> tuple[NDArray[Any], ElementType | None]:
    """Returns `out` as an array over its own memory, and its element type.

    Raises ValueError or TypeError if it has no memory that can be written here.
    """
    device = device_array.of("gradient_out", out)
    if device is not None:
        raise device_array.not_lent("gradient_out", device)
    if pytorch.torch_of(out) is not None:
        if out.device.type != "cpu":  # PyTorch has more devices than the CPU and CUDA
            raise ValueError(f"gradient_out: a tensor on {out.device}, not in the CPU's memory")
    elif not isinstance(out, np.ndarray):
        raise TypeError(f"gradient_out: {type(out).__name__} is neither an array nor a tensor")
    values, known = wire.values_of(out)
    if values.dtype != values.dtype.newbyteorder("<"):
        raise ValueError(f"gradient_out: dtype {values.dtype.str} is not little-endian")
    if not values.flags.c_contiguous or not values.flags.writeable:
        raise ValueError(_NOT_FIT)
    return values, known


def _check(
    spec: loss_spec_pb2.LossSpec,
    shape: tuple[int, ...],
    out_shape: tuple[int, ...],
    dtype: object,
    known: ElementType | None,
) -> None:
    """Sets the spec's gradient_dtype to the type of the place.

    Raises ValueError if the gradient of logits of `shape` does not fit a place of `out_shape`
    and `dtype`, whose row in the table of element types is `known`.
    """
    if spec.gradient == loss_spec_pb2.GRADIENT_MODE_OMIT:
        raise ValueError("gradient_out: with gradient=False there is none")
    if known not in GRADIENT_TYPES:
        names = element_type.names(GRADIENT_TYPES)
        raise ValueError(f"gradient_out: dtype {dtype} is none of {names}")
    if spec.gradient_dtype not in (tensor_pb2.DATA_TYPE_UNSPECIFIED, known.data_type):
        wanted = element_type.by_data_type(spec.gradient_dtype)
        raise ValueError(f"gradient_out: dtype {known.name} is not gradient_dtype, {wanted.name}")
    if out_shape != shape:
        raise ValueError(f"gradient_out: shape {out_shape} is not the logits', {shape}")
    spec.gradient_dtype = known.data_type
