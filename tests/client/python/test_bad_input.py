"""Every argument of every public function, each with a wrong type, value or shape.

The error begins with the name of the argument. A parameter without a row makes a test fail.
"""

from __future__ import annotations

import asyncio
import inspect
import socket
from collections.abc import Callable
from pathlib import Path
from typing import Any

import lossd
import numpy as np
import pytest

NOBODY = "127.0.0.1:1"  # no server is here: a call would end with UNAVAILABLE
ZEROS = np.zeros((2, 3), np.float32)
MASKED = np.ma.masked_array(ZEROS, ZEROS == 0)
TENSORS = [None, "text", object(), MASKED, np.zeros((2, 3), "c8"), [[1.0], [1.0, 2.0]]]
OPERANDS = TENSORS[1:]  # None stands for the default
NUMBERS = ["1", b"1", True, [1.0], np.zeros(2), 1j, object(), 10**400]
CHOICES = [1, b"mean", "", "no_such", ["mean"], object()]
INTEGERS = [1.5, "1", True, [1], 1 << 63, object()]
FLAGS = ["yes", 2, 1.0, [True], object()]
PLACES = ["text", [0.0], ZEROS[:1], ZEROS.astype(np.int32), ZEROS.T, MASKED.astype(">f4")]
TIMES = ["1", True, [1], 0, -1, float("nan"), object()]
SHAPES = [3, "ab", (1.5,), (None,), (-1,), (1 << 63,), [True]]
INDICES: list[Any] = [None, "ab", [0.5], [[0, 1]], 3, [True], [None], MASKED]

BAD_CALL: dict[str, list[Any]] = {
    "logits": TENSORS,
    "targets": TENSORS,
    "timeout": TIMES,
    "weights": OPERANDS,
    "pos_weight": OPERANDS,
    "upstream_gradient": OPERANDS,
    "kind": [*CHOICES, None],
    "reduction": [*CHOICES, None],
    "normalizer": CHOICES,
    "normalizer_value": [*NUMBERS, 1.0],  # without normalizer="caller"
    "loss_weight": NUMBERS,
    "ignore_target": NUMBERS,
    "label_smoothing": [*NUMBERS, None],
    "label_smoothing_prior": [*NUMBERS, 0.3],  # without label_smoothing
    "focal_gamma": [*NUMBERS, None, 2.0],  # of another kind
    "focal_alpha": [*NUMBERS, 0.25],
    "asymmetric_gamma_positive": [*NUMBERS, None, 1.0],
    "asymmetric_gamma_negative": [*NUMBERS, None, 1.0],
    "asymmetric_margin": [*NUMBERS, None, 0.05],
    "poly_epsilon": [*NUMBERS, None, 1.0],
    "soft_targets": [*CHOICES, None, "mixture"],
    "detach_focus": [*FLAGS, None, True],
    "second_derivative": [*FLAGS, None],
    "gradient": [*FLAGS, None],
    "gradient_dtype": [5, "no_such", "int32", np.int64, [1.0], object()],
    "losses_dtype": [5, "no_such", "int32", np.int64, [1.0], object(), "float64"],
    "gradient_out": PLACES,
    "second_derivative_out": [*PLACES, np.zeros((2, 3), np.float32)],  # which nobody asked for
    "nan_policy": [*CHOICES, None],
    "target_range": [*CHOICES, None],
    "target_shape_rule": [*CHOICES, None],
    "request_id": [None, 7, b"id", "\ud800", ["id"]],
}
BAD_CLIENT: dict[str, list[Any]] = {
    "target": [None, 7, b"host:1", "", "host", "::1", "http://host:1", "host:0", "host:99999"],
    "credentials": ["tls", 7, True],
    "token": [7, b"token", "two\nlines", "é"],
    "job": [7, b"run", "two\nlines", "é", "long" * 17],
    "stream_above_bytes": [*INTEGERS, None, -1],
    "shared_memory": [7, "/path", object()],
    "wait_for_ready": [*FLAGS, None],
    "use_http_proxy": [*FLAGS, None, "http://proxy:1"],
    "channel_options": [7, "grpc.x=1", [("grpc.x", 1)], {1: 1}, {"grpc.x": 1.5}, {"x": 1 << 40}],
}
FUNCTIONS: dict[Callable[..., Any], tuple[dict[str, Any], dict[str, list[Any]]]] = {
    lossd.identity: ({}, {"diagonal": [*INTEGERS, None]}),
    lossd.ones: (
        {"row_splits": [0, 0, 0], "columns": []},
        {"row_splits": INDICES, "columns": INDICES, "shape": SHAPES},
    ),
    lossd.ones_from_lists: (
        {"lists": [[0], [1]]},
        {
            "lists": [None, 7, "ab", [0], [[0.5]], [["a"]], [[1, 1]], [[None]], [[[1]]]],
            "shape": SHAPES,
        },
    ),
    lossd.bits: (
        {"array": np.zeros(1, np.uint8), "shape": (2, 3)},
        {
            "array": [
                None,
                "ab",
                [0, 1],
                np.zeros(1, "i2"),
                np.zeros(2, "u1"),
                np.full(1, 64, "u1"),
            ],
            "shape": [*SHAPES, (9, 9)],
            "bitorder": [None, "", "BIG", 1],
        },
    ),
}
# The packed array is called as the targets are; a shape that does not fit is that array's fault.
OTHER_NAMES = {"array": "bits"}


def options_of(function: Callable[..., Any]) -> set[str]:
    """Returns the names of the parameters, with the options of compute_loss()."""
    parameters = dict(inspect.signature(function).parameters)
    names = set(parameters) - {"self", "options"}
    return names | set(lossd.LossOptions.__annotations__) if "options" in parameters else names


def rows(table: dict[str, list[Any]]) -> list[Any]:
    return [
        pytest.param(name, value, id=f"{name}-{index}")
        for name, values in table.items()
        for index, value in enumerate(values)
    ]


def assert_named(name: str, call: Callable[[], object]) -> None:
    with pytest.raises((TypeError, ValueError)) as raised:
        call()
    text = str(raised.value)
    assert text.startswith((f"{name}: ", f"{OTHER_NAMES.get(name, name)}: ")), text
    assert len(text) > len(name) + 12  # it says more than the name


def test_every_parameter_has_a_row() -> None:
    for client in (lossd.Client, lossd.AsyncClient):
        assert options_of(client.compute_loss) == set(BAD_CALL)
        assert options_of(client) == set(BAD_CLIENT)
        assert options_of(client.server_info) == {"timeout"}
    for function, (_, bad) in FUNCTIONS.items():
        assert options_of(function) == set(bad)
    assert options_of(lossd.SharedMemory) == {"path"}
    assert options_of(lossd.SharedMemory.allocate) == {"shape", "dtype"}
    functions = {name for name in lossd.__all__ if inspect.isfunction(getattr(lossd, name))}
    assert functions == {function.__name__ for function in FUNCTIONS}


@pytest.mark.parametrize("stream_above_bytes", [0, 1 << 20])
@pytest.mark.parametrize(("name", "value"), rows(BAD_CALL))
def test_a_call_names_its_bad_argument(name: str, value: Any, stream_above_bytes: int) -> None:
    arguments: dict[str, Any] = {"logits": ZEROS, "targets": ZEROS, name: value}

    async def ask() -> None:
        async with lossd.AsyncClient(NOBODY, stream_above_bytes=stream_above_bytes) as client:
            await client.compute_loss(**arguments)

    with lossd.Client(NOBODY, stream_above_bytes=stream_above_bytes) as client:
        assert_named(name, lambda: client.compute_loss(**arguments))
    assert_named(name, lambda: asyncio.run(ask()))


@pytest.mark.parametrize("client", [lossd.Client, lossd.AsyncClient])
@pytest.mark.parametrize(("name", "value"), rows(BAD_CLIENT))
def test_a_client_names_its_bad_argument(client: Any, name: str, value: Any) -> None:
    assert_named(name, lambda: client(**{"target": NOBODY, name: value}))


@pytest.mark.parametrize("value", TIMES)
def test_server_info_names_its_bad_argument(value: Any) -> None:
    async def ask() -> None:
        async with lossd.AsyncClient(NOBODY) as client:
            await client.server_info(value)

    with lossd.Client(NOBODY) as client:
        assert_named("timeout", lambda: client.server_info(value))
    assert_named("timeout", lambda: asyncio.run(ask()))


@pytest.mark.parametrize("function", FUNCTIONS, ids=lambda function: function.__name__)
def test_a_form_of_targets_names_its_bad_argument(function: Callable[..., Any]) -> None:
    good, bad = FUNCTIONS[function]
    function(**good)
    for name, values in bad.items():
        for value in values:
            arguments = {**good, name: value}
            if function is lossd.bits and name == "shape" and value == (9, 9):
                name = "array"
            assert_named(name, lambda arguments=arguments: function(**arguments))  # type: ignore[misc]


def test_shared_memory_names_its_bad_argument(tmp_path: Path) -> None:
    paths: list[Any] = [None, 7, b"/path", "\ud800", []]
    for path in paths:
        assert_named("path", lambda path=path: lossd.SharedMemory(path))  # type: ignore[misc]
    with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as listener:
        listener.bind(str(tmp_path / "server"))
        listener.listen()
        with lossd.SharedMemory(tmp_path / "server") as memory:
            for shape in (*SHAPES[1:], None, 1.5, -1, (1 << 62, 1 << 62)):
                assert_named("shape", lambda shape=shape: memory.allocate(shape, "f4"))  # type: ignore[misc]
            for dtype in ("no_such", object, 7, [("a", object)]):
                assert_named("dtype", lambda dtype=dtype: memory.allocate(1, dtype))  # type: ignore[misc]
