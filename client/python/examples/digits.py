"""./dev demo: trains a classifier of handwritten digits through lossd.

Four worker processes train one network data-parallel: each computes the logits of its
share of the images in NumPy and asks lossd for their loss and gradient, several
requests at a time. A second network is trained beside it with a loss that is computed
locally in float64; both must end with the same loss.
"""

from __future__ import annotations

import sys

import numpy as np
from digits_arguments import make_folder, parse_arguments
from digits_data import Digits, load_digits_split
from digits_model import Network, Optimizer, local_loss
from digits_report import print_metrics, save_curves
from digits_server import lossd_server
from digits_workers import Workers
from tqdm import tqdm


def train(digits: Digits, workers: Workers, steps: int) -> tuple[Network, Network, np.ndarray]:
    """Trains both networks; returns them and one row of losses (lossd, local) for each step."""
    remote, local = Network(seed=7), Network(seed=7)
    remote_optimizer, local_optimizer = Optimizer(), Optimizer()
    losses = np.empty((steps, 2))
    # With disable=None a log file gets no progress bar.
    progress = tqdm(range(steps), desc="training", unit="step", disable=None)
    for step in progress:
        losses[step, 0], gradients = workers.step(remote.parameters)
        remote_optimizer.apply(remote.parameters, gradients)

        hidden, logits = local.forward(digits.train_images)
        losses[step, 1], logit_gradient = local_loss(logits, digits.train_targets)
        gradients = local.backward(digits.train_images, hidden, logit_gradient)
        local_optimizer.apply(local.parameters, gradients)
        progress.set_postfix(
            lossd=f"{losses[step, 0]:.6f}", local=f"{losses[step, 1]:.6f}", refresh=False
        )
    return remote, local, losses


def main() -> int:
    arguments = parse_arguments(__doc__, sys.argv[1:], steps=400, workers=4)
    make_folder(arguments.out)
    digits = load_digits_split()
    count = len(digits.train_images) + len(digits.test_images)
    print(f"{count} real images, ten one-vs-rest targets, {arguments.workers} workers")
    with (
        lossd_server(arguments.server) as server,
        Workers(server.address, digits, arguments.workers) as workers,
    ):
        remote, local, losses = train(digits, workers, arguments.steps)
        batched = print_metrics(server.metrics_url)
    print("the server has drained and stopped")

    accuracy = remote.accuracy(digits.test_images, digits.test_labels)
    local_accuracy = local.accuracy(digits.test_images, digits.test_labels)
    difference = abs(losses[-1, 0] - losses[-1, 1])
    picture = arguments.out / "loss.png"
    failures = []
    try:
        save_curves(losses, picture)
    except OSError as error:
        failures.append(f"{picture}: {error.strerror}")
    print(f"final loss          lossd {losses[-1, 0]:.9f}   local float64 {losses[-1, 1]:.9f}")
    print(f"difference          {difference:.1e} (at most 1e-5)")
    print(f"held-out accuracy   lossd {accuracy:.2%}   local float64 {local_accuracy:.2%}")
    if not failures:
        print(f"loss curve          {picture}")

    if difference > 1e-5:
        failures.append("the final losses differ")
    if min(accuracy, local_accuracy) < 0.95:
        failures.append("held-out accuracy is below 95 %")
    if not batched:
        failures.append("no batch had more than one request")
    for failure in failures:
        print(f"demo: {failure}", file=sys.stderr)
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
