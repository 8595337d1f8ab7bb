"""Packages for images that are built on PyTorch: kornia, MONAI, timm and segmentation_models."""

from __future__ import annotations

from typing import Any

from lossd import recipes

from tests.peers import rows
from tests.peers.rows import Row
from tests.peers.torch_rows import asked, of


def medical_rows() -> list[Row]:
    found = []
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
    class_alpha = [0.25, 0.5, 0.75]
    channels = [1.0, 0.5, 3.0]
    found.append(
        Row(
            "monai.losses.FocalLoss(alpha=[0.25, 0.5, 0.75], weight=[1, 0.5, 3], reduction='sum')",
            ("monai", "torch"),
            recipes.monai_focal(alpha=class_alpha, weight=channels, reduction="sum"),
            rows.HARD,
            asked(
                lambda _: of("monai.losses", "focal_loss.FocalLoss")(
                    alpha=class_alpha, weight=channels, reduction="sum"
                )
            ),
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
        Row(
            "smp.losses.FocalLoss('multilabel', reduction='sum', class_weights=[1, 0.5, 3])",
            ("segmentation_models_pytorch", "torch"),
            recipes.smp_focal("multilabel", reduction="sum", class_weights=rows.COLUMN_WEIGHTS),
            rows.HARD,
            asked(
                lambda _: of(package, "focal.FocalLoss")(
                    "multilabel", reduction="sum", class_weights=rows.COLUMN_WEIGHTS.tolist()
                )
            ),
        ),
    ]


def text_of(options: dict[str, Any]) -> str:
    return ", ".join(f"{name}={value}" for name, value in options.items())


def all_rows() -> list[Row]:
    return medical_rows() + timm_rows() + segmentation_rows()
