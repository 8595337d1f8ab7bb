"""bash, zsh and fish complete the command lines of lossd, lossctl, lossbench and ./dev."""

from __future__ import annotations

import os
import re
import subprocess
from pathlib import Path

import pytest
from shells import SHELLS, Shell, is_installed

ROOT = Path(__file__).resolve().parents[2]
BINARY_DIR = Path(os.environ.get("LOSSD_BINARY_DIR", "build/dev")).resolve()
PROGRAMS = {
    "lossd": BINARY_DIR / "server/lossd",
    "lossctl": BINARY_DIR / "client/lossctl",
    "lossbench": BINARY_DIR / "client/lossbench",
}
COMMANDS = {"compute", "info", "health", "watch", "completion"}
OF_EVERY_COMMAND = {"--help", "--version"}
OF_A_CALL = {
    *("--target", "--timeout", "--tls", "--tls_ca", "--tls_cert", "--tls_key", "--token_file"),
    *("--job", "--traceparent"),
    "--json",
}


def run(program: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [PROGRAMS[program], *arguments], capture_output=True, text=True, timeout=60, check=False
    )


def script_of(program: str, shell: str) -> str:
    arguments = ["completion", shell] if program == "lossctl" else [f"--completion={shell}"]
    done = run(program, *arguments)
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    return done.stdout


def flags_in_help(program: str) -> set[str]:
    """Returns the program's flags, with --noFLAG of each switch that is on by default."""
    rows = re.findall(r"^  --(\w+)=(.*)$", run(program, "--help").stdout, re.MULTILINE)
    assert len(rows) > 10
    negated = {f"--no{name}" for name, default in rows if default == "true"}
    return {f"--{name}" for name, _ in rows} | negated


def names_in_contract(enum: str) -> set[str]:
    """Returns the names of an enum's values, as flags have them, from the contract itself."""
    text = (ROOT / "proto/lossd/v1/loss_spec.proto").read_text(encoding="utf-8")
    names = re.findall(rf"^  {enum}_(\w+) = [1-9]", text, re.MULTILINE)
    assert names
    return {name.lower() for name in names}


@pytest.fixture(name="shell", params=SHELLS)
def each_shell(request: pytest.FixtureRequest) -> str:
    shell: str = request.param
    if not is_installed(shell):
        pytest.skip(f"{shell} is not installed")
    return shell


@pytest.fixture(name="lossctl")
def lossctl_in_a_shell(shell: str, tmp_path: Path) -> Shell:
    return Shell(shell, tmp_path, "lossctl", script_of("lossctl", shell))


@pytest.mark.parametrize("program", PROGRAMS)
@pytest.mark.parametrize("shell", SHELLS)
def test_a_script_has_every_flag_of_help(program: str, shell: str) -> None:
    words = set(re.findall(r"\w+", script_of(program, shell)))
    assert {flag.removeprefix("--") for flag in flags_in_help(program)} <= words


@pytest.mark.parametrize("program", ["lossd", "lossbench"])
def test_every_flag_is_offered(program: str, shell: str, tmp_path: Path) -> None:
    there = Shell(shell, tmp_path, program, script_of(program, shell))
    assert there.complete(f"{program} --") == flags_in_help(program)


def test_values_and_files_of_the_server_are_offered(shell: str, tmp_path: Path) -> None:
    lossd = Shell(shell, tmp_path, "lossd", script_of("lossd", shell))
    (tmp_path / "chain.pem").touch()
    assert lossd.complete("lossd --backend=c") == {"cpu", "cuda"}
    assert lossd.complete("lossd --completion=") == set(SHELLS)
    assert lossd.complete("lossd --channelz --log_level w") == {"warning"}
    assert lossd.complete("lossd --tls_cert=ch") == {"chain.pem"}
    assert lossd.complete("lossd --flagfile ch") == {"chain.pem"}


def test_commands_and_their_operands_are_offered(lossctl: Shell) -> None:
    assert lossctl.complete("lossctl ") == COMMANDS
    assert lossctl.complete("lossctl --target localhost:1 --json w") == {"watch"}
    assert lossctl.complete("lossctl --kind= inf") == {"info"}
    assert lossctl.complete("lossctl completion ") == set(SHELLS)
    assert lossctl.complete("lossctl health l") == {"lossd.v1.LossService"}
    assert lossctl.complete("lossctl watch --interval 2s l") == {"localhost:9464"}
    assert lossctl.complete("lossctl watch localhost:9") == {"localhost:9464"}


def test_each_command_has_its_flags(lossctl: Shell) -> None:
    offered = {command: lossctl.complete(f"lossctl {command} --") for command in COMMANDS}
    assert offered["info"] == offered["health"] == OF_A_CALL | OF_EVERY_COMMAND
    assert offered["watch"] == OF_EVERY_COMMAND | {
        "--interval",
        "--count",
        "--timeout",
        "--token_file",
        "--json",
    }
    assert offered["completion"] == OF_EVERY_COMMAND
    assert offered["compute"] == lossctl.complete("lossctl --")
    assert set().union(*offered.values()) == flags_in_help("lossctl")
    assert lossctl.complete("lossctl nosuch --") == set()


def test_names_of_the_contract_are_offered_in_both_forms(lossctl: Shell) -> None:
    for flag, enum in {
        "kind": "LOSS_KIND",
        "reduction": "REDUCTION",
        "normalizer": "NORMALIZER",
        "nan_policy": "NAN_POLICY",
        "target_range": "TARGET_RANGE",
        "target_shape_rule": "TARGET_SHAPE_RULE",
        "soft_targets": "SOFT_TARGET_RULE",
    }.items():
        assert lossctl.complete(f"lossctl --{flag}=") == names_in_contract(enum)
    assert lossctl.complete("lossctl compute --kind sigmoid_f") == {"sigmoid_focal"}
    assert lossctl.complete("lossctl --dtype=b") == {"bfloat16"}
    assert lossctl.complete("lossctl --focal_gamma=") == set()


def test_files_and_sockets_are_offered_where_they_are_meant(lossctl: Shell, tmp_path: Path) -> None:
    (tmp_path / "run").mkdir()
    for name in ("x1.npy", "x 2.npy", "run/lossd.sock"):
        (tmp_path / name).touch()
    for flag in ("logits", "request", "token_file", "gradient_out"):
        assert lossctl.complete(f"lossctl --{flag}=x") == {"x1.npy", "x 2.npy"}
    assert lossctl.complete("lossctl --logits x") == {"x1.npy", "x 2.npy"}
    assert lossctl.complete("lossctl --kind=x") == set()
    assert lossctl.complete("lossctl --target=") == {"localhost:50051", "unix:"}
    assert lossctl.complete("lossctl --target=localhost:5") == {"localhost:50051"}
    assert lossctl.complete("lossctl info --target=unix:run/l") in (
        {"unix:run/lossd.sock"},
        {"lossd.sock"},
    )


@pytest.mark.parametrize("shell", ["bash", "zsh"])
def test_the_tab_key_leaves_the_cursor_where_a_value_is_typed(shell: str, tmp_path: Path) -> None:
    if not is_installed(shell):
        pytest.skip(f"{shell} is not installed")
    lossctl = Shell(shell, tmp_path, "lossctl", script_of("lossctl", shell))
    (tmp_path / "a b.npy").touch()
    assert lossctl.press("lossctl --ki\tpol\t--json\n") == ["--kind=poly", "--json"]
    assert lossctl.press("lossctl --targets=a\t--json\n") == ["--targets=a b.npy", "--json"]
    assert lossctl.press("lossctl info --targe\tu\tx\n") == ["info", "--target=unix:x"]
    assert lossctl.press("./lossctl wat\tloc\t\n") == ["watch", "localhost:9464"]


def test_zsh_finds_the_script_in_its_path_of_functions(tmp_path: Path) -> None:
    if not is_installed("zsh"):
        pytest.skip("zsh is not installed")
    lossctl = Shell("zsh", tmp_path, "lossctl", script_of("lossctl", "zsh"), autoload=True)
    assert lossctl.complete("lossctl ") == COMMANDS
    assert lossctl.complete("lossctl --kind=po") == {"poly"}


def test_dev_completes_its_own_commands_and_their_arguments(shell: str, tmp_path: Path) -> None:
    done = subprocess.run(
        [ROOT / "dev", "completion", shell], capture_output=True, text=True, check=True
    )
    usage = subprocess.run([ROOT / "dev", "help"], capture_output=True, text=True, check=True)
    there = Shell(shell, tmp_path, "dev", done.stdout)
    assert there.complete("./dev ") == {
        line.split()[0] for line in usage.stdout.splitlines() if line.startswith("  ")
    }
    (tmp_path / "trixie").touch()
    assert there.complete("./dev sanitize as") == {"asan"}
    assert there.complete("./dev sanitize asan ts") == {"tsan"}
    assert there.complete("./dev gpu --d") == {"--dry-run"}
    assert there.complete("./dev completion z") == {"zsh"}
    assert there.complete("./dev debian tri") == {"trixie"}


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (["lossd", "--completion=tcsh"], "--completion=tcsh: must be bash, zsh or fish"),
        (["lossbench", "--completion", "sh"], "--completion=sh: must be bash, zsh or fish"),
        (["lossctl", "completion", "tcsh"], 'the shell "tcsh" is none of bash, zsh and fish'),
        (["lossctl", "completion"], "completion takes one SHELL: bash, zsh or fish; see --help"),
        (
            ["lossctl", "completion", "bash", "zsh"],
            'unexpected argument "zsh": completion takes one SHELL; see --help',
        ),
    ],
)
def test_another_shell_is_refused_in_one_line(arguments: list[str], complaint: str) -> None:
    done = run(*arguments)
    assert done.returncode == 2
    assert done.stdout == ""
    assert done.stderr == f"{arguments[0]}: {complaint}\n"
