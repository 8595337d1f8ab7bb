"""Tests of the demo's network, and of the local loss that judges the served one."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).parents[3] / "client" / "python" / "examples"))

from digits_model import Network, Optimizer, local_loss  # noqa: E402


def test_the_local_loss_is_right_in_the_middle_and_in_the_tails() -> None:
    logits = np.array([[0.0, -100.0], [2.0, 100.0]])
    targets = np.array([[1, 0], [0, 0]], dtype=np.uint8)
    loss, gradient = local_loss(logits, targets)
    expected = (np.log(2) + 0 + np.log1p(np.exp(2)) + 100) / 4
    assert abs(loss - expected) < 1e-14
    np.testing.assert_allclose(
        gradient * 4, [[-0.5, np.exp(-100)], [1 / (1 + np.exp(-2)), 1]], rtol=1e-12
    )


def test_every_parameters_gradient_is_that_of_finite_differences() -> None:
    random = np.random.default_rng(3)
    images = random.random((5, 64))
    targets = np.eye(10, dtype=np.uint8)[:5]
    network = Network(seed=1)
    hidden, logits = network.forward(images)
    gradients = network.backward(images, hidden, local_loss(logits, targets)[1])
    step = 1e-6
    for parameter, gradient in zip(network.parameters, gradients, strict=True):
        assert parameter.shape == gradient.shape
        direction = random.normal(size=parameter.shape)
        losses = []
        for sign in (1, -2):  # one step forward, then two steps back
            parameter += sign * step * direction
            losses.append(local_loss(network.forward(images)[1], targets)[0])
        parameter += step * direction
        slope = (losses[0] - losses[1]) / (2 * step)
        assert abs(slope - (gradient * direction).sum()) < 1e-8


def test_momentum_carries_a_step_over_to_the_next() -> None:
    parameters = [np.zeros(1)]
    optimizer = Optimizer(rate=0.5, momentum=0.5)
    optimizer.apply(parameters, [np.ones(1)])
    assert parameters[0][0] == -0.5
    optimizer.apply(parameters, [np.zeros(1)])
    assert parameters[0][0] == -0.75
