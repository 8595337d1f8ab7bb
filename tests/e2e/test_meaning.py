"""Requests whose meaning is in doubt are refused, in one message and as a stream."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import grpc
import lossd
import ml_dtypes
import numpy as np
import pytest
from running_server import RunningServer, running_server

LOGITS = np.linspace(-3, 3, 12, dtype=np.float32).reshape(3, 4)
TARGETS = (np.arange(12) % 2).reshape(3, 4)


@pytest.fixture(scope="module", name="server")
def start_server() -> Iterator[RunningServer]:
    with running_server() as server:
        yield server


@pytest.fixture(name="client", params=[1 << 40, 0], ids=["unary", "stream"])
def open_client(request: pytest.FixtureRequest, server: RunningServer) -> Iterator[lossd.Client]:
    with lossd.Client(server.address, stream_above_bytes=request.param) as client:
        yield client


def refusal(client: lossd.Client, logits: Any, targets: Any, **options: Any) -> str:
    with pytest.raises(lossd.LossdError) as raised:
        client.compute_loss(logits, targets, **options)
    assert raised.value.code == grpc.StatusCode.INVALID_ARGUMENT
    return raised.value.message


@pytest.mark.parametrize("dtype", [np.int8, np.int16])
def test_small_integers_are_targets_and_weights(client: lossd.Client, dtype: Any) -> None:
    weights = (np.arange(12) % 3).reshape(3, 4).astype(dtype)
    masked = np.where(np.arange(12).reshape(3, 4) == 5, -100, TARGETS)
    options: dict[str, Any] = {"ignore_target": -100, "normalizer": "weight_sum"}
    small = client.compute_loss(LOGITS, masked.astype(dtype), weights=weights, **options)
    wide = client.compute_loss(LOGITS, masked, weights=weights.astype(np.float32), **options)
    assert small.loss == wide.loss
    assert small.valid_count == 11
    assert small.gradient.tobytes() == wide.gradient.tobytes()


@pytest.mark.parametrize("name", ["weights", "pos_weight"])
@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_a_weight_that_is_not_finite_is_named(
    client: lossd.Client, name: str, value: float
) -> None:
    column: dict[str, Any] = {name: np.array([1, 1, value, 1], np.float32)}
    text = refusal(client, LOGITS, TARGETS, **column)
    assert text.startswith(f"{name}[2]: ")
    assert "is not finite" in text
    passed = client.compute_loss(LOGITS, TARGETS, nan_policy="propagate", **column)
    assert np.isfinite(passed.loss) == (name == "pos_weight")  # column 2 has no positive


def test_targets_of_another_layout_are_refused(client: lossd.Client) -> None:
    text = refusal(client, LOGITS.reshape(1, 3, 4), TARGETS.reshape(1, 4, 3))
    assert "[1, 4, 3] is not the logits' shape [1, 3, 4]" in text
    client.compute_loss(LOGITS.reshape(3, 1, 4), TARGETS.reshape(3, 4, 1))
    flat = client.compute_loss(
        LOGITS.reshape(3, 2, 2), TARGETS.reshape(3, 4), target_shape_rule="same_count"
    )
    assert flat.loss == client.compute_loss(LOGITS, TARGETS).loss


@pytest.mark.parametrize("dtype", [np.float32, np.float64, np.float16, ml_dtypes.bfloat16])
def test_nan_targets_take_no_part(client: lossd.Client, dtype: Any) -> None:
    targets = TARGETS.astype(dtype)
    targets[1, 2] = np.nan
    assert "targets[6]: NaN" in refusal(client, LOGITS, targets)
    result = client.compute_loss(LOGITS, targets, ignore_target=float("nan"), normalizer="valid")
    rest = np.arange(12) != 6
    alone = client.compute_loss(LOGITS.ravel()[rest], targets.ravel()[rest])
    assert result.valid_count == 11
    assert result.loss == pytest.approx(alone.loss, rel=1e-12)
    assert result.gradient[1, 2] == 0


@pytest.mark.parametrize(
    ("dtype", "ignored"),
    [(np.uint8, 0.5), (np.int8, 300), (np.uint8, -1), (np.bool_, 255), (np.int64, np.nan),
     (np.float32, 0.1), (np.float16, 0.1), (ml_dtypes.bfloat16, 257),
     (ml_dtypes.float8_e4m3fn, 500), (ml_dtypes.float8_e5m2, 255)],
)  # fmt: skip
def test_an_ignored_target_that_no_target_equals_is_refused(
    client: lossd.Client, dtype: Any, ignored: float
) -> None:
    text = refusal(client, LOGITS, TARGETS.astype(dtype), ignore_target=ignored)
    assert text.startswith("spec.ignore_target: ")
    assert f"is not a value of {np.dtype(dtype).name.rstrip('_')}" in text


@pytest.mark.parametrize(
    ("options", "text"),
    [
        ({"normalizer_value": 8.0}, "normalizer_value: is for normalizer caller"),
        ({"reduction": "sum", "normalizer": "batch"}, "normalizer: is for reduction mean"),
        ({"reduction": "none", "normalizer": "elements"}, "normalizer: is for reduction mean"),
        ({"asymmetric_margin": 0.05}, "asymmetric_margin: is for kind asymmetric"),
    ],
)
def test_an_option_that_nothing_reads_is_refused_before_the_call(
    client: lossd.Client, options: dict[str, Any], text: str
) -> None:
    with pytest.raises(ValueError, match=text):
        client.compute_loss(LOGITS, TARGETS, **options)


def test_a_gradient_of_rank_0_has_its_place(client: lossd.Client) -> None:
    out = np.empty((), np.float32)
    result = client.compute_loss(np.float32(0), np.float32(1), gradient_out=out)
    assert result.gradient is out
    assert out == -0.5


def test_a_stream_has_no_batch(server: RunningServer) -> None:
    with lossd.Client(server.address, stream_above_bytes=0) as client:
        execution = client.compute_loss(LOGITS, TARGETS).execution
    assert execution.backend.startswith("cpu/")
    assert execution.batch_requests is None
    assert execution.queue_time is None
