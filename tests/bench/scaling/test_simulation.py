"""The simulation keeps to the laws of queues, and to the bounds where one resource counts."""

from __future__ import annotations

import random
import sys
from dataclasses import replace
from pathlib import Path

import pytest
import simpy

sys.path.insert(0, str(Path(__file__).resolve().parents[3] / "bench"))
from scaling.bounds import bounds, lone_seconds  # noqa: E402
from scaling.inputs import Host, Load, ServiceTimes, Transport  # noqa: E402
from scaling.simulation import Simulation, Steps, Thread  # noqa: E402

TIMES = ServiceTimes(
    cpu="a processor",
    date="2026-11-30",
    unary=Transport(server=10e-6, client=4e-6, server_wake=3e-6, client_wake=2e-6),
    session=None,
    server_seconds_per_byte=0.2e-9,
    client_seconds_per_byte=0.1e-9,
    elements_per_second=1e9,
    connection_bytes_per_second=float("inf"),
    wake_seconds=5e-6,
    lock_seconds=1e-7,
)
HOST = Host(cores=8, rpc_threads=2, workers=4)


def mean_wait(utilisation: float, arrivals: int) -> float:
    """Returns the mean wait at a thread whose work takes a second and comes at random."""
    env = simpy.Environment()
    thread = Thread(env, None, wake_seconds=0)
    times = random.Random(7)
    waits: list[float] = []

    def customer() -> Steps:
        start = env.now
        yield from thread.work(1)
        waits.append(env.now - start - 1)

    def source() -> Steps:
        for _ in range(arrivals):
            yield env.timeout(times.expovariate(utilisation))
            env.process(customer())

    env.process(source())
    env.run()
    return sum(waits) / len(waits)


@pytest.mark.parametrize("utilisation", [0.3, 0.6, 0.8])
def test_a_thread_is_an_m_d_1_queue(utilisation: float) -> None:
    expected = utilisation / (2 * (1 - utilisation))
    assert mean_wait(utilisation, 60_000) == pytest.approx(expected, rel=0.05)


@pytest.mark.parametrize("think_seconds", [0, 200e-6])
@pytest.mark.parametrize("elements", [64, 1 << 18])
def test_littles_law_holds(elements: int, think_seconds: float) -> None:
    load = Load(elements, concurrency=3, clients=5, think_seconds=think_seconds)
    outcome = Simulation(TIMES, HOST, load).run(4000)
    assert outcome.mean_outstanding == pytest.approx(
        outcome.throughput * outcome.mean_latency, rel=0.02
    )
    if not think_seconds:
        assert outcome.mean_outstanding == pytest.approx(load.outstanding, rel=0.001)


def test_a_lone_request_takes_the_sum_of_its_steps() -> None:
    load = Load(64, concurrency=1)
    outcome = Simulation(TIMES, HOST, load).run(50)
    assert outcome.mean_latency == pytest.approx(lone_seconds(TIMES, HOST, load), rel=0.02)


def test_a_large_request_is_received_while_it_is_sent() -> None:
    load = Load(1 << 20, concurrency=1)
    outcome = Simulation(TIMES, HOST, load).run(20)
    in_turn = load.request_bytes + load.reply_bytes
    overlapped = lone_seconds(TIMES, HOST, load)
    assert outcome.mean_latency >= overlapped * 0.98
    assert outcome.mean_latency < overlapped + 0.5 * in_turn * 0.1e-9


@pytest.mark.parametrize(
    ("name", "host", "load"),
    [
        ("RPC threads", HOST, Load(64, concurrency=32, clients=8)),
        ("clients", replace(HOST, rpc_threads=8), Load(64, concurrency=64, channels=8)),
        ("cores", Host(2, 8, 8), Load(1 << 18, concurrency=4, clients=16)),
        ("workers", replace(HOST, workers=1), Load(1 << 18, 8, clients=8, logit_bytes=0.5)),
        ("network in", replace(HOST, nic=1e9), Load(1 << 18, concurrency=4, clients=8)),
    ],
)
def test_one_resource_bounds_the_throughput(name: str, host: Host, load: Load) -> None:
    limits = bounds(TIMES, host, load)
    assert min(limits, key=lambda one: limits[one]) == name
    outcome = Simulation(TIMES, host, load).run(3000)
    assert outcome.throughput == pytest.approx(limits[name], rel=0.03)
    if name in outcome.utilisation:
        assert outcome.utilisation[name] > 0.95


def test_more_servers_serve_more() -> None:
    load = Load(64, concurrency=32, clients=16)
    one = Simulation(TIMES, HOST, load).run(4000)
    two = Simulation(TIMES, HOST, load, servers=2).run(4000)
    assert two.throughput == pytest.approx(2 * one.throughput, rel=0.03)
