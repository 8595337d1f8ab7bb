"""Trains with each package of lossd.trees, by an objective of its own or by one of lossd.

A test that asks for a package is skipped where that is not installed; ./dev peers installs all.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple

import lossd
import lossd.trees
import numpy as np
import pytest

ROUNDS = 30


@dataclass(frozen=True)
class Data:
    """Rows to train with, and rows to predict; `start` and `seen_start` are raw predictions."""

    features: Any
    labels: Any
    weights: Any
    seen: Any  # features of the rows to predict
    seen_labels: Any
    start: Any = None
    seen_start: Any = None


class Trained(NamedTuple):
    raw: Any  # the predictions of the rows to predict
    metric: float | None = None  # what the metric of lossd.trees saw last


# A function that trains with a client's loss, or with the package's own if there is no client.
# `parameters` are the package's, and `options` those of lossd.trees.
Train = Callable[..., Trained]


def logloss(raw: Any, labels: Any) -> float:
    """Returns the mean loss; it is exact in both tails for labels of 0 and 1."""
    raw = np.asarray(raw, np.float64)
    return float(np.mean(np.logaddexp(0, np.where(labels == 1, -raw, raw))))


def train_xgboost(
    data: Data, client: lossd.Client | None = None, *, parameters: Any = None, **options: Any
) -> Trained:
    xgboost = pytest.importorskip("xgboost")
    train = xgboost.DMatrix(data.features, data.labels, weight=data.weights, base_margin=data.start)
    seen = xgboost.DMatrix(data.seen, data.seen_labels, base_margin=data.seen_start)
    common = {"objective": "binary:logistic", "base_score": 0.5, "max_depth": 4, "nthread": 1}
    common |= parameters or {}
    if client is None:
        return Trained(xgboost.train(common, train, ROUNDS).predict(seen, output_margin=True))
    losses: dict[str, Any] = {}
    model = xgboost.train(
        common,
        train,
        ROUNDS,
        obj=lossd.trees.xgboost_objective(client, **options),
        custom_metric=lossd.trees.xgboost_metric(client, **options),
        evals=[(seen, "seen")],
        evals_result=losses,
        verbose_eval=False,
    )
    return Trained(model.predict(seen, output_margin=True), losses["seen"]["lossd"][-1])


def train_lightgbm(
    data: Data, client: lossd.Client | None = None, *, parameters: Any = None, **options: Any
) -> Trained:
    lightgbm = pytest.importorskip("lightgbm")
    objective: Any = "binary"
    if client is not None:
        objective = lossd.trees.lightgbm_objective(client, **options)
    common = {"verbosity": -1, "num_threads": 1, "num_leaves": 15, "deterministic": True}
    own = {"objective": objective, "boost_from_average": False}
    train = lightgbm.Dataset(data.features, data.labels, weight=data.weights, init_score=data.start)
    seen = lightgbm.Dataset(
        data.seen, data.seen_labels, init_score=data.seen_start, reference=train
    )
    losses: dict[str, Any] = {}
    model = lightgbm.train(
        {**common, **own, **(parameters or {})},
        train,
        ROUNDS,
        valid_sets=[seen],
        feval=None if client is None else lossd.trees.lightgbm_metric(client, **options),
        callbacks=[lightgbm.record_evaluation(losses)],
    )
    raw = model.predict(data.seen, raw_score=True)
    if data.seen_start is not None:  # LightGBM's predictions leave it out
        raw = raw + data.seen_start
    return Trained(raw, None if client is None else losses["valid_0"]["lossd"][-1])


def train_catboost(
    data: Data, client: lossd.Client | None = None, *, parameters: Any = None, **options: Any
) -> Trained:
    catboost = pytest.importorskip("catboost")
    settings: dict[str, Any] = {
        "iterations": ROUNDS,
        "depth": 4,
        "learning_rate": 0.1,
        "leaf_estimation_method": "Newton",
        "leaf_estimation_iterations": 1,
        "boosting_type": "Plain",
        "bootstrap_type": "No",
        "random_strength": 0,
        "thread_count": 2,
        "allow_writing_files": False,
        "verbose": 0,
        "loss_function": "Logloss",
    }
    if client is not None:
        settings["loss_function"] = lossd.trees.catboost_objective(client, **options)
        settings["eval_metric"] = lossd.trees.catboost_metric(client, **options)
    elif data.start is None:
        settings["boost_from_average"] = False
    train = catboost.Pool(data.features, data.labels, weight=data.weights, baseline=data.start)
    seen = catboost.Pool(data.seen, data.seen_labels, baseline=data.seen_start)
    with warnings.catch_warnings():  # numba could not compile a call of a server
        warnings.simplefilter("ignore")
        model = catboost.CatBoostClassifier(**settings | (parameters or {}))
        model.fit(train, eval_set=seen, use_best_model=False)
    raw = model.predict(seen, prediction_type="RawFormulaVal")
    losses = model.evals_result_["validation"]
    return Trained(raw, None if client is None else losses["CatBoostMetric"][-1])


def train_sklearn(
    data: Data, client: lossd.Client | None = None, *, parameters: Any = None, **options: Any
) -> Trained:
    ensemble = pytest.importorskip("sklearn.ensemble")
    loss: Any = "log_loss"
    if client is not None:
        loss = lossd.trees.sklearn_loss(client, **options)
    # Early stopping uses the loss itself, beside its derivatives.
    model = ensemble.HistGradientBoostingClassifier(
        loss=loss, max_iter=ROUNDS, early_stopping=True, random_state=1, **(parameters or {})
    )
    model.fit(data.features, data.labels, sample_weight=data.weights)
    raw = model.decision_function(data.seen)
    probability = model.predict_proba(data.seen)[:, 1]
    assert np.allclose(probability, 1 / (1 + np.exp(-raw)))
    return Trained(raw)


def error_of(train: Train) -> type[Exception]:
    """Returns the type of error by which the package says that its training failed."""
    if train is train_xgboost:
        return pytest.importorskip("xgboost.core").XGBoostError  # type: ignore[no-any-return]
    if train is train_lightgbm:
        return pytest.importorskip("lightgbm.basic").LightGBMError  # type: ignore[no-any-return]
    if train is train_catboost:
        return pytest.importorskip("catboost").CatBoostError  # type: ignore[no-any-return]
    return ValueError


PACKAGES = pytest.mark.parametrize(
    "train", [train_xgboost, train_lightgbm, train_catboost, train_sklearn]
)
