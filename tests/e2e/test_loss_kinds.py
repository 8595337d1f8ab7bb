"""A real server's focal and asymmetric losses match their definitions in NumPy."""

from __future__ import annotations

import re
import urllib.request
from collections.abc import Iterator
from typing import Any

import lossd
import numpy as np
import pytest
from running_server import running_server


@pytest.fixture(scope="module", name="client")
def open_client() -> Iterator[lossd.Client]:
    with running_server() as server, lossd.Client(server.address) as client:
        yield client


def softplus(x: np.ndarray) -> np.ndarray:
    return np.logaddexp(0, x)


def focal(x: np.ndarray, t: np.ndarray, gamma: float, alpha: float | None) -> np.ndarray:
    p = 1 / (1 + np.exp(-x))
    share = 1.0 if alpha is None else alpha * t + (1 - alpha) * (1 - t)
    p_t = p * t + (1 - p) * (1 - t)
    return share * (1 - p_t) ** gamma * (t * softplus(-x) + (1 - t) * softplus(x))


def asymmetric(x: np.ndarray, t: np.ndarray, positive: float, negative: float, margin: float):
    p = 1 / (1 + np.exp(-x))
    shifted = np.maximum(p - margin, 0)
    return t * (1 - p) ** positive * softplus(-x) - (1 - t) * shifted**negative * np.log1p(-shifted)


def slope(loss: Any, x: np.ndarray) -> np.ndarray:
    """Approximates the derivative by each logit by a difference of fourth order."""
    h = 1e-3
    near, far = loss(x + h) - loss(x - h), loss(x + 2 * h) - loss(x - 2 * h)
    return (8 * near - far) / (12 * h)


def some_logits(shape: tuple[int, ...]) -> np.ndarray:
    return np.random.default_rng(7).normal(0, 3, shape)


@pytest.mark.parametrize("gamma", [0.0, 0.5, 1.0, 2.0, 5.0])
@pytest.mark.parametrize("alpha", [None, 0.25])
def test_focal(client: lossd.Client, gamma: float, alpha: float | None) -> None:
    x = some_logits((30, 7))
    t: np.ndarray = np.random.default_rng(8).choice([0.0, 1.0, 0.3], x.shape)
    result = client.compute_loss(
        x, t, kind="sigmoid_focal", focal_gamma=gamma, focal_alpha=alpha, reduction="none"
    )
    assert result.losses is not None
    np.testing.assert_allclose(result.losses, focal(x, t, gamma, alpha), rtol=1e-12)
    expected = slope(lambda v: focal(v, t, gamma, alpha), x)
    assert result.gradient is not None
    np.testing.assert_allclose(result.gradient, expected, rtol=1e-8, atol=1e-10)


@pytest.mark.parametrize("parameters", [(1.0, 4.0, 0.05), (0.0, 0.0, 0.0), (2.0, 1.0, 0.2)])
def test_asymmetric(client: lossd.Client, parameters: tuple[float, float, float]) -> None:
    x = some_logits((30, 7))
    margin = parameters[2]
    if margin > 0:  # the derivative jumps where p == margin
        x = x[np.abs(1 / (1 + np.exp(-x)) - margin) > 0.01]
    t: np.ndarray = (np.random.default_rng(8).random(x.shape) < 0.4).astype(np.uint8)
    result = client.compute_loss(
        x,
        t,
        kind="asymmetric",
        asymmetric_gamma_positive=parameters[0],
        asymmetric_gamma_negative=parameters[1],
        asymmetric_margin=margin,
        reduction="none",
    )
    target = t.astype(np.float64)
    assert result.losses is not None
    np.testing.assert_allclose(result.losses, asymmetric(x, target, *parameters), rtol=1e-12)
    expected = slope(lambda v: asymmetric(v, target, *parameters), x)
    assert result.gradient is not None
    np.testing.assert_allclose(result.gradient, expected, rtol=1e-8, atol=1e-10)


def test_elements_are_counted_by_loss_and_type_of_logits() -> None:
    with running_server() as server, lossd.Client(server.address) as client:
        x = np.zeros((10, 3), np.float16)
        client.compute_loss(x, lossd.identity(), kind="sigmoid_focal", focal_gamma=2)
        client.compute_loss(
            x[:4],
            np.zeros((4, 3)),
            kind="asymmetric",
            asymmetric_gamma_negative=4,
            gradient_dtype="float64",
        )
        with urllib.request.urlopen(f"http://{server.metrics}/metrics", timeout=30) as reply:
            text = reply.read().decode()
    counted = dict(re.findall(r"^lossd_elements_total\{(\S+)\} (\d+)$", text, re.MULTILINE))
    assert {labels: count for labels, count in counted.items() if count != "0"} == {
        'loss="sigmoid_focal",dtype="float16"': "30",
        'loss="asymmetric",dtype="float16"': "12",
    }
