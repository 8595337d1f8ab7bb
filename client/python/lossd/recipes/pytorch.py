"""PyTorch and the packages that are built on it."""

from __future__ import annotations

from typing import Any

import numpy as np

from lossd import arguments
from lossd.recipes.options import PLAIN, Options, chosen, focal, refuse, smoothed, tensors

_WITH_BATCH: dict[Any, Options] = {
    "batchmean": {"reduction": "mean", "normalizer": "batch"},
    **PLAIN,
}


def torch_bce_with_logits(
    weight: Any = None, reduction: str = "mean", pos_weight: Any = None
) -> Options:
    """torch.nn.BCEWithLogitsLoss and F.binary_cross_entropy_with_logits."""
    return chosen("reduction", reduction, PLAIN) | tensors(weight, pos_weight)


def torch_multilabel_soft_margin(
    weight: Any = None, reduction: str = "mean", *, classes: int | None = None
) -> Options:
    """torch.nn.MultiLabelSoftMarginLoss, for logits of shape (N, C).

    It takes the mean over the classes first, so a sum needs `classes`, which is C, and "none" has
    a loss for each row, in `losses`.
    """
    of_rows: dict[Any, Options] = {**PLAIN, "none": {"reduction": "rows"}}
    options = chosen("reduction", reduction, of_rows) | tensors(weight)
    if reduction == "sum":
        options["loss_weight"] = 1 / _classes(classes)
    return options


def torch_soft_margin(reduction: str = "mean") -> Options:
    """torch.nn.SoftMarginLoss. Its targets are -1 and 1: pass (targets + 1) / 2."""
    return chosen("reduction", reduction, PLAIN)


def torchvision_sigmoid_focal(
    alpha: float = 0.25, gamma: float = 2, reduction: str = "none"
) -> Options:
    """torchvision.ops.sigmoid_focal_loss, for which an alpha below 0 balances nothing."""
    return focal(gamma, alpha if alpha >= 0 else None) | chosen("reduction", reduction, PLAIN)


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
        refuse("target_threshold", "pass targets > target_threshold as targets")
    options = _smoothed_indices(smoothing, smooth_dense, classes) | tensors(weight, pos_weight)
    if sum_classes:
        return options | {"reduction": "mean", "normalizer": "batch"}
    return options | chosen("reduction", reduction, PLAIN)


def _smoothed_indices(amount: float, smooth_dense: bool, classes: int | None) -> Options:
    if classes is not None:
        return smoothed(amount, 1 / _classes(classes))
    return smoothed(amount) if smooth_dense else {}


def timm_asymmetric_multilabel(
    gamma_neg: float = 4,
    gamma_pos: float = 1,
    clip: float = 0.05,
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
    if smoothing != 0:
        refuse("smoothing", "between 0 and 1, timm mixes the exponents and lossd the two losses")
    options: Options = tensors(weight, pos_weight) | {
        "kind": "asymmetric",
        "asymmetric_gamma_negative": arguments.number("gamma_neg", gamma_neg),
        "asymmetric_gamma_positive": arguments.number("gamma_pos", gamma_pos),
        "asymmetric_margin": arguments.number("clip", clip or 0.0),
    }
    if disable_torch_grad_focal_loss:
        options["detach_focus"] = True
    return options | chosen("reduction", reduction, _WITH_BATCH)


def timm_poly_binary_cross_entropy(
    epsilon: float = 2.0,
    gamma: float = 0.0,
    alpha: float | None = None,
    smoothing: float = 0.0,
    reduction: str = "mean",
) -> Options:
    """timm.loss.PolyBinaryCrossEntropy."""
    if alpha is not None:
        refuse("alpha", "timm balances the added term too, and lossd as the paper does not")
    options: Options = {
        "kind": "poly",
        "poly_epsilon": arguments.number("epsilon", epsilon),
        "focal_gamma": arguments.number("gamma", gamma),
    }
    return options | smoothed(smoothing) | chosen("reduction", reduction, _WITH_BATCH)


def smp_soft_bce_with_logits(
    weight: Any = None,
    ignore_index: float | None = -100,
    reduction: str = "mean",
    smooth_factor: float | None = None,
    pos_weight: Any = None,
) -> Options:
    """segmentation_models_pytorch.losses.SoftBCEWithLogitsLoss.

    Its smooth_factor s makes a target t (1 - s) + (1 - t) s, which is twice the usual smoothing.
    Its mean is over all elements, ignored ones too. Targets whose type cannot hold `ignore_index`,
    such as bytes, need None.
    """
    options = tensors(weight, pos_weight) | smoothed(2 * (smooth_factor or 0))
    if ignore_index is not None:
        options["ignore_target"] = arguments.number("ignore_index", ignore_index)
    return options | chosen("reduction", reduction, PLAIN)


def smp_focal(
    mode: str,
    alpha: float | None = None,
    gamma: float = 2.0,
    ignore_index: float | None = None,
    reduction: str = "mean",
    normalized: bool = False,
    reduced_threshold: float | None = None,
) -> Options:
    """segmentation_models_pytorch.losses.FocalLoss of logits, for targets of 0 and 1.

    The mean is over the elements that are not ignored.
    """
    if mode not in ("binary", "multilabel"):
        refuse("mode", f"{mode!r} is neither 'binary' nor 'multilabel'")
    if normalized:
        refuse("normalized", "lossd does not divide by the sum of the focal weights")
    if reduced_threshold is not None:
        refuse("reduced_threshold", "lossd has no such loss")
    options = focal(gamma, alpha)
    if ignore_index is not None:
        options["ignore_target"] = arguments.number("ignore_index", ignore_index)
    valid: Options = {"reduction": "mean", "normalizer": "valid"}
    return options | chosen("reduction", reduction, {**PLAIN, "mean": valid})


def monai_focal(
    include_background: bool = True,
    to_onehot_y: bool = False,
    gamma: float = 2.0,
    alpha: float | None = None,
    weight: Any = None,
    reduction: str = "mean",
    use_softmax: bool = False,
    ignore_index: int | None = None,
    *,
    spatial_dimensions: int = 0,
) -> Options:
    """monai.losses.FocalLoss with its sigmoid, for targets of 0 and 1.

    `weight` has a number for each channel, which is the dimension before `spatial_dimensions`.
    """
    if not include_background:
        refuse("include_background", "pass logits and targets without channel 0")
    if to_onehot_y:
        refuse("to_onehot_y", "pass the targets as one-hot channels")
    if use_softmax:
        refuse("use_softmax", "lossd's losses have a sigmoid")
    if ignore_index is not None:
        refuse("ignore_index", "it is a class, while lossd ignores targets: give weights of 0")
    options = focal(gamma, alpha) | chosen("reduction", reduction, PLAIN)
    return options | tensors(_of_channels(weight, spatial_dimensions))


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
    if ignore_index is not None:
        options["ignore_target"] = arguments.number("ignore_index", ignore_index)
    given = (_of_channels(array, spatial_dimensions) for array in (weight, pos_weight))
    return options | tensors(*given) | chosen("reduction", reduction, PLAIN)


def open_clip_siglip() -> Options:
    """open_clip.SigLipLoss, for the logits of all pairs and lossd.identity() as targets.

    The logits are scale * image_features @ text_features.T + bias.
    """
    return {"reduction": "mean", "normalizer": "batch"}


def _classes(classes: int | None) -> int:
    if classes is None:
        refuse("classes", "the number of classes is needed here")
    return arguments.at_least("classes", classes, 1)


def _of_channels(values: Any, spatial_dimensions: int) -> Any:
    """Returns one number for each channel in a shape that broadcasts to the logits'."""
    if values is None:
        return None
    return np.asarray(values).reshape(-1, *(1,) * spatial_dimensions)
