"""Streams whose normalizer is a count that only the end knows have the unary call's derivatives."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from typing import Any

import lossd
import ml_dtypes
import numpy as np
import pytest
from running_server import RunningServer, running_server

E4M3, E5M2 = ml_dtypes.float8_e4m3fn, ml_dtypes.float8_e5m2
TYPES = [np.float32, np.float64, np.float16, ml_dtypes.bfloat16, E4M3, E5M2]
COUNT = 300_001
IGNORED = {"ignore_target": 255, "normalizer": "valid"}


@pytest.fixture(scope="module", name="server")
def start_server() -> Iterator[RunningServer]:
    with running_server() as server:
        yield server


def both(
    server: RunningServer, logits: Any, targets: Any, **options: Any
) -> list[lossd.LossResult[Any, Any]]:
    """Returns the results of one request, sent as one message and as a stream."""
    results = []
    for above in (1 << 40, 0):
        with lossd.Client(server.address, stream_above_bytes=above) as client:
            results.append(client.compute_loss(logits, targets, **options))
    return results


def random_data(dtype: Any) -> tuple[np.ndarray, np.ndarray]:
    random = np.random.default_rng(8)
    targets = random.integers(0, 2, COUNT).astype(np.uint8)
    targets[::7] = 255
    return random.normal(0, 6, COUNT).astype(dtype), targets


@pytest.mark.parametrize("wanted", TYPES)
@pytest.mark.parametrize("dtype", TYPES)
def test_both_derivatives_have_the_bits_of_the_unary_call(
    server: RunningServer, dtype: Any, wanted: Any
) -> None:
    logits, targets = random_data(dtype)
    for scale in (1.0, 3000.0 * COUNT):
        unary, stream = both(
            server,
            logits,
            targets,
            **IGNORED,
            gradient_dtype=wanted,
            second_derivative=True,
            pos_weight=1000,
            upstream_gradient=np.float32(scale),
        )
        assert stream.loss == unary.loss
        assert stream.gradient.dtype == unary.gradient.dtype == wanted
        assert stream.gradient.tobytes() == unary.gradient.tobytes()
        assert stream.second_derivative.tobytes() == unary.second_derivative.tobytes()


def test_a_small_derivative_of_float8_is_not_0_before_it_is_scaled(server: RunningServer) -> None:
    logits, targets = np.full(3000, -8, E4M3), np.zeros(3000, np.uint8)
    targets[5] = 255
    unary, stream = both(
        server, logits, targets, **IGNORED, upstream_gradient=np.float32(1024 * 2999)
    )
    assert unary.gradient[0] == 0.34375
    assert stream.gradient.tobytes() == unary.gradient.tobytes()


def test_a_large_derivative_of_float8_is_no_nan_before_it_is_scaled(server: RunningServer) -> None:
    logits, targets = np.full(3000, -8, E4M3), np.ones(3000, np.uint8)
    targets[5] = 255
    unary, stream = both(server, logits, targets, **IGNORED, pos_weight=1000)
    assert unary.gradient[0] == -0.34375
    assert stream.gradient.tobytes() == unary.gradient.tobytes()


def test_weights_of_0_and_1_keep_the_bits_and_others_round_once_more(
    server: RunningServer,
) -> None:
    logits, targets = random_data(np.float32)
    random = np.random.default_rng(9)
    options = {"normalizer": "weight_sum", "gradient_dtype": E4M3, "loss_weight": 2.0 * COUNT}
    mask = random.integers(0, 2, COUNT).astype(np.float32)
    unary, stream = both(server, logits, targets % 2, weights=mask, **options)
    assert stream.gradient.tobytes() == unary.gradient.tobytes()
    weights = random.random(COUNT).astype(np.float32)
    unary, stream = both(server, logits, targets % 2, weights=weights, **options)
    np.testing.assert_allclose(
        stream.gradient.astype(float), unary.gradient.astype(float), rtol=2**-3, atol=2**-9
    )


@pytest.mark.parametrize("dtype", [np.float16, E4M3])
def test_a_place_for_the_gradient_gets_it_scaled(server: RunningServer, dtype: Any) -> None:
    logits, targets = random_data(np.float32)
    place = np.zeros(COUNT, dtype)
    options: dict[str, Any] = {**IGNORED, "upstream_gradient": np.float32(COUNT)}
    unary, stream = both(server, logits, targets, **options, gradient_out=place)
    assert stream.gradient is place
    with lossd.Client(server.address) as client:
        unary = client.compute_loss(logits, targets, **options, gradient_dtype=dtype)
    assert place.tobytes() == unary.gradient.tobytes()


def test_the_asyncio_client_scales_too(server: RunningServer) -> None:
    logits, targets = random_data(E4M3)
    options: dict[str, Any] = {**IGNORED, "upstream_gradient": np.float32(COUNT)}

    async def streamed() -> lossd.LossResult[Any, Any]:
        async with lossd.AsyncClient(server.address, stream_above_bytes=0) as client:
            return await client.compute_loss(logits, targets, **options)

    with lossd.Client(server.address) as client:
        unary = client.compute_loss(logits, targets, **options)
    assert asyncio.run(streamed()).gradient.tobytes() == unary.gradient.tobytes()


def test_an_empty_tensor_has_nothing_to_scale(server: RunningServer) -> None:
    unary, stream = both(server, np.zeros((0, 3), E4M3), np.zeros((0, 3), np.uint8), **IGNORED)
    assert stream.loss == unary.loss == 0
    assert stream.gradient.shape == (0, 3)
