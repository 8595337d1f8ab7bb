#!/usr/bin/env bash
# Package: numpyro 0.22.0 with jax and jaxlib 0.10.2, on the CPU.
#
# Behaviour: the gradient of Bernoulli(logits=x).log_prob(y) at x = 0 is 1 for y = 1 and 0 for
# y = 0. The right gradients are 0.5 and -0.5. The value is right, and so is the gradient at the
# neighbouring logits.
#
# Guess before the run: 0.5 and -0.5, because gradient-based inference is the purpose of the package.
#
# Output seen:
#   y = 1: gradient +1.0 at 0, +0.5 at 1e-06
#   y = 0: gradient +0.0 at 0, -0.5 at 1e-06
#
# Why it matters: a logit of exactly 0 is what a head with zero weights gives, so the first step of
# such a model sees no negative example at all and every positive one twice. Somebody who checks
# the gradients of a loss service against this package at 0 would blame the service.
set -euo pipefail

scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
python3 -m venv "$scratch/venv"
"$scratch/venv/bin/pip" install --quiet --no-compile --disable-pip-version-check \
  numpyro==0.22.0 jax==0.10.2 jaxlib==0.10.2 numpy==2.4.6

"$scratch/venv/bin/python" - << 'PYTHON'
import os

os.environ["JAX_PLATFORMS"] = "cpu"

import jax
import numpyro.distributions as dist


def gradient(logit, target):
    return float(jax.grad(lambda x: dist.Bernoulli(logits=x).log_prob(target))(logit))


for target in (1, 0):
    at_zero, beside = gradient(0.0, target), gradient(1e-6, target)
    print(f"y = {target}: gradient {at_zero:+.1f} at 0, {beside:+.1f} at 1e-06")
    assert abs(beside - (target - 0.5)) < 1e-3

assert gradient(0.0, 1) == 1.0
assert gradient(0.0, 0) == 0.0
PYTHON
