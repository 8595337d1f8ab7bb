"""The place that a caller gives for the gradient."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from lossd import arguments, device_array, element_type, pytorch, wire
from lossd.element_type import GRADIENT_TYPES, ElementType
from lossd.encoding import Reference
from lossd.memory_references import MemoryReferences
from lossd.spec import Spec

# tensor.proto requires that a gradient in a region begins at a multiple of 64 bytes.
_ALIGNMENT = 64

_NOT_FIT = "gradient_out: must be C-contiguous and writable"


class Place(NamedTuple):
    """A place that fits a gradient of its type."""

    element_type: ElementType
    reference: Reference | None  # where the server writes the gradient itself


def new_place(spec: Spec, logits_type: ElementType, logits: Any) -> Any | None:
    """Returns a new tensor for the gradient on the GPU of PyTorch logits.

    Returns None if the call asks for no gradient or the logits are not a PyTorch tensor on a
    GPU.
    """
    wanted = spec.gradient_type or logits_type
    if not spec.has_gradient or wanted not in GRADIENT_TYPES:
        return None  # the server answers with an error about logits of another type
    return pytorch.new_gradient(logits, wanted)


def place(spec: Spec, shape: tuple[int, ...], out: Any, references: MemoryReferences) -> Place:
    """Returns the type of `out`, and its place if the server can reach that memory.

    Otherwise the caller copies the gradient to stored(out) later. Raises ValueError, TypeError
    or LossdError if `out` cannot have the gradient of logits of `shape`.
    """
    device = None
    if type(out) is not np.ndarray:
        device = device_array.of("gradient_out", out)
    if device is None or not references.enabled:
        values, known = _place(out)
        fitting = _fitting(spec, shape, values.shape, values.dtype, known)
        reference = references.reference(values)
        aligned = reference is not None and reference.offset % _ALIGNMENT == 0
        return Place(fitting, reference if aligned else None)
    fitting = _fitting(spec, shape, device.shape, device.dtype, element_type.by_name(device.dtype))
    if not device.contiguous or not device.writable:
        raise ValueError(_NOT_FIT)
    if device.size == 0:
        return Place(fitting, None)
    reference = references.device_reference("gradient_out", device)
    if reference.offset % _ALIGNMENT != 0:
        raise ValueError(
            f"gradient_out: on {device.device}, and not at a multiple of {_ALIGNMENT} bytes; "
            "give a whole tensor instead of a part of one"
        )
    return Place(fitting, reference)


def stored(out: Any) -> NDArray[np.uint8]:
    """Returns the memory of a place that fits, which is not on a GPU, as its bytes."""
    values, _ = _place(out)
    return values.reshape(-1).view(np.uint8)


def _place(out: Any) -> tuple[NDArray[Any], ElementType | None]:
    """Returns `out` as an array over its own memory, and its element type.

    Raises ValueError or TypeError if it has no memory that can be written here.
    """
    if type(out) is np.ndarray and out.flags.carray:  # the fast way: in order and writable
        stored_type = element_type.by_storage(out.dtype)
        if stored_type is not None:
            return out, stored_type
    device = device_array.of("gradient_out", out)
    if device is not None:
        raise device_array.not_lent("gradient_out", device)
    if pytorch.torch_of(out) is not None:
        if out.device.type != "cpu":  # PyTorch has more devices than the CPU and CUDA
            raise ValueError(f"gradient_out: a tensor on {out.device}, not in the CPU's memory")
    elif not isinstance(out, np.ndarray):
        raise TypeError(f"gradient_out: {type(out).__name__} is neither an array nor a tensor")
    with arguments.naming("gradient_out"):
        values, known = wire.values_of(out)
    if values.dtype != values.dtype.newbyteorder("<"):
        raise ValueError(f"gradient_out: dtype {values.dtype.str} is not little-endian")
    if not values.flags.c_contiguous or not values.flags.writeable:
        raise ValueError(_NOT_FIT)
    return values, known


def _fitting(
    spec: Spec,
    shape: tuple[int, ...],
    out_shape: tuple[int, ...],
    dtype: object,
    known: ElementType | None,
) -> ElementType:
    """Returns the type of a place, whose row in the table of element types is `known`.

    Raises ValueError if the gradient of logits of `shape` does not fit a place of `out_shape`
    and `dtype`.
    """
    if not spec.has_gradient:
        raise ValueError("gradient_out: with gradient=False there is none")
    if known is None or known not in GRADIENT_TYPES:
        names = element_type.names(GRADIENT_TYPES)
        raise ValueError(f"gradient_out: dtype {dtype} is none of {names}")
    if spec.gradient_type not in (None, known):
        wanted = spec.gradient_type
        assert wanted is not None
        raise ValueError(f"gradient_out: dtype {known.name} is not gradient_dtype, {wanted.name}")
    if out_shape != shape:
        raise ValueError(f"gradient_out: shape {out_shape} is not the logits', {shape}")
    return known
