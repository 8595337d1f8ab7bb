"""Boosting goes on where the derivatives of a package's own objective have vanished.

An earlier model is sure of every row, so that its raw predictions lie far from 0. The derivatives
are held against exact ones too, which the decimal module computes.
"""

from __future__ import annotations

from collections.abc import Iterator
from decimal import Decimal, localcontext
from typing import Any

import lossd
import lossd.trees
import numpy as np
import pytest
from running_server import running_server
from test_trees import objectives
from tree_packages import Data, Train, logloss, train_catboost, train_lightgbm, train_xgboost

datasets = pytest.importorskip("sklearn.datasets")


@pytest.fixture(scope="module", name="client")
def open_client() -> Iterator[lossd.Client]:
    with running_server() as server, lossd.Client(server.address) as client:
        yield client


def after_a_sure_model(right: float, weight: float) -> Data:
    """Returns rows whose raw predictions start at `right`, which is below 0 if all are wrong.

    Packages make no split below a least gain, above which `weight` lifts what is left to learn.
    """
    features, labels = datasets.load_breast_cancer(return_X_y=True)
    start = np.where(labels == 1, right, -right)
    weights = np.full(len(labels), weight)
    return Data(features, labels, weights, features, labels, start, start)


@pytest.mark.parametrize(
    ("train", "right", "weight", "parameters", "labels"),
    [
        # In float32, in which XGBoost computes, 1 - s(20) is 0; s(-20) is not.
        (train_xgboost, 20.0, 1e9, {"lambda": 0, "min_child_weight": 0}, [1]),
        # In float64, in which CatBoost computes, 1 - s(40) is 0. It has lost both tails.
        (train_catboost, 40.0, 1e18, {"l2_leaf_reg": 0}, [0, 1]),
    ],
)
def test_training_goes_on_where_the_gradient_of_the_package_is_0(
    client: lossd.Client, train: Train, right: float, weight: float, parameters: Any, labels: Any
) -> None:
    data = after_a_sure_model(right, weight)
    built_in = train(data, parameters=parameters).raw
    ours = train(data, client, parameters=parameters).raw
    for label in labels:
        rows = data.labels == label
        before = logloss(data.start[rows], label)
        assert logloss(built_in[rows], label) >= before
        assert logloss(ours[rows], label) < before / 4


def test_training_goes_on_where_the_second_derivative_of_lightgbm_is_0(
    client: lossd.Client,
) -> None:
    """Its objective `binary` computes s (1 - s), which is 0 where the model is wrong by 40."""
    data = after_a_sure_model(-40.0, 1e9)
    # Without a limit a Newton step is as long as the second derivative is small.
    limits = {"min_sum_hessian_in_leaf": 0, "max_delta_step": 1, "learning_rate": 1}
    built_in = train_lightgbm(data, parameters=limits)
    np.testing.assert_array_equal(built_in.raw, data.start)
    ours = train_lightgbm(data, client, parameters=limits)
    assert logloss(ours.raw, data.labels) < 20
    # LightGBM has a second objective of this loss, which newer versions compute in another way.
    other = train_lightgbm(data, parameters={**limits, "objective": "cross_entropy"})
    assert logloss(ours.raw, data.labels) < logloss(other.raw, data.labels) + 1e-5


@pytest.mark.parametrize("label", [0, 1])
def test_derivatives_are_exact_in_both_tails(client: lossd.Client, label: int) -> None:
    raw = np.concatenate([np.linspace(-700, 700, 141), np.linspace(-40, 40, 81)])
    with localcontext(prec=400):  # 1 - s(700) begins after 304 nines
        exact = []
        for x in map(Decimal, raw):
            p, rest = 1 / (1 + (-x).exp()), 1 / (1 + x.exp())
            exact.append((float(p - label), float(p * rest)))
    gradients, seconds = np.transpose(exact)
    for objective in objectives(client):
        gradient, second = objective(np.full(len(raw), label), raw)
        np.testing.assert_allclose(gradient, gradients, rtol=1e-15)
        np.testing.assert_allclose(second, seconds, rtol=1e-15)
