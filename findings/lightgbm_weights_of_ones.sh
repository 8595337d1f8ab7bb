#!/usr/bin/env bash
# Package: lightgbm 4.7.0 with numpy 2.4.6 and scipy 1.17.1.
#
# Behaviour: A Dataset takes a NumPy array of weights of any length, even of none, as long as every
# weight is 1. It drops such weights before it counts them. Three weights for 100 rows are an error
# if one of them is not 1, and if they are a list and not an array.
#
# Guess that the documentation suggests, written down before the script: a number of weights other
# than that of the rows is an error when the Dataset is built, whatever the weights are.
#
# Output seen, for 100 rows:
#   array of 3 ones: accepted, weights None
#   array of 200 ones: accepted, weights None
#   array of 0 ones: accepted, weights None
#   array of 1, 1, 2: Length of weights differs from the length of #data
#   list of 3 ones: Length of weights differs from the length of #data
#
# Why it matters: an array of ones is what a program passes before it has real weights, and what a
# test passes. A mistake in the number of weights, such as those of another split of the data, then
# stays hidden until the first real weights arrive.
set -euo pipefail

scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
python3 -m venv "$scratch/venv"
"$scratch/venv/bin/pip" install --quiet --no-compile --disable-pip-version-check \
  lightgbm==4.7.0 numpy==2.4.6 scipy==1.17.1

"$scratch/venv/bin/python" - << 'PYTHON'
import lightgbm
import numpy as np

features = np.arange(100.0)[:, None]
labels = np.tile([0.0, 1.0], 50)


def build(name, weights):
    """Trains with the weights, and returns an error's text or None."""
    data = lightgbm.Dataset(features, label=labels, weight=weights, params={"verbosity": -1})
    try:
        lightgbm.train({"objective": "binary", "num_threads": 1, "verbosity": -1}, data, 1)
    except lightgbm.basic.LightGBMError as error:
        print(f"{name}: {error}")
        return str(error)
    print(f"{name}: accepted, weights {data.get_weight()}")
    assert data.get_weight() is None
    assert data.num_data() == 100
    return None


for count in (3, 200, 0):
    assert build(f"array of {count} ones", np.ones(count)) is None
refused = {"array of 1, 1, 2": np.array([1.0, 1.0, 2.0]), "list of 3 ones": [1.0, 1.0, 1.0]}
for name, weights in refused.items():
    assert "Length of weights differs" in build(name, weights)
PYTHON
