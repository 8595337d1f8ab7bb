"""Losses of rows and their mean from a real server, beside NumPy's, in messages and in streams."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from typing import Any

import lossd
import numpy as np
import pytest
from lossd import streaming
from running_server import running_server


@pytest.fixture(scope="module", name="address")
def start_server() -> Iterator[str]:
    with running_server() as server:
        yield server.address


@pytest.fixture(scope="module", name="client")
def open_client(address: str) -> Iterator[lossd.Client]:
    with lossd.Client(address) as client:
        yield client


def sigmoid(x: np.ndarray) -> np.ndarray:
    return 1 / (1 + np.exp(-x))


def entropy(x: np.ndarray, t: np.ndarray) -> np.ndarray:
    return t * np.logaddexp(0, -x) + (1 - t) * np.logaddexp(0, x)


def some_logits(shape: tuple[int, ...]) -> np.ndarray:
    return np.random.default_rng(1).normal(0, 3, shape)


def row_divisor(name: str, w: np.ndarray, valid: np.ndarray) -> float:
    return {
        "elements": len(w),
        "valid": max(1, valid.sum()),
        "batch": 1,
        "nonzero_weights": max(1, ((w != 0) & valid).sum()),
        "weight_sum": (w * valid).sum(),
        "caller": 7.5,
    }[name]


NORMALIZERS = ["elements", "valid", "batch", "nonzero_weights", "weight_sum", "caller"]


@pytest.mark.parametrize("normalizer", NORMALIZERS)
@pytest.mark.parametrize("shape", [(40, 1), (30, 7), (5, 3000), (200,), (3, 4, 50)])
def test_rows_have_divisors_of_their_own(
    client: lossd.Client, normalizer: Any, shape: tuple[int, ...]
) -> None:
    random = np.random.default_rng(5)
    x = some_logits(shape)
    t: np.ndarray = random.choice([0.0, 1.0, -1.0], shape)
    w: np.ndarray = random.choice([0.0, 0.5, 2.0], shape)
    t[0], w[1] = -1, 0  # a row without valid elements, and one without weight
    upstream = random.normal(0, 1, shape[0])
    value = {"normalizer_value": 7.5} if normalizer == "caller" else {}
    options: dict[str, Any] = {"ignore_target": -1, "weights": w, **value}
    rows = client.compute_loss(
        x,
        t,
        reduction="rows",
        normalizer=normalizer,
        upstream_gradient=upstream,
        second_derivative=True,
        **options,
    )
    assert rows.losses is not None
    assert rows.losses.shape == shape[:1]
    mean = client.compute_loss(x, t, reduction="mean_of_rows", normalizer=normalizer, **options)
    valid = t != -1
    exact, of_rows = np.zeros(shape[0]), np.zeros(shape)
    bends = np.zeros(shape)
    counted = valid.reshape(shape[0], -1).any(axis=1)
    for r in range(shape[0]):
        divisor = row_divisor(normalizer, np.ravel(w[r]), np.ravel(valid[r]))
        if divisor == 0:
            continue
        factor = w[r] * valid[r] / divisor
        exact[r] = (factor * entropy(x[r], t[r])).sum()
        of_rows[r] = factor * (sigmoid(x[r]) - t[r])
        bends[r] = factor * sigmoid(x[r]) * sigmoid(-x[r])
    each = upstream.reshape((-1,) + (1,) * (len(shape) - 1))
    np.testing.assert_allclose(rows.losses, exact, rtol=1e-12)
    np.testing.assert_allclose(rows.gradient, of_rows * each, rtol=1e-10, atol=1e-15)
    np.testing.assert_allclose(rows.second_derivative, bends * each, rtol=1e-10, atol=1e-15)
    assert mean.normalizer == counted.sum()
    assert mean.loss == pytest.approx(exact[counted].sum() / counted.sum(), rel=1e-12)
    np.testing.assert_allclose(mean.gradient, of_rows / counted.sum(), rtol=1e-10, atol=1e-15)


@pytest.mark.parametrize("counted", [False, True])
def test_an_upstream_gradient_that_is_refused_is_named_as_it_was_sent(
    client: lossd.Client, counted: bool
) -> None:
    x = np.zeros((3, 2), np.float32)
    t = np.array([[0, 1], [-1, 1], [1, 1]]) if counted else np.ones((3, 2))
    options: dict[str, Any] = {"normalizer": "valid", "ignore_target": -1} if counted else {}
    with pytest.raises(lossd.LossdError, match=r"upstream_gradient\[1\]: 1e\+300 is infinite"):
        client.compute_loss(
            x, t, reduction="rows", upstream_gradient=[1, 1e300, 2], loss_weight=0.5, **options
        )


def test_rows_of_a_stream_have_the_bits_of_one_message(address: str) -> None:
    x = some_logits((50, 9000)).astype(np.float32)
    t: np.ndarray = (np.arange(x.size) % 3 == 0).reshape(x.shape).astype(np.uint8)
    upstream = np.linspace(-1, 1, 50)
    results: list[tuple[Any, Any]] = []
    for limit in (0, 1 << 30):
        with lossd.Client(address, stream_above_bytes=limit) as client:
            rows = client.compute_loss(
                x, t, reduction="rows", upstream_gradient=upstream, losses_dtype="float64"
            )
            mean = client.compute_loss(x, t, reduction="mean_of_rows", loss_weight=3)
            results.append((rows, mean))
    for one, other in zip(*results, strict=True):
        assert one.loss == other.loss
        assert one.normalizer == other.normalizer
        assert (one.gradient == other.gradient).all()
    streamed, whole = (np.asarray(rows.losses) for rows, _ in results)
    assert streamed.tobytes() == whole.tobytes()
    assert streamed.shape == (50,)


@pytest.mark.parametrize(
    ("options", "streamed"),
    [
        ({"reduction": "rows"}, True),
        ({"reduction": "rows", "ignore_target": 0}, True),
        ({"reduction": "ROWS", "normalizer": "valid"}, True),
        ({"reduction": "rows", "normalizer": "valid", "ignore_target": 0}, False),
        ({"reduction": "rows", "normalizer": "nonzero_weights"}, True),
        ({"reduction": "rows", "normalizer": "weight_sum", "weights": [1.0, 2, 3]}, False),
        ({"reduction": "rows", "weights": [1.0, 2, 3]}, True),
        ({"reduction": "mean_of_rows"}, True),
        ({"reduction": "mean_of_rows", "ignore_target": 0}, False),
        ({"reduction": "mean", "normalizer": "valid", "ignore_target": 0}, True),
    ],
)
def test_rows_whose_divisors_are_counted_are_sent_in_one_message(
    address: str, options: dict[str, Any], streamed: bool
) -> None:
    assert streaming.takes(options) == streamed
    x, t = some_logits((5, 3)), np.zeros((5, 3))
    with lossd.Client(address, stream_above_bytes=0) as client:
        result = client.compute_loss(x, t, **options)
    # The server tells a batch of one message apart from a stream, which names no batch.
    assert (result.execution.batch_requests is None) == streamed


def test_a_stream_takes_upstream_gradients_of_rows_of_one_element(address: str) -> None:
    x = some_logits((3000,))
    t = np.zeros(3000)
    upstream = np.linspace(-1, 1, 3000)
    results = []
    for limit in (0, 1 << 30):
        with lossd.Client(address, stream_above_bytes=limit) as client:
            results.append(client.compute_loss(x, t, reduction="rows", upstream_gradient=upstream))
    assert (results[0].gradient == results[1].gradient).all()
    np.testing.assert_allclose(results[0].gradient, upstream * sigmoid(x), rtol=1e-12)
    assert results[0].losses is not None
    assert results[0].losses.tobytes() == np.asarray(results[1].losses).tobytes()


def test_rows_from_an_event_loop(address: str) -> None:
    x = some_logits((30, 7))
    t = np.zeros((30, 7))
    options: dict[str, Any] = {"reduction": "rows", "normalizer": "valid", "ignore_target": 1}

    async def ask(limit: int) -> Any:
        async with lossd.AsyncClient(address, stream_above_bytes=limit) as client:
            return await client.compute_loss(x, t, **options)

    with lossd.Client(address) as client:
        blocking = client.compute_loss(x, t, **options)
    # A stream cannot count within rows, so a client sends them in one message whatever its limit.
    for limit in (0, 1 << 30):
        result = asyncio.run(ask(limit))
        assert result.losses.tobytes() == np.asarray(blocking.losses).tobytes()
        assert result.losses.shape == (30,)


def test_an_upstream_gradient_broadcasts(client: lossd.Client) -> None:
    x = some_logits((6, 5))
    t = np.zeros((6, 5))
    each = np.arange(6.0).reshape(6, 1)
    narrow = client.compute_loss(x, t, reduction="none", upstream_gradient=each)
    wide = client.compute_loss(
        x, t, reduction="none", upstream_gradient=np.broadcast_to(each, x.shape)
    )
    assert (narrow.gradient == wide.gradient).all()
    by_column = client.compute_loss(x, t, reduction="none", upstream_gradient=np.arange(5.0))
    np.testing.assert_allclose(by_column.gradient, sigmoid(x) * np.arange(5.0))


def test_rows_that_cannot_be(client: lossd.Client) -> None:
    x = np.zeros((6, 5), np.float32)
    for shape in ((5,), (1, 6), (6, 5), (6, 1, 1)):
        with pytest.raises(lossd.LossdError, match="one for each of the 6 rows"):
            client.compute_loss(x, x, reduction="rows", upstream_gradient=np.zeros(shape))
    with pytest.raises(lossd.LossdError, match="a reduced loss takes 1"):
        client.compute_loss(x, x, reduction="mean_of_rows", upstream_gradient=np.zeros(6))
    with pytest.raises(lossd.LossdError, match="rows are the first dimension"):
        client.compute_loss(np.float32(1), np.float32(1), reduction="rows")
    bad = np.ones(6)
    bad[4] = np.nan
    with pytest.raises(lossd.LossdError, match=r"upstream_gradient\[4\]"):
        client.compute_loss(
            x, x + 1, reduction="rows", upstream_gradient=bad, ignore_target=0, normalizer="valid"
        )
    empty = client.compute_loss(np.zeros((3, 0)), np.zeros((3, 0)), reduction="rows")
    assert empty.losses is not None
    assert (empty.losses == np.zeros(3)).all()
