"""Where a caller wants the gradient, and how it gets there."""

from __future__ import annotations

import sys
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from lossd import device_array, wire
from lossd.loan import Loan
from lossd.spec import GRADIENT_TYPES
from lossd.v1 import loss_service_pb2, loss_spec_pb2, tensor_pb2

# Of a gradient in a region: tensor.proto.
_ALIGNMENT = 64


def new_place(request: loss_service_pb2.ComputeLossRequest, logits: ArrayLike) -> Any | None:
    """A new tensor on the GPU of logits that are named there, if the gradient is asked for
    and their library is known.
    """
    if request.spec.gradient == loss_spec_pb2.GRADIENT_MODE_OMIT:
        return None
    data_type = request.spec.gradient_dtype or request.logits.dtype
    if data_type not in GRADIENT_TYPES:
        return None  # the server says what is wrong with the logits
    return device_array.new_like(logits, GRADIENT_TYPES[data_type])


def ask_for(request: loss_service_pb2.ComputeLossRequest, out: Any, loan: Loan) -> None:
    """Asks for the gradient in `out`; what is not in shared memory is copied to later."""
    shape = tuple(request.logits.shape)
    device = device_array.of("gradient_out", out)
    if device is None:
        values = place(request.spec, shape, out)
        reference = loan.reference(values)
        if reference is not None and reference.offset % _ALIGNMENT == 0:
            request.gradient_destination.CopyFrom(reference)
        return
    data_type = wire.TYPES_BY_NAME.get(device.dtype)
    _check(request.spec, shape, device.shape, device.dtype, data_type)
    if not device.contiguous or not device.writable:
        raise ValueError(_NOT_FIT)
    if device.size == 0:
        return
    reference = loan.device_reference("gradient_out", device)
    if reference.offset % _ALIGNMENT != 0:
        raise ValueError(
            f"gradient_out: on {device.device}, and not at a multiple of {_ALIGNMENT} bytes; "
            "give a whole tensor instead of a part of one"
        )
    request.gradient_destination.CopyFrom(reference)


def place(spec: loss_spec_pb2.LossSpec, shape: tuple[int, ...], out: Any) -> NDArray[Any]:
    """`out` as an array over its own memory; `spec` then asks for a gradient of its type.

    ValueError if the gradient of logits of `shape` does not fit there.
    """
    values, data_type = _place(out)
    _check(spec, shape, values.shape, values.dtype, data_type)
    return values


def put(data: Any, out: Any) -> Any:
    """The bytes of a gradient in `out`, where they fit."""
    if len(data) > 0:
        values, _ = _place(out)
        values.reshape(-1).view(np.uint8)[:] = np.frombuffer(data, np.uint8)
    return out


_NOT_FIT = "gradient_out: must be C-contiguous and writable"


def _place(out: Any) -> tuple[NDArray[Any], Any]:
    """`out` as an array over its own memory, and its data type; ValueError if it has none."""
    device = device_array.of("gradient_out", out)
    if device is not None:
        raise device_array.not_lent("gradient_out", device)
    torch = sys.modules.get("torch")
    if torch is not None and isinstance(out, torch.Tensor):
        if out.device.type != "cpu":  # one that PyTorch knows beside CUDA's
            raise ValueError(f"gradient_out: a tensor on {out.device}, not in the CPU's memory")
    elif not isinstance(out, np.ndarray):
        raise TypeError(f"gradient_out: {type(out).__name__} is neither an array nor a tensor")
    values, data_type = wire.values_of(out)
    if values.dtype != values.dtype.newbyteorder("<"):
        raise ValueError(f"gradient_out: dtype {values.dtype.str} is not little-endian")
    if not values.flags.c_contiguous or not values.flags.writeable:
        raise ValueError(_NOT_FIT)
    return values, data_type


def _check(
    spec: loss_spec_pb2.LossSpec,
    shape: tuple[int, ...],
    out_shape: tuple[int, ...],
    dtype: object,
    data_type: Any,
) -> None:
    """Whether the gradient of logits of `shape` goes to such a place, whose type `spec` then
    asks for.
    """
    if spec.gradient == loss_spec_pb2.GRADIENT_MODE_OMIT:
        raise ValueError("gradient_out: with gradient=False there is none")
    if data_type not in GRADIENT_TYPES:
        known = ", ".join(GRADIENT_TYPES.values())
        raise ValueError(f"gradient_out: dtype {dtype} is none of {known}")
    if spec.gradient_dtype not in (tensor_pb2.DATA_TYPE_UNSPECIFIED, data_type):
        own, wanted = GRADIENT_TYPES[data_type], GRADIENT_TYPES[spec.gradient_dtype]
        raise ValueError(f"gradient_out: dtype {own} is not gradient_dtype, {wanted}")
    if out_shape != shape:
        raise ValueError(f"gradient_out: shape {out_shape} is not the logits', {shape}")
    spec.gradient_dtype = data_type
