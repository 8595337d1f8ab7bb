"""The parameters of the real losses, which their recipes have under the same names and defaults.

A recipe has the parameters in the same order as the loss, without the logits and the targets.
After them it may have parameters of its own that are given by name only.
"""

from __future__ import annotations

import importlib
import inspect
from collections.abc import Callable
from typing import Any, NamedTuple

from lossd import recipes

# Pairs of a name and a default; "required" stands for none.
Parameters = list[list[Any]]


class Real(NamedTuple):
    package: str  # as pip names it
    module: str
    name: str
    inputs: int  # how many parameters at the beginning are tensors of a call, or self


REAL = {
    "torch_bce_with_logits": Real("torch", "torch.nn", "BCEWithLogitsLoss", 0),
    "torch_multilabel_soft_margin": Real("torch", "torch.nn", "MultiLabelSoftMarginLoss", 0),
    "torch_soft_margin": Real("torch", "torch.nn", "SoftMarginLoss", 0),
    "torchvision_sigmoid_focal": Real("torchvision", "torchvision.ops", "sigmoid_focal_loss", 2),
    "open_clip_siglip": Real("open_clip_torch", "open_clip.loss", "SigLipLoss", 0),
    "timm_binary_cross_entropy": Real("timm", "timm.loss", "BinaryCrossEntropy", 0),
    "timm_asymmetric_multilabel": Real("timm", "timm.loss", "AsymmetricLossMultiLabel", 0),
    "timm_poly_binary_cross_entropy": Real(
        "timm", "timm.loss.poly_loss", "PolyBinaryCrossEntropy", 0
    ),
    "smp_soft_bce_with_logits": Real(
        "segmentation_models_pytorch",
        "segmentation_models_pytorch.losses",
        "SoftBCEWithLogitsLoss",
        0,
    ),
    "smp_focal": Real(
        "segmentation_models_pytorch", "segmentation_models_pytorch.losses", "FocalLoss", 0
    ),
    "monai_focal": Real("monai", "monai.losses", "FocalLoss", 0),
    "kornia_binary_focal_with_logits": Real(
        "kornia", "kornia.losses", "binary_focal_loss_with_logits", 2
    ),
    "tensorflow_sigmoid_cross_entropy": Real(
        "tensorflow", "tensorflow.nn", "sigmoid_cross_entropy_with_logits", 2
    ),
    "tensorflow_weighted_cross_entropy": Real(
        "tensorflow", "tensorflow.nn", "weighted_cross_entropy_with_logits", 2
    ),
    "tensorflow_v1_sigmoid_cross_entropy": Real(
        "tensorflow", "tensorflow.compat.v1.losses", "sigmoid_cross_entropy", 2
    ),
    "keras_binary_crossentropy": Real("keras", "keras.losses", "BinaryCrossentropy", 0),
    "keras_binary_focal_crossentropy": Real("keras", "keras.losses", "BinaryFocalCrossentropy", 0),
    "optax_sigmoid_binary_cross_entropy": Real(
        "optax", "optax.losses", "sigmoid_binary_cross_entropy", 2
    ),
    "optax_sigmoid_focal": Real("optax", "optax.losses", "sigmoid_focal_loss", 2),
    "paddle_binary_cross_entropy_with_logits": Real(
        "paddlepaddle", "paddle.nn.functional", "binary_cross_entropy_with_logits", 2
    ),
    "paddle_sigmoid_focal": Real("paddlepaddle", "paddle.nn.functional", "sigmoid_focal_loss", 2),
    "mlx_binary_cross_entropy": Real("mlx", "mlx.nn.losses", "binary_cross_entropy", 2),
    "tinygrad_binary_crossentropy_logits": Real(
        "tinygrad", "tinygrad.Tensor", "binary_crossentropy_logits", 2
    ),
    "sklearn_log_loss": Real("scikit-learn", "sklearn.metrics", "log_loss", 2),
}


def listed(function: Callable[..., Any], inputs: int = 0) -> Parameters:
    """Returns the parameters of a function or class without deprecated ones and the first."""
    found = [
        one
        for one in list(inspect.signature(function).parameters.values())[inputs:]
        if one.default != "deprecated"
    ]
    empty = inspect.Parameter.empty
    return [[one.name, "required" if one.default is empty else one.default] for one in found]


def real(recipe: str) -> Parameters:
    """Returns the parameters that the real loss of a recipe has."""
    _, module, name, inputs = REAL[recipe]
    try:
        owner: Any = importlib.import_module(module)
    except ModuleNotFoundError:  # the owner is a class
        package, _, owner_name = module.rpartition(".")
        owner = getattr(importlib.import_module(package), owner_name)
    return listed(getattr(owner, name), inputs)


def ours(recipe: str) -> Parameters:
    """Returns the parameters of a recipe that are the package's."""
    function = getattr(recipes, recipe)
    by_name_only = inspect.Parameter.KEYWORD_ONLY
    parameters = inspect.signature(function).parameters.values()
    found = listed(function)
    if all(one.kind is by_name_only for one in parameters):  # as those of the package are
        return found
    return [
        one for one, known in zip(found, parameters, strict=True) if known.kind is not by_name_only
    ]
