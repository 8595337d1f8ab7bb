"""Draws the pictures of ./dev bench sweep."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import matplotlib.pyplot as plt

COLORS = {"lossd": "#3b7dd8", "lossd, one request a batch": "#d8573b", "echo": "#888888"}
SETS = {"avx2": "AVX2", "avx512": "AVX-512"}
SET_COLORS = {"AVX2": "#8fb8ec", "AVX-512": "#3b7dd8"}


def name_on(instruction_set: str) -> str:
    """Returns the name of lossd on an instruction set, or on the one that it chooses ("")."""
    return f"lossd, {SETS[instruction_set]}" if instruction_set else "lossd"


def _title(what: str, machine: Mapping[str, object]) -> str:
    """Returns a title; `what` says the instruction set where the picture does not."""
    return f"{what}\n{machine['cpu']}, {machine['cores']} cores, {machine['date']}"


def _save(figure: Any, path: Path) -> None:
    figure.tight_layout()
    figure.savefig(path, dpi=120)
    plt.close(figure)


def save_latency(loads: Mapping[str, Any], machine: Mapping[str, object], path: Path) -> None:
    """Draws latency, the server's CPU time per request, and batch sizes by the offered rate."""
    figure, (latency, cost, batches) = plt.subplots(
        3, 1, figsize=(9, 10), sharex=True, height_ratios=[3, 1, 1]
    )
    points = loads["open_loop"]
    rates = [point["rate"] for point in points]
    for name, color in COLORS.items():
        reports = [point["sides"][name] for point in points]
        for percentile, style in (("p99", "o-"), ("p50", "o:")):
            values = [report["latency_us"][percentile] for report in reports]
            latency.plot(rates, values, style, color=color, label=f"{name}, {percentile}")
        values = [report["server_cpu_us_per_request"] for report in reports]
        cost.plot(rates, values, "o-", color=color)
        if name != "echo":
            values = [report["batch_requests"]["mean"] for report in reports]
            batches.plot(rates, values, "o-", color=color)
    latency.set_yscale("log")
    latency.set_ylabel("latency from the intended start, us")
    latency.legend(fontsize=8)
    what = f"Requests of {loads['elements']} elements, Poisson arrivals, "
    what += f"{SETS.get(str(machine['instruction_set']), 'the best instruction set')}"
    latency.set_title(_title(what, machine), fontsize=10)
    cost.set_ylabel("server's CPU, us/request")
    batches.set_ylabel("requests/batch")
    batches.set_xlabel("offered requests per second")
    for axes in (latency, cost, batches):
        axes.grid(visible=True, which="both", alpha=0.3)
    for axes in (cost, batches):
        axes.set_ylim(bottom=0)
    _save(figure, path)


def save_queue_time(loads: Mapping[str, Any], machine: Mapping[str, object], path: Path) -> None:
    """Draws the distribution of the time that requests wait in lossd's queue."""
    figure, axes = plt.subplots(figsize=(9, 4.5))
    runs = {"one request at a time": loads["lone"]["lossd"]}
    for point in loads["open_loop"]:
        if point["load"] in (0.25, 0.5, 0.8, 1.0):
            runs[f"{point['rate']:,.0f} requests/s"] = point["sides"]["lossd"]
    for name, report in runs.items():
        waits = report["queue_seconds"]
        bounds = [1e6 * bound for bound, _ in waits["at_most"]]
        shares = [count / max(waits["count"], 1) for _, count in waits["at_most"]]
        label = f"{name}: mean {1e6 * waits['mean']:.1f} us"
        axes.plot(bounds, shares, "o-", markersize=3, label=label)
    axes.set_xscale("log")
    axes.set_xlim(right=1e5)
    axes.set_xlabel("time in the queue, at most, us")
    axes.set_ylabel("share of the requests")
    axes.set_ylim(0, 1.02)
    axes.legend(fontsize=8)
    axes.grid(visible=True, alpha=0.3)
    axes.set_title(_title("From the queue to an executor", machine), fontsize=10)
    _save(figure, path)


def save_throughput(
    sizes: Sequence[Mapping[str, Any]], machine: Mapping[str, object], path: Path
) -> None:
    """Draws elements per second by the size of a request."""
    figure, axes = plt.subplots(figsize=(9, 5))
    elements = [point["elements"] for point in sizes]
    for name in sizes[0]["sides"]:
        rates = [point["sides"][name]["elements_per_second"] for point in sizes]
        color = SET_COLORS.get(name.removeprefix("lossd, ")) or COLORS[name]
        axes.plot(elements, rates, "o-", color=color, label=name)
    axes.set_xscale("log", base=2)
    axes.set_yscale("log")
    axes.set_xlabel("elements in a request")
    axes.set_ylabel("elements per second")
    axes.legend()
    axes.grid(visible=True, which="both", alpha=0.3)
    axes.set_title(_title("Concurrency 4, float32, loopback TCP", machine), fontsize=10)
    _save(figure, path)
