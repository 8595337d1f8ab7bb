"""What is asked of the CUDA driver: which allocation an address lies in, and its handle.

By ctypes, so that no CUDA package is needed: who has a tensor on a GPU has a driver. Names,
numbers and types are those of cuda.h (CUDA 13.0); tests/client/python compiles its stand-in
against that header.
"""

from __future__ import annotations

import contextlib
import ctypes
import functools
from collections.abc import Iterator
from ctypes import c_char_p, c_int, c_size_t, c_uint, c_ulonglong, c_void_p
from dataclasses import dataclass

# The driver's, not a toolkit's.
LIBRARY = "libcuda.so.1"

# CUpointer_attribute.
_CONTEXT = 1
# cuda.h of BUFFER_ID: unique "over a process lifetime"; freed ones' are not used again.
_BUFFER_ID = 7  # D40
_DEVICE_ORDINAL = 9

# CU_IPC_HANDLE_SIZE, and the bytes of CUuuid.
_HANDLE_BYTES = 64
_UUID_BYTES = 16

_SUCCESS = 0  # CUDA_SUCCESS

_POINTER = ctypes.POINTER
# Names as the library exports them: cuda.h renames some by macros (cuMemGetAddressRange is
# cuMemGetAddressRange_v2). CUdeviceptr is 64 bits, CUdevice and CUresult are int; CUcontext
# and the handle and UUID that are written are pointers.
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
    """What the driver answered, by its name in cuda.h, and which of its functions."""


@dataclass(frozen=True)
class Allocation:
    """One allocation of cuMemAlloc(), as another process on the host can open it."""

    device: int  # the driver's ordinal
    uuid: bytes
    base: int
    byte_size: int
    handle: bytes


class Driver:
    """The functions of one library. Thread-safe."""

    def __init__(self, library: str) -> None:
        """Raises OSError without the library, or one of another kind; DriverError."""
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
        """Of the allocation at `address`: no other of this process has it, before or after."""
        value = c_ulonglong()
        self._call("cuPointerGetAttribute", ctypes.byref(value), _BUFFER_ID, address)
        return value.value

    def device(self, address: int) -> int:
        """The ordinal of the GPU whose memory this is."""
        value = c_int()
        self._call("cuPointerGetAttribute", ctypes.byref(value), _DEVICE_ORDINAL, address)
        return value.value

    def allocation(self, address: int) -> Allocation:
        """The whole allocation that `address` lies in. DriverError if it has no handle."""
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
        """Waits for all work of the context that the memory belongs to."""
        with self._context_of(address, self._device(self.device(address))):
            self._call("cuCtxSynchronize")

    def _device(self, ordinal: int) -> c_int:
        device = c_int()
        self._call("cuDeviceGet", ctypes.byref(device), ordinal)
        return device

    @contextlib.contextmanager
    def _context_of(self, address: int, device: c_int) -> Iterator[None]:
        """Makes current the context in which the memory was allocated.

        Memory of a pool has none: then it is the GPU's primary one, PyTorch's and the CUDA
        runtime's. Whatever thread asks, it may have none of its own.
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
    """The driver of this machine. Raises OSError where there is none, DriverError."""
    return _load(LIBRARY)
