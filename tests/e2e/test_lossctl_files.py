"""lossctl reads and writes .npz and safetensors files as NumPy and safetensors do."""

from __future__ import annotations

import json
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import lossd
import ml_dtypes
import numpy as np
import pytest
import safetensors.numpy
from running_server import running_server
from test_lossctl import lossctl

SHAPE = (37, 11)


@pytest.fixture(name="target", scope="module")
def start_server() -> Iterator[str]:
    with running_server("--backend=cpu") as server:
        yield server.address


def arrays(dtype: Any = np.float32) -> dict[str, np.ndarray]:
    random = np.random.default_rng(5)
    return {
        "x": random.normal(0, 3, SHAPE).astype(dtype),
        "t": random.integers(0, 2, SHAPE).astype(np.uint8),
        "w": random.random(SHAPE[1]).astype(np.float64),
    }


def save_stored(path: str, data: dict[str, np.ndarray]) -> None:
    np.savez(path, **data)  # type: ignore[arg-type]


def save_deflated(path: str, data: dict[str, np.ndarray]) -> None:
    np.savez_compressed(path, **data)  # type: ignore[arg-type]


def save_safetensors(path: str, data: dict[str, np.ndarray]) -> None:
    safetensors.numpy.save_file(data, path, metadata={"format": "np"})


WRITERS = [
    ("a.npz", save_stored),
    ("b.npz", save_deflated),
    ("c.safetensors", save_safetensors),
]


@pytest.mark.parametrize(("name", "save"), WRITERS)
@pytest.mark.parametrize("dtype", [np.float32, np.float64, np.float16, ml_dtypes.bfloat16])
def test_arrays_are_read_by_name_and_the_gradient_is_written(
    target: str,
    tmp_path: Path,
    name: str,
    save: Callable[[str, dict[str, np.ndarray]], None],
    dtype: Any,
) -> None:
    data = arrays(dtype)
    file, out = tmp_path / name, tmp_path / f"out-{name}"
    save(str(file), data)
    flags = [f"--logits={file}:x", f"--targets={file}:t", f"--weights={file}:w"]
    done = lossctl("--target", target, *flags, f"--gradient_out={out}:g", "--json")
    assert done.returncode == 0, done.stderr
    with lossd.Client(target) as client:
        expected = client.compute_loss(data["x"], data["t"], weights=data["w"])
    assert json.loads(done.stdout)["loss"] == expected.loss
    if name.endswith(".npz"):
        with np.load(out) as written:
            assert written.files == ["g"]
            got = written["g"]
    else:
        written_tensors = safetensors.numpy.load_file(out)
        assert list(written_tensors) == ["g"]
        got = written_tensors["g"]
        assert got.dtype == dtype
    assert got.shape == SHAPE
    assert expected.gradient is not None
    assert got.tobytes() == expected.gradient.tobytes()


def failure(flag: str) -> str:
    done = lossctl("--target=127.0.0.1:1", f"--logits={flag}", "--targets=1")
    assert done.returncode == 2
    assert done.stderr.count("\n") == 1
    return done.stderr.removeprefix("lossctl: ").strip()


@pytest.mark.parametrize(("name", "save"), WRITERS)
def test_a_name_that_is_missing_lists_those_that_are_there(
    tmp_path: Path, name: str, save: Callable[[str, dict[str, np.ndarray]], None]
) -> None:
    file = tmp_path / name
    save(str(file), arrays())
    listed = ", ".join(sorted(arrays(), key=None if "safe" in name else "xtw".index))
    assert failure(f"{file}:y") == f'--logits: {file}: the file has no array "y"; it has {listed}'
    several = "the file has several arrays; name one of them after a colon"
    assert failure(str(file)) == f"--logits: {file}: {several}: {listed}"


def test_the_only_array_needs_no_name(target: str, tmp_path: Path) -> None:
    np.savez(tmp_path / "x.npz", np.array([0.5, -1], np.float32))
    save_safetensors(str(tmp_path / "t.safetensors"), {"only": np.array([1, 0], np.float32)})
    flags = [f"--logits={tmp_path}/x.npz", f"--targets={tmp_path}/t.safetensors"]
    done = lossctl("--target", target, *flags, "--json")
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["loss"] == pytest.approx(0.39366933703422546, rel=1e-7)


def test_what_cannot_be_read_is_named(tmp_path: Path) -> None:
    file = tmp_path / "x.npz"
    save_deflated(str(file), {"x": np.arange(6, dtype=np.complex64), "f": np.eye(3).T})
    assert "element type '<c8' is not read" in failure(f"{file}:x")
    with zipfile.ZipFile(file, "w", zipfile.ZIP_LZMA) as archive:
        archive.writestr("x.npy", b"")
    assert "the array is compressed by method 14, which is not read" in failure(str(file))
    file.write_text("no zip")
    assert failure(str(file)) == f"--logits: {file}: not a .npz file, or its end is cut off"
    tensors = tmp_path / "x.safetensors"
    words = np.zeros(3, np.uint16)
    save_safetensors(str(tensors), {"x": words})
    assert "is of type U16, which is not read" in failure(str(tensors))


def test_damaged_members_do_not_end_lossctl_otherwise(tmp_path: Path) -> None:
    file = tmp_path / "x.npz"
    save_deflated(str(file), arrays())
    whole = file.read_bytes()
    for place in range(0, len(whole), 41):
        changed = bytearray(whole)
        changed[place] ^= 0x55
        file.write_bytes(changed)
        done = lossctl("--target=127.0.0.1:1", f"--logits={file}:x", "--targets=1")
        assert done.returncode in (1, 2), place  # 1: read well, and there is no server
        assert done.stderr.count("\n") == 1
    file.write_bytes(whole[: len(whole) // 2])
    assert "not a .npz file, or its end is cut off" in failure(f"{file}:x")


def test_a_header_that_promises_8_gib_takes_no_memory(tmp_path: Path) -> None:
    tensors = tmp_path / "x.safetensors"
    header = b'{"x":{"dtype":"U8","shape":[8589934592],"data_offsets":[0,8589934592]}}'
    tensors.write_bytes(len(header).to_bytes(8, "little") + header)
    assert "the header asks for 8589934592 bytes of data, the file has 0" in failure(str(tensors))


def test_a_name_in_a_file_cannot_steer_the_terminal(tmp_path: Path) -> None:
    path = str(tmp_path / "x.safetensors")
    steering = "\x1b[2J\n\x9b1m\x7f"
    safetensors.numpy.save_file({steering: np.zeros(2), "b": np.zeros(2)}, path)
    done = lossctl(f"--logits={path}", "--targets=1,0")
    assert done.returncode == 2
    assert done.stderr.count("\n") == 1
    assert done.stderr[:-1].isprintable(), repr(done.stderr)
    assert "\\x1b[2J\\x0a\\u009b1m\\x7f" in done.stderr
