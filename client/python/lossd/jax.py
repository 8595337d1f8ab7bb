"""Losses of lossd as functions of JAX, with gradients, jit, vmap and sharding.

loss = lossd.jax.sigmoid_loss(client, kind="sigmoid_focal", focal_gamma=2)
value, gradient = jax.jit(jax.value_and_grad(loss))(logits, targets)

The server is called from the computation by jax.pure_callback, once for loss and gradient
together. The gradient is exact at a logit of 0 and in both tails. A gradient of a gradient is
exact too, by the server's second derivative; forward-mode differentiation is not defined, so a
Hessian is jax.jacrev(jax.grad(loss)).

- `jax.vmap` makes one call for each element of the batch, or a single one with reduction="none".
- Arguments that are sharded over devices are gathered for the call, after which results lie on one
  device unless jax.jit has out_shardings. With jax.shard_map each shard makes a call of its own, so
  a mean is that of the shard: use reduction="sum" and jax.lax.psum.
- A failed call is JAX's own error, whose text has that of lossd: jax.errors.JaxRuntimeError, or
  ValueError where a compiled function has run before.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from lossd import arguments
from lossd.client import Client
from lossd.spec import NAMES, OF_RESULTS

Array = Any  # an array of JAX, NumPy or a tracer

# JAX decides these, or passes them.
_DECIDED = OF_RESULTS | {"weights", "pos_weight", "upstream_gradient", "target_shape_rule"}


def sigmoid_loss(
    client: Client, *, timeout: float | None = None, **options: Any
) -> Callable[..., Array]:
    """Returns loss(logits, targets, weights=None, pos_weight=None).

    `options` are those of Client.compute_loss() that say which loss it is and how it is reduced.
    The loss is a number of float32, or of float64 for such logits. With reduction="none" it is an
    array of the logits' shape and type. Only logits have a gradient.

    Raises TypeError for an option that is unknown or not the caller's to choose. The function
    raises TypeError and ValueError, which begin with the argument's name, while JAX traces it.
    """
    for name in options:
        if name in _DECIDED:
            raise TypeError(f"{name}: it is an argument of the loss, or JAX decides it")
    arguments.known(NAMES, options)
    if options.get("reduction", "mean") not in ("mean", "sum", "none"):
        raise ValueError(f"reduction: {options['reduction']!r} is none of mean, sum, none")
    server = _Server(client, arguments.seconds("timeout", timeout), options)

    def pair(logits: Array, targets: Array, operands: Any) -> tuple[Array, Array]:
        loss, gradient = server.ask(logits, targets, operands, derivatives=1)
        return loss, gradient

    loss_and_gradient = jax.custom_vjp(pair)

    def pair_forward(logits: Any, targets: Any, operands: Any) -> Any:
        _refuse_gradients(targets, operands)
        known = {name: operand.value for name, operand in operands.items()}
        loss, gradient, second = server.ask(logits.value, targets.value, known, derivatives=2)
        return (loss, gradient), (gradient, second)

    def pair_backward(kept: Any, upstream: Any) -> Any:
        of_loss, of_gradient = (_instantiated(each) for each in upstream)
        gradient, second = kept
        return _scaled(of_loss, gradient) + of_gradient * second, None, None

    def alone(logits: Array, targets: Array, operands: Any) -> Array:
        return server.ask(logits, targets, operands, derivatives=0)[0]

    loss_of = jax.custom_vjp(alone)

    def forward(logits: Any, targets: Any, operands: Any) -> Any:
        _refuse_gradients(targets, operands)
        known = {name: operand.value for name, operand in operands.items()}
        return loss_and_gradient(logits.value, targets.value, known)

    def backward(gradient: Array, upstream: Any) -> Any:
        return _scaled(_instantiated(upstream), gradient), None, None

    loss_and_gradient.defvjp(pair_forward, pair_backward, symbolic_zeros=True)
    loss_of.defvjp(forward, backward, symbolic_zeros=True)

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
        self._is_reduced = options.get("reduction", "mean") != "none"

    def ask(
        self, logits: Array, targets: Array, operands: Mapping[str, Array], derivatives: int
    ) -> list[Array]:
        """Returns the loss and so many derivatives by the logits."""
        wide = jnp.float64 if logits.dtype == jnp.float64 else jnp.float32
        loss = jax.ShapeDtypeStruct((), wide)
        like = jax.ShapeDtypeStruct(logits.shape, logits.dtype)
        results = [loss if self._is_reduced else like, *[like] * derivatives]
        rank = logits.ndim

        def call(*tensors: Any) -> list[Any]:
            return self._call(rank, list(operands), tensors, results)

        found: list[Array] = jax.pure_callback(
            call,
            results,
            logits,
            targets,
            *operands.values(),
            # A reduced loss of several examples is several losses.
            vmap_method="sequential" if self._is_reduced else "broadcast_all",
        )
        return found

    def _call(
        self, rank: int, names: list[str], tensors: tuple[Any, ...], results: list[Any]
    ) -> list[Any]:
        logits, targets, *others = (np.asarray(tensor) for tensor in tensors)
        batched = logits.ndim - rank  # the dimensions that vmap has put before all
        operands = {
            name: _aligned(other, batched, rank) for name, other in zip(names, others, strict=True)
        }
        result = self._client.compute_loss(
            logits,
            targets,
            gradient=len(results) > 1,
            second_derivative=len(results) > 2,
            timeout=self._timeout,
            **operands,
            **self._options,
        )
        loss = result.loss if self._is_reduced else result.losses
        found = [loss, result.gradient, result.second_derivative][: len(results)]
        # A view of the reply need not be aligned, as JAX wants arrays to be.
        return [
            np.array(value, expected.dtype) for value, expected in zip(found, results, strict=True)
        ]


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


def _refuse_gradients(targets: Any, operands: Mapping[str, Any]) -> None:
    """Raises TypeError if JAX asks for a gradient that is not defined here."""
    for name, value in {"targets": targets, **operands}.items():
        if value.perturbed:
            raise TypeError(f"{name}: only logits have a gradient; use jax.lax.stop_gradient")


def _instantiated(upstream: Any) -> Array:
    """Returns a cotangent, of which JAX leaves out zeros."""
    is_zero = isinstance(upstream, jax.custom_derivatives.SymbolicZero)
    return jnp.zeros(upstream.shape, upstream.dtype) if is_zero else upstream


def _scaled(upstream: Array, gradient: Array) -> Array:
    return (upstream.astype(gradient.dtype) if upstream.ndim == 0 else upstream) * gradient
