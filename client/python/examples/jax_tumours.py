"""Trains a network with JAX that finds malignant tumours, with a focal loss of lossd.

The data are scikit-learn's measurements of 569 tumours. A training step is compiled by jax.jit and
calls the server from within; JAX gets the loss and its gradient from one call.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import lossd.jax
from curves import save_curve
from digits_arguments import make_folder, parse_arguments
from digits_server import lossd_server
from sklearn.datasets import load_breast_cancer
from sklearn.model_selection import train_test_split
from tqdm import tqdm

Parameters = dict[str, jax.Array]

HIDDEN, RATE = 16, 2.0


def load() -> list[jax.Array]:
    """Returns inputs to train and to test with, then their labels, 1 for a malignant tumour."""
    inputs, benign = load_breast_cancer(return_X_y=True)
    inputs = (inputs - inputs.mean(0)) / inputs.std(0)
    malignant = 1 - benign
    parts = train_test_split(inputs, malignant, test_size=0.25, random_state=1, stratify=benign)
    return [jnp.asarray(part, jnp.float32) for part in parts]


def new_parameters(features: int) -> Parameters:
    first, second = jax.random.split(jax.random.key(7))
    return {
        "hidden": jax.random.normal(first, (features, HIDDEN)) / features**0.5,
        "hidden_bias": jnp.zeros(HIDDEN),
        "output": jax.random.normal(second, (HIDDEN,)) / HIDDEN**0.5,
        "output_bias": jnp.zeros(()),
    }


def logits(parameters: Parameters, inputs: jax.Array) -> jax.Array:
    hidden = jnp.tanh(inputs @ parameters["hidden"] + parameters["hidden_bias"])
    return hidden @ parameters["output"] + parameters["output_bias"]


def train(
    loss: Callable[..., Any],
    parameters: Parameters,
    inputs: jax.Array,
    labels: jax.Array,
    steps: int,
) -> tuple[Parameters, list[float]]:
    """Returns the trained parameters and the loss of each step."""

    def step(parameters: Parameters) -> tuple[jax.Array, Parameters]:
        value, gradient = jax.value_and_grad(lambda of: loss(logits(of, inputs), labels))(
            parameters
        )
        return value, jax.tree.map(lambda old, by: old - RATE * by, parameters, gradient)

    compiled = jax.jit(step)
    losses = []
    # With disable=None a log file gets no progress bar.
    progress = tqdm(range(steps), desc="training", unit="step", disable=None)
    for _ in progress:
        value, parameters = compiled(parameters)
        losses.append(float(value))
        progress.set_postfix(loss=f"{losses[-1]:.6f}", refresh=False)
    return parameters, losses


def main() -> int:
    arguments = parse_arguments(__doc__, sys.argv[1:], steps=200)
    make_folder(arguments.out)
    inputs, held_out, labels, held_out_labels = load()
    print(
        f"training with {len(inputs)} real tumours, {labels.mean():.0%} of them malignant",
        flush=True,
    )
    with lossd_server(arguments.server) as server, lossd.Client(server.address) as client:
        loss = lossd.jax.sigmoid_loss(client, kind="sigmoid_focal", focal_gamma=2)
        start = new_parameters(inputs.shape[1])
        parameters, losses = train(loss, start, inputs, labels, arguments.steps)
    found = logits(parameters, held_out) > 0
    right = float((found == held_out_labels).mean())
    recall = float(found[held_out_labels == 1].mean())
    picture = arguments.out / "tumours.png"
    save_curve({"sigmoid focal loss": losses}, picture)
    print(f"loss         {losses[0]:.6f} at first, {losses[-1]:.6f} at last")
    print(f"right        {right:.1%} of {len(held_out)} held-out tumours")
    print(f"found        {recall:.1%} of the malignant ones among them")
    print(f"loss curve   {picture}")
    if right > 0.94:
        return 0
    print("at most 94 % are right: give more --steps", file=sys.stderr)
    return 1


if __name__ == "__main__":
    sys.exit(main())
