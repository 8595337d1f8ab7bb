"""TensorFlow, its first version, Keras 3 and TensorFlow.js."""

from __future__ import annotations

from typing import Any

import numpy as np

from lossd import arguments
from lossd.recipes.options import Options, chosen, focal, refuse, smoothed, tensors

# TensorFlow's means of weighted losses by what they divide by.
_BY_WEIGHTS: dict[str, Options] = {
    "elements": {"reduction": "mean"},
    "weight_sum": {"reduction": "mean", "normalizer": "weight_sum"},
    "nonzero_weights": {"reduction": "mean", "normalizer": "nonzero_weights"},
    "sum": {"reduction": "sum"},
    "none": {"reduction": "none"},
}


def tensorflow_sigmoid_cross_entropy() -> Options:
    """tf.nn.sigmoid_cross_entropy_with_logits, which reduces nothing."""
    return {"reduction": "none"}


def tensorflow_weighted_cross_entropy(pos_weight: Any) -> Options:
    """tf.nn.weighted_cross_entropy_with_logits, which reduces nothing."""
    return {"reduction": "none", "pos_weight": pos_weight}


def tensorflow_v1_sigmoid_cross_entropy(
    weights: Any = 1.0,
    label_smoothing: float = 0,
    reduction: str = "weighted_sum_by_nonzero_weights",
) -> Options:
    """tf.compat.v1.losses.sigmoid_cross_entropy, with a value of its Reduction."""
    words = {
        "none": _BY_WEIGHTS["none"],
        "weighted_sum": _BY_WEIGHTS["sum"],
        "weighted_mean": _BY_WEIGHTS["weight_sum"],
        "weighted_sum_over_batch_size": _BY_WEIGHTS["elements"],
        "weighted_sum_by_nonzero_weights": _BY_WEIGHTS["nonzero_weights"],
    }
    return chosen("reduction", reduction, words) | _weighted(weights) | smoothed(label_smoothing)


def tfjs_sigmoid_cross_entropy(
    weights: Any = None, labelSmoothing: float = 0, reduction: str = "SUM_BY_NONZERO_WEIGHTS"
) -> Options:
    """tf.losses.sigmoidCrossEntropy of TensorFlow.js, with a name of its Reduction."""
    words = {
        "NONE": _BY_WEIGHTS["none"],
        "MEAN": _BY_WEIGHTS["weight_sum"],
        "SUM": _BY_WEIGHTS["sum"],
        "SUM_BY_NONZERO_WEIGHTS": _BY_WEIGHTS["nonzero_weights"],
    }
    return chosen("reduction", reduction, words) | _weighted(weights) | smoothed(labelSmoothing)


def _weighted(weights: Any) -> Options:
    """Returns the weights; those divisors count them, so a missing weight is 1."""
    return {"weights": 1.0 if weights is None else weights}


def keras_binary_crossentropy(
    label_smoothing: float = 0.0,
    axis: int = -1,
    reduction: str | None = "sum_over_batch_size",
    *,
    sample_weight: Any = None,
    classes: int | None = None,
) -> Options:
    """keras.losses.BinaryCrossentropy(from_logits=True), for logits of shape (B, C).

    `sample_weight` is that of a call, of shape (B,). Keras takes the mean over `axis` first, so a
    sum needs `classes`, the size of that dimension, and a reduction of None has a loss for each
    row, in `losses`.
    """
    if axis not in (-1, 1):
        refuse("axis", f"{axis} is not the last one: move the dimension to the end")
    return _of_rows(reduction, sample_weight, classes) | smoothed(label_smoothing)


def keras_binary_focal_crossentropy(
    apply_class_balancing: bool = False,
    alpha: float = 0.25,
    gamma: float = 2.0,
    label_smoothing: float = 0.0,
    axis: int = -1,
    reduction: str | None = "sum_over_batch_size",
    *,
    sample_weight: Any = None,
    classes: int | None = None,
) -> Options:
    """keras.losses.BinaryFocalCrossentropy(from_logits=True), for logits of shape (B, C).

    Keras applies its alpha only with apply_class_balancing.
    """
    rows = keras_binary_crossentropy(
        label_smoothing, axis, reduction, sample_weight=sample_weight, classes=classes
    )
    return focal(gamma, alpha if apply_class_balancing else None) | rows


def _of_rows(reduction: str | None, sample_weight: Any, classes: int | None) -> Options:
    words: dict[Any, Options] = {
        None: {"reduction": "rows"},
        "none": {"reduction": "rows"},
        "sum_over_batch_size": _BY_WEIGHTS["elements"],
        "mean": _BY_WEIGHTS["elements"],
        "mean_with_sample_weight": _BY_WEIGHTS["weight_sum"],
        "sum": _BY_WEIGHTS["sum"],
    }
    options = chosen("reduction", reduction, words)
    if reduction == "sum":
        if classes is None:
            refuse("classes", "the number of classes is needed for a sum")
        options["loss_weight"] = 1 / arguments.at_least("classes", classes, 1)
    if sample_weight is not None:
        return options | tensors(np.asarray(sample_weight).reshape(-1, 1))
    return options | ({"weights": 1.0} if options.get("normalizer") == "weight_sum" else {})
