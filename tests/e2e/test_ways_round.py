"""The ways round of "Losses that are not here" in client/README.md give those losses' gradients."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import lossd
import numpy as np
import pytest
from running_server import running_server

Array = np.ndarray[Any, np.dtype[np.float64]]

LOGITS: Array = np.random.default_rng(3).normal(0, 2, (4, 3))
TARGETS: Array = np.array([[0.0, 1, 1], [1, 0, 0], [0, 0, 1], [1, 1, 0]])


@pytest.fixture(scope="module", name="client")
def open_client() -> Iterator[lossd.Client]:
    with running_server() as server, lossd.Client(server.address) as client:
        yield client


def sigmoid(x: Array) -> Array:
    return 1 / (1 + np.exp(-x))


def cross_entropy(x: Array) -> float:
    return float((np.logaddexp(0, x) - TARGETS * x).mean())


def differences(loss: Callable[[Array], float], at: Array) -> Array:
    """Returns the central differences of a loss by each element."""
    gradient = np.zeros_like(at)
    for place in np.ndindex(at.shape):
        step = np.zeros_like(at)
        step[place] = 1e-6
        gradient[place] = (loss(at + step) - loss(at - step)) / 2e-6
    return gradient


def test_probabilities(client: lossd.Client) -> None:
    p = sigmoid(LOGITS)

    def of_probabilities(p: Array) -> float:
        return float(-(TARGETS * np.log(p) + (1 - TARGETS) * np.log1p(-p)).mean())

    result = client.compute_loss(np.log(p) - np.log1p(-p), TARGETS)
    assert result.loss == pytest.approx(of_probabilities(p), rel=1e-12)
    np.testing.assert_allclose(
        result.gradient / (p * (1 - p)), differences(of_probabilities, p), rtol=1e-6
    )


def test_a_probability_near_1_has_lost_its_loss(client: lossd.Client) -> None:
    confident = np.array([20.0], np.float32)
    kept = client.compute_loss(confident, np.ones(1, np.float32)).loss
    assert kept == pytest.approx(2.061153618190204e-09, rel=1e-6)
    assert 1 / (1 + np.exp(-confident)) == 1  # whose loss is 0


def dice(x: Array) -> float:
    p = sigmoid(x)
    return float(1 - 2 * (p * TARGETS).sum() / (p.sum() + TARGETS.sum()))


def dice_gradient(x: Array) -> Array:
    p = sigmoid(x)
    whole = p.sum() + TARGETS.sum()
    by_p = -2 * TARGETS / whole + 2 * (p * TARGETS).sum() / whole**2
    return by_p * p * (1 - p)


def two_way(x: Array) -> float:
    """Returns the part of the two-way loss that goes over rows."""
    highest = np.log(np.where(TARGETS == 0, np.exp(x), 0).sum(axis=1))
    lowest = np.log(np.where(TARGETS == 1, np.exp(-x), 0).sum(axis=1))
    return float(np.logaddexp(0, highest + lowest).mean())


def two_way_gradient(x: Array) -> Array:
    up = np.where(TARGETS == 0, np.exp(x), 0)
    down = np.where(TARGETS == 1, np.exp(-x), 0)
    product = up.sum(axis=1, keepdims=True) * down.sum(axis=1, keepdims=True)
    shares = up / up.sum(axis=1, keepdims=True) - down / down.sum(axis=1, keepdims=True)
    return product / (1 + product) * shares / len(x)


@pytest.mark.parametrize(
    ("loss", "gradient"),
    [(dice, dice_gradient), (two_way, two_way_gradient)],
    ids=["dice", "two-way"],
)
def test_a_loss_beside_lossd(
    client: lossd.Client, loss: Callable[[Array], float], gradient: Callable[[Array], Array]
) -> None:
    result = client.compute_loss(LOGITS, TARGETS)
    np.testing.assert_allclose(
        result.gradient + gradient(LOGITS),
        differences(lambda x: cross_entropy(x) + loss(x), LOGITS),
        rtol=1e-6,
        atol=1e-9,
    )
