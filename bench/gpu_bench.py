"""Measures the kernels, PyTorch and the whole server on a GPU, for ./dev gpu.

Runs the programs of a bundle (tools/gpu_bundle.sh) and needs only Python's own library.
Writes gpu.json and prints a table. No result makes it fail: it exits with 0 if everything
was measured that this machine can measure.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

MEBI = 1 << 20
GIGA = 1e9
Row = dict[str, Any]
# Shares of the device's own copy to reach. The exact variants have none.
FLOORS = {"float32": 0.9, "bfloat16+bit": 0.8}


def run_json(command: list[str], seconds: float, environment: dict[str, str]) -> dict[str, Any]:
    """Returns the JSON that a program prints; RuntimeError with its last line if it fails."""
    try:
        done = subprocess.run(
            command, capture_output=True, text=True, timeout=seconds, env=environment, check=False
        )
    except subprocess.TimeoutExpired as error:
        raise RuntimeError(f"{Path(command[0]).name}: more than {seconds:.0f} s") from error
    except OSError as error:
        raise RuntimeError(str(error)) from error
    if done.returncode != 0:
        lines = done.stderr.strip().splitlines() or [f"exit code {done.returncode}"]
        raise RuntimeError(lines[-1])
    try:
        report: dict[str, Any] = json.loads(done.stdout)
    except ValueError as error:
        raise RuntimeError(f"{Path(command[0]).name} printed no JSON: {error}") from error
    return report


def row(name: str, ours: float, peer: float, unit: str, floor: float | None, what: str) -> Row:
    """A row of the table. `floor` is the ratio to reach or, if negative, not to exceed."""
    ratio = ours / peer if peer else 0.0
    return {
        "name": name,
        "ours": ours,
        "peer": peer,
        "ratio": ratio,
        "unit": unit,
        "floor": floor,
        "what": what,
    }


def kernel_rows(report: dict[str, Any]) -> Iterator[Row]:
    copy = report["copy_bytes_per_second"] / GIGA
    for kernel in report["kernels"]:
        if "skipped" in kernel or " as one" in kernel["name"]:
            continue
        mebi = kernel["elements"] / MEBI
        name = f"{kernel['name']} {mebi:g}Mi"
        floor = FLOORS.get(kernel["name"]) if mebi >= 16 else None
        rate = kernel["bytes_per_second"] / GIGA
        # A cache makes small copies faster, so a copy of the same size is a peer too.
        peer = max(copy, kernel.get("copy_bytes_per_second", 0.0) / GIGA)
        yield row(name, rate, peer, "GB/s", floor, "kernel against the device's own copy")
    seconds = {kernel["name"]: kernel.get("seconds") for kernel in report["kernels"]}
    small, one = seconds["float32 4096x64"], seconds["float32 4096x64 as one"]
    if small and one:
        what = "4096 segments of 64 elements against one of the same total"
        yield row("4096x64 vs one", small * 1e6, one * 1e6, "us", -2.0, what)


def torch_rows(report: dict[str, Any], torch: dict[str, Any]) -> Iterator[Row]:
    ours = next(
        (
            kernel["elements"] / kernel["seconds"] / GIGA
            for kernel in report["kernels"]
            if kernel["name"] == "float32" and kernel["elements"] == torch["elements"]
        ),
        0.0,
    )
    ways = {
        "eager": (5.0, "eager, forward and backward with its sum"),
        "compiled": (1.3, "loss and gradient in one function under torch.compile"),
    }
    for way, (floor, peer) in ways.items():
        if way in torch:
            what = (
                "the kernel, without the host's sum over blocks, against PyTorch "
                f"{torch['version']}, {peer}"
            )
            yield row(f"vs PyTorch {way}", ours, torch[way] / GIGA, "Gelem/s", floor, what)


def pipeline_rows(report: dict[str, Any]) -> Iterator[Row]:
    """Compares batches from the host and back with the bus's slower direction."""
    bus = report["bus_bytes_per_second"]
    for pipeline in report["pipelines"]:
        staged = "slots" if pipeline["staged"] else "pinned"
        mebi = pipeline["elements"] / MEBI
        name = f"{staged} x{pipeline['slots']} {pipeline['name']} {mebi:g}Mi"
        if "skipped" in pipeline:
            print(f"{name} not measured: {pipeline['skipped']}")
            continue
        there, back = pipeline["bytes_in"], pipeline["bytes_out"]
        limit = min(bus["to_device"] / there, bus["to_host"] / back)
        gigabytes = (there + back) / GIGA
        # A server has eight slots by default.
        floors = (pipeline["slots"], pipeline["name"], mebi) == (8, "float32", 16)
        what = f"{pipeline['slots']} batches at once from {staged} memory and back"
        rate = pipeline["batches_per_second"] * gigabytes
        floor = 0.9 if floors else None
        yield row(name, rate, limit * gigabytes, "GB/s", floor, what)


@contextmanager
def server(bundle: Path, folder: Path, out: Path, environment: dict[str, str]) -> Iterator[str]:
    """Runs lossd on the GPU; yields its address."""
    command = [
        str(bundle / "bin/lossd"),
        "--listen=127.0.0.1:0",
        "--metrics_listen=127.0.0.1:0",
        "--backend=cuda",
        f"--unix_socket={folder}/unix",
        f"--shared_memory_socket={folder}/regions",
        f"--max_message_bytes={512 * MEBI}",
        f"--max_inflight_bytes={4096 * MEBI}",
        f"--max_shared_memory_bytes={4096 * MEBI}",
        f"--max_shared_memory_bytes_per_connection={4096 * MEBI}",
    ]
    with open(out / "lossd.log", "w", encoding="utf-8") as log:
        process = subprocess.Popen(
            command, stdout=subprocess.PIPE, stderr=log, text=True, env=environment
        )
    try:
        assert process.stdout is not None
        words = process.stdout.readline().split()
        if words[1:3] != ["listening", "on"]:
            raise RuntimeError(f"lossd did not start: see {log.name}")
        yield words[3]
    finally:
        process.terminate()
        try:
            process.wait(timeout=20)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def server_rows(
    report: dict[str, Any], bundle: Path, out: Path, environment: dict[str, str]
) -> Iterator[Row]:
    """Compares tensor bytes in and out with the bus's slower direction."""
    bus = report["bus_bytes_per_second"]
    # For float32, two bytes go to the device for each one that comes back.
    slower = min(bus["to_device"] * 1.5, bus["to_host"] * 3) / GIGA
    with (
        tempfile.TemporaryDirectory() as name,
        server(bundle, Path(name), out, environment) as address,
    ):
        ways = {
            "TCP": [f"--target={address}"],
            "Unix socket": [f"--target=unix:{name}/unix"],
            "shared memory": [f"--target={address}", f"--shared_memory={name}/regions"],
        }
        for way, flags in ways.items():
            for elements in (MEBI, 16 * MEBI):
                command = [
                    str(bundle / "bin/lossbench"),
                    *flags,
                    f"--elements={elements}",
                    "--concurrency=4",
                    "--channels=2",
                    "--threads=2",
                    "--duration=4s",
                    "--json",
                ]
                load = run_json(command, 60, environment)
                if load["errors"]:
                    raise RuntimeError(f"calls over {way} failed: {load['errors']}")
                rate = load["elements_per_second"] * 12 / GIGA
                what = f"ComputeLoss over {way}, 4 calls in flight, against pinned copies"
                floor = 0.9 if way == "shared memory" else None
                yield row(f"{way} {elements // MEBI}Mi", rate, slower, "GB/s", floor, what)


def ipc_rows(
    report: dict[str, Any], bundle: Path, out: Path, environment: dict[str, str]
) -> Iterator[Row]:
    """Measures tensors that lie on the GPU and are lent: nothing crosses the bus."""
    elements = 16 * MEBI
    kernel = next(
        (
            kernel
            for kernel in report["kernels"]
            if kernel["name"] == "float32" and kernel["elements"] == elements
        ),
        {},
    )
    if "seconds" not in kernel:
        return
    with (
        tempfile.TemporaryDirectory() as name,
        server(bundle, Path(name), out, environment) as address,
    ):
        for calls in (1, 4):
            command = [
                str(bundle / "bin/lossbench"),
                f"--target={address}",
                f"--shared_memory={name}/regions",
                "--device_memory",
                f"--elements={elements}",
                f"--concurrency={calls}",
                f"--channels={min(calls, 2)}",
                f"--threads={min(calls, 2)}",
                "--duration=4s",
                "--json",
            ]
            load = run_json(command, 60, environment)
            if load["errors"]:
                raise RuntimeError(f"calls over CUDA IPC failed: {load['errors']}")
            if calls == 1:
                goal = (1.5 * kernel["seconds"] + 150e-6) * 1e6
                what = "a call, tensors on the GPU, against 1.5 x its kernel and 150 us"
                yield row("CUDA IPC 16Mi", load["latency_us"]["p50"], goal, "us", -1.0, what)
            else:
                rate = load["elements_per_second"] * 12 / GIGA
                what = "4 calls in flight, tensors on the GPU, against the kernel alone"
                peer = kernel["bytes_per_second"] / GIGA
                yield row("CUDA IPC 16Mi, 4 calls", rate, peer, "GB/s", None, what)


def format_row(result: Row) -> str:
    floor = result["floor"]
    goal, missed = "reported", False
    if floor is not None:
        goal = f">= {floor:g}" if floor > 0 else f"<= {-floor:g}"
        missed = result["ratio"] < floor if floor > 0 else result["ratio"] > -floor
    return (
        f"{result['name']:32}{result['ours']:>12,.1f}{result['peer']:>12,.1f} {result['unit']:8}"
        f"{result['ratio']:>7.2f}  {goal}{'  MISSED' if missed else ''}"
    )


def measure(bundle: Path, out: Path) -> int:
    """Measures everything in turn; returns how many measurements failed."""
    environment = dict(os.environ)
    report = run_json([str(bundle / "bin/gpu_bench")], 180, environment)
    print(", ".join(f"{key}: {value}" for key, value in report["device"].items()))
    bus = {key: f"{value / GIGA:.1f} GB/s" for key, value in report["bus_bytes_per_second"].items()}
    print(f"copy: {report['copy_bytes_per_second'] / GIGA:.0f} GB/s, pinned: {bus}", flush=True)
    print(f"{'name':32}{'ours':>12}{'peer':>12} {'unit':8}{'ratio':>7}  goal", flush=True)
    results: list[Row] = []
    failures = 0

    def take(rows: Iterator[Row]) -> None:
        for result in rows:
            results.append(result)
            print(format_row(result), flush=True)

    take(kernel_rows(report))
    try:  # uses the machine's own libraries, not the bundle's
        peer = run_json([sys.executable, str(bundle / "bin/gpu_torch.py")], 150, dict(os.environ))
        take(torch_rows(report, peer))
        if "compiled_reason" in peer:
            print(f"torch.compile not measured: {peer['compiled_reason']}")
    except RuntimeError as error:
        print(f"PyTorch not measured: {error}")
    try:
        pipeline = run_json([str(bundle / "bin/pipeline_bench")], 120, environment)
        report["pipeline"] = pipeline
        buses = pipeline["bus_bytes_per_second"].items()
        print("; ".join(f"{key}: {value / GIGA:.1f} GB/s" for key, value in buses), flush=True)
        take(pipeline_rows(pipeline))
    except RuntimeError as error:
        print(f"the pipeline not measured: {error}")
        failures += 1
    try:
        take(server_rows(report, bundle, out, environment))
    except (RuntimeError, OSError) as error:
        print(f"the server not measured: {error}")
        failures += 1
    try:
        take(ipc_rows(report, bundle, out, environment))
    except RuntimeError as error:
        print(f"CUDA IPC not measured: {error}")
        failures += 1
    (out / "gpu.json").write_text(json.dumps({**report, "results": results}, indent=1) + "\n")
    print(f"written: {out / 'gpu.json'}")
    return failures


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--bundle", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    arguments = parser.parse_args()
    arguments.out.mkdir(parents=True, exist_ok=True)
    # A signal must end the server too.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit("not measured: the time is over"))
    try:
        return 1 if measure(arguments.bundle, arguments.out) else 0
    except RuntimeError as error:
        print(f"not measured: {error}", file=sys.stderr)
        return 1


if __name__ == "__main__":
    sys.exit(main())
