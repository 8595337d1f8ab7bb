"""A real server computes every loss, narrow type and form of targets."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from typing import Any

import grpc
import lossd
import messages
import ml_dtypes
import numpy as np
import pytest
import scipy.sparse
from lossd import conversion
from lossd.v1 import loss_service_pb2, tensor_pb2
from running_server import RunningServer, running_server


@pytest.fixture(scope="module", name="server")
def start_server() -> Iterator[RunningServer]:
    with running_server() as server:
        yield server


@pytest.fixture(scope="module", name="client")
def open_client(server: RunningServer) -> Iterator[lossd.Client]:
    with lossd.Client(server.address) as client:
        yield client


def softplus(x: np.ndarray) -> np.ndarray:
    return np.logaddexp(0, x)


def some_logits(shape: tuple[int, ...]) -> np.ndarray:
    return np.random.default_rng(7).normal(0, 3, shape)


def bytes_of(result: lossd.LossResult) -> tuple[Any, ...]:
    parts = [result.loss, result.normalizer, result.valid_count]
    arrays = [a for a in (result.losses, result.gradient) if a is not None]
    return (*parts, *(a.tobytes() for a in arrays), *(a.dtype for a in arrays))


@pytest.mark.parametrize("half", [ml_dtypes.bfloat16, np.float16])
def test_half_logits_with_bit_targets(client: lossd.Client, half: Any) -> None:
    x = some_logits((33, 13)).astype(half)
    t = np.random.default_rng(2).random(x.shape) < 0.5
    result = client.compute_loss(x, lossd.bits(t), reduction="none")
    wide = client.compute_loss(x.astype(np.float32), t, reduction="none", gradient_dtype="float32")
    assert result.gradient is not None
    assert result.losses is not None
    assert wide.gradient is not None
    assert wide.losses is not None
    assert result.gradient.dtype == result.losses.dtype == half
    # The server computes halves in float32 and rounds once.
    assert result.gradient.tobytes() == wide.gradient.astype(half).tobytes()
    assert result.losses.tobytes() == wide.losses.astype(half).tobytes()


FLOATS: list[Any] = [
    *(np.float32, np.float64, ml_dtypes.bfloat16, np.float16),
    *(ml_dtypes.float8_e4m3fn, ml_dtypes.float8_e5m2),
]


@pytest.mark.parametrize(("logits", "gradient"), list(itertools.product(FLOATS, FLOATS)))
def test_every_type_of_gradient_for_every_type_of_logits(
    client: lossd.Client, logits: Any, gradient: Any
) -> None:
    x = some_logits((50,)).astype(logits)
    t = np.arange(50) % 2
    result = client.compute_loss(x, t, reduction="none", gradient_dtype=gradient)
    assert result.gradient is not None
    assert result.losses is not None
    assert (result.gradient.dtype, result.losses.dtype) == (gradient, logits)
    wide = x.astype(np.float64)
    exact = np.where(t == 1, -1 / (1 + np.exp(wide)), 1 / (1 + np.exp(-wide)))
    step = max(ml_dtypes.finfo(gradient).eps, 0 if logits is np.float64 else 2.0**-23)
    least = float(ml_dtypes.finfo(gradient).smallest_subnormal) / 2
    np.testing.assert_allclose(
        result.gradient.astype(np.float64), exact, rtol=float(step), atol=least
    )


def test_operands_of_narrow_types_count_with_their_exact_values(client: lossd.Client) -> None:
    x = some_logits((6, 5))
    t = np.eye(6, 5)
    weights = np.array([0, 1, 2, 3, 4])
    expected = client.compute_loss(x, t, weights=weights.astype(np.float64), pos_weight=2.0)
    for dtype in (np.uint8, np.int32, np.int64, np.float16, ml_dtypes.bfloat16, np.float32):
        narrow = client.compute_loss(
            x, t, weights=weights.astype(dtype), pos_weight=np.array(2, dtype)
        )
        assert bytes_of(narrow) == bytes_of(expected), dtype


KINDS: list[dict[str, Any]] = [
    {},
    {"kind": "sigmoid_focal", "focal_gamma": 2.0, "focal_alpha": 0.25},
    {"kind": "asymmetric", "asymmetric_gamma_negative": 4.0, "asymmetric_margin": 0.05},
    {"label_smoothing": 0.1, "normalizer": "batch"},
    {"ignore_target": 1.0, "normalizer": "valid"},
]


@pytest.mark.parametrize("options", KINDS)
@pytest.mark.parametrize("dtype", [np.float32, np.float64, ml_dtypes.bfloat16])
def test_ones_have_the_bits_of_dense_targets(
    client: lossd.Client, options: dict[str, Any], dtype: Any
) -> None:
    x = some_logits((70, 61)).astype(dtype)
    dense = np.random.default_rng(1).random(x.shape) < 0.05
    sparse = scipy.sparse.csr_array(dense)
    expected = bytes_of(client.compute_loss(x, dense, **options))
    assert bytes_of(client.compute_loss(x, sparse, **options)) == expected
    ones = lossd.ones(sparse.indptr, sparse.indices)
    assert bytes_of(client.compute_loss(x, ones, **options)) == expected


@pytest.mark.parametrize("options", KINDS)
@pytest.mark.parametrize("shape", [(64, 64), (3, 900), (900, 3)])
@pytest.mark.parametrize("diagonal", [0, 2, -2, 1000])
def test_identity_has_the_bits_of_dense_targets(
    client: lossd.Client, options: dict[str, Any], shape: tuple[int, int], diagonal: int
) -> None:
    x = some_logits(shape).astype(np.float32)
    expected = client.compute_loss(x, np.eye(*shape, k=diagonal), **options)
    answer = client.compute_loss(x, lossd.identity(diagonal), **options)
    assert bytes_of(answer) == bytes_of(expected)


def test_siglip_is_the_mean_over_the_batch_of_identity_targets(client: lossd.Client) -> None:
    random = np.random.default_rng(4)
    images, texts = (random.normal(size=(48, 16)) for _ in range(2))
    images /= np.linalg.norm(images, axis=1, keepdims=True)
    texts /= np.linalg.norm(texts, axis=1, keepdims=True)
    logits = 10.0 * images @ texts.T - 10.0
    # The paper's pseudo-code is -sum(log_sigmoid(labels * logits)) / n.
    labels = 2 * np.eye(48) - 1
    loss = softplus(-labels * logits).sum() / 48
    gradient = -labels / (1 + np.exp(labels * logits)) / 48
    result = client.compute_loss(logits, lossd.identity(), normalizer="batch")
    assert result.loss == pytest.approx(loss, rel=1e-13)
    assert result.gradient is not None
    np.testing.assert_allclose(result.gradient, gradient, rtol=1e-12)


def test_bad_ones_are_named_by_field_index_and_values(client: lossd.Client) -> None:
    with pytest.raises(lossd.LossdError) as raised:
        client.compute_loss(np.zeros((2, 3)), lossd.ones([0, 1, 2], [0, 3]))
    assert raised.value.code == grpc.StatusCode.INVALID_ARGUMENT
    assert raised.value.message == "targets.ones.columns[1]: 3 is not in [0, 3)"


def test_typed_values_give_the_results_of_binary_data(server: RunningServer) -> None:
    x = [0.5, -1.25, 3.0, -40.0]
    t = [1, 0, 0, 1]
    with grpc.insecure_channel(server.address) as channel, lossd.Client(server.address) as client:
        typed = channel.unary_unary(
            conversion.COMPUTE_LOSS,
            request_serializer=loss_service_pb2.ComputeLossRequest.SerializeToString,
            response_deserializer=loss_service_pb2.ComputeLossResponse.FromString,
        )
        for dtype, options in itertools.product(FLOATS, KINDS[:3]):
            request = messages.to_request([0.0], [0.0], reduction="none", **options)
            number = messages.to_tensor("logits", np.zeros(1, dtype)).dtype
            request.logits.CopyFrom(tensor_pb2.Tensor(dtype=number, values=x))
            request.targets.CopyFrom(tensor_pb2.Tensor(values=t))
            reply = typed(request)
            result = client.compute_loss(
                np.array(x, dtype), np.array(t), reduction="none", **options
            )
            assert result.gradient is not None
            assert result.losses is not None
            assert list(reply.gradient.values) == result.gradient.astype(np.float64).tolist()
            assert list(reply.losses.values) == result.losses.astype(np.float64).tolist()
            assert reply.gradient.dtype == number
