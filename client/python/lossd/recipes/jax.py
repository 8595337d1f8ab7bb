"""Packages that are built on JAX."""

from __future__ import annotations

from lossd.recipes.options import Options, focal


def optax_sigmoid_binary_cross_entropy() -> Options:
    """optax.losses.sigmoid_binary_cross_entropy, which reduces nothing."""
    return {"reduction": "none"}


def optax_sigmoid_focal(alpha: float | None = None, gamma: float = 2.0) -> Options:
    """optax.losses.sigmoid_focal_loss, which reduces nothing."""
    return focal(gamma, alpha) | {"reduction": "none"}
