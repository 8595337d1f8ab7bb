"""TensorFlow, Keras, JAX, PaddlePaddle, MLX, tinygrad, SciPy and scikit-learn."""

from __future__ import annotations

import importlib
import os
from collections.abc import Callable
from typing import Any

import numpy as np
from lossd import recipes

from tests.peers import rows
from tests.peers.rows import Answer, Array, Row

Loss = Callable[[Any, Any], Any]


def tensorflow(make: Any) -> Callable[[Array, Array], Answer]:
    """Returns the real side of a row from a function that makes a loss with the module."""

    def real(logits: Array, targets: Array) -> Answer:
        tf = importlib.import_module("tensorflow")
        x = tf.constant(logits)
        with tf.GradientTape() as tape:
            tape.watch(x)
            loss = make(tf)(x, tf.constant(targets))
            total = tf.reduce_sum(loss)
        return loss.numpy(), tape.gradient(total, x).numpy()

    return real


def graph(logits: Array, targets: Array) -> Answer:
    """Takes the loss and its gradient within a graph."""
    tf = importlib.import_module("tensorflow")

    @tf.function  # type: ignore[untyped-decorator]
    def both(x: Any, t: Any) -> Any:
        with tf.GradientTape() as tape:
            tape.watch(x)
            loss = tf.nn.sigmoid_cross_entropy_with_logits(labels=t, logits=x)
        return loss, tape.gradient(loss, x)

    loss, gradient = both(tf.constant(logits), tf.constant(targets))
    return loss.numpy(), gradient.numpy()


def keras(name: str, weights: Any = None, **options: Any) -> Callable[[Array, Array], Answer]:
    def make(tf: Any) -> Loss:
        loss = getattr(tf.keras.losses, name)(from_logits=True, **options)
        return lambda x, t: loss(t, x, sample_weight=weights)

    return tensorflow(make)


def tensorflow_rows() -> list[Row]:
    found = [
        Row(
            "tf.nn.sigmoid_cross_entropy_with_logits",
            ("tensorflow",),
            recipes.tensorflow_sigmoid_cross_entropy(),
            rows.SOFT,
            tensorflow(
                lambda tf: lambda x, t: tf.nn.sigmoid_cross_entropy_with_logits(labels=t, logits=x)
            ),
        ),
        Row(
            "tf.nn.sigmoid_cross_entropy_with_logits in tf.function",
            ("tensorflow",),
            recipes.tensorflow_sigmoid_cross_entropy(),
            rows.SOFT,
            graph,
        ),
        Row(
            "tf.nn.weighted_cross_entropy_with_logits(pos_weight)",
            ("tensorflow",),
            recipes.tensorflow_weighted_cross_entropy(rows.POS_WEIGHT),
            rows.SOFT,
            tensorflow(
                lambda tf: (
                    lambda x, t: tf.nn.weighted_cross_entropy_with_logits(
                        labels=t, logits=x, pos_weight=rows.POS_WEIGHT
                    )
                )
            ),
        ),
    ]
    for reduction in (
        "weighted_sum_by_nonzero_weights",
        "weighted_mean",
        "weighted_sum_over_batch_size",
        "weighted_sum",
    ):
        found.append(
            Row(
                f"tf.compat.v1.losses.sigmoid_cross_entropy({reduction!r}, weights, smoothing)",
                ("tensorflow",),
                recipes.tensorflow_v1_sigmoid_cross_entropy(
                    rows.ROW_WEIGHTS, 0.1, reduction=reduction
                ),
                rows.HARD,
                tensorflow(
                    lambda tf, r=reduction: (
                        lambda x, t: tf.compat.v1.losses.sigmoid_cross_entropy(
                            t, x, weights=rows.ROW_WEIGHTS, label_smoothing=0.1, reduction=r
                        )
                    )
                ),
                has_tail=False,
            )
        )
    return found


def keras_rows() -> list[Row]:
    weights = rows.ROW_WEIGHTS[:, 0]
    found = []
    for reduction in ("sum_over_batch_size", "mean_with_sample_weight", "sum", None):
        found.append(
            Row(
                f"keras.losses.BinaryCrossentropy(reduction={reduction!r}), sample_weight",
                ("keras", "tensorflow"),
                recipes.keras_binary_crossentropy(
                    True, reduction=reduction, sample_weight=weights, classes=3
                ),
                rows.SOFT,
                keras("BinaryCrossentropy", weights, reduction=reduction),
            )
        )
    found.append(
        Row(
            "keras.losses.BinaryCrossentropy(label_smoothing=0.1)",
            ("keras", "tensorflow"),
            recipes.keras_binary_crossentropy(True, 0.1),
            rows.HARD,
            keras("BinaryCrossentropy", label_smoothing=0.1),
            has_tail=False,
        )
    )
    found.append(
        Row(
            "keras.losses.BinaryFocalCrossentropy(reduction=None), sample_weight",
            ("keras", "tensorflow"),
            recipes.keras_binary_focal_crossentropy(
                from_logits=True, reduction=None, sample_weight=weights
            ),
            rows.SOFT,
            keras("BinaryFocalCrossentropy", weights, reduction=None),
        )
    )
    for balanced in (False, True):
        found.append(
            Row(
                f"keras.losses.BinaryFocalCrossentropy(apply_class_balancing={balanced})",
                ("keras", "tensorflow"),
                recipes.keras_binary_focal_crossentropy(balanced, from_logits=True),
                rows.SOFT,
                keras("BinaryFocalCrossentropy", apply_class_balancing=balanced),
            )
        )
    return found


def jax_rows() -> list[Row]:
    def asked(loss: Any) -> Callable[[Array, Array], Answer]:
        def real(logits: Array, targets: Array) -> Answer:
            jax = importlib.import_module("jax")
            optax = importlib.import_module("optax")
            value = loss(optax)
            gradient = jax.grad(lambda x: value(x, targets).sum())(logits)
            return np.asarray(value(logits, targets)), np.asarray(gradient)

        return real

    return [
        Row(
            "optax.losses.sigmoid_binary_cross_entropy",
            ("optax", "jax"),
            recipes.optax_sigmoid_binary_cross_entropy(),
            rows.SOFT,
            asked(lambda optax: optax.losses.sigmoid_binary_cross_entropy),
        ),
        Row(
            "optax.losses.sigmoid_focal_loss(alpha=0.25, gamma=2)",
            ("optax", "jax"),
            recipes.optax_sigmoid_focal(0.25, 2.0),
            rows.SOFT,
            asked(
                lambda optax: (
                    lambda x, t: optax.losses.sigmoid_focal_loss(x, t, alpha=0.25, gamma=2.0)
                )
            ),
        ),
    ]


def paddle_rows() -> list[Row]:
    def asked(loss: Any) -> Callable[[Array, Array], Answer]:
        def real(logits: Array, targets: Array) -> Answer:
            paddle = importlib.import_module("paddle")
            x = paddle.to_tensor(logits, stop_gradient=False)
            value = loss(paddle)(x, paddle.to_tensor(targets))
            value.sum().backward()
            return value.numpy(), x.grad.numpy()

        return real

    def weighted(paddle: Any) -> Loss:
        return lambda x, t: paddle.nn.functional.binary_cross_entropy_with_logits(
            x,
            t,
            weight=paddle.to_tensor(rows.COLUMN_WEIGHTS),
            pos_weight=paddle.to_tensor(rows.POS_WEIGHT),
        )

    return [
        Row(
            "paddle.nn.functional.binary_cross_entropy_with_logits",
            ("paddlepaddle",),
            recipes.paddle_binary_cross_entropy_with_logits(),
            rows.SOFT,
            asked(lambda paddle: paddle.nn.functional.binary_cross_entropy_with_logits),
        ),
        Row(
            "paddle.nn.functional.binary_cross_entropy_with_logits(weight, pos_weight)",
            ("paddlepaddle",),
            recipes.paddle_binary_cross_entropy_with_logits(
                rows.COLUMN_WEIGHTS, pos_weight=rows.POS_WEIGHT
            ),
            rows.SOFT,
            asked(weighted),
        ),
        Row(
            "paddle.nn.functional.sigmoid_focal_loss(normalizer=5)",
            ("paddlepaddle",),
            recipes.paddle_sigmoid_focal(5.0),
            rows.HARD,
            asked(
                lambda paddle: (
                    lambda x, t: paddle.nn.functional.sigmoid_focal_loss(
                        x, t, normalizer=paddle.to_tensor([5.0])
                    )
                )
            ),
        ),
        Row(
            "paddle.nn.functional.sigmoid_focal_loss(gamma=0.5, reduction='mean')",
            ("paddlepaddle",),
            recipes.paddle_sigmoid_focal(gamma=0.5, reduction="mean"),
            rows.SOFT,
            asked(
                lambda paddle: (
                    lambda x, t: paddle.nn.functional.sigmoid_focal_loss(
                        x, t, gamma=0.5, reduction="mean"
                    )
                )
            ),
        ),
    ]


def mlx(logits: Array, targets: Array) -> Answer:
    mx = importlib.import_module("mlx.core")
    loss = importlib.import_module("mlx.nn.losses").binary_cross_entropy
    t = mx.array(targets)
    value, gradient = mx.value_and_grad(lambda x: loss(x, t))(mx.array(logits))
    return np.array(value), np.array(gradient)


def tinygrad(logits: Array, targets: Array) -> Answer:
    """Uses tinygrad's interpreter, because its CPU device needs clang."""
    os.environ.setdefault("DEV", "PYTHON")
    tensor = importlib.import_module("tinygrad").Tensor
    x = tensor(logits.tolist())
    loss = x.binary_crossentropy_logits(tensor(targets.tolist()))
    return np.array(loss.tolist()), np.array(loss.gradient(x)[0].tolist())


def log_loss(weights: Any) -> Callable[[Array, Array], Answer]:
    def real(logits: Array, targets: Array) -> Answer:
        metrics = importlib.import_module("sklearn.metrics")
        probability = 1 / (1 + np.exp(-np.float64(logits.ravel())))
        given = None if weights is None else np.broadcast_to(weights, logits.shape).ravel()
        return metrics.log_loss(targets.ravel(), probability, sample_weight=given), None

    return real


def log_expit(logits: Array, targets: Array) -> Answer:
    """SciPy has the derivative of log_expit(x) as expit(-x)."""
    special = importlib.import_module("scipy.special")
    sign = 2 * targets - 1
    return -special.log_expit(sign * logits), -sign * special.expit(-sign * logits)


def single_rows() -> list[Row]:
    return [
        Row(
            "mlx.nn.losses.binary_cross_entropy",
            ("mlx",),
            recipes.mlx_binary_cross_entropy(),
            rows.SOFT,
            mlx,
        ),
        Row(
            "tinygrad.Tensor.binary_crossentropy_logits",
            ("tinygrad",),
            recipes.tinygrad_binary_crossentropy_logits(),
            rows.SOFT,
            tinygrad,
        ),
        Row(
            "-scipy.special.log_expit((2 t - 1) x)",
            ("scipy",),
            recipes.scipy_log_expit(),
            rows.HARD,
            log_expit,
        ),
        *(
            Row(
                f"sklearn.metrics.log_loss({'' if weights is None else 'sample_weight'})",
                ("scikit-learn",),
                recipes.sklearn_log_loss(sample_weight=weights),
                rows.HARD,
                log_loss(weights),
            )
            for weights in (None, rows.ROW_WEIGHTS)
        ),
    ]


def all_rows() -> list[Row]:
    return tensorflow_rows() + keras_rows() + jax_rows() + paddle_rows() + single_rows()
