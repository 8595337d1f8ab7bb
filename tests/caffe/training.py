"""Nets in pycaffe, with Caffe's own loss layer or that of lossd.caffe."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import caffe
import numpy as np

from tests.caffe.cases import Array

STEPS = 300

INPUTS = """
layer { name: "in" type: "Input" top: "x" top: "label"
  input_param { shape { dim: 64 dim: 10 } shape { dim: 64 dim: 5 } } }
layer { name: "score" type: "InnerProduct" bottom: "x" top: "score"
  inner_product_param { num_output: 5 weight_filler { type: "gaussian" std: 0.1 } } }
"""
BUILT_IN = """
layer { name: "loss" type: "SigmoidCrossEntropyLoss" bottom: "score" bottom: "label" top: "loss"
  loss_weight: %(weight)s }
"""
SOLVER = """
net: "%s" base_lr: 0.1 lr_policy: "fixed" momentum: 0.9 max_iter: 1000 display: 0
snapshot: 0 snapshot_after_train: false solver_mode: CPU random_seed: 5
"""


class Trained(NamedTuple):
    weights: Array
    loss: float  # of the last step


def solver(folder: Path, net: str) -> Any:
    path, parameters = folder / "net.prototxt", folder / "solver.prototxt"
    path.write_text(net)
    parameters.write_text(SOLVER % path)
    return caffe.SGDSolver(str(parameters))


def batches() -> Iterator[tuple[Array, Array]]:
    random = np.random.default_rng(11)
    truth = random.normal(0, 1, (10, 5))
    while True:
        features = random.normal(0, 1, (64, 10)).astype(np.float32)
        yield features, (features @ truth + random.normal(0, 1, (64, 5)) > 0).astype(np.float32)


def train(folder: Path, loss_layer: str, force_backward: bool = False) -> Trained:
    """Trains from the same weights and batches each time."""
    head = "force_backward: true\n" if force_backward else ""
    trained = solver(folder, head + INPUTS + loss_layer)
    trained.net.params["score"][0].data[...] = np.linspace(-0.2, 0.2, 50).reshape(5, 10)
    source = batches()
    for _ in range(STEPS):
        trained.net.blobs["x"].data[...], trained.net.blobs["label"].data[...] = next(source)
        trained.step(1)
    weights = trained.net.params["score"][0].data.copy()
    return Trained(weights, float(trained.net.blobs["loss"].data.ravel()[0]))


def run(folder: Path, net: str, scores: Array, labels: Array) -> tuple[float, Array]:
    """Returns the blob "loss" and the diff of "score" after one pass in both directions."""
    path = folder / "net.prototxt"
    path.write_text(net)
    running = caffe.Net(str(path), caffe.TRAIN)
    running.blobs["score"].data[...] = scores
    running.blobs["label"].data[...] = labels
    running.forward()
    running.backward()
    loss = float(running.blobs["loss"].data.ravel()[0])
    return loss, running.blobs["score"].diff.copy()
