"""PyTorch, also through ONNX, torchvision and open_clip."""

from __future__ import annotations

import importlib
import io
from collections.abc import Callable
from typing import Any

import ml_dtypes
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
    found.append(
        Row(
            "torch.nn.BCEWithLogitsLoss(weight of shape (N, 1), size_average=False)",
            ("torch",),
            recipes.torch_bce_with_logits(rows.ROW_WEIGHTS, size_average=False),
            rows.SOFT,
            asked(lambda t: t.nn.BCEWithLogitsLoss(t.tensor(rows.ROW_WEIGHTS), size_average=False)),
        )
    )
    for reduction in ("mean", "sum", "none"):
        found.append(
            Row(
                f"torch.nn.MultiLabelSoftMarginLoss(weight, reduction={reduction!r})",
                ("torch",),
                recipes.torch_multilabel_soft_margin(weight, reduction=reduction, classes=3),
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


def exported(
    dynamo: bool, runtime: Callable[[bytes, Any], Any]
) -> Callable[[Array, Array], Answer]:
    """Returns the real side of a row that runs the exported mean of BCEWithLogitsLoss.

    `runtime` takes a model and its inputs by name. ONNX has no gradient.
    """

    def real(logits: Array, targets: Array) -> Answer:
        import torch

        class Loss(torch.nn.Module):
            def forward(self, x: Any, t: Any) -> Any:
                return torch.nn.functional.binary_cross_entropy_with_logits(x, t)

        file = io.BytesIO()
        tensors = (torch.tensor(logits), torch.tensor(targets))
        torch.onnx.export(
            Loss(), tensors, file, input_names=["x", "t"], dynamo=dynamo, verbose=False
        )
        return runtime(file.getvalue(), {"x": logits, "t": targets}), None

    return real


def in_onnxruntime(model: bytes, inputs: Any) -> Any:
    session = of("onnxruntime", "capi.onnxruntime_inference_collection.InferenceSession")
    return session(model, providers=["CPUExecutionProvider"]).run(None, inputs)[0]


def in_onnx(model: bytes, inputs: Any) -> Any:
    onnx = importlib.import_module("onnx")
    evaluator = of("onnx", "reference.ReferenceEvaluator")
    return evaluator(onnx.load_model_from_string(model)).run(None, inputs)[0]


def autocast(logits: Array, targets: Array) -> Answer:
    """Takes logits of bfloat16, and makes losses of float32 of them."""
    import torch

    x = torch.tensor(np.asarray(logits, np.float32)).bfloat16().requires_grad_()
    with torch.autocast("cpu", torch.bfloat16):
        loss = torch.nn.BCEWithLogitsLoss(reduction="none")(x, torch.tensor(targets))
    loss.sum().backward()
    return loss.detach().numpy(), x.grad.float().numpy()  # type: ignore[union-attr]


def autocast_rows() -> list[Row]:
    return [
        Row(
            "torch.nn.BCEWithLogitsLoss(reduction='none') of bfloat16 under torch.autocast",
            ("torch",),
            recipes.torch_bce_with_logits(reduction="none") | {"losses_dtype": "float32"},
            rows.HARD,
            autocast,
            rows.LOGITS.astype(ml_dtypes.bfloat16),
            has_tail=False,
        )
    ]


def onnx_rows() -> list[Row]:
    """ONNX has no operator for the loss, so its rows are those of PyTorch's exporters."""
    return [
        Row(
            f"torch.nn.BCEWithLogitsLoss() by torch.onnx.export(dynamo={dynamo}) in {package}",
            (package, "torch"),
            recipes.torch_bce_with_logits(),
            rows.SOFT,
            exported(dynamo, runtime),
        )
        for dynamo in (True, False)
        for package, runtime in (("onnxruntime", in_onnxruntime), ("onnx", in_onnx))
    ]


def torchvision_rows() -> list[Row]:
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
    found.append(
        Row(
            "torchvision.models.detection.retinanet.RetinaNetClassificationHead.compute_loss()",
            ("torchvision", "torch"),
            recipes.torchvision_retinanet(3),
            RETINANET_TARGETS,
            retinanet,
            has_tail=False,
        )
    )
    return found


# Three of four anchors have an object, of the classes 1, 0 and 1.
RETINANET_TARGETS = np.array([[0, 1, 0], [1, 0, 0], [0, 0, 0], [0, 1, 0]], np.float32)


def retinanet(logits: Array, targets: Array) -> Answer:
    import torch

    head = of("torchvision.models", "detection.retinanet.RetinaNetClassificationHead")(8, 1, 3)
    x = torch.tensor(logits, requires_grad=True)
    boxes = {"labels": torch.tensor(targets.argmax(1)[targets.any(1)])}
    matched = torch.tensor([0, 1, -1, 2])  # the box of each anchor; -1 is the background
    loss = head.compute_loss([boxes], {"cls_logits": x[None]}, [matched])
    loss.backward()
    return loss.detach().numpy(), gradient_of(x)


def gradient_of(x: Any) -> Array:
    gradient: Array = x.grad.numpy()
    return gradient


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
            "open_clip.loss.SigLipLoss()",
            ("open_clip_torch", "torch"),
            recipes.open_clip_siglip(),
            np.eye(4, dtype=np.float32),
            siglip,
            rows.SQUARE,
            has_tail=False,
        )
    ]


def all_rows() -> list[Row]:
    return torch_rows() + autocast_rows() + onnx_rows() + torchvision_rows() + open_clip_rows()
