"""TensorFlow, its first version, Keras 3 and TensorFlow.js."""

from __future__ import annotations

from typing import Any

import numpy as np

from lossd import arguments
from lossd.recipes.options import (
    Options,
    chosen,
    focal,
    logits_only,
    number_of_classes,
    operand,
    operands,
    refuse,
    smoothed,
)

# TensorFlow's means of weighted losses by what they divide by.
_BY_WEIGHTS: dict[str, Options] = {
    "elements": {"reduction": "mean"},
    "weight_sum": {"reduction": "mean", "normalizer": "weight_sum"},
    "nonzero_weights": {"reduction": "mean", "normalizer": "nonzero_weights"},
    "sum": {"reduction": "sum"},
    "none": {"reduction": "none"},
}


def tensorflow_sigmoid_cross_entropy(name: str | None = None) -> Options:
    """tf.nn.sigmoid_cross_entropy_with_logits, which reduces nothing. `name` changes nothing."""
    del name
    return {"reduction": "none"}


def tensorflow_weighted_cross_entropy(pos_weight: Any, name: str | None = None) -> Options:
    """tf.nn.weighted_cross_entropy_with_logits, which reduces nothing. `name` changes nothing."""
    del name
    return {"reduction": "none"} | operands(pos_weight=("pos_weight", pos_weight))


def tensorflow_v1_sigmoid_cross_entropy(
    weights: Any = 1.0,
    label_smoothing: float = 0,
    scope: Any = None,
    loss_collection: Any = "losses",
    reduction: str = "weighted_sum_by_nonzero_weights",
) -> Options:
    """tf.compat.v1.losses.sigmoid_cross_entropy, with a value of its Reduction.

    `scope` and `loss_collection` say where a graph keeps the loss, and change no option.
    """
    del scope, loss_collection
    words = {
        "none": _BY_WEIGHTS["none"],
        "weighted_sum": _BY_WEIGHTS["sum"],
        "weighted_mean": _BY_WEIGHTS["weight_sum"],
        "weighted_sum_over_batch_size": _BY_WEIGHTS["elements"],
        "weighted_sum_by_nonzero_weights": _BY_WEIGHTS["nonzero_weights"],
    }
    options = chosen("reduction", reduction, words) | _weighted(weights)
    return options | smoothed("label_smoothing", label_smoothing)


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
    options = chosen("reduction", reduction, words) | _weighted(weights)
    return options | smoothed("labelSmoothing", labelSmoothing)


def _weighted(weights: Any) -> Options:
    """Returns the weights; those divisors count them, so a missing weight is 1."""
    return operands(weights=("weights", 1.0 if weights is None else weights))


def keras_binary_crossentropy(
    from_logits: bool = False,
    label_smoothing: float = 0.0,
    axis: int = -1,
    reduction: str | None = "sum_over_batch_size",
    name: str | None = "binary_crossentropy",
    dtype: Any = None,
    *,
    sample_weight: Any = None,
    classes: int | None = None,
) -> Options:
    """keras.losses.BinaryCrossentropy(from_logits=True), for logits of shape (B, C).

    `sample_weight` is that of a call, of shape (B,). Keras takes the mean over `axis` first, so a
    sum needs `classes`, the size of that dimension, and a reduction of None has a loss for each
    row, in `losses`. `name` changes nothing.
    """
    logits_only("from_logits", from_logits)
    if axis not in (-1, 1):
        refuse("axis", axis, "it is not the last one: move the dimension to the end")
    if dtype is not None:
        refuse("dtype", dtype, "lossd computes in the type of the logits: convert them")
    del name
    options = _of_rows(reduction, sample_weight, classes)
    return options | smoothed("label_smoothing", label_smoothing)


def keras_binary_focal_crossentropy(
    apply_class_balancing: bool = False,
    alpha: float = 0.25,
    gamma: float = 2.0,
    from_logits: bool = False,
    label_smoothing: float = 0.0,
    axis: int = -1,
    reduction: str | None = "sum_over_batch_size",
    name: str | None = "binary_focal_crossentropy",
    dtype: Any = None,
    *,
    sample_weight: Any = None,
    classes: int | None = None,
) -> Options:
    """keras.losses.BinaryFocalCrossentropy(from_logits=True), for logits of shape (B, C).

    Keras applies its alpha only with apply_class_balancing.
    """
    rows = keras_binary_crossentropy(
        from_logits,
        label_smoothing,
        axis,
        reduction,
        name,
        dtype,
        sample_weight=sample_weight,
        classes=classes,
    )
    balanced = arguments.truth("apply_class_balancing", apply_class_balancing)
    return focal(gamma, alpha if balanced else None) | rows


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
        options["loss_weight"] = 1 / number_of_classes(classes)
    if sample_weight is not None:
        weights = np.asarray(operand("sample_weight", sample_weight)).reshape(-1, 1)
        return options | {"weights": weights}
    return options | ({"weights": 1.0} if options.get("normalizer") == "weight_sum" else {})
