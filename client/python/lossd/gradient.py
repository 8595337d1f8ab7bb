"""The places that a caller gives for the gradient and the second derivative.

Functions take the name of the argument that gave the place, one of OUTS.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from lossd import arguments, device_array, element_type, pytorch, wire
from lossd.element_type import GRADIENT_TYPES, ElementType
from lossd.encoding import Reference
from lossd.memory_references import MemoryReferences
from lossd.spec import OUTS, Spec

# tensor.proto requires that a result in a region begins at a multiple of 64 bytes.
_ALIGNMENT = 64


class Place(NamedTuple):
    """A place that fits a derivative of its type."""

    element_type: ElementType
    reference: Reference | None  # where the server writes the derivative itself


def new_place(spec: Spec, logits_type: ElementType, logits: Any) -> Any | None:
    """Returns a new tensor for the gradient on the GPU of PyTorch logits.

    Returns None if the call asks for no gradient or the logits are not a PyTorch tensor on a
    GPU.
    """
    wanted = spec.gradient_type or logits_type
    if not spec.has_gradient or wanted not in GRADIENT_TYPES:
        return None  # the server answers with an error about logits of another type
    return pytorch.new_gradient(logits, wanted)


def place(
    name: str, spec: Spec, shape: tuple[int, ...], out: Any, references: MemoryReferences
) -> Place:
    """Returns the type of `out`, and its place if the server can reach that memory.

    Otherwise the caller copies the derivative to stored(out) later. Raises ValueError,
    TypeError or LossdError if `out` cannot have the derivative of logits of `shape`.
    """
    device = None
    if type(out) is not np.ndarray:
        device = device_array.of(name, out)
    if device is None or not references.enabled:
        values, known = _place(name, out)
        fitting = _fitting(name, spec, shape, values.shape, values.dtype, known)
        reference = references.reference(values)
        aligned = reference is not None and reference.offset % _ALIGNMENT == 0
        return Place(fitting, reference if aligned else None)
    known = element_type.by_name(device.dtype)
    fitting = _fitting(name, spec, shape, device.shape, device.dtype, known)
    if not device.contiguous or not device.writable:
        raise _not_fit(name)
    if device.size == 0:
        return Place(fitting, None)
    reference = references.device_reference(name, device)
    if reference.offset % _ALIGNMENT != 0:
        raise ValueError(
            f"{name}: on {device.device}, and not at a multiple of {_ALIGNMENT} bytes; "
            "give a whole tensor instead of a part of one"
        )
    return Place(fitting, reference)


def check_apart(gradient_out: Any, second_derivative_out: Any) -> None:
    """Raises ValueError if two places that fit overlap in this process's memory.

    The server finds places on a GPU that overlap.
    """
    name = OUTS[1]
    if any(device_array.of(name, out) is not None for out in (gradient_out, second_derivative_out)):
        return
    if np.may_share_memory(stored(gradient_out), stored(second_derivative_out)):
        raise ValueError(f"{name}: overlaps gradient_out, and each needs memory of its own")


def stored(out: Any) -> NDArray[np.uint8]:
    """Returns the memory of a place that fits, which is not on a GPU, as its bytes."""
    values, _ = _place("out", out)
    return values.reshape(-1).view(np.uint8)


def _place(name: str, out: Any) -> tuple[NDArray[Any], ElementType | None]:
    """Returns `out` as an array over its own memory, and its element type.

    Raises ValueError or TypeError if it has no memory that can be written here.
    """
    if type(out) is np.ndarray and out.flags.carray:  # the fast way: in order and writable
        stored_type = element_type.by_storage(out.dtype)
        if stored_type is not None:
            return out, stored_type
    device = device_array.of(name, out)
    if device is not None:
        raise device_array.not_lent(name, device)
    if pytorch.torch_of(out) is not None:
        if out.device.type != "cpu":  # PyTorch has more devices than the CPU and CUDA
            raise ValueError(f"{name}: a tensor on {out.device}, not in the CPU's memory")
    elif not isinstance(out, np.ndarray):
        raise TypeError(f"{name}: {type(out).__name__} is neither an array nor a tensor")
    with arguments.naming(name):
        values, known = wire.values_of(out)
    if values.dtype != values.dtype.newbyteorder("<"):
        raise ValueError(f"{name}: dtype {values.dtype.str} is not little-endian")
    if not values.flags.c_contiguous or not values.flags.writeable:
        raise _not_fit(name)
    return values, known


def _fitting(
    name: str,
    spec: Spec,
    shape: tuple[int, ...],
    out_shape: tuple[int, ...],
    dtype: object,
    known: ElementType | None,
) -> ElementType:
    """Returns the type of a place, whose row in the table of element types is `known`.

    Raises ValueError if the derivative of logits of `shape` does not fit a place of `out_shape`
    and `dtype`.
    """
    if name == OUTS[0] and not spec.has_gradient:
        raise ValueError(f"{name}: with gradient=False there is none")
    if name == OUTS[1] and not spec.has_second_derivative:
        raise ValueError(f"{name}: without second_derivative=True there is none")
    if known is None or known not in GRADIENT_TYPES:
        names = element_type.names(GRADIENT_TYPES)
        raise ValueError(f"{name}: dtype {dtype} is none of {names}")
    if spec.gradient_type not in (None, known):
        wanted = spec.gradient_type
        assert wanted is not None
        which = "gradient_dtype" if name == OUTS[0] else "that of the gradient"
        raise ValueError(f"{name}: dtype {known.name} is not {which}, {wanted.name}")
    if out_shape != shape:
        raise ValueError(f"{name}: shape {out_shape} is not the logits', {shape}")
    return known


def _not_fit(name: str) -> ValueError:
    return ValueError(f"{name}: must be C-contiguous and writable")
