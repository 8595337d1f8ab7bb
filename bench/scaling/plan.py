"""What the model says, as tables in Markdown."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace

from scaling.bounds import bounds, enough_rpc_threads, first_bottleneck
from scaling.inputs import Host, Load, ServiceTimes
from scaling.simulation import Outcome, Simulation

GIGABIT = 1e9 / 8
NIC = 100 * GIGABIT
# Main memory as the streaming loop of kernel_bench sees it from two cores, a core's part; and
# two thirds of eight channels of DDR5-4800, which is what a socket has.
MEMORY_PER_CORE, MEMORY_OF_SOCKET = 14e9, 200e9
CORES = (2, 4, 8, 16, 32, 64)
SMALL_REQUESTS, LARGE_REQUESTS = 8_000, 300


def host_of(cores: int, rpc_threads: int = 1) -> Host:
    """Returns a server with the network of the plan."""
    memory = min(MEMORY_PER_CORE * cores, MEMORY_OF_SOCKET)
    return Host(cores, rpc_threads, cores, NIC, memory, max_inflight_bytes=4e9)


def regimes(times: ServiceTimes) -> dict[str, Load]:
    """Returns the loads of the plan, each of enough clients to fill a server."""
    many = {"clients": 64, "concurrency": 16}
    loads = {
        "64 elements, unary": Load(64, **many),
        "64 elements, session": Load(64, kind="session", **many),
        "16 Ki float32": Load(1 << 14, **many),
        "1 Mi float32": Load(1 << 20, clients=16, concurrency=2),
        "1 Mi bfloat16, bits": Load(
            1 << 20, clients=16, concurrency=2, logit_bytes=2, target_bytes=1 / 8
        ),
        "1 Mi float8, bits": Load(
            1 << 20, clients=16, concurrency=2, logit_bytes=1, target_bytes=1 / 8
        ),
    }
    if times.session is None:
        del loads["64 elements, session"]
    return loads


def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = [head, ["---", *["--:"] * (len(head) - 1)], *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines) + "\n"


def microseconds(seconds: float) -> str:
    return f"{seconds * 1e6:.2f} us"


def of_times(times: ServiceTimes) -> str:
    rows = []
    for kind, transport in (("unary call", times.unary), ("session entry", times.session)):
        if transport is None:
            continue
        for side in ("server", "client"):
            rows.append([f"{kind}, {side}", microseconds(getattr(transport, side))])
            rows.append(
                [
                    f"{kind}, {side}, in addition when alone",
                    microseconds(getattr(transport, f"{side}_wake")),
                ]
            )
    rows += [
        ["byte of a tensor, server", f"{times.server_seconds_per_byte * 1e9:.3f} ns"],
        ["byte of a tensor, client", f"{times.client_seconds_per_byte * 1e9:.3f} ns"],
        ["kernel, one core", f"{times.elements_per_second / 1e6:,.0f} M elements/s"],
        ["one connection, both ways", f"{times.connection_bytes_per_second / 1e9:.2f} GB/s"],
        ["waking a thread", microseconds(times.wake_seconds)],
        ["admission's lock", microseconds(times.lock_seconds)],
    ]
    return f"{times.cpu}, {times.date}\n\n" + table(["service time", "value"], rows)


def simulated(times: ServiceTimes, host: Host, load: Load, servers: int = 1) -> Outcome:
    requests = SMALL_REQUESTS if load.elements <= 1 << 14 else LARGE_REQUESTS
    requests = max(requests, int(2.5 * load.outstanding))
    return Simulation(times, host, load, servers=servers).run(requests)


def compared_loads(times: ServiceTimes) -> list[Load]:
    kinds = ["unary"] + ([] if times.session is None else ["session"])
    return [
        Load(elements, concurrency, kind, own_cores=False)
        for kind in kinds
        for elements in (64, 1 << 14, 1 << 20)
        for concurrency in (1, 4, 64)
    ]


def of_comparison(
    times: ServiceTimes, cores: int, loads: Sequence[Load], measured: Sequence[float]
) -> str:
    host = Host(cores, rpc_threads=max(1, min(4, cores // 2)), workers=cores)
    rows = []
    for load, seen in zip(loads, measured, strict=True):
        foretold = simulated(times, host, load).throughput
        rows.append(
            [
                f"{load.kind}, {load.elements:,} elements, c = {load.concurrency}",
                f"{foretold:,.0f}",
                f"{seen:,.0f}",
                f"{foretold / seen:.2f}",
            ]
        )
    return table(["load", "foretold, requests/s", "measured", "ratio"], rows)


def of_hosts(times: ServiceTimes) -> str:
    """For each regime and number of cores: what to set, the rate, and what bounds it."""
    rows = []
    for name, load in regimes(times).items():
        for cores in CORES:
            threads = enough_rpc_threads(times, host_of(cores), load)
            host = host_of(cores, threads)
            limit, rate = first_bottleneck(bounds(times, host, load))
            usual = replace(host, rpc_threads=max(1, min(4, cores // 2)))
            usual_limit, usual_rate = first_bottleneck(bounds(times, usual, load))
            seen = simulated(times, host, load).throughput
            gigabits = seen * max(load.request_bytes, load.reply_bytes) / GIGABIT
            rows.append(
                [
                    name,
                    str(cores),
                    f"{usual_rate:,.0f} ({usual_limit})",
                    str(threads),
                    f"{rate:,.0f} ({limit})",
                    f"{seen:,.0f}",
                    f"{gigabits:.1f}",
                ]
            )
    head = ["load", "cores", "bound by default, requests/s", "`--rpc_threads`", "bound with it"]
    return table([*head, "simulated", "Gb/s"], rows)


FLEET_LOADS = {
    "1 Mi float32 every 100 ms": Load(1 << 20, 1, clients=1000, think_seconds=0.1),
    "1 Mi bfloat16, bits, every 100 ms": Load(
        1 << 20, 1, clients=1000, think_seconds=0.1, logit_bytes=2, target_bytes=1 / 8
    ),
    "16 Ki float32 every 10 ms": Load(1 << 14, 1, clients=1000, think_seconds=0.01),
}
FLEETS = (1, 2, 4, 8, 16)


def fleets(times: ServiceTimes) -> dict[str, list[Outcome]]:
    """Simulates each load on each number of servers of 16 cores."""
    return {
        name: [simulated(times, fleet_host(times, load), load, servers) for servers in FLEETS]
        for name, load in FLEET_LOADS.items()
    }


def fleet_host(times: ServiceTimes, load: Load) -> Host:
    return host_of(16, enough_rpc_threads(times, host_of(16), load))


def of_fleets(times: ServiceTimes, outcomes: dict[str, list[Outcome]]) -> str:
    """For 1,000 workers on several servers."""
    rows = []
    for name, load in FLEET_LOADS.items():
        for servers, outcome in zip(FLEETS, outcomes[name], strict=True):
            limit, _ = first_bottleneck(bounds(times, fleet_host(times, load), load, servers))
            busy = ", ".join(f"{part} {used:.0%}" for part, used in outcome.utilisation.items())
            rows.append(
                [
                    name,
                    str(servers),
                    f"{outcome.throughput:,.0f}",
                    f"{outcome.quantile(0.5) * 1e3:.1f}",
                    f"{outcome.quantile(0.99) * 1e3:.1f}",
                    busy,
                    limit,
                ]
            )
    head = ["1,000 workers, each", "servers", "requests/s", "p50, ms", "p99, ms", "busy"]
    return table([*head, "first bound"], rows)
