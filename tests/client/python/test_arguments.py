"""A public function names each bad argument before it makes a call."""

from __future__ import annotations

import asyncio
import socket
from pathlib import Path
from typing import Any

import lossd
import messages
import ml_dtypes
import numpy as np
import pytest
from lossd.v1 import loss_spec_pb2

NOBODY = "127.0.0.1:1"  # no server is here: a call would end with UNAVAILABLE
MASKED = np.ma.masked_array([0.5, 1.0], mask=[True, False])
RAGGED = [[1.0], [1.0, 2.0]]
TENSORS = ["logits", "targets", "weights", "pos_weight", "upstream_gradient"]
NUMBERS = [
    "normalizer_value",
    "loss_weight",
    "ignore_target",
    "label_smoothing",
    "focal_gamma",
    "focal_alpha",
    "asymmetric_gamma_positive",
    "asymmetric_gamma_negative",
    "asymmetric_margin",
]
NAMES = ["kind", "reduction", "normalizer", "nan_policy", "target_range", "target_shape_rule"]


def blocking(stream_above_bytes: int, **arguments: Any) -> None:
    with lossd.Client(NOBODY, stream_above_bytes=stream_above_bytes) as client:
        client.compute_loss(**arguments)


def asynchronous(stream_above_bytes: int, **arguments: Any) -> None:
    async def call() -> None:
        async with lossd.AsyncClient(NOBODY, stream_above_bytes=stream_above_bytes) as client:
            await client.compute_loss(**arguments)

    asyncio.run(call())


@pytest.fixture(params=[blocking, asynchronous])
def compute(request: pytest.FixtureRequest) -> Any:
    return request.param


def refused(
    compute: Any,
    error: type[Exception],
    text: str,
    bad: dict[str, Any],
    stream_above_bytes: int = 1 << 20,
) -> None:
    arguments = {"logits": np.zeros((2, 1)), "targets": np.zeros((2, 1)), **bad}
    with pytest.raises(error, match=text):
        compute(stream_above_bytes, **arguments)


@pytest.mark.parametrize("name", TENSORS)
@pytest.mark.parametrize("stream_above_bytes", [0, 1 << 20])
def test_an_array_that_cannot_be_sent_is_named(
    compute: Any, name: str, stream_above_bytes: int
) -> None:
    def check(error: type[Exception], text: str, value: Any) -> None:
        refused(compute, error, f"^{name}: {text}", {name: value}, stream_above_bytes)

    check(TypeError, "the mask", MASKED)
    check(TypeError, "the mask", np.ma.masked_array([0.5]))  # without a masked element
    check(TypeError, "the mask", [MASKED, MASKED])
    check(TypeError, "the mask", [1.0, np.ma.masked])
    check(TypeError, "dtype complex64 is none of", np.zeros(2, np.complex64))
    check(TypeError, "dtype object is none of", np.array([1.0, None], object))
    check(TypeError, "dtype <U3 is none of", ["abc", "de"])
    check(TypeError, "dtype <U3 is none of", "abc")
    check(TypeError, "dtype datetime64.* is none of", np.zeros(2, "datetime64[s]"))
    check(TypeError, "dtype object is none of", {"a": 1.0})
    check(ValueError, ".*inhomogeneous", RAGGED)
    if name in ("logits", "targets"):  # the others are optional
        check(TypeError, "dtype object is none of", None)
    bytes_of_two = np.zeros(2, "V2")
    check(TypeError, r"dtype \|V2 is none of .*array.view\(ml_dtypes.bfloat16\)", bytes_of_two)
    check(TypeError, "dtype object .*lossd.ones_from_lists", np.array([[1], [1, 2]], object))


@pytest.mark.parametrize("name", NUMBERS)
def test_an_option_that_is_no_number_is_named(compute: Any, name: str) -> None:
    for bad in ("0.5", b"1", True, np.True_, [1.0], np.zeros(2), 1j, np.complex64(1), np.str_("1")):
        refused(compute, TypeError, f"^{name}: .* is not a number", {name: bad})
    refused(compute, TypeError, f"^{name}: the mask", {name: np.ma.masked})
    refused(compute, ValueError, f"^{name}: ", {name: 10**400})
    if name not in ("normalizer_value", "loss_weight", "ignore_target", "focal_alpha"):
        refused(compute, TypeError, f"^{name}: None is not a number", {name: None})


def test_a_number_may_be_of_numpy() -> None:
    for number in (2, np.float32(2), np.int64(2), np.array(2.0)):
        assert messages.to_request([1.0], [1.0], loss_weight=number).spec.loss_weight == 2


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("value", [None, 1, "", "no_such", ["mean"]])
def test_an_option_that_is_no_known_name_is_named(compute: Any, name: str, value: Any) -> None:
    if name == "normalizer" and value is None:
        return  # asks for the default
    refused(compute, ValueError, f"^{name}: .* is none of", {name: value})


def test_other_options_of_a_wrong_type_are_named(compute: Any) -> None:
    for truth in ("no", None, 2, 1.0):
        refused(compute, TypeError, "^gradient: .* is neither True nor False", {"gradient": truth})
    for name in ("int8", "float8"):  # of which NumPy does not know the second
        refused(compute, ValueError, f"^gradient_dtype: '{name}' is", {"gradient_dtype": name})
    refused(compute, TypeError, "^gradient_dtype: ", {"gradient_dtype": 5})
    for text in (7, None, b"r1"):
        refused(compute, TypeError, "^request_id: .* is not a string", {"request_id": text})
        refused(compute, TypeError, "^request_id: .* is not a string", {"request_id": text}, 0)
    refused(compute, ValueError, "^request_id: ", {"request_id": "\ud800"})
    for time in ("5", [1], True):
        refused(compute, TypeError, "^timeout: .* is not a number", {"timeout": time})
    refused(compute, ValueError, "^timeout: NaN", {"timeout": float("nan")})
    for past in (0, -1.5, -float("inf"), np.float32(0)):
        refused(compute, ValueError, "^timeout: .* None waits for ever", {"timeout": past})


def test_an_argument_that_there_is_not_is_named_with_the_one_it_may_be(compute: Any) -> None:
    for stream_above_bytes in (0, 1 << 20):
        for bad, text in (
            ("no_such", r"^no_such: compute_loss\(\) has no such argument$"),
            ("reducton", r"^reducton: .*; is it reduction\?$"),
            ("memory", "^memory: "),  # a parameter of to_call() that is not an option
        ):
            refused(compute, TypeError, text, {bad: 1}, stream_above_bytes)


def test_a_gradient_out_of_integers_is_named(compute: Any) -> None:
    for stream_above_bytes in (0, 1 << 20):
        out = np.zeros((2, 1), np.int32)
        text = "^gradient_out: dtype int32 is none of float32, .*, float8_e4m3fn, float8_e5m2$"
        refused(compute, ValueError, text, {"gradient_out": out}, stream_above_bytes)


def test_a_parameter_of_another_kind_of_loss_is_refused(compute: Any) -> None:
    needed: dict[str, dict[str, Any]] = {
        "sigmoid_cross_entropy": {},
        "sigmoid_focal": {"focal_gamma": 2},
        "asymmetric": {"asymmetric_margin": 0.05},
        "poly": {"poly_epsilon": 1},
        "quality_focal": {"focal_gamma": 2},
        "varifocal": {"focal_gamma": 2},
    }
    focal = ("sigmoid_focal", "poly", "quality_focal", "varifocal")
    owners: dict[str, tuple[str, ...]] = {
        "focal_gamma": focal,
        "focal_alpha": ("sigmoid_focal", "poly", "varifocal"),
        "asymmetric_gamma_positive": ("asymmetric",),
        "asymmetric_gamma_negative": ("asymmetric",),
        "asymmetric_margin": ("asymmetric",),
        "poly_epsilon": ("poly",),
    }
    others: dict[str, tuple[tuple[str, ...], Any]] = {
        "soft_targets": (("sigmoid_focal", "poly"), "mixture"),
        "detach_focus": (("sigmoid_focal", "asymmetric"), True),
    }
    assert {kind.lower() for kind in loss_spec_pb2.LossKind.keys()[1:]} == {  # noqa: SIM118
        f"loss_kind_{kind}" for kind in needed
    }
    fields = loss_spec_pb2.LossSpec.DESCRIPTOR.fields_by_name
    assert {name for name in fields if name.startswith(("focal", "asymm", "poly"))} == set(owners)
    values = {name: (kinds, 0.5) for name, kinds in owners.items()} | others
    for name, (kinds, value) in values.items():
        *first, last = kinds
        readers = f"{', '.join(first)} or {last}" if first else last
        for kind, parameters in needed.items():
            options = {"kind": kind, **parameters, name: value}
            if kind in kinds:
                messages.to_request([1.0], [1.0], **options)
                continue
            text = f"^{name}: is for kind {readers}, and the kind is {kind}, which would ignore it"
            refused(compute, ValueError, text, options)
        if name not in ("focal_alpha", "soft_targets"):  # their default is not 0
            messages.to_request([1.0], [1.0], **{name: type(value)(0)})
    refused(compute, ValueError, "^focal_alpha: is for kind sigmoid_focal", {"focal_alpha": 0.0})


def test_a_kind_without_its_parameters_is_refused_with_those_of_its_paper(compute: Any) -> None:
    focal = "^focal_gamma: kind sigmoid_focal needs it; .* focal_gamma=2, focal_alpha=0.25$"
    refused(compute, ValueError, focal, {"kind": "sigmoid_focal"})
    refused(compute, ValueError, focal, {"kind": "sigmoid_focal", "focal_alpha": 0.25})
    asymmetric = (
        "^asymmetric_gamma_positive: kind asymmetric needs it; .* asymmetric_gamma_positive=1, "
        "asymmetric_gamma_negative=4, asymmetric_margin=0.05$"
    )
    refused(compute, ValueError, asymmetric, {"kind": "asymmetric"})
    for name in ("gamma_positive", "gamma_negative", "margin"):
        messages.to_request([1.0], [1.0], kind="asymmetric", **{f"asymmetric_{name}": 0})
    messages.to_request([1.0], [1.0], kind="sigmoid_focal", focal_gamma=0)
    poly = "^poly_epsilon: kind poly needs it; .* poly_epsilon=1, focal_gamma=0, focal_alpha=None$"
    refused(compute, ValueError, poly, {"kind": "poly", "focal_gamma": 2})
    quality = "^focal_gamma: kind quality_focal needs it; .* parameters are focal_gamma=2$"
    refused(compute, ValueError, quality, {"kind": "quality_focal"})
    varifocal = "^focal_gamma: kind varifocal needs it; .* focal_gamma=2, focal_alpha=0.75$"
    refused(compute, ValueError, varifocal, {"kind": "varifocal"})


def test_an_option_without_effect_is_refused(compute: Any) -> None:
    for options, text in (
        (
            {"normalizer_value": 8},
            "^normalizer_value: is for normalizer caller, and the normalizer is elements",
        ),
        (
            {"normalizer_value": 8, "normalizer": "batch"},
            "^normalizer_value: is for normalizer caller, and the normalizer is batch",
        ),
        ({"normalizer": "caller"}, "^normalizer_value: normalizer='caller' needs it"),
        (
            {"normalizer": "batch", "reduction": "sum"},
            "^normalizer: is for reduction mean, rows or mean_of_rows, and the reduction is sum, "
            "which would ignore it",
        ),
        ({"normalizer": "elements", "reduction": "none"}, "^normalizer: is for reduction mean"),
        (
            {"losses_dtype": "float32"},
            "^losses_dtype: is for reduction none or rows, and the reduction is mean",
        ),
        (
            {"label_smoothing_prior": 0.25},
            "^label_smoothing_prior: has no effect without label_smoothing",
        ),
    ):
        for stream_above_bytes in (0, 1 << 20):
            refused(compute, ValueError, text, options, stream_above_bytes)
    messages.to_request([1.0], [1.0], normalizer="batch", reduction="mean")
    messages.to_request([1.0], [1.0], normalizer_value=None, normalizer=None, reduction="sum")


@pytest.mark.parametrize("out", [[0.0], "abc", 7, memoryview(b"abcd"), object()])
def test_a_gradient_out_that_is_no_array_is_named(compute: Any, out: Any) -> None:
    for stream_above_bytes in (0, 1 << 20):
        text = f"^gradient_out: {type(out).__name__} is neither an array nor a tensor"
        refused(compute, TypeError, text, {"gradient_out": out}, stream_above_bytes)


def test_a_gradient_out_that_does_not_fit_is_named(compute: Any) -> None:
    read_only = np.zeros((2, 1))
    read_only.flags.writeable = False
    for out, text in (
        (np.zeros((1, 2)), r"shape \(1, 2\) is not the logits', \(2, 1\)"),
        (np.zeros((2, 2))[:, :1], "must be C-contiguous and writable"),
        (read_only, "must be C-contiguous and writable"),
        (np.zeros((2, 1), ">f4"), "dtype >f4 is not little-endian"),
        (np.zeros((2, 1), np.dtype(ml_dtypes.bfloat16).newbyteorder(">")), "dtype >i2 is not"),
        (np.zeros((2, 1), object), "dtype object is none of"),
    ):
        for stream_above_bytes in (0, 1 << 20):
            arguments = {"gradient_out": out}
            refused(compute, ValueError, f"^gradient_out: {text}", arguments, stream_above_bytes)


@pytest.mark.parametrize("client", [lossd.Client, lossd.AsyncClient])
def test_a_client_names_its_bad_arguments(client: Any) -> None:
    async def make(*target: Any, **options: Any) -> None:
        client(*target, **options)

    for error, text, options in (
        (TypeError, "^target: None is neither a string nor a list", {"target": None}),
        (ValueError, "^target: 'localhost' has no port", {"target": "localhost"}),
        (TypeError, "^wait_for_ready: 'no' is neither True nor False", {"wait_for_ready": "no"}),
        (TypeError, "^wait_for_ready: None is neither", {"wait_for_ready": None}),
        (TypeError, "^use_http_proxy: 'http://p:1' is neither", {"use_http_proxy": "http://p:1"}),
        (TypeError, "^channel_options: 7 is not a mapping", {"channel_options": 7}),
        (TypeError, "^channel_options: .* is not a mapping", {"channel_options": [("grpc.x", 1)]}),
        (TypeError, "^channel_options: 1 is not a string", {"channel_options": {1: 1}}),
        (TypeError, "^channel_options: 1.5 of 'grpc.x' is", {"channel_options": {"grpc.x": 1.5}}),
        (TypeError, "^channel_options: True of", {"channel_options": {"grpc.x": True}}),
        (ValueError, "^channel_options: 2147483648 of", {"channel_options": {"grpc.x": 1 << 31}}),
        (TypeError, "^shared_memory: 7 is no SharedMemory$", {"shared_memory": 7}),
        (
            TypeError,
            r"^shared_memory: '/path' is no SharedMemory; give lossd.SharedMemory\('/path'\)$",
            {"shared_memory": "/path"},
        ),
        (TypeError, "^credentials: 'tls' is not a grpc.ChannelCredentials", {"credentials": "tls"}),
        (TypeError, "^token: 7 is not a string", {"token": 7}),
        (ValueError, r"^token: character 3 is '\\n', and a token is one", {"token": "one\ntwo"}),
        (ValueError, "^token: character 0 is 'é'", {"token": "é"}),
        (TypeError, "^stream_above_bytes: 1.5 is not", {"stream_above_bytes": 1.5}),
        (TypeError, "^stream_above_bytes: '1' is not", {"stream_above_bytes": "1"}),
        (ValueError, "^stream_above_bytes: -1 is below 0", {"stream_above_bytes": -1}),
    ):
        with pytest.raises(error, match=text):
            asyncio.run(make(**{"target": NOBODY, **options}))


@pytest.mark.parametrize("client", [lossd.Client, lossd.AsyncClient])
def test_a_target_with_a_port_or_a_path_is_taken(client: Any) -> None:
    async def make(target: str) -> None:
        client(target)

    for target in ("localhost:1", "[::1]:1", "unix:/path", "unix:///path", "dns:///host:1"):
        asyncio.run(make(target))


def test_shared_memory_names_its_path(tmp_path: Path) -> None:
    for path in (str(tmp_path / "nobody"), tmp_path / "nobody"):
        with pytest.raises(FileNotFoundError) as raised:
            lossd.SharedMemory(path)
        assert str(path) in str(raised.value)
    with pytest.raises(OSError, match=f"too long.*{'x' * 200}"):
        lossd.SharedMemory("/" + "x" * 200)
    with pytest.raises(TypeError, match="^path: 7 is not a string"):
        lossd.SharedMemory(7)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("shape", "dtype", "error", "text"),
    [
        (-1, np.float32, ValueError, "^shape: -1 has a dimension below 0"),
        (2.5, np.float32, TypeError, "^shape: 2.5 is not an integer"),
        ((2, "3"), np.float32, TypeError, "^shape: '3' is not an integer"),
        (None, np.float32, TypeError, "^shape: None is not an integer"),
        ((2**62, 2**62), np.float32, ValueError, "^shape: [0-9]+ does not fit 64 bits"),
        ([2, 3], "flaot32", TypeError, "^dtype: data type 'flaot32' not understood"),
        ([2, 3], object, TypeError, "^dtype: object is no type of numbers"),
    ],
)
def test_shared_memory_names_what_is_no_array(
    tmp_path: Path, shape: Any, dtype: Any, error: type[Exception], text: str
) -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as listener:
        listener.bind(str(tmp_path / "server"))
        listener.listen()
        memory = lossd.SharedMemory(tmp_path / "server")
        with memory, pytest.raises(error, match=text):
            memory.allocate(shape, dtype)


def test_server_info_names_a_bad_timeout() -> None:
    with lossd.Client(NOBODY) as client, pytest.raises(TypeError, match="^timeout: "):
        client.server_info("5")  # type: ignore[arg-type]


def test_targets_without_their_zeros_name_what_is_wrong() -> None:
    for diagonal in (None, 1.5, "1", True):
        with pytest.raises(TypeError, match="^diagonal: .* is not an integer"):
            lossd.identity(diagonal)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="^diagonal: .* does not fit 64 bits"):
        lossd.identity(1 << 63)
    assert lossd.identity(np.int8(-1)) == lossd.identity(-1)  # type: ignore[arg-type]
    for splits in (None, "ab", [0.0, 1.0], [[0, 1]], 3, [True], [None]):
        with pytest.raises(TypeError, match="^row_splits: not one dimension of integers"):
            lossd.ones(splits, [])  # type: ignore[arg-type]
        with pytest.raises(TypeError, match="^columns: not one dimension of integers"):
            lossd.ones([0], splits)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="^columns: .* does not fit"):
        lossd.ones([0, 1], np.array([1 << 63], np.uint64))
    with pytest.raises(ValueError, match="^columns: .*inhomogeneous"):
        lossd.ones([0], [[1], [1, 2]])
    for shape in (3, "ab", (2, 1.5), (None,)):
        with pytest.raises(TypeError, match="^shape: "):
            lossd.ones([0], [], shape)  # type: ignore[arg-type]


def test_bits_name_what_is_wrong() -> None:
    strange: list[Any] = [None, "abc", [None], np.zeros(2, np.complex64), [b"a"]]
    for bad in strange:
        with pytest.raises(TypeError, match="^bits: dtype .* is not one of zeros and ones"):
            lossd.bits(bad)
    for number in (0.5, 2, -1, np.nan):
        with pytest.raises(ValueError, match="^bits: an element is neither 0 nor 1"):
            lossd.bits([number])
    for masked in (MASKED, [MASKED]):
        with pytest.raises(TypeError, match="^bits: the mask"):
            lossd.bits(masked)
    with pytest.raises(ValueError, match="^bits: .*inhomogeneous"):
        lossd.bits(RAGGED)
    assert lossd.bits(np.array([1, 0], ml_dtypes.bfloat16)).packed == [1]


def test_packed_bits_name_what_is_wrong() -> None:
    big = np.packbits([1, 0, 1, 0, 1, 1])
    with pytest.raises(ValueError, match=r"^bits: a bit behind the 5 of shape \(5,\) is set; is b"):
        lossd.bits(big, (5,))
    for order in (None, "Big", 1, "<"):
        with pytest.raises(ValueError, match="^bitorder: .* is neither 'little' nor 'big'"):
            lossd.bits(big, (6,), bitorder=order)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="^bitorder: has no effect without shape"):
        lossd.bits([1, 0], bitorder="big")
    for shape in (6, "6", (2.5,), (None,)):
        with pytest.raises(TypeError, match="^shape: "):
            lossd.bits(big, shape)  # type: ignore[arg-type]
    for negative in (lossd.bits, lambda _, shape: lossd.ones([0], [], shape)):
        with pytest.raises(ValueError, match="^shape: .* has a dimension below 0"):
            negative(big, (-2, -3))
