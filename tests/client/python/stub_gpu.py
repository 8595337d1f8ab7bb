"""A stub of GPUs for tests: a CUDA driver, CUDA arrays, and a stand-in for PyTorch.

The driver is a real library that the client loads in place of NVIDIA's, so that the calls
through ctypes are tested as well. The memory of a stub GPU can be read by this process.
"""

from __future__ import annotations

import atexit
import ctypes
import functools
import os
import shutil
import subprocess
import sys
import tempfile
import types
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import ml_dtypes
import numpy as np
import pytest
from lossd import cuda_driver

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[2]

INVALID_VALUE = 1  # CUDA_ERROR_INVALID_VALUE
# cudaMalloc() aligns allocations to at least so many bytes, and PyTorch its tensors.
ALIGNMENT = 512


def _header_folder() -> Path | None:
    """Returns the folder of cuda.h, or None; ./dev test installs a toolkit if there is none."""
    compilers = [os.environ.get("CUDACXX"), shutil.which("nvcc"), "/usr/local/cuda/bin/nvcc"]
    folders = [Path(path).resolve().parents[1] / "include" for path in compilers if path]
    folders += (ROOT / "build" / "cuda-toolkit").glob("lib/python*/site-packages/nvidia/*/include")
    return next((folder for folder in folders if (folder / "cuda.h").exists()), None)


@functools.cache
def library() -> str:
    """Builds the driver and returns its path; skips the test if there is no cuda.h."""
    headers = _header_folder()
    if headers is None:
        pytest.skip("no cuda.h here: ./dev test installs it")
    folder = tempfile.mkdtemp(prefix="lossd-stub-")
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    built = f"{folder}/libcuda.so.1"
    source = str(HERE / "stub_cuda_driver.cc")
    flags = ["-std=c++20", "-Wall", "-Wextra", "-Werror", "-shared", "-fPIC", f"-I{headers}"]
    subprocess.run(["c++", *flags, "-o", built, source], check=True)
    return built


class StubGpus:
    """The two GPUs of the stub driver, and their allocations."""

    def __init__(self, path: str) -> None:
        self._library = ctypes.CDLL(path)
        self._library.stub_allocate.restype = ctypes.c_ulonglong
        self._library.stub_allocate.argtypes = [
            ctypes.c_int,
            ctypes.c_size_t,
            ctypes.c_int,
            ctypes.c_ulonglong,
        ]
        self._library.stub_free.argtypes = [ctypes.c_ulonglong]
        self._bases: set[int] = set()

    def allocate(
        self, byte_size: int, device: int = 0, *, has_handle: bool = True, at: int = 0
    ) -> int:
        base = self._library.stub_allocate(device, byte_size, has_handle, at)
        assert base != 0
        self._bases.add(base)
        return base

    def free(self, base: int) -> None:
        assert self._library.stub_free(base)
        self._bases.remove(base)

    def free_all(self) -> None:
        for base in list(self._bases):
            self.free(base)

    def fail(self, function: str, error: int = INVALID_VALUE) -> None:
        """Lets the next call of `function` fail."""
        self._library.stub_fail(function.encode(), error)

    def calls(self, function: str) -> int:
        return self._library.stub_calls(function.encode())

    def contexts(self) -> int:
        """Returns how many contexts the client has pushed or retained and not released."""
        return self._library.stub_contexts()


@contextmanager
def stub_gpus() -> Iterator[StubGpus]:
    """Lets the client load the stub driver; at the end, all contexts must be released."""
    path = library()
    gpus = StubGpus(path)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(cuda_driver, "LIBRARY", path)
        try:
            yield gpus
        finally:
            gpus.free_all()
    assert gpus.contexts() == 0


def memory_at(address: int, shape: tuple[int, ...], dtype: Any) -> np.ndarray:
    """Returns an array over the memory at a device address."""
    kind = np.dtype(dtype)
    size = int(np.prod(shape)) * kind.itemsize
    if size == 0:
        return np.zeros(shape, kind)
    return np.frombuffer((ctypes.c_char * size).from_address(address), kind).reshape(shape)


class CudaArray:
    """An array with the CUDA array interface, as those of CuPy and Numba."""

    def __init__(self, address: int, shape: tuple[int, ...], dtype: Any, **more: Any) -> None:
        self.dtype = np.dtype(dtype)
        self.host = memory_at(address, shape, dtype)
        self.nbytes = self.host.nbytes
        self.__cuda_array_interface__ = {
            "version": 3,
            "shape": shape,
            "typestr": self.dtype.str,
            "data": (address, False),
            "strides": None,
            **more,
        }


def cuda_array(gpus: StubGpus, values: Any, device: int = 0, **how: Any) -> CudaArray:
    """Returns an array with these values in a new allocation."""
    source = np.asarray(values)
    array = CudaArray(
        gpus.allocate(max(1, source.nbytes), device, **how), source.shape, source.dtype
    )
    array.host[...] = source
    return array


class StubTorch(types.ModuleType):
    """The part of PyTorch with CUDA that the client uses.

    Tensors are cut from larger segments, as PyTorch's allocator does.
    """

    SEGMENT = 1 << 20

    def __init__(self, gpus: StubGpus) -> None:
        super().__init__("torch")
        self._gpus = gpus
        self._segments: dict[int, list[int]] = {}  # device: base, bytes taken
        self.synchronized: list[str] = []
        self.strided = "torch.strided"
        for name in ("float32", "float64", "float16", "bfloat16", "uint8", "bool", "int32"):
            setattr(self, name, TorchDtype(name))
        self.int16 = TorchDtype("int16")
        self.Tensor = TorchTensor
        self.cuda = types.SimpleNamespace(current_stream=self._current_stream)

    def _current_stream(self, device: TorchDevice) -> Any:
        return types.SimpleNamespace(synchronize=lambda: self.synchronized.append(str(device)))

    def empty(self, shape: tuple[int, ...], *, dtype: TorchDtype, device: Any) -> TorchTensor:
        size = int(np.prod(shape)) * dtype.numpy.itemsize
        address = self._take(device.index, size) if size > 0 else 0
        return TorchTensor(address, shape, dtype, TorchDevice("cuda", device.index))

    def tensor(self, values: Any, device: int = 0) -> TorchTensor:
        source = np.asarray(values)
        made = self.empty(
            source.shape,
            dtype=TorchDtype(source.dtype.name),
            device=TorchDevice("cuda", device),
        )
        made.host[...] = source
        return made

    def _take(self, device: int, size: int) -> int:
        segment = self._segments.get(device)
        if segment is None or segment[1] + size > self.SEGMENT:
            assert size <= self.SEGMENT
            segment = self._segments[device] = [self._gpus.allocate(self.SEGMENT, device), 0]
        address = segment[0] + segment[1]
        segment[1] += -(-size // ALIGNMENT) * ALIGNMENT
        return address


class TorchDtype:
    def __init__(self, name: str) -> None:
        self._name = name
        self.numpy = np.dtype(ml_dtypes.bfloat16 if name == "bfloat16" else name)

    def __str__(self) -> str:
        return f"torch.{self._name}"

    def __eq__(self, other: object) -> bool:
        return str(self) == str(other)

    def __hash__(self) -> int:
        return hash(str(self))


class TorchDevice:
    def __init__(self, kind: str, index: int) -> None:
        self.type = kind
        self.index = index

    def __str__(self) -> str:
        return self.type if self.type == "cpu" else f"{self.type}:{self.index}"


class TorchTensor:
    """A tensor on a GPU, or in host memory after cpu()."""

    layout = "torch.strided"

    def __init__(
        self, address: int, shape: tuple[int, ...], dtype: TorchDtype, device: TorchDevice
    ) -> None:
        self.shape = shape
        self.dtype = dtype
        self.device = device
        self.host = memory_at(address, shape, dtype.numpy)
        self._address = address
        self._contiguous = True

    def data_ptr(self) -> int:
        return self._address

    def element_size(self) -> int:
        return self.dtype.numpy.itemsize

    def nelement(self) -> int:
        return self.host.size

    def is_contiguous(self) -> bool:
        return self._contiguous

    def is_neg(self) -> bool:
        return False

    def detach(self) -> TorchTensor:
        return self

    def cpu(self) -> TorchTensor:
        copy = TorchTensor(0, (0,), self.dtype, TorchDevice("cpu", 0))
        copy.shape, copy.host = self.shape, self.host.copy()
        return copy

    def view(self, dtype: TorchDtype) -> TorchTensor:
        self.host = self.host.view(dtype.numpy)
        return self

    def numpy(self) -> np.ndarray:
        assert self.device.type == "cpu"
        return self.host

    def part(self, first: int) -> TorchTensor:
        """Returns the elements of a tensor of one dimension from index `first` on."""
        address = self._address + first * self.element_size()
        return TorchTensor(address, (self.shape[0] - first,), self.dtype, self.device)

    def not_contiguous(self) -> TorchTensor:
        strange = TorchTensor(self._address, self.shape, self.dtype, self.device)
        strange._contiguous = False
        return strange


@contextmanager
def stub_torch(gpus: StubGpus) -> Iterator[StubTorch]:
    """Puts the stand-in into sys.modules, where the client looks for PyTorch."""
    torch = StubTorch(gpus)
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(sys.modules, "torch", torch)
        yield torch


def left_in_shared_memory(process: int) -> list[Path]:
    """Returns the memory of stub GPUs that a killed process has left behind."""
    return list(Path("/dev/shm").glob(f"lossd_test_py_{process}_*"))
