"""The arrays of a loss are used again, and never while somebody has them."""

from __future__ import annotations

import os
import pickle
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import lossd
import lossd.trees
import numpy as np
import pytest
from lossd.trees.buffers import Buffers
from running_server import RunningServer, running_server, stopped

pytest.importorskip("sklearn")

FLOAT = np.dtype(np.float32)


@pytest.fixture(scope="module", name="socket")
def socket_path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("server") / "socket"


@pytest.fixture(scope="module", name="server")
def start_server(socket: Path) -> Iterator[RunningServer]:
    with running_server(f"--shared_memory_socket={socket}") as server:
        yield server


@pytest.fixture(params=["sent", "shared"], name="client")
def open_client(
    request: pytest.FixtureRequest, server: RunningServer, socket: Path
) -> Iterator[lossd.Client]:
    memory = lossd.SharedMemory(socket) if request.param == "shared" else None
    with lossd.Client(server.address, shared_memory=memory) as client:
        yield client
    if memory is not None:
        memory.close()


def address(array: Any) -> int:
    return int(array.__array_interface__["data"][0])


def rows(count: int = 5000, seed: int = 1) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    random = np.random.default_rng(seed)
    raw = random.normal(0, 4, count).astype(np.float32)
    return random.random(count), raw, random.random(count)


def test_derivatives_that_are_kept_are_not_overwritten(client: lossd.Client) -> None:
    objective = lossd.trees.sklearn_loss(client).gradient_hessian
    kept = [objective(*rows(seed=seed)) for seed in range(3)]
    for seed, derivatives in enumerate(kept):
        for found, expected in zip(derivatives, objective(*rows(seed=seed)), strict=True):
            assert found.dtype == np.float32
            np.testing.assert_array_equal(found, expected)
    parts = objective(*rows(seed=4))[0][7:9]  # a part alone keeps the whole
    before = parts.copy()
    objective(*rows(seed=5))
    np.testing.assert_array_equal(parts, before)


def test_derivatives_that_are_gone_leave_their_memory_to_the_next(client: lossd.Client) -> None:
    objective = lossd.trees.sklearn_loss(client).gradient_hessian
    objective(*rows(9000))
    places = {tuple(map(address, objective(*rows(count)))) for count in (5000, 9000, 1, 5000)}
    assert len(places) == 1


def test_the_loss_of_shared_rows_is_that_of_sent_ones(server: RunningServer, socket: Path) -> None:
    labels, raw, weights = rows()
    with (
        lossd.Client(server.address) as sending,
        lossd.SharedMemory(socket) as memory,
        lossd.Client(server.address, shared_memory=memory) as sharing,
    ):
        sent, shared = (lossd.trees.sklearn_loss(client) for client in (sending, sharing))
        for some in (weights, None):
            expected = sent.gradient_hessian(labels, raw, some)
            found = shared.gradient_hessian(labels, raw, some)
            assert all(memory._reference(array) is not None for array in found)
            np.testing.assert_array_equal(found, expected)
            np.testing.assert_array_equal(
                shared.loss(labels, raw, some), sent.loss(labels, raw, some)
            )
        del found
        copied = pickle.loads(pickle.dumps(shared))
        np.testing.assert_array_equal(copied.gradient(labels, raw), expected[0])
        memory.close()  # what it holds stays, and more comes in the reply
        more = rows(20000)
        np.testing.assert_array_equal(shared.gradient_hessian(*more), sent.gradient_hessian(*more))


def test_memory_to_which_a_late_server_may_write_is_not_used_again(
    server: RunningServer, socket: Path
) -> None:
    labels, raw, _ = rows()
    with (
        lossd.SharedMemory(socket) as memory,
        lossd.Client(server.address, shared_memory=memory) as client,
    ):
        loss = lossd.trees.sklearn_loss(client)
        before = [memory._reference(array) for array in loss.gradient_hessian(labels, raw)]
        loss._lossd._timeout = 0.1
        with stopped(server), pytest.raises(ValueError, match="DEADLINE_EXCEEDED"):
            loss.gradient_hessian(labels, raw)
        loss._lossd._timeout = None
        assert None not in before
        found = loss.gradient_hessian(labels, raw)
        assert [memory._reference(array) for array in found] == [None, None]
        with lossd.Client(server.address) as other:
            expected = lossd.trees.sklearn_loss(other).gradient_hessian(labels, raw)
        np.testing.assert_array_equal(found, expected)


def test_labels_of_another_type_than_numbers_are_not_copied(client: lossd.Client) -> None:
    objective = lossd.trees.sklearn_loss(client).gradient_hessian
    for labels in (["a", "b"], [object(), 1]):
        with pytest.raises(ValueError, match="lossd: labels: dtype"):
            objective(np.array(labels), np.zeros(2))


def test_every_thread_has_blocks_of_its_own() -> None:
    buffers = Buffers(None)
    mine = address(buffers.array("a", (3,), FLOAT))
    theirs: list[int] = []
    thread = threading.Thread(
        target=lambda: theirs.append(address(buffers.array("a", (3,), FLOAT)))
    )
    thread.start()
    thread.join()
    assert theirs[0] != mine
    assert address(buffers.array("a", (3,), FLOAT)) == mine


def test_a_forked_process_does_not_write_to_memory_that_it_shares_with_its_parent(
    server: RunningServer, socket: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with lossd.SharedMemory(socket) as memory:
        buffers = Buffers(memory)
        assert memory._reference(buffers.array("a", (3,), FLOAT)) is not None
        here = os.getpid()
        monkeypatch.setattr("os.getpid", lambda: here + 1)
        assert memory._reference(buffers.array("a", (3,), FLOAT)) is None
        monkeypatch.undo()


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"label_smoothing": 0.1, "pos_weight": 3},
        {"kind": "sigmoid_focal", "focal_gamma": 2, "focal_alpha": 0.25},
        {
            "kind": "asymmetric",
            "asymmetric_gamma_positive": 1,
            "asymmetric_gamma_negative": 4,
            "asymmetric_margin": 0.05,
        },
        {"kind": "poly", "poly_epsilon": 1, "focal_gamma": 1},
        {"kind": "quality_focal", "focal_gamma": 2},
        {"kind": "varifocal", "focal_gamma": 2, "focal_alpha": 0.75},
    ],
)
def test_labels_sent_as_bits_give_the_bits_that_floats_give(
    client: lossd.Client, options: dict[str, Any]
) -> None:
    _, raw, weights = rows()
    labels = (raw > 1).astype(np.float32)
    found = lossd.trees.sklearn_loss(client, **options).gradient_hessian(labels, raw, weights)
    expected = client.compute_loss(
        raw, labels, weights=weights, reduction="sum", second_derivative=True, **options
    )
    np.testing.assert_array_equal(found[0], expected.gradient)
    np.testing.assert_array_equal(found[1], np.maximum(expected.second_derivative, 0))
