"""Compares lossd.keras with Keras's own losses, with the backend that KERAS_BACKEND names."""

from __future__ import annotations

import faulthandler
import re
import sys
from typing import Any

import keras
import lossd
import lossd.keras
import numpy as np
import pytest

RANDOM = np.random.default_rng(5)
LOGITS = RANDOM.normal(0, 3, (6, 4)).astype(np.float32)
TARGETS = (RANDOM.random((6, 4)) < 0.4).astype(np.float32)
WEIGHTS = RANDOM.random(6).astype(np.float32)
FOCAL: dict[str, Any] = {"apply_class_balancing": True, "gamma": 1.5, "alpha": 0.3}
ARGUMENTS: list[dict[str, Any]] = [
    {},
    {"label_smoothing": 0.2},
    {"axis": 0, "reduction": None},  # a mean of means is the same along any axis
    {"reduction": "sum"},
    {"reduction": "mean_with_sample_weight"},
    {"reduction": None},
]


def gradient(loss: Any, weights: Any) -> Any:
    """Returns the gradient by the logits of the loss's sum."""
    if keras.backend.backend() == "jax":
        import jax

        return jax.grad(lambda x: loss(TARGETS, x, sample_weight=weights).sum())(LOGITS)
    import torch

    logits = torch.tensor(LOGITS, requires_grad=True)
    loss(TARGETS, logits, sample_weight=weights).sum().backward()
    return logits.grad.numpy()


def compare(ours: Any, keras_own: Any, weights: Any) -> None:
    for function in (lambda loss: loss(TARGETS, LOGITS, sample_weight=weights), None):
        of = function or (lambda loss: gradient(loss, weights))
        found, expected = (keras.ops.convert_to_numpy(of(loss)) for loss in (ours, keras_own))
        np.testing.assert_allclose(found, expected, rtol=2e-5, atol=2e-6)


def check_losses(address: str) -> None:
    pairs: list[tuple[Any, Any, dict[str, Any]]] = [
        (lossd.keras.BinaryCrossentropy, keras.losses.BinaryCrossentropy, {}),
        (lossd.keras.BinaryFocalCrossentropy, keras.losses.BinaryFocalCrossentropy, {}),
        (lossd.keras.BinaryFocalCrossentropy, keras.losses.BinaryFocalCrossentropy, FOCAL),
    ]
    for mine, own, parameters in pairs:
        for arguments in ARGUMENTS:
            given = {"from_logits": True, **parameters, **arguments}
            weights = None if "axis" in arguments else WEIGHTS
            ours = mine(client=address, **given)
            compare(ours, own(**given), weights)
            again = keras.saving.deserialize_keras_object(keras.saving.serialize_keras_object(ours))
            assert type(again) is mine
            assert again.get_config() == ours.get_config()
            compare(again, own(**given), weights)


def trained(loss: Any, jit_compile: bool) -> tuple[list[float], Any]:
    """Returns the losses of a model with a mask, class weights and sample weights."""
    keras.utils.set_random_seed(3)
    inputs = RANDOM_INPUTS
    model = keras.Sequential([keras.layers.Dense(8, activation="relu"), keras.layers.Dense(1)])
    model.compile(optimizer=keras.optimizers.SGD(0.1), loss=loss, jit_compile=jit_compile)
    labels = (inputs[:, 0] > 0).astype(np.float32)
    options: dict[str, Any] = {"epochs": 2, "batch_size": 32, "shuffle": False, "verbose": 0}
    first = model.fit(inputs, labels, class_weight={0: 1.0, 1: 3.0}, **options)
    second = model.fit(inputs, labels, sample_weight=np.linspace(0, 2, 128), **options)
    return first.history["loss"] + second.history["loss"], model


RANDOM_INPUTS = RANDOM.normal(size=(128, 5)).astype(np.float32)


def check_training(address: str, folder: str) -> None:
    expected, _ = trained(keras.losses.BinaryCrossentropy(from_logits=True), False)
    # Keras compiles with JAX; PyTorch's compiler needs a C++ compiler, and has its own tests.
    found, model = trained(
        lossd.keras.BinaryCrossentropy(from_logits=True, client=address),
        keras.backend.backend() == "jax",
    )
    np.testing.assert_allclose(found, expected, rtol=1e-4)
    assert found[1] < found[0]
    model.save(f"{folder}/model.keras")
    loaded = keras.models.load_model(f"{folder}/model.keras")
    assert type(loaded.loss) is lossd.keras.BinaryCrossentropy
    labels = (RANDOM_INPUTS[:, 0] > 0).astype(np.float32)
    values = [each.evaluate(RANDOM_INPUTS, labels, verbose=0) for each in (model, loaded)]
    np.testing.assert_allclose(values[0], values[1], rtol=1e-6)


def check_mask(address: str) -> None:
    logits = keras.ops.convert_to_tensor(LOGITS.reshape(2, 3, 4))
    targets = TARGETS.reshape(2, 3, 4)
    keras.src.backend.set_keras_mask(logits, np.array([[True, False, True], [True, True, False]]))
    pair = (
        lossd.keras.BinaryCrossentropy(from_logits=True, client=address),
        keras.losses.BinaryCrossentropy(from_logits=True),
    )
    found, expected = (float(loss(targets, logits)) for loss in pair)
    np.testing.assert_allclose(found, expected, rtol=1e-5)


def raises(text: str, function: Any) -> None:
    with pytest.raises(Exception, match=re.escape(text)):
        function()


def check_errors(address: str) -> None:
    mine: Any = lossd.keras.BinaryCrossentropy
    raises("from_logits: lossd computes losses of logits", lambda: mine(client=address))
    raises("client: 3 is neither", lambda: mine(True, client=3))
    raises("focal_gama", lambda: mine(True, client=address, focal_gama=2))
    raises("label_smoothing", lambda: mine(True, client=address, label_smoothing="much"))
    raises("UNAVAILABLE", lambda: mine(True, client="127.0.0.1:1")(TARGETS, LOGITS))


def main() -> None:
    faulthandler.dump_traceback_later(90, exit=True)  # a call that hangs shows where
    address, folder = sys.argv[1:]
    if keras.backend.backend() == "numpy":
        raises(
            "backend: lossd.keras works with KERAS_BACKEND=jax and torch, and this is numpy",
            lambda: lossd.keras.BinaryCrossentropy(True, client=address),
        )
    else:
        check_losses(address)
        check_training(address, folder)
        check_mask(address)
        check_errors(address)
    print("all right")


if __name__ == "__main__":
    main()
