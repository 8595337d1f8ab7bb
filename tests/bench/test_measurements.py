"""The names that are promised have their floors, and a run shows them."""

from __future__ import annotations

import dataclasses
import importlib
import sys
import types
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parents[2] / "bench"))
# They need PyTorch and XGBoost, and measure other names.
for _module, _table in (
    ("torch_module", "TORCH_MEASUREMENTS"),
    ("tree_objective", "TREE_MEASUREMENTS"),
):
    sys.modules.setdefault(_module, types.SimpleNamespace(**{_table: {}}))  # type: ignore[arg-type]

from measurement import Effort, Result  # noqa: E402
from measurements import MEASUREMENTS  # noqa: E402
from programs import Programs  # noqa: E402
from started_server import PeerMissing  # noqa: E402

# The folder has the same name as the file in it, which mypy would take.
bench = importlib.import_module("bench")

# Each name with its floor on AVX2 and on AVX-512.
FLOORS = {
    "kernel_f32_64Ki_vs_pytorch": (5, 4.5),
    "kernel_f32_16Mi_vs_pytorch": (12, 12),
    "kernel_f32_1Mi_vs_torch_compile_formula": (3, 4),
    "kernel_f32_vs_highway_math": (1.6, 1.4),
    "kernel_focal_vs_pytorch": (8, 12),
    "kernel_focal_vs_torch_compile_formula": (3, 4),
    "kernel_f32_64Ki_vs_baseline": (1.5, 1.0),
    "kernel_float8_bit_vs_f32": (2, 2),
    "unary_1Mi_c4_vs_echo": (0.9, 0.9),
    "bf16_bit_vs_f32_tcp": (2.2, 2.2),
    "float8_bit_vs_f32_tcp": (4, 4),
    "session_64_c64_vs_unary_echo": (4, 4),
    "session_64_c1_vs_unary_echo": (1.35, 1.35),
    "vs_triton_64_c64": (15, 15),
    "vs_triton_1Mi_c4": (3, 3),
    "python_session_64_c64_vs_bare_grpcio": (3, 3),
    "stream_vs_unary": (0.95, 0.95),
    "shm_1Mi_c4_vs_kernel": (0.9, 0.9),
    "tracing_unsampled_vs_none": (0.99, 0.99),
    "job_metrics_vs_none": (0.98, 0.98),
}


@pytest.mark.parametrize(("name", "floors"), FLOORS.items())
def test_a_promised_name_has_its_floor(name: str, floors: tuple[float, float]) -> None:
    measurement = MEASUREMENTS[name]
    assert tuple(measurement.floor_on(chosen) for chosen in ("avx2", "avx512")) == floors


def programs(tmp_path: Path, instruction_set: str) -> Programs:
    return Programs(tmp_path, tmp_path, 1, instruction_set)


def replace(monkeypatch: pytest.MonkeyPatch, name: str, ratio: float) -> None:
    """Makes a measurement find that ratio."""

    def run(name: str, programs: Programs, effort: Effort) -> Result:
        return Result(name, ratio, 1.0, ratio, "requests/s", "")

    changed = dataclasses.replace(MEASUREMENTS[name], run=run)
    monkeypatch.setitem(MEASUREMENTS, name, changed)


@pytest.mark.parametrize("name", FLOORS)
@pytest.mark.parametrize("instruction_set", ["avx2", "avx512"])
def test_a_run_prints_the_floor_beside_the_value_and_marks_a_miss(
    name: str,
    instruction_set: str,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    floor = FLOORS[name][instruction_set == "avx512"]
    for ratio, end in ((floor, f"  >= {floor:g}"), (floor - 0.01, f"  >= {floor:g}  MISSED")):
        replace(monkeypatch, name, ratio)
        results, failures = bench.measure(
            [name], programs(tmp_path, instruction_set), Effort(rounds=1, seconds=1)
        )
        line = capsys.readouterr().out.rstrip("\n")
        assert line.startswith(f"{name} ")
        assert line.endswith(f"{ratio:8.2f}{end}")
        assert failures == 0
        row = bench.row_of(results[0], {"cpu": "any"})
        assert row["goal"] == floor
        assert row["missed"] == (ratio < floor)
        assert row["instruction_set"] == instruction_set


def test_what_cannot_be_measured_is_said_and_only_a_failure_counts(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    def run(name: str, programs: Programs, effort: Effort) -> Result:
        raise PeerMissing("no Triton") if name == "vs_triton_1Mi_c4" else RuntimeError("it broke")

    names = ["vs_triton_1Mi_c4", "stream_vs_unary"]
    for name in names:
        changed = dataclasses.replace(MEASUREMENTS[name], run=run)
        monkeypatch.setitem(MEASUREMENTS, name, changed)
    effort = Effort(rounds=1, seconds=1)
    assert bench.measure(names, programs(tmp_path, "avx2"), effort) == ([], 1)
    lines = capsys.readouterr().out.splitlines()
    assert [line.split(maxsplit=1) for line in lines] == [
        [names[0], "not measured: no Triton"],
        [names[1], "not measured: it broke"],
    ]


@pytest.fixture
def build_dir(tmp_path: Path) -> Path:
    """Returns a folder with empty files in place of the programs."""
    for program in ("server/lossd", "client/lossbench", "bench/kernels/kernel_bench"):
        path = tmp_path / "build" / program
        path.parent.mkdir(parents=True)
        path.touch()
    return tmp_path / "build"


def test_good_arguments_are_taken(build_dir: Path, tmp_path: Path) -> None:
    out = tmp_path / "a" / "b"
    common = [f"--build_dir={build_dir}", f"--out_dir={out}"]
    arguments = bench.parse_arguments([*common, "--only=stream_vs_unary,connections_vs_grpc"])
    assert arguments.names == ["stream_vs_unary", "connections_vs_grpc"]
    assert out.is_dir()
    assert bench.parse_arguments(common).names == list(MEASUREMENTS)


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (["--only=nothing"], "--only: 'nothing' is none of kernel_f32_64Ki_vs_pytorch, "),
        (["--only="], "--only: '' is none of"),
        (["--only=stream_vs_unary,"], "--only: '' is none of"),
        (["--only=stream_vs_unary,stream_vs_unary"], "--only: stream_vs_unary is named twice"),
        (["--only=stream_vs_unary", "--only=connections_vs_grpc"], "--only is given twice"),
        (["--rounds=0"], "--rounds=0: must be at least 1"),
        (["--rounds=two"], "--rounds: invalid int value: 'two'"),
        (["--seconds=0"], "--seconds=0: must be above 0"),
        (["--seconds=nan"], "--seconds=nan: must be above 0"),
        (["--seconds=inf"], "--seconds=inf: must be above 0"),
        (["--instruction_set=sse"], "--instruction_set: invalid choice: 'sse'"),
        (["--build_dir=/nowhere"], "--build_dir=/nowhere: has no server/lossd"),
        (["--out_dir=/dev/null"], "--out_dir=/dev/null: File exists"),
        (["--out_dir=/dev/null/x"], "--out_dir=/dev/null/x: Not a directory"),
        (["bench.json"], "unrecognized arguments: bench.json"),
    ],
)
def test_a_bad_argument_is_named(
    flags: list[str],
    message: str,
    build_dir: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    common = [f"--build_dir={build_dir}", f"--out_dir={tmp_path / 'out'}"]
    with pytest.raises(SystemExit) as ended:
        bench.parse_arguments([*common, *flags])
    assert ended.value.code == 2
    assert message in capsys.readouterr().err


def test_a_set_that_the_machine_lacks_is_named(
    monkeypatch: pytest.MonkeyPatch, build_dir: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(bench, "instruction_sets", lambda: ["avx2"])
    with pytest.raises(SystemExit):
        bench.parse_arguments([f"--build_dir={build_dir}", "--instruction_set=avx512"])
    assert "--instruction_set=avx512: this machine has avx2" in capsys.readouterr().err
