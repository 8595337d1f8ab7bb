"""Runs a node: containerd and a kubelet in a network namespace, with folders of their own."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterator
from pathlib import Path

from tools.cluster import network
from tools.cluster.control_plane import CONFIG, DOMAIN, kubectl
from tools.cluster.processes import BIN, OUT, RUN, program, run, succeeds, wait_for

PAUSE = "lossd.example/pause:1"


def name(node: int) -> str:
    return f"node-{node}"


def folder(node: int) -> Path:
    return RUN / name(node)


def socket(node: int) -> Path:
    return folder(node) / "containerd.sock"


def write_containerd(node: int) -> Path:
    """Writes the configuration of Debian's containerd 1.6, and returns its path."""
    base = folder(node)
    cni = network.write_cni(node)
    file = base / "containerd.toml"
    file.write_text(f"""version = 2
root = "{base}/containerd"
state = "{base}/state"
[grpc]
  address = "{socket(node)}"
[plugins."io.containerd.grpc.v1.cri"]
  sandbox_image = "{PAUSE}"
  restrict_oom_score_adj = true
  [plugins."io.containerd.grpc.v1.cri".cni]
    bin_dir = "/usr/lib/cni"
    conf_dir = "{cni}"
""")
    return file


def cgroup_version() -> int:
    return 2 if Path("/sys/fs/cgroup/cgroup.controllers").exists() else 1


def cgroups(node: int) -> list[Path]:
    """Returns the node's control group in each hierarchy."""
    top = Path("/sys/fs/cgroup")
    if cgroup_version() == 2:
        return [top / f"lossd-{name(node)}"]
    return [
        hierarchy / f"lossd-{name(node)}"
        for hierarchy in top.iterdir()
        if hierarchy.is_dir() and hierarchy.name != "unified"
    ]


def make_cgroups(node: int) -> None:
    """Makes the group below which the kubelet keeps its pods, apart from other nodes'."""
    for group in cgroups(node):
        group.mkdir(exist_ok=True)
        if group.parent.name == "cpuset":
            for file in ("cpuset.cpus", "cpuset.mems"):
                (group / file).write_text((group.parent / file).read_text())


def remove_cgroups(node: int) -> None:
    for group in cgroups(node):
        # Groups below come first.
        for below in sorted(group.rglob("*/"), key=lambda path: -len(path.parts)):
            if below.is_dir():
                with contextlib.suppress(OSError):
                    below.rmdir()
        with contextlib.suppress(OSError):
            group.rmdir()


def write_kubelet(node: int) -> Path:
    config = {
        "apiVersion": "kubelet.config.k8s.io/v1beta1",
        "kind": "KubeletConfiguration",
        "authentication": {"anonymous": {"enabled": True}, "webhook": {"enabled": False}},
        "authorization": {"mode": "AlwaysAllow"},
        "containerRuntimeEndpoint": f"unix://{socket(node)}",
        "failCgroupV1": False,
        "cgroupDriver": "cgroupfs",
        "cgroupRoot": f"/lossd-{name(node)}",
        "enforceNodeAllocatable": [],
        "failSwapOn": False,
        "clusterDNS": [network.HOST],
        "clusterDomain": DOMAIN,
        "resolvConf": "",
        "podLogsDir": str(folder(node) / "pods"),
        "makeIPTablesUtilChains": False,
        "evictionHard": {"memory.available": "100Mi", "nodefs.available": "1%"},
        "imageGCHighThresholdPercent": 100,
        "maxPods": 20,
        "registerWithTaints": [],
    }
    file = folder(node) / "kubelet.yaml"
    file.write_text(json.dumps(config))
    return file


def import_images(node: int) -> None:
    for image in sorted((OUT / "images").glob("*.tar")):
        run("ctr", "-a", socket(node), "-n", "k8s.io", "images", "import", image)


def is_ready(node: int) -> bool:
    status = "{.status.conditions[?(@.type=='Ready')].status}"
    return kubectl("get", "node", name(node), f"-o=jsonpath={status}", check=False) == "True"


@contextlib.contextmanager
def running_node(node: int) -> Iterator[None]:
    """Starts the node's programs, waits until the API server says Ready, and stops all."""
    folder(node).mkdir(parents=True, exist_ok=True)
    make_cgroups(node)
    kubelet: list[str | Path] = [
        BIN / "kubelet",
        f"--config={write_kubelet(node)}",
        f"--kubeconfig={CONFIG}",
        f"--hostname-override={name(node)}",
        f"--node-ip={network.address(node)}",
        f"--root-dir={folder(node) / 'kubelet'}",
        f"--cert-dir={folder(node) / 'certificates'}",
    ]
    containerd: list[str | Path] = ["containerd", "--config", write_containerd(node)]
    inside = network.namespace(node)
    try:
        with program(f"containerd-{node}", containerd, network=inside):
            wait_for("containerd", lambda: succeeds("ctr", "-a", socket(node), "version"))
            import_images(node)
            with program(f"kubelet-{node}", kubelet, network=inside):
                wait_for(f"{name(node)} is ready", lambda: is_ready(node))
                yield
            stop_containers(node)
    finally:
        remove_cgroups(node)


def stop_containers(node: int) -> None:
    """Ends the containers that are left, which outlive their containerd."""
    ctr = ("ctr", "-a", socket(node), "-n", "k8s.io")
    for task in run(*ctr, "tasks", "list", "-q", check=False).split():
        run(*ctr, "tasks", "delete", "--force", task, check=False)
