"""A session of the Python client sends many requests over one stream of a real server."""

from __future__ import annotations

import concurrent.futures
import itertools
import re
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import grpc
import lossd
import numpy as np
import pytest
from running_server import RunningServer, running_server
from session_cases import CASES, FAILURES, LOGITS, TARGETS, assert_equal

ZEROS = np.zeros(4, np.float32)
HALF = pytest.approx(np.log(2), rel=1e-6)


@pytest.fixture(scope="module", name="server")
def start_server() -> Iterator[RunningServer]:
    with running_server() as server:
        yield server


@pytest.fixture(name="client")
def connect(server: RunningServer) -> Iterator[lossd.Client]:
    with lossd.Client(server.address) as client:
        yield client


def counted(server: RunningServer, method: str) -> dict[str, int]:
    """Returns how many calls of a method have ended, by their code."""
    with urllib.request.urlopen(f"http://{server.metrics}/metrics", timeout=10) as page:
        text = page.read().decode()
    found = re.findall(r"^lossd_requests_total{([^}]*)} (\S+)$", text, re.M)
    labels = [(dict(re.findall(r'(\w+)="([^"]*)"', names)), int(float(n))) for names, n in found]
    return {names["code"]: n for names, n in labels if names["method"] == method and n}


@pytest.mark.parametrize("name", CASES)
def test_a_result_has_the_bits_of_a_call(client: lossd.Client, name: str) -> None:
    logits, targets, options = CASES[name]
    expected = client.compute_loss(logits, targets, **options)
    with client.session() as session:
        future = session.submit(logits, targets, **options)
        assert_equal(session.compute_loss(logits, targets, **options), expected)
        assert_equal(future.result(), expected)


@pytest.mark.parametrize("name", FAILURES)
def test_a_failure_is_the_error_of_a_call_and_of_its_request_alone(
    client: lossd.Client, name: str
) -> None:
    logits, targets, options = FAILURES[name]
    with pytest.raises((lossd.LossdError, ValueError)) as called:
        client.compute_loss(logits, targets, **options)
    with client.session() as session:
        before = session.submit(ZEROS, ZEROS)
        with pytest.raises(type(called.value)) as raised:
            session.submit(logits, targets, **options).result()
        after = session.submit(ZEROS, ZEROS)
        assert before.result().loss == after.result().loss == HALF
    assert str(raised.value) == str(called.value)
    if isinstance(called.value, lossd.LossdError):
        assert isinstance(raised.value, lossd.LossdError)
        assert raised.value.code is grpc.StatusCode.INVALID_ARGUMENT


@pytest.mark.parametrize("timeout", [0, -1, float("nan"), "soon"])
def test_a_timeout_that_is_none_is_refused(client: lossd.Client, timeout: Any) -> None:
    with client.session() as session:
        for ask in (client.compute_loss, session.compute_loss, session.submit):
            with pytest.raises((ValueError, TypeError), match="^timeout: "):
                ask(ZEROS, ZEROS, timeout=timeout)


def test_requests_of_many_threads_share_messages_and_keep_their_answers() -> None:
    with running_server() as server, lossd.Client(server.address) as client:
        with client.session() as session:

            def ask(first: int) -> list[Any]:
                outcomes: list[Any] = []
                for index in range(first, 10_000, 8):
                    logits = np.full(3, index, np.float32)
                    try:
                        targets = np.zeros(3 + (index % 5 == 0), np.float32)
                        outcomes.append(session.compute_loss(logits, targets, timeout=60).loss)
                    except lossd.LossdError as error:
                        outcomes.append(error.code)
                return outcomes

            with concurrent.futures.ThreadPoolExecutor(8) as executor:
                outcomes = list(executor.map(ask, range(8)))
        for first in range(8):
            for index, outcome in zip(range(first, 10_000, 8), outcomes[first], strict=True):
                if index % 5 == 0:
                    assert outcome is grpc.StatusCode.INVALID_ARGUMENT
                else:
                    assert outcome == pytest.approx(np.logaddexp(0, index), rel=1e-6)
        assert counted(server, "ComputeLosses") == {"OK": 8000, "INVALID_ARGUMENT": 2000}


def test_map_yields_results_in_order(client: lossd.Client) -> None:
    logits = [np.full(2, index, np.float32) for index in range(40, 1040)]
    with client.session() as session:
        results = session.map(logits, itertools.repeat(ZEROS[:2], 1000), reduction="sum")
        assert [result.loss for result in results] == [2 * index for index in range(40, 1040)]
        with pytest.raises(ValueError, match="^targets: only 1, and there are more logits"):
            list(session.map(logits, [ZEROS[:2]]))
        with pytest.raises(ValueError, match="^logits: only 2, and there are more targets"):
            list(session.map(logits[:2], itertools.repeat(ZEROS[:2])))
        some = session.map(logits, [ZEROS[:2]] * 500 + [ZEROS] * 500)
        assert [next(some).loss for _ in range(500)] == list(range(40, 540))
        with pytest.raises(lossd.LossdError, match="^INVALID_ARGUMENT: targets"):
            next(some)
        assert list(session.map([], [])) == []


def test_what_is_not_taken_from_map_is_cancelled(client: lossd.Client) -> None:
    with client.session() as session:
        results = session.map([ZEROS] * 600, [ZEROS] * 600)
        assert next(results).loss == HALF
        results.close()
        assert session.compute_loss(ZEROS, ZEROS).loss == HALF


def test_a_gradient_goes_to_its_place(client: lossd.Client) -> None:
    expected = client.compute_loss(LOGITS, TARGETS, second_derivative=True)
    out, second_out = np.zeros_like(LOGITS), np.zeros_like(LOGITS)
    with client.session() as session:
        result = session.compute_loss(
            LOGITS,
            TARGETS,
            gradient_out=out,
            second_derivative=True,
            second_derivative_out=second_out,
        )
        assert result.gradient is out
        plain = np.zeros_like(LOGITS)
        assert session.submit(LOGITS, TARGETS, gradient_out=plain).result().gradient is plain
    assert expected.gradient.tobytes() == out.tobytes() == plain.tobytes()
    assert expected.second_derivative.tobytes() == second_out.tobytes()


def test_pytorchs_tensors_have_gradients_of_their_own(client: lossd.Client) -> None:
    torch = pytest.importorskip("torch")
    logits, targets = torch.tensor(LOGITS, dtype=torch.bfloat16), torch.tensor(TARGETS)
    expected = client.compute_loss(logits, targets)
    with client.session() as session:
        result = session.compute_loss(logits, targets)
    assert type(result.gradient) is torch.Tensor
    assert result.loss == expected.loss
    assert torch.equal(result.gradient, expected.gradient)


def test_arrays_may_change_once_they_are_submitted(client: lossd.Client) -> None:
    expected = client.compute_loss(LOGITS, TARGETS)
    with client.session() as session:
        logits = LOGITS.copy()
        future = session.submit(logits, TARGETS)
        logits[:] = np.nan
        assert_equal(future.result(), expected)


def test_a_loss_that_is_too_large_for_one_message_is_streamed(server: RunningServer) -> None:
    with lossd.Client(server.address, stream_above_bytes=100) as client:
        expected = client.compute_loss(LOGITS, TARGETS)
        with client.session() as session:
            assert_equal(session.compute_loss(LOGITS, TARGETS), expected)
            with pytest.raises(lossd.LossdError, match="^INVALID_ARGUMENT: targets"):
                session.submit(LOGITS, TARGETS + 1).result()
            assert session.compute_loss(ZEROS, ZEROS).loss == HALF
            last = session.submit(LOGITS, TARGETS)
        assert last.done()  # the end of the block waits for it too
    assert expected.execution.batch_requests is None


def test_tensors_in_shared_memory_are_named(tmp_path: Any) -> None:
    socket = tmp_path / "lossd"
    with (
        running_server(f"--shared_memory_socket={socket}") as server,
        lossd.SharedMemory(socket) as memory,
        lossd.Client(server.address, shared_memory=memory) as client,
        lossd.Client(server.address) as sending,
        client.session() as session,
    ):
        logits, targets, gradient = (memory.allocate(LOGITS.shape, np.float32) for _ in range(3))
        logits[:], targets[:] = LOGITS, TARGETS
        for _ in range(3):  # the request is kept for the next one
            gradient[:] = 0
            result = session.compute_loss(logits, targets, gradient_out=gradient)
            assert result.gradient is gradient
            assert_equal(
                result, sending.compute_loss(LOGITS, TARGETS, gradient_out=gradient.copy())
            )


def test_the_example_of_the_readme_runs(server: RunningServer) -> None:
    readme = Path(__file__).resolve().parents[2] / "client" / "python" / "README.md"
    section = readme.read_text(encoding="utf-8").split("## Many small requests")[1]
    example = section.split("```python\n")[1].split("```")[0]
    done = subprocess.run(
        [sys.executable, "-c", example.replace("localhost:50051", server.address)],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    logits = np.arange(1000) / 100
    assert float(done.stdout) == pytest.approx(np.logaddexp(0, logits).sum(), rel=1e-6)


def test_messages_are_within_the_bound_of_a_server() -> None:
    rng = np.random.default_rng(5)
    pairs = [
        (rng.normal(size=2048).astype(np.float32), rng.integers(0, 2, 2048).astype(np.float32))
        for _ in range(100)
    ]
    too_large = np.zeros(9000, np.float32)
    with (
        running_server("--max_message_bytes=65536") as server,
        lossd.Client(server.address) as client,
        client.session() as session,
    ):
        futures = [session.submit(*pair) for pair in pairs]
        refused = session.submit(too_large, too_large)
        futures += [session.submit(*pair) for pair in pairs]
        error = refused.exception(60)
        assert isinstance(error, lossd.LossdError)
        assert error.code is grpc.StatusCode.RESOURCE_EXHAUSTED
        assert "and the server takes 65536 (--max_message_bytes)" in error.message
        losses = [future.result(60).loss for future in futures]
        assert losses == 2 * [client.compute_loss(*pair).loss for pair in pairs]
