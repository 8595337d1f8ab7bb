"""Trains a net in Caffe through lossd and, beside it, by Caffe's own layer: ./dev caffe.

usage: train.py CAFFE_PYTHON REPORT

CAFFE_PYTHON is the folder of Caffe's Python module; LOSSD_BINARY_DIR has the server. The REPORT is
written as Markdown. The exit code is 1 if the two nets end with other weights.
"""

from __future__ import annotations

import sys
import tempfile
import warnings
from pathlib import Path
from typing import Any

import lossd
import numpy as np

sys.path[:0] = [sys.argv[1], str(Path(__file__).parents[1] / "e2e")]
import caffe  # noqa: E402
from running_server import running_server  # noqa: E402

STEPS = 300
TOLERANCE = 1e-6

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
REMOTE = """
layer { name: "loss" type: "Python" bottom: "score" bottom: "label" top: "loss"
  python_param { module: "%(module)s" layer: "%(layer)s" param_str: '%(options)s' }
  loss_weight: %(weight)s propagate_down: true propagate_down: false }
"""
SOLVER = """
net: "%s" base_lr: 0.1 lr_policy: "fixed" momentum: 0.9 max_iter: 1000 display: 0
snapshot: 0 snapshot_after_train: false solver_mode: CPU random_seed: 5
"""


def solver(folder: Path, loss: str, force_backward: bool = False) -> Any:
    net, parameters = folder / "net.prototxt", folder / "solver.prototxt"
    net.write_text(("force_backward: true\n" if force_backward else "") + INPUTS + loss)
    parameters.write_text(SOLVER % net)
    return caffe.SGDSolver(str(parameters))


def batches() -> Any:
    random = np.random.default_rng(11)
    truth = random.normal(0, 1, (10, 5))
    while True:
        features = random.normal(0, 1, (64, 10)).astype(np.float32)
        yield features, (features @ truth + random.normal(0, 1, (64, 5)) > 0).astype(np.float32)


def train(folder: Path, loss: str, force_backward: bool = False) -> tuple[Any, float]:
    """Returns the weights after all steps and the last loss."""
    trained = solver(folder, loss, force_backward)
    trained.net.params["score"][0].data[...] = np.linspace(-0.2, 0.2, 50).reshape(5, 10)
    source = batches()
    for _ in range(STEPS):
        trained.net.blobs["x"].data[...], trained.net.blobs["label"].data[...] = next(source)
        trained.step(1)
    return (
        trained.net.params["score"][0].data.copy(),
        float(trained.net.blobs["loss"].data.ravel()[0]),
    )


def raised(folder: Path, loss: str, spoil: Any) -> str:
    """Returns the error of one forward pass after `spoil` has changed the blobs."""
    net = solver(folder, loss).net
    net.blobs["x"].data[...], net.blobs["label"].data[...] = next(batches())
    spoil(net.blobs)
    try:
        net.forward()
    except RuntimeError as error:
        return str(error)
    return "no error"


def main() -> int:
    lines = [
        "# The layer of lossd.caffe in Caffe",
        "",
        f"`./dev caffe` wrote this page with Caffe {caffe.__version__} (PyPI's brocolli-caffe",
        f"9.0.2), NumPy {np.__version__} and Python {sys.version.split()[0]}. Each net was trained",
        f"for {STEPS} steps (momentum 0.9, 10 inputs, 5 outputs, batches of 64).",
        "",
        "| layer | loss_weight | last loss | largest difference of a weight |",
        "|---|---|---|---|",
    ]
    failed = False
    with tempfile.TemporaryDirectory() as name, running_server("--log_level=error") as server:
        folder = Path(name)

        def remote(module: str, layer: str, reduction: str, weight: float) -> str:
            options = f'{{"server": "{server.address}", "reduction": "{reduction}"}}'
            return REMOTE % {"module": module, "layer": layer, "options": options, "weight": weight}

        ours = ("lossd.caffe", "RemoteSigmoidCrossEntropyLossLayer")
        older = ("loss_layers", "CustomSigmoidCrossEntropyLossLayer")
        for weight in (1, 2):
            expected, loss = train(folder, BUILT_IN % {"weight": weight})
            lines.append(f"| SigmoidCrossEntropyLoss | {weight} | {loss:.7f} | |")
            runs: list[tuple[tuple[str, str], str, float, bool]] = [
                (ours, "batch", weight, False),
                (ours, "batch", weight, True),
            ]
            # A sum of 64 rows with a 64th of the weight is the mean over the batch.
            runs.append((older, "sum", weight / 64, False))
            for layer, reduction, given, force in runs:
                with warnings.catch_warnings():
                    warnings.simplefilter("ignore")
                    weights, loss = train(folder, remote(*layer, reduction, given), force)
                difference = float(np.abs(weights - expected).max())
                failed |= not difference <= TOLERANCE
                words = f"{layer[1]}, {reduction}{', force_backward' * force}"
                lines.append(f"| {words} | {given} | {loss:.7f} | {difference:.1e} |")
        lines += ["", f"The largest weight is {np.abs(expected).max():.3f}.", ""]

        def not_a_number(blobs: Any) -> None:
            blobs["x"].data[3, 2] = np.nan

        def above_one(blobs: Any) -> None:
            blobs["label"].data[2, 1] = 2

        for title, spoil in (("A NaN", not_a_number), ("A label of 2", above_one)):
            text = raised(folder, remote(*ours, "batch", 1), spoil)
            failed |= "lossd: INVALID_ARGUMENT" not in text
            lines.append(f"- {title}: `{text.splitlines()[-1]}`")
    Path(sys.argv[2]).write_text("\n".join(lines) + "\n")
    print("\n".join(lines))
    print(f"lossd {lossd.__version__}: {'FAILED' if failed else 'ok'}")
    return failed


if __name__ == "__main__":
    sys.exit(main())
