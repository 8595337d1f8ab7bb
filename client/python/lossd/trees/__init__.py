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
- `timeout`: the seconds that one call has; None, the default, waits until the server has answered
  or is found to be gone.

Labels lie in [0, 1] and may be fractions. Raw predictions start at 0 with a custom objective of
XGBoost, LightGBM or CatBoost. Their own objectives may start at the logit of the labels' mean.

A failure is an error of the package: XGBoostError, LightGBMError, CatBoostError, and ValueError
for scikit-learn. Its cause is the error of lossd.
"""

from __future__ import annotations

from typing import Any

from lossd.client import Client
from lossd.trees.boosting import Metric, Objective
from lossd.trees.catboost import CatBoostMetric, CatBoostObjective
from lossd.trees.derivatives import TreeLoss


def xgboost_objective(
    client: Client, *, minimum_hessian: float = 0.0, timeout: float | None = None, **options: Any
) -> Objective:
    """Returns what xgboost.train() takes as `obj`, and XGBClassifier as `objective`.

    With xgboost.train() a base_score is the raw prediction itself, so 0 is the probability 1/2. To
    XGBClassifier it is a probability, 0.5, as without the objective. The data may have a column of
    labels for each output.
    """
    import xgboost.core

    loss = TreeLoss(client, timeout, options, xgboost.core.XGBoostError)
    return Objective(loss, minimum_hessian)


def xgboost_metric(client: Client, *, timeout: float | None = None, **options: Any) -> Metric:
    """Returns what xgboost.train() takes as `custom_metric`: the mean loss by raw predictions.

    XGBoost passes raw predictions only if the objective is a custom one too. Its own logloss takes
    the raw predictions of a custom objective for probabilities.
    """
    import xgboost.core

    loss = TreeLoss(client, timeout, options, xgboost.core.XGBoostError)
    return Metric(loss, says_direction=False)


def lightgbm_objective(
    client: Client, *, minimum_hessian: float = 0.0, timeout: float | None = None, **options: Any
) -> Objective:
    """Returns what LightGBM takes as the parameter `objective`.

    LightGBM rounds derivatives to float32 itself.
    """
    import lightgbm.basic

    loss = TreeLoss(client, timeout, options, lightgbm.basic.LightGBMError)
    return Objective(loss, minimum_hessian)


def lightgbm_metric(client: Client, *, timeout: float | None = None, **options: Any) -> Metric:
    """Returns what lightgbm.train() takes as `feval`: the mean loss by raw predictions."""
    import lightgbm.basic

    loss = TreeLoss(client, timeout, options, lightgbm.basic.LightGBMError)
    return Metric(loss, says_direction=True)


def catboost_objective(
    client: Client, *, minimum_hessian: float = 0.0, timeout: float | None = None, **options: Any
) -> CatBoostObjective:
    """Returns what CatBoostClassifier takes as `loss_function`; it needs an `eval_metric` too.

    CatBoost has one label a row here: its interface for more calls Python for each row.
    """
    import catboost

    loss = TreeLoss(client, timeout, options, catboost.CatBoostError)
    return CatBoostObjective(loss, minimum_hessian)


def catboost_metric(
    client: Client, *, timeout: float | None = None, **options: Any
) -> CatBoostMetric:
    """Returns what CatBoostClassifier takes as `eval_metric`: the mean loss."""
    import catboost

    return CatBoostMetric(TreeLoss(client, timeout, options, catboost.CatBoostError))


def sklearn_loss(
    client: Client, *, minimum_hessian: float = 0.0, timeout: float | None = None, **options: Any
) -> Any:
    """Returns what HistGradientBoostingClassifier takes as `loss`.

    It is a subclass of scikit-learn's HalfBinomialLoss, whose module is private, and works with
    scikit-learn 1.3 to 1.9. Training starts at the logit of the labels' mean, as with
    scikit-learn's own loss, whichever loss the options make.
    """
    from lossd.trees.scikit_learn import SklearnLoss

    return SklearnLoss(TreeLoss(client, timeout, options, ValueError), minimum_hessian)


__all__ = [
    "catboost_metric",
    "catboost_objective",
    "lightgbm_metric",
    "lightgbm_objective",
    "sklearn_loss",
    "xgboost_metric",
    "xgboost_objective",
]
