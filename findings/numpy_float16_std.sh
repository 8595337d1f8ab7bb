#!/usr/bin/env bash
# Package: numpy 2.4.6.
#
# Behaviour: the standard deviation of a float16 array is inf as soon as the sum of its squared
# deviations exceeds 65504, the largest float16. The mean of the same array is right, because mean()
# alone computes float16 in float32.
#
# Guess before the run: var() and std() have float32 intermediates too.
#
# Output seen: 2000 logits of +-6 have mean 0.0 and standard deviation inf; in float32 it is 6.0.
#
# Why it matters: float16 logits are common, and their mean and spread are what people log beside
# a loss or use to normalize. A spread of inf turns normalized logits into zeros, whose loss is
# an unsuspicious log 2.
set -euo pipefail

scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
python3 -m venv "$scratch/venv"
"$scratch/venv/bin/pip" install --quiet --no-compile --disable-pip-version-check \
  numpy==2.4.6

"$scratch/venv/bin/python" - << 'PYTHON'
import warnings

import numpy as np

warnings.simplefilter("ignore")

logits = np.tile(np.array([6, -6], np.float16), 1000)
mean, deviation, wide = logits.mean(), logits.std(), logits.std(dtype=np.float32)
print(f"mean {mean}, standard deviation {deviation}, with dtype=float32 {wide}")
normalized = (logits - mean) / deviation
print("normalized logits:", np.unique(np.abs(normalized)))

assert mean == 0 and wide == 6
assert np.isinf(deviation)
assert not normalized.any()
assert logits[:1000].std() == 6
PYTHON
