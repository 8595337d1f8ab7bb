"""Ray Train with the losses of a fleet: a node is killed with its trainer and its server.

The test is skipped where Ray Train is not installed; tools/python_runtimes.sh installs it.
"""

from __future__ import annotations

import tempfile
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import lossd
import numpy as np
import pytest

ray = pytest.importorskip("ray", reason="ray is not installed")
pytest.importorskip("ray.train", reason="ray[train] is not installed", exc_type=ImportError)

import lossd.ray  # noqa: E402
from ray.train import (  # noqa: E402
    Checkpoint,
    FailureConfig,
    RunConfig,
    ScalingConfig,
)
from ray.train.v2.api.data_parallel_trainer import DataParallelTrainer  # noqa: E402
from ray_cluster import (  # noqa: E402
    NODE,
    Trainer,
    of_node,
    power_off,
    running_cluster,
    start,
    until,
)

STEPS, STEPS_OF_CHECKPOINT = 60, 10
WORKER = {**NODE, "resources": {"trainer": 1}}


@pytest.fixture(scope="module", name="cluster")
def start_cluster() -> Iterator[Any]:
    with running_cluster() as cluster:
        yield cluster


def restored() -> Any:
    """Returns what report() has saved last before the workers were started again, if anything."""
    checkpoint = ray.train.get_checkpoint()
    if checkpoint is None:
        return None
    with checkpoint.as_directory() as folder:
        return dict(np.load(Path(folder) / "state.npz"))


def report(metrics: dict[str, Any], **state: Any) -> None:
    """Reports a step, and has the worker of rank 0 save the state after it."""
    with tempfile.TemporaryDirectory() as folder:
        np.savez(Path(folder) / "state.npz", **state)
        first = ray.train.get_context().get_world_rank() == 0
        checkpoint = Checkpoint.from_directory(folder) if first else None
        ray.train.report(metrics, checkpoint=checkpoint)


def compute_until_a_node_is_gone(client: lossd.Client, marks: Path) -> None:
    """Marks this worker's node, and asks for losses until it or the other one's is killed."""
    (marks / ray.get_runtime_context().get_node_id()).touch()
    zeros = np.zeros(4, np.float32)
    before = len(living_nodes())
    while len(living_nodes()) == before:
        client.compute_loss(zeros, zeros, timeout=60)


def living_nodes() -> list[str]:
    return [node["NodeID"] for node in ray.nodes() if node["Alive"]]


def train(config: dict[str, Any]) -> None:
    """Trains NumPy's arrays on each worker."""
    trainer = Trainer()
    done = 0
    state = restored()
    if state is not None:
        done, trainer.weights = int(state["step"]), state["weights"]
    for step in range(done + 1, STEPS + 1):
        bits = trainer.step()
        if step % STEPS_OF_CHECKPOINT == 0:
            metrics = {"step": step, "bits": bits.hex(), "resumed": state is not None}
            report(metrics, step=np.int64(step), weights=trainer.weights)
        if config["marks"] is not None and state is None and step == STEPS_OF_CHECKPOINT:
            compute_until_a_node_is_gone(trainer.client, config["marks"])


def fit(folder: Path, marks: Path | None) -> dict[str, Any]:
    """Trains on two nodes, one of which is killed if there are marks; returns the last metrics."""
    run = DataParallelTrainer(
        train,
        train_loop_config={"marks": marks},
        scaling_config=ScalingConfig(num_workers=2, resources_per_worker={"CPU": 1, "trainer": 1}),
        run_config=RunConfig(
            name="run", storage_path=str(folder), failure_config=FailureConfig(max_failures=1)
        ),
    )
    metrics: dict[str, Any] = run.fit().metrics
    assert metrics["step"] == STEPS
    return metrics


def test_a_training_goes_on_with_the_same_bits_when_a_node_is_killed(
    cluster: Any, tmp_path: Path
) -> None:
    nodes = [cluster.add_node(**WORKER) for _ in range(3)]
    marks, folder = tmp_path / "marks", tmp_path / "killed"
    marks.mkdir()
    killed = []

    def kill_a_trainer() -> None:
        """Kills a trainer's node when the controller of Ray Train knows the first checkpoint."""
        until(lambda: any(folder.rglob("checkpoint_manager_snapshot.json")))
        until(lambda: len(list(marks.iterdir())) == 2)
        node = next(node for node in nodes if (marks / node.node_id).exists())
        nodes.remove(node)
        killed.append(of_node(fleet, node))
        power_off(cluster, node, killed[0])

    with start() as fleet:
        undisturbed = fit(tmp_path / "undisturbed", None)
        assert not undisturbed["resumed"]
        killer = threading.Thread(target=kill_a_trainer)
        killer.start()
        disturbed = fit(folder, marks)
        killer.join()
        assert disturbed["resumed"]
        assert disturbed["bits"] == undisturbed["bits"]
        assert killed[0].address not in fleet.targets()
    for node in nodes:
        cluster.remove_node(node)
