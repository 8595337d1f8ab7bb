"""The losses of elements, as functions of the tensors of Keras's backend."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import keras

from lossd import clients
from lossd.client import Client

Tensor = Any  # of the backend
Elements = Callable[[Tensor, Tensor], Tensor]  # of logits and targets


def elements(client: Client | str, options: Mapping[str, Any]) -> Elements:
    """Returns the losses of elements, which have derivatives by the logits.

    Raises NotImplementedError for a backend whose computations cannot call a server, and TypeError
    or ValueError for a bad option.
    """
    backend = keras.backend.backend()
    if backend == "jax":
        return _of_jax(client, options)
    if backend == "tensorflow":
        return _of_tensorflow(client, options)
    if backend == "torch":
        return _of_torch(client, options)
    raise NotImplementedError(
        "backend: lossd.keras works with KERAS_BACKEND=jax, tensorflow and torch, and this is "
        f"{backend}"
    )


def _of_jax(client: Client | str, options: Mapping[str, Any]) -> Elements:
    from lossd import jax

    return jax.sigmoid_loss(client, reduction="none", **options)


def _of_tensorflow(client: Client | str, options: Mapping[str, Any]) -> Elements:
    from lossd.keras import tensorflow

    return tensorflow.elements(clients.of(client), options)


def _of_torch(client: Client | str, options: Mapping[str, Any]) -> Elements:
    from lossd.torch import functional, servers

    server = servers.of(client)
    kind = options.get("kind", "sigmoid_cross_entropy")
    given = {name: value for name, value in options.items() if name != "kind"}
    text = functional.encoded(kind, "none", given)
    functional.check_options(text)

    def losses(logits: Tensor, targets: Tensor) -> Tensor:
        return functional.compute(logits, targets, None, None, None, None, server.name, text)

    return losses
