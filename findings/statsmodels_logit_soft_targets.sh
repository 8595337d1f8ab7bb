#!/usr/bin/env bash
# Package: statsmodels 0.15.0 with numpy 2.4.6, scipy 1.17.1 and pandas 3.1.1.
#
# Behaviour: Logit accepts targets between 0 and 1, and its score is the gradient of the
# cross-entropy, but its log-likelihood is another function: it does not have that gradient, and
# it is not the cross-entropy. Optimizers that follow the score and optimizers that compare values
# therefore report different parameters, and both report convergence.
#
# Guess before the run: the log-likelihood of a target of 0.7 is 0.7 log p + 0.3 log(1 - p).
#
# Output seen:
#   log-likelihood at 1: -2.6148, minus the cross-entropy: -2.9530
#   score at 1: -0.6242, slope of the log-likelihood at 1: +0.0212
#   newton: parameter 0.3023, converged; Nelder-Mead: parameter 1.0829, converged
#
# Why it matters: soft targets are common in training, and statsmodels is a natural reference to
# test a loss service against. Its parameters are right by default, while every loss, likelihood
# ratio and information criterion that it reports for soft targets is wrong.
set -euo pipefail

scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
python3 -m venv "$scratch/venv"
"$scratch/venv/bin/pip" install --quiet --no-compile --disable-pip-version-check \
  statsmodels==0.15.0 numpy==2.4.6 scipy==1.17.1 pandas==3.1.1

"$scratch/venv/bin/python" - << 'PYTHON'
import numpy as np
import statsmodels.api as sm

targets = np.array([0.2, 0.7, 0.5, 0.9])
model = sm.Logit(targets, np.ones((4, 1)))
one = np.array([1.0])
reported = model.loglike(one)
right = -np.sum(np.logaddexp(0.0, 1.0) - targets)
print(f"log-likelihood at 1: {reported:.4f}, minus the cross-entropy: {right:.4f}")
score = model.score(one)[0]
slope = (model.loglike(one + 1e-6) - model.loglike(one - 1e-6)) / 2e-6
print(f"score at 1: {score:+.4f}, slope of the log-likelihood at 1: {slope:+.4f}")
fits = {method: model.fit(disp=0, method=method) for method in ("newton", "nm")}
for method, fit in fits.items():
    print(f"{method}: {fit.params[0]:.4f}, converged: {fit.mle_retvals['converged']}")
    assert fit.mle_retvals["converged"]

assert abs(reported - right) > 0.3
assert score < -0.6 and slope > 0.0
assert abs(fits["newton"].params[0] - 0.3023) < 1e-3
assert abs(fits["nm"].params[0] - 1.0829) < 1e-2
PYTHON
