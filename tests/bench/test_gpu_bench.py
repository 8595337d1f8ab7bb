"""bench/gpu_bench.py with scripts in place of the programs that measure a GPU."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
MEBI = 1 << 20


def kernel(name: str, elements: int, seconds: float, bytes_each: float) -> dict[str, object]:
    return {
        "name": name,
        "elements": elements,
        "seconds": seconds,
        "bytes_per_second": elements * bytes_each / seconds,
    }


REPORT = {
    "device": {"name": "a device of paper"},
    "copy_bytes_per_second": 4e12,
    "bus_bytes_per_second": {"to_device": 50e9, "to_host": 20e9},
    "kernels": [
        kernel("float32 focal", 64 * MEBI, 64 * MEBI * 12 / 1e12, 12),
        kernel("float32", MEBI // 16, 1e-6, 12),
        kernel("float32", 16 * MEBI, 60e-6, 12),
        kernel("float32", 64 * MEBI, 64 * MEBI * 12 / 3.8e12, 12),
        kernel("bfloat16+bit", 64 * MEBI, 64 * MEBI * 4.125 / 3e12, 4.125),
        {"name": "float32", "elements": 1024 * MEBI, "skipped": "the device has no room"},
        kernel("float32 4096x64", MEBI // 4, 5e-6, 12),
        kernel("float32 4096x64 as one", MEBI // 4, 4e-6, 12),
    ],
}

PIPELINE = {
    "bus_bytes_per_second": {"to_device": 50e9, "to_host": 20e9},
    "pipelines": [
        {
            "name": name,
            "staged": staged,
            "slots": slots,
            "elements": 16 * MEBI,
            "bytes_in": 128 * MEBI,
            "bytes_out": 64 * MEBI,
            "batches_per_second": share * 20e9 / (64 * MEBI),
        }
        for name, staged, slots, share in (
            ("float32", False, 8, 0.95),
            ("float32", True, 4, 0.5),
            ("float32", True, 8, 0.8),
        )
    ]
    + [
        {"name": "bfloat16+bit", "staged": True, "slots": 8, "elements": MEBI, "skipped": "no room"}
    ],
}

LOSSD = """
import signal, sys
assert "--backend=cuda" in sys.argv
signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
print("lossd listening on 127.0.0.1:1 metrics on 127.0.0.1:2", flush=True)
signal.pause()
"""


def bundle(folder: Path, **programs: str) -> Path:
    """Makes a bundle whose programs are Python scripts with these texts."""
    (folder / "bin").mkdir(parents=True)
    for name, text in programs.items():
        program = folder / "bin" / name
        program.write_text(f"#!{sys.executable}\n{text}", encoding="utf-8")
        program.chmod(0o755)
    (folder / "bin/gpu_torch.py").write_text(
        "import sys\nprint('no PyTorch here', file=sys.stderr)\nsys.exit(3)\n", encoding="utf-8"
    )
    return folder


def run(folder: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [
            sys.executable,
            str(ROOT / "bench/gpu_bench.py"),
            f"--bundle={folder}",
            f"--out={folder / 'out'}",
        ],
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )


def test_every_measurement_is_a_row_and_a_missing_peer_is_named(tmp_path: Path) -> None:
    load = {"elements_per_second": 5e9, "errors": {}, "latency_us": {"p50": 360}}
    folder = bundle(
        tmp_path / "bundle",
        gpu_bench=f"print({json.dumps(json.dumps(REPORT))})",
        pipeline_bench=f"print({json.dumps(json.dumps(PIPELINE))})",
        lossbench=f"print({json.dumps(json.dumps(load))})",
        lossd=LOSSD,
    )
    done = run(folder)
    assert done.returncode == 0, done.stderr
    assert "PyTorch not measured: no PyTorch here" in done.stdout
    written = json.loads((folder / "out/gpu.json").read_text(encoding="utf-8"))
    ratios = {row["name"]: round(row["ratio"], 3) for row in written["results"]}
    assert ratios == {
        "float32 focal 64Mi": 0.25,
        "float32 0.0625Mi": 0.197,
        "float32 16Mi": 0.839,
        "float32 64Mi": 0.95,
        "bfloat16+bit 64Mi": 0.75,
        "float32 4096x64 0.25Mi": 0.157,
        "4096x64 vs one": 1.25,
        # 8 bytes go to the device for 4 that come back, so 20 GB/s back allow 40 GB/s there.
        "pinned x8 float32 16Mi": 0.95,
        "slots x4 float32 16Mi": 0.5,
        "slots x8 float32 16Mi": 0.8,
        # An element takes 12 bytes, and the slower direction moves 60 GB/s.
        "TCP 1Mi": 1.0,
        "TCP 16Mi": 1.0,
        "Unix socket 1Mi": 1.0,
        "Unix socket 16Mi": 1.0,
        "shared memory 1Mi": 1.0,
        "shared memory 16Mi": 1.0,
        # The goal is 1.5 x 60 us + 150 us = 240 us.
        "CUDA IPC 16Mi": 1.5,
        "CUDA IPC 16Mi, 4 calls": 0.018,
    }
    missed = [line.split()[0] for line in done.stdout.splitlines() if line.endswith("MISSED")]
    assert missed == ["float32", "bfloat16+bit", "slots", "CUDA"]
    assert "slots x8 bfloat16+bit 1Mi not measured: no room" in done.stdout


def test_a_missing_device_is_reported_and_fails(tmp_path: Path) -> None:
    reason = "gpu_bench: no CUDA device 0"
    folder = bundle(
        tmp_path / "bundle",
        gpu_bench=f"import sys\nprint({reason!r}, file=sys.stderr)\nsys.exit(3)",
    )
    done = run(folder)
    assert done.returncode == 1
    assert done.stderr.strip() == f"not measured: {reason}"


def test_a_server_that_does_not_start_fails_after_the_kernels(tmp_path: Path) -> None:
    folder = bundle(
        tmp_path / "bundle",
        gpu_bench=f"print({json.dumps(json.dumps(REPORT))})",
        lossd="raise SystemExit(1)",
    )
    done = run(folder)
    assert done.returncode == 1
    assert "the pipeline not measured" in done.stdout
    assert "the server not measured: lossd did not start" in done.stdout
    assert "float32 64Mi" in done.stdout
