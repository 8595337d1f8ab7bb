"""The CUDA driver, which tells the allocation at an address and its handle for other processes.

The driver's library is loaded by ctypes when a tensor on a GPU first needs it, so the package
depends on no CUDA package. client/cpp/tensor/cuda_driver.cc does the same for the C++ client: its
table CudaFunctions and _SIGNATURES here are a pair, and a function that both use has the same
symbol and parameters in both. Names, numbers and types are those of cuda.h (CUDA 13.0); the
stand-in of tests/client/python is compiled against that header.
"""

from __future__ import annotations

import contextlib
import ctypes
import functools
from collections.abc import Iterator
from ctypes import c_char_p, c_int, c_size_t, c_uint, c_ulonglong, c_void_p
from dataclasses import dataclass

# NVIDIA's driver installs this library; a toolkit is not needed.
LIBRARY = "libcuda.so.1"

# Values of CUpointer_attribute.
_CONTEXT = 1
# A number of BUFFER_ID is unique for the lifetime of the process: no later allocation gets that
# of a freed one.
_BUFFER_ID = 7  # D40
_DEVICE_ORDINAL = 9

_HANDLE_BYTES = 64  # CU_IPC_HANDLE_SIZE
_UUID_BYTES = 16  # sizeof(CUuuid)

_SUCCESS = 0  # CUDA_SUCCESS

_POINTER = ctypes.POINTER
# The keys are the names that the library exports: cuda.h renames some functions by macros, for
# example cuMemGetAddressRange to cuMemGetAddressRange_v2. CUdeviceptr has 64 bits, CUdevice and
# CUresult are int, CUcontext is a pointer, and so are the places of a handle and a UUID.
_SIGNATURES: dict[str, list[type[ctypes._CData]]] = {
    "cuInit": [c_uint],
    "cuGetErrorName": [c_int, _POINTER(c_char_p)],
    "cuPointerGetAttribute": [c_void_p, c_int, c_ulonglong],
    "cuMemGetAddressRange_v2": [_POINTER(c_ulonglong), _POINTER(c_size_t), c_ulonglong],
    "cuIpcGetMemHandle": [c_void_p, c_ulonglong],
    "cuDeviceGet": [_POINTER(c_int), c_int],
    "cuDeviceGetUuid_v2": [c_void_p, c_int],
    "cuDevicePrimaryCtxRetain": [_POINTER(c_void_p), c_int],
    "cuDevicePrimaryCtxRelease_v2": [c_int],
    "cuCtxPushCurrent_v2": [c_void_p],
    "cuCtxPopCurrent_v2": [_POINTER(c_void_p)],
    "cuCtxSynchronize": [],
}


class DriverError(RuntimeError):
    """A function of the driver failed; the message has the error's name in cuda.h and the
    function.
    """


@dataclass(frozen=True)
class Allocation:
    """An allocation of cuMemAlloc(), with the handle by which another process opens it."""

    device: int  # the driver's ordinal
    uuid: bytes
    base: int
    byte_size: int
    handle: bytes


class Driver:
    """The driver's functions, loaded from one library. Thread-safe."""

    def __init__(self, library: str) -> None:
        """Raises OSError if `library` is missing or lacks a function, DriverError if the driver
        does not start.
        """
        loaded = ctypes.CDLL(library)
        self._functions = {}
        for name, signature in _SIGNATURES.items():
            try:
                function = getattr(loaded, name)
            except AttributeError as error:
                raise OSError(f"{library}: {error}") from error
            function.argtypes, function.restype = signature, c_int
            self._functions[name] = function
        self._call("cuInit", 0)

    def buffer_id(self, address: int) -> int:
        """Returns the number of the allocation at `address`.

        No other allocation of this process ever has the same number. Raises DriverError if no
        allocation is there.
        """
        value = c_ulonglong()
        self._call("cuPointerGetAttribute", ctypes.byref(value), _BUFFER_ID, address)
        return value.value

    def device(self, address: int) -> int:
        """Returns the ordinal of the GPU on which `address` lies; errors: DriverError."""
        value = c_int()
        self._call("cuPointerGetAttribute", ctypes.byref(value), _DEVICE_ORDINAL, address)
        return value.value

    def allocation(self, address: int) -> Allocation:
        """Returns the whole allocation in which `address` lies.

        Raises DriverError if no other process can open it.
        """
        ordinal = self.device(address)
        device = self._device(ordinal)
        base, size = c_ulonglong(), c_size_t()
        uuid = ctypes.create_string_buffer(_UUID_BYTES)
        handle = ctypes.create_string_buffer(_HANDLE_BYTES)
        self._call("cuDeviceGetUuid_v2", uuid, device)
        with self._context_of(address, device):
            self._call("cuMemGetAddressRange_v2", ctypes.byref(base), ctypes.byref(size), address)
            self._call("cuIpcGetMemHandle", handle, base.value)
        return Allocation(ordinal, uuid.raw, base.value, size.value, handle.raw)

    def synchronize(self, address: int) -> None:
        """Waits for all work of the context in which the memory at `address` was allocated."""
        with self._context_of(address, self._device(self.device(address))):
            self._call("cuCtxSynchronize")

    def _device(self, ordinal: int) -> c_int:
        device = c_int()
        self._call("cuDeviceGet", ctypes.byref(device), ordinal)
        return device

    @contextlib.contextmanager
    def _context_of(self, address: int, device: c_int) -> Iterator[None]:
        """Makes the context of the memory at `address` current on the calling thread.

        Memory of a pool belongs to no context. For such memory the primary context of the GPU
        is used, which is also that of PyTorch and of the CUDA runtime.
        """
        context = c_void_p()
        self._call("cuPointerGetAttribute", ctypes.byref(context), _CONTEXT, address)
        with contextlib.ExitStack() as undo:
            if not context:
                self._call("cuDevicePrimaryCtxRetain", ctypes.byref(context), device)
                undo.callback(self._functions["cuDevicePrimaryCtxRelease_v2"], device)
            self._call("cuCtxPushCurrent_v2", context)
            undo.callback(self._functions["cuCtxPopCurrent_v2"], ctypes.byref(c_void_p()))
            yield

    def _call(self, name: str, *arguments: object) -> None:
        code = self._functions[name](*arguments)
        if code != _SUCCESS:
            text = c_char_p()
            self._functions["cuGetErrorName"](code, ctypes.byref(text))
            known = text.value.decode() if text.value else f"error {code}"
            raise DriverError(f"{known} ({name})")


@functools.cache
def _load(library: str) -> Driver:
    return Driver(library)


def load() -> Driver:
    """Returns the driver of this machine.

    Raises OSError if there is none, DriverError if it does not start.
    """
    return _load(LIBRARY)
