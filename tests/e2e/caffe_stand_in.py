"""A stand-in for Caffe's Python module, with what a Python layer sees of it.

It stands for PythonLayer of Caffe's python_layer.hpp and for blobs of float32: a layer has its
param_str before setup(), and reshape() is called before every forward(). A top's diff is the loss
weight. It has no networks and no solvers; ./dev caffe runs the layer in Caffe itself.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from types import ModuleType
from typing import Any

import numpy as np


class Blob:
    """An array of numbers and one of their gradients."""

    def __init__(self, data: Any) -> None:
        self.data = np.array(data, np.float32)
        self.diff = np.zeros_like(self.data)

    @property
    def shape(self) -> list[int]:
        return list(self.data.shape)

    @property
    def count(self) -> int:
        return self.data.size

    def reshape(self, *shape: int) -> None:
        self.data = np.zeros(shape, np.float32)
        self.diff = np.zeros(shape, np.float32)


class Layer:
    """The base class, which Caffe fills before setup()."""

    param_str = ""


@contextmanager
def caffe_stand_in() -> Iterator[None]:
    """Lets `import caffe` find this module, and forgets afterwards who has imported it."""
    module = ModuleType("caffe")
    module.Layer = Layer  # type: ignore[attr-defined]
    names = ("caffe", "lossd.caffe", "loss_layers")
    before = {name: sys.modules.pop(name) for name in names if name in sys.modules}
    sys.modules["caffe"] = module
    try:
        yield
    finally:
        for name in names:
            sys.modules.pop(name, None)
        sys.modules.update(before)


class RunningLayer:
    """A layer with its blobs, called as Caffe calls it."""

    def __init__(self, layer: Any, bottoms: Sequence[Any], param_str: str = "", tops: int = 1):
        self.layer = layer()
        self.layer.param_str = param_str
        self.bottoms = [Blob(data) for data in bottoms]
        self.tops = [Blob([]) for _ in range(tops)]
        self.layer.setup(self.bottoms, self.tops)

    def forward(self) -> float:
        self.layer.reshape(self.bottoms, self.tops)
        self.layer.forward(self.bottoms, self.tops)
        return float(self.tops[0].data[0])

    def backward(self, loss_weight: float = 1, labels: bool = False) -> Any:
        self.tops[0].diff[...] = loss_weight
        self.layer.backward(self.tops, [True, labels], self.bottoms)
        return self.bottoms[0].diff
