"""The calls of a loss, with its tensors in shared memory where the client has that (D74)."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any, NamedTuple

import torch

from lossd import conversion
from lossd.client import Client
from lossd.errors import LossdError
from lossd.memory_references import UNANSWERED
from lossd.pytorch import not_compiled
from lossd.result import LossResult
from lossd.targets import identity
from lossd.torch import errors, options, servers
from lossd.torch.places import Place, PlacedCall, Pool, padded

# A smaller gradient is copied, so that what keeps it keeps no shared memory.
_LEAST_LENT_BYTES = 64 << 10
# What a call knows of the logits when they are no tensor on a GPU.
_ON_THE_HOST = torch.empty(0)


class Inputs(NamedTuple):
    """The inputs of an operator."""

    logits: torch.Tensor
    targets: torch.Tensor | None  # None: those of the diagonal that the options name
    weight: torch.Tensor | None
    pos_weight: torch.Tensor | None
    divisor: torch.Tensor | None
    server: str
    options: str


class _Found(NamedTuple):
    """What a call has returned."""

    result: LossResult[Any, Any]
    gradient: torch.Tensor | None


def wide(dtype: torch.dtype) -> torch.dtype:
    """Returns the type in which logits of `dtype` have their loss and derivatives."""
    return torch.float64 if dtype == torch.float64 else torch.float32


def value(inputs: Inputs) -> torch.Tensor:
    """Returns the loss; ServerError if the server does not answer."""
    return _value_of(_found(inputs, gradient=False).result, inputs.logits)


def value_and_gradient(inputs: Inputs) -> tuple[torch.Tensor, torch.Tensor]:
    """Returns the loss and its gradient; ServerError if the server does not answer."""
    found = _found(inputs, gradient=True)
    assert found.gradient is not None
    return _value_of(found.result, inputs.logits), found.gradient


def second_derivative(inputs: Inputs) -> torch.Tensor:
    """Returns the second derivative; ServerError if the server does not answer."""
    second = _found(inputs, gradient=False, second_derivative=True).result.second_derivative
    if second is None:
        raise NotImplementedError(
            "second derivative: the server returned none; it is older than this client"
        )
    return _tensor(second)


def _value_of(result: LossResult[Any, Any], logits: torch.Tensor) -> torch.Tensor:
    if result.losses is not None:
        return _tensor(result.losses)
    return torch.tensor(result.loss, dtype=wide(logits.dtype), device=logits.device)


def _tensor(found: Any) -> torch.Tensor:
    """Returns a result as a tensor that may be changed."""
    tensor: torch.Tensor = (
        found if isinstance(found, torch.Tensor) else torch.from_numpy(found.copy())
    )
    return tensor


@not_compiled
def _found(inputs: Inputs, **wanted: bool) -> _Found:
    """Asks the server for what `wanted` names."""
    client = servers.named(inputs.server)
    try:
        pool = _pool_for(client, inputs)
        found = None if pool is None else _placed(client, pool, inputs, wanted)
        return found or _sent(client, inputs, wanted)
    except LossdError as error:
        raise errors.of(error) from error


def _pool_for(client: Client, inputs: Inputs) -> Pool | None:
    """Returns the client's pool if the tensors of a call can lie there, else None."""
    if client._shared_memory is None:
        return None
    for tensor in inputs[:4]:
        if tensor is not None and (
            tensor.device.type != "cpu" or tensor.layout is not torch.strided
        ):
            return None
    if inputs.logits.numel() == 0:
        return None
    pool: Pool | None = client._places
    if pool is None:
        pool = client._places = Pool(client._shared_memory)
    return pool


def _placed(client: Client, pool: Pool, inputs: Inputs, wanted: dict[str, bool]) -> _Found | None:
    """Makes a call in shared memory; None if there is none."""
    logits = inputs.logits
    memory = pool.memory
    # A tensor that lies in shared memory already is read there.
    lies = [
        None
        if tensor is None or not tensor.is_contiguous()
        else memory.reference_at(tensor.data_ptr(), tensor.nbytes)
        for tensor in inputs[:4]
    ]
    copied = [
        tensor if place is None else None for tensor, place in zip(inputs[:4], lies, strict=True)
    ]
    needed = padded(logits.numel() * wide(logits.dtype).itemsize) + sum(
        padded(tensor.nbytes) for tensor in copied if tensor is not None
    )
    place = pool.take(needed)
    if place is None:
        return None
    with _in_use(pool, place):
        call = _placed_call(place, memory, inputs, copied, lies, wanted)
        for view, tensor in zip(call.views, copied, strict=True):
            if view is not None:
                view.copy_(tensor)
        timeout = options.decode(inputs.options).timeout
        result = client._answer(call.call, client._call_options(timeout))
    gradient = None
    if call.gradient is not None:
        if call.gradient.nbytes >= _LEAST_LENT_BYTES:
            gradient = pool.lend(place, call.gradient)
        if gradient is not None:
            return _Found(result, gradient)
        gradient = torch.from_numpy(call.gradient).clone()
    pool.give_back(place)
    return _Found(result, gradient)


@contextlib.contextmanager
def _in_use(pool: Pool, place: Place) -> Iterator[None]:
    """Encloses a call, and takes care of the place if the call fails."""
    try:
        yield
    except LossdError as error:
        if error.code in UNANSWERED:
            pool.keep_for_a_while(place)
        else:
            pool.give_back(place)
        raise
    except BaseException:  # also one that was interrupted
        pool.keep_for_a_while(place)
        raise


def _placed_call(
    place: Place,
    memory: Any,
    inputs: Inputs,
    copied: list[torch.Tensor | None],
    lies: list[Any],
    wanted: dict[str, bool],
) -> PlacedCall:
    """Returns the call of such inputs in this place, which is made once."""
    divisor = None if inputs.divisor is None else inputs.divisor.item()
    key = (
        inputs.options,
        divisor,
        *wanted.items(),
        *(None if tensor is None else (tensor.shape, tensor.dtype) for tensor in inputs[:4]),
        *lies,
    )
    call = place.calls.get(key)
    if call is not None:
        return call
    place.begin()
    given = _options(inputs, wanted)
    logits = inputs.logits
    gradient = None
    if wanted["gradient"]:
        gradient = place.array(logits.shape, "f8" if logits.dtype == torch.float64 else "f4")
        given["gradient_out"] = gradient
    views = tuple(None if tensor is None else place.view(tensor) for tensor in copied)
    tensors = [
        tensor if view is None else view for tensor, view in zip(inputs[:4], views, strict=True)
    ]
    made = conversion.to_call(*_arguments(inputs, tensors, given), memory=memory, **given)
    call = PlacedCall(made._replace(logits=_ON_THE_HOST), views, gradient)
    place.calls[key] = call
    return call


def _options(inputs: Inputs, wanted: dict[str, bool]) -> dict[str, Any]:
    """Returns the options of compute_loss() that are no tensors."""
    of_loss = options.decode(inputs.options).of_loss
    given = {**of_loss, **wanted}
    if inputs.divisor is not None:
        given.update(normalizer="caller", normalizer_value=inputs.divisor.item())
    if inputs.logits.dtype in (torch.bfloat16, torch.float16):
        given["gradient_dtype"] = "float32"
        if of_loss["reduction"] == "none":
            given["losses_dtype"] = "float32"
    return given


def _arguments(inputs: Inputs, tensors: list[Any], given: dict[str, Any]) -> tuple[Any, Any]:
    """Returns the logits and the targets, and puts the weights among the options."""
    logits, targets, given["weights"], given["pos_weight"] = tensors
    diagonal = options.decode(inputs.options).diagonal
    return logits, targets if diagonal is None else identity(diagonal)


def _sent(client: Client, inputs: Inputs, wanted: dict[str, bool]) -> _Found:
    """Makes a call whose tensors the client sends, or lends on a GPU."""
    logits = inputs.logits
    given = _options(inputs, wanted)
    tensors = [_plain(tensor) for tensor in inputs[:4]]
    gradient = None
    if wanted["gradient"] and not isinstance(tensors[0], torch.Tensor):
        gradient = torch.empty(logits.shape, dtype=wide(logits.dtype))
        given["gradient_out"] = gradient.numpy()
    found = client.compute_loss(
        *_arguments(inputs, tensors, given),
        timeout=options.decode(inputs.options).timeout,
        **given,
    )
    return _Found(found, found.gradient if gradient is None else gradient)


def _plain(tensor: torch.Tensor | None) -> Any:
    """Returns the array over a tensor's memory, which the client takes faster than the tensor."""
    if (
        tensor is None
        or tensor.device.type != "cpu"
        or tensor.dtype == torch.bfloat16  # NumPy has no such type
        or tensor.layout is not torch.strided
    ):
        return tensor
    return tensor.detach().resolve_neg().numpy()
