"""Gradient boosting: the objectives of XGBoost, LightGBM, CatBoost and scikit-learn.

The recipes of objectives ask for the losses, gradients and second derivatives of raw predictions.
lossd.trees trains with them.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from lossd import arguments
from lossd.recipes.options import Options, focal, operand, operands, refuse

_OBJECTIVE: Options = {"reduction": "none", "second_derivative": True}


def xgboost_binary_logistic(scale_pos_weight: float = 1.0, weight: Any = None) -> Options:
    """XGBoost's binary:logistic, with the weights of a DMatrix.

    XGBoost multiplies only rows whose label is 1 by scale_pos_weight, and lossd those between 0
    and 1 in part.
    """
    return _OBJECTIVE | _positive(scale_pos_weight) | operands(weights=("weight", weight))


def lightgbm_binary(
    is_unbalance: bool = False,
    scale_pos_weight: float = 1.0,
    sigmoid: float = 1.0,
    weight: Any = None,
) -> Options:
    """LightGBM's binary, with the weights of a Dataset.

    Every label above 0 counts as 1 there: pass targets > 0 as targets.
    """
    if arguments.truth("is_unbalance", is_unbalance):
        refuse("is_unbalance", True, "count the labels, and give scale_pos_weight")
    if arguments.number("sigmoid", sigmoid) != 1:
        reason = (
            "multiply the raw predictions and the gradient by it, and the second derivative by its "
            "square"
        )
        refuse("sigmoid", sigmoid, reason)
    return _OBJECTIVE | _positive(scale_pos_weight) | operands(weights=("weight", weight))


def lightgbm_cross_entropy(weight: Any = None) -> Options:
    """LightGBM's cross_entropy, with the weights of a Dataset."""
    return _OBJECTIVE | operands(weights=("weight", weight))


def catboost_logloss(
    class_weights: Any = None,
    auto_class_weights: str | None = None,
    scale_pos_weight: float | None = None,
    sample_weight: Any = None,
) -> Options:
    """CatBoost's Logloss, for targets of 0 and 1. class_weights are those of 0 and of 1."""
    if auto_class_weights is not None:
        refuse("auto_class_weights", auto_class_weights, "count the labels: give class_weights")
    options = _OBJECTIVE | operands(weights=("sample_weight", sample_weight))
    if scale_pos_weight is not None:
        if class_weights is not None:
            refuse("class_weights", class_weights, "CatBoost takes no scale_pos_weight beside it")
        return options | _positive(scale_pos_weight)
    if class_weights is None:
        return options
    pair = np.asarray(operand("class_weights", class_weights), np.float64)
    if pair.shape != (2,) or not (pair > 0).all():
        refuse("class_weights", class_weights, "two numbers above 0 are needed")
    weights = 1.0 if sample_weight is None else np.asarray(options["weights"])
    return options | {"weights": weights * pair[0], "pos_weight": float(pair[1] / pair[0])}


def catboost_cross_entropy(sample_weight: Any = None) -> Options:
    """CatBoost's CrossEntropy, whose targets are probabilities."""
    return _OBJECTIVE | operands(weights=("sample_weight", sample_weight))


def catboost_focal(focal_alpha: float, focal_gamma: float, sample_weight: Any = None) -> Options:
    """CatBoost's Focal:focal_alpha=...;focal_gamma=... for targets of 0 and 1."""
    options = _OBJECTIVE | operands(weights=("sample_weight", sample_weight))
    return options | focal(focal_gamma, focal_alpha, prefix="focal_")


def sklearn_half_binomial(sample_weight: Any = None) -> Options:
    """HalfBinomialLoss, with which HistGradientBoostingClassifier and LogisticRegression train."""
    return _OBJECTIVE | operands(weights=("sample_weight", sample_weight))


def sklearn_log_loss(
    *, normalize: bool = True, sample_weight: Any = None, labels: Any = None
) -> Options:
    """sklearn.metrics.log_loss of two classes, for the logits of the probabilities.

    `labels` may name the two classes, the negative one first.
    """
    if labels is not None and np.shape(labels) != (2,):
        refuse("labels", labels, "lossd's targets have two classes")
    given = operands(weights=("sample_weight", sample_weight))
    if not arguments.truth("normalize", normalize):
        return {"reduction": "sum"} | given
    if not given:
        return {"reduction": "mean"}
    return {"reduction": "mean", "normalizer": "weight_sum"} | given


def _positive(scale_pos_weight: Any) -> Options:
    scale = arguments.number("scale_pos_weight", scale_pos_weight)
    if not (scale > 0 and math.isfinite(scale)):
        raise ValueError(f"scale_pos_weight: {scale:g} is not above 0 and finite")
    return {} if scale == 1 else {"pos_weight": scale}
