"""The actor that knows which nodes there are, and gives each one a server."""

from __future__ import annotations

import dataclasses
import logging
import threading
import time
from typing import Any

import ray
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

from lossd.ray.keeper import Keeper
from lossd.ray.state import NAMESPACE, Plan, Report, Server, port_of

_LOG = logging.getLogger("lossd.ray")

# Ray is asked so often which nodes there are.
_NODES_SECONDS = 1.0
# A keeper that has failed on a living node, for example without lossd's package, is made again.
_AGAIN_SECONDS = 5.0
_STOP_SECONDS = 90.0


class _Node:
    """A node that is to have a server."""

    def __init__(self, node_id: str, host: str) -> None:
        self.server = Server(node_id, host)
        self.keeper: Any = None
        self.report: Any = None  # the reference of the next one
        self.again_at = 0.0

    def take(self, report: Report) -> None:
        """Takes over what the keeper says, and asks for its next report."""
        news = dataclasses.asdict(report)
        self.report = self.keeper.report_after.remote(news.pop("number"))
        self.server = dataclasses.replace(self.server, **news)

    def lose(self, error: str) -> None:
        """Says that the keeper is gone."""
        self.keeper = self.report = None
        self.again_at = time.monotonic() + _AGAIN_SECONDS
        self.server = dataclasses.replace(self.server, pid=0, error=error)


class Controller:
    """Keeps a server on each node that fits the plan.

    Keepers have names, so after a failure this actor, started again by Ray, finds them.
    """

    def __init__(self, name: str, plan: Plan) -> None:
        self._name = name
        self._plan = plan
        self._nodes: dict[str, _Node] = {}
        self._servers: tuple[Server, ...] = ()
        self._changed = threading.Condition()
        self._looked = False  # whether the nodes of the beginning are known
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="lossd controller", daemon=True)
        self._thread.start()

    def servers(self) -> tuple[Server, ...]:
        """Returns all servers, those that are not running as well."""
        return self._servers

    def settled(self, seconds: float) -> tuple[Server, ...]:
        """Waits until each server is ready or has an error, and there is one; returns all."""
        with self._changed:
            self._changed.wait_for(self._is_settled, seconds)
            return self._servers

    def stop(self) -> None:
        """Ends all servers, which answer what they have accepted."""
        self._stopping.set()
        self._thread.join()
        keepers = [node.keeper for node in self._nodes.values() if node.keeper is not None]
        stopped = [node.keeper.stop.remote() for node in self._nodes.values() if node.server.pid]
        if stopped:
            ray.wait(stopped, num_returns=len(stopped), timeout=_STOP_SECONDS)
        for keeper in keepers:
            ray.kill(keeper)

    def _is_settled(self) -> bool:
        servers = self._servers
        return self._looked and bool(servers) and all(one.pid or one.error for one in servers)

    def _run(self) -> None:
        while not self._stopping.is_set():
            try:
                self._match_nodes()
                self._take_reports()
            except Exception:  # for example while Ray's head is away
                _LOG.exception("lossd.ray: the nodes could not be looked at")
                self._stopping.wait(_AGAIN_SECONDS)

    def _match_nodes(self) -> None:
        found = {node["NodeID"]: node for node in ray.nodes() if self._plan.fits(node)}
        for node_id in self._nodes.keys() - found.keys():
            del self._nodes[node_id]
        for node_id in found.keys() - self._nodes.keys():
            self._nodes[node_id] = _Node(node_id, found[node_id]["NodeManagerAddress"])
        for node in self._nodes.values():
            if node.keeper is None and time.monotonic() >= node.again_at:
                self._give_keeper(node)
        self._publish()

    def _give_keeper(self, node: _Node) -> None:
        node_id = node.server.node_id
        node.keeper = (
            ray.remote(Keeper)
            .options(
                name=f"{self._name}:{node_id}",
                namespace=NAMESPACE,
                get_if_exists=True,
                lifetime="detached",  # it outlives this actor, and looks for it
                max_concurrency=3,  # stop() beside report_after() of this actor and of its former
                num_cpus=self._plan.num_cpus,
                num_gpus=self._plan.num_gpus,
                resources=dict(self._plan.resources),
                scheduling_strategy=NodeAffinitySchedulingStrategy(node_id, soft=False),
            )
            .remote(self._name, self._plan, port_of(node.server.address))
        )
        node.report = node.keeper.report_after.remote(0)

    def _take_reports(self) -> None:
        """Takes the reports that come until the nodes are to be looked at again."""
        waiting = {node.report: node for node in self._nodes.values() if node.report is not None}
        if not waiting:
            self._stopping.wait(_NODES_SECONDS)
            return
        ready, _ = ray.wait(list(waiting), timeout=_NODES_SECONDS)
        for reference in ready:
            node = waiting[reference]
            try:
                node.take(ray.get(reference))
            except ray.exceptions.RayError as error:
                node.lose(str(error))
        self._publish()

    def _publish(self) -> None:
        with self._changed:
            self._looked = True
            self._servers = tuple(node.server for node in self._nodes.values())
            self._changed.notify_all()
