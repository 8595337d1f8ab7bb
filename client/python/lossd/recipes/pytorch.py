"""PyTorch, torchvision and open_clip."""

from __future__ import annotations

from typing import Any

from lossd import arguments
from lossd.recipes.options import PLAIN, Options, chosen, focal, number_of_classes, operands


def torch_bce_with_logits(
    weight: Any = None,
    size_average: bool | None = None,
    reduce: bool | None = None,
    reduction: str = "mean",
    pos_weight: Any = None,
) -> Options:
    """torch.nn.BCEWithLogitsLoss and F.binary_cross_entropy_with_logits."""
    options = chosen("reduction", _reduction(size_average, reduce, reduction), PLAIN)
    return options | operands(weights=("weight", weight), pos_weight=("pos_weight", pos_weight))


def torch_multilabel_soft_margin(
    weight: Any = None,
    size_average: bool | None = None,
    reduce: bool | None = None,
    reduction: str = "mean",
    *,
    classes: int | None = None,
) -> Options:
    """torch.nn.MultiLabelSoftMarginLoss, for logits of shape (N, C).

    It takes the mean over the classes first, so a sum needs `classes`, which is C, and "none" has
    a loss for each row, in `losses`.
    """
    reduction = _reduction(size_average, reduce, reduction)
    of_rows: dict[Any, Options] = {**PLAIN, "none": {"reduction": "rows"}}
    options = chosen("reduction", reduction, of_rows) | operands(weights=("weight", weight))
    if reduction == "sum":
        options["loss_weight"] = 1 / number_of_classes(classes)
    return options


def torch_soft_margin(
    size_average: bool | None = None, reduce: bool | None = None, reduction: str = "mean"
) -> Options:
    """torch.nn.SoftMarginLoss. Its targets are -1 and 1: pass (targets + 1) / 2."""
    return chosen("reduction", _reduction(size_average, reduce, reduction), PLAIN)


def _reduction(size_average: bool | None, reduce: bool | None, reduction: str) -> str:
    """Returns the word for PyTorch's older arguments, which outweigh the word."""
    if size_average is None and reduce is None:
        return reduction
    if reduce is not None and not arguments.truth("reduce", reduce):
        return "none"
    if size_average is not None and not arguments.truth("size_average", size_average):
        return "sum"
    return "mean"


def torchvision_sigmoid_focal(
    alpha: float = 0.25, gamma: float = 2, reduction: str = "none"
) -> Options:
    """torchvision.ops.sigmoid_focal_loss, for which an alpha below 0 balances nothing."""
    balance = None if arguments.number("alpha", alpha) < 0 else alpha
    return focal(gamma, balance) | chosen("reduction", reduction, PLAIN)


def torchvision_retinanet(foreground_anchors: int) -> Options:
    """The classification loss of one image in torchvision's RetinaNet and in its FCOS.

    They divide the sum by `foreground_anchors`, the anchors that have an object, and by 1 where
    none has. The logits are those of shape (anchors, classes) without the anchors between the two
    thresholds. The loss of a batch is the mean over its images.
    """
    divisor = max(1, arguments.at_least("foreground_anchors", foreground_anchors, 0))
    caller = {"reduction": "mean", "normalizer": "caller", "normalizer_value": float(divisor)}
    return focal(2.0, 0.25) | caller


def open_clip_siglip(
    cache_labels: bool = False, rank: int = 0, world_size: int = 1, dist_impl: str | None = None
) -> Options:
    """open_clip.loss.SigLipLoss, for logits scale * image_features @ text_features.T + bias.

    The targets of one process are lossd.identity(). With a world_size above 1 the texts are those
    of all ranks in order, and the targets lossd.identity(rank * N) for N images of the rank. The
    options are the same for all arguments.
    """
    arguments.truth("cache_labels", cache_labels)
    ranks = arguments.at_least("world_size", world_size, 1)
    if not 0 <= arguments.integer("rank", rank) < ranks:
        raise ValueError(f"rank: {rank} is not below a world_size of {ranks}")
    words: dict[Any, Options] = {word: {} for word in (None, "bidir", "shift", "reduce", "gather")}
    chosen("dist_impl", dist_impl, words)
    return {"reduction": "mean", "normalizer": "batch"}
