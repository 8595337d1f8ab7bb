"""Losses of other packages, as options of Client.compute_loss().

```python
options = lossd.recipes.timm_asymmetric_multilabel(gamma_neg=4, gamma_pos=0)
client.compute_loss(logits, targets, **options)
```

A recipe is named after its package and loss, takes the arguments of that loss with their names,
defaults and places, and returns lossd's options. Arguments after `*` are lossd's own. The logits
and targets are the package's own, except where a recipe's text says otherwise. ValueError or
TypeError begins with the argument that is wrong or that lossd has no option for, and its value.

docs/coming_from.md says for each how its results differ in the tails, and in which version that
was seen.
"""

from lossd.recipes.jax import optax_sigmoid_binary_cross_entropy, optax_sigmoid_focal
from lossd.recipes.others import (
    burn_binary_cross_entropy,
    caffe_sigmoid_cross_entropy,
    candle_binary_cross_entropy_with_logit,
    mlx_binary_cross_entropy,
    nd4j_sigmoid_cross_entropy,
    paddle_binary_cross_entropy_with_logits,
    paddle_sigmoid_focal,
    scipy_log_expit,
    tinygrad_binary_crossentropy_logits,
)
from lossd.recipes.pytorch import (
    open_clip_siglip,
    torch_bce_with_logits,
    torch_multilabel_soft_margin,
    torch_soft_margin,
    torchvision_retinanet,
    torchvision_sigmoid_focal,
)
from lossd.recipes.tensorflow import (
    keras_binary_crossentropy,
    keras_binary_focal_crossentropy,
    tensorflow_sigmoid_cross_entropy,
    tensorflow_v1_sigmoid_cross_entropy,
    tensorflow_weighted_cross_entropy,
    tfjs_sigmoid_cross_entropy,
)
from lossd.recipes.trees import (
    catboost_cross_entropy,
    catboost_focal,
    catboost_logloss,
    lightgbm_binary,
    lightgbm_cross_entropy,
    sklearn_half_binomial,
    sklearn_log_loss,
    xgboost_binary_logistic,
)
from lossd.recipes.vision import (
    kornia_binary_focal_with_logits,
    monai_focal,
    smp_focal,
    smp_soft_bce_with_logits,
    timm_asymmetric_multilabel,
    timm_binary_cross_entropy,
    timm_poly_binary_cross_entropy,
)

__all__ = [
    "burn_binary_cross_entropy",
    "caffe_sigmoid_cross_entropy",
    "candle_binary_cross_entropy_with_logit",
    "catboost_cross_entropy",
    "catboost_focal",
    "catboost_logloss",
    "keras_binary_crossentropy",
    "keras_binary_focal_crossentropy",
    "kornia_binary_focal_with_logits",
    "lightgbm_binary",
    "lightgbm_cross_entropy",
    "mlx_binary_cross_entropy",
    "monai_focal",
    "nd4j_sigmoid_cross_entropy",
    "open_clip_siglip",
    "optax_sigmoid_binary_cross_entropy",
    "optax_sigmoid_focal",
    "paddle_binary_cross_entropy_with_logits",
    "paddle_sigmoid_focal",
    "scipy_log_expit",
    "sklearn_half_binomial",
    "sklearn_log_loss",
    "smp_focal",
    "smp_soft_bce_with_logits",
    "tensorflow_sigmoid_cross_entropy",
    "tensorflow_v1_sigmoid_cross_entropy",
    "tensorflow_weighted_cross_entropy",
    "tfjs_sigmoid_cross_entropy",
    "timm_asymmetric_multilabel",
    "timm_binary_cross_entropy",
    "timm_poly_binary_cross_entropy",
    "tinygrad_binary_crossentropy_logits",
    "torch_bce_with_logits",
    "torch_multilabel_soft_margin",
    "torch_soft_margin",
    "torchvision_retinanet",
    "torchvision_sigmoid_focal",
    "xgboost_binary_logistic",
]
