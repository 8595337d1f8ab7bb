#!/usr/bin/env bash
# Package: catboost 1.2.10 with numpy 2.4.6, scipy 1.17.1, pandas 3.1.1.
#
# Behaviour: Logloss accepts targets between 0 and 1 and rounds them: 0.5 and less is 0, more is 1.
# The metric is that of the rounded targets, and so is the trained model. CrossEntropy, which is
# the same formula, keeps them.
#
# Guess before the run: Logloss of a soft target is the soft cross-entropy, as accepting it suggests.
#
# Output seen (logit 2):
#   target 0.50: Logloss 2.1269, CrossEntropy 1.1269
#   target 0.51: Logloss 0.1269, CrossEntropy 1.1069
#   predictions after training on 0.2, 0.2, 0.7, 0.7: those of 0, 0, 1, 1
#
# Why it matters: two names of one loss differ as soon as targets are smoothed or distilled, without
# a warning. People who compare CatBoost with a loss service on soft labels need CrossEntropy.
set -euo pipefail

scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
python3 -m venv "$scratch/venv"
install=("$scratch/venv/bin/pip" install --quiet --no-compile --disable-pip-version-check)
"${install[@]}" numpy==2.4.6 scipy==1.17.1 pandas==3.1.1 six==1.17.0
# The packages for its plots are large and stay away.
"${install[@]}" --no-deps catboost==1.2.10

"$scratch/venv/bin/python" - << 'PYTHON'
import catboost
import numpy as np
from catboost.utils import eval_metric


def metrics(target):
    return [eval_metric([target], [2.0], name)[0] for name in ("Logloss", "CrossEntropy")]


def predictions(targets, loss):
    model = catboost.CatBoost(
        {
            "loss_function": loss,
            "iterations": 10,
            "verbose": False,
            "allow_writing_files": False,
            "thread_count": 1,
        }
    )
    model.fit(np.arange(4.0)[:, None], np.array(targets))
    return model.predict(np.arange(4.0)[:, None])


for target in (0.5, 0.51):
    print(f"target {target:.2f}: Logloss %.4f, CrossEntropy %.4f" % tuple(metrics(target)))
assert np.allclose(metrics(0.5), [2.126928, 1.126928])
assert np.allclose(metrics(0.51), [0.126928, 1.106928])

soft, hard = [0.2, 0.2, 0.7, 0.7], [0, 0, 1, 1]
same = np.array_equal(predictions(soft, "Logloss"), predictions(hard, "Logloss"))
print("Logloss: soft targets give the predictions of hard ones:", same)
assert same
assert not np.allclose(predictions(soft, "CrossEntropy"), predictions(hard, "CrossEntropy"))
PYTHON
