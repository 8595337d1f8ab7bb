"""Gives each node a network namespace on a bridge, as if it were a machine of its own.

10.213.0.1   the host: API server, DNS, clients
10.213.0.1N  node N
10.213.N.x   the pods of node N
"""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterator
from pathlib import Path

from tools.cluster.processes import RUN, run

BRIDGE = "lossdcluster"
HOST = "10.213.0.1"


def namespace(node: int) -> str:
    return f"lossd-node-{node}"


def address(node: int) -> str:
    return f"10.213.0.{10 + node}"


def pods(node: int) -> str:
    return f"10.213.{node}.0/24"


def write_cni(node: int) -> Path:
    """Writes how containerd connects pods, and returns the folder."""
    folder = RUN / f"node-{node}" / "cni"
    folder.mkdir(parents=True, exist_ok=True)
    bridge = {
        "type": "bridge",
        "bridge": "pods",
        "isGateway": True,
        "ipMasq": False,
        "ipam": {
            "type": "host-local",
            "dataDir": str(RUN / f"node-{node}" / "ipam"),
            "ranges": [[{"subnet": pods(node)}]],
            "routes": [{"dst": "0.0.0.0/0"}],
        },
    }
    network = {"cniVersion": "0.4.0", "name": "pods", "plugins": [bridge]}
    (folder / "pods.conflist").write_text(json.dumps(network))
    return folder


def remove(nodes: int) -> None:
    for node in range(1, nodes + 1):
        run("ip", "netns", "delete", namespace(node), check=False)
    run("ip", "link", "delete", BRIDGE, check=False)


def add_node(node: int, nodes: int) -> None:
    inside = ("ip", "-n", namespace(node))
    run("ip", "netns", "add", namespace(node))
    # A name of a network interface has at most 15 characters.
    run("ip", "link", "add", f"lossdnode{node}", "type", "veth", "peer", "name", "eth0",
        "netns", namespace(node))  # fmt: skip
    run("ip", "link", "set", f"lossdnode{node}", "master", BRIDGE, "up")
    run(*inside, "link", "set", "lo", "up")
    run(*inside, "addr", "add", f"{address(node)}/24", "dev", "eth0")
    run(*inside, "link", "set", "eth0", "up")
    run(*inside, "route", "add", "default", "via", HOST)
    for other in range(1, nodes + 1):
        if other != node:
            run(*inside, "route", "add", pods(other), "via", address(other))
    run("ip", "netns", "exec", namespace(node), "sysctl", "-qw", "net.ipv4.ip_forward=1")
    run("ip", "route", "add", pods(node), "via", address(node))


@contextlib.contextmanager
def network(nodes: int) -> Iterator[None]:
    """Makes the bridge and the nodes' namespaces, and removes them at the end."""
    remove(nodes)
    run("ip", "link", "add", BRIDGE, "type", "bridge")
    run("ip", "addr", "add", f"{HOST}/24", "dev", BRIDGE)
    run("ip", "link", "set", BRIDGE, "up")
    try:
        for node in range(1, nodes + 1):
            add_node(node, nodes)
        yield
    finally:
        remove(nodes)
