"""Tests which GPU memory is lent to a server, and for how long, with a stub driver."""

from __future__ import annotations

import contextlib
import gc
import threading
import weakref
from pathlib import Path
from typing import Any

import grpc
import lossd
import messages
import numpy as np
import pytest
from lossd import conversion, cuda_driver
from lossd.v1 import tensor_pb2
from region_server import RegionServer
from stub_gpu import CudaArray, StubGpus, cuda_array

VALUES = np.linspace(-4, 4, 24, dtype=np.float32).reshape(4, 6)


def logits_of(memory: lossd.SharedMemory, logits: Any) -> tensor_pb2.SharedMemoryRef:
    call = conversion.to_call(logits, VALUES, gradient=False, memory=memory)
    assert call.references.names_device_memory
    return messages.read(call).logits.shared_memory


def test_the_driver_says_which_allocation_an_address_lies_in(gpus: StubGpus) -> None:
    driver = cuda_driver.load()
    base = gpus.allocate(4096, device=1)
    for address in (base, base + 1, base + 4095):
        found = driver.allocation(address)
        assert (found.device, found.uuid) == (1, b"lossd fake gpu 1")
        assert (found.base, found.byte_size) == (base, 4096)
        assert found.handle.rstrip(b"\0").startswith(b"/lossd_test_py_")
        assert len(found.handle) == 64
        assert driver.buffer_id(address) == driver.buffer_id(base)
        assert gpus.contexts() == 0


def test_the_driver_is_asked_in_the_context_of_the_memory_on_any_thread(gpus: StubGpus) -> None:
    driver = cuda_driver.load()
    base = gpus.allocate(4096, device=1)
    found: list[cuda_driver.Allocation] = []
    thread = threading.Thread(target=lambda: found.append(driver.allocation(base)))
    thread.start()
    thread.join()
    assert found == [driver.allocation(base)]


def test_the_drivers_errors_have_their_names(gpus: StubGpus) -> None:
    driver = cuda_driver.load()
    base = gpus.allocate(4096)
    for function, code, text in (
        ("cuMemGetAddressRange_v2", 1, "CUDA_ERROR_INVALID_VALUE"),
        ("cuIpcGetMemHandle", 201, "CUDA_ERROR_INVALID_CONTEXT"),
        ("cuDeviceGet", 101, "CUDA_ERROR_INVALID_DEVICE"),
        ("cuDeviceGetUuid_v2", 999, "error 999"),
        ("cuCtxPushCurrent_v2", 201, "CUDA_ERROR_INVALID_CONTEXT"),
        ("cuPointerGetAttribute", 1, "CUDA_ERROR_INVALID_VALUE"),
    ):
        gpus.fail(function, code)
        with pytest.raises(cuda_driver.DriverError, match=rf"^{text} \({function}\)$"):
            driver.allocation(base)
        assert gpus.contexts() == 0
    # Memory of a pool is looked up in the primary context, which is released afterwards.
    pool = gpus.allocate(4096, has_handle=False)
    with pytest.raises(cuda_driver.DriverError, match="cuIpcGetMemHandle"):
        driver.allocation(pool)
    assert gpus.calls("cuDevicePrimaryCtxRetain") > 0
    assert gpus.contexts() == 0


def test_an_allocation_is_lent_once_and_whole(
    gpus: StubGpus, server: RegionServer, memory: lossd.SharedMemory
) -> None:
    base = gpus.allocate(1 << 16, device=1)
    first = logits_of(memory, CudaArray(base, VALUES.shape, np.float32))
    second = logits_of(memory, CudaArray(base + 4096, VALUES.shape, np.float32))
    assert (first.offset, second.offset) == (0, 4096)
    assert first.byte_size == second.byte_size == VALUES.nbytes
    assert first.region == second.region == "region 1"
    (lent,) = server.registered
    assert (lent.offset, lent.byte_size) == (0, 1 << 16)
    assert lent.device_uuid == b"lossd fake gpu 1"
    assert lent.ipc_handle == cuda_driver.load().allocation(base).handle


def test_threads_lend_an_allocation_once(
    gpus: StubGpus, server: RegionServer, memory: lossd.SharedMemory
) -> None:
    array = cuda_array(gpus, VALUES)
    together = threading.Barrier(4)
    names: list[str] = []

    def lend() -> None:
        together.wait()
        names.append(logits_of(memory, array).region)

    threads = [threading.Thread(target=lend) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert names == ["region 1"] * 4
    assert len(server.registered) == 1


def test_a_new_allocation_at_an_old_address_is_not_taken_for_the_old_one(
    gpus: StubGpus, server: RegionServer, memory: lossd.SharedMemory
) -> None:
    base = gpus.allocate(4096)
    assert logits_of(memory, CudaArray(base, VALUES.shape, np.float32)).region == "region 1"
    gpus.free(base)
    assert gpus.allocate(4096, at=base) == base
    assert logits_of(memory, CudaArray(base, VALUES.shape, np.float32)).region == "region 2"
    assert server.registered[0].ipc_handle != server.registered[1].ipc_handle
    assert server.released == ["region 1"]


def test_what_was_freed_is_given_back_when_more_is_lent(
    gpus: StubGpus, server: RegionServer, memory: lossd.SharedMemory
) -> None:
    freed, kept, new = (gpus.allocate(4096) for _ in range(3))
    for base in (freed, kept):
        logits_of(memory, CudaArray(base, VALUES.shape, np.float32))
    gpus.free(freed)
    logits_of(memory, CudaArray(kept, VALUES.shape, np.float32))
    assert server.released == []
    logits_of(memory, CudaArray(new, VALUES.shape, np.float32))
    assert server.released == ["region 1"]


def test_at_the_servers_limit_what_is_unused_for_longest_makes_room(
    gpus: StubGpus, server: RegionServer, memory: lossd.SharedMemory
) -> None:
    server.limit = 2
    first, second, third = (cuda_array(gpus, VALUES) for _ in range(3))
    for array in (first, second, first, third):
        logits_of(memory, array)
    assert server.released == ["region 2"]
    assert server.open == ["region 1", "region 3"]
    assert logits_of(memory, second).region == "region 4"
    assert server.released == ["region 2", "region 1"]
    server.limit = 0  # other clients have taken all regions
    with pytest.raises(lossd.LossdError, match="logits: on a GPU: too many regions") as raised:
        logits_of(memory, first)
    assert raised.value.code == grpc.StatusCode.RESOURCE_EXHAUSTED


def test_memory_is_given_back_when_asked_and_at_the_end(
    gpus: StubGpus, server: RegionServer, tmp_path: Path
) -> None:
    array, other = cuda_array(gpus, VALUES), cuda_array(gpus, VALUES)
    with lossd.SharedMemory(tmp_path / "regions") as memory:
        logits_of(memory, array)
        logits_of(memory, other)
        memory.release_device_memory()
        assert server.released == ["region 1", "region 2"]
        assert logits_of(memory, array).region == "region 3"
    assert server.released == ["region 1", "region 2", "region 3"]
    with pytest.raises(ValueError, match="closed"):
        logits_of(memory, array)
    memory.close()


def test_memory_without_a_handle_says_what_to_set(
    gpus: StubGpus, server: RegionServer, memory: lossd.SharedMemory
) -> None:
    array = cuda_array(gpus, VALUES, has_handle=False)
    with pytest.raises(ValueError, match="^logits: on a GPU: CUDA_ERROR.*expandable_segments"):
        logits_of(memory, array)
    assert server.registered == []


def test_what_the_server_refuses_has_its_code_and_the_arguments_name(
    gpus: StubGpus, server: RegionServer, memory: lossd.SharedMemory
) -> None:
    array = cuda_array(gpus, VALUES)
    for code, message, text in (
        (12, "no GPU here", r"logits: on a GPU: no GPU here \(give an array in the host's memory"),
        (5, "no such GPU", r"logits: on a GPU: no such GPU \(use a GPU of the server's"),
        (14, "lost", "logits: on a GPU: lost$"),
        (3, "no memory", "logits: on a GPU: no memory$"),
    ):
        server.errors = [(code, message)]
        with pytest.raises(lossd.LossdError, match=text) as raised:
            logits_of(memory, array)
        assert raised.value.code.value[0] == code
    assert logits_of(memory, array).region == "region 1"


def test_without_a_driver_the_argument_is_named(
    gpus: StubGpus, memory: lossd.SharedMemory, monkeypatch: pytest.MonkeyPatch
) -> None:
    array = cuda_array(gpus, VALUES)
    monkeypatch.setattr(cuda_driver, "LIBRARY", "libno_such_driver.so.1")
    with pytest.raises(ValueError, match="^logits: on a GPU; its driver: libno_such_driver"):
        logits_of(memory, array)
    # libm stands for a library that is no driver, or for a driver that is too old.
    monkeypatch.setattr(cuda_driver, "LIBRARY", "libm.so.6")
    with pytest.raises(ValueError, match="^logits: on a GPU; its driver: .*cuInit"):
        logits_of(memory, array)


def test_an_address_that_is_no_gpus_is_named(gpus: StubGpus, memory: lossd.SharedMemory) -> None:
    host = np.zeros(4, np.float32)
    array = CudaArray(host.__array_interface__["data"][0], (4,), np.float32)
    with pytest.raises(ValueError, match="^logits: on a GPU; its driver: CUDA_ERROR_INVALID_VALUE"):
        logits_of(memory, array)


class Refused(Exception):
    """An exception of the caller's that ends the wait for an answer."""


@pytest.mark.parametrize(
    ("error", "kept"),
    [
        (lossd.LossdError(grpc.StatusCode.DEADLINE_EXCEEDED, "", None), True),
        (lossd.LossdError(grpc.StatusCode.UNAVAILABLE, "", None), True),
        (Refused(), True),
        (lossd.LossdError(grpc.StatusCode.INVALID_ARGUMENT, "", None), False),
        (None, False),
    ],
)
def test_a_gradient_that_may_still_be_written_keeps_its_memory(
    gpus: StubGpus,
    memory: lossd.SharedMemory,
    monkeypatch: pytest.MonkeyPatch,
    error: Exception | None,
    kept: bool,
) -> None:
    now = 1000.0
    monkeypatch.setattr("time.monotonic", lambda: now)
    logits, out = cuda_array(gpus, VALUES), cuda_array(gpus, VALUES)
    call = conversion.to_call(logits, VALUES, gradient_out=out, memory=memory)
    with contextlib.suppress(lossd.LossdError, Refused), call.references.until_answered(None, out):
        if error is not None:
            raise error
    alive = weakref.ref(out)
    del call, out
    gc.collect()
    assert (alive() is not None) == kept
    now += 59
    logits_of(memory, logits)
    gc.collect()
    assert (alive() is not None) == kept
    now += 2
    logits_of(memory, logits)
    gc.collect()
    assert alive() is None


def test_a_forked_process_lends_nothing(
    gpus: StubGpus, memory: lossd.SharedMemory, monkeypatch: pytest.MonkeyPatch
) -> None:
    lent, array = cuda_array(gpus, VALUES), cuda_array(gpus, VALUES)
    logits_of(memory, lent)
    monkeypatch.setattr("os.getpid", lambda: 1)
    for one in (lent, array):
        with pytest.raises(ValueError, match="another process"):
            logits_of(memory, one)
