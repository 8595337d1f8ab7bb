"""The Python client lends GPU tensors to the whole server on fake devices.

The memory of a stub GPU is shared memory, which the server's process opens by its handle.
"""

from __future__ import annotations

import asyncio
import re
import signal
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import grpc
import lossd
import messages
import ml_dtypes
import numpy as np
import pytest
from running_server import RunningServer, eventually, running_server
from stub_gpu import (
    CudaArray,
    StubGpus,
    StubTorch,
    cuda_array,
    left_in_shared_memory,
    library,
    stub_gpus,
    stub_torch,
)

PROGRAM = "tests/integration/fake_gpu_server"
GENERATOR = np.random.default_rng(11)
LOGITS = GENERATOR.normal(0, 3, (40, 25)).astype(np.float32)
TARGETS = (GENERATOR.random((40, 25)) < 0.4).astype(np.float32)
WEIGHTS = GENERATOR.random((40, 25)).astype(np.float32) * (GENERATOR.random((40, 25)) < 0.7)


@pytest.fixture(name="socket")
def socket_path(tmp_path: Path) -> str:
    return str(tmp_path / "lossd")


@pytest.fixture(name="server")
def start_server(socket: str) -> Iterator[RunningServer]:
    with running_server(f"--shared_memory_socket={socket}", program=PROGRAM) as server:
        yield server


@pytest.fixture(name="gpus")
def start_gpus() -> Iterator[StubGpus]:
    with stub_gpus() as gpus:
        yield gpus


@pytest.fixture(name="torch")
def pretend_torch(gpus: StubGpus) -> Iterator[StubTorch]:
    with stub_torch(gpus) as torch:
        yield torch


@pytest.fixture(name="memory")
def connect(server: RunningServer, socket: str) -> Iterator[lossd.SharedMemory]:
    with lossd.SharedMemory(socket) as memory:
        yield memory


@pytest.fixture(name="client")
def client_with_memory(server: RunningServer, memory: lossd.SharedMemory) -> Iterator[lossd.Client]:
    with lossd.Client(server.address, shared_memory=memory) as client:
        yield client


@pytest.fixture(name="by_value")
def client_that_sends(server: RunningServer) -> Iterator[lossd.Client]:
    with lossd.Client(server.address) as client:
        yield client


def same(named: lossd.LossResult, sent: lossd.LossResult) -> None:
    """Expects two results with equal bits, apart from their gradients."""
    assert named.loss == sent.loss
    assert named.normalizer == sent.normalizer
    assert named.valid_count == sent.valid_count
    assert (named.losses is None) == (sent.losses is None)
    if named.losses is not None and sent.losses is not None:
        assert named.losses.tobytes() == sent.losses.tobytes()


CASES: dict[str, dict[str, Any]] = {
    "plain": {},
    "sum": {"reduction": "sum"},
    "losses": {"reduction": "none"},
    "focal": {"kind": "sigmoid_focal", "focal_gamma": 2.0, "focal_alpha": 0.25},
    "asymmetric": {"kind": "asymmetric", "asymmetric_gamma_negative": 4.0},
    "weighted": {"weights": WEIGHTS, "pos_weight": WEIGHTS[0]},
    "valid": {"normalizer": "valid", "ignore_target": 1.0},
    "batch": {"normalizer": "batch"},
    "nonzero weights": {"normalizer": "nonzero_weights", "weights": WEIGHTS},
    "weight sum": {"normalizer": "weight_sum", "weights": WEIGHTS},
    "upstream": {"reduction": "none", "upstream_gradient": WEIGHTS},
    "upstream value": {"upstream_gradient": 0.5},
}


@pytest.mark.parametrize("options", CASES.values(), ids=CASES.keys())
def test_arrays_on_a_gpu_give_the_bits_of_arrays_that_are_sent(
    gpus: StubGpus, client: lossd.Client, by_value: lossd.Client, options: dict[str, Any]
) -> None:
    on_gpu = {
        name: cuda_array(gpus, value) if isinstance(value, np.ndarray) else value
        for name, value in options.items()
    }
    logits, targets = cuda_array(gpus, LOGITS), cuda_array(gpus, TARGETS)
    out = cuda_array(gpus, np.full_like(LOGITS, np.nan))
    named = client.compute_loss(logits, targets, gradient_out=out, **on_gpu)  # type: ignore[arg-type]
    sent = by_value.compute_loss(LOGITS, TARGETS, **options)
    same(named, sent)
    assert sent.gradient is not None
    assert out.host.tobytes() == sent.gradient.tobytes()
    assert named.gradient is out
    # The server has not changed the tensors that it read.
    assert logits.host.tobytes() == LOGITS.tobytes()
    assert targets.host.tobytes() == TARGETS.tobytes()


@pytest.mark.parametrize("dtype", [np.float32, np.float64, np.float16, ml_dtypes.bfloat16])
@pytest.mark.parametrize("target_dtype", [np.float32, np.uint8, np.bool_, np.int64])
def test_every_type_is_read_and_written_in_gpu_memory(
    gpus: StubGpus,
    client: lossd.Client,
    by_value: lossd.Client,
    dtype: Any,
    target_dtype: Any,
) -> None:
    logits, targets = LOGITS.astype(dtype), TARGETS.astype(target_dtype)
    out = cuda_array(gpus, np.zeros_like(logits))
    on_gpu: Any = (cuda_array(gpus, logits), cuda_array(gpus, targets))
    named = client.compute_loss(*on_gpu, gradient_out=out)
    sent = by_value.compute_loss(logits, targets)
    same(named, sent)
    assert sent.gradient is not None
    assert out.host.tobytes() == sent.gradient.tobytes()


def test_tensors_may_begin_at_any_multiple_of_their_element_size(
    gpus: StubGpus, client: lossd.Client, by_value: lossd.Client
) -> None:
    for elements in (1, 3, 31, 997):
        for first in range(1, 6):
            base = gpus.allocate(1 << 14)
            logits: Any = CudaArray(base + 4 * first, (elements,), np.float32)
            targets: Any = CudaArray(base + 8192 + first, (elements,), np.uint8)
            logits.host[...] = LOGITS.reshape(-1)[:elements]
            targets.host[...] = TARGETS.reshape(-1)[:elements]
            out = cuda_array(gpus, np.zeros(elements, np.float32))
            named = client.compute_loss(logits, targets, gradient_out=out)
            sent = by_value.compute_loss(logits.host.copy(), targets.host.copy())
            same(named, sent)
            assert sent.gradient is not None
            assert out.host.tobytes() == sent.gradient.tobytes()


def test_pytorchs_gradient_is_a_tensor_on_the_gpu_of_its_logits(
    torch: StubTorch, client: lossd.Client, by_value: lossd.Client
) -> None:
    for dtype in (np.float32, ml_dtypes.bfloat16):
        logits, targets = LOGITS.astype(dtype), TARGETS.astype(dtype)
        tensors: Any = (torch.tensor(logits), torch.tensor(targets))
        named = client.compute_loss(*tensors)
        sent = by_value.compute_loss(logits, targets)
        same(named, sent)
        gradient: Any = named.gradient
        assert isinstance(gradient, torch.Tensor)
        assert str(gradient.device) == "cuda:0"
        assert sent.gradient is not None
        assert gradient.host.tobytes() == sent.gradient.tobytes()
        wide: Any = client.compute_loss(*tensors, gradient_dtype="float64").gradient
        assert wide.dtype == torch.float64
        assert client.compute_loss(*tensors, gradient=False).gradient is None


def test_one_call_may_mix_host_and_gpu_memory(
    torch: StubTorch, memory: lossd.SharedMemory, client: lossd.Client, by_value: lossd.Client
) -> None:
    sent = by_value.compute_loss(LOGITS, TARGETS)
    assert sent.gradient is not None
    shared = memory.allocate(TARGETS.shape, np.float32)
    shared[...] = TARGETS
    tensor: Any = torch.tensor(LOGITS)
    for targets in (TARGETS, shared, lossd.bits(TARGETS), torch.tensor(TARGETS)):
        named: Any = client.compute_loss(tensor, targets)  # type: ignore[arg-type]
        assert named.loss == sent.loss
        assert named.gradient.host.tobytes() == sent.gradient.tobytes()
    packed: Any = torch.tensor(np.packbits(TARGETS.astype(np.bool_), bitorder="little"))
    named = client.compute_loss(tensor, lossd.bits(packed, TARGETS.shape))
    assert named.gradient.host.tobytes() == sent.gradient.tobytes()
    # The gradient may lie in the host's memory with logits on the GPU, and vice versa.
    out = np.zeros_like(LOGITS)
    client.compute_loss(tensor, TARGETS, gradient_out=out)
    assert out.tobytes() == sent.gradient.tobytes()
    place: Any = torch.tensor(np.zeros_like(LOGITS))
    client.compute_loss(LOGITS, TARGETS, gradient_out=place)
    assert place.host.tobytes() == sent.gradient.tobytes()


def test_bits_in_the_hosts_shared_memory_are_named(
    memory: lossd.SharedMemory, client: lossd.Client, by_value: lossd.Client
) -> None:
    packed = np.packbits(TARGETS.astype(np.bool_), bitorder="little")
    shared = memory.allocate(packed.shape, np.uint8)
    shared[...] = packed
    bits = lossd.bits(shared, TARGETS.shape)
    request = messages.to_request(LOGITS, bits, memory=memory)
    assert request.targets.HasField("shared_memory")
    same(client.compute_loss(LOGITS, bits), by_value.compute_loss(LOGITS, TARGETS))


def test_the_asyncio_client_lends_tensors_too(
    torch: StubTorch, server: RunningServer, memory: lossd.SharedMemory, by_value: lossd.Client
) -> None:
    sent = by_value.compute_loss(LOGITS, TARGETS)
    tensors: Any = [(torch.tensor(LOGITS), torch.tensor(TARGETS)) for _ in range(4)]

    async def ask() -> list[Any]:
        async with lossd.AsyncClient(server.address, shared_memory=memory) as client:
            return await asyncio.gather(*(client.compute_loss(x, t) for x, t in tensors))

    assert sent.gradient is not None
    for result in asyncio.run(ask()):
        assert result.loss == sent.loss
        assert result.gradient.host.tobytes() == sent.gradient.tobytes()
    assert torch.synchronized  # the client does so before it sends a call


def test_memory_that_was_freed_and_allocated_again_is_lent_anew(
    gpus: StubGpus, client: lossd.Client, by_value: lossd.Client
) -> None:
    base = gpus.allocate(LOGITS.nbytes)
    for values in (LOGITS, -LOGITS, LOGITS * 2):
        array: Any = CudaArray(base, LOGITS.shape, np.float32)
        array.host[...] = values
        named = client.compute_loss(array, TARGETS, gradient=False)
        same(named, by_value.compute_loss(values, TARGETS, gradient=False))
        del array
        gpus.free(base)
        assert gpus.allocate(LOGITS.nbytes, at=base) == base


def test_released_memory_is_lent_again_when_it_is_used(
    gpus: StubGpus, memory: lossd.SharedMemory, client: lossd.Client
) -> None:
    array: Any = cuda_array(gpus, LOGITS)
    first = client.compute_loss(array, TARGETS, gradient=False)
    memory.release_device_memory()
    memory.release_device_memory()
    same(client.compute_loss(array, TARGETS, gradient=False), first)


def test_errors_of_the_server_name_the_argument(
    gpus: StubGpus, client: lossd.Client, by_value: lossd.Client
) -> None:
    array: Any = cuda_array(gpus, LOGITS)
    assert by_value.server_info().supports_device_memory
    bad = TARGETS.copy()
    bad[3, 4] = 1.5
    on_gpu: Any = cuda_array(gpus, bad)
    with pytest.raises(lossd.LossdError, match="targets") as raised:
        client.compute_loss(array, on_gpu)
    assert raised.value.code == grpc.StatusCode.INVALID_ARGUMENT
    with pytest.raises(lossd.LossdError, match="overlap") as raised:
        client.compute_loss(array, TARGETS, gradient_out=array)
    assert raised.value.code == grpc.StatusCode.INVALID_ARGUMENT
    odd: Any = CudaArray(gpus.allocate(8192) + 2, (40,), np.float32)
    with pytest.raises(lossd.LossdError, match="logits") as raised:
        client.compute_loss(odd, np.zeros(40, np.float32))
    assert raised.value.code == grpc.StatusCode.INVALID_ARGUMENT
    assert client.compute_loss(array, TARGETS).loss > 0  # the server still computes


def test_a_gpu_that_the_server_does_not_use_is_not_found(
    gpus: StubGpus, client: lossd.Client
) -> None:
    array: Any = cuda_array(gpus, LOGITS, 1)
    with pytest.raises(lossd.LossdError, match="^NOT_FOUND: logits: on a GPU: ") as raised:
        client.compute_loss(array, TARGETS)
    assert raised.value.code == grpc.StatusCode.NOT_FOUND


def test_a_call_is_computed_on_the_gpu_of_its_tensors(torch: StubTorch, tmp_path: Path) -> None:
    path = str(tmp_path / "lossd")
    with (
        running_server(
            f"--shared_memory_socket={path}", "--fake_gpus=2", program=PROGRAM
        ) as server,
        lossd.SharedMemory(path) as memory,
        lossd.Client(server.address, shared_memory=memory) as client,
        lossd.Client(server.address) as by_value,
    ):
        sent = by_value.compute_loss(LOGITS, TARGETS)
        for device in (0, 1, 0):
            tensors: Any = (torch.tensor(LOGITS, device), torch.tensor(TARGETS, device))
            named: Any = client.compute_loss(*tensors)
            same(named, sent)
            assert str(named.gradient.device) == f"cuda:{device}"
            assert sent.gradient is not None
            assert named.gradient.host.tobytes() == sent.gradient.tobytes()


def test_a_server_without_gpus_says_so(gpus: StubGpus, tmp_path: Path) -> None:
    path = str(tmp_path / "lossd")
    array: Any = cuda_array(gpus, LOGITS)
    with (
        running_server(f"--shared_memory_socket={path}", "--backend=cpu") as server,
        lossd.SharedMemory(path) as memory,
        lossd.Client(server.address, shared_memory=memory) as client,
    ):
        assert not client.server_info().supports_device_memory
        with pytest.raises(lossd.LossdError, match="logits: .*host's memory") as raised:
            client.compute_loss(array, TARGETS)
        assert raised.value.code == grpc.StatusCode.UNIMPLEMENTED


WORKER = """
import sys, lossd, numpy as np
from lossd import cuda_driver
from stub_gpu import StubGpus, cuda_array
cuda_driver.LIBRARY = sys.argv[3]
gpus = StubGpus(sys.argv[3])
memory = lossd.SharedMemory(sys.argv[2])
logits, out = (cuda_array(gpus, np.ones(1 << 16, np.float32)) for _ in range(2))
client = lossd.Client(sys.argv[1], shared_memory=memory)
print("ready", flush=True)
while True:
    client.compute_loss(logits, logits, gradient_out=out)
"""


def mappings(server: RunningServer, process: int) -> int:
    """Returns how many allocations of that process the server has open."""
    maps = Path(f"/proc/{server.process.pid}/maps").read_text("utf-8")
    return len(re.findall(rf"/dev/shm/lossd_test_py_{process}_", maps))


def test_a_worker_that_is_killed_leaves_nothing_open(
    gpus: StubGpus, server: RunningServer, socket: str, by_value: lossd.Client
) -> None:
    worker = subprocess.Popen(
        [sys.executable, "-c", WORKER, server.address, socket, library()],
        stdout=subprocess.PIPE,
        text=True,
        env={"PYTHONPATH": str(Path(__file__).resolve().parents[1] / "client" / "python")},
    )
    try:
        assert worker.stdout is not None
        assert worker.stdout.readline() == "ready\n"
        assert eventually(
            by_value, lambda: mappings(server, worker.pid) == 2
        )  # the worker is calling
        worker.send_signal(signal.SIGKILL)
        worker.wait()
        assert eventually(by_value, lambda: mappings(server, worker.pid) == 0)
        assert by_value.compute_loss(LOGITS, TARGETS).loss > 0
    finally:
        worker.kill()
        worker.wait()
        for left in left_in_shared_memory(worker.pid):
            left.unlink()


def lent_bytes(server: RunningServer) -> int:
    with urllib.request.urlopen(f"http://{server.metrics}/metrics", timeout=10) as page:
        found = re.search(r"^lossd_lent_memory_bytes (\S+)$", page.read().decode(), re.M)
    assert found is not None
    return int(float(found[1]))


def test_closing_returns_all_lent_memory(
    gpus: StubGpus, server: RunningServer, socket: str, by_value: lossd.Client
) -> None:
    logits: Any = cuda_array(gpus, LOGITS)
    targets: Any = cuda_array(gpus, TARGETS.astype(np.uint8))
    with lossd.SharedMemory(socket) as memory:
        with lossd.Client(server.address, shared_memory=memory) as client:
            client.compute_loss(logits, targets)
            client.compute_loss(logits, targets)
        assert lent_bytes(server) == LOGITS.nbytes + TARGETS.size
        memory.release_device_memory()
        assert lent_bytes(server) == 0
        with lossd.Client(server.address, shared_memory=memory) as client:
            client.compute_loss(logits, TARGETS)
        assert lent_bytes(server) == LOGITS.nbytes
    assert eventually(by_value, lambda: lent_bytes(server) == 0)
