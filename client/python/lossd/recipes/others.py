"""Other frameworks and libraries, with one or two losses each."""

from __future__ import annotations

from typing import Any

import numpy as np

from lossd import arguments
from lossd.recipes.options import (
    PLAIN,
    Options,
    chosen,
    focal,
    ignored,
    logits_only,
    operand,
    operands,
    smoothed,
)


def paddle_binary_cross_entropy_with_logits(
    weight: Any = None, reduction: str = "mean", pos_weight: Any = None, name: str | None = None
) -> Options:
    """paddle.nn.functional.binary_cross_entropy_with_logits and BCEWithLogitsLoss.

    `name` changes nothing.
    """
    del name
    options = chosen("reduction", reduction, PLAIN)
    return options | operands(weights=("weight", weight), pos_weight=("pos_weight", pos_weight))


def paddle_sigmoid_focal(
    normalizer: Any = None,
    alpha: float = 0.25,
    gamma: float = 2.0,
    reduction: str = "sum",
    name: str | None = None,
) -> Options:
    """paddle.nn.functional.sigmoid_focal_loss, whose normalizer divides before the reduction.

    `name` changes nothing.
    """
    del name
    options = focal(gamma, alpha) | chosen("reduction", reduction, PLAIN)
    if normalizer is not None:
        given = np.asarray(operand("normalizer", normalizer))
        divisor = arguments.number("normalizer", given.reshape(()) if given.size == 1 else given)
        if not divisor > 0:
            raise ValueError(f"normalizer: {divisor:g} is not above 0")
        options["loss_weight"] = 1 / divisor
    return options


def mlx_binary_cross_entropy(
    weights: Any = None, with_logits: bool = True, reduction: str = "mean"
) -> Options:
    """mlx.nn.losses.binary_cross_entropy with its logits."""
    logits_only("with_logits", with_logits)
    return chosen("reduction", reduction, PLAIN) | operands(weights=("weights", weights))


def tinygrad_binary_crossentropy_logits(reduction: str = "mean", pos_weight: Any = None) -> Options:
    """Tensor.binary_crossentropy_logits of tinygrad."""
    return chosen("reduction", reduction, PLAIN) | operands(pos_weight=("pos_weight", pos_weight))


def candle_binary_cross_entropy_with_logit() -> Options:
    """candle_nn::loss::binary_cross_entropy_with_logit of Rust, which is a mean."""
    return {"reduction": "mean"}


def burn_binary_cross_entropy(
    weights: Any = None, smoothing: float | None = None, logits: bool = False, *, classes: int = 2
) -> Options:
    """burn::nn::loss::BinaryCrossEntropyLossConfig of Rust with_logits(true), which is a mean.

    It smooths towards 1 / classes, the last dimension of logits of (N, C), and 2 for those of (N,).
    `weights` has a number for each class, so it is for logits of (N, C).
    """
    logits_only("logits", logits)
    prior = 1 / arguments.at_least("classes", classes, 1)
    options = {"reduction": "mean"} | operands(weights=("weights", weights))
    return options | smoothed("smoothing", 0 if smoothing is None else smoothing, prior)


def nd4j_sigmoid_cross_entropy(
    weights: Any = None,
    lossReduce: str = "MEAN_BY_NONZERO_WEIGHT_COUNT",
    labelSmoothing: float = 0,
) -> Options:
    """SameDiff's loss().sigmoidCrossEntropy of ND4J, with a name of its LossReduce."""
    words: dict[Any, Options] = {
        "NONE": {"reduction": "none"},
        "SUM": {"reduction": "sum"},
        "MEAN_BY_WEIGHT": {"reduction": "mean", "normalizer": "weight_sum"},
        "MEAN_BY_NONZERO_WEIGHT_COUNT": {"reduction": "mean", "normalizer": "nonzero_weights"},
    }
    counted = operands(weights=("weights", 1.0 if weights is None else weights))
    options = chosen("lossReduce", lossReduce, words) | counted
    return options | smoothed("labelSmoothing", labelSmoothing)


def scipy_log_expit() -> Options:
    """-scipy.special.log_expit((2 t - 1) x), for targets t of 0 and 1."""
    return {"reduction": "none"}


def caffe_sigmoid_cross_entropy(
    normalization: str | None = None,
    ignore_label: int | None = None,
    normalize: bool | None = None,
    loss_weight: float | None = None,
) -> Options:
    """Caffe's SigmoidCrossEntropyLoss, with the fields of its loss_param.

    `normalization` is a name such as "VALID" and outweighs the older `normalize`. Without both,
    Caffe divides by the first dimension.
    """
    if normalize is not None:
        normalize = arguments.truth("normalize", normalize)
    if normalization is None:
        normalization = "VALID" if normalize else "BATCH_SIZE"
    words: dict[Any, Options] = {
        "FULL": {"reduction": "mean", "normalizer": "elements"},
        "VALID": {"reduction": "mean", "normalizer": "valid"},
        "BATCH_SIZE": {"reduction": "mean", "normalizer": "batch"},
        "NONE": {"reduction": "sum"},
    }
    options = chosen("normalization", normalization, words)
    options["target_shape_rule"] = "same_count"
    options |= ignored("ignore_label", ignore_label)
    if loss_weight is not None:
        options["loss_weight"] = arguments.number("loss_weight", loss_weight)
    return options
