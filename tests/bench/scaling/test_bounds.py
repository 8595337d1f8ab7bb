"""The bounds of the throughput are those of a calculation by hand."""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).resolve().parents[3] / "bench"))
from scaling.bounds import bounds, enough_rpc_threads, first_bottleneck  # noqa: E402
from scaling.inputs import Host, Load, ServiceTimes, Transport, best_of, load_times  # noqa: E402

TIMES = ServiceTimes(
    cpu="a processor",
    date="2026-11-30",
    unary=Transport(server=10e-6, client=20e-6, server_wake=0, client_wake=0),
    session=None,
    server_seconds_per_byte=1e-9,
    client_seconds_per_byte=1e-9,
    elements_per_second=1e9,
    connection_bytes_per_second=float("inf"),
    wake_seconds=0,
    lock_seconds=1e-7,
)
# A request of 100,000 elements has 800,040 bytes, and its reply 400,080.
LARGE = Load(100_000, concurrency=10, clients=100)


def test_each_resource_bounds_the_rate() -> None:
    host = Host(cores=8, rpc_threads=2, workers=4, nic=1e9, memory=1e10)
    limits = bounds(TIMES, host, LARGE)
    rpc_seconds = 10e-6 + 1_200_120e-9
    assert limits["RPC threads"] == pytest.approx(2 / rpc_seconds)
    assert limits["workers"] == pytest.approx(4 / 100e-6)
    assert limits["cores"] == pytest.approx(8 / (rpc_seconds + 100e-6))
    assert limits["network in"] == pytest.approx(1e9 / 800_040)
    assert limits["network out"] == pytest.approx(1e9 / 400_080)
    assert limits["memory"] == pytest.approx(1e10 / (4 * 1_200_120))
    assert limits["locks"] == pytest.approx(1e7)
    assert first_bottleneck(limits) == ("network in", limits["network in"])


def test_servers_add_up_but_clients_do_not() -> None:
    host = Host(cores=8, rpc_threads=2, workers=4, nic=1e9)
    one, three = bounds(TIMES, host, LARGE), bounds(TIMES, host, LARGE, servers=3)
    assert three["network in"] == pytest.approx(3 * one["network in"])
    assert three["clients"] == one["clients"]


def test_a_connection_keeps_one_rpc_thread_busy() -> None:
    few = Load(64, concurrency=64, clients=1, channels=2)
    host = Host(cores=64, rpc_threads=8, workers=64)
    assert bounds(TIMES, host, few)["RPC threads"] == pytest.approx(
        bounds(TIMES, replace(host, rpc_threads=2), few)["RPC threads"]
    )


def test_small_requests_are_computed_by_the_rpc_thread() -> None:
    host = Host(cores=2, rpc_threads=1, workers=2)
    small = Load(1000, concurrency=8, clients=8)
    limits = bounds(TIMES, host, small)
    assert "workers" not in limits
    assert limits["RPC threads"] == pytest.approx(1 / (10e-6 + 12_120e-9 + 1e-6))


def test_the_budget_bounds_what_is_outstanding() -> None:
    wide = Host(cores=64, rpc_threads=64, workers=64)
    narrow = replace(wide, max_inflight_bytes=10 * 1_200_120)
    unbounded = bounds(TIMES, wide, LARGE)["outstanding requests"]
    assert bounds(TIMES, narrow, LARGE)["outstanding requests"] == pytest.approx(unbounded / 100)


def test_clients_on_the_servers_cores_take_their_part() -> None:
    host = Host(cores=2, rpc_threads=1, workers=2)
    alone = bounds(TIMES, host, LARGE)["cores"]
    shared = bounds(TIMES, host, replace(LARGE, own_cores=False))["cores"]
    server, client = 10e-6 + 1_200_120e-9 + 100e-6, 20e-6 + 1_200_120e-9
    assert shared / alone == pytest.approx(server / (server + client))


def test_enough_rpc_threads_are_the_fewest_that_bound_nothing() -> None:
    host = Host(cores=16, rpc_threads=1, workers=16, nic=5e9)
    threads = enough_rpc_threads(TIMES, host, LARGE)
    enough = bounds(TIMES, replace(host, rpc_threads=threads), LARGE)
    fewer = bounds(TIMES, replace(host, rpc_threads=threads - 1), LARGE)
    assert first_bottleneck(enough)[0] != "RPC threads"
    assert first_bottleneck(fewer)[0] == "RPC threads"


def test_a_table_is_read_as_it_was_saved(tmp_path: Path) -> None:
    path = tmp_path / "times.json"
    TIMES.save(path)
    assert load_times(path) == TIMES


def test_the_best_of_rounds_has_the_shortest_times_and_largest_rates() -> None:
    slow = replace(
        TIMES,
        unary=Transport(server=30e-6, client=15e-6, server_wake=0, client_wake=0),
        session=Transport(5e-6, 5e-6, 0, 0),
        elements_per_second=2e9,
        wake_seconds=1e-6,
    )
    best = best_of([TIMES, slow, replace(slow, wake_seconds=3e-6)])
    assert best.unary == Transport(server=10e-6, client=15e-6, server_wake=0, client_wake=0)
    assert best.session == slow.session
    assert best.elements_per_second == 2e9
    assert best.wake_seconds == 1e-6  # the median


def test_a_missing_kind_is_named() -> None:
    with pytest.raises(ValueError, match="no times of a session"):
        bounds(TIMES, Host(2, 1, 2), Load(64, 1, kind="session"))
