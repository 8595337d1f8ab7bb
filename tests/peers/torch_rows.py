"""PyTorch and packages that are built on it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from lossd import recipes

from tests.peers import rows
from tests.peers.rows import Answer, Array, Row


def asked(make: Any) -> Callable[[Array, Array], Answer]:
    """Returns the real side of a row from a function that makes a loss with the module torch."""

    def real(logits: Array, targets: Array) -> Answer:
        import torch

        x = torch.tensor(logits, requires_grad=True)
        loss = make(torch)(x, torch.tensor(targets))
        loss.sum().backward()
        return loss.detach().numpy(), x.grad.numpy()

    return real


def of(package: str, name: str) -> Any:
    """Returns an attribute of a package, which is imported."""
    import importlib

    module, _, attribute = name.rpartition(".")
    return getattr(importlib.import_module(f"{package}.{module}"), attribute)


def torch_rows() -> list[Row]:
    weight, pos_weight = rows.COLUMN_WEIGHTS, rows.POS_WEIGHT
    found = [
        Row(
            f"torch.nn.BCEWithLogitsLoss(reduction={reduction!r})",
            ("torch",),
            recipes.torch_bce_with_logits(reduction=reduction),
            rows.SOFT,
            asked(lambda t, r=reduction: t.nn.BCEWithLogitsLoss(reduction=r)),
        )
        for reduction in ("mean", "sum", "none")
    ]
    found.append(
        Row(
            "torch.nn.BCEWithLogitsLoss(weight, pos_weight)",
            ("torch",),
            recipes.torch_bce_with_logits(weight, pos_weight=pos_weight),
            rows.SOFT,
            asked(
                lambda t: t.nn.BCEWithLogitsLoss(t.tensor(weight), pos_weight=t.tensor(pos_weight))
            ),
        )
    )
    for reduction in ("mean", "sum", "none"):
        found.append(
            Row(
                f"torch.nn.MultiLabelSoftMarginLoss(weight, reduction={reduction!r})",
                ("torch",),
                recipes.torch_multilabel_soft_margin(weight, reduction, classes=3),
                rows.HARD,
                asked(
                    lambda t, r=reduction: t.nn.MultiLabelSoftMarginLoss(
                        t.tensor(weight), reduction=r
                    )
                ),
            )
        )

    def margin(torch: Any) -> Any:
        return lambda x, t: torch.nn.SoftMarginLoss()(x, 2 * t - 1)

    found.append(
        Row(
            "torch.nn.SoftMarginLoss() of 2 t - 1",
            ("torch",),
            recipes.torch_soft_margin(),
            rows.HARD,
            asked(margin),
        )
    )
    return found


def focal_rows() -> list[Row]:
    found = []
    for alpha, gamma in ((0.25, 2.0), (-1.0, 0.5)):
        found.append(
            Row(
                f"torchvision.ops.sigmoid_focal_loss(alpha={alpha}, gamma={gamma})",
                ("torchvision", "torch"),
                recipes.torchvision_sigmoid_focal(alpha, gamma),
                rows.SOFT,
                asked(
                    lambda _, a=alpha, g=gamma: (
                        lambda x, t: of("torchvision.ops", "focal_loss.sigmoid_focal_loss")(
                            x, t, alpha=a, gamma=g
                        )
                    )
                ),
            )
        )
    kornia: dict[str, Any] = {"alpha": 0.25, "gamma": 2.0, "reduction": "mean"}
    for targets, name in ((rows.SOFT, "soft targets"), (rows.IGNORED, "ignore_index=-100")):
        found.append(
            Row(
                f"kornia.losses.binary_focal_loss_with_logits({name})",
                ("kornia", "torch"),
                recipes.kornia_binary_focal_with_logits(
                    **kornia, pos_weight=rows.POS_WEIGHT, weight=rows.COLUMN_WEIGHTS
                ),
                targets,
                asked(
                    lambda torch: (
                        lambda x, t: of("kornia.losses", "focal.binary_focal_loss_with_logits")(
                            x,
                            t,
                            **kornia,
                            pos_weight=torch.tensor(rows.POS_WEIGHT),
                            weight=torch.tensor(rows.COLUMN_WEIGHTS),
                        )
                    )
                ),
            )
        )
    found.append(
        Row(
            "monai.losses.FocalLoss(alpha=0.25, gamma=2)",
            ("monai", "torch"),
            recipes.monai_focal(alpha=0.25, gamma=2.0),
            rows.HARD,
            asked(lambda _: of("monai.losses", "focal_loss.FocalLoss")(alpha=0.25, gamma=2.0)),
        )
    )
    return found


def timm_rows() -> list[Row]:
    def bce(**options: Any) -> Any:
        return lambda _: of("timm.loss", "binary_cross_entropy.BinaryCrossEntropy")(**options)

    def asymmetric(**options: Any) -> Any:
        return lambda _: of("timm.loss", "asymmetric_loss.AsymmetricLossMultiLabel")(**options)

    def by_index(_: Any) -> Any:
        loss = bce(smoothing=0.1)(_)
        return lambda x, t: loss(x, t.argmax(-1))

    found = [
        Row(
            "timm.loss.BinaryCrossEntropy(smoothing=0.1) of class indices",
            ("timm", "torch"),
            recipes.timm_binary_cross_entropy(0.1, classes=3),
            rows.ONE_HOT,
            asked(by_index),
            has_tail=False,
        )
    ]
    smoothings: tuple[dict[str, Any], ...] = (
        {"smoothing": 0.1, "smooth_dense": True},
        {"smoothing": 0.1},
    )
    for options in smoothings:
        found.append(
            Row(
                f"timm.loss.BinaryCrossEntropy({text_of(options)}, sum_classes=True)",
                ("timm", "torch"),
                recipes.timm_binary_cross_entropy(**options, sum_classes=True),
                rows.SOFT,
                asked(bce(**options, sum_classes=True)),
            )
        )
    for detached in (False, True):
        found.append(
            Row(
                f"timm.loss.AsymmetricLossMultiLabel(disable_torch_grad_focal_loss={detached})",
                ("timm", "torch"),
                recipes.timm_asymmetric_multilabel(disable_torch_grad_focal_loss=detached),
                rows.HARD,
                asked(
                    lambda _, d=detached: of(
                        "timm.loss", "asymmetric_loss.AsymmetricLossMultiLabel"
                    )(disable_torch_grad_focal_loss=d)
                ),
            )
        )
    found.append(
        Row(
            "timm.loss.PolyBinaryCrossEntropy(epsilon=2, gamma=1)",
            ("timm", "torch"),
            recipes.timm_poly_binary_cross_entropy(2.0, 1.0),
            rows.SOFT,
            asked(lambda _: of("timm.loss", "poly_loss.PolyBinaryCrossEntropy")(2.0, 1.0)),
        )
    )
    return found


def segmentation_rows() -> list[Row]:
    package = "segmentation_models_pytorch.losses"
    return [
        Row(
            "smp.losses.SoftBCEWithLogitsLoss(smooth_factor=0.1, ignore_index=-100)",
            ("segmentation_models_pytorch", "torch"),
            recipes.smp_soft_bce_with_logits(smooth_factor=0.1),
            rows.IGNORED,
            asked(lambda _: of(package, "soft_bce.SoftBCEWithLogitsLoss")(smooth_factor=0.1)),
        ),
        Row(
            "smp.losses.FocalLoss('binary', alpha=0.25, ignore_index=-100)",
            ("segmentation_models_pytorch", "torch"),
            recipes.smp_focal("binary", 0.25, ignore_index=-100),
            rows.IGNORED,
            asked(lambda _: of(package, "focal.FocalLoss")("binary", 0.25, ignore_index=-100)),
        ),
    ]


def siglip(logits: Array, targets: Array) -> Answer:
    """Makes the logits the features of images, and unit vectors those of texts."""
    import torch

    loss = of("open_clip", "loss.SigLipLoss")()
    images = torch.tensor(logits, requires_grad=True)
    value = loss(images, torch.eye(len(logits)), torch.tensor(1.0), torch.tensor(0.0))
    value.backward()
    assert images.grad is not None
    return value.detach().numpy(), images.grad.numpy()


def open_clip_rows() -> list[Row]:
    # The loss has as many images as texts, so the row brings a square of its own.
    return [
        Row(
            "open_clip.SigLipLoss()",
            ("open_clip_torch", "torch"),
            recipes.open_clip_siglip(),
            np.eye(4, dtype=np.float32),
            siglip,
            rows.SQUARE,
            has_tail=False,
        )
    ]


def text_of(options: dict[str, Any]) -> str:
    return ", ".join(f"{name}={value}" for name, value in options.items())


def all_rows() -> list[Row]:
    return torch_rows() + focal_rows() + timm_rows() + segmentation_rows() + open_clip_rows()
