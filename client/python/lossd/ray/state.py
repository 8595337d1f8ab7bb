"""What the actors of a fleet tell each other."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

# Actors have their names here, so that jobs of every namespace find them.
NAMESPACE = "lossd"


def port_of(address: str) -> int:
    """Returns the port of HOST:PORT, and 0 of an empty text."""
    return int(address.rpartition(":")[2] or 0)


@dataclass(frozen=True)
class Plan:
    """What the servers of a fleet are like."""

    binary: str | None
    flags: tuple[str, ...]
    num_cpus: float
    num_gpus: float
    resources: Mapping[str, float]

    def demands(self) -> dict[str, float]:
        """Returns the resources that a node must have to get a server."""
        found = {"CPU": self.num_cpus, "GPU": self.num_gpus, **self.resources}
        return {name: amount for name, amount in found.items() if amount > 0}

    def fits(self, node: Mapping[str, Any]) -> bool:
        """Returns whether a node of ray.nodes() gets a server.

        One without CPUs, as heads of large clusters are, is not for work.
        """
        has: Mapping[str, float] = node["Resources"]
        enough = all(has.get(name, 0) >= amount for name, amount in self.demands().items())
        return bool(node["Alive"]) and has.get("CPU", 0) > 0 and enough


@dataclass(frozen=True)
class Report:
    """How it is with a server, by the actor that runs it."""

    number: int = 0
    address: str = ""
    metrics: str = ""
    pid: int = 0
    error: str = ""


@dataclass(frozen=True)
class Server:
    """A server of a fleet.

    `node_id` and `host` are those of Ray. `address` is HOST:PORT of the service and `metrics`
    that of /metrics; both are empty until the server was ready once. `pid` is its process on that
    host. `error` says why it is not running, and is empty while it is.
    """

    node_id: str
    host: str
    address: str = ""
    metrics: str = ""
    pid: int = 0
    error: str = ""
