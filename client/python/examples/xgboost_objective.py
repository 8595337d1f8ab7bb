"""Trains XGBoost with a loss of lossd, beside XGBoost's own objective of the same loss.

The rows are scikit-learn's measurements of breast tumours, 569 of 30 features, of which every
fourth is held out. Both trainings see the same rows and end at the same loss.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import lossd.trees
import numpy as np
import xgboost
from curves import save_curve
from digits_server import lossd_server
from sklearn.datasets import load_breast_cancer
from tqdm import tqdm

# More threads would wait for each other: the rows are few.
PARAMETERS = {
    "objective": "binary:logistic",
    "base_score": 0.5,
    "eval_metric": "logloss",
    "max_depth": 4,
    "learning_rate": 0.1,
    "nthread": 1,
}


class Progress(xgboost.callback.TrainingCallback):  # type: ignore[misc,unused-ignore]
    """Shows a bar of the rounds with the loss of the held-out rows."""

    def __init__(self, name: str, rounds: int) -> None:
        self._bar = tqdm(total=rounds, desc=name, unit="round", disable=None)

    def after_iteration(self, model: Any, epoch: int, evals_log: Any) -> bool:
        (losses,) = evals_log["held_out"].values()
        self._bar.set_postfix(loss=f"{losses[-1]:.4f}", refresh=False)
        self._bar.update()
        return False  # training goes on

    def after_training(self, model: Any) -> Any:
        self._bar.close()
        return model


def load() -> tuple[xgboost.DMatrix, xgboost.DMatrix]:
    """Returns the rows to train with, and those that are held out."""
    features, labels = load_breast_cancer(return_X_y=True)
    held_out = np.arange(len(labels)) % 4 == 0
    return (
        xgboost.DMatrix(features[~held_out], labels[~held_out]),
        xgboost.DMatrix(features[held_out], labels[held_out]),
    )


def train(name: str, rounds: int, **how: Callable[..., Any]) -> tuple[list[float], float]:
    """Returns the held-out loss after each round, and the share of held-out rows that are right."""
    rows, held_out = load()
    seen: dict[str, dict[str, list[float]]] = {}
    model = xgboost.train(
        PARAMETERS,
        rows,
        rounds,
        evals=[(held_out, "held_out")],
        evals_result=seen,
        verbose_eval=False,
        callbacks=[Progress(name, rounds)],
        **how,
    )
    right = (model.predict(held_out) > 0.5) == (held_out.get_label() > 0.5)
    (losses,) = seen["held_out"].values()
    return losses, float(right.mean())


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--server", type=Path, required=True, help="the lossd program")
    parser.add_argument("--out", type=Path, required=True, help="folder of the picture")
    parser.add_argument("--rounds", type=int, default=100)
    arguments = parser.parse_args()
    arguments.out.mkdir(parents=True, exist_ok=True)
    results = {}
    results["binary:logistic"] = train("binary:logistic", arguments.rounds)
    with lossd_server(arguments.server) as server:
        objective = lossd.trees.xgboost_objective(server.address)
        results["lossd"] = train("lossd", arguments.rounds, obj=objective)
    for name, (losses, right) in results.items():
        print(f"{name:16} held-out loss {losses[-1]:.6f}, {right:.1%} of the rows are right")
    picture = arguments.out / "xgboost.png"
    save_curve({name: losses for name, (losses, _) in results.items()}, picture)
    print(f"loss curves      {picture}")
    apart = abs(results["lossd"][0][-1] - results["binary:logistic"][0][-1])
    return 0 if apart < 1e-5 and results["lossd"][1] > 0.9 else 1


if __name__ == "__main__":
    sys.exit(main())
