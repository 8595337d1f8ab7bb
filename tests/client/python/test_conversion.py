"""Tests of the conversion between NumPy and messages, without a server."""

from __future__ import annotations

from typing import Any

import grpc
import lossd
import messages
import ml_dtypes
import numpy as np
import pytest
import scipy.sparse
from lossd import conversion, wire
from lossd.errors import Route
from lossd.v1 import loss_service_pb2, loss_spec_pb2, tensor_pb2


@pytest.mark.parametrize(
    ("dtype", "expected"),
    [
        ("<f4", tensor_pb2.DATA_TYPE_FLOAT32),
        (">f8", tensor_pb2.DATA_TYPE_FLOAT64),
        ("<f2", tensor_pb2.DATA_TYPE_FLOAT16),
        (">f2", tensor_pb2.DATA_TYPE_FLOAT16),
        ("u1", tensor_pb2.DATA_TYPE_UINT8),
        ("?", tensor_pb2.DATA_TYPE_BOOL),
        ("i1", tensor_pb2.DATA_TYPE_INT8),
        ("<i2", tensor_pb2.DATA_TYPE_INT16),
        (">i2", tensor_pb2.DATA_TYPE_INT16),
        ("<i4", tensor_pb2.DATA_TYPE_INT32),
        (">i8", tensor_pb2.DATA_TYPE_INT64),
    ],
)
def test_arrays_are_sent_little_endian_and_come_back(dtype: str, expected: int) -> None:
    array = np.array([[1, 0, 1], [0, 1, 1]], dtype=dtype)
    tensor = messages.to_tensor("targets", array)
    assert tensor.dtype == expected
    assert tensor.shape == [2, 3]
    assert np.array_equal(wire.to_array(messages.received(tensor)), array)


@pytest.mark.parametrize("kind", ["<f4", ">f4", "<f8", "<f2", "u1", "?", "<i8", "O", "<c8"])
@pytest.mark.parametrize("shape", [(), (0, 3), (7,), (2, 5)])
def test_a_plain_call_has_the_same_bytes(kind: str, shape: tuple[int, ...]) -> None:
    array = np.ones(shape, dtype=kind)
    plain = conversion.plain_call(array, array, None, 2 * array.nbytes)
    assert (plain is not None) == (kind not in (">f4", "O", "<c8"))
    if plain is not None:
        whole = conversion.to_call(array, array)
        assert plain.request == whole.request
        assert plain.usual == whole.usual
        assert plain.holds_tensors
        if array.size > 0:
            assert conversion.plain_call(array, array, None, 2 * array.nbytes - 1) is None


def test_a_plain_call_takes_a_place_for_the_gradient_that_fits() -> None:
    array = np.ones((2, 5), np.float32)
    out = np.zeros((2, 5), np.float32)
    call = conversion.plain_call(array, array, out, 1000)
    assert call is not None
    assert call.gradient_out is out
    read_only = out.copy()
    read_only.flags.writeable = False
    for other in (
        out.astype(np.float64),
        out.astype(">f4"),
        out[:1],
        out.T,
        read_only,
        out.tolist(),
        np.ma.masked_array(out),
    ):
        assert conversion.plain_call(array, array, other, 1000) is None
    labels = np.ones((2, 5), np.uint8)
    assert conversion.plain_call(labels, labels, labels, 1000) is None
    assert conversion.plain_call(np.ma.masked_array(array), array, None, 1000) is None
    assert conversion.plain_call(array, array.tolist(), None, 1000) is None


def test_arrays_that_are_not_contiguous_are_sent_in_row_major_order() -> None:
    array = np.arange(12, dtype=np.float32).reshape(3, 4).T[::2]
    tensor = messages.to_tensor("logits", array)
    assert np.array_equal(wire.to_array(messages.received(tensor)), array)


def test_a_number_is_a_tensor_of_rank_0() -> None:
    tensor = messages.to_tensor("logits", np.float64(2.5))
    assert tensor.shape == []
    assert len(tensor.data) == 8


def test_an_empty_array_keeps_its_shape() -> None:
    tensor = messages.to_tensor("logits", np.zeros((0, 3), dtype=np.float32))
    assert tensor.shape == [0, 3]
    assert tensor.WhichOneof("storage") == "data"


def test_another_dtype_is_refused_by_the_arguments_name() -> None:
    with pytest.raises(TypeError, match="weights: dtype complex64 is none of bfloat16, float32"):
        messages.to_tensor("weights", np.zeros(2, dtype=np.complex64))


def test_lists_of_labels_are_no_targets_and_the_error_says_what_takes_them() -> None:
    lists = [(0.0, 2.0), (1.0,)]  # as load_svmlight_file(multilabel=True) returns them
    for targets in (lists, np.array(lists, dtype=object)):
        with pytest.raises(
            (TypeError, ValueError), match=r"^targets: .* lossd.ones_from_lists\(\) take lists"
        ):
            conversion.to_call(np.zeros((2, 3), np.float32), targets)
    with pytest.raises(ValueError, match="^logits: .*part\\.$"):
        conversion.to_call(lists, np.zeros((2, 3)))


def test_the_mask_of_a_masked_array_is_not_lost_in_silence() -> None:
    masked = np.ma.masked_array(np.zeros(2, np.float32), mask=[True, False])
    with pytest.raises(TypeError, match="logits: the mask of a masked array"):
        messages.to_request(masked, np.zeros(2))
    with pytest.raises(TypeError, match="targets: the mask"):
        messages.to_request(np.zeros(2), masked)


def test_bfloat16_is_sent_as_it_is_and_comes_back(monkeypatch: pytest.MonkeyPatch) -> None:
    array = np.array([[1.5, -2.0], [np.inf, 0.1]], dtype=ml_dtypes.bfloat16)
    tensor = messages.to_tensor("logits", array)
    assert tensor.dtype == tensor_pb2.DATA_TYPE_BFLOAT16
    assert tensor.data == array.tobytes()
    back = wire.to_array(messages.received(tensor))
    assert back.dtype == ml_dtypes.bfloat16
    assert back.tobytes() == array.tobytes()
    # An array that is not contiguous is sent in row-major order too.
    assert messages.to_tensor("logits", array.T).data == array.T.tobytes()
    monkeypatch.setattr(wire, "_ml_dtypes", None)
    widened = wire.to_array(messages.received(tensor))
    assert widened.dtype == np.float32
    assert np.array_equal(widened, array.astype(np.float32))


@pytest.mark.parametrize("name", ["logits", "targets", "weights"])
def test_big_endian_bfloat16_is_sent_little_endian(name: str) -> None:
    array = np.array([[1.5, -2.0], [np.inf, 0.1]], dtype=ml_dtypes.bfloat16)
    swapped = array.astype(array.dtype.newbyteorder(">"))
    assert swapped.tobytes() != array.tobytes()
    for given in (swapped, swapped.T.copy().T, swapped[::-1]):
        expected = array[::-1] if given.strides[0] < 0 else array
        assert messages.to_tensor(name, given).data == expected.tobytes()
    assert lossd.bits(np.ones((), array.dtype).astype(swapped.dtype)).packed == [1]


def test_torch_tensors_are_sent_in_their_own_type() -> None:
    torch = pytest.importorskip("torch")
    integers = ("uint8", "bool", "int8", "int16", "int32", "int64")
    for name in ("float32", "float64", "bfloat16", "float16", *integers):
        values = torch.tensor([[0, 1], [1, 1]], dtype=getattr(torch, name))
        tensor = messages.to_tensor("targets", values)
        assert tensor.dtype == tensor_pb2.DataType.Value(f"DATA_TYPE_{name.upper()}")
        assert tensor.shape == [2, 2]
        back = wire.to_array(messages.received(tensor))
        assert np.array_equal(back.astype(np.float32), [[0, 1], [1, 1]])


@pytest.mark.parametrize(
    ("dtype", "expected"),
    [
        (None, tensor_pb2.DATA_TYPE_UNSPECIFIED),
        ("bfloat16", tensor_pb2.DATA_TYPE_BFLOAT16),
        (np.float16, tensor_pb2.DATA_TYPE_FLOAT16),
        (np.dtype(">f8"), tensor_pb2.DATA_TYPE_FLOAT64),
        (ml_dtypes.bfloat16, tensor_pb2.DATA_TYPE_BFLOAT16),
    ],
)
def test_the_gradients_type_is_a_name_or_a_dtype(dtype: Any, expected: int) -> None:
    request = messages.to_request(np.zeros(1), np.zeros(1), gradient_dtype=dtype)
    assert request.spec.gradient_dtype == expected


def test_the_gradients_type_may_be_pytorchs() -> None:
    class Float16:
        """Prints as torch.float16 does."""

        def __str__(self) -> str:
            return "torch.float16"

    request = messages.to_request(np.zeros(1), np.zeros(1), gradient_dtype=Float16())
    assert request.spec.gradient_dtype == tensor_pb2.DATA_TYPE_FLOAT16


def test_a_gradient_of_integers_is_refused() -> None:
    with pytest.raises(ValueError, match="gradient_dtype: 'int32' is none of float32"):
        messages.to_request(np.zeros(1), np.zeros(1), gradient_dtype=np.int32)


@pytest.mark.parametrize("argument", ["reduction", "normalizer", "nan_policy", "kind"])
@pytest.mark.parametrize("value", ["median", "unspecified"])
def test_an_unknown_option_is_refused_by_its_name(argument: str, value: str) -> None:
    with pytest.raises(ValueError, match=f"{argument}: '{value}' is none of"):
        messages.to_request(np.zeros(1), np.zeros(1), **{argument: value})  # type: ignore[arg-type]


def test_options_become_the_spec() -> None:
    request = messages.to_request(
        np.zeros(2, dtype=np.float32),
        np.zeros(2, dtype=np.float32),
        weights=np.ones(2),
        reduction="none",
        loss_weight=0.0,
        ignore_target=-1,
        label_smoothing=0.1,
        gradient=False,
        target_range="any",
        request_id="r1",
    )
    spec = request.spec
    focal = messages.to_request(
        [1.0], [1.0], kind="sigmoid_focal", focal_gamma=2.0, focal_alpha=0.0
    )
    assert focal.spec.HasField("focal_alpha")
    asymmetric = messages.to_request([1.0], [1.0], kind="asymmetric", asymmetric_margin=0.05)
    assert asymmetric.spec.asymmetric_margin == 0.05
    assert not messages.to_request([1.0], [1.0]).spec.HasField("focal_alpha")
    assert spec.reduction == loss_spec_pb2.REDUCTION_NONE
    assert spec.HasField("loss_weight")
    assert spec.ignore_target == -1
    assert spec.gradient == loss_spec_pb2.GRADIENT_MODE_OMIT
    assert spec.target_range == loss_spec_pb2.TARGET_RANGE_ANY
    assert request.HasField("weights")
    assert not request.HasField("pos_weight")
    assert request.request_id == "r1"


def test_a_reply_without_gradient_has_none() -> None:
    reply = loss_service_pb2.ComputeLossResponse(loss=2.5, valid_count=3)
    result = conversion.to_call([1.0], [1.0]).result(reply.SerializeToString())
    assert result.gradient is None
    assert result.losses is None
    assert (result.loss, result.valid_count) == (2.5, 3)


def test_identity_and_ones_are_sent_without_their_zeros() -> None:
    identity = messages.to_targets(lossd.identity(diagonal=-2))
    assert identity.WhichOneof("storage") == "identity"
    assert identity.identity.diagonal == -2
    ones = messages.to_targets(lossd.ones([0, 2, 3], np.array([1, 4, 0], np.uint8)))
    assert (ones.ones.row_splits, ones.ones.columns) == ([0, 2, 3], [1, 4, 0])
    assert ones.shape == []
    shaped = messages.to_targets(lossd.ones([0], [], shape=(0, 3)))
    assert (shaped.shape, shaped.ones.row_splits) == ([0, 3], [0])
    for bad in ([0.0, 1.0], [[0, 1]]):
        with pytest.raises(TypeError, match="row_splits: not one dimension of integers"):
            lossd.ones(bad, [])


@pytest.mark.parametrize("form", ["csr", "csc", "bsr"])
def test_sparse_matrices_are_ones_in_rising_columns(form: Any) -> None:
    dense = np.array([[0, 1, 0, 1], [0, 0, 0, 0], [1, 1, 0, 0]])
    tensor = messages.to_targets(scipy.sparse.coo_array(dense).asformat(form))
    assert tensor.ones.row_splits == [0, 2, 2, 4]
    assert tensor.ones.columns == [1, 3, 0, 1]
    assert tensor.shape == [3, 4]


def test_what_a_sparse_matrix_stores_is_looked_at() -> None:
    half = scipy.sparse.csr_array(([1.0, 0.5], ([0, 0], [0, 1])), shape=(1, 2))
    with pytest.raises(ValueError, match="neither 0 nor 1"):
        messages.to_targets(half)
    stored_zero = scipy.sparse.csr_array(([0.0, 1.0], ([0, 0], [0, 1])), shape=(1, 2))
    assert messages.to_targets(stored_zero).ones.columns == [1]
    assert stored_zero.nnz == 2  # the caller's matrix is unchanged


def test_bits_and_ones_refuse_a_mask() -> None:
    masked = np.ma.masked_array([1, 0], mask=[True, False])
    with pytest.raises(TypeError, match="bits: the mask"):
        lossd.bits(masked)
    with pytest.raises(TypeError, match="row_splits: the mask"):
        lossd.ones(masked, [0])


def test_bits_are_packed_least_significant_first() -> None:
    array = np.zeros((3, 3), np.float32)
    array[0, 0] = array[1, 1] = array[2, 2] = 1
    tensor = messages.to_targets(lossd.bits(array))
    assert (tensor.dtype, tensor.shape) == (tensor_pb2.DATA_TYPE_BIT, [3, 3])
    assert tensor.data == bytes([0b00010001, 1])
    with pytest.raises(ValueError, match="neither 0 nor 1"):
        lossd.bits([0.5])


def test_packed_bits_are_sent_as_they_are() -> None:
    ones = np.random.default_rng(3).random((5, 7)) < 0.5
    packed = np.packbits(ones, bitorder="little")
    given = messages.to_targets(lossd.bits(packed, shape=(5, 7)))
    assert given == messages.to_targets(lossd.bits(ones))
    with pytest.raises(ValueError, match=r"^bits: 5 bytes; shape \(5, 9\) takes 6"):
        lossd.bits(packed, shape=(5, 9))
    for bad in (packed.astype(np.int16), packed.reshape(1, -1), [1, 0]):
        with pytest.raises(TypeError, match="^bits: .* is not one row of uint8"):
            lossd.bits(bad, shape=(5, 7))
    with pytest.raises(TypeError, match="^shape: 35 is not a tuple"):
        lossd.bits(packed, shape=35)  # type: ignore[arg-type]


@pytest.mark.parametrize("shape", [(5, 7), (8,), (), (0, 3), (1, 9)])
def test_bits_that_are_packed_in_numpys_own_order_are_the_same(shape: tuple[int, ...]) -> None:
    ones = np.random.default_rng(4).random(shape) < 0.5
    expected = messages.to_targets(lossd.bits(ones))
    packed = np.packbits(ones, axis=None)
    assert messages.to_targets(lossd.bits(packed, shape, bitorder="big")) == expected
    little = np.packbits(ones, axis=None, bitorder="little")
    assert messages.to_targets(lossd.bits(little, shape)) == expected
    assert np.shares_memory(lossd.bits(little, shape).packed, little) == (little.size > 0)


class Refusal(grpc.RpcError):
    """A failed call with these trailers."""

    def __init__(self, trailers: tuple[tuple[str, str], ...] | None) -> None:
        self._trailers = trailers

    def code(self) -> grpc.StatusCode:
        return grpc.StatusCode.RESOURCE_EXHAUSTED

    def details(self) -> str | None:
        return "the byte budget is full"

    def trailing_metadata(self) -> tuple[tuple[str, str], ...] | None:
        return self._trailers


@pytest.mark.parametrize(
    ("trailers", "seconds"),
    [
        (None, None),
        ((("other", "7"),), None),
        ((("grpc-retry-pushback-ms", "250"),), 0.25),
        ((("grpc-retry-pushback-ms", "0"),), 0.0),
        ((("grpc-retry-pushback-ms", "-1"),), None),  # gRPC reads this as "do not retry"
        ((("grpc-retry-pushback-ms", "soon"),), None),
    ],
)
def test_the_time_to_come_again_is_read_from_the_trailers(
    trailers: tuple[tuple[str, str], ...] | None, seconds: float | None
) -> None:
    error = Route("localhost:1", None).error(Refusal(trailers))
    assert error.code == grpc.StatusCode.RESOURCE_EXHAUSTED
    assert error.retry_after == seconds
    assert str(error) == "RESOURCE_EXHAUSTED: the byte budget is full"
