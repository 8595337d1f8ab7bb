"""Other frameworks, with one or two losses each."""

from __future__ import annotations

from typing import Any

from lossd import arguments
from lossd.recipes.options import PLAIN, Options, chosen, focal, smoothed, tensors


def paddle_binary_cross_entropy_with_logits(
    weight: Any = None, reduction: str = "mean", pos_weight: Any = None
) -> Options:
    """paddle.nn.functional.binary_cross_entropy_with_logits and BCEWithLogitsLoss."""
    return chosen("reduction", reduction, PLAIN) | tensors(weight, pos_weight)


def paddle_sigmoid_focal(
    normalizer: float | None = None, alpha: float = 0.25, gamma: float = 2.0, reduction: str = "sum"
) -> Options:
    """paddle.nn.functional.sigmoid_focal_loss, whose normalizer divides before the reduction."""
    options = focal(gamma, alpha) | chosen("reduction", reduction, PLAIN)
    if normalizer is not None:
        options["loss_weight"] = 1 / arguments.number("normalizer", normalizer)
    return options


def mlx_binary_cross_entropy(weights: Any = None, reduction: str = "mean") -> Options:
    """mlx.nn.losses.binary_cross_entropy with its logits."""
    return chosen("reduction", reduction, PLAIN) | tensors(weights)


def tinygrad_binary_crossentropy_logits(reduction: str = "mean", pos_weight: Any = None) -> Options:
    """Tensor.binary_crossentropy_logits of tinygrad."""
    return chosen("reduction", reduction, PLAIN) | tensors(pos_weight=pos_weight)


def candle_binary_cross_entropy_with_logit() -> Options:
    """candle_nn::loss::binary_cross_entropy_with_logit of Rust, which is a mean."""
    return {"reduction": "mean"}


def burn_binary_cross_entropy(
    weights: Any = None, smoothing: float | None = None, *, classes: int = 2
) -> Options:
    """burn::nn::loss::BinaryCrossEntropyLoss of Rust with logits, which is a mean.

    It smooths towards 1 / classes, the last dimension of logits of (N, C), and 2 for those of (N,).
    `weights` has a number for each class, so it is for logits of (N, C).
    """
    prior = 1 / arguments.at_least("classes", classes, 1)
    return {"reduction": "mean"} | tensors(weights) | smoothed(smoothing or 0, prior)


def nd4j_sigmoid_cross_entropy(
    weights: Any = None,
    label_smoothing: float = 0,
    reduction: str = "MEAN_BY_NONZERO_WEIGHT_COUNT",
) -> Options:
    """SameDiff's loss().sigmoidCrossEntropy of ND4J, with a name of its LossReduce."""
    words: dict[Any, Options] = {
        "NONE": {"reduction": "none"},
        "SUM": {"reduction": "sum"},
        "MEAN_BY_WEIGHT": {"reduction": "mean", "normalizer": "weight_sum"},
        "MEAN_BY_NONZERO_WEIGHT_COUNT": {"reduction": "mean", "normalizer": "nonzero_weights"},
    }
    counted = {"weights": 1.0 if weights is None else weights}
    return chosen("reduction", reduction, words) | counted | smoothed(label_smoothing)


def sklearn_log_loss(normalize: bool = True, sample_weight: Any = None) -> Options:
    """sklearn.metrics.log_loss of two classes, for the logits of the probabilities."""
    if not normalize:
        return {"reduction": "sum"} | tensors(sample_weight)
    if sample_weight is None:
        return {"reduction": "mean"}
    return {"reduction": "mean", "normalizer": "weight_sum", "weights": sample_weight}


def catboost_focal(focal_alpha: float, focal_gamma: float, sample_weight: Any = None) -> Options:
    """CatBoost's Focal:focal_alpha=...;focal_gamma=... by its raw predictions.

    lossd.trees trains with it.
    """
    return focal(focal_gamma, focal_alpha) | sklearn_log_loss(sample_weight=sample_weight)


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
    if ignore_label is not None:
        options["ignore_target"] = arguments.number("ignore_label", ignore_label)
    if loss_weight is not None:
        options["loss_weight"] = arguments.number("loss_weight", loss_weight)
    return options
