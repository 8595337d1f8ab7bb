"""The Python client and lossbench use a real server's shared memory."""

from __future__ import annotations

import asyncio
import gc
import pickle
import signal
import stat
import subprocess
import sys
from pathlib import Path
from typing import Any

import grpc
import lossd
import messages
import numpy as np
import pytest
from running_server import RunningServer, eventually, running_server
from shared_memory_server import LIMIT, shared_bytes, socket_path, start_server

fixtures = (socket_path, start_server)


def batch(
    memory: lossd.SharedMemory, shape: tuple[int, ...] = (40, 25)
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    random = np.random.default_rng(7)
    logits = memory.allocate(shape, np.float32)
    targets = memory.allocate(shape, np.float32)
    logits[:] = random.normal(0, 3, shape)
    targets[:] = random.random(shape) < 0.5
    return logits, targets, memory.allocate(shape, np.float32)


def test_a_pickled_connection_is_one_of_its_own(server: RunningServer, socket: str) -> None:
    with (
        lossd.SharedMemory(socket) as memory,
        lossd.Client(server.address, shared_memory=memory) as client,
        pickle.loads(pickle.dumps(client)) as other,
    ):
        logits, targets, gradient = batch(memory)
        # The arrays are the first connection's, so the second sends them.
        sent = other.compute_loss(logits, targets, gradient_out=gradient)
        before = gradient.tobytes()
        gradient[:] = 0
        named = client.compute_loss(logits, targets, gradient_out=gradient)
        assert named.loss == sent.loss
        assert gradient.tobytes() == before
        arrays = pickle.loads(pickle.dumps((logits, targets)))
        assert other.compute_loss(*arrays).loss == sent.loss


def test_the_answer_has_the_bytes_of_the_same_request_by_value(
    server: RunningServer, socket: str
) -> None:
    with lossd.SharedMemory(socket) as memory:
        logits, targets, gradient = batch(memory)
        with lossd.Client(server.address) as client:
            expected = client.compute_loss(logits, targets)
        with lossd.Client(server.address, shared_memory=memory) as client:
            result = client.compute_loss(logits, targets, gradient_out=gradient)
            again = client.compute_loss(logits, targets)
    assert expected.gradient is not None
    assert again.gradient is not None
    assert result.loss == again.loss == expected.loss
    assert result.gradient is gradient
    assert gradient.tobytes() == again.gradient.tobytes() == expected.gradient.tobytes()
    assert gradient.any()


def test_repeated_calls_see_what_the_arrays_hold_now(server: RunningServer, socket: str) -> None:
    with (
        lossd.SharedMemory(socket) as memory,
        lossd.Client(server.address, shared_memory=memory) as client,
        lossd.Client(server.address) as other,
    ):
        logits, targets, gradient = batch(memory)
        for step, normalizer in enumerate(["batch", "batch", "valid", "batch", "valid"]):
            logits *= 1 + step
            if step == 3:
                for array in (logits, targets, gradient):
                    array.shape = (25, 40)
            gradient[:] = 0
            options: dict[str, Any] = {"normalizer": normalizer}
            result = client.compute_loss(logits, targets, gradient_out=gradient, **options)
            expected = other.compute_loss(logits, targets, **options)
            assert result.gradient is gradient
            assert (result.loss, result.normalizer) == (expected.loss, expected.normalizer)
            assert expected.gradient is not None
            assert gradient.tobytes() == expected.gradient.tobytes()
        targets[0, 0] = 7
        with pytest.raises(lossd.LossdError, match="targets"):
            client.compute_loss(logits, targets, gradient_out=gradient)
        targets[0, 0] = 1
        del logits, targets
        gc.collect()
        logits, targets, _ = batch(memory)
        result = client.compute_loss(logits, targets, gradient_out=memory.allocate((40, 25), "f4"))
        assert result.loss == other.compute_loss(logits, targets).loss


def test_views_and_every_operand_are_named(server: RunningServer, socket: str) -> None:
    with (
        lossd.SharedMemory(socket) as memory,
        lossd.Client(server.address, shared_memory=memory) as client,
        lossd.Client(server.address) as other,
    ):
        logits, targets, gradient = batch(memory)
        weights = memory.allocate(25, np.float64)
        weights[:] = np.linspace(0, 2, 25)
        step = slice(3, 19)
        options: lossd.LossOptions = {
            "weights": weights,
            "pos_weight": weights,
            "normalizer": "valid",
        }
        placed: lossd.LossOptions = {**options, "gradient_out": gradient[16:32]}
        request = messages.to_request(logits[step], targets[step], memory=memory, **placed)
        for name in ("logits", "targets", "weights", "pos_weight"):
            assert getattr(request, name).HasField("shared_memory"), name
        assert request.HasField("gradient_destination")
        client.compute_loss(logits[step], targets[step], **placed)
        expected = other.compute_loss(logits[step], targets[step], **options)
    assert expected.gradient is not None
    assert gradient[16:32].tobytes() == expected.gradient.tobytes()
    assert not gradient[:16].any()
    assert not gradient[32:].any()


def test_arrays_that_are_not_contiguous_or_not_shared_are_sent(
    server: RunningServer, socket: str
) -> None:
    with (
        lossd.SharedMemory(socket) as memory,
        lossd.Client(server.address, shared_memory=memory) as client,
    ):
        logits, targets, gradient = batch(memory)
        own = np.array(logits[:, ::2])
        out = np.zeros((40, 13), np.float64)
        result = client.compute_loss(logits[:, ::2], targets[:, ::2], gradient_out=out)
        expected = client.compute_loss(own, np.array(targets[:, ::2]), gradient_dtype="float64")
        assert result.gradient is out
        assert expected.gradient is not None
        assert out.tobytes() == expected.gradient.tobytes()
        # A gradient at a misaligned place in shared memory is returned and copied there.
        odd = gradient.reshape(-1)[1:26]
        assert client.compute_loss(logits[0], targets[0], gradient_out=odd).gradient is odd
        assert odd.all()


def was_streamed(result: lossd.LossResult) -> bool:
    return result.execution.batch_requests is None  # a stream has no batch of its own


def test_only_tensors_that_are_sent_are_streamed(server: RunningServer, socket: str) -> None:
    with (
        lossd.SharedMemory(socket) as memory,
        lossd.Client(server.address, shared_memory=memory, stream_above_bytes=0) as client,
    ):
        logits, targets, gradient = batch(memory)
        named = client.compute_loss(logits, targets, gradient_out=gradient)
        assert not was_streamed(named)
        expected = gradient.copy()
        own = np.zeros_like(expected)
        result = client.compute_loss(logits, targets.copy(), gradient_out=own)
        assert result.gradient is own
        assert was_streamed(result)
        gradient[:] = 0
        result = client.compute_loss(logits, targets.copy(), gradient_out=gradient)
        assert was_streamed(result)
        assert own.tobytes() == gradient.tobytes() == expected.tobytes()
        with pytest.raises(ValueError, match="gradient_out: shape"):
            client.compute_loss(own, own, gradient_out=own[1:])


def test_gradient_out_must_fit(server: RunningServer, socket: str) -> None:
    with (
        lossd.SharedMemory(socket) as memory,
        lossd.Client(server.address, shared_memory=memory) as client,
    ):
        logits, targets, gradient = batch(memory)
        frozen = np.zeros(logits.shape, np.float32)
        frozen.flags.writeable = False
        for out, says in [
            (gradient[1:], "shape"),
            (gradient.astype(np.int32), "dtype int32 is none of float32"),
            (np.zeros((25, 40), np.float32).T, "C-contiguous"),
            (frozen, "writable"),
        ]:
            with pytest.raises((ValueError, lossd.LossdError), match=says):
                client.compute_loss(logits, targets, gradient_out=out)
        with pytest.raises(TypeError, match="list"):
            client.compute_loss(logits, targets, gradient_out=[0.0])
        with pytest.raises(ValueError, match="gradient=False"):
            client.compute_loss(logits, targets, gradient_out=gradient, gradient=False)
        with pytest.raises(ValueError, match="gradient_dtype"):
            client.compute_loss(logits, targets, gradient_out=gradient, gradient_dtype="float64")
        with pytest.raises(lossd.LossdError, match="overlap") as raised:
            client.compute_loss(logits, targets, gradient_out=logits)
        assert raised.value.code == grpc.StatusCode.INVALID_ARGUMENT


def test_memory_lives_as_long_as_its_arrays(server: RunningServer, socket: str) -> None:
    with lossd.SharedMemory(socket) as memory:
        whole = memory.allocate((2, 1024), np.float32)
        part = whole[1]
        assert shared_bytes(server) == 8192
        part[:] = 3
        del whole
        gc.collect()
        assert shared_bytes(server) == 8192
    assert part.sum() == 3 * 1024  # the memory is closed and still readable
    assert shared_bytes(server) == 8192
    with pytest.raises(ValueError, match="closed"):
        memory.allocate(1, np.float32)
    del part
    gc.collect()
    assert shared_bytes(server) == 0
    memory.close()


FORKED = """
import gc, os, sys, lossd, numpy as np
memory = lossd.SharedMemory(sys.argv[1])
array = memory.allocate(1024, np.float32)
child = os.fork()
if child == 0:
    array[3] = 5
    del array
    gc.collect()
    os._exit(0)
os.waitpid(child, 0)
print(array[3], flush=True)
sys.stdin.read()
"""


def test_a_forked_process_ends_no_memory(server: RunningServer, socket: str) -> None:
    with subprocess.Popen(
        [sys.executable, "-c", FORKED, socket],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as worker:
        assert worker.stdout is not None
        assert worker.stdin is not None
        assert worker.stdout.readline() == "5.0\n"
        assert shared_bytes(server) == 4096
        worker.stdin.close()
    assert worker.returncode == 0


def test_limits_are_resource_exhausted(server: RunningServer, socket: str) -> None:
    with lossd.SharedMemory(socket) as memory, lossd.SharedMemory(socket) as other:
        with pytest.raises(ValueError, match="shape: .*-5"):
            memory.allocate((-5, 3), np.float32)
        most = memory.allocate(LIMIT // 4, np.float32)
        for _ in range(3):
            with pytest.raises(lossd.LossdError) as raised:
                other.allocate(1, np.float32)
            assert raised.value.code == grpc.StatusCode.RESOURCE_EXHAUSTED
        del most
        gc.collect()
        assert other.allocate([0, 3], np.float32).shape == (0, 3)
        assert other.allocate((), np.float64).shape == ()
    assert shared_bytes(server) == 0


def test_an_array_of_another_server_is_not_found(server: RunningServer, tmp_path: Path) -> None:
    path = str(tmp_path / "other")
    with running_server(f"--shared_memory_socket={path}"), lossd.SharedMemory(path) as memory:
        logits, targets, _ = batch(memory)
        with (
            lossd.Client(server.address, shared_memory=memory) as client,
            pytest.raises(lossd.LossdError) as raised,
        ):
            client.compute_loss(logits, targets)
        assert raised.value.code == grpc.StatusCode.NOT_FOUND
        del logits, targets, _


def test_the_asyncio_client_uses_shared_memory_too(server: RunningServer, socket: str) -> None:
    async def ask(memory: lossd.SharedMemory) -> tuple[list[float], list[bytes]]:
        async with lossd.AsyncClient(server.address, shared_memory=memory) as client:
            parts = [batch(memory) for _ in range(4)]
            results = await asyncio.gather(
                *(client.compute_loss(x, t, gradient_out=out) for x, t, out in parts)
            )
        return [r.loss for r in results], [out.tobytes() for _, _, out in parts]

    with lossd.SharedMemory(socket) as memory:
        losses, gradients = asyncio.run(ask(memory))
    assert len(set(losses)) == 1
    assert len(set(gradients)) == 1


KILLED = """
import sys, lossd, numpy as np
memory = lossd.SharedMemory(sys.argv[2])
logits = memory.allocate(1 << 16, np.float32)
gradient = memory.allocate(1 << 16, np.float32)
client = lossd.Client(sys.argv[1], shared_memory=memory)
print("ready", flush=True)
while True:
    client.compute_loss(logits, logits, gradient_out=gradient)
"""


def kill_one_at_work(server: RunningServer, socket: str) -> None:
    worker = subprocess.Popen(
        [sys.executable, "-c", KILLED, server.address, socket],
        stdout=subprocess.PIPE,
        text=True,
    )
    assert worker.stdout is not None
    assert worker.stdout.readline() == "ready\n"
    assert shared_bytes(server) == 2 << 18
    worker.send_signal(signal.SIGKILL)
    worker.wait()
    worker.stdout.close()


def test_a_client_that_is_killed_leaks_nothing(server: RunningServer, socket: str) -> None:
    descriptors = Path(f"/proc/{server.process.pid}/fd")
    before = None
    with lossd.Client(server.address) as client:
        client.server_info()  # connects before descriptors are counted
        for _ in range(5):
            kill_one_at_work(server, socket)
            assert eventually(client, lambda: shared_bytes(server) == 0)
            before = before or len(list(descriptors.iterdir()))
        assert client.compute_loss(np.zeros(3), np.zeros(3)).loss > 0
        assert before is not None
        assert eventually(client, lambda: len(list(descriptors.iterdir())) <= before)


def test_only_its_user_may_open_the_socket_which_ends_with_the_server(tmp_path: Path) -> None:
    path = tmp_path / "lossd"
    with running_server(f"--shared_memory_socket={path}") as server:
        mode = path.stat().st_mode
        assert stat.S_ISSOCK(mode)
        assert stat.S_IMODE(mode) == 0o600
        with lossd.Client(server.address) as client:
            assert client.server_info().supports_shared_memory
    assert not path.exists()


def test_a_killed_servers_socket_is_replaced(tmp_path: Path) -> None:
    path = tmp_path / "lossd"
    with running_server(f"--shared_memory_socket={path}") as dead:
        dead.process.kill()
        dead.process.wait()
    assert path.exists()
    with running_server(f"--shared_memory_socket={path}"), lossd.SharedMemory(str(path)) as memory:
        memory.allocate(1, np.uint8)
