#!/usr/bin/env bash
# Package: xgboost-cpu 3.2.0 with numpy 2.4.6 and scipy 1.17.1.
#
# Behaviour: With objective="binary:logistic", a base_score of 0 is accepted and silently replaced
# by a probability of 1e-6. A custom objective then starts at a raw prediction of -13.8, where the
# sum of all second derivatives is below min_child_weight, so that no round learns anything.
# Without the parameter objective, the same base_score is a raw prediction of 0, and all is well.
# A base_score of -1 is refused, with the message that it must be in (0,1).
#
# Guess that the documentation suggests, written down before the script: base_score is a probability
# for this objective, so 0 is refused like -1, or else it is the raw start of the custom objective.
#
# Output seen:
#   no objective: starts at 0.0000, raw predictions after 20 rounds -6.0430 to 6.0430
#   binary:logistic: starts at -13.8155, raw predictions after 20 rounds -13.8155 to -13.8155
#   binary:logistic, min_child_weight=0: the same start, then -13.8185 to 136.1065
#   binary:logistic, base_score=-1: refused
#
# Why it matters: base_score=0 is the usual way to start a custom objective at a raw prediction of
# 0, and objective="binary:logistic" is the usual way to get probabilities from predict(). Together
# they give a constant model without a warning, and the gradients of a loss service look guilty.
set -euo pipefail

scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
python3 -m venv "$scratch/venv"
"$scratch/venv/bin/pip" install --quiet --no-compile --disable-pip-version-check \
  xgboost-cpu==3.2.0 numpy==2.4.6 scipy==1.17.1

"$scratch/venv/bin/python" - << 'PYTHON'
import numpy as np
import xgboost

features = np.arange(1000.0)[:, None]
labels = (features[:, 0] >= 500).astype(np.float32)
data = xgboost.DMatrix(features, label=labels)


def train(name, **parameters):
    """Returns the raw prediction at the start, and the range of those after 20 rounds."""
    starts = []

    def logistic(raw, data):
        starts.append(raw[0])
        probability = 1 / (1 + np.exp(-raw))
        return probability - data.get_label(), probability * (1 - probability)

    parameters = {"base_score": 0, "nthread": 1, **parameters}
    raw = xgboost.train(parameters, data, 20, obj=logistic).predict(data, output_margin=True)
    print(
        f"{name}: starts at {starts[0]:.4f}, raw predictions after 20 rounds "
        f"{raw.min():.4f} to {raw.max():.4f}"
    )
    return starts[0], raw.min(), raw.max()


start, low, high = train("no objective")
assert start == 0 and low < -5 and high > 5
start, low, high = train("binary:logistic", objective="binary:logistic")
assert abs(start + 13.8155) < 1e-3
assert low == high == start
_, low, high = train(
    "binary:logistic, min_child_weight=0", objective="binary:logistic", min_child_weight=0
)
assert low < high
try:
    train("base_score=-1", objective="binary:logistic", base_score=-1)
except xgboost.core.XGBoostError as error:
    assert "base_score must be in (0,1)" in str(error)
    print("binary:logistic, base_score=-1: refused")
else:
    raise AssertionError("base_score=-1 is accepted")
PYTHON
