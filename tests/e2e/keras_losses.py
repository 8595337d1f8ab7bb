"""Compares lossd.keras with Keras's own losses, with the backend that KERAS_BACKEND names."""

from __future__ import annotations

import contextlib
import faulthandler
import os
import re
import socket
import sys
from pathlib import Path
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
    if keras.backend.backend() == "tensorflow":
        import tensorflow as tf

        with tf.GradientTape() as tape:
            x = tf.Variable(LOGITS)
            total = tf.reduce_sum(loss(TARGETS, x, sample_weight=weights))
        return tape.gradient(total, x)
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
    # XLA compiles the call of JAX, but not TensorFlow's. PyTorch has a check of its own.
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


def check_tensorflow(address: str) -> None:
    """Compares eager code and graphs with TensorFlow's own loss, up to the second derivative."""
    import tensorflow as tf

    mine = lossd.keras.BinaryCrossentropy(True, client=address, reduction=None)
    logits, targets = tf.constant(LOGITS), tf.constant(TARGETS)

    def own(targets: Any, logits: Any) -> Any:
        losses = tf.nn.sigmoid_cross_entropy_with_logits(targets, logits)
        return tf.reduce_mean(losses, axis=-1)

    def penalty(loss: Any) -> Any:
        with tf.GradientTape() as outer:
            outer.watch(logits)
            with tf.GradientTape() as inner:
                inner.watch(logits)
                total = tf.reduce_sum(loss(targets, logits) ** 2)
            squares = tf.reduce_sum(inner.gradient(total, logits) ** 2)
        return outer.gradient(squares, logits)

    for run in (penalty, tf.function(penalty)):
        np.testing.assert_allclose(run(mine), penalty(own), rtol=2e-5, atol=2e-6)
    compiled = tf.function(mine, jit_compile=True)
    raises("lossd_needs_jit_compile_False", lambda: compiled(targets, logits))
    raises("targets[0]: 3", lambda: tf.function(mine)(targets * 0 + 3, logits))


def check_float8(address: str, folder: str) -> None:
    """Requires losses of float8 logits in float32, whose means float8 would round."""
    targets = keras.ops.convert_to_tensor(TARGETS)
    loss = lossd.keras.SigmoidLoss(client=address)
    for name in ("float8_e4m3fn", "float8_e5m2"):
        logits = keras.ops.cast(keras.ops.convert_to_tensor(LOGITS), name)
        wide = keras.ops.cast(logits, "float32")
        losses = loss.call(targets, logits)
        assert keras.backend.standardize_dtype(losses.dtype) == "float32"
        found, expected = map(keras.ops.convert_to_numpy, (losses, loss.call(targets, wide)))
        np.testing.assert_allclose(found, expected, rtol=3e-7)


def check_all(address: str, folder: str) -> None:
    """Checks everything but what the other checks are for."""
    if keras.backend.backend() == "numpy":
        raises(
            "KERAS_BACKEND=jax, tensorflow and torch, and this is numpy",
            lambda: lossd.keras.BinaryCrossentropy(True, client=address),
        )
        return
    check_losses(address)
    check_training(address, folder)
    check_mask(address)
    check_errors(address)
    if keras.backend.backend() == "tensorflow":
        check_tensorflow(address)


def check_connections(address: str, folder: str) -> None:
    """Requires that the losses of one target use one connection."""
    for _ in range(3):
        lossd.keras.BinaryCrossentropy(True, client=address)(TARGETS, LOGITS)
    found = 0
    for descriptor in Path("/proc/self/fd").iterdir():
        with contextlib.suppress(OSError):  # of a descriptor that is no connection, or is gone
            peer = socket.socket(fileno=os.dup(int(descriptor.name))).getpeername()
            found += peer[1:2] == (int(address.rpartition(":")[2]),)
    assert found == 1


def check_compiled(address: str, folder: str) -> None:
    expected, _ = trained(keras.losses.BinaryCrossentropy(from_logits=True), False)
    ours = lossd.keras.BinaryCrossentropy(from_logits=True, client=address)
    np.testing.assert_allclose(trained(ours, True)[0], expected, rtol=1e-4)


def check_distributed(address: str, folder: str) -> None:
    devices = keras.distribution.list_devices()
    assert len(devices) == 4
    keras.distribution.set_distribution(keras.distribution.DataParallel(devices=devices))
    check_compiled(address, folder)


CHECKS = {
    "all": check_all,
    "compiled": check_compiled,
    "connections": check_connections,
    "distributed": check_distributed,
    "float8": check_float8,
}


def main() -> None:
    check, address, folder, seconds = sys.argv[1:]
    faulthandler.dump_traceback_later(int(seconds), exit=True)  # a call that hangs shows where
    CHECKS[check](address, folder)
    print("all right")


if __name__ == "__main__":
    main()
