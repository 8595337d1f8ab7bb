"""Measures boosting with an objective of lossd.trees beside XGBoost's own."""

from __future__ import annotations

import contextlib
import statistics
import tempfile
import time
from collections.abc import Callable
from typing import Any

import lossd
import lossd.trees
import numpy as np
import xgboost
from measurement import MEBI, Effort, Measurement, Result, alternate
from programs import Programs

_FEATURES = 10
_PARAMETERS = {"max_depth": 6, "nthread": 2, "tree_method": "hist"}


class _Iterations(xgboost.callback.TrainingCallback):  # type: ignore[misc,unused-ignore]
    """Takes the time of each iteration, and ends the training after so many seconds."""

    def __init__(self, seconds: float) -> None:
        self.times: list[float] = []
        self._end = time.perf_counter() + seconds

    def before_iteration(self, model: Any, epoch: int, evals_log: Any) -> bool:
        self._start = time.perf_counter()
        return False

    def after_iteration(self, model: Any, epoch: int, evals_log: Any) -> bool:
        now = time.perf_counter()
        self.times.append(now - self._start)
        return now > self._end and len(self.times) > 3


def rows() -> xgboost.QuantileDMatrix:
    """Returns 1 Mi rows whose labels depend on three features and on chance."""
    random = np.random.default_rng(1)
    features = random.normal(size=(MEBI, _FEATURES)).astype(np.float32)
    noise = random.normal(size=MEBI)
    labels = features[:, 0] + features[:, 1] * features[:, 2] + noise > 0
    return xgboost.QuantileDMatrix(features, labels)


def seconds_per_iteration(
    data: xgboost.QuantileDMatrix, seconds: float, how: dict[str, Any], **parameters: Any
) -> float:
    """Returns the median time of an iteration, which is a gradient, a tree and a prediction."""
    iterations = _Iterations(seconds)
    xgboost.train({**_PARAMETERS, **parameters}, data, 1000, callbacks=[iterations], **how)
    return statistics.median(iterations.times[1:])  # the first one allocates


def objective(where: str, *, shared: bool = False) -> Callable[[str, Programs, Effort], Result]:
    def run(name: str, programs: Programs, effort: Effort) -> Result:
        data = rows()
        with contextlib.ExitStack() as stack:
            socket = f"{stack.enter_context(tempfile.TemporaryDirectory())}/lossd"
            server = stack.enter_context(programs.lossd(f"--shared_memory_socket={socket}"))
            memory = stack.enter_context(lossd.SharedMemory(socket)) if shared else None
            client = stack.enter_context(lossd.Client(server.target, shared_memory=memory))
            how = {"obj": lossd.trees.xgboost_objective(client)}
            ours, peer = alternate(
                effort.rounds,
                lambda: seconds_per_iteration(data, effort.seconds, how, base_score=0),
                lambda: seconds_per_iteration(
                    data, effort.seconds, {}, objective="binary:logistic", base_score=0.5
                ),
            )
        what = (
            f"an iteration of XGBoost {xgboost.__version__} with {MEBI} rows of {_FEATURES} "
            f"features, depth 6, two threads, and lossd.trees.xgboost_objective, {where}; peer: "
            "its own binary:logistic; both on the cores that the server uses too (smaller is "
            "better)"
        )
        return Result(name, ours * 1e3, peer * 1e3, ours / peer, "ms", what)

    return run


TREE_MEASUREMENTS: dict[str, Measurement] = {
    "xgboost_objective_vs_builtin": Measurement(
        None, objective("with shared memory", shared=True), ceiling=1.5
    ),
    "xgboost_objective_tcp_vs_builtin": Measurement(None, objective("over TCP")),
}
