"""lossctl explains itself, and says what is wrong with its arguments, in one line each."""

from __future__ import annotations

import subprocess
from pathlib import Path

import numpy as np
import pytest
from test_lossctl import BINARY_DIR, NO_SERVER, lossctl


def test_three_ways_to_ask_for_help_give_one_text() -> None:
    texts = {lossctl(word).stdout for word in ("--help", "-h", "help")}
    assert len(texts) == 1
    assert "--logits=" in texts.pop()


def test_help_lists_commands_and_flags() -> None:
    done = lossctl("--help")
    assert done.returncode == 0
    assert "lossctl health" in done.stdout
    assert "\nTransport:\n  --target=localhost:50051\n" in done.stdout
    assert "--gradient_out=" in done.stdout


def test_output_that_is_lost_is_an_error() -> None:
    with Path("/dev/full").open("w") as full:
        done = subprocess.run(
            [str(BINARY_DIR / "client" / "lossctl"), "--help"],
            stdout=full,
            stderr=subprocess.PIPE,
            text=True,
            check=False,
        )
    assert done.returncode == 2
    assert done.stderr == ("lossctl: standard output: cannot be written: No space left on device\n")


BAD_USAGE = [
    ([], "compute needs --logits and --targets, or --request"),
    (["--logits=1"], "compute needs --logits and --targets, or --request"),
    (["--bogus"], "unknown flag --bogus; see --help"),
    (["train"], '"train" is none of compute, info, health, watch, completion; see --help'),
    (["compute", "more"], 'unexpected argument "more": compute takes flags alone; see --help'),
    (["health", "a", "b"], 'unexpected argument "b": health takes one SERVICE; see --help'),
    (["health", "--target=localhost"],
     'target: "localhost" must be HOST:PORT, [IPv6]:PORT or unix:/path'),
    (["--logits=1", "--targets=1", "--normalizer_value=2"],
     "--normalizer_value: is for normalizer caller, and the normalizer is elements, "
     "which would ignore it"),
    (["--logits=1", "--targets=1", "--target_shape_rule=any"],
     '--target_shape_rule: "any" is none of same, same_count'),
    (
        ["--logits=1,x", "--targets=1"],
        '--logits: "x" is neither a number nor a .npy, .npz or .safetensors file',
    ),
    (["--logits=/no/x.npz:a", "--targets=1"], "--logits: /no/x.npz: No such file or directory"),
    (["--logits=/no/x.npy", "--targets=1"], "--logits: /no/x.npy: No such file or directory"),
    (["--logits=1e400", "--targets=1"], "--logits: 1e400 is too large for float32"),
    (["--logits=1e400", "--targets=1", "--dtype=float64"],
     "--logits: 1e400 is too large for float64"),
    (["--logits=1", "--targets=1", "--loss_weight=1e400"],
     "--loss_weight=1e400: is too large for float64"),
    (["--request=/no/r.json"], "--request=/no/r.json: No such file or directory"),
    (["--request=/etc/passwd"],
     "--request=/etc/passwd: is not JSON from line 1, column 1 on: Unexpected token."),
    (["--logits=1", "--targets=1", "--reduction=max"],
     '--reduction: "max" is none of mean, sum, none, rows, mean_of_rows'),
    (["--logits=1", "--targets=1", "--dtype=int8"],
     '--dtype: "int8" is none of float32, float64, bfloat16, float16, float8_e4m3fn, float8_e5m2'),
    (["--logits=1", "--targets=1", "--gradient_dtype=int32"],
     '--gradient_dtype: "int32" is none of float32, float64, bfloat16, float16, float8_e4m3fn, '
     'float8_e5m2'),
    (["--logits=1", "--targets=1", "--focal_gamma=2"],
     "--focal_gamma: is for kind sigmoid_focal, poly, quality_focal or varifocal, "
     "and the kind is sigmoid_cross_entropy, which would ignore it"),
    (["--logits=1", "--targets=1", "--kind=sigmoid_focal", "--asymmetric_margin=0.05"],
     "--asymmetric_margin: is for kind asymmetric, and the kind is sigmoid_focal, "
     "which would ignore it"),
    (["--logits=1", "--targets=1", "--kind=sigmoid_focal", "--focal_alpha=0.25"],
     "--focal_gamma: --kind=sigmoid_focal needs it; its paper has --focal_gamma=2 "
     "--focal_alpha=0.25"),
    (["--logits=1", "--targets=1", "--kind=asymmetric"],
     "--asymmetric_gamma_positive: --kind=asymmetric needs it; its paper has "
     "--asymmetric_gamma_positive=1 --asymmetric_gamma_negative=4 --asymmetric_margin=0.05"),
    (["--logits=1", "--targets=1", "--kind=poly", "--focal_gamma=2"],
     "--poly_epsilon: --kind=poly needs it; its paper has --poly_epsilon=1"),
    (["--logits=1", "--targets=1", "--kind=quality_focal"],
     "--focal_gamma: --kind=quality_focal needs it; its paper has --focal_gamma=2"),
    (["--logits=1", "--targets=1", "--kind=varifocal"],
     "--focal_gamma: --kind=varifocal needs it; its paper has --focal_gamma=2 "
     "--focal_alpha=0.75"),
    (["--logits=1", "--targets=1", "--stream_above_bytes=-1"],
     "--stream_above_bytes=-1: must be at least 0"),
    (["--logits=1", "--targets=1", "--timeout=5"],
     "--timeout=5: must be a number with a unit, such as 200us or 5s"),
    (["--logits=1", "--targets=1", "--tls_cert=/no/c.pem"],
     "--tls_cert=/no/c.pem: No such file or directory"),
]  # fmt: skip


@pytest.mark.parametrize(("arguments", "message"), BAD_USAGE)
def test_bad_usage_exits_with_2_and_one_line(arguments: list[str], message: str) -> None:
    done = lossctl("--target", NO_SERVER, *arguments)
    assert done.returncode == 2
    assert done.stderr == f"lossctl: {message}\n"


def test_a_broken_npy_file_is_named_in_one_line(tmp_path: Path) -> None:
    path = tmp_path / "cut.npy"
    np.save(path, np.zeros(10, np.float32))
    path.write_bytes(path.read_bytes()[:-4])
    done = lossctl("--target", NO_SERVER, f"--logits={path}", "--targets=1")
    assert done.returncode == 2
    assert done.stderr == (
        f"lossctl: --logits: {path}: the header asks for 40 bytes of data, the file has 36\n"
    )


def test_the_version_is_the_servers() -> None:
    server = subprocess.run(
        [BINARY_DIR / "server" / "lossd", "--version"], capture_output=True, text=True, check=True
    )
    assert lossctl("--version").stdout == server.stdout.replace("lossd", "lossctl")
