"""The steps that XLA computes in a process of the bench, by jax.jit, in float32.

The environment has XLA_FLAGS before JAX is imported (in_process.py sets them): XLA reads them
once.
"""

from __future__ import annotations

from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np

Step = Callable[[], tuple[jax.Array, jax.Array]]


# The form of the slope is the faster one of those tried under jax.jit.
def _cross_entropy_formula(logits: jax.Array, targets: jax.Array) -> tuple[jax.Array, jax.Array]:
    z = jnp.exp(-jnp.abs(logits))
    losses = jnp.maximum(logits, 0) - logits * targets + jnp.log1p(z)
    return losses.mean(), (jax.nn.sigmoid(logits) - targets) * (1.0 / logits.size)


def _focal_formula(logits: jax.Array, targets: jax.Array) -> tuple[jax.Array, jax.Array]:
    z = jnp.exp(-jnp.abs(logits))
    p = jax.nn.sigmoid(logits)
    cross_entropy = jnp.maximum(logits, 0) - logits * targets + jnp.log1p(z)
    q = p + targets - 2 * p * targets  # 1 - p_t
    alpha_t = 0.75 - 0.5 * targets
    losses = alpha_t * cross_entropy * q * q
    slope = q * (p - targets) + 2 * cross_entropy * (1 - 2 * targets) * p * (1 - p)
    return losses.mean(), alpha_t * q * slope * (1.0 / logits.size)


_FORMULAS = {
    "formula_cross_entropy": _cross_entropy_formula,
    "formula_focal": _focal_formula,
}


def make(name: str, logits: np.ndarray, targets: np.ndarray) -> Step:
    """Returns the step of that name; each call gives the last gradient's memory to the next."""
    formula = _FORMULAS[name]

    # peer_process.py finds the compiled code by this name.
    def loss_and_gradient(
        x: jax.Array, t: jax.Array, memory: jax.Array
    ) -> tuple[jax.Array, jax.Array]:
        del memory  # only given away
        return formula(x, t)

    compiled = jax.jit(loss_and_gradient, donate_argnums=2, keep_unused=True)
    x, t = jnp.asarray(logits), jnp.asarray(targets)
    gradient = jnp.zeros_like(x)

    def step() -> tuple[jax.Array, jax.Array]:
        nonlocal gradient
        loss, gradient = jax.block_until_ready(compiled(x, t, gradient))
        return loss, gradient

    return step
