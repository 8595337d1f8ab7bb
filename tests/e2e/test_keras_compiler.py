"""A loss of lossd in a training step of Keras that PyTorch compiles, which takes minutes."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from keras_process import run


@pytest.mark.skipif(shutil.which("g++") is None, reason="PyTorch's compiler needs g++")
def test_pytorch_compiles_a_training_step(tmp_path: Path) -> None:
    run("compiled", "torch", tmp_path, seconds=250)
