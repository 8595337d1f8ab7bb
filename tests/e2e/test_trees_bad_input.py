"""Bad data, bad options and servers that fail, each with the error of the package."""

from __future__ import annotations

import inspect
import signal
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import lossd
import lossd.trees
import numpy as np
import pytest
from lossd import arguments
from running_server import RunningServer, running_server, stopped
from test_trees import objectives
from tree_packages import (
    PACKAGES,
    Data,
    Train,
    error_of,
    train_catboost,
    train_lightgbm,
    train_sklearn,
    train_xgboost,
)

pytest.importorskip("sklearn")
datasets = pytest.importorskip("sklearn.datasets")


@pytest.fixture(scope="module", name="server")
def start_server() -> Iterator[RunningServer]:
    with running_server() as server:
        yield server


@pytest.fixture(scope="module", name="client")
def open_client(server: RunningServer) -> Iterator[lossd.Client]:
    with lossd.Client(server.address) as client:
        yield client


@pytest.fixture(name="data")
def breast_cancer() -> Data:
    features, labels = datasets.load_breast_cancer(return_X_y=True)
    return Data(features, labels.astype(float), None, features, labels)


def changed(values: Any, row: int, value: float) -> Any:
    copied = np.array(values, float)
    copied[row] = value
    return copied


@pytest.mark.parametrize("label", [2, -1, 1.5])
@pytest.mark.parametrize("train", [train_xgboost, train_lightgbm, train_catboost])
def test_a_label_outside_0_and_1_is_named(
    client: lossd.Client, data: Data, train: Train, label: float
) -> None:
    text = rf"lossd: INVALID_ARGUMENT: labels\[7\]: {label} is not in \[0, 1\]"
    with pytest.raises(error_of(train), match=text) as raised:
        train(replace(data, labels=changed(data.labels, 7, label)), client)
    if train is train_catboost:  # it passes 1000 rows at a time, and keeps the text alone
        assert "rows are counted from the first one of a part of the data" in str(raised.value)
        assert str(raised.value).count("Traceback") == 1
    else:
        assert isinstance(raised.value.__cause__, lossd.LossdError)


@pytest.mark.parametrize(
    ("train", "text"),
    [
        (train_xgboost, "Label contains NaN"),
        (train_catboost, "not allows? nan values? (on|in) target"),
        (train_sklearn, "y contains NaN"),
    ],
)
def test_a_nan_label_is_refused_by_the_package(
    client: lossd.Client, data: Data, train: Train, text: str
) -> None:
    with pytest.raises(error_of(train), match=text):
        train(replace(data, labels=changed(data.labels, 7, np.nan)), client)


def test_a_nan_label_is_0_to_lightgbm_before_anybody_sees_it(
    client: lossd.Client, data: Data
) -> None:
    nan = replace(data, labels=changed(data.labels, 7, np.nan))
    zero = replace(data, labels=changed(data.labels, 7, 0))
    expected = train_lightgbm(zero, client)
    np.testing.assert_array_equal(train_lightgbm(nan, client).raw, expected.raw)


def test_labels_of_three_classes_are_refused(client: lossd.Client, data: Data) -> None:
    three = replace(data, labels=np.arange(len(data.labels)) % 3.0)
    text = r"lossd: labels: have shape \(\d+,\), .* \(\d+, 3\): .* an output has two classes"
    with pytest.raises(ValueError, match=text):
        train_sklearn(three, client)
    for train, more in ((train_xgboost, {}), (train_lightgbm, {"metric": "None"})):
        with pytest.raises(error_of(train), match=text):
            train(three, client, parameters={"num_class": 3, **more})


def test_classes_of_catboost_cannot_be_three(client: lossd.Client, data: Data) -> None:
    three = replace(data, labels=np.arange(len(data.labels)) % 3.0)
    with pytest.raises(error_of(train_catboost), match=r"labels\[\d+\]: 2 is not in \[0, 1\]"):
        train_catboost(three, client)


@PACKAGES
def test_other_numbers_of_rows_are_refused(client: lossd.Client, data: Data, train: Train) -> None:
    for short in (
        replace(data, labels=data.labels[1:]),
        replace(data, weights=np.full(len(data.labels) - 1, 0.5)),
    ):
        with pytest.raises(error_of(train), match="(?i)size|length|shape|inconsistent"):
            train(short, client)


@pytest.mark.parametrize(
    ("train", "text"),
    [
        (train_xgboost, "Weights must be positive"),
        (train_lightgbm, r"lossd: weights\[5\]: -0.5 is below 0"),
        (train_catboost, r"Weights\[5\] is negative"),
        (train_sklearn, r"lossd: weights\[\d+\]: -0.5 is below 0"),
    ],
)
def test_a_negative_weight_is_named(
    client: lossd.Client, data: Data, train: Train, text: str
) -> None:
    weights = changed(np.ones(len(data.labels)), 5, -0.5)
    with pytest.raises(error_of(train), match=text):
        train(replace(data, weights=weights), client)


@pytest.mark.parametrize("train", [train_xgboost, train_catboost])
def test_a_raw_prediction_that_is_nan_is_named(
    client: lossd.Client, data: Data, train: Train
) -> None:
    start = changed(np.zeros(len(data.labels)), 3, np.nan)
    with pytest.raises(error_of(train), match=r"lossd: .*: raw predictions\[3\]: NaN"):
        train(replace(data, start=start, seen_start=np.zeros(len(data.seen))), client)


def errors() -> list[type[Exception]]:
    """Returns the error of each of objectives()."""
    return [error_of(train) for train in (train_sklearn, train_xgboost, train_lightgbm)]


@pytest.mark.parametrize(
    ("labels", "raw", "text"),
    [
        (np.ones(3), np.zeros(4), r"labels: have shape \(3,\), and the raw predictions \(4,\)"),
        (np.ones(0), np.zeros(4), r"labels: have shape \(0,\), and the raw predictions \(4,\)"),
        (np.ones((2, 4)), np.zeros((4, 2)), r"labels: have shape \(2, 4\)"),
        (np.array([0, 1, 2.0]), np.zeros(3), r"labels\[2\]: 2 "),
        (np.array([0, np.nan]), np.zeros(2), r"labels\[1\]: NaN"),
        (np.ones(3), np.array([0, np.nan, 0]), r"raw predictions\[1\]: NaN"),
        (np.ones(2), np.array(["a", "b"]), "raw predictions: dtype <U1 "),
        (np.array(["a", "b"]), np.ones(2), "labels: dtype <U1 "),
    ],
)
def test_bad_rows_are_an_error_of_the_package(
    client: lossd.Client, labels: Any, raw: Any, text: str
) -> None:
    for objective, error in zip(objectives(client), errors(), strict=True):
        with pytest.raises(error, match=f"lossd: .*{text}"):
            objective(labels, raw)


@pytest.mark.parametrize(
    ("weights", "text"),
    [
        (np.ones(2), r"weights: have shape \(2,\), and there are 3 rows"),
        (np.ones((3, 1)), r"weights: have shape \(3, 1\), and there are 3 rows"),
        (np.array([1, -2, 1.0]), r"weights\[1\]: -2 is below 0"),
        (np.array([1, 1, np.nan]), r"weights\[2\]: "),
        (np.array([1, np.inf, 1]), r"weights\[1\]: "),
        (np.array(["a", "b", "c"]), "weights: dtype <U1 "),
    ],
)
def test_bad_weights_are_an_error_of_the_package(
    client: lossd.Client, weights: Any, text: str
) -> None:
    for objective, error in zip(objectives(client), errors(), strict=True):
        with pytest.raises(error, match=f"lossd: .*{text}"):
            objective(np.ones(3), np.zeros(3), weights)


class EndingClient(lossd.Client):
    """A client that ends its server before its call of this number."""

    def __init__(self, server: RunningServer, calls: int) -> None:
        super().__init__(server.address)
        self.server, self.calls = server, calls

    def compute_loss(self, *arguments: Any, **options: Any) -> Any:
        self.calls -= 1
        if self.calls == 0:
            self.server.process.send_signal(signal.SIGKILL)
            self.server.process.wait()
        return super().compute_loss(*arguments, **options)


@pytest.mark.parametrize("calls", [1, 9])  # before the training, and during it
@PACKAGES
def test_a_server_that_goes_away_ends_the_training(data: Data, train: Train, calls: int) -> None:
    with (
        running_server() as server,
        EndingClient(server, calls) as client,
        pytest.raises(error_of(train), match="lossd: UNAVAILABLE") as raised,
    ):
        train(data, client)
    assert client.calls == 0 or train is train_catboost  # its threads go on for a call
    if train is not train_catboost:
        assert isinstance(raised.value.__cause__, lossd.LossdError)


@PACKAGES
def test_a_server_that_stands_still_ends_the_training_in_time(data: Data, train: Train) -> None:
    with (
        running_server() as server,
        lossd.Client(server.address) as client,
        stopped(server),
        pytest.raises(error_of(train), match="lossd: DEADLINE_EXCEEDED"),
    ):
        train(data, client, timeout=0.2)


def test_calls_have_a_timeout_unless_none_is_asked_for(client: lossd.Client) -> None:
    for name in lossd.trees.__all__:
        timeout = inspect.signature(getattr(lossd.trees, name)).parameters["timeout"]
        assert timeout.default == arguments.STEP_TIMEOUT_SECONDS
    assert lossd.trees.sklearn_loss(client)._lossd._timeout == arguments.STEP_TIMEOUT_SECONDS
    assert lossd.trees.sklearn_loss(client, timeout=None)._lossd._timeout is None


@pytest.mark.parametrize(
    ("options", "text"),
    [
        ({"reduction": "mean"}, "reduction: the package that grows the trees decides it"),
        ({"weights": [1.0]}, "weights: the package"),
        ({"gradient_out": np.ones(1)}, "gradient_out: the package"),
        ({"focal_gama": 2}, "focal_gama: .* is it focal_gamma"),
        ({"minimum_hessian": "0"}, "minimum_hessian: '0' is not a number"),
        ({"minimum_hessian": np.nan}, "minimum_hessian: nan is not finite"),
        ({"minimum_hessian": np.inf}, "minimum_hessian: inf is not finite"),
        ({"timeout": 0}, "timeout: 0 seconds"),
        ({"ignore_target": "x"}, "ignore_target: 'x' is not a number"),
        ({"ignore_target": np.nan}, "ignore_target: NaN: the package refuses NaN labels; .* -1"),
    ],
)
def test_a_bad_option_is_named_before_the_training(
    client: lossd.Client, options: dict[str, Any], text: str
) -> None:
    pytest.importorskip("xgboost")
    with pytest.raises((TypeError, ValueError), match=f"^{text}"):
        lossd.trees.xgboost_objective(client, **options)


def test_a_client_of_another_type_is_named() -> None:
    others: list[Any] = [b"localhost:50051", None, lossd.AsyncClient("localhost:50051")]
    for client in others:
        with pytest.raises(TypeError, match="^client: .* is neither a lossd.Client nor a target$"):
            lossd.trees.sklearn_loss(client)
    with pytest.raises(ValueError, match="^target: "):
        lossd.trees.sklearn_loss("")


def test_labels_that_a_package_hides_cannot_be_ignored(client: lossd.Client) -> None:
    pytest.importorskip("lightgbm")
    with pytest.raises(ValueError, match="^ignore_target: NaN: the package reads NaN labels as 0"):
        lossd.trees.lightgbm_objective(client, ignore_target=np.nan)
    with pytest.raises(ValueError, match="^ignore_target: -1: the package numbers the classes"):
        lossd.trees.sklearn_loss(client, ignore_target=-1)
