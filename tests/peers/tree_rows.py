"""The objectives of XGBoost, LightGBM, CatBoost and scikit-learn.

None of the first three shows its derivatives, so each element grows a tree of its own: without
regularization the value of its leaf is minus the gradient, divided by the second derivative.
"""

from __future__ import annotations

import importlib
import json
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
from lossd import recipes

from tests.peers import rows
from tests.peers.rows import Array

# The loss, the gradient and the second derivative of each element; NaN is what cannot be seen.
Derivatives = tuple[Any, Any, Any]
Element = tuple[float, float, float]

SCALE = 3.0
# Whole numbers up to the last whose second derivative float32 holds with all its digits.
MARGINS = np.arange(1, 88, dtype=np.float32)


PARTS = ("loss", "gradient", "second_derivative")


class TreeRow(NamedTuple):
    name: str
    packages: tuple[str, ...]
    options: dict[str, Any]  # what the recipe returns
    targets: Array
    real: Callable[[Array, Array], Derivatives]
    has_tail: bool = True


def ask_lossd(client: Any, row: TreeRow, logits: Array, targets: Array) -> Derivatives:
    result = client.compute_loss(logits, targets, **row.options)
    return result.losses, result.gradient, result.second_derivative


def by_element(
    one: Callable[[float, float, float], Element], weights: Any = None
) -> Callable[[Array, Array], Derivatives]:
    """Returns the real side of a row from a function of a logit, a target and a weight."""

    def real(logits: Array, targets: Array) -> Derivatives:
        given = np.broadcast_to(1.0 if weights is None else weights, logits.shape)
        found = [
            one(float(x), float(t), float(w))
            for x, t, w in zip(logits.ravel(), targets.ravel(), given.ravel(), strict=True)
        ]
        parts = np.array(found).T.reshape(3, *logits.shape)
        return parts[0], parts[1], parts[2]

    return real


def other(target: float) -> float:
    """Returns a target of the other class."""
    return 0.0 if target > 0.25 else 1.0


def xgboost(**options: Any) -> Callable[[float, float, float], Element]:
    """A tree without a split, whose JSON has the leaf and the sum of second derivatives."""

    def one(x: float, t: float, w: float) -> Element:
        package = importlib.import_module("xgboost")
        row = package.DMatrix([[0.0]], label=[t], base_margin=[x], weight=[w])
        settings = {
            "objective": "binary:logistic",
            "learning_rate": 1,
            "reg_lambda": 0,
            "min_child_weight": 0,
            "max_depth": 1,
            "nthread": 1,
            **options,
        }
        model = package.train(settings, row, 1)
        saved = json.loads(bytes(model.save_raw("json")))["learner"]["gradient_booster"]
        tree = saved["model"]["trees"][0]
        second = tree["sum_hessian"][0]
        # Its metric does not see scale_pos_weight, and divides by the weights.
        seen: dict[str, Any] = {}
        package.train(
            {**settings, "learning_rate": 0, "eval_metric": "logloss"},
            row,
            1,
            evals=[(row, "row")],
            evals_result=seen,
            verbose_eval=False,
        )
        loss = seen["row"]["logloss"][0] * w * (options.get("scale_pos_weight", 1) if t == 1 else 1)
        return loss, -tree["base_weights"][0] * second, second

    return one


def lightgbm(label: float = 1.0, **options: Any) -> Callable[[float, float, float], Element]:
    """A tree of two leaves, one of which has an element of the same logit and the other class.

    LightGBM splits only where each leaf has its part of the second derivatives, so both get the
    same. Its rate is so small that the metric sees the element before the tree. `label` is given
    in place of targets of 1.
    """

    def one(x: float, t: float, w: float) -> Element:
        package = importlib.import_module("lightgbm")
        scale = options.get("scale_pos_weight", 1.0)
        given = label if t == 1 else t
        weights = [w, w * (scale if t == 1 else 1 / scale)]
        common = {"min_data_in_bin": 1, "min_data_in_leaf": 1, "verbosity": -1}
        pair = package.Dataset(
            np.array([[1.0], [2.0]]),
            [given, other(given)],
            weight=weights,
            init_score=[x, x],
            params=common,
        )
        settings = {
            "objective": "binary",
            "learning_rate": 1e-30,
            "min_sum_hessian_in_leaf": 0,
            "lambda_l2": 0,
            "num_leaves": 2,
            "boost_from_average": False,
            "num_threads": 1,
            **common,
            **options,
        }
        seen: dict[str, Any] = {}
        alone = package.Dataset(np.array([[1.0]]), [given], init_score=[x], reference=pair)
        model = package.train(
            settings, pair, 1, valid_sets=[alone], callbacks=[package.record_evaluation(seen)]
        )
        (loss,) = next(iter(seen["valid_0"].values()))
        loss *= w * (scale if t == 1 else 1)
        leaves = model.trees_to_dataframe().set_index("node_index")
        if len(leaves) < 3:  # it has not split
            return loss, np.nan, np.nan
        second = leaves.weight["0-L0"]
        return loss, -leaves.value["0-L0"] / 1e-30 * second, second

    return one


def catboost(
    loss_function: str, factors: tuple[float, float] = (1.0, 1.0), **options: Any
) -> Callable[[float, float, float], Element]:
    """Leaves whose values are means of gradients, and Newton steps.

    With `factors`, those of targets of 0 and of 1 in the options, a leaf gets a second element
    whose gradient is known, and its mean tells the factor that CatBoost has applied.
    """

    def one(x: float, t: float, w: float) -> Element:
        eval_metric = importlib.import_module("catboost.utils").eval_metric
        gradient = -_leaf(loss_function, [(x, t)])
        newton = _leaf(loss_function, [(x, t)], leaf_estimation_method="Newton")
        second = -gradient / newton if newton else np.nan
        if factors != (1.0, 1.0):
            anchor = 0.5  # the gradient of a logit and a target of 0
            mean = -_leaf(loss_function, [(x, t), (0.0, 0.0)], **options)
            w *= factors[0] * (anchor - mean) / (mean - gradient)
        (loss,) = eval_metric([t], [x], loss_function)
        return w * loss, w * gradient, w * second

    return one


def _leaf(loss_function: str, elements: list[tuple[float, float]], **options: Any) -> float:
    """Returns the value of the leaf of these logits and targets. Another leaf has both classes."""
    package = importlib.import_module("catboost")
    logits = [x for x, _ in elements] + [0.0, 0.0]
    targets = [t for _, t in elements] + [0.0, 1.0]
    places = [[0.0]] * len(elements) + [[1.0], [1.0]]
    settings = {
        "loss_function": loss_function,
        "iterations": 1,
        "depth": 1,
        "learning_rate": 1,
        "l2_leaf_reg": 0,
        "leaf_estimation_method": "Gradient",
        "leaf_estimation_iterations": 1,
        "leaf_estimation_backtracking": "No",
        "boosting_type": "Plain",
        "bootstrap_type": "No",
        "random_strength": 0,
        "boost_from_average": False,
        "score_function": "L2",
        "thread_count": 1,
        "allow_writing_files": False,
        "verbose": 0,
        **options,
    }
    model = package.CatBoost(settings)
    model.fit(package.Pool(places, targets, baseline=logits))
    values = model.get_leaf_values()
    return float(values[0])


def half_binomial(weights: Any = None) -> Callable[[Array, Array], Derivatives]:
    def real(logits: Array, targets: Array) -> Derivatives:
        module = importlib.import_module("sklearn._loss.loss")
        given = None if weights is None else np.broadcast_to(weights, logits.shape).ravel().copy()
        loss = module.HalfBinomialLoss(sample_weight=given)
        flat = {"y_true": targets.ravel(), "raw_prediction": logits.ravel(), "sample_weight": given}
        parts = (loss.loss(**flat), *loss.gradient_hessian(**flat))
        shaped = [np.asarray(part).reshape(logits.shape) for part in parts]
        return shaped[0], shaped[1], shaped[2]

    return real


def all_rows() -> list[TreeRow]:
    weights = rows.ROW_WEIGHTS[[0, 1, 3, 3]]  # LightGBM splits no element of weight 0
    wide = np.broadcast_to(weights, rows.LOGITS.shape)
    cat, light, xgb = ("catboost",), ("lightgbm",), ("xgboost-cpu",)
    soft, hard = rows.SOFT, rows.HARD
    return [
        TreeRow(
            "xgboost binary:logistic",
            xgb,
            recipes.xgboost_binary_logistic(),
            soft,
            by_element(xgboost()),
        ),
        TreeRow(
            "xgboost binary:logistic(scale_pos_weight=3), weight",
            xgb,
            recipes.xgboost_binary_logistic(SCALE, wide),
            hard,
            by_element(xgboost(scale_pos_weight=SCALE), weights),
            has_tail=False,
        ),
        TreeRow("lightgbm binary", light, recipes.lightgbm_binary(), hard, by_element(lightgbm())),
        TreeRow(
            "lightgbm binary(scale_pos_weight=3), weight",
            light,
            recipes.lightgbm_binary(scale_pos_weight=SCALE, weight=wide),
            hard,
            by_element(lightgbm(scale_pos_weight=SCALE), weights),
            has_tail=False,
        ),
        TreeRow(
            "lightgbm binary, labels of 0.3 in place of 1",
            light,
            recipes.lightgbm_binary(),
            hard,
            by_element(lightgbm(label=0.3)),
            has_tail=False,
        ),
        TreeRow(
            "lightgbm cross_entropy",
            light,
            recipes.lightgbm_cross_entropy(),
            soft,
            by_element(lightgbm(objective="cross_entropy")),
        ),
        TreeRow(
            "catboost Logloss",
            cat,
            recipes.catboost_logloss(),
            hard,
            by_element(catboost("Logloss")),
        ),
        TreeRow(
            "catboost Logloss(scale_pos_weight=3)",
            cat,
            recipes.catboost_logloss(scale_pos_weight=SCALE),
            hard,
            by_element(catboost("Logloss", (1.0, SCALE), scale_pos_weight=SCALE)),
            has_tail=False,
        ),
        TreeRow(
            "catboost Logloss(class_weights=[0.5, 3])",
            cat,
            recipes.catboost_logloss([0.5, SCALE]),
            hard,
            by_element(catboost("Logloss", (0.5, SCALE), class_weights=[0.5, SCALE])),
            has_tail=False,
        ),
        TreeRow(
            "catboost CrossEntropy",
            cat,
            recipes.catboost_cross_entropy(),
            soft,
            by_element(catboost("CrossEntropy")),
        ),
        TreeRow(
            "catboost Focal:focal_alpha=0.25;focal_gamma=2",
            cat,
            recipes.catboost_focal(0.25, 2.0),
            hard,
            by_element(catboost("Focal:focal_alpha=0.25;focal_gamma=2")),
            has_tail=False,
        ),
        TreeRow(
            "sklearn._loss.HalfBinomialLoss",
            ("scikit-learn",),
            recipes.sklearn_half_binomial(),
            soft,
            half_binomial(),
        ),
        TreeRow(
            "sklearn._loss.HalfBinomialLoss, sample_weight",
            ("scikit-learn",),
            recipes.sklearn_half_binomial(wide),
            soft,
            half_binomial(weights),
            has_tail=False,
        ),
    ]
