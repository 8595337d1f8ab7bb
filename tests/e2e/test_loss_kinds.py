"""A real server's losses and derivatives match their definitions in NumPy."""

from __future__ import annotations

import re
import urllib.request
from collections.abc import Iterator
from typing import Any

import lossd
import numpy as np
import pytest
from running_server import running_server


@pytest.fixture(scope="module", name="address")
def start_server() -> Iterator[str]:
    with running_server() as server:
        yield server.address


@pytest.fixture(scope="module", name="client")
def open_client(address: str) -> Iterator[lossd.Client]:
    with lossd.Client(address) as client:
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


def sigmoid(x: np.ndarray) -> np.ndarray:
    return 1 / (1 + np.exp(-x))


def entropy(x: np.ndarray, t: np.ndarray) -> np.ndarray:
    return t * softplus(-x) + (1 - t) * softplus(x)


def poly(x: np.ndarray, t: np.ndarray) -> np.ndarray:
    miss = 1 - (sigmoid(x) * t + sigmoid(-x) * (1 - t))
    return focal(x, t, 1.5, 0.25) + 2 * miss**2.5


def mixture(x: np.ndarray, t: np.ndarray) -> np.ndarray:
    ones, zeros = np.ones_like(t), np.zeros_like(t)
    return t * focal(x, ones, 2, 0.25) + (1 - t) * focal(x, zeros, 2, 0.25)


def quality(x: np.ndarray, t: np.ndarray) -> np.ndarray:
    return np.abs(t - sigmoid(x)) ** 2.5 * entropy(x, t)


def varifocal(x: np.ndarray, t: np.ndarray) -> np.ndarray:
    return np.where(t > 0, t * entropy(x, t), 0.75 * sigmoid(x) ** 2 * softplus(x))


FAMILY: list[tuple[Any, dict[str, Any]]] = [
    (entropy, {}),
    (poly, {"kind": "poly", "focal_gamma": 1.5, "focal_alpha": 0.25, "poly_epsilon": 2}),
    (
        mixture,
        {
            "kind": "sigmoid_focal",
            "focal_gamma": 2,
            "focal_alpha": 0.25,
            "soft_targets": "mixture",
        },
    ),
    (quality, {"kind": "quality_focal", "focal_gamma": 2.5}),
    (varifocal, {"kind": "varifocal", "focal_gamma": 2}),
]


@pytest.mark.parametrize("streamed", [False, True])
@pytest.mark.parametrize(("loss", "options"), FAMILY)
def test_the_family_with_both_derivatives(
    address: str, loss: Any, options: dict[str, Any], streamed: bool
) -> None:
    x = some_logits((30, 7))
    t: np.ndarray = np.random.default_rng(8).choice([0.0, 1.0, 0.3], x.shape)
    near = np.abs(sigmoid(x) - t) < 0.02  # the quality focal loss bends sharply there
    x[near] += 1
    limit = 0 if streamed else 1 << 30
    with lossd.Client(address, stream_above_bytes=limit) as client:
        result = client.compute_loss(x, t, reduction="none", second_derivative=True, **options)
    np.testing.assert_allclose(result.losses, loss(x, t), rtol=1e-11)
    first = slope(lambda v: loss(v, t), x)
    np.testing.assert_allclose(result.gradient, first, rtol=1e-8, atol=1e-9)
    h = 1e-3
    bend = (loss(x + h, t) - 2 * loss(x, t) + loss(x - h, t)) / h**2
    assert result.second_derivative.dtype == np.float64
    np.testing.assert_allclose(result.second_derivative, bend, rtol=1e-4, atol=1e-5)


def test_a_detached_power_is_a_constant_in_the_derivatives(client: lossd.Client) -> None:
    x = some_logits((200,))
    t: np.ndarray = (np.arange(200) % 3 == 0).astype(np.float64)
    power = (1 - (sigmoid(x) * t + sigmoid(-x) * (1 - t))) ** 2
    options: dict[str, Any] = {"kind": "sigmoid_focal", "focal_gamma": 2, "reduction": "sum"}
    result = client.compute_loss(x, t, detach_focus=True, second_derivative=True, **options)
    assert result.loss == client.compute_loss(x, t, **options).loss
    np.testing.assert_allclose(result.gradient, power * (sigmoid(x) - t), rtol=1e-9)
    np.testing.assert_allclose(
        result.second_derivative, power * sigmoid(x) * sigmoid(-x), rtol=1e-9
    )


def test_smoothing_towards_a_prior_is_a_smoothed_target(client: lossd.Client) -> None:
    x = some_logits((50, 4))
    t: np.ndarray = (np.random.default_rng(3).random(x.shape) < 0.25).astype(np.float64)
    smoothed = client.compute_loss(x, t, label_smoothing=0.2, label_smoothing_prior=0.25)
    sent = client.compute_loss(x, t * 0.8 + 0.2 * 0.25)
    assert smoothed.loss == pytest.approx(sent.loss, rel=1e-12)
    np.testing.assert_allclose(smoothed.gradient, sent.gradient, rtol=1e-9, atol=1e-12)


def test_a_nan_is_a_missing_label(client: lossd.Client) -> None:
    x = some_logits((40,))
    t: np.ndarray = (np.arange(40) % 2).astype(np.float64)
    t[::5] = np.nan
    known = ~np.isnan(t)
    result = client.compute_loss(x, t, ignore_target=float("nan"), normalizer="valid")
    alone = client.compute_loss(x[known], t[known])
    assert result.valid_count == known.sum()
    assert result.loss == pytest.approx(alone.loss, rel=1e-12)
    assert (result.gradient[~known] == 0).all()


def test_losses_of_half_logits_in_float32(client: lossd.Client) -> None:
    x = some_logits((300,)).astype(np.float16)
    t = np.ones(300, np.uint8)
    wide = client.compute_loss(x, t, reduction="none", losses_dtype="float32")
    assert wide.losses is not None
    assert wide.losses.dtype == np.float32
    np.testing.assert_allclose(wide.losses, softplus(-x.astype(np.float64)), rtol=1e-6)
    narrow = client.compute_loss(x, t, reduction="none")
    assert narrow.losses is not None
    assert (narrow.losses == wide.losses.astype(np.float16)).all()


def test_the_second_derivative_has_both_tails(client: lossd.Client) -> None:
    x: np.ndarray = np.array([-80, -20, 0, 20, 80], np.float32)
    for t in (0, 1):
        result = client.compute_loss(
            x, np.full(5, t, np.uint8), reduction="sum", second_derivative=True
        )
        exact = np.exp(-np.abs(x.astype(np.float64)))
        np.testing.assert_allclose(result.second_derivative, exact / (1 + exact) ** 2, rtol=2e-7)


def test_options_that_the_server_alone_refuses(client: lossd.Client) -> None:
    x = np.zeros(3, np.float32)
    for options, text in (
        ({"kind": "varifocal", "focal_gamma": 2, "label_smoothing": 0.1}, "spec.label_smoothing"),
        (
            {"kind": "quality_focal", "focal_gamma": 2, "target_range": "any"},
            "spec.target_range: TARGET_RANGE_ANY with LOSS_KIND_QUALITY_FOCAL",
        ),
        (
            {"label_smoothing": 0.1, "label_smoothing_prior": 2},
            r"spec.label_smoothing_prior: 2 is not in \[0, 1\]",
        ),
        ({"kind": "poly", "poly_epsilon": float("inf")}, "spec.poly_epsilon: inf is not finite"),
    ):
        with pytest.raises(lossd.LossdError, match=text):
            client.compute_loss(x, x, **options)  # type: ignore[arg-type]
