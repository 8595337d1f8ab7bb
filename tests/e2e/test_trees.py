"""Gradient boosting through lossd beside the objectives that the packages have themselves.

A test is skipped where its package is not installed; ./dev peers installs all of them.
"""

from __future__ import annotations

import pickle
import signal
import warnings
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import lossd
import lossd.trees
import numpy as np
import pytest
from running_server import RunningServer, running_server

sklearn = pytest.importorskip("sklearn")
datasets = pytest.importorskip("sklearn.datasets")

ROUNDS = 30


@pytest.fixture(scope="module", name="server")
def start_server() -> Iterator[RunningServer]:
    with running_server() as server:
        yield server


@pytest.fixture(scope="module", name="client")
def open_client(server: RunningServer) -> Iterator[lossd.Client]:
    with lossd.Client(server.address) as client:
        yield client


class Data(NamedTuple):
    features: Any
    labels: Any
    weights: Any
    unseen: Any  # features
    unseen_labels: Any


@pytest.fixture(params=["equal rows", "weighted rows"], name="data")
def breast_cancer(request: pytest.FixtureRequest) -> Data:
    """569 rows of 30 features, which come with scikit-learn; every fourth is kept for the end."""
    features, labels = datasets.load_breast_cancer(return_X_y=True)
    known = np.arange(len(labels)) % 4 != 0
    weights = None
    if request.param == "weighted rows":
        weights = np.random.default_rng(3).uniform(0.5, 1.5, known.sum())
    return Data(features[known], labels[known], weights, features[~known], labels[~known])


def logloss(raw: Any, labels: Any) -> float:
    return float(np.mean(np.logaddexp(0, raw) - labels * raw))


# Each returns the raw predictions by the built-in and by the custom objective, and the loss that
# the metric of lossd.trees saw last, or None.


def train_xgboost(client: lossd.Client, data: Data) -> tuple[Any, Any, float | None]:
    xgboost = pytest.importorskip("xgboost")
    train = xgboost.DMatrix(data.features, data.labels, weight=data.weights)
    unseen = xgboost.DMatrix(data.unseen, data.unseen_labels)
    options = {"max_depth": 4, "nthread": 1}
    # The built-in objective's base_score is a probability.
    built_in = xgboost.train(
        {**options, "objective": "binary:logistic", "base_score": 0.5}, train, ROUNDS
    )
    seen: dict[str, Any] = {}
    ours = xgboost.train(
        {**options, "base_score": 0},
        train,
        ROUNDS,
        obj=lossd.trees.xgboost_objective(client),
        custom_metric=lossd.trees.xgboost_metric(client),
        evals=[(unseen, "unseen")],
        evals_result=seen,
        verbose_eval=False,
    )
    raw = [model.predict(unseen, output_margin=True) for model in (built_in, ours)]
    return raw[0], raw[1], seen["unseen"]["lossd"][-1]


def train_lightgbm(client: lossd.Client, data: Data) -> tuple[Any, Any, float | None]:
    lightgbm = pytest.importorskip("lightgbm")
    options = {"verbosity": -1, "num_threads": 1, "num_leaves": 15, "deterministic": True}
    seen: dict[str, Any] = {}
    raw = []
    for objective in (
        {"objective": "binary", "boost_from_average": False},
        {"objective": lossd.trees.lightgbm_objective(client)},
    ):
        train = lightgbm.Dataset(data.features, data.labels, weight=data.weights)
        ours = callable(objective["objective"])
        model = lightgbm.train(
            {**options, **objective},
            train,
            ROUNDS,
            valid_sets=[lightgbm.Dataset(data.unseen, data.unseen_labels, reference=train)],
            feval=lossd.trees.lightgbm_metric(client) if ours else None,
            callbacks=[lightgbm.record_evaluation(seen)],
        )
        raw.append(model.predict(data.unseen, raw_score=True))
    return raw[0], raw[1], seen["valid_0"]["lossd"][-1]


def train_catboost(client: lossd.Client, data: Data) -> tuple[Any, Any, float | None]:
    catboost = pytest.importorskip("catboost")
    options = {
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
    }
    raw = []
    for objective in (
        {"loss_function": "Logloss", "boost_from_average": False},
        {
            "loss_function": lossd.trees.catboost_objective(client),
            "eval_metric": lossd.trees.catboost_metric(client),
        },
    ):
        with warnings.catch_warnings():  # numba could not compile a call of a server
            warnings.simplefilter("ignore")
            model = catboost.CatBoostClassifier(**options, **objective)
            model.fit(
                data.features,
                data.labels,
                sample_weight=data.weights,
                eval_set=(data.unseen, data.unseen_labels),
                use_best_model=False,
            )
        raw.append(model.predict(data.unseen, prediction_type="RawFormulaVal"))
    return raw[0], raw[1], model.evals_result_["validation"]["CatBoostMetric"][-1]


def train_sklearn(client: lossd.Client, data: Data) -> tuple[Any, Any, float | None]:
    ensemble = pytest.importorskip("sklearn.ensemble")
    raw = []
    for loss in ("log_loss", lossd.trees.sklearn_loss(client)):
        # Early stopping uses the loss itself, beside its derivatives.
        model = ensemble.HistGradientBoostingClassifier(
            loss=loss, max_iter=ROUNDS, early_stopping=True, random_state=1
        )
        model.fit(data.features, data.labels, sample_weight=data.weights)
        raw.append(model.decision_function(data.unseen))
        probability = model.predict_proba(data.unseen)[:, 1]
        assert np.allclose(probability, 1 / (1 + np.exp(-raw[-1])))
    return raw[0], raw[1], None


@pytest.mark.parametrize("train", [train_xgboost, train_lightgbm, train_catboost, train_sklearn])
def test_training_ends_where_the_built_in_objective_ends(
    client: lossd.Client, data: Data, train: Callable[..., Any]
) -> None:
    built_in, ours, metric = train(client, data)
    expected = logloss(built_in, data.unseen_labels)
    assert expected < 0.3  # it has learned
    assert logloss(ours, data.unseen_labels) == pytest.approx(expected, abs=1e-6)
    if metric is not None:
        assert metric == pytest.approx(expected, abs=1e-6)


def test_training_goes_on_where_the_gradient_of_xgboost_is_0(client: lossd.Client) -> None:
    xgboost = pytest.importorskip("xgboost")
    features, labels = datasets.load_breast_cancer(return_X_y=True)
    # An earlier model is sure and right about every row. In float32, 1 - s(20) is 0.
    margins = np.where(labels == 1, 20.0, -20.0)
    # The weights lift what is left to learn above the least gain of a split, 1e-6.
    train = xgboost.DMatrix(features, labels, base_margin=margins, weight=np.full(len(labels), 1e9))
    options = {"max_depth": 4, "nthread": 1, "lambda": 0, "min_child_weight": 0}
    models = (
        xgboost.train({**options, "objective": "binary:logistic"}, train, 5),
        xgboost.train(options, train, 5, obj=lossd.trees.xgboost_objective(client)),
    )
    positive = labels == 1
    before = logloss(margins[positive], 1)
    built_in, ours = (
        logloss(model.predict(train, output_margin=True)[positive].astype(float), 1)
        for model in models
    )
    assert built_in >= before
    assert ours < before / 2


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


def objectives(client: lossd.Client, **options: Any) -> list[tuple[Callable[..., Any], type]]:
    """Returns (labels, raw predictions) -> derivatives of each package here, with its error."""
    found: list[tuple[Callable[..., Any], type]] = []
    loss = lossd.trees.sklearn_loss(client, **options)
    found.append((loss.gradient_hessian, ValueError))
    for name, module, error in (
        ("xgboost_objective", "xgboost.core", "XGBoostError"),
        ("lightgbm_objective", "lightgbm.basic", "LightGBMError"),
    ):
        package = pytest.importorskip(module)
        found.append((getattr(lossd.trees, name)(client, **options), getattr(package, error)))
    return found


def test_derivatives_are_those_of_the_weighted_sum(client: lossd.Client) -> None:
    random = np.random.default_rng(4)
    raw, labels, weights = random.normal(0, 9, 999), random.random(999), random.random(999)
    p, rest = 1 / (1 + np.exp(-raw)), 1 / (1 + np.exp(raw))
    for objective, _ in objectives(client):
        gradient, second = objective(labels, raw, weights)
        np.testing.assert_allclose(gradient, weights * (p - labels), rtol=1e-9)
        np.testing.assert_allclose(second, weights * p * rest, rtol=1e-12)


def test_a_loss_that_curves_downwards_gets_the_least_second_derivative(
    client: lossd.Client,
) -> None:
    raw, labels = np.linspace(-6, 6, 99), np.ones(99)
    for objective, _ in objectives(
        client, kind="sigmoid_focal", focal_gamma=2, minimum_hessian=1e-3
    ):
        _, second = objective(labels, raw)
        assert second.min() == 1e-3
        assert second.max() > 1e-3


@pytest.mark.parametrize(
    ("labels", "raw", "text"),
    [
        (np.ones(3), np.zeros(4), r"labels: have shape \(3,\), and the raw predictions \(4,\)"),
        (np.ones((2, 4)), np.zeros((4, 2)), r"labels: have shape \(2, 4\)"),
        (np.array([0, 1, 2.0]), np.zeros(3), "targets.*2"),
        (np.ones(3), np.array([0, np.nan, 0]), "logits.*NaN"),
        (np.ones(2), np.array(["a", "b"]), "logits: "),
    ],
)
def test_bad_data_is_an_error_of_the_package(
    client: lossd.Client, labels: Any, raw: Any, text: str
) -> None:
    for objective, error in objectives(client):
        with pytest.raises(error, match=f"lossd: .*{text}"):
            objective(labels, raw)


def test_weights_of_other_rows_are_an_error_of_the_package(client: lossd.Client) -> None:
    for objective, error in objectives(client):
        with pytest.raises(error, match=r"lossd: weights: have shape \(2,\), and there are 3 rows"):
            objective(np.ones(3), np.zeros(3), np.ones(2))


def test_a_server_that_goes_away_ends_the_training_with_an_error_of_the_package() -> None:
    xgboost = pytest.importorskip("xgboost")
    lightgbm = pytest.importorskip("lightgbm")
    features, labels = datasets.load_breast_cancer(return_X_y=True)
    with running_server() as server, lossd.Client(server.address) as client:
        stop = stopping_after(server, 3)
        data = xgboost.DMatrix(features, labels)
        with pytest.raises(xgboost.core.XGBoostError, match="lossd: UNAVAILABLE") as raised:
            xgboost.train({"nthread": 1}, data, 9, obj=stop(lossd.trees.xgboost_objective(client)))
        assert isinstance(raised.value.__cause__, lossd.LossdError)
        objective = lossd.trees.lightgbm_objective(client)
        with pytest.raises(lightgbm.basic.LightGBMError, match="lossd: UNAVAILABLE"):
            lightgbm.train(
                {"verbosity": -1, "objective": objective}, lightgbm.Dataset(features, labels), 9
            )


def test_an_error_passes_through_catboost(client: lossd.Client) -> None:
    catboost = pytest.importorskip("catboost")
    features, labels = datasets.load_breast_cancer(return_X_y=True)
    model = catboost.CatBoostRegressor(
        iterations=3,
        loss_function=lossd.trees.catboost_objective(client),
        eval_metric=lossd.trees.catboost_metric(client),
        allow_writing_files=False,
        verbose=0,
    )
    with pytest.raises(catboost.CatBoostError, match="lossd: INVALID_ARGUMENT: targets"):
        model.fit(features, labels + 1.0)


def stopping_after(server: RunningServer, calls: int) -> Callable[[Any], Any]:
    """Returns a wrapper of an objective that ends the server after so many of its calls."""

    def wrap(objective: Any) -> Any:
        count = 0

        def call(raw: Any, data: Any) -> Any:
            nonlocal count
            if count == calls:
                server.process.send_signal(signal.SIGKILL)
                server.process.wait()
            count += 1
            return objective(raw, data)

        return call

    return wrap


@pytest.mark.parametrize(
    ("options", "text"),
    [
        ({"reduction": "mean"}, "reduction: the package that grows the trees decides it"),
        ({"weights": [1.0]}, "weights: the package"),
        ({"focal_gama": 2}, "focal_gama: .* is it focal_gamma"),
        ({"minimum_hessian": "0"}, "minimum_hessian: '0' is not a number"),
        ({"timeout": 0}, "timeout: 0 seconds"),
    ],
)
def test_a_bad_option_is_named_before_the_training(
    client: lossd.Client, options: dict[str, Any], text: str
) -> None:
    pytest.importorskip("xgboost")
    with pytest.raises((TypeError, ValueError), match=f"^{text}"):
        lossd.trees.xgboost_objective(client, **options)
