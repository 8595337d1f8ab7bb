"""A Ray cluster whose nodes are processes of this machine, and a training on it."""

from __future__ import annotations

import contextlib
import os
import select
import signal
import sys
import time
from collections.abc import Callable, Iterator
from typing import Any

import lossd.ray
import numpy as np
import ray
from ray.cluster_utils import Cluster
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy
from running_server import BINARIES

# A busy machine needs most of a minute for a process of Ray.
_PATIENCE_SECONDS = 300.0
PROGRAM = str((BINARIES / "server/lossd").resolve())
NODE = {
    "num_cpus": 1,
    "object_store_memory": 80 << 20,
    "include_dashboard": False,
    "node_ip_address": "127.0.0.2",  # Ray takes 127.0.0.1 for the name of this host
}


class Trainer:
    """Trains a logistic regression by the losses of a fleet."""

    def __init__(self) -> None:
        draw = np.random.default_rng(0)
        self.inputs = draw.normal(size=(256, 8)).astype(np.float32)
        self.targets = (self.inputs[:, 0] > 0).astype(np.float32)
        self.weights = np.zeros(8, np.float32)
        self.client = lossd.ray.client(wait_for_ready=True)

    def step(self) -> bytes:
        """Returns the bits of the weights after one more step."""
        logits = (self.inputs * self.weights).sum(axis=1)
        gradient = self.client.compute_loss(logits, self.targets, timeout=60).gradient
        self.weights -= (self.inputs * gradient[:, None]).sum(axis=0)
        return self.weights.tobytes()


def start(**options: Any) -> lossd.ray.Fleet:
    """Starts a fleet of the servers that are tested."""
    return lossd.ray.start(**{"binary": PROGRAM, "timeout": _PATIENCE_SECONDS, **options})


@contextlib.contextmanager
def running_cluster() -> Iterator[Cluster]:
    """Starts a cluster of one node, and connects this process to it."""
    os.environ["RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO"] = "0"
    os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
    # By default 15, with which a process waits long on a busy machine.
    os.environ["RAY_worker_niceness"] = "0"  # noqa: SIM112
    cluster = Cluster(initialize_head=True, head_node_args=NODE)
    try:
        ray.init(
            address=cluster.address,
            log_to_driver=False,
            runtime_env={"env_vars": {"PYTHONPATH": os.pathsep.join(sys.path)}},
            _node_ip_address=NODE["node_ip_address"],
        )
        yield cluster
    finally:
        ray.shutdown()
        cluster.shutdown()


def until(condition: Callable[[], bool]) -> None:
    """Waits for what Ray does by itself; each look is a call of Ray."""
    deadline = time.monotonic() + _PATIENCE_SECONDS
    while not condition():
        assert time.monotonic() < deadline
        ray.nodes()


def on(server: lossd.ray.Server) -> NodeAffinitySchedulingStrategy:
    """Returns the place of an actor on the node of a server."""
    return NodeAffinitySchedulingStrategy(server.node_id, soft=False)


def of_node(fleet: lossd.ray.Fleet, node: Any) -> lossd.ray.Server:
    """Returns the server of a node of the cluster."""
    return next(server for server in fleet.servers() if server.node_id == node.node_id)


def power_off(cluster: Cluster, node: Any, server: lossd.ray.Server) -> None:
    """Kills a node's server and its raylet, without a word to anybody."""
    os.kill(server.pid, signal.SIGKILL)
    cluster.remove_node(node, allow_graceful=False)


class Process:
    """A process that is no child, and whose end can be waited for."""

    def __init__(self, number: int) -> None:
        self._descriptor = os.pidfd_open(number)

    def has_ended(self, seconds: float = _PATIENCE_SECONDS) -> bool:
        """Waits for the end; returns False if it does not come."""
        ended = select.poll()
        ended.register(self._descriptor)
        return ended.poll(seconds * 1000) != []
