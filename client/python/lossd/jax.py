"""Losses of lossd as functions of JAX, with derivatives, jit, vmap and sharding.

```python
loss = lossd.jax.sigmoid_loss("localhost:50051", kind="sigmoid_focal", focal_gamma=2)
value, gradient = jax.jit(jax.value_and_grad(loss))(logits, targets)
```

The computation calls the server, once for loss and gradient together. Both are exact at a logit of
0 and in both tails, and so is the second derivative: jax.grad, jax.jvp, jax.hessian and gradients
of gradients work, in forward and in reverse mode.

- `jax.vmap` makes one call for each element of the batch, or a single one with reduction="none".
- Arguments that are sharded over devices are gathered for the call. Several devices of the CPU make
  it once each and have the whole results. Other devices make it once, after which results lie on
  one of them unless jax.jit has out_shardings.
- With jax.shard_map each shard makes a call of its own, so a mean is that of the shard: use
  reduction="sum" and jax.lax.psum.
- A failed call is JAX's own error: jax.errors.JaxRuntimeError, or ValueError where a compiled
  function has run before. Its text is a traceback, whose last line is the error of lossd:
  str(error).splitlines()[-1].
"""

from __future__ import annotations

import functools
import importlib.util
from collections.abc import Callable, Mapping
from typing import Any

from lossd import arguments, clients, extras, spec
from lossd.client import Client

if importlib.util.find_spec("jax") is None:
    raise extras.missing("lossd.jax", "jax", "jax")

import jax
import jax.numpy as jnp
import numpy as np
from jax.experimental.buffer_callback import buffer_callback

__all__ = ["sigmoid_loss"]

Array = Any  # an array of JAX, NumPy or a tracer

# JAX decides these, or passes them.
_DECIDED = spec.OF_RESULTS | {"weights", "pos_weight", "upstream_gradient", "target_shape_rule"}


def sigmoid_loss(
    client: Client | str, *, timeout: float | None = arguments.STEP_TIMEOUT_SECONDS, **options: Any
) -> Callable[..., Array]:
    """Returns loss(logits, targets, weights=None, pos_weight=None).

    `client` is a lossd.Client, or a target HOST:PORT, whose client all losses share.
    `options` are those of Client.compute_loss() that say which loss it is and how it is reduced;
    nan_policy is "propagate" unless it is given. `timeout` is the seconds that a call may take,
    by default 60; None waits as long as the server takes.

    The loss is a number of float32, or of float64 for such logits. With reduction="none" it is an
    array of the logits' shape and type, or of float32 for float8 logits, whose sum would soon be
    beyond float8. Only logits have derivatives, of which the first two exist. Those of 16-bit and
    float8 logits are rounded once, after the multiplication by what comes from above, so that a
    scaled loss keeps small ones.

    Raises TypeError and ValueError for a bad client, and for an option that is unknown, bad or not
    the caller's to choose. The function raises them, beginning with the argument's name, while JAX
    traces it.
    """
    for name in options:
        if name in _DECIDED:
            raise TypeError(f"{name}: it is an argument of the loss, or JAX decides it")
    arguments.known(spec.NAMES, options)
    if options.get("reduction", "mean") not in ("mean", "sum", "none"):
        raise ValueError(f"reduction: {options['reduction']!r} is none of mean, sum, none")
    options = {"nan_policy": "propagate", **options}
    spec.of({name: value for name, value in options.items() if name != "request_id"})
    server = _Server(clients.of(client), arguments.seconds("timeout", timeout), options)
    loss_of = _differentiable(server)

    def loss(
        logits: Array, targets: Array, weights: Array = None, pos_weight: Array = None
    ) -> Array:
        logits, targets = _array("logits", logits), _array("targets", targets)
        if not jnp.issubdtype(logits.dtype, jnp.floating):
            raise TypeError(f"logits: {logits.dtype} is no type of real numbers")
        if targets.shape != logits.shape:
            raise ValueError(f"targets: shape {targets.shape} is not the logits' {logits.shape}")
        operands = {}
        for name, value in (("weights", weights), ("pos_weight", pos_weight)):
            if value is not None:
                operands[name] = _array(name, value)
                _check_broadcast(name, operands[name].shape, logits.shape)
        result: Array = loss_of(logits, targets, operands)
        return result

    return loss


class _Server:
    """Calls of one loss from within a computation of JAX."""

    def __init__(self, client: Client, timeout: float | None, options: Mapping[str, Any]) -> None:
        self._client = client
        self._timeout = timeout
        self._options = dict(options)
        self.is_reduced = options.get("reduction", "mean") != "none"

    def ask(
        self, logits: Array, targets: Array, operands: Mapping[str, Array], derivatives: int
    ) -> list[Array]:
        """Returns the loss and so many derivatives by the logits, which are never narrow."""
        wide = jnp.float64 if logits.dtype == jnp.float64 else jnp.float32
        is_float8 = logits.dtype.itemsize == 1
        loss = (
            jax.ShapeDtypeStruct((), wide)
            if self.is_reduced
            else jax.ShapeDtypeStruct(logits.shape, wide if is_float8 else logits.dtype)
        )
        results = [loss, *[jax.ShapeDtypeStruct(logits.shape, wide)] * derivatives]
        call = functools.partial(self._call, logits.ndim, list(operands), results)
        # A reduced loss of several examples is several losses.
        vmap_method = "sequential" if self.is_reduced else "broadcast_all"
        found = _called(call, results, [logits, targets, *operands.values()], vmap_method)
        return [_varying(each, [logits, targets, *operands.values()]) for each in found]

    def _call(self, rank: int, names: list[str], results: list[Any], *tensors: Any) -> list[Any]:
        arrays = [np.asarray(tensor) for tensor in tensors]
        if sum(array.nbytes for array in arrays) > self._client._stream_above_bytes:
            # gRPC may read a stream's arrays after a call has failed, when they are XLA's again.
            arrays = [array.copy() for array in arrays]
        logits, targets, *others = arrays
        batched = logits.ndim - rank  # the dimensions that vmap has put before all
        operands = {
            name: _aligned(other, batched, rank) for name, other in zip(names, others, strict=True)
        }
        result = self._client.compute_loss(
            logits,
            targets,
            gradient=len(results) > 1,
            second_derivative=len(results) > 2,
            gradient_dtype=None if len(results) == 1 else results[1].dtype,
            losses_dtype=None if self.is_reduced else results[0].dtype,
            timeout=self._timeout,
            **operands,
            **self._options,
        )
        loss = result.loss if self.is_reduced else result.losses
        found = [loss, result.gradient, result.second_derivative][: len(results)]
        # A view of the reply need not be aligned, as JAX wants arrays to be.
        return [
            np.require(value, expected.dtype, ["ALIGNED"])
            for value, expected in zip(found, results, strict=True)
        ]


def _called(
    call: Callable[..., list[Any]], results: list[Any], operands: list[Array], vmap_method: str
) -> list[Array]:
    """Returns what `call` makes of the operands as arrays of NumPy.

    On the CPU a callback occupies one of XLA's threads. jax.pure_callback() leaves the copy of a
    large operand to another one, and waits for ever if there is none. buffer_callback() lends the
    memory of operands and results instead.
    """

    def in_place(_: Any, outputs: list[Any], *tensors: Any) -> None:
        for output, value in zip(outputs, call(*tensors), strict=True):
            np.copyto(np.asarray(output), value)

    found: list[Array] = jax.lax.platform_dependent(
        *operands,
        cpu=buffer_callback(in_place, results, vmap_method=vmap_method),
        default=functools.partial(jax.pure_callback, call, results, vmap_method=vmap_method),
    )
    return found


def _differentiable(server: _Server) -> Callable[..., Array]:
    """Returns loss(logits, targets, operands) with the rules by which JAX differentiates it.

    The rules are linear in the tangents, so JAX makes reverse mode of them by transposition.
    """

    def loss_of(logits: Array, targets: Array, operands: Any) -> Array:
        return server.ask(logits, targets, operands, derivatives=0)[0]

    def with_gradient(logits: Array, targets: Array, operands: Any) -> tuple[Array, ...]:
        return tuple(server.ask(logits, targets, operands, derivatives=1))

    def with_both(logits: Array, targets: Array, operands: Any) -> tuple[Array, ...]:
        return tuple(server.ask(logits, targets, operands, derivatives=2))

    first, second, third = map(jax.custom_jvp, (loss_of, with_gradient, with_both))

    def of_loss(gradient: Array, loss: Array, tangent: Array) -> Array:
        product = gradient * tangent.astype(gradient.dtype)
        return product.sum() if server.is_reduced else product.astype(loss.dtype)

    def loss_rule(primals: Any, tangents: Any) -> Any:
        tangent = _of_logits(tangents)
        loss, gradient = second(*primals)
        return loss, of_loss(gradient, loss, tangent)

    def gradient_rule(primals: Any, tangents: Any) -> Any:
        tangent = _of_logits(tangents)
        loss, gradient, curvature = third(*primals)
        moved = of_loss(gradient, loss, tangent), curvature * tangent.astype(curvature.dtype)
        return (loss, gradient), moved

    def no_rule(primals: Any, tangents: Any) -> Any:
        raise NotImplementedError("logits: the server computes no third derivative")

    first.defjvp(loss_rule, symbolic_zeros=True)
    second.defjvp(gradient_rule, symbolic_zeros=True)
    third.defjvp(no_rule, symbolic_zeros=True)
    found: Callable[..., Array] = first
    return found


def _of_logits(tangents: Any) -> Array:
    """Returns the tangent of the logits; TypeError if JAX asks for that of anything else."""
    of_logits, of_targets, of_operands = tangents
    for name, tangent in {"targets": of_targets, **of_operands}.items():
        if not _is_zero(tangent):
            raise TypeError(f"{name}: only logits have a gradient; use jax.lax.stop_gradient")
    return jnp.zeros(of_logits.shape, of_logits.dtype) if _is_zero(of_logits) else of_logits


def _is_zero(tangent: Any) -> bool:
    return isinstance(tangent, jax.custom_derivatives.SymbolicZero)


def _varying(result: Array, inputs: list[Array]) -> Array:
    """Returns a result that differs between the devices of jax.shard_map if an input does.

    Callbacks say of their results that they do not, and JAX then refuses to differentiate.
    """
    axes = tuple(frozenset[Any]().union(*map(_axes, inputs)))
    if not axes:
        return result
    if hasattr(jax.lax, "pcast"):
        return jax.lax.pcast(result, axes, to="varying")
    return jax.lax.pvary(result, axes)  # JAX 0.7


def _axes(array: Array) -> frozenset[Any]:
    """Returns the axes of jax.shard_map along which an array varies.

    JAX 0.10 keeps them in an object of their own.
    """
    of = jax.typeof(array)
    found = getattr(getattr(of, "manual_axis_type", None), "varying", None)
    return frozenset(of.vma) if found is None else frozenset(found)


def _aligned(operand: Any, batched: int, rank: int) -> Any:
    """Returns an operand whose own dimensions are the last ones, after those of vmap."""
    own = operand.ndim - batched
    return operand.reshape(*operand.shape[:batched], *(1,) * (rank - own), *operand.shape[batched:])


def _array(name: str, value: Any) -> Array:
    try:
        return jnp.asarray(value)
    except (TypeError, ValueError) as error:
        raise TypeError(f"{name}: {error}") from error


def _check_broadcast(name: str, shape: tuple[int, ...], logits: tuple[int, ...]) -> None:
    try:
        fits = np.broadcast_shapes(shape, logits) == logits
    except ValueError:
        fits = False
    if not fits:
        raise ValueError(f"{name}: shape {shape} does not broadcast to the logits' {logits}")
