"""float8 logits and gradients by every way into a server, compared with NumPy and ml_dtypes."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import lossd
import ml_dtypes
import numpy as np
import pytest
import safetensors.numpy
from float8_results import exact, expect_rounded
from running_server import RunningServer
from shared_memory_server import socket_path, start_server
from test_lossctl import lossctl

fixtures = (socket_path, start_server)

E4M3, E5M2 = ml_dtypes.float8_e4m3fn, ml_dtypes.float8_e5m2
TYPES = [E4M3, E5M2]


@pytest.fixture(name="client")
def connect(server: RunningServer) -> Iterator[lossd.Client]:
    with lossd.Client(server.address) as client:
        yield client


def numbers(dtype: Any) -> np.ndarray:
    """Returns all finite numbers of a type."""
    every = np.arange(256, dtype=np.uint8).view(dtype)
    return every[np.isfinite(every.astype(np.float32))]


def every_pair(dtype: Any, copies: int = 1) -> tuple[np.ndarray, np.ndarray]:
    """Returns every finite logit with both hard targets."""
    logits = np.tile(np.repeat(numbers(dtype), 2), copies)
    return logits, np.tile(np.array([0, 1], np.uint8), logits.size // 2)


@pytest.mark.parametrize("dtype", TYPES)
@pytest.mark.parametrize("copies", [1, 16])
def test_every_logit_with_a_hard_target(client: lossd.Client, dtype: Any, copies: int) -> None:
    logits, targets = every_pair(dtype, copies)
    losses, gradient = exact(logits, targets)
    for sent in (targets, targets.astype(bool), lossd.bits(targets), targets.astype(dtype)):
        result = client.compute_loss(logits, sent, reduction="none")
        expect_rounded(result.losses, losses, dtype)
        expect_rounded(result.gradient, gradient, dtype)
        total = client.compute_loss(logits, sent, reduction="sum", gradient_dtype="float32")
        assert total.loss == pytest.approx(losses.sum(), rel=1e-7)
        np.testing.assert_allclose(total.gradient, gradient, rtol=3e-7, atol=1e-45)


@pytest.mark.parametrize("dtype", TYPES)
def test_unary_streamed_and_shared_tensors_give_the_same_bits(
    server: RunningServer, socket: str, dtype: Any
) -> None:
    logits, targets = every_pair(dtype, 200)
    bits = lossd.bits(targets)
    found = []
    with lossd.SharedMemory(socket) as memory:
        place = memory.allocate(logits.shape, np.uint8).view(dtype)
        place[...] = logits
        shared_out = memory.allocate(logits.shape, np.uint8).view(dtype)
        for x, out, above, used in (
            (logits, None, 1 << 30, None),
            (logits, None, 0, None),
            (place, shared_out, 1 << 30, memory),
        ):
            options: dict[str, Any] = {} if out is None else {"gradient_out": out}
            with lossd.Client(
                server.address, stream_above_bytes=above, shared_memory=used
            ) as client:
                result = client.compute_loss(x, bits, reduction="sum", **options)
            assert result.gradient.dtype == dtype
            found.append((result.loss, result.gradient.tobytes()))
    assert found[1] == found[0]
    assert found[2] == found[0]


@pytest.mark.parametrize("dtype", TYPES)
@pytest.mark.parametrize(
    "options",
    [
        {},
        {"kind": "sigmoid_focal", "focal_gamma": 2.0, "focal_alpha": 0.25},
        {"label_smoothing": 0.1, "loss_weight": 3.0},
        {"ignore_target": 1.0},
    ],
)
def test_options_are_computed_as_for_float32(
    client: lossd.Client, dtype: Any, options: dict[str, Any]
) -> None:
    logits, targets = every_pair(dtype, 9)
    soft = np.random.default_rng(1).random(logits.shape).astype(E4M3)
    wide = logits.astype(np.float32)
    for t in (targets, soft):
        for more in ({}, {"weights": (np.arange(logits.size) % 4).astype(dtype)}):
            asked = {**options, **more, "reduction": "sum"}
            narrow = client.compute_loss(logits, t, gradient_dtype=E5M2, **asked)
            expected = client.compute_loss(wide, t, gradient_dtype=E5M2, **asked)
            assert narrow.loss == expected.loss
            assert narrow.gradient.tobytes() == expected.gradient.tobytes()


def test_what_is_too_large_for_a_gradient_is_nan_or_infinite(client: lossd.Client) -> None:
    for dtype in TYPES:
        result = client.compute_loss(
            np.full(3, -20, dtype), np.ones(3, bool), reduction="sum", upstream_gradient=1e5
        )
        wide = result.gradient.astype(np.float32)
        assert np.isnan(wide).all() if dtype is E4M3 else np.isneginf(wide).all()


def test_what_lossd_cannot_take_is_named(client: lossd.Client) -> None:
    logits = np.zeros(4, E4M3)
    logits[2] = np.nan
    with pytest.raises(lossd.LossdError, match=r"logits\[2\]: NaN"):
        client.compute_loss(logits, np.zeros(4, np.uint8))
    with pytest.raises(lossd.LossdError, match="spec.ignore_target: 500 .* is 448$"):
        client.compute_loss(np.zeros(4, E4M3), np.zeros(4, E4M3), ignore_target=500)
    with pytest.raises(TypeError, match="^logits: dtype float8_e4m3fnuz is none of float32"):
        client.compute_loss(np.zeros(4, ml_dtypes.float8_e4m3fnuz), np.zeros(4))


def test_the_server_says_that_it_has_float8(client: lossd.Client) -> None:
    info = client.server_info()
    for listed in (info.logits_dtypes, info.targets_dtypes):
        assert {12, 13} <= set(listed)


# --- lossctl ---


@pytest.mark.parametrize("dtype", TYPES)
@pytest.mark.parametrize("kind", ["npy", "bytes", "npz", "safetensors"])
def test_lossctl_reads_and_writes_float8_files(
    server: RunningServer, client: lossd.Client, tmp_path: Path, dtype: Any, kind: str
) -> None:
    logits, targets = every_pair(dtype)
    file, out = tmp_path / "x", tmp_path / "g"
    ending = {"npy": ".npy", "bytes": ".npy", "npz": ".npz", "safetensors": ".safetensors"}[kind]
    np.save(tmp_path / "t.npy", targets)
    if kind == "npz":
        np.savez(f"{file}.npz", x=logits)
    elif kind == "safetensors":
        safetensors.numpy.save_file({"x": logits}, f"{file}.safetensors")
    else:
        np.save(f"{file}.npy", logits if kind == "npy" else logits.view(np.uint8))
    done = lossctl(
        f"--target={server.address}",
        f"--logits={file}{ending}",
        f"--targets={tmp_path}/t.npy",
        *([] if kind == "safetensors" else [f"--dtype={np.dtype(dtype).name}"]),
        f"--gradient_out={out}{ending}",
        "--reduction=sum",
        "--json",
    )
    assert done.returncode == 0, done.stderr
    expected = client.compute_loss(logits, targets, reduction="sum")
    answer = json.loads(done.stdout)
    assert answer["loss"] == expected.loss
    assert answer["gradient"]["max"] == expected.gradient.astype(float).max()
    written = Path(f"{out}{ending}").read_bytes()
    if kind == "safetensors":
        name = "F8_E4M3" if dtype is E4M3 else "F8_E5M2"
        assert json.loads(written[8 : 8 + written[0]])["gradient"]["dtype"] == name
        assert written.endswith(expected.gradient.tobytes())
        return
    loaded = np.load(f"{out}{ending}")
    got = (loaded["gradient"] if kind == "npz" else loaded).view(dtype)
    assert got.tobytes() == expected.gradient.tobytes()


def test_lossctl_names_files_that_do_not_say_their_type(
    server: RunningServer, tmp_path: Path
) -> None:
    np.save(tmp_path / "x.npy", np.zeros(3, E5M2))
    call = [f"--target={server.address}", f"--logits={tmp_path}/x.npy", "--targets=1,0,1"]
    done = lossctl(*call)
    assert done.returncode == 2
    assert done.stderr == (
        f"lossctl: --logits: {tmp_path}/x.npy: element type '<f1' does not say which float8 it "
        "is; --dtype=float8_e4m3fn or --dtype=float8_e5m2 does\n"
    )
    done = lossctl(*call, "--dtype=float8_e4m3")
    assert done.returncode == 2
    assert '--dtype: "float8_e4m3" is none of float32, float64' in done.stderr
    typed = lossctl(call[0], "--logits=1000", "--targets=1", "--dtype=float8_e4m3fn")
    assert typed.stderr == "lossctl: --logits: 1000 is too large for float8_e4m3fn\n"
