"""Conversion between the arguments of compute_loss() and messages, for both clients."""

from __future__ import annotations

import functools
import math
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from lossd import device_array, element_type, encoding, gradient, pytorch, reply, spec, wire
from lossd.device_array import DeviceArray
from lossd.element_type import ARRAY_TYPES, BIT, GRADIENT_TYPES, ElementType
from lossd.encoding import Buffer
from lossd.memory_references import MemoryReferences
from lossd.reply import Expected, Received
from lossd.result import LossResult
from lossd.shared_memory import SharedMemory
from lossd.sparse import SparseMatrix
from lossd.spec import ParsedOptions, Spec
from lossd.targets import Bits, Identity, Ones, from_sparse
from lossd.wire import WireTensor

COMPUTE_LOSS = "/lossd.v1.LossService/ComputeLoss"
COMPUTE_LOSSES = "/lossd.v1.LossService/ComputeLosses"
STREAM_LOSS = "/lossd.v1.LossService/StreamLoss"
GET_SERVER_INFO = "/lossd.v1.LossService/GetServerInfo"

# The numbers of the fields of ComputeLossRequest.
_SPEC, _LOGITS, _TARGETS, _REQUEST_ID = 1, 2, 3, 8
_DESTINATIONS = {"gradient_out": 7, "second_derivative_out": 9}
_OPERANDS = {"weights": 4, "pos_weight": 5, "upstream_gradient": 6}

# With these, every tensor is sent.
NOTHING_SHARED = MemoryReferences(None)

Logits = ArrayLike | pytorch.Tensor
Targets = ArrayLike | pytorch.Tensor | SparseMatrix | Ones | Identity | Bits


class Call(NamedTuple):
    """A call of ComputeLoss. `request` may be sent after references.synchronize()."""

    request: bytes
    logits: Any  # the caller's: results have their library
    gradient_out: Any
    references: MemoryReferences
    usual: Expected | None  # the gradient of the reply
    holds_tensors: bool = True  # False if `request` has the places of all, and none of their bytes
    second_derivative_out: Any = None

    def result(self, message: bytes) -> LossResult[Any, Any]:
        """Returns the result of the server's reply; LossdError if it is no reply."""
        usual = self.usual
        if usual is None:
            others, gradient = reply.without_tensors(message), self.gradient_out
        else:
            others, gradient = reply.without_usual(message, usual), None
        if others is None:
            return self._whole_result(message)
        if usual is not None:
            gradient = self._usual_gradient(message, usual)
        read = functools.partial(reply.fields, others)
        return LossResult._read_later(None, gradient, self.second_derivative_out, read)

    def _whole_result(self, message: bytes) -> LossResult[Any, Any]:
        others, losses, gradient, second_derivative = reply.parse(message)
        return LossResult._read_later(
            _returned(losses, self.logits),
            _delivered(gradient, self.gradient_out, self.logits),
            _delivered(second_derivative, self.second_derivative_out, self.logits),
            functools.partial(reply.fields, others),
        )

    def _usual_gradient(self, message: bytes, usual: Expected) -> Any:
        kind, shape, byte_size = usual.element_type, usual.shape, usual.byte_size
        first = len(message) - byte_size
        if self.gradient_out is None and type(self.logits) is np.ndarray:  # the fast way
            return wire.view(kind, shape, message, first)
        received = Received(kind, shape, message, first, byte_size)
        return _delivered(received, self.gradient_out, self.logits)


def to_call(
    logits: Logits, targets: Targets, *, memory: SharedMemory | None = None, **options: Any
) -> Call:
    """Returns the arguments of compute_loss() as one message; `options` are LossOptions.

    Raises ValueError or TypeError, which name a bad argument, and LossdError, which names a
    tensor on a GPU that the server cannot use.
    """
    parsed = spec.parse(options)
    asked = spec.of(parsed.plain)
    references = NOTHING_SHARED if memory is None else MemoryReferences(memory)
    logits_type, shape, parts = _tensor(_LOGITS, "logits", logits, references)
    parts += targets_field(_TARGETS, targets, references)
    if parsed.operands:
        for name, number in _OPERANDS.items():
            if name in parsed.operands:
                parts += tensor_field(number, name, parsed.operands[name], references)
    asked, outs, destinations = _all_places(parsed, asked, logits, logits_type, shape, references)
    parts.append(destinations.get("gradient_out", b""))
    if parsed.request_id:
        parts.append(encoding.text(_REQUEST_ID, parsed.request_id))
    parts.append(destinations.get("second_derivative_out", b""))
    if asked.encoded:
        parts.insert(0, encoding.block(_SPEC, asked.encoded))
    usual = None
    has_other = asked.has_losses or asked.has_second_derivative
    if asked.has_gradient and not has_other and "gradient_out" not in destinations:
        kind = asked.gradient_type or logits_type
        usual = reply.expected(kind.data_type, shape)
    holds_tensors = any(type(part) is not bytes for part in parts)
    return Call(
        b"".join(parts),
        logits,
        outs.get("gradient_out"),
        references,
        usual,
        holds_tensors,
        outs.get("second_derivative_out"),
    )


def plain_call(logits: Any, targets: Any, gradient_out: Any, most_bytes: int) -> Call | None:
    """Returns a call without options but `gradient_out`, of arrays that are sent as they lie.

    Returns None for others, and if the tensors have more than `most_bytes` bytes together. Most
    calls are such, and this takes a third of the time that to_call() takes.
    """
    if type(logits) is not np.ndarray or type(targets) is not np.ndarray:
        return None
    if not (logits.flags.c_contiguous and targets.flags.c_contiguous):
        return None
    known = _plain_headers(logits.dtype, logits.shape, targets.dtype, targets.shape)
    if known is None or known.byte_size > most_bytes:
        return None
    if gradient_out is not None and not (
        type(gradient_out) is np.ndarray
        and gradient_out.flags.carray
        and gradient_out.dtype == known.gradient_dtype
        and gradient_out.shape == logits.shape
    ):
        return None
    parts: list[Buffer] = [known.before_logits, logits, known.before_targets, targets]
    return Call(b"".join(parts), logits, gradient_out, NOTHING_SHARED, known.usual)


class _PlainHeaders(NamedTuple):
    """The bytes around the tensors of a call without options."""

    before_logits: bytes
    before_targets: bytes
    byte_size: int  # of the tensors
    usual: Expected  # the gradient of the reply
    gradient_dtype: np.dtype[Any] | None  # None: logits of this type have no gradient


@functools.lru_cache(maxsize=1024)
def _plain_headers(
    logits_dtype: np.dtype[Any],
    logits_shape: tuple[int, ...],
    targets_dtype: np.dtype[Any],
    targets_shape: tuple[int, ...],
) -> _PlainHeaders | None:
    """Returns what such a call has beside its tensors; None if a dtype is not sent as it lies."""
    logits, targets = element_type.by_storage(logits_dtype), element_type.by_storage(targets_dtype)
    if logits is None or targets is None:
        return None
    sizes = (logits.byte_size(math.prod(logits_shape)), targets.byte_size(math.prod(targets_shape)))
    return _PlainHeaders(
        encoding.tensor_header(_LOGITS, logits.data_type, logits_shape, sizes[0]),
        encoding.tensor_header(_TARGETS, targets.data_type, targets_shape, sizes[1]),
        sum(sizes),
        reply.expected(logits.data_type, logits_shape),
        logits.storage if logits in GRADIENT_TYPES else None,
    )


class Places(NamedTuple):
    """Where the derivatives of a call go."""

    asked: Spec  # with the type of the places
    outs: dict[str, Any]
    destinations: dict[str, bytes]  # the fields of those that the server writes itself


def given_places(
    parsed: ParsedOptions, asked: Spec, shape: tuple[int, ...], references: MemoryReferences
) -> Places:
    """Returns the places that the caller gave."""
    places = Places(asked, {}, {})
    for name in spec.OUTS:  # the gradient is first to say what type both have
        out = parsed.outs.get(name)
        places = _with_place(parsed.plain, places, shape, name, out, references)
    if len(places.outs) > 1:
        gradient.check_apart(*places.outs.values())
    return places


def _all_places(
    parsed: ParsedOptions,
    asked: Spec,
    logits: Any,
    logits_type: ElementType,
    shape: tuple[int, ...],
    references: MemoryReferences,
) -> Places:
    """Returns the places that the caller gave, and a new one for the gradient on a GPU."""
    places = Places(asked, {}, {})
    if parsed.outs:
        places = given_places(parsed, asked, shape, references)
    if references.enabled and "gradient_out" not in places.outs:
        made = gradient.new_place(places.asked, logits_type, logits)
        places = _with_place(parsed.plain, places, shape, "gradient_out", made, references)
    return places


def _with_place(
    options: dict[str, Any],
    places: Places,
    shape: tuple[int, ...],
    name: str,
    out: Any,
    references: MemoryReferences,
) -> Places:
    """Adds a place, whose type becomes that of both derivatives; None is no place."""
    if out is None:
        return places
    asked, outs, destinations = places
    place = gradient.place(name, asked, shape, out, references)
    if asked.gradient_type is None:
        asked = spec.of({**options, "gradient_dtype": place.element_type.name})
    if place.reference is not None:
        encoded = encoding.reference(_DESTINATIONS[name], place.reference)
        destinations = {**destinations, name: encoded}
    return Places(asked, {**outs, name: out}, destinations)


def tensor_field(
    number: int, name: str, array: ArrayLike, references: MemoryReferences = NOTHING_SHARED
) -> list[Buffer]:
    """Returns `array` as a Tensor: by reference if possible, else with its bytes.

    Raises TypeError or ValueError, which name `name`, for an array that cannot be sent.
    """
    return _tensor(number, name, array, references)[2]


def targets_field(
    number: int, targets: Targets, references: MemoryReferences = NOTHING_SHARED
) -> list[Buffer]:
    """Returns targets of any form as a Tensor."""
    if type(targets) is np.ndarray:  # the fast way
        return tensor_field(number, "targets", targets, references)
    if isinstance(targets, Identity):
        return [encoding.identity(number, targets.diagonal)]
    if isinstance(targets, Bits):
        device = _named_on_device("targets", targets.packed, references)
        if device is None:
            return _sent(number, bits_to_wire(targets), references)
        return _on_device(number, "targets", device, BIT, targets.shape, references)
    found = targets if isinstance(targets, Ones) else from_sparse(targets)
    if found is not None:
        return [encoding.ones(number, found.shape or (), found.row_splits, found.columns)]
    return tensor_field(number, "targets", targets, references)  # type: ignore[arg-type]


def bits_to_wire(bits: Bits) -> WireTensor:
    """Returns the bytes of targets of one bit each."""
    return WireTensor(BIT, bits.shape, wire.to_wire("targets", bits.packed).values)


def lies_in(array: ArrayLike, memory: SharedMemory) -> bool:
    """Returns whether a host array is passed by reference instead of copied."""
    values, _ = wire.values_of(array)
    return memory._reference(values) is not None


def _tensor(
    number: int, name: str, array: Any, references: MemoryReferences
) -> tuple[ElementType, tuple[int, ...], list[Buffer]]:
    """Returns the type and the shape of a tensor, and its field."""
    device = None
    if type(array) is not np.ndarray:
        device = _named_on_device(name, array, references)
    if device is not None:
        known = element_type.by_name(device.dtype)
        if known is None:
            names = element_type.names(ARRAY_TYPES)
            raise TypeError(f"{name}: dtype {device.dtype} is none of {names}")
        parts = _on_device(number, name, device, known, device.shape, references)
        return known, device.shape, parts
    sent = wire.to_wire(name, array)
    return sent.element_type, sent.shape, _sent(number, sent, references)


def _named_on_device(name: str, array: Any, references: MemoryReferences) -> DeviceArray | None:
    """Returns a description of `array` if it is to be passed by reference on a GPU, else None.

    None is returned for an array in host memory, and for one that its library copies there.
    """
    device = device_array.of(name, array)
    if device is None or (not references.enabled and device.copies_itself):
        return None
    if name == "upstream_gradient" and device.size == 1:  # the contract has it sent
        if not device.copies_itself:
            raise TypeError(f"{name}: one value on {device.device}; give a number")
        return None
    return device


def _on_device(
    number: int,
    name: str,
    device: DeviceArray,
    kind: ElementType,
    shape: tuple[int, ...],
    references: MemoryReferences,
) -> list[Buffer]:
    if device.size == 0:  # an empty tensor has no address
        return [encoding.tensor_header(number, kind.data_type, shape, 0)]
    place = references.device_reference(name, device)
    return [encoding.tensor_in_region(number, kind.data_type, shape, place)]


def _sent(number: int, sent: WireTensor, references: MemoryReferences) -> list[Buffer]:
    kind, shape, values = sent
    place = references.reference(values)
    if place is not None:
        return [encoding.tensor_in_region(number, kind.data_type, shape, place)]
    return [encoding.tensor_header(number, kind.data_type, shape, values.nbytes), values]


def _returned(received: Received | None, logits: Any) -> Any:
    """Returns a tensor of the reply for logits of PyTorch or, as a view, of anything else."""
    if received is None:
        return None
    torch = None if type(logits) is np.ndarray else pytorch.torch_of(logits)
    if torch is None:
        return wire.to_array(received)
    tensor = pytorch.new_tensor(torch, received.shape, received.element_type)
    _copy(received, tensor)
    return tensor.to(logits.device)


def _delivered(received: Received | None, out: Any, logits: Any) -> Any:
    """Returns a derivative of the reply in its place, or as _returned() if there is no place."""
    if out is None:
        return _returned(received, logits)
    if received is not None:  # otherwise the server has written it there
        if type(out) is np.ndarray and out.dtype == received.element_type.storage:
            out[...] = wire.to_array(received)
        else:
            _copy(received, out)
    return out


def _copy(received: Received, out: Any) -> None:
    """Copies the bytes of a tensor of the reply to a place that fits them."""
    if received.byte_size > 0:
        gradient.stored(out)[:] = np.frombuffer(
            received.message, np.uint8, received.byte_size, received.first
        )
