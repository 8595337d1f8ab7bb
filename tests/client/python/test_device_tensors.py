"""Tests which tensors on GPUs are passed by reference, which are sent and which are refused."""

from __future__ import annotations

import asyncio
from typing import Any

import lossd
import messages
import ml_dtypes
import numpy as np
import pytest
from lossd import conversion, streaming
from lossd.v1 import loss_service_pb2, tensor_pb2
from region_server import RegionServer
from stub_gpu import (
    CudaArray,
    StubGpus,
    StubTorch,
    TorchDtype,
    cuda_array,
)

VALUES = np.linspace(-4, 4, 24, dtype=np.float32).reshape(4, 6)
NOBODY = "127.0.0.1:1"  # no server is here: a call would end with UNAVAILABLE


def is_named(tensor: tensor_pb2.Tensor) -> bool:
    return tensor.WhichOneof("storage") == "shared_memory"


def test_every_operand_on_a_gpu_is_named(gpus: StubGpus, memory: lossd.SharedMemory) -> None:
    arrays: dict[str, Any] = {
        "logits": VALUES,
        "targets": VALUES > 0,
        "weights": VALUES.astype(np.float64),
        "pos_weight": VALUES[0].astype(np.float16),
        "upstream_gradient": VALUES,
    }
    on_gpu = {name: cuda_array(gpus, array) for name, array in arrays.items()}
    out = cuda_array(gpus, np.zeros_like(VALUES))
    call = conversion.to_call(**on_gpu, gradient_out=out, reduction="none", memory=memory)
    by_value = conversion.to_call(**arrays, reduction="none")
    for name, array in arrays.items():
        named, sent = getattr(messages.read(call), name), getattr(messages.read(by_value), name)
        assert is_named(named), name
        assert named.shared_memory.byte_size == array.nbytes
        assert (named.dtype, named.shape) == (sent.dtype, sent.shape)
    assert messages.read(call).gradient_destination.byte_size == VALUES.nbytes
    assert call.gradient_out is out


def test_pytorchs_tensors_are_named_in_their_own_types(
    torch: StubTorch, memory: lossd.SharedMemory
) -> None:
    for name in ("float32", "float64", "float16", "bfloat16", "uint8", "bool", "int32"):
        dtype = ml_dtypes.bfloat16 if name == "bfloat16" else name
        tensor = torch.tensor(np.ones((2, 3), dtype))
        request = messages.to_request(torch.tensor(VALUES), tensor, memory=memory)
        assert is_named(request.targets)
        assert request.targets.dtype == tensor_pb2.DataType.Value(f"DATA_TYPE_{name.upper()}")
        assert request.targets.shape == [2, 3]
        size = 6 * np.dtype(dtype).itemsize
        assert request.targets.shared_memory.byte_size == size


def test_the_gradient_of_pytorchs_logits_is_a_new_tensor_beside_them(
    torch: StubTorch, server: RegionServer, memory: lossd.SharedMemory
) -> None:
    logits, targets = torch.tensor(VALUES, device=1), torch.tensor(VALUES, device=1)
    call = conversion.to_call(logits, targets, memory=memory)
    out = call.gradient_out
    assert out.shape == (4, 6)
    assert out.dtype == torch.float32
    assert str(out.device) == "cuda:1"
    destination = messages.read(call).gradient_destination
    assert destination.offset == out.data_ptr() - (
        logits.data_ptr() - messages.read(call).logits.shared_memory.offset
    )
    halves = conversion.to_call(logits, targets, gradient_dtype="bfloat16", memory=memory)
    assert halves.gradient_out.dtype == torch.bfloat16
    assert messages.read(halves).gradient_destination.byte_size == 48
    assert len(server.registered) == 1  # all were cut from one segment
    none = conversion.to_call(logits, targets, gradient=False, memory=memory)
    assert none.gradient_out is None
    assert not messages.read(none).HasField("gradient_destination")
    # The gradient of logits of another library comes back as a NumPy array.
    named = torch.tensor(VALUES, device=1)
    array = CudaArray(named.data_ptr(), (4, 6), np.float32)
    assert conversion.to_call(array, targets, memory=memory).gradient_out is None


def test_a_place_for_the_gradient_on_a_gpu_must_fit(
    torch: StubTorch, gpus: StubGpus, memory: lossd.SharedMemory
) -> None:
    logits = torch.tensor(np.zeros(40, np.float32))
    whole = torch.tensor(np.zeros(41, np.float32))
    read_only = cuda_array(gpus, np.zeros(40, np.float32))
    read_only.__cuda_array_interface__["data"] = (read_only.host.ctypes.data, True)
    integers = torch.tensor(np.zeros(40, np.int32))
    for out, text in (
        (whole, r"^gradient_out: shape \(41,\) is not the logits', \(40,\)"),
        (whole.part(1), "^gradient_out: on cuda:0, and not at a multiple of 64 bytes"),
        (logits.not_contiguous(), "^gradient_out: must be C-contiguous and writable"),
        (read_only, "^gradient_out: must be C-contiguous and writable"),
        (integers, "^gradient_out: dtype int32 is none of float32, float64, bfloat16, float16"),
        (
            torch.tensor(np.zeros(40, np.float32), device=1),
            "^gradient_out: on GPU 1, and logits on GPU 0",
        ),
    ):
        with pytest.raises(ValueError, match=text):
            conversion.to_call(logits, logits, gradient_out=out, memory=memory)
    place = torch.tensor(np.zeros(40, np.float32))
    with pytest.raises(ValueError, match="^gradient_out: with gradient=False"):
        conversion.to_call(logits, logits, gradient_out=place, gradient=False, memory=memory)
    with pytest.raises(ValueError, match="^gradient_out: dtype float32 is not gradient_dtype"):
        conversion.to_call(
            logits, logits, gradient_out=place, gradient_dtype="float64", memory=memory
        )
    # The logits need not lie on the GPU of their gradient.
    call = conversion.to_call(np.zeros(40), np.zeros(40), gradient_out=place, memory=memory)
    assert messages.read(call).HasField("gradient_destination")
    assert messages.read(call).spec.gradient_dtype == tensor_pb2.DATA_TYPE_FLOAT32


def test_tensors_of_one_call_are_on_one_gpu(torch: StubTorch, memory: lossd.SharedMemory) -> None:
    logits, other = torch.tensor(VALUES), torch.tensor(VALUES, device=1)
    with pytest.raises(ValueError, match="^targets: on GPU 1, and logits on GPU 0; all tensors"):
        conversion.to_call(logits, other, memory=memory)
    with pytest.raises(ValueError, match="^weights: on GPU 0, and targets on GPU 1"):
        conversion.to_call(VALUES, other, weights=logits, memory=memory)
    assert is_named(messages.to_request(other, other, memory=memory).targets)


def test_what_does_not_lie_in_a_row_is_refused(
    torch: StubTorch, gpus: StubGpus, memory: lossd.SharedMemory
) -> None:
    base = gpus.allocate(4096)
    for strides, contiguous in (
        ((24, 4), True),
        (None, True),
        ((4, 16), False),
        ((48, 4), False),
        ((24, 8), False),
    ):
        array = CudaArray(base, (4, 6), np.float32, strides=strides)
        if contiguous:
            assert is_named(messages.to_request(array, VALUES, memory=memory).logits)
            continue
        with pytest.raises(ValueError, match="^logits: on a GPU, and not C-contiguous"):
            messages.to_request(array, VALUES, memory=memory)
    one_row = CudaArray(
        base, (1, 6), np.float32, strides=(9999, 4)
    )  # the first stride is never used
    assert is_named(messages.to_request(one_row, VALUES[:1], memory=memory).logits)
    swapped = CudaArray(base, (4, 6), ">f4")
    with pytest.raises(ValueError, match="^logits: .*not C-contiguous"):
        messages.to_request(swapped, VALUES, memory=memory)
    with pytest.raises(ValueError, match="^targets: on cuda:0, and not C-contiguous"):
        messages.to_request(VALUES, torch.tensor(VALUES).not_contiguous(), memory=memory)


def test_what_cannot_be_read_is_refused(
    torch: StubTorch, gpus: StubGpus, memory: lossd.SharedMemory
) -> None:
    array = cuda_array(gpus, VALUES.astype(np.complex64))
    with pytest.raises(TypeError, match="^weights: dtype complex64 is none of bfloat16, float32"):
        messages.to_request(VALUES, VALUES, weights=array, memory=memory)
    masked = cuda_array(gpus, VALUES)
    masked.__cuda_array_interface__["mask"] = cuda_array(gpus, VALUES > 0)
    with pytest.raises(TypeError, match="^logits: the mask"):
        messages.to_request(masked, VALUES, memory=memory)
    sparse = torch.tensor(VALUES)
    sparse.layout = "torch.sparse_coo"
    with pytest.raises(TypeError, match="^logits: a tensor of layout torch.sparse_coo"):
        messages.to_request(sparse, VALUES, memory=memory)


def test_other_libraries_bfloat16_is_known_by_its_dtype(
    gpus: StubGpus, memory: lossd.SharedMemory
) -> None:
    array = cuda_array(gpus, VALUES.astype(ml_dtypes.bfloat16))
    assert array.__cuda_array_interface__["typestr"] == "<V2"
    request = messages.to_request(array, VALUES, memory=memory)
    assert request.logits.dtype == tensor_pb2.DATA_TYPE_BFLOAT16


def test_one_upstream_value_is_sent(
    torch: StubTorch, gpus: StubGpus, memory: lossd.SharedMemory
) -> None:
    logits = torch.tensor(VALUES)
    half = torch.tensor(np.float32(0.5))
    request = messages.to_request(logits, VALUES, upstream_gradient=half, memory=memory)
    assert request.upstream_gradient.data == np.float32(0.5).tobytes()
    array = CopiesItself(gpus.allocate(4), (), np.float32)
    array.host[...] = 0.5
    request = messages.to_request(logits, VALUES, upstream_gradient=array, memory=memory)
    assert request.upstream_gradient.data == np.float32(0.5).tobytes()
    with pytest.raises(TypeError, match="^upstream_gradient: one value on a GPU; give a number"):
        messages.to_request(logits, VALUES, upstream_gradient=cuda_array(gpus, 0.5), memory=memory)


def test_host_and_gpu_may_be_mixed_and_empty_tensors_lie_nowhere(
    torch: StubTorch, server: RegionServer, memory: lossd.SharedMemory
) -> None:
    request = messages.to_request(torch.tensor(VALUES), VALUES, memory=memory)
    assert request.targets.data == VALUES.tobytes()
    server.registered.clear()
    empty = torch.tensor(np.zeros((0, 3), np.float32))
    for options in ({}, {"gradient_out": empty}):
        call = conversion.to_call(empty, empty, memory=memory, **options)
        assert messages.read(call).logits.WhichOneof("storage") == "data"
        assert messages.read(call).logits.shape == [0, 3]
        assert not messages.read(call).HasField("gradient_destination")
        assert call.gradient_out.shape == (0, 3)
        reply = loss_service_pb2.ComputeLossResponse(gradient=messages.read(call).logits)
        assert call.result(reply.SerializeToString()).gradient is call.gradient_out
    assert server.registered == []
    on_host = torch.tensor(VALUES).cpu()
    assert conversion.to_call(on_host, torch.tensor(VALUES), memory=memory).gradient_out is None


def test_packed_bits_on_a_gpu_are_named(torch: StubTorch, memory: lossd.SharedMemory) -> None:
    ones = VALUES > 0
    packed = torch.tensor(np.packbits(ones, bitorder="little"))
    bits = lossd.bits(packed, shape=(4, 6))  # type: ignore[arg-type]
    request = messages.to_request(torch.tensor(VALUES), bits, memory=memory)
    assert is_named(request.targets)
    assert request.targets.dtype == tensor_pb2.DATA_TYPE_BIT
    assert request.targets.shape == [4, 6]
    assert request.targets.shared_memory.byte_size == 3
    # Without shared memory, PyTorch copies the packed bits to the host.
    assert messages.to_request(VALUES, bits) == messages.to_request(VALUES, lossd.bits(ones))


class CopiesItself(CudaArray):
    """An array that NumPy can convert implicitly, as those of JAX and Numba."""

    def __array__(self, *_: Any, **__: Any) -> np.ndarray:
        return self.host.copy()


def test_without_shared_memory_libraries_copy_and_others_are_told_what_to_do(
    torch: StubTorch, gpus: StubGpus
) -> None:
    for dtype in (np.float32, ml_dtypes.bfloat16):
        tensor = torch.tensor(VALUES.astype(dtype))
        request = messages.to_request(tensor, tensor)
        assert request.logits.data == VALUES.astype(dtype).tobytes()
    array = CopiesItself(gpus.allocate(VALUES.nbytes), VALUES.shape, np.float32)
    array.host[...] = VALUES
    assert messages.to_request(array, array).logits.data == VALUES.tobytes()
    array = cuda_array(gpus, VALUES)
    text = r"lies on (a GPU|cuda:0); give the client shared_memory=lossd.SharedMemory\(path\)"
    with pytest.raises(TypeError, match=f"^targets: {text}"):
        messages.to_request(VALUES, array)
    for out in (array, torch.tensor(VALUES)):
        with pytest.raises(TypeError, match=f"^gradient_out: {text}"):
            messages.to_request(VALUES, VALUES, gradient_out=out)


@pytest.mark.parametrize("stream_above_bytes", [0, 1 << 20])
def test_both_clients_refuse_what_they_cannot_name(gpus: StubGpus, stream_above_bytes: int) -> None:
    array = cuda_array(gpus, VALUES)
    with lossd.Client(NOBODY, stream_above_bytes=stream_above_bytes) as client:
        for arguments in ({"logits": array}, {"targets": array}, {"gradient_out": array}):
            name = next(iter(arguments))
            given: dict[str, Any] = {"logits": VALUES, "targets": VALUES, **arguments}
            with pytest.raises(TypeError, match=f"^{name}: lies on a GPU"):
                client.compute_loss(**given)

    async def ask() -> None:
        async with lossd.AsyncClient(NOBODY, stream_above_bytes=stream_above_bytes) as client:
            await client.compute_loss(array, VALUES)  # type: ignore[arg-type]

    with pytest.raises(TypeError, match="^logits: lies on a GPU"):
        asyncio.run(ask())


def test_the_work_that_makes_a_tensor_is_waited_for_before_the_call(
    torch: StubTorch, gpus: StubGpus, memory: lossd.SharedMemory
) -> None:
    logits = torch.tensor(VALUES, device=1)
    call = conversion.to_call(logits, logits, memory=memory)
    assert torch.synchronized == []
    call.references.synchronize()
    assert torch.synchronized == ["cuda:1"]  # both tensors are of one stream
    before = gpus.calls("cuCtxSynchronize")
    call = conversion.to_call(cuda_array(gpus, VALUES), VALUES, gradient=False, memory=memory)
    assert gpus.calls("cuCtxSynchronize") == before
    call.references.synchronize()
    assert gpus.calls("cuCtxSynchronize") == before + 1
    assert torch.synchronized == ["cuda:1"]
    host = conversion.to_call(VALUES, VALUES, memory=memory)
    assert not host.references.names_device_memory
    host.references.synchronize()
    assert gpus.calls("cuCtxSynchronize") == before + 1


def test_a_call_that_names_memory_of_a_gpu_is_not_streamed(
    torch: StubTorch, gpus: StubGpus, memory: lossd.SharedMemory
) -> None:
    tensor, array = torch.tensor(VALUES), cuda_array(gpus, VALUES)
    for logits, targets, options in (
        (tensor, VALUES, {}),
        (VALUES, array, {}),
        (VALUES, VALUES, {"gradient_out": tensor}),
        (VALUES, lossd.bits(torch.tensor(np.zeros(3, np.uint8)), (4, 6)), {}),  # type: ignore[arg-type]
    ):
        assert not streaming.sends_more_than(0, logits, targets, options, memory)  # type: ignore[arg-type]
    assert streaming.sends_more_than(0, VALUES, VALUES, {}, memory)
    assert streaming.sends_more_than(0, tensor, VALUES, {}, None)  # type: ignore[arg-type]


def test_a_stand_in_prints_its_types_as_pytorch_does() -> None:
    torch = pytest.importorskip("torch")
    for name in ("float32", "bfloat16", "uint8"):
        assert str(TorchDtype(name)) == str(getattr(torch, name))
    tensor = torch.zeros(2)
    assert tensor.layout == torch.strided
    for attribute in ("data_ptr", "element_size", "nelement", "is_contiguous", "is_neg"):
        assert callable(getattr(tensor, attribute))
