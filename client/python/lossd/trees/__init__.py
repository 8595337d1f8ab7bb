"""Losses of lossd for gradient boosting: XGBoost, LightGBM, CatBoost and scikit-learn.

```python
with lossd.Client("localhost:50051") as client:
    objective = lossd.trees.xgboost_objective(client, kind="sigmoid_focal", focal_gamma=2)
    xgboost.train({"base_score": 0}, data, obj=objective)
```

Every function takes a client and the options of Client.compute_loss() that say which loss it is,
such as `kind`, `pos_weight`, `label_smoothing` and `ignore_target`. The weights of rows are those
of the data set. Objectives have two more arguments:

- `minimum_hessian`: second derivatives below it are raised to it. The default is 0, because only
  losses other than the cross-entropy have negative ones, which make leaves point the wrong way.
- `timeout`: the seconds that one call has, 60 by default; None waits until the server has answered
  or is found to be gone.

Labels lie in [0, 1] and may be fractions, except in scikit-learn. With `ignore_target=-1`, rows of
the label -1 take no part. It cannot be NaN: XGBoost, CatBoost and scikit-learn refuse NaN labels,
and LightGBM reads them as 0. Weights are not negative.

Raw predictions start at 0 with a custom objective of LightGBM or CatBoost, and at `base_score`
with one of XGBoost, unless the data has some (`base_margin`, `init_score`, `baseline`). The
packages' own objectives may start at the logit of the labels' mean.

With a client that has shared memory, raw predictions, labels and weights are copied there, and the
server reads them and writes the derivatives itself.

A failure is an error of the package: XGBoostError, LightGBMError, CatBoostError, and ValueError
for scikit-learn. Its cause is the error of lossd, except in CatBoost, where the text is all that is
left of an error. CatBoost shows parts of 1000 rows to an objective, so a place in the text is one
in such a part.
"""

from __future__ import annotations

from typing import Any

from lossd.arguments import STEP_TIMEOUT_SECONDS
from lossd.client import Client
from lossd.trees.boosting import Metric, Objective
from lossd.trees.catboost import CatBoostMetric, CatBoostObjective
from lossd.trees.derivatives import Package, TreeLoss


def xgboost_objective(
    client: Client,
    *,
    minimum_hessian: float = 0.0,
    timeout: float | None = STEP_TIMEOUT_SECONDS,
    **options: Any,
) -> Objective:
    """Returns what xgboost.train() takes as `obj`, and XGBClassifier as `objective`.

    With xgboost.train() a base_score is the raw prediction itself, and 0.5 if it is not given: 0 is
    the probability 1/2. To XGBClassifier it is a probability, 0.5, as without the objective. The
    data may have a column of labels for each output.
    """
    return Objective(_xgboost_loss(client, timeout, options), minimum_hessian)


def xgboost_metric(
    client: Client, *, timeout: float | None = STEP_TIMEOUT_SECONDS, **options: Any
) -> Metric:
    """Returns what xgboost.train() takes as `custom_metric`: the mean loss by raw predictions.

    XGBoost passes raw predictions only if the objective is a custom one too. Its own logloss takes
    the raw predictions of a custom objective for probabilities. The default metric there is rmse,
    which the parameter disable_default_eval_metric leaves out.
    """
    return Metric(_xgboost_loss(client, timeout, options), says_direction=False)


def lightgbm_objective(
    client: Client,
    *,
    minimum_hessian: float = 0.0,
    timeout: float | None = STEP_TIMEOUT_SECONDS,
    **options: Any,
) -> Objective:
    """Returns what LightGBM takes as the parameter `objective`.

    LightGBM rounds derivatives to float32 itself. Its objective `binary` takes every label above 0
    for 1; this one takes fractions as they are, as its `cross_entropy` does.
    """
    return Objective(_lightgbm_loss(client, timeout, options), minimum_hessian)


def lightgbm_metric(
    client: Client, *, timeout: float | None = STEP_TIMEOUT_SECONDS, **options: Any
) -> Metric:
    """Returns what lightgbm.train() takes as `feval`: the mean loss by raw predictions.

    LightGBM passes raw predictions only if the objective is a custom one too.
    """
    return Metric(_lightgbm_loss(client, timeout, options), says_direction=True)


def catboost_objective(
    client: Client,
    *,
    minimum_hessian: float = 0.0,
    timeout: float | None = STEP_TIMEOUT_SECONDS,
    **options: Any,
) -> CatBoostObjective:
    """Returns what CatBoostClassifier takes as `loss_function`; it needs an `eval_metric` too.

    CatBoost has one label a row here: its interface for more calls Python for each row.
    """
    return CatBoostObjective(_catboost_loss(client, timeout, options), minimum_hessian)


def catboost_metric(
    client: Client, *, timeout: float | None = STEP_TIMEOUT_SECONDS, **options: Any
) -> CatBoostMetric:
    """Returns what CatBoostClassifier takes as `eval_metric`: the mean loss."""
    return CatBoostMetric(_catboost_loss(client, timeout, options))


def sklearn_loss(
    client: Client,
    *,
    minimum_hessian: float = 0.0,
    timeout: float | None = STEP_TIMEOUT_SECONDS,
    **options: Any,
) -> Any:
    """Returns what HistGradientBoostingClassifier takes as `loss`.

    It is a subclass of scikit-learn's HalfBinomialLoss, whose module is private, and works with
    scikit-learn 1.3 to 1.9. Training starts at the logit of the labels' mean, as with
    scikit-learn's own loss, whichever loss the options make.
    """
    from lossd.trees.scikit_learn import SklearnLoss

    package = Package(ValueError, "refuses NaN labels", numbers_classes=True)
    return SklearnLoss(TreeLoss(client, timeout, options, package), minimum_hessian)


def _xgboost_loss(client: Client, timeout: float | None, options: dict[str, Any]) -> TreeLoss:
    import xgboost.core

    package = Package(xgboost.core.XGBoostError, "refuses NaN labels")
    return TreeLoss(client, timeout, options, package)


def _lightgbm_loss(client: Client, timeout: float | None, options: dict[str, Any]) -> TreeLoss:
    import lightgbm.basic

    package = Package(lightgbm.basic.LightGBMError, "reads NaN labels as 0")
    return TreeLoss(client, timeout, options, package)


def _catboost_loss(client: Client, timeout: float | None, options: dict[str, Any]) -> TreeLoss:
    import catboost

    package = Package(catboost.CatBoostError, "refuses NaN labels", passes_parts=True)
    return TreeLoss(client, timeout, options, package)


__all__ = [
    "catboost_metric",
    "catboost_objective",
    "lightgbm_metric",
    "lightgbm_objective",
    "sklearn_loss",
    "xgboost_metric",
    "xgboost_objective",
]
