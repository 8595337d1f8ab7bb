"""Models that Keras saved with a loss of lossd, loaded in a process of its own."""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys
from pathlib import Path

import pytest
from running_server import running_server

MODEL = """
import sys
import keras
import numpy as np

path, address = sys.argv[1:]
inputs = np.random.default_rng(0).normal(size=(64, 5)).astype(np.float32)
labels = (inputs[:, :2] > 0).astype(np.float32)
"""

SAVE = (
    MODEL
    + """
import lossd.keras

loss = lossd.keras.BinaryCrossentropy(from_logits=True, client=address)
model = keras.Sequential([keras.Input((5,)), keras.layers.Dense(2)])
model.compile(optimizer="adam", loss=loss)
model.fit(inputs, labels, verbose=0)
model.save(path)
print(model.evaluate(inputs, labels, verbose=0))
np.save(path + ".npy", model.predict(inputs, verbose=0))
"""
)

SERVE = (
    MODEL
    + """
model = keras.models.load_model(path, compile=False)
expected = np.load(path + ".npy")
np.testing.assert_allclose(model.predict(inputs, verbose=0), expected, rtol=1e-5, atol=1e-6)
try:
    keras.models.load_model(path)
except TypeError as error:
    assert "Could not locate class 'BinaryCrossentropy'" in str(error), error
else:
    raise AssertionError("Keras found a loss that nothing has registered")
assert "lossd" not in sys.modules
"""
)

LOAD = (
    MODEL
    + """
import lossd.keras

model = keras.models.load_model(path)
print(model.evaluate(inputs, labels, verbose=0))
"""
)

MOVE = (
    MODEL
    + """
import lossd.keras

model = keras.models.load_model(path)
steps = int(model.optimizer.iterations)
assert steps == 2
loss = lossd.keras.BinaryCrossentropy(from_logits=True, client=address)
model.compile(optimizer=model.optimizer, loss=loss)
print(model.evaluate(inputs, labels, verbose=0))
model.fit(inputs, labels, verbose=0)
assert int(model.optimizer.iterations) == 2 * steps
"""
)


def run(program: str, backend: str, path: Path, address: str) -> str:
    """Returns the last line that a program prints."""
    variables = {"KERAS_BACKEND": backend, "KERAS_HOME": str(path.parent)}
    done = subprocess.run(
        [sys.executable, "-c", program, str(path), address],
        env=os.environ | {"TF_CPP_MIN_LOG_LEVEL": "2"} | variables,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.strip().rpartition("\n")[2]


@pytest.mark.parametrize("backend", ["jax", "tensorflow", "torch"])
def test_a_saved_model_is_served_loaded_and_moved_to_another_server(
    backend: str, tmp_path: Path
) -> None:
    for package in ("keras", backend):
        if importlib.util.find_spec(package) is None:
            pytest.skip(f"{package} is not installed")
    path = tmp_path / "model.keras"
    with running_server() as server:
        expected = float(run(SAVE, backend, path, server.address))
        assert float(run(LOAD, backend, path, "")) == pytest.approx(expected, rel=1e-6)
    run(SERVE, backend, path, "")  # without a server, and without lossd
    with running_server() as another:
        assert float(run(MOVE, backend, path, another.address)) == pytest.approx(expected, rel=1e-6)
