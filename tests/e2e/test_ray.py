"""Fleets of servers on a Ray cluster of several nodes, which are killed.

The tests are skipped where Ray is not installed; tools/python_runtimes.sh installs it.
"""

from __future__ import annotations

import multiprocessing
import os
import signal
import subprocess
import sys
import textwrap
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import lossd
import numpy as np
import pytest
from test_many_servers import asked

ray = pytest.importorskip("ray", reason="ray is not installed")

import lossd.ray  # noqa: E402
from ray_cluster import (  # noqa: E402
    NODE,
    PROGRAM,
    Process,
    Trainer,
    of_node,
    on,
    power_off,
    running_cluster,
    start,
    until,
)

STEPS = 120
ZEROS = np.zeros(4, np.float32)


@pytest.fixture(scope="module", name="cluster")
def start_cluster() -> Iterator[Any]:
    with running_cluster() as cluster:
        yield cluster


@pytest.fixture(name="node")
def add_node(cluster: Any) -> Iterator[Any]:
    node = cluster.add_node(**NODE)
    yield node
    if node in cluster.worker_nodes:
        cluster.remove_node(node)


def test_training_goes_on_with_the_same_bits_when_a_node_is_killed(cluster: Any, node: Any) -> None:
    with start() as fleet:
        other = of_node(fleet, node)
        head = next(server for server in fleet.servers() if server != other)
        place = ray.remote(Trainer).options(num_cpus=0, scheduling_strategy=on(head))
        undisturbed = place.remote()
        expected = ray.get([undisturbed.step.remote() for _ in range(STEPS)])
        assert len(set(expected)) == STEPS
        before = asked(other)
        assert before > 0
        trainer = place.remote()
        steps = [trainer.step.remote() for _ in range(STEPS)]
        ray.get(steps[STEPS // 4])
        assert asked(other) > before
        power_off(cluster, node, other)
        assert ray.get(steps) == expected
        until(lambda: fleet.targets() == [head.address])


def test_a_node_that_comes_gets_a_server_which_clients_use(cluster: Any) -> None:
    with start() as fleet, fleet.client() as client:
        assert len(fleet.targets()) == 1
        node = cluster.add_node(**NODE)
        until(lambda: len(fleet.targets()) == 2)
        server = of_node(fleet, node)

        def its_server_is_asked() -> bool:
            client.compute_loss(ZEROS, ZEROS)
            return asked(server) > 0

        until(its_server_is_asked)
        process = Process(server.pid)
        cluster.remove_node(node, allow_graceful=False)
        assert process.has_ended()  # with the raylet's workers


def test_a_server_that_ends_is_started_again_at_its_port(cluster: Any) -> None:
    with start() as fleet, fleet.client(wait_for_ready=True) as client:
        (before,) = fleet.servers()
        client.compute_loss(ZEROS, ZEROS)
        os.kill(before.pid, signal.SIGKILL)
        client.compute_loss(ZEROS, ZEROS, timeout=60)
        until(lambda: fleet.servers()[0].pid not in (0, before.pid))
        (after,) = fleet.servers()
        assert (after.node_id, after.address) == (before.node_id, before.address)


def test_servers_stay_when_the_controller_is_killed(cluster: Any, node: Any) -> None:
    with start() as fleet:
        before = fleet.servers()
        ray.kill(ray.get_actor("lossd", "lossd"), no_restart=False)
        until(lambda: len(fleet.servers()) == 2 and all(one.pid for one in fleet.servers()))
        assert sorted(fleet.servers(), key=str) == sorted(before, key=str)


def test_a_forked_process_knows_the_servers_that_it_knew(cluster: Any) -> None:
    with start() as fleet, fleet.client() as client:
        loss = client.compute_loss(ZEROS, ZEROS).loss
        lookups = client._lookups
        assert lookups is not None

        def ask() -> None:
            lookups._again_at = 0.0
            for _ in range(2):
                assert client.compute_loss(ZEROS, ZEROS, timeout=60).loss == loss
                lookups._begin().wait(60)
            assert "this process was forked" in lookups.error

        child = multiprocessing.get_context("fork").Process(target=ask)
        child.start()
        child.join(60)
        assert child.exitcode == 0


def test_an_actor_finds_the_server_of_its_own_node(cluster: Any, node: Any) -> None:
    def local_target() -> str:
        return lossd.ray.Fleet("other").local_target()

    with start(name="other") as fleet:
        for server in fleet.servers():
            task = ray.remote(local_target).options(num_cpus=0, scheduling_strategy=on(server))
            assert ray.get(task.remote()) == server.address


def test_only_nodes_with_the_resources_get_a_server(cluster: Any) -> None:
    node = cluster.add_node(**NODE, resources={"fast": 1})
    with start(resources={"fast": 1}) as fleet:
        (server,) = fleet.servers()
        assert server.node_id == node.node_id
        with pytest.raises(LookupError, match="^fleet 'lossd': no server on this node, "):
            fleet.local_target()  # the driver is on the head
        cluster.remove_node(node)
        until(lambda: fleet.servers() == [])
        with (
            fleet.client() as client,
            pytest.raises(lossd.LossdError, match="UNAVAILABLE: no server: Fleet.targets.. ret"),
        ):
            client.compute_loss(ZEROS, ZEROS)
    with pytest.raises(TimeoutError, match="^timeout: no node with GPU 1 within 0.1 s"):
        start(num_gpus=1, timeout=0.1)


def test_stop_ends_all_servers(cluster: Any, node: Any) -> None:
    fleet = start()
    processes = [Process(server.pid) for server in fleet.servers()]
    assert len(processes) == 2
    fleet.stop()
    assert all(process.has_ended(0) for process in processes)
    fleet.stop()
    with pytest.raises(RuntimeError, match="^there is no fleet 'lossd' in this Ray cluster; "):
        fleet.client()


@pytest.mark.parametrize("detached", [False, True])
def test_a_fleet_ends_with_its_job_unless_it_is_detached(cluster: Any, detached: bool) -> None:
    job = f"""
        import lossd.ray, os, ray
        ray.init(address={cluster.address!r}, log_to_driver=False, _node_ip_address="127.0.0.2")
        fleet = lossd.ray.start(binary={PROGRAM!r}, name="job", detached={detached}, timeout=300)
        print(fleet.servers()[0].pid, flush=True)
        os.kill(os.getpid(), 9)
    """
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(job)],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
    )
    assert done.returncode == -signal.SIGKILL, done.stderr
    process = Process(int(done.stdout))
    if detached:
        lossd.ray.Fleet("job").client().compute_loss(ZEROS, ZEROS)
        lossd.ray.Fleet("job").stop()
    assert process.has_ended()


def test_a_server_that_does_not_start_is_named(cluster: Any, tmp_path: Path) -> None:
    nothing = str(tmp_path / "nothing")
    with pytest.raises(RuntimeError, match="^no server on node .*: binary: '.*/nothing' is no pr"):
        start(binary=nothing)
    with pytest.raises(RuntimeError, match="^no server on node .* ended with .*cpu_threads"):
        start(flags=["--cpu_threads=-1"])
    with pytest.raises(RuntimeError, match="^there is no fleet 'lossd'"):
        lossd.ray.client()


def test_a_second_fleet_needs_another_name(cluster: Any) -> None:
    with start() as first:
        with pytest.raises(ValueError, match="^name: there is a fleet 'lossd' in this Ray cluster"):
            start()
        with start(name="second") as second:
            assert len(second.targets()) == len(first.targets()) == 1


@pytest.mark.parametrize(
    ("arguments", "kind", "text"),
    [
        ({"flags": ["--listen=0.0.0.0:1"]}, ValueError, "flags: '--listen=0.0.0.0:1': a server"),
        ({"flags": ["-metrics_listen"]}, ValueError, "flags: '-metrics_listen': a server"),
        ({"flags": "--channelz"}, TypeError, "flags: '--channelz' is not a list of strings"),
        ({"flags": [3]}, TypeError, "flags: .3. is not a list of strings"),
        ({"num_gpus": -1}, ValueError, "num_gpus: -1 is not a number from 0 up"),
        ({"num_cpus": "1"}, TypeError, "num_cpus: '1' is not a number"),
        ({"resources": {"a": True}}, TypeError, r"resources\['a'\]: True is not a number"),
        ({"timeout": float("nan")}, ValueError, "timeout: nan is not a number from 0 up"),
        ({"binary": 3}, TypeError, "binary: 3 is not a string"),
        ({"name": ""}, ValueError, "name: "),
    ],
)
def test_bad_arguments_are_named(arguments: dict[str, Any], kind: type, text: str) -> None:
    with pytest.raises(kind, match=f"^{text}"):
        lossd.ray.start(**arguments)


def test_without_a_connection_to_ray_there_is_no_fleet() -> None:
    program = "import lossd.ray; lossd.ray.client()"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    last = "RuntimeError: lossd.ray: this process is not connected to Ray; call ray.init()"
    assert done.stderr.splitlines()[-1] == last
