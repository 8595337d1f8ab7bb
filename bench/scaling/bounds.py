"""Bounds of the throughput in closed form: what each resource could serve if it alone counted."""

from __future__ import annotations

import math
from dataclasses import replace

from scaling.inputs import Host, Load, ServiceTimes

# Computed by the RPC thread (--max_inline_elements), and the least part of a task that a
# worker takes.
INLINE_ELEMENTS = 16384
PORTION_ELEMENTS = 32768
# A byte of a request or reply crosses the memory bus so often: from the network card, through
# the copy in the kernel (read, write), and to the vector units.
MEMORY_PASSES = 4


def rpc_seconds(times: ServiceTimes, load: Load) -> float:
    """Returns the time that an RPC thread needs for a request."""
    inline = load.elements if load.elements <= INLINE_ELEMENTS else 0
    return (
        times.transport(load.kind).server
        + times.server_seconds_per_byte * (load.request_bytes + load.reply_bytes)
        + inline / times.elements_per_second
    )


def compute_seconds(times: ServiceTimes, load: Load) -> float:
    """Returns the time of the workers, all together, for a request."""
    return 0 if load.elements <= INLINE_ELEMENTS else load.elements / times.elements_per_second


def lone_seconds(times: ServiceTimes, host: Host, load: Load) -> float:
    """Returns the latency of a request that meets no other, received before it is computed."""
    transport = times.transport(load.kind)
    transfer = max(
        times.server_seconds_per_byte,
        times.client_seconds_per_byte,
        1 / host.nic,
        1 / times.connection_bytes_per_second,
    )
    parts = min(host.workers, math.ceil(load.elements / PORTION_ELEMENTS))
    hops = 2 if load.elements <= INLINE_ELEMENTS else 4
    return (
        rpc_seconds(replace(times, server_seconds_per_byte=0), load)
        + transport.client
        + transport.server_wake
        + transport.client_wake
        + transfer * (load.request_bytes + load.reply_bytes)
        + compute_seconds(times, load) / max(parts, 1)
        + hops * times.wake_seconds
    )


def bounds(times: ServiceTimes, host: Host, load: Load, servers: int = 1) -> dict[str, float]:
    """Returns the requests a second that each resource of all the servers allows."""
    tensors = load.request_bytes + load.reply_bytes
    rpc, compute = rpc_seconds(times, load), compute_seconds(times, load)
    client = times.transport(load.kind).client + times.client_seconds_per_byte * tensors
    held = min(load.outstanding, servers * host.max_inflight_bytes / tensors)
    each = {
        "RPC threads": min(host.rpc_threads, load.connections / servers) / rpc,
        "cores": host.cores / (rpc + compute + (0 if load.own_cores else client)),
        "connections": load.connections / servers * times.connection_bytes_per_second / tensors,
        "network in": host.nic / load.request_bytes,
        "network out": host.nic / load.reply_bytes,
        "memory": host.memory / (MEMORY_PASSES * tensors),
        "locks": 1 / times.lock_seconds,
    }
    if compute:
        each["workers"] = host.workers / compute
    per_client_thread = load.clients / client
    return {name: rate * servers for name, rate in each.items()} | {
        "clients": per_client_thread,
        "outstanding requests": held / (lone_seconds(times, host, load) + load.think_seconds),
    }


def first_bottleneck(limits: dict[str, float]) -> tuple[str, float]:
    name = min(limits, key=lambda one: limits[one])
    return name, limits[name]


def enough_rpc_threads(times: ServiceTimes, host: Host, load: Load) -> int:
    """Returns the fewest RPC threads that are not the first bottleneck of a server."""
    for threads in range(1, host.cores):
        limits = bounds(times, replace(host, rpc_threads=threads), load)
        if first_bottleneck(limits)[0] != "RPC threads":
            return threads
    return host.cores
