"""Gradient boosting through lossd beside the objectives that the packages have themselves."""

from __future__ import annotations

import copy
import pickle
import sys
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import grpc
import lossd
import lossd.trees
import numpy as np
import pytest
from running_server import RunningServer, running_server
from tree_packages import (
    PACKAGES,
    Data,
    Train,
    logloss,
    train_catboost,
    train_lightgbm,
    train_sklearn,
    train_xgboost,
)

sklearn = pytest.importorskip("sklearn")
datasets = pytest.importorskip("sklearn.datasets")


@pytest.fixture(scope="module", name="server")
def start_server() -> Iterator[RunningServer]:
    with running_server() as server:
        yield server


@pytest.fixture(scope="module", name="client")
def open_client(server: RunningServer) -> Iterator[lossd.Client]:
    with lossd.Client(server.address) as client:
        yield client


@pytest.fixture(params=["equal rows", "weighted rows"], name="data")
def breast_cancer(request: pytest.FixtureRequest) -> Data:
    """569 rows of 30 features, which come with scikit-learn; every fourth is kept for the end."""
    features, labels = datasets.load_breast_cancer(return_X_y=True)
    known = np.arange(len(labels)) % 4 != 0
    weights = None
    if request.param == "weighted rows":
        weights = np.random.default_rng(3).uniform(0.5, 1.5, known.sum())
        weights[::9] = 0  # these rows do not count
    return Data(features[known], labels[known], weights, features[~known], labels[~known])


@PACKAGES
def test_training_ends_where_the_built_in_objective_ends(
    client: lossd.Client, data: Data, train: Train
) -> None:
    built_in, ours = train(data), train(data, client)
    expected = logloss(built_in.raw, data.seen_labels)
    assert expected < 0.3  # it has learned
    assert logloss(ours.raw, data.seen_labels) == pytest.approx(expected, abs=1e-6)
    if train is not train_sklearn:
        assert ours.metric == pytest.approx(expected, abs=1e-6)


@pytest.mark.parametrize("train", [train_xgboost, train_lightgbm, train_catboost])
def test_training_starts_at_the_raw_predictions_of_the_data(
    client: lossd.Client, data: Data, train: Train
) -> None:
    random = np.random.default_rng(12)
    start, seen_start = random.normal(size=len(data.labels)), random.normal(size=len(data.seen))
    data = replace(data, start=start, seen_start=seen_start)
    built_in, ours = train(data), train(data, client)
    expected = logloss(built_in.raw, data.seen_labels)
    assert logloss(ours.raw, data.seen_labels) == pytest.approx(expected, abs=1e-6)
    assert ours.metric == pytest.approx(expected, abs=1e-6)
    from_zero = train(replace(data, start=None, seen_start=None), client)
    assert np.abs(from_zero.raw - ours.raw).max() > 0.1


def test_without_an_objective_a_base_score_of_xgboost_is_a_raw_prediction(
    client: lossd.Client,
) -> None:
    xgboost = pytest.importorskip("xgboost")
    features, labels = datasets.load_breast_cancer(return_X_y=True)
    train = xgboost.DMatrix(features, labels)
    margins = xgboost.DMatrix(features, labels, base_margin=np.full(len(labels), 0.7))
    objective = lossd.trees.xgboost_objective(client)
    options = {"nthread": 1}
    by_score = xgboost.train({**options, "base_score": 0.7}, train, 5, obj=objective)
    by_margin = xgboost.train(options, margins, 5, obj=objective)
    np.testing.assert_allclose(
        by_score.predict(train, output_margin=True),
        by_margin.predict(margins, output_margin=True),
        atol=1e-6,
    )


def test_every_output_of_xgboost_has_labels_of_its_own(client: lossd.Client) -> None:
    xgboost = pytest.importorskip("xgboost")
    features, digits = datasets.load_digits(return_X_y=True)
    labels = np.stack([digits % 2 == 0, digits > 4, digits == 8], axis=1).astype(float)
    weights = np.random.default_rng(2).uniform(0.5, 1.5, len(digits))
    train = xgboost.DMatrix(features, labels, weight=weights)
    common = {"objective": "binary:logistic", "base_score": 0.5, "max_depth": 4, "nthread": 1}
    for strategy in ("one_output_per_tree", "multi_output_tree"):
        options = {**common, "multi_strategy": strategy}
        models = (
            xgboost.train(options, train, 5),
            xgboost.train(options, train, 5, obj=lossd.trees.xgboost_objective(client)),
        )
        built_in, ours = (model.predict(train, output_margin=True) for model in models)
        assert logloss(built_in, labels) < 0.5  # it has learned
        assert logloss(ours, labels) == pytest.approx(logloss(built_in, labels), abs=1e-6)


def test_estimators_pass_weights(client: lossd.Client) -> None:
    xgboost = pytest.importorskip("xgboost")
    lightgbm = pytest.importorskip("lightgbm")
    features, labels = datasets.load_breast_cancer(return_X_y=True)
    weights = np.random.default_rng(8).uniform(0, 3, len(labels))
    common = {"n_estimators": 5, "n_jobs": 1}
    pairs = (
        (
            xgboost.XGBClassifier(**common, base_score=0.5),
            xgboost.XGBClassifier(
                **common, base_score=0.5, objective=lossd.trees.xgboost_objective(client)
            ),
            "output_margin",
        ),
        (
            lightgbm.LGBMClassifier(**common, verbosity=-1, boost_from_average=False),
            lightgbm.LGBMClassifier(
                **common, verbosity=-1, objective=lossd.trees.lightgbm_objective(client)
            ),
            "raw_score",
        ),
    )
    for built_in, ours, raw in pairs:
        models = [
            sklearn.base.clone(model).fit(features, labels, sample_weight=weights)
            for model in (built_in, ours)
        ]
        expected, found = (model.predict(features, **{raw: True}) for model in models)
        np.testing.assert_allclose(found, expected, atol=1e-5)
        unweighted = sklearn.base.clone(ours).fit(features, labels)
        assert np.abs(unweighted.predict(features, **{raw: True}) - expected).max() > 1e-3


def test_the_loss_of_scikit_learn_can_be_pickled(client: lossd.Client) -> None:
    loss = pickle.loads(pickle.dumps(lossd.trees.sklearn_loss(client)))
    assert loss(np.zeros(4), np.zeros(4)) == pytest.approx(np.log(2))


def test_losses_of_a_target_share_a_client(server: RunningServer) -> None:
    loss, other = (lossd.trees.sklearn_loss(server.address) for _ in range(2))
    copied = pickle.loads(pickle.dumps(loss))
    assert loss(np.zeros(4), np.zeros(4)) == pytest.approx(np.log(2))
    assert loss._lossd._client is other._lossd._client
    assert loss._lossd._client is copied._lossd._client


@pytest.mark.parametrize(
    ("make", "package"),
    [
        ("xgboost_objective", "xgboost"),
        ("xgboost_metric", "xgboost"),
        ("lightgbm_objective", "lightgbm"),
        ("lightgbm_metric", "lightgbm"),
        ("catboost_objective", "catboost"),
        ("catboost_metric", "catboost"),
        ("sklearn_loss", "sklearn"),
    ],
)
def test_a_package_that_is_missing_is_named(
    monkeypatch: pytest.MonkeyPatch, client: lossd.Client, make: str, package: str
) -> None:
    for name in [name for name in sys.modules if name.partition(".")[0] == package]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, package, None)
    text = r"^lossd.trees needs \S+: pip install './client/python\[trees\]'$"
    with pytest.raises(ModuleNotFoundError, match=text) as raised:
        getattr(lossd.trees, make)(client)
    assert raised.value.name == package


def test_a_copied_loss_has_the_client_of_the_first() -> None:
    """CatBoost and scikit-learn's clone() copy every parameter, also one that cannot be pickled."""
    credentials = grpc.ssl_channel_credentials()
    with lossd.Client("localhost:1", credentials=credentials) as client:
        loss = lossd.trees.sklearn_loss(client)
        copied = sklearn.base.clone(sklearn.ensemble.HistGradientBoostingClassifier(loss=loss)).loss
        assert copied._lossd._client is client
        assert copy.deepcopy(copied)._lossd._client is client


def objectives(client: lossd.Client, **options: Any) -> list[Callable[..., Any]]:
    """Returns (labels, raw predictions, weights) -> derivatives of each package that is here."""
    found: list[Callable[..., Any]] = []
    found.append(lossd.trees.sklearn_loss(client, **options).gradient_hessian)
    for name, module in (("xgboost_objective", "xgboost"), ("lightgbm_objective", "lightgbm")):
        pytest.importorskip(module)
        found.append(getattr(lossd.trees, name)(client, **options))
    return found


def test_derivatives_are_those_of_the_weighted_sum(client: lossd.Client) -> None:
    random = np.random.default_rng(4)
    raw, labels, weights = random.normal(0, 9, 999), random.random(999), random.random(999)
    p, rest = 1 / (1 + np.exp(-raw)), 1 / (1 + np.exp(raw))
    for objective in objectives(client):
        gradient, second = objective(labels, raw, weights)
        np.testing.assert_allclose(gradient, weights * (p - labels), rtol=1e-9)
        np.testing.assert_allclose(second, weights * p * rest, rtol=1e-12)


def test_a_loss_that_curves_downwards_gets_the_least_second_derivative(
    client: lossd.Client,
) -> None:
    raw, labels = np.linspace(-6, 6, 99), np.ones(99)
    for objective in objectives(client, kind="sigmoid_focal", focal_gamma=2, minimum_hessian=1e-3):
        _, second = objective(labels, raw)
        assert second.min() == 1e-3
        assert second.max() > 1e-3


def test_ignored_labels_have_no_derivatives_and_no_part_in_the_metric(
    client: lossd.Client,
) -> None:
    pytest.importorskip("xgboost")
    random = np.random.default_rng(5)
    raw, labels, weights = random.normal(size=99), random.random(99), random.random(99)
    known = np.arange(99) % 3 != 0
    marked = np.where(known, labels, -1)
    objective = lossd.trees.xgboost_objective(client, ignore_target=-1)
    metric = lossd.trees.xgboost_metric(client, ignore_target=-1)
    for given in (weights, None):
        some = None if given is None else given[known]
        all_rows = objective(marked, raw, given)
        for found, expected in zip(
            all_rows, objective(labels[known], raw[known], some), strict=True
        ):
            np.testing.assert_array_equal(found[known], expected)
            assert not found[~known].any()
        assert metric(marked, raw, given) == pytest.approx(
            metric(labels[known], raw[known], some), rel=1e-12
        )
