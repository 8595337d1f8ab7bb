"""Draws what the model says."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt

from scaling.bounds import bounds, enough_rpc_threads, first_bottleneck
from scaling.inputs import ServiceTimes
from scaling.plan import CORES, FLEETS, host_of, regimes
from scaling.simulation import Outcome


def draw(times: ServiceTimes, outcomes: dict[str, list[Outcome]], folder: Path) -> None:
    """Draws the first bound of each number of cores, and what a fleet's workers see."""
    _cores(times, folder / "scaling_cores.png")
    _fleets(outcomes, folder / "scaling_fleet.png")


def _cores(times: ServiceTimes, path: Path) -> None:
    """Draws requests a second against cores, with the default threads and with enough."""
    loads = regimes(times)
    figure, axes = plt.subplots(2, (len(loads) + 1) // 2, figsize=(12, 7), squeeze=False)
    for axis, (name, load) in zip(axes.flat, loads.items(), strict=False):
        usual, best = [], []
        for cores in CORES:
            host = host_of(cores, max(1, min(4, cores // 2)))
            usual.append(first_bottleneck(bounds(times, host, load))[1])
            enough = replace(host, rpc_threads=enough_rpc_threads(times, host, load))
            best.append(first_bottleneck(bounds(times, enough, load))[1])
        axis.plot(CORES, usual, marker="o", label="default --rpc_threads")
        axis.plot(CORES, best, marker="s", label="as many as it takes")
        axis.set(title=name, xscale="log", yscale="log", xlabel="cores", ylabel="requests/s")
        axis.minorticks_off()
        axis.set_xticks(CORES, [str(cores) for cores in CORES])
        axis.grid(alpha=0.3)
    for axis in axes.flat[len(loads) :]:
        axis.set_visible(False)
    axes.flat[0].legend()
    figure.suptitle(f"First bound of one server at 100 Gb/s; service times of {times.cpu}")
    figure.tight_layout()
    figure.savefig(path, dpi=110)


def _fleets(outcomes: dict[str, list[Outcome]], path: Path) -> None:
    """Draws the latency that 1,000 workers see against the number of servers."""
    figure, axis = plt.subplots(figsize=(7, 4.5))
    for name, seen in outcomes.items():
        late = [1e3 * one.quantile(0.99) for one in seen]
        (line,) = axis.plot(FLEETS, late, marker="o", label=f"{name}, p99")
        usual = [1e3 * one.quantile(0.5) for one in seen]
        axis.plot(FLEETS, usual, color=line.get_color(), linestyle="--")
    axis.set(xlabel="servers of 16 cores", ylabel="latency, ms (dashed: median)", yscale="log")
    axis.set_xscale("log", base=2)
    axis.set_xticks(FLEETS, [str(servers) for servers in FLEETS])
    axis.grid(alpha=0.3)
    axis.legend(fontsize=8)
    axis.set_title("1,000 workers, simulated")
    figure.tight_layout()
    figure.savefig(path, dpi=110)
