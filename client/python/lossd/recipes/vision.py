"""Packages for images that are built on PyTorch: timm, segmentation_models, MONAI and kornia."""

from __future__ import annotations

from typing import Any

import numpy as np

from lossd import arguments
from lossd.recipes.options import (
    PLAIN,
    WITH_BATCH,
    Options,
    at_least_zero,
    chosen,
    finite,
    focal,
    fraction,
    ignored,
    logits_only,
    number_of_classes,
    of_channels,
    operand,
    operands,
    refuse,
    share,
    smoothed,
)


def timm_binary_cross_entropy(
    smoothing: float = 0.1,
    target_threshold: float | None = None,
    weight: Any = None,
    reduction: str = "mean",
    sum_classes: bool = False,
    pos_weight: Any = None,
    smooth_dense: bool = False,
    *,
    classes: int | None = None,
) -> Options:
    """timm.loss.BinaryCrossEntropy.

    With `classes`, targets are class indices there, which lossd takes as
    lossd.ones_from_lists(indices.reshape(-1, 1)) or as one-hot rows. Without it they are dense,
    and timm smooths them only with smooth_dense. With sum_classes it does not read `reduction`.
    """
    if target_threshold is not None:
        refuse("target_threshold", target_threshold, "pass targets > target_threshold as targets")
    options = _smoothed_indices(smoothing, smooth_dense, classes) | operands(
        weights=("weight", weight), pos_weight=("pos_weight", pos_weight)
    )
    if arguments.truth("sum_classes", sum_classes):
        return options | WITH_BATCH["batchmean"]
    return options | chosen("reduction", reduction, PLAIN)


def _smoothed_indices(amount: float, smooth_dense: bool, classes: int | None) -> Options:
    if classes is not None:
        return smoothed("smoothing", amount, 1 / number_of_classes(classes))
    options = smoothed("smoothing", amount)
    return options if arguments.truth("smooth_dense", smooth_dense) else {}


def timm_asymmetric_multilabel(
    gamma_neg: float = 4,
    gamma_pos: float = 1,
    clip: float | None = 0.05,
    eps: float = 1e-8,
    disable_torch_grad_focal_loss: bool = False,
    smoothing: float = 0.0,
    reduction: str = "batchmean",
    weight: Any = None,
    pos_weight: Any = None,
) -> Options:
    """timm.loss.AsymmetricLossMultiLabel, for targets of 0 and 1.

    timm replaces probabilities below `eps` by it; lossd has no need to.
    """
    share("eps", eps)
    if fraction("smoothing", smoothing) != 0:
        reason = "between 0 and 1, timm mixes the exponents and lossd the two losses"
        refuse("smoothing", smoothing, reason)
    options: Options = operands(
        weights=("weight", weight), pos_weight=("pos_weight", pos_weight)
    ) | {
        "kind": "asymmetric",
        "asymmetric_gamma_negative": at_least_zero("gamma_neg", gamma_neg),
        "asymmetric_gamma_positive": at_least_zero("gamma_pos", gamma_pos),
        "asymmetric_margin": 0.0 if clip is None else fraction("clip", clip),
    }
    if arguments.truth("disable_torch_grad_focal_loss", disable_torch_grad_focal_loss):
        options["detach_focus"] = True
    return options | chosen("reduction", reduction, WITH_BATCH)


def timm_poly_binary_cross_entropy(
    epsilon: float = 2.0,
    gamma: float = 0.0,
    alpha: float | None = None,
    smoothing: float = 0.0,
    reduction: str = "mean",
) -> Options:
    """timm.loss.PolyBinaryCrossEntropy."""
    if alpha is not None:
        reason = "timm balances the added term too: give weights of alpha and 1 - alpha by target"
        refuse("alpha", alpha, reason)
    options: Options = {
        "kind": "poly",
        "poly_epsilon": finite("epsilon", epsilon),
        "focal_gamma": at_least_zero("gamma", gamma),
    }
    return options | smoothed("smoothing", smoothing) | chosen("reduction", reduction, WITH_BATCH)


def smp_soft_bce_with_logits(
    weight: Any = None,
    ignore_index: float | None = -100,
    reduction: str = "mean",
    smooth_factor: float | None = None,
    pos_weight: Any = None,
) -> Options:
    """segmentation_models_pytorch.losses.SoftBCEWithLogitsLoss.

    Its smooth_factor s makes a target t (1 - s) + (1 - t) s, which is twice the usual smoothing,
    so lossd takes it below 1/2. Its mean is over all elements, ignored ones too. Targets whose
    type cannot hold `ignore_index`, such as bytes, need None.
    """
    factor = 0.0 if smooth_factor is None else fraction("smooth_factor", smooth_factor)
    if factor >= 0.5:
        refuse("smooth_factor", smooth_factor, "it leaves no target on its own side of 1/2")
    given = operands(weights=("weight", weight), pos_weight=("pos_weight", pos_weight))
    options = given | smoothed("smooth_factor", 2 * factor) | ignored("ignore_index", ignore_index)
    return options | chosen("reduction", reduction, PLAIN)


def smp_focal(
    mode: str,
    alpha: float | None = None,
    gamma: float = 2.0,
    ignore_index: float | None = None,
    from_logits: bool = True,
    eps: float = 1e-7,
    reduction: str = "mean",
    normalized: bool = False,
    reduced_threshold: float | None = None,
    class_weights: Any = None,
    *,
    classes: int | None = None,
) -> Options:
    """segmentation_models_pytorch.losses.FocalLoss of logits, for targets of 0 and 1.

    The mean of "binary" is over the elements that are not ignored. "multilabel" takes the mean
    over the classes at the end, so its sum needs `classes`, the second dimension.
    """
    logits_only("from_logits", from_logits)
    share("eps", eps)  # it is for probabilities
    if arguments.truth("normalized", normalized):
        reason = "lossd does not divide by the sum of the focal weights"
        refuse("normalized", normalized, reason)
    if reduced_threshold is not None:
        refuse("reduced_threshold", reduced_threshold, "lossd has no such loss")
    options = focal(gamma, alpha)
    if mode == "binary":
        if class_weights is not None:
            refuse("class_weights", class_weights, "the mode 'binary' has none")
        valid: Options = {"reduction": "mean", "normalizer": "valid"}
        words = {**PLAIN, "mean": valid, "batchwise_mean": PLAIN["sum"]}
        return (
            options | ignored("ignore_index", ignore_index) | chosen("reduction", reduction, words)
        )
    if mode != "multilabel":
        refuse("mode", mode, "it is neither 'binary' nor 'multilabel'")
    if ignore_index is not None:
        refuse("ignore_index", ignore_index, "the mode 'multilabel' fails with it there")
    return options | _of_classes(reduction, class_weights, classes)


def _of_classes(reduction: str, class_weights: Any, classes: int | None) -> Options:
    """Returns the options of a mean over classes, in whose sum the weights make 1."""
    options = chosen("reduction", reduction, {word: PLAIN[word] for word in ("mean", "sum")})
    if class_weights is not None:
        weights = np.atleast_1d(np.asarray(operand("class_weights", class_weights), np.float32))
        if not weights.sum() > 0:
            refuse("class_weights", class_weights, "their sum is not above 0")
        classes = len(weights)
        options["weights"] = weights * classes / weights.sum()
    if reduction == "sum":
        options["loss_weight"] = 1 / number_of_classes(classes)
    return options


def monai_focal(
    include_background: bool = True,
    to_onehot_y: bool = False,
    gamma: float = 2.0,
    alpha: Any = None,
    weight: Any = None,
    reduction: str = "mean",
    use_softmax: bool = False,
    ignore_index: int | None = None,
    *,
    spatial_dimensions: int = 0,
) -> Options:
    """monai.losses.FocalLoss with its sigmoid, for targets of 0 and 1.

    `weight` and a sequence of `alpha` have a number for each channel, which is the dimension
    before `spatial_dimensions`. A sequence weights positive elements only. For logits of shape
    (N, C) MONAI's "sum" is the mean.
    """
    if not arguments.truth("include_background", include_background):
        refuse("include_background", False, "pass logits and targets without channel 0")
    if arguments.truth("to_onehot_y", to_onehot_y):
        refuse("to_onehot_y", True, "pass the targets as one-hot channels")
    if arguments.truth("use_softmax", use_softmax):
        refuse("use_softmax", True, "lossd's losses have a sigmoid")
    if ignore_index is not None:
        reason = "it is a class, while lossd ignores targets: give weights of 0"
        refuse("ignore_index", ignore_index, reason)
    if reduction == "sum" and spatial_dimensions != 0:
        reason = "it is a mean over the spatial dimensions: pass 'none' and add up"
        refuse("reduction", reduction, reason)
    weights = of_channels("weight", weight, spatial_dimensions)
    options = chosen("reduction", reduction, PLAIN | {"sum": PLAIN["mean"]})
    options |= operands(weights=("weight", weights))
    if alpha is None or np.ndim(alpha) == 0:
        return options | focal(gamma, alpha)
    # A sequence is for positive elements alone, and leaves the negative ones as they are.
    positive = of_channels("alpha", alpha, spatial_dimensions)
    return options | focal(gamma, None) | {"pos_weight": positive}


def kornia_binary_focal_with_logits(
    alpha: float | None = 0.25,
    gamma: float = 2.0,
    reduction: str = "none",
    pos_weight: Any = None,
    weight: Any = None,
    ignore_index: float | None = -100,
    *,
    spatial_dimensions: int = 0,
) -> Options:
    """kornia.losses.binary_focal_loss_with_logits.

    A target between 0 and 1 mixes the losses of both classes. Targets whose type cannot hold
    `ignore_index`, such as bytes, need None. `pos_weight` and `weight` have a
    number for each channel, which is the dimension before `spatial_dimensions`.
    """
    options = focal(gamma, alpha) | {"soft_targets": "mixture"}
    given = operands(
        weights=("weight", of_channels("weight", weight, spatial_dimensions)),
        pos_weight=("pos_weight", of_channels("pos_weight", pos_weight, spatial_dimensions)),
    )
    options |= given | ignored("ignore_index", ignore_index)
    return options | chosen("reduction", reduction, PLAIN)
