"""Installs the chart in a cluster on this machine, and does to it what operators do.

    python -m tools.cluster        with root; ./dev cluster builds what it needs

It prints a table for docs/kubernetes.md, and ends with 1 if something was lost.
"""

from __future__ import annotations

import contextlib
import sys
import time
from collections.abc import Callable

from tools.cluster import network
from tools.cluster.control_plane import CONFIG, DOMAIN, control_plane, kubectl
from tools.cluster.load import Counts, load
from tools.cluster.node import name, running_node
from tools.cluster.processes import RUN, remove_run, run, wait_for
from tools.cluster.security import make_secrets

NODES = 2
# Names are asked of the cluster's DNS, wherever the client runs.
TARGET = f"dns://{network.HOST}:53/lossd.default.svc.{DOMAIN}:50051"
# Pods are small, because both nodes are this machine.
SMALL = (
    "--set=resources.requests.cpu=50m",
    "--set=resources.requests.memory=256Mi",
    "--set=resources.limits.memory=256Mi",
)


def helm(*arguments: str, check: bool = True) -> str:
    return run("build/bin/helm", f"--kubeconfig={CONFIG}", *arguments, check=check)


def upgrade(*settings: str) -> None:
    helm("upgrade", "--install", "lossd", "deploy/helm/lossd", *SMALL, *settings)


def wait_until_rolled_out(kind: str = "deployment", release: str = "lossd") -> None:
    kubectl("rollout", "status", f"{kind}/{release}", "--timeout=300s")


def addresses() -> list[str]:
    return kubectl(
        "get", "endpointslices", "-l", "kubernetes.io/service-name=lossd",
        "-o=jsonpath={range .items[*].endpoints[?(@.conditions.ready==true)]}{.addresses[0]} {end}",
    ).split()  # fmt: skip


def install() -> None:
    upgrade("--set=replicas=1")
    wait_until_rolled_out()


def scale() -> None:
    upgrade("--set=replicas=3")
    wait_until_rolled_out()
    wait_for("three addresses", lambda: len(addresses()) == 3)


def change_a_flag() -> None:
    upgrade("--set=replicas=3", "--set=flags.max_queue_delay=1ms")
    wait_until_rolled_out()


def roll_back() -> None:
    helm("rollback", "lossd")
    wait_until_rolled_out()


def set_a_bad_flag() -> None:
    """A flag's value that the server refuses must not replace a server that works."""
    before = set(addresses())
    upgrade("--set=replicas=3", "--set=flags.max_queue_delay=soon")
    state = "{.items[*].status.containerStatuses[*].restartCount}"
    wait_for(
        "the new pod has failed",
        lambda: any(int(n) > 0 for n in kubectl("get", "pods", f"-o=jsonpath={state}").split()),
    )
    assert set(addresses()) == before
    roll_back()


def drain_a_node() -> None:
    kubectl("drain", name(2), "--ignore-daemonsets", "--delete-emptydir-data", "--timeout=300s")
    wait_until_rolled_out()
    kubectl("uncordon", name(2))


def mutual_tls() -> None:
    """Exec probes present the server's certificate; only ready pods end the wait."""
    make_secrets("secure", kubectl)
    helm("install", "secure", "deploy/helm/lossd", *SMALL, "--set=fullnameOverride=secure",
         "--set=replicas=1", "-f", "deploy/helm/lossd/examples/mutual-tls.yaml")  # fmt: skip
    wait_until_rolled_out(release="secure")
    helm("uninstall", "secure", "--wait")


def daemon_set() -> None:
    """One node only: the folder on the node is the same for both, which are one machine."""
    helm("install", "daemon", "deploy/helm/lossd", *SMALL, "--set=kind=DaemonSet",
         "--set=fullnameOverride=daemon", "--set=sharedMemory.max=64Mi",
         "--set=resources.limits.memory=320Mi", "--set=resources.requests.memory=320Mi",
         f"--set=sharedMemory.hostPath={RUN / 'socket'}",
         f"--set=nodeSelector.kubernetes\\.io/hostname={name(1)}")  # fmt: skip
    wait_until_rolled_out("daemonset", "daemon")
    assert (RUN / "socket" / "lossd.sock").is_socket()
    helm("uninstall", "daemon", "--wait")


STEPS: tuple[tuple[str, bool, Callable[[], None]], ...] = (
    ("`helm install` of one server", False, install),
    ("`helm upgrade`: 1 to 3 servers", True, scale),
    ("`helm upgrade`: a flag, so all servers are replaced", True, change_a_flag),
    ("`helm rollback`", True, roll_back),
    ("`helm upgrade` to a value that the server refuses, and back", True, set_a_bad_flag),
    ("`kubectl drain` of one node of two", True, drain_a_node),
    ("mutual TLS and tokens, with exec probes", False, mutual_tls),
    ("DaemonSet, with the socket of shared memory", False, daemon_set),
)


def take(title: str, loaded: bool, step: Callable[[], None]) -> int:
    """Takes a step, under load if it is said, prints its row, and returns what was lost."""
    start = time.monotonic()
    with load(TARGET) if loaded else contextlib.nullcontext(Counts()) as counts:
        step()
    took = time.monotonic() - start
    calls = f"{counts.calls:,} | {counts.lost}" if loaded else "- | -"
    print(f"| {title} | {calls} | {took:.0f} s |", flush=True)
    if counts.first_error:
        print(f"  first error: {counts.first_error}", file=sys.stderr)
    return counts.lost


def main() -> int:
    remove_run()
    RUN.mkdir(parents=True)
    with contextlib.ExitStack() as cluster:
        cluster.enter_context(network.network(NODES))
        cluster.enter_context(control_plane())
        for node in range(1, NODES + 1):
            cluster.enter_context(running_node(node))
        print("| what was done | calls | lost | took |\n| --- | --: | --: | --: |", flush=True)
        lost = sum(take(*step) for step in STEPS)
        helm("uninstall", "lossd", "--wait")
    return 1 if lost else 0


if __name__ == "__main__":
    sys.exit(main())
