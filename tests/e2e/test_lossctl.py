"""lossctl's output, files and exit codes are right against a real server."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import ml_dtypes
import numpy as np
import pytest
from running_server import running_server

BINARY_DIR = Path(os.environ.get("LOSSD_BINARY_DIR", "build/dev"))
NO_SERVER = "127.0.0.1:1"


@pytest.fixture(scope="module")
def target() -> Iterator[str]:
    """Starts a server for this file's tests and drains it at the end."""
    with running_server("--backend=cpu") as server:
        yield server.address


def lossctl(
    *arguments: str, stdin: str = "", **environment: str
) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [str(BINARY_DIR / "client" / "lossctl"), *arguments],
        input=stdin,
        env=os.environ | environment,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def expected(
    logits: np.ndarray, targets: np.ndarray, weights: np.ndarray | float = 1.0
) -> tuple[float, np.ndarray]:
    """Returns mean loss and gradient by their definition, in float64."""
    x, t = logits.astype(np.float64), targets.astype(np.float64)
    losses = weights * (np.logaddexp(0, x) - x * t)
    return float(losses.mean()), weights * (1 / (1 + np.exp(-x)) - t) / x.size


def test_numbers_from_flags_give_loss_and_statistics(target: str) -> None:
    done = lossctl("--target", target, "--logits=0.5,-1", "--targets=1,0", "--json")
    assert done.returncode == 0, done.stderr
    answer = json.loads(done.stdout)
    loss, gradient = expected(np.array([0.5, -1.0]), np.array([1.0, 0.0]))
    assert answer["loss"] == pytest.approx(loss, rel=1e-6)
    assert answer["normalizer"] == 2
    assert answer["valid_count"] == 2
    assert answer["gradient"]["min"] == pytest.approx(gradient.min(), rel=1e-6)
    assert answer["gradient"]["max"] == pytest.approx(gradient.max(), rel=1e-6)
    assert answer["gradient"]["mean"] == pytest.approx(gradient.mean(), rel=1e-5)
    assert answer["gradient"]["l2"] == pytest.approx(np.linalg.norm(gradient), rel=1e-6)
    assert answer["gradient"]["nans"] == 0
    assert answer["backend"].startswith("cpu/")


def test_a_name_of_a_list_that_is_not_found_is_warned_of(target: str) -> None:
    done = lossctl("--target", f"nobody.invalid:1,{target}", "--logits=0", "--targets=1")
    assert done.returncode == 0, done.stderr
    (warning,) = done.stderr.splitlines()
    assert warning.startswith("lossctl: warning: server nobody.invalid is not found: ")


def test_a_request_above_the_servers_limit_goes_in_parts_if_it_is_told_to(tmp_path: Path) -> None:
    for name in ("logits", "targets"):
        np.save(tmp_path / f"{name}.npy", np.zeros(200_000, np.float32))
    files = [f"--{name}={tmp_path}/{name}.npy" for name in ("logits", "targets")]
    with running_server("--backend=cpu", "--max_message_bytes=1200000") as server:
        whole = lossctl("--target", server.address, *files)
        assert whole.returncode == 1
        assert "; the server's --max_message_bytes is the limit, and the" in whole.stderr
        assert "stream_above_bytes" in whole.stderr
        done = lossctl("--target", server.address, *files, "--stream_above_bytes=1000000", "--json")
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["loss"] == pytest.approx(np.log(2), rel=1e-6)


def test_the_table_shows_the_values_of_the_json(target: str) -> None:
    done = lossctl("compute", "--target", target, "--logits=0", "--targets=1")
    assert done.returncode == 0, done.stderr
    rows = dict(line.split(maxsplit=1) for line in done.stdout.splitlines())
    assert float(rows["loss"]) == pytest.approx(np.log(2), rel=1e-6)
    assert float(rows["gradient.min"]) == -0.5


@pytest.mark.parametrize("dtype", ["<f4", "<f8"])
@pytest.mark.parametrize("targets_dtype", ["<f4", "<f8", "|u1", "|b1"])
def test_npy_files_go_in_and_the_gradient_comes_out(
    target: str, tmp_path: Path, dtype: str, targets_dtype: str
) -> None:
    random = np.random.default_rng(1)
    logits = random.normal(0, 3, (37, 11)).astype(dtype)
    targets = (random.random((37, 11)) < 0.5).astype(targets_dtype)
    weights = random.random(11).astype(dtype)
    names = {"logits": logits, "targets": targets, "weights": weights}
    for name, array in names.items():
        np.save(tmp_path / f"{name}.npy", array)
    out = tmp_path / "gradient.npy"
    done = lossctl(
        "--target",
        target,
        *(f"--{name}={tmp_path / name}.npy" for name in names),
        f"--gradient_out={out}",
        "--json",
    )
    assert done.returncode == 0, done.stderr
    loss, gradient = expected(logits, targets, weights.astype(np.float64))
    tolerance = 1e-6 if dtype == "<f4" else 1e-13
    assert json.loads(done.stdout)["loss"] == pytest.approx(loss, rel=tolerance)
    got = np.load(out)
    assert got.dtype == np.dtype(dtype)
    assert got.shape == logits.shape
    np.testing.assert_allclose(got * logits.size, gradient * logits.size, atol=tolerance)


def test_bfloat16_files_go_in_and_come_out(target: str, tmp_path: Path) -> None:
    bfloat16 = ml_dtypes.bfloat16
    logits = np.random.default_rng(3).normal(0, 3, (21, 5)).astype(bfloat16)
    targets = np.eye(21, 5)
    np.save(tmp_path / "x.npy", logits)
    np.save(tmp_path / "t.npy", targets)
    out = tmp_path / "g.npy"
    files = ("--target", target, f"--logits={tmp_path}/x.npy", f"--gradient_out={out}", "--json")
    done = lossctl(*files, f"--targets={tmp_path}/t.npy", "--reduction=sum")
    assert done.returncode == 0, done.stderr
    loss, gradient = expected(logits, targets)
    assert json.loads(done.stdout)["loss"] == pytest.approx(loss * logits.size, rel=1e-6)
    got = np.load(out).view(bfloat16)
    assert got.shape == logits.shape
    np.testing.assert_allclose(got.astype(float), gradient * logits.size, rtol=2**-8)
    statistics = json.loads(done.stdout)["gradient"]
    assert statistics["max"] == got.astype(float).max()

    identity = lossctl(*files, "--identity_targets=0", "--reduction=sum")
    assert identity.returncode == 0, identity.stderr
    assert json.loads(identity.stdout)["loss"] == json.loads(done.stdout)["loss"]
    assert np.load(out).tobytes() == got.tobytes()

    narrow = lossctl(*files, "--identity_targets=-1", "--gradient_dtype=float16")
    assert narrow.returncode == 0, narrow.stderr
    assert np.load(out).dtype == np.float16


def test_ones_and_identity_come_as_json_and_give_what_dense_targets_give(target: str) -> None:
    logits = {"shape": ["2", "3"], "values": [0.5, -1, 2, "-Infinity", 40, -3]}

    def answer(targets: dict[str, object]) -> dict[str, object]:
        request = json.dumps({"logits": logits, "targets": targets})
        done = lossctl("--target", target, "--request=-", "--json", stdin=request)
        assert done.returncode == 0, done.stderr
        reply: dict[str, object] = json.loads(done.stdout)
        return {key: reply[key] for key in ("loss", "gradient", "normalizer", "valid_count")}

    dense = answer({"shape": ["2", "3"], "values": [1, 0, 0, 0, 1, 0]})
    assert answer({"identity": {}}) == dense
    assert answer({"ones": {"rowSplits": ["0", "1", "2"], "columns": ["0", "1"]}}) == dense
    assert answer({"identity": {"diagonal": "1"}}) != dense


def test_the_flags_of_focal_and_asymmetric_reach_the_loss(target: str) -> None:
    def loss(*flags: str) -> float:
        done = lossctl(
            "--target", target, "--logits=1", "--targets=0", "--dtype=float64", "--json", *flags
        )
        assert done.returncode == 0, done.stderr
        return float(json.loads(done.stdout)["loss"])

    p = 1 / (1 + np.exp(-1.0))
    plain = -np.log(1 - p)
    focal = ("--kind=sigmoid_focal", "--focal_gamma=2")
    assert loss(*focal) == pytest.approx(p**2 * plain, rel=1e-14)
    assert loss(*focal, "--focal_alpha=0.25") == pytest.approx(0.75 * p**2 * plain, rel=1e-14)
    assert loss("--kind=sigmoid_focal", "--focal_gamma=0") == pytest.approx(plain, rel=1e-14)
    shifted = p - 0.05
    asymmetric = (
        "--kind=asymmetric",
        "--asymmetric_gamma_positive=1",
        "--asymmetric_gamma_negative=4",
        "--asymmetric_margin=0.05",
    )
    assert loss(*asymmetric) == pytest.approx(-(shifted**4) * np.log(1 - shifted), rel=1e-13)
    half = lossctl("--target", target, "--logits=0.1", "--targets=1", "--dtype=float16", "--json")
    x = float(np.float16(0.1))
    assert json.loads(half.stdout)["loss"] == pytest.approx(np.logaddexp(0, -x), rel=1e-6)


def test_a_negative_pos_weight_counts_as_it_is(target: str) -> None:
    numbers = ("--logits=1,-1", "--targets=1,0", "--pos_weight=-2", "--dtype=float64", "--json")
    done = lossctl("--target", target, *numbers)
    assert done.returncode == 0, done.stderr
    answer = json.loads(done.stdout)
    # PyTorch 2.15 has this loss, and the gradient 0.2689, 0.1345.
    assert answer["loss"] == pytest.approx((-2 + 1) * np.logaddexp(0, -1) / 2, rel=1e-14)
    p = 1 / (1 + np.exp(-1.0))
    assert answer["gradient"]["max"] == pytest.approx(2 * (1 - p) / 2, rel=1e-14)
    assert answer["gradient"]["min"] == pytest.approx((1 - p) / 2, rel=1e-14)


def test_a_request_comes_as_json_from_standard_input(target: str) -> None:
    request = {
        "logits": {"values": [0.5, -1]},
        "targets": {"values": [1, 0]},
        "spec": {"reduction": "REDUCTION_SUM"},
        "requestId": "from-json",
    }
    done = lossctl("--target", target, "--request=-", "--json", stdin=json.dumps(request))
    assert done.returncode == 0, done.stderr
    answer = json.loads(done.stdout)
    loss, _ = expected(np.array([0.5, -1.0]), np.array([1.0, 0.0]))
    assert answer["loss"] == pytest.approx(2 * loss, rel=1e-6)
    assert answer["request_id"] == "from-json"
    assert answer["gradient"]["shape"] == [2]


def test_the_spec_flags_reach_the_server(target: str) -> None:
    done = lossctl(
        "--target",
        target,
        "--logits=1,2,3",
        "--targets=1,-1,0",
        "--ignore_target=-1",
        "--normalizer=valid",
        "--loss_weight=2",
        "--nogradient",
        "--json",
    )
    assert done.returncode == 0, done.stderr
    answer = json.loads(done.stdout)
    loss, _ = expected(np.array([1.0, 3.0]), np.array([1.0, 0.0]))
    assert answer["loss"] == pytest.approx(2 * loss, rel=1e-6)
    assert answer["valid_count"] == 2
    assert "gradient" not in answer


def test_a_refused_request_exits_with_1_and_the_servers_message(target: str) -> None:
    done = lossctl("--target", target, "--logits=0.5", "--targets=1.5")
    assert done.returncode == 1
    assert done.stdout == ""
    assert done.stderr.startswith("lossctl: INVALID_ARGUMENT: ")
    assert "targets" in done.stderr
    assert "1.5" in done.stderr


def test_the_gradient_is_printed_on_request(target: str) -> None:
    numbers = ("--logits=0,1,-1,2", "--targets=1,0,0,1", "--reduction=sum", "--print_gradient")
    done = lossctl("--target", target, *numbers, "--json")
    assert done.returncode == 0, done.stderr
    elements = json.loads(done.stdout)["gradient"]["elements"]
    _, gradient = expected(np.array([0.0, 1, -1, 2]), np.array([1.0, 0, 0, 1]))
    np.testing.assert_allclose(elements, 4 * gradient, rtol=1e-6)
    table = lossctl("--target", target, *numbers)
    rows = dict(line.split(maxsplit=1) for line in table.stdout.splitlines())
    assert json.loads(rows["gradient.elements"]) == elements
    zeros = "0," * 99 + "0"
    long = lossctl(
        "--target", target, f"--logits={zeros}", f"--targets={zeros}", "--print_gradient"
    )
    rows = dict(line.split(maxsplit=1) for line in long.stdout.splitlines())
    half = ", ".join(["0.005"] * 4)
    assert rows["gradient.elements"] == f"[{half}, ..., {half}]"
    none = lossctl("--target", target, *numbers, "--nogradient")
    assert none.returncode == 2
    assert none.stderr == "lossctl: --print_gradient: the request asks for no gradient\n"


def test_info_prints_version_and_backends(target: str) -> None:
    done = lossctl("info", "--target", target, "--json")
    assert done.returncode == 0, done.stderr
    info = json.loads(done.stdout)
    assert info["version"]
    assert info["backends"]
    assert lossctl("info", "--target", target).stdout.count("version:") == 1


def test_health_is_a_probe(target: str) -> None:
    for service in ("", "lossd.v1.LossService"):
        done = lossctl("health", service, "--target", target)
        assert (done.returncode, done.stdout) == (0, "serving\n")
    assert lossctl("health", "no.such.Service", "--target", target).returncode == 1
    nobody = lossctl("health", "--target", NO_SERVER, "--timeout=5s")
    assert nobody.returncode == 1
    assert "UNAVAILABLE" in nobody.stderr


def test_a_proxy_is_not_asked(target: str) -> None:
    done = lossctl("health", "--target", target, http_proxy=f"http://{NO_SERVER}", no_proxy="")
    assert (done.returncode, done.stdout) == (0, "serving\n"), done.stderr


def test_losses_that_are_not_reduced_have_no_sum(target: str) -> None:
    done = lossctl("--target", target, "--logits=1,2", "--targets=1,0", "--reduction=none")
    rows = {line.split()[0] for line in done.stdout.splitlines()}
    assert "loss" not in rows
    assert "losses.mean" in rows
