"""The losses of elements as a function of TensorFlow, with two derivatives by the logits.

The server is called by tf.numpy_function, eagerly and in graphs, once for losses and gradient
together. XLA cannot compile such a call, and the error says so. A failed call is lossd.LossdError
in eager code, and in a graph tf.errors.UnknownError with its text.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import tensorflow as tf

from lossd import arguments, spec
from lossd.client import Client

Tensor = Any  # of TensorFlow

# The error of a graph that XLA is to compile has this name, and no other hint.
_OPERATION = "lossd_needs_jit_compile_False"

# Keras decides these, or passes them.
_DECIDED = spec.OF_RESULTS | {
    "weights",
    "pos_weight",
    "upstream_gradient",
    "target_shape_rule",
    "reduction",
}


def elements(client: Client, options: Mapping[str, Any]) -> Callable[[Tensor, Tensor], Tensor]:
    """Returns losses(logits, targets), of the logits' shape and type; float32 for float8 logits.

    The logits' gradient is rounded to their type once, after the multiplication by what comes from
    above. Targets have no gradient. Raises TypeError or ValueError for a bad option.
    """
    given = {"timeout": arguments.STEP_TIMEOUT_SECONDS, "nan_policy": "propagate", **options}
    timeout = arguments.seconds("timeout", given.pop("timeout"))
    arguments.known(spec.NAMES - _DECIDED, given)
    spec.of({name: value for name, value in given.items() if name != "request_id"})

    def ask(logits: Tensor, targets: Tensor, *wanted: str) -> list[Tensor]:
        """Returns the results that `wanted` names; derivatives are never narrow."""
        wide = tf.float64 if logits.dtype == tf.float64 else tf.float32
        of_losses = wide if logits.dtype.size == 1 else logits.dtype
        types = [of_losses if name == "losses" else wide for name in wanted]

        def call(logits: Any, targets: Any) -> list[Any]:
            result = client.compute_loss(
                logits,
                targets,
                reduction="none",
                gradient="gradient" in wanted,
                second_derivative="second_derivative" in wanted,
                gradient_dtype=wide.as_numpy_dtype,
                losses_dtype=of_losses.as_numpy_dtype,
                timeout=timeout,
                **given,
            )
            found = [getattr(result, name) for name in wanted]
            return [
                np.asarray(value, of.as_numpy_dtype) for value, of in zip(found, types, strict=True)
            ]

        found = tf.numpy_function(call, [logits, targets], types, stateful=False, name=_OPERATION)
        # Eager code returns a single result without its list.
        found = tf.nest.flatten(found)
        return [tf.ensure_shape(tensor, logits.shape) for tensor in found]

    return _differentiable(ask)


def _differentiable(ask: Callable[..., list[Tensor]]) -> Callable[[Tensor, Tensor], Tensor]:
    def losses(logits: Tensor, targets: Tensor) -> Tensor:
        logits, targets = tf.convert_to_tensor(logits), tf.convert_to_tensor(targets)

        def no_derivative(upstream: Tensor) -> Tensor:
            raise NotImplementedError("logits: the server computes no third derivative")

        @tf.custom_gradient  # type: ignore[untyped-decorator,unused-ignore]
        def curvature(logits: Tensor) -> tuple[Tensor, Any]:
            (second,) = ask(logits, targets, "second_derivative")
            return second, no_derivative

        @tf.custom_gradient  # type: ignore[untyped-decorator,unused-ignore]
        def first(logits: Tensor) -> tuple[Tensor, Any]:
            value, gradient = ask(logits, targets, "losses", "gradient")

            def by_logits(upstream: Tensor) -> Tensor:
                @tf.custom_gradient  # type: ignore[untyped-decorator,unused-ignore]
                def known(logits: Tensor) -> tuple[Tensor, Any]:
                    def by_logits_again(upstream: Tensor) -> Tensor:
                        second = curvature(logits)
                        return tf.cast(tf.cast(upstream, second.dtype) * second, logits.dtype)

                    return tf.identity(gradient), by_logits_again

                product = tf.cast(upstream, gradient.dtype) * known(logits)
                return tf.cast(product, logits.dtype)

            return value, by_logits

        return first(logits)

    return losses
