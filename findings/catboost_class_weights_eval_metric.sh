#!/usr/bin/env bash
# Package: catboost 1.2.10 with numpy 2.4.6, scipy 1.17.1, pandas 3.1.1.
#
# Behaviour: With a custom loss, the evaluation metric decides whether class weights take part in
# training. With eval_metric="Logloss" they do. With "AUC" or "Accuracy" auto_class_weights and a
# list of class_weights are ignored without a message, while a dictionary of the same class_weights
# is not. There is no validation data in this, so the metric has nothing else to decide.
#
# Guess that the documentation suggests, written down before the script: class weights multiply the
# weights of the examples, whatever the metric is.
#
# Output seen, as the mean raw prediction, where -0.8163 is that without class weights:
#   Logloss: none -0.8163, list +0.5152, dictionary +0.5152, Balanced -0.0257
#   AUC: none -0.8163, list -0.8163, dictionary +0.5152, Balanced -0.8163
#   Accuracy: none -0.8163, list -0.8163, dictionary +0.5152, Balanced -0.8163
#
# Why it matters: a custom loss requires an eval_metric, and AUC is a natural choice for imbalanced
# classes, which are also the reason for class weights. A model on a loss from a loss service is
# then unweighted, and differs from that of the built-in Logloss for a reason outside the loss.
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

features = np.arange(40.0)[:, None]
labels = np.tile([0, 0, 0, 1], 10)
labels[:10] = 0


class Logistic:
    def calc_ders_range(self, approxes, targets, weights):
        probability = 1 / (1 + np.exp(-np.asarray(approxes)))
        weights = np.ones(len(approxes)) if weights is None else np.asarray(weights)
        first = weights * (np.asarray(targets) - probability)
        return list(zip(first, -weights * probability * (1 - probability)))


def mean_prediction(metric, loss=None, **class_weights):
    model = catboost.CatBoostClassifier(
        loss_function=loss or Logistic(),
        eval_metric=metric,
        iterations=3,
        depth=1,
        learning_rate=0.5,
        verbose=False,
        allow_writing_files=False,
        thread_count=1,
        **class_weights,
    )
    model.fit(features, labels)
    return model.predict(features, prediction_type="RawFormulaVal").mean()


means = {}
for metric in ("Logloss", "AUC", "Accuracy"):
    means[metric] = none, listed, dictionary, balanced = [
        mean_prediction(metric, **class_weights)
        for class_weights in (
            {},
            {"class_weights": [1, 10]},
            {"class_weights": {0: 1, 1: 10}},
            {"auto_class_weights": "Balanced"},
        )
    ]
    print(
        f"{metric}: none {none:+.4f}, list {listed:+.4f}, dictionary {dictionary:+.4f}, "
        f"Balanced {balanced:+.4f}"
    )
    assert dictionary > none + 1
    if metric == "Logloss":
        assert listed == dictionary and balanced > none + 0.5
    else:
        assert listed == balanced == none

# The built-in loss uses the weights whatever the metric is.
assert mean_prediction("AUC", "Logloss", class_weights=[1, 10]) > means["AUC"][0] + 1
PYTHON
