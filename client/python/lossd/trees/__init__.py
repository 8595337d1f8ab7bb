"""Losses of lossd for gradient boosting: XGBoost, LightGBM, CatBoost and scikit-learn.

```python
objective = lossd.trees.xgboost_objective("localhost:50051", kind="sigmoid_focal", focal_gamma=2)
xgboost.train({"objective": "binary:logistic"}, data, obj=objective)
```

Every function takes a lossd.Client, or a target HOST:PORT whose client all losses share, and the
options of Client.compute_loss() that say which loss it is, such as `kind`, `pos_weight`,
`label_smoothing` and `ignore_target`. The weights of rows are those of the data set. Objectives
have two more arguments:

- `minimum_hessian`: second derivatives below it are raised to it. The default is 0, because only
  losses other than the cross-entropy have negative ones, which make leaves point the wrong way.
- `timeout`: the seconds that one call has, 60 by default; None waits until the server has answered
  or is found to be gone.

Labels lie in [0, 1] and may be fractions, except in scikit-learn. With `ignore_target=-1`, rows of
the label -1 take no part. It cannot be NaN: XGBoost, CatBoost and scikit-learn refuse NaN labels,
and LightGBM reads them as 0. Weights are not negative.

Raw predictions start at 0 with a custom objective of LightGBM, CatBoost or XGBoost, unless the
data has some (`base_margin`, `init_score`, `baseline`) or XGBoost is given a `base_score`. The
packages' own objectives may start at the logit of the labels' mean.

Parameters that a package's own objective applies, such as `scale_pos_weight`, have no effect with
a custom one; client/python/README.md has the options that do the same, and what the models'
predict() returns.

With a client that has shared memory, raw predictions, labels and weights are copied there, and the
server reads them and writes the derivatives itself.

A failure is an error of the package: XGBoostError, LightGBMError, CatBoostError, and ValueError
for scikit-learn. Its cause is the error of lossd, except in CatBoost, where the text is all that is
left of an error. CatBoost shows parts of 1000 rows to an objective, so a place in the text is one
in such a part.
"""

from __future__ import annotations

import importlib
from typing import Any

from lossd import extras
from lossd.arguments import STEP_TIMEOUT_SECONDS
from lossd.client import Client
from lossd.trees.boosting import Metric
from lossd.trees.catboost import CatBoostMetric, CatBoostObjective
from lossd.trees.derivatives import Package, TreeLoss
from lossd.trees.lightgbm import LightGBMObjective
from lossd.trees.xgboost import XGBoostObjective


def xgboost_objective(
    client: Client | str,
    *,
    minimum_hessian: float = 0.0,
    timeout: float | None = STEP_TIMEOUT_SECONDS,
    **options: Any,
) -> XGBoostObjective:
    """Returns what xgboost.train() takes as `obj`, and XGBClassifier as `objective`.

    Keep `"objective": "binary:logistic"` in the parameters of xgboost.train(); XGBClassifier keeps
    it itself. Then `base_score` is a probability, 0.5 unless it is given, so raw predictions start
    at 0, and predict() returns probabilities. XGBoost 3.2 alone starts at the logit of the labels'
    weighted mean: give that mean as `base_score` for the same start. A `base_score` of 0 or 1 is
    clamped to 1e-6 from there, where nothing is learned: XGBoost 3.2 accepts it, and the objective
    warns by RuntimeWarning.

    Without an `objective` in the parameters, `base_score` is the raw prediction itself, 0.5 unless
    it is given, and predict() returns raw predictions.

    The data may have a column of labels for each output.
    """
    return XGBoostObjective(_xgboost_loss(client, timeout, options), minimum_hessian)


def xgboost_metric(
    client: Client | str, *, timeout: float | None = STEP_TIMEOUT_SECONDS, **options: Any
) -> Metric:
    """Returns what xgboost.train() takes as `custom_metric`: the mean loss by raw predictions.

    XGBoost passes raw predictions only if `obj` is a custom objective too. Its own logloss is right
    beside that if the parameters keep `"objective": "binary:logistic"`. If they do not, it takes
    raw predictions for probabilities, and the default metric is rmse. The parameter
    disable_default_eval_metric leaves the default metric out.
    """
    return Metric(_xgboost_loss(client, timeout, options), says_direction=False)


def lightgbm_objective(
    client: Client | str,
    *,
    minimum_hessian: float = 0.0,
    timeout: float | None = STEP_TIMEOUT_SECONDS,
    **options: Any,
) -> LightGBMObjective:
    """Returns what LightGBM takes as the parameter `objective`.

    LightGBM rounds derivatives to float32 itself. Its objective `binary` takes every label above 0
    for 1; this one takes fractions as they are, as its `cross_entropy` does. A LightGBMError names
    parameters of lightgbm.train() that have no effect with a custom objective, such as
    `is_unbalance`; those of LGBMClassifier cannot be seen. predict() returns raw predictions.
    """
    return LightGBMObjective(_lightgbm_loss(client, timeout, options), minimum_hessian)


def lightgbm_metric(
    client: Client | str, *, timeout: float | None = STEP_TIMEOUT_SECONDS, **options: Any
) -> Metric:
    """Returns what lightgbm.train() takes as `feval`: the mean loss by raw predictions.

    LightGBM passes raw predictions only if the objective is a custom one too.
    """
    return Metric(_lightgbm_loss(client, timeout, options), says_direction=True)


def catboost_objective(
    client: Client | str,
    *,
    minimum_hessian: float = 0.0,
    timeout: float | None = STEP_TIMEOUT_SECONDS,
    **options: Any,
) -> CatBoostObjective:
    """Returns what CatBoostClassifier takes as `loss_function`; it needs an `eval_metric` too.

    Give CatBoostClassifier `class_names=[0, 1]` as well: without them CatBoost forgets the classes
    of a custom objective, so that predict() fails and `class_weights` have no effect.

    CatBoost has one label a row here: its interface for more calls Python for each row.
    """
    return CatBoostObjective(_catboost_loss(client, timeout, options), minimum_hessian)


def catboost_metric(
    client: Client | str, *, timeout: float | None = STEP_TIMEOUT_SECONDS, **options: Any
) -> CatBoostMetric:
    """Returns what CatBoostClassifier takes as `eval_metric`: the mean loss."""
    return CatBoostMetric(_catboost_loss(client, timeout, options))


def sklearn_loss(
    client: Client | str,
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
    _imported("sklearn")
    from lossd.trees.scikit_learn import SklearnLoss

    package = Package(ValueError, "refuses NaN labels", numbers_classes=True)
    return SklearnLoss(TreeLoss(client, timeout, options, package), minimum_hessian)


def _imported(module: str) -> Any:
    """Returns a module; raises ModuleNotFoundError, which says how to install its package."""
    try:
        return importlib.import_module(module)
    except ModuleNotFoundError as error:
        if error.name != module:  # it is there, and lacks something itself
            raise
        raise extras.missing("lossd.trees", module, "trees") from None


def _xgboost_loss(client: Client | str, timeout: float | None, options: dict[str, Any]) -> TreeLoss:
    error = _imported("xgboost").core.XGBoostError
    package = Package(error, "refuses NaN labels")
    return TreeLoss(client, timeout, options, package)


def _lightgbm_loss(
    client: Client | str, timeout: float | None, options: dict[str, Any]
) -> TreeLoss:
    error = _imported("lightgbm").basic.LightGBMError
    package = Package(error, "reads NaN labels as 0")
    return TreeLoss(client, timeout, options, package)


def _catboost_loss(
    client: Client | str, timeout: float | None, options: dict[str, Any]
) -> TreeLoss:
    error = _imported("catboost").CatBoostError
    package = Package(error, "refuses NaN labels", passes_parts=True)
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
