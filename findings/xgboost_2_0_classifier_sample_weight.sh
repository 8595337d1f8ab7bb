#!/usr/bin/env bash
# Package: xgboost 2.0.3 with numpy 1.26.4, scipy 1.13.1 and scikit-learn 1.4.2.
#
# Behaviour: XGBClassifier takes sample_weight with a custom objective and ignores it without a
# warning. The objective is called with labels and predictions only, and its result is not
# multiplied by the weights. An objective with a third argument for them is a TypeError. With the
# built-in objective, the same call of fit() uses the weights.
#
# Guess that the documentation suggests, written down before the script: fit() multiplies the
# derivatives of a custom objective by the weights.
#
# Output seen, as the mean raw prediction, with a weight of 10 for positive examples:
#   binary:logistic: without weights -0.9643, with weights 1.3352
#   custom objective: without weights -0.9643, with weights -0.9643
#
# Why it matters: the signature of an objective shows no weights, so there is no hint that they are
# its task. Version 2.1 passes them by name, and refuses an objective that has no parameter for
# them. Until then, a model on a custom loss, or on one from a loss service, has had no weights.
set -euo pipefail

scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
python3 -m venv "$scratch/venv"
# This version has no package for the CPU alone: it takes 300 MB.
"$scratch/venv/bin/pip" install --quiet --no-compile --disable-pip-version-check \
  xgboost==2.0.3 numpy==1.26.4 scipy==1.13.1 scikit-learn==1.4.2

"$scratch/venv/bin/python" - << 'PYTHON'
import numpy as np
import xgboost

features = np.arange(1000.0)[:, None] % 10
labels = (np.random.default_rng(0).random(1000) < 0.3).astype(int)
weights = np.where(labels == 1, 10.0, 1.0)


def custom(labels, raw):
    probability = 1 / (1 + np.exp(-raw))
    return probability - labels, probability * (1 - probability)


def with_weights(labels, raw, sample_weight):
    first, second = custom(labels, raw)
    return sample_weight * first, sample_weight * second


def predictions(objective, sample_weight):
    model = xgboost.XGBClassifier(objective=objective, n_estimators=20, n_jobs=1, base_score=0.5)
    model.fit(features, labels, sample_weight=sample_weight)
    return model.predict(features, output_margin=True)


same = {}
for name, objective in (("binary:logistic", "binary:logistic"), ("custom objective", custom)):
    without, weighted = predictions(objective, None), predictions(objective, weights)
    print(f"{name}: without weights {without.mean():.4f}, with weights {weighted.mean():.4f}")
    same[name] = np.array_equal(without, weighted)
assert same == {"binary:logistic": False, "custom objective": True}

try:
    predictions(with_weights, weights)
except TypeError:
    pass
else:
    raise AssertionError("the objective is handed the weights")
PYTHON
