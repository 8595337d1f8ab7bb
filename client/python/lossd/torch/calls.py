"""The calls of a loss, with its tensors in shared memory where the client has that (D74)."""

from __future__ import annotations

from typing import Any, NamedTuple

import torch

from lossd import conversion
from lossd.client import Client
from lossd.element_type import EXTENSION_TYPES
from lossd.errors import LossdError
from lossd.memory_references import UNANSWERED
from lossd.pytorch import not_compiled
from lossd.result import LossResult
from lossd.targets import identity
from lossd.torch import errors, options, servers
from lossd.torch.places import Place, PlacedCall, Pool, padded

# A smaller gradient is copied, so that what keeps it keeps no shared memory.
_LEAST_LENT_BYTES = 64 << 10
# NumPy lacks these types. PyTorch has had float8 from 2.1 on.
_EXTENSION_TYPES = tuple(
    getattr(torch, known.name) for known in EXTENSION_TYPES if hasattr(torch, known.name)
)
# It stands for the logits in a call that is kept: its results are tensors on the host.
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


class _Wanted(NamedTuple):
    """The results that a call asks for beside the loss; the names are compute_loss()'s."""

    gradient: bool
    second_derivative: bool


class _Found(NamedTuple):
    """What a call has returned."""

    result: LossResult[Any, Any]
    gradient: torch.Tensor | None


def wide(dtype: torch.dtype) -> torch.dtype:
    """Returns the type in which logits of `dtype` have their loss and derivatives."""
    return torch.float64 if dtype == torch.float64 else torch.float32


def scaled(upstream: torch.Tensor, gradient: torch.Tensor) -> torch.Tensor:
    """Returns the gradient times that of its loss, which is one number, or one for each row."""
    missing = gradient.dim() - upstream.dim()
    if missing > 0 and upstream.dim() > 0:
        upstream = upstream.reshape(*upstream.shape, *(1,) * missing)
    return upstream * gradient


def value(inputs: Inputs) -> torch.Tensor:
    """Returns the loss; ServerError if the server does not answer."""
    return _value_of(_found(inputs, _Wanted(False, False)).result, inputs.logits)


def value_and_gradient(inputs: Inputs) -> tuple[torch.Tensor, torch.Tensor]:
    """Returns the loss and its gradient; ServerError if the server does not answer."""
    found = _found(inputs, _Wanted(True, False))
    assert found.gradient is not None
    return _value_of(found.result, inputs.logits), found.gradient


def second_derivative(inputs: Inputs) -> torch.Tensor:
    """Returns the second derivative; ServerError if the server does not answer."""
    second = _found(inputs, _Wanted(False, True)).result.second_derivative
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
def _found(inputs: Inputs, wanted: _Wanted) -> _Found:
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
    if client._shared_memory is None or client._closed:
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


def _placed(client: Client, pool: Pool, inputs: Inputs, wanted: _Wanted) -> _Found | None:
    """Makes a call in shared memory; None if there is none."""
    needed = padded(inputs.logits.numel() * wide(inputs.logits.dtype).itemsize)
    divisor = None if inputs.divisor is None else inputs.divisor.item()
    key = [inputs.options, wanted, divisor]
    copied: list[torch.Tensor | None] = []
    for tensor in inputs[:4]:
        if tensor is None:
            key.append(None)
            copied.append(None)
            continue
        byte_size = tensor.nbytes
        # A tensor that lies in shared memory already is read there.
        lies = None
        if tensor.is_contiguous():
            lies = pool.memory._reference_at(tensor.data_ptr(), byte_size)
        key.append((tensor.shape, tensor.dtype, lies))
        copied.append(tensor if lies is None else None)
        needed += padded(byte_size)
    place = pool.take(needed)
    if place is None:
        return None
    try:
        return _made(client, pool, place, tuple(key), copied, inputs, wanted)
    except BaseException as error:  # also one that interrupts the call
        answered = isinstance(error, LossdError) and error.code not in UNANSWERED
        if answered or isinstance(error, TypeError | ValueError):  # the latter are never sent
            pool.give_back(place)
        else:
            pool.keep_for_a_while(place)
        raise


def _made(
    client: Client,
    pool: Pool,
    place: Place,
    key: tuple[Any, ...],
    copied: list[torch.Tensor | None],
    inputs: Inputs,
    wanted: _Wanted,
) -> _Found:
    """Makes a call in a place, which it gives back unless it raises."""
    placed = place.calls.get(key)
    if placed is None:
        placed = place.calls[key] = _placed_call(place, pool, copied, inputs, wanted)
    call, views, own = placed
    for view, tensor in zip(views, copied, strict=True):
        if view is not None:
            view.copy_(tensor)  # with as many threads as PyTorch has
    timeout = options.decode(inputs.options).timeout
    result = client._answer(call, client._call_options(timeout))
    gradient = None
    if own is not None:
        if own.nbytes >= _LEAST_LENT_BYTES:
            gradient = pool.lend(place, own)
        if gradient is not None:
            return _Found(result, gradient)
        gradient = torch.from_numpy(own).clone()
    pool.give_back(place)
    return _Found(result, gradient)


def _placed_call(
    place: Place, pool: Pool, copied: list[torch.Tensor | None], inputs: Inputs, wanted: _Wanted
) -> PlacedCall:
    """Returns a new call of such inputs in this place."""
    place.begin()
    given = _options(inputs, wanted)
    logits = inputs.logits
    gradient = None
    if wanted.gradient:
        gradient = place.array(logits.shape, "f8" if logits.dtype == torch.float64 else "f4")
        given["gradient_out"] = gradient
    views = tuple(None if tensor is None else place.view(tensor) for tensor in copied)
    tensors = [
        tensor if view is None else view for tensor, view in zip(inputs[:4], views, strict=True)
    ]
    call = conversion.to_call(*_arguments(inputs, tensors, given), memory=pool.memory, **given)
    return PlacedCall(call._replace(logits=_ON_THE_HOST), views, gradient)


def _options(inputs: Inputs, wanted: _Wanted) -> dict[str, Any]:
    """Returns the options of compute_loss() that are no tensors."""
    of_loss = options.decode(inputs.options).of_loss
    given = {**of_loss, **wanted._asdict()}
    if inputs.divisor is not None:
        given.update(normalizer="caller", normalizer_value=inputs.divisor.item())
    if inputs.logits.dtype not in (torch.float32, torch.float64):
        given["gradient_dtype"] = "float32"
        if of_loss["reduction"] in ("none", "rows"):
            given["losses_dtype"] = "float32"
    return given


def _arguments(inputs: Inputs, tensors: list[Any], given: dict[str, Any]) -> tuple[Any, Any]:
    """Returns the logits and the targets, and puts the weights among the options."""
    logits, targets, given["weights"], given["pos_weight"] = tensors
    diagonal = options.decode(inputs.options).diagonal
    return logits, targets if diagonal is None else identity(diagonal)


def _sent(client: Client, inputs: Inputs, wanted: _Wanted) -> _Found:
    """Makes a call whose tensors the client sends, or lends on a GPU."""
    logits = inputs.logits
    given = _options(inputs, wanted)
    tensors = [_plain(tensor) for tensor in inputs[:4]]
    gradient = None
    if wanted.gradient and not isinstance(tensors[0], torch.Tensor):
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
        or tensor.dtype in _EXTENSION_TYPES
        or tensor.layout is not torch.strided
    ):
        return tensor
    return tensor.detach().resolve_neg().numpy()
