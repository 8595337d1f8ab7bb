"""Parameters of the packages beside an objective of lossd: which work, and which have no effect.

client/python/README.md has the table of them, and what the models' predict() returns.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from typing import Any

import lossd
import lossd.trees
import numpy as np
import pytest
from running_server import running_server

datasets = pytest.importorskip("sklearn.datasets")

FEATURES, LABELS = datasets.load_breast_cancer(return_X_y=True)
MEAN = float(LABELS.mean())
KEPT = {"objective": "binary:logistic", "max_depth": 4, "nthread": 1}
WEIGHTS = np.random.default_rng(1).uniform(0.5, 1.5, len(LABELS))


@pytest.fixture(scope="module", name="client")
def open_client() -> Iterator[lossd.Client]:
    with running_server() as server, lossd.Client(server.address) as client:
        yield client


def probability(raw: Any) -> Any:
    return 1 / (1 + np.exp(-np.asarray(raw, np.float64)))


def xgboost_model(parameters: Any, weights: Any = None, rounds: int = 10, **how: Any) -> Any:
    xgboost = pytest.importorskip("xgboost")
    return xgboost.train(
        parameters, xgboost.DMatrix(FEATURES, LABELS, weight=weights), rounds, **how
    )


def xgboost_predictions(model: Any, **how: Any) -> Any:
    xgboost = pytest.importorskip("xgboost")
    return model.predict(xgboost.DMatrix(FEATURES), **how)


@pytest.mark.parametrize("start", [{}, {"base_score": 0.5}])
def test_xgboost_keeps_its_objective_and_its_probabilities(
    client: lossd.Client, start: Any
) -> None:
    built_in = xgboost_model({**KEPT, "base_score": 0.5})
    ours = xgboost_model({**KEPT, **start}, obj=lossd.trees.xgboost_objective(client))
    expected = xgboost_predictions(built_in)
    assert 0 < expected.min() < 0.1 < 0.9 < expected.max() < 1
    np.testing.assert_allclose(xgboost_predictions(ours), expected, rtol=1e-5)


@pytest.mark.parametrize("weights", [None, WEIGHTS])
def test_the_mean_of_labels_as_base_score_starts_where_xgboost_starts(
    client: lossd.Client, weights: Any
) -> None:
    xgboost = pytest.importorskip("xgboost")
    if tuple(map(int, xgboost.__version__.split(".")[:2])) < (3, 2):
        pytest.skip("earlier versions start at the first step of a tree of one leaf")
    mean = float(np.average(LABELS, weights=weights))
    ours = xgboost_model(
        {**KEPT, "base_score": mean}, weights, obj=lossd.trees.xgboost_objective(client)
    )
    expected = xgboost_predictions(xgboost_model(KEPT, weights))
    np.testing.assert_allclose(xgboost_predictions(ours), expected, rtol=1e-5)
    from_half = xgboost_predictions(xgboost_model({**KEPT, "base_score": 0.5}, weights))
    assert np.abs(from_half - expected).max() > 0.01


def test_xgboost_without_an_objective_predicts_raw_values(client: lossd.Client) -> None:
    parameters = {"max_depth": 4, "nthread": 1, "base_score": 0}
    ours = xgboost_model(parameters, obj=lossd.trees.xgboost_objective(client))
    raw = xgboost_predictions(ours)
    np.testing.assert_array_equal(raw, xgboost_predictions(ours, output_margin=True))
    expected = xgboost_predictions(xgboost_model({**KEPT, "base_score": 0.5}))
    np.testing.assert_allclose(probability(raw), expected, rtol=1e-5)
    starts = []

    def spy(raw: Any, _: Any) -> Any:
        starts.append(set(raw.tolist()))
        return np.zeros_like(raw), np.zeros_like(raw)

    xgboost_model({}, rounds=1, obj=spy)
    assert starts == [{0.5}]


def test_xgbclassifier_stops_early_by_its_own_logloss(client: lossd.Client) -> None:
    xgboost = pytest.importorskip("xgboost")
    seen, held_out = np.arange(len(LABELS)) % 4 != 0, np.arange(len(LABELS)) % 4 == 0
    common = {"n_estimators": 300, "n_jobs": 1, "early_stopping_rounds": 5, "base_score": 0.5}
    fitted = []
    for objective in ("binary:logistic", lossd.trees.xgboost_objective(client)):
        model = xgboost.XGBClassifier(**common, eval_metric="logloss", objective=objective)
        model.fit(
            FEATURES[seen],
            LABELS[seen],
            eval_set=[(FEATURES[held_out], LABELS[held_out])],
            verbose=False,
        )
        fitted.append(model)
    built_in, ours = fitted
    assert 5 < ours.best_iteration < 290
    assert ours.best_iteration == built_in.best_iteration
    assert ours.best_score == pytest.approx(built_in.best_score, abs=1e-5)
    found, expected = (model.predict_proba(FEATURES) for model in (ours, built_in))
    np.testing.assert_allclose(found, expected, atol=1e-4)
    np.testing.assert_array_equal(ours.predict(FEATURES), built_in.predict(FEATURES))


def test_xgboost_stops_early_by_the_metric_of_lossd(client: lossd.Client) -> None:
    xgboost = pytest.importorskip("xgboost")
    held_out = np.arange(len(LABELS)) % 4 == 0
    rows = xgboost.DMatrix(FEATURES[~held_out], LABELS[~held_out])
    evals = [(xgboost.DMatrix(FEATURES[held_out], LABELS[held_out]), "held_out")]
    parameters = {**KEPT, "base_score": 0.5, "eval_metric": "logloss"}
    how = {"evals": evals, "early_stopping_rounds": 5, "verbose_eval": False}
    built_in = xgboost.train(parameters, rows, 300, **how)
    losses: dict[str, Any] = {}
    ours = xgboost.train(
        parameters,
        rows,
        300,
        obj=lossd.trees.xgboost_objective(client),
        custom_metric=lossd.trees.xgboost_metric(client),
        evals_result=losses,
        **how,
    )
    assert ours.best_iteration == built_in.best_iteration
    found = losses["held_out"]
    np.testing.assert_allclose(found["logloss"], found["lossd"], atol=1e-5)


def clamped(client: lossd.Client, score: int, labels: Any, objective: Any = None) -> Any:
    """Trains with a base_score that XGBoost 3.2 clamps; earlier versions refuse it."""
    xgboost = pytest.importorskip("xgboost")
    objective = objective or lossd.trees.xgboost_objective(client)
    data = xgboost.DMatrix(np.arange(len(labels), dtype=float).reshape(-1, 1), labels)
    try:
        xgboost.train({**KEPT, "base_score": score}, data, 3, obj=objective)
    except xgboost.core.XGBoostError as error:
        pytest.skip(str(error).splitlines()[0])


@pytest.mark.parametrize("score", [0, 1])
def test_a_base_score_that_xgboost_clamps_is_told_once(client: lossd.Client, score: int) -> None:
    with pytest.warns(RuntimeWarning, match=f"^lossd: every raw .* base_score={score} as") as told:
        clamped(client, score, LABELS)
    assert len([one for one in told if "lossd" in str(one.message)]) == 1


def test_honest_starts_are_told_nothing(client: lossd.Client) -> None:
    xgboost = pytest.importorskip("xgboost")
    objective = lossd.trees.xgboost_objective(client)
    rare = (np.arange(20000) == 7).astype(float)
    with warnings.catch_warnings():
        warnings.simplefilter("error", RuntimeWarning)
        for start in (0.5, MEAN, 2e-6, 1 - 2e-6):
            xgboost_model({**KEPT, "base_score": start}, obj=objective)
        for start in (0, -13.8, -13.9, -20):
            xgboost_model({"nthread": 1, "base_score": start}, obj=objective)
        clamped(client, 0, rare, objective)  # the labels' mean is 5e-5
        objective(LABELS, np.where(LABELS == 1, -13.81551, -13.5).astype(np.float32))
        nobody = xgboost.DMatrix(np.empty((0, 2)), np.empty(0))
        assert len(objective(np.empty(0, np.float32), nobody)[0]) == 0


def test_pos_weight_is_the_scale_pos_weight_of_xgboost(client: lossd.Client) -> None:
    kept = {**KEPT, "base_score": 0.5}
    scaled = {**kept, "scale_pos_weight": 3.0}
    expected = xgboost_predictions(xgboost_model(scaled))
    objective = lossd.trees.xgboost_objective(client, pos_weight=3.0)
    np.testing.assert_allclose(
        xgboost_predictions(xgboost_model(kept, obj=objective)), expected, rtol=1e-5
    )
    plain = lossd.trees.xgboost_objective(client)
    without_effect = xgboost_predictions(xgboost_model(scaled, obj=plain))
    np.testing.assert_array_equal(
        without_effect, xgboost_predictions(xgboost_model(kept, obj=plain))
    )


def lightgbm_model(objective: Any, labels: Any = LABELS, **parameters: Any) -> Any:
    lightgbm = pytest.importorskip("lightgbm")
    common = {"verbosity": -1, "num_threads": 1, "boost_from_average": False}
    return lightgbm.train(
        {**common, "objective": objective, **parameters}, lightgbm.Dataset(FEATURES, labels), 10
    )


@pytest.mark.parametrize(
    "parameters",
    [{"scale_pos_weight": 3.0}, {"is_unbalance": True}, {"unbalance": "true"}, {"sigmoid": 2.0}],
)
def test_lightgbm_parameters_without_an_effect_are_named(
    client: lossd.Client, parameters: dict[str, Any]
) -> None:
    lightgbm = pytest.importorskip("lightgbm")
    (name,) = parameters
    text = f"lossd: {name}: .* has no effect with a custom objective"
    objective = lossd.trees.lightgbm_objective(client)
    with pytest.raises(lightgbm.basic.LightGBMError, match=text):
        lightgbm_model(objective, **parameters)
    neutral = {"scale_pos_weight": 1, "is_unbalance": False, "sigmoid": 1.0}
    lightgbm_model(objective, **neutral)


def test_pos_weight_is_the_scale_pos_weight_and_the_balance_of_lightgbm(
    client: lossd.Client,
) -> None:
    pytest.importorskip("lightgbm")
    labels = 1 - LABELS  # LightGBM balances by the rarer class, which the ones are then
    zeros, ones = np.bincount(labels)
    for weight, parameters in (
        (3.0, {"scale_pos_weight": 3.0}),
        (zeros / ones, {"is_unbalance": True}),
    ):
        expected = lightgbm_model("binary", labels, **parameters).predict(FEATURES, raw_score=True)
        ours = lightgbm_model(lossd.trees.lightgbm_objective(client, pos_weight=weight), labels)
        np.testing.assert_allclose(ours.predict(FEATURES), expected, atol=1e-6)


def test_lgbmclassifier_hides_its_parameters_and_applies_class_weight(client: lossd.Client) -> None:
    lightgbm = pytest.importorskip("lightgbm")
    objective = lossd.trees.lightgbm_objective(client)

    def raw(**parameters: Any) -> Any:
        common = {"n_estimators": 5, "n_jobs": 1, "verbosity": -1, "boost_from_average": False}
        model = lightgbm.LGBMClassifier(**common, **parameters).fit(FEATURES, LABELS)
        return model.predict(FEATURES, raw_score=True)

    plain = raw(objective=objective)
    np.testing.assert_array_equal(raw(objective=objective, scale_pos_weight=3.0), plain)
    weighted = raw(objective=objective, class_weight="balanced")
    np.testing.assert_allclose(weighted, raw(class_weight="balanced"), atol=1e-6)
    assert np.abs(weighted - plain).max() > 0.1
    model = lightgbm.LGBMClassifier(n_estimators=5, verbosity=-1, objective=objective)
    model.fit(FEATURES, LABELS)
    np.testing.assert_array_equal(model.predict_proba(FEATURES), model.predict(FEATURES))


def test_lightgbm_shows_parameters_of_cv_and_hides_those_of_a_booster(client: lossd.Client) -> None:
    lightgbm = pytest.importorskip("lightgbm")
    objective = lossd.trees.lightgbm_objective(client)
    parameters = {"verbosity": -1, "num_threads": 1, "scale_pos_weight": 3.0, "metric": "auc"}
    with pytest.raises(lightgbm.basic.LightGBMError, match="lossd: scale_pos_weight: 3.0 has no"):
        lightgbm.cv({**parameters, "objective": objective}, lightgbm.Dataset(FEATURES, LABELS), 2)
    booster = lightgbm.Booster(
        {**parameters, "objective": "none"}, lightgbm.Dataset(FEATURES, LABELS)
    )
    booster.update(fobj=objective)
    plain = lightgbm_model(objective)
    np.testing.assert_allclose(
        booster.predict(FEATURES), plain.predict(FEATURES, num_iteration=1), atol=1e-9
    )
    averaged = lightgbm_model(objective, boost_from_average=True)
    np.testing.assert_array_equal(averaged.predict(FEATURES), plain.predict(FEATURES))


def test_lightgbm_predicts_raw_values_and_a_line_of_its_model_makes_probabilities(
    client: lossd.Client,
) -> None:
    lightgbm = pytest.importorskip("lightgbm")
    model = lightgbm_model(lossd.trees.lightgbm_objective(client))
    raw = model.predict(FEATURES)
    assert raw.shape == LABELS.shape
    np.testing.assert_array_equal(raw, model.predict(FEATURES, raw_score=True))
    expected = lightgbm_model("binary").predict(FEATURES)
    np.testing.assert_allclose(probability(raw), expected, atol=1e-6)
    text = model.model_to_string()
    text = text.replace("\nfeature_names=", "\nobjective=binary sigmoid:1\nfeature_names=", 1)
    found = lightgbm.Booster(model_str=text).predict(FEATURES)
    np.testing.assert_allclose(found, expected, atol=1e-6)


def catboost_model(client: lossd.Client | None, weights: Any = None, **parameters: Any) -> Any:
    catboost = pytest.importorskip("catboost")
    settings: dict[str, Any] = {
        "iterations": 10,
        "depth": 4,
        "learning_rate": 0.1,
        "leaf_estimation_method": "Newton",
        "leaf_estimation_iterations": 1,
        "boosting_type": "Plain",
        "bootstrap_type": "No",
        "random_strength": 0,
        "thread_count": 1,
        "allow_writing_files": False,
        "verbose": 0,
    }
    if client is None:
        settings |= {"loss_function": "Logloss", "boost_from_average": False}
    else:
        settings["loss_function"] = lossd.trees.catboost_objective(client)
        settings["eval_metric"] = lossd.trees.catboost_metric(client)
    with warnings.catch_warnings():  # numba could not compile a call of a server
        warnings.simplefilter("ignore")
        model = catboost.CatBoostClassifier(**settings, **parameters)
        return model.fit(FEATURES, LABELS, sample_weight=weights)


def catboost_raw(model: Any) -> Any:
    return model.predict(FEATURES, prediction_type="RawFormulaVal")


def test_catboost_needs_class_names_to_predict_classes(client: lossd.Client) -> None:
    named, built_in = catboost_model(client, class_names=[0, 1]), catboost_model(None)
    np.testing.assert_array_equal(named.predict(FEATURES), built_in.predict(FEATURES))
    expected = built_in.predict_proba(FEATURES)
    nameless = catboost_model(client)
    for model in (named, nameless):
        np.testing.assert_allclose(model.predict_proba(FEATURES), expected, atol=1e-9)
    with pytest.raises(IndexError):
        nameless.predict(FEATURES)


@pytest.mark.parametrize("balance", [{"class_weights": [1, 3]}, {"auto_class_weights": "Balanced"}])
def test_catboost_applies_class_weights_if_it_knows_the_classes(
    client: lossd.Client, balance: dict[str, Any]
) -> None:
    expected = catboost_raw(catboost_model(None, **balance))
    found = catboost_raw(catboost_model(client, class_names=[0, 1], **balance))
    np.testing.assert_allclose(found, expected, atol=1e-9)
    nameless, plain = catboost_model(client, **balance), catboost_model(client)
    np.testing.assert_array_equal(catboost_raw(nameless), catboost_raw(plain))


def test_catboost_refuses_scale_pos_weight_and_weights_of_rows_are_the_same(
    client: lossd.Client,
) -> None:
    catboost = pytest.importorskip("catboost")
    with pytest.raises(catboost.CatBoostError, match="scale_pos_weight is supported only"):
        catboost_model(client, class_names=[0, 1], scale_pos_weight=3.0)
    expected = catboost_raw(catboost_model(None, scale_pos_weight=3.0))
    found = catboost_raw(catboost_model(client, np.where(LABELS == 1, 3.0, 1.0)))
    np.testing.assert_allclose(found, expected, atol=1e-9)


@pytest.mark.parametrize("balance", ["balanced", {0: 1, 1: 3}])
def test_scikit_learn_applies_class_weight_and_predicts_probabilities(
    client: lossd.Client, balance: Any
) -> None:
    ensemble = pytest.importorskip("sklearn.ensemble")
    found, expected, plain = (
        ensemble.HistGradientBoostingClassifier(
            loss=loss, max_iter=10, early_stopping=False, class_weight=weight
        )
        .fit(FEATURES, LABELS)
        .predict_proba(FEATURES)
        for loss, weight in (
            (lossd.trees.sklearn_loss(client), balance),
            ("log_loss", balance),
            ("log_loss", None),
        )
    )
    np.testing.assert_allclose(found, expected, atol=1e-6)
    assert np.abs(plain - expected).max() > 0.01
