"""Caffe's sigmoid cross-entropy as a Python layer that a server computes.

layer {
  name: "loss" type: "Python" bottom: "score" bottom: "label" top: "loss"
  python_param {
    module: "lossd.caffe" layer: "RemoteSigmoidCrossEntropyLossLayer"
    param_str: '{"server": "localhost:50051"}'
  }
  loss_weight: 1
}

The module needs Caffe's Python module, built with its Python layers. `param_str` is JSON, as
layer_options() reads it. The labels have the shape of the scores, or another of as many elements
and the same first dimension.

The layer differs from Caffe's own where a network in training would be harmed: both tails of the
loss and of its gradient are exact, and a NaN is a RuntimeError that names the element. An error in
a layer ends Caffe's own program; pycaffe raises it.
"""

from __future__ import annotations

import json
import warnings
from typing import Any, NamedTuple

import caffe
import numpy as np

from lossd import arguments
from lossd.client import Client
from lossd.errors import LossdError
from lossd.shared_memory import SharedMemory

_REDUCTIONS: dict[str, dict[str, str]] = {
    "sum": {"reduction": "sum"},
    "none": {"reduction": "sum"},  # Caffe's normalization NONE
    "batch": {"normalizer": "batch"},
    "valid": {"normalizer": "valid"},
    "full": {"normalizer": "elements"},
}
_NAMES = ("server", "reduction", "ignore_label", "timeout", "token", "shared_memory")
_SERVER = "localhost:50051"


class LayerOptions(NamedTuple):
    """The options of one layer."""

    server: str
    token: str | None
    shared_memory: str | None  # the path of the server's socket
    timeout: float | None
    loss: dict[str, Any]  # of compute_loss()


def layer_options(param_str: str) -> LayerOptions:
    """Reads the JSON object of `param_str`; ValueError and TypeError name a bad option.

    - "server": HOST:PORT or unix:/path; the default is localhost:50051.
    - "reduction": "sum" (the default) or "none", "batch" (what Caffe does without loss_param),
      "valid" or "full".
    - "ignore_label": labels that equal it take no part.
    - "timeout": the seconds that a call has, by default 60.
    - "token": the bearer token of a server that wants one.
    - "shared_memory": the path of the server's socket, for a server on the same host.
    """
    try:
        given = json.loads(param_str or "{}")
    except ValueError as error:
        raise ValueError(f"param_str: {param_str!r} is not JSON: {error}") from error
    if not isinstance(given, dict):
        raise ValueError(f"param_str: {param_str!r} is not a JSON object")
    for name in given:
        if name not in _NAMES:
            raise ValueError(f"param_str: {name!r} is none of {', '.join(_NAMES)}")
    reduction = given.get("reduction", "sum")
    if reduction not in _REDUCTIONS:
        raise ValueError(f"reduction: {reduction!r} is none of {', '.join(_REDUCTIONS)}")
    loss: dict[str, Any] = {**_REDUCTIONS[reduction], "target_shape_rule": "same_count"}
    if given.get("ignore_label") is not None:
        loss["ignore_target"] = arguments.number("ignore_label", given["ignore_label"])
    return LayerOptions(
        arguments.text("server", given.get("server", _SERVER)),
        given.get("token"),
        given.get("shared_memory"),
        arguments.seconds("timeout", given.get("timeout", 60.0)),
        loss,
    )


class RemoteSigmoidCrossEntropyLossLayer(caffe.Layer):  # type: ignore[misc]
    """Computes loss and gradient in forward() and hands the gradient out in backward()."""

    def setup(self, bottom: Any, top: Any) -> None:
        if len(bottom) != 2:
            raise ValueError(
                f"Need two inputs to compute distance: scores and labels; got {len(bottom)}"
            )
        if len(top) != 1:
            raise ValueError(f"top: the loss is one top, and there are {len(top)}")
        self._options = layer_options(self.param_str)
        path = self._options.shared_memory
        self._client = Client(
            self._options.server,
            token=self._options.token,
            shared_memory=SharedMemory(path) if path is not None else None,
        )

    def reshape(self, bottom: Any, top: Any) -> None:
        if bottom[0].count != bottom[1].count:
            raise ValueError(
                "Inputs must have the same dimension: the scores have shape "
                f"{tuple(bottom[0].shape)} and the labels {tuple(bottom[1].shape)}"
            )
        top[0].reshape(1)
        self._gradient = np.zeros(tuple(bottom[0].shape), np.float32)

    def forward(self, bottom: Any, top: Any) -> None:
        try:
            result = self._client.compute_loss(
                bottom[0].data,
                bottom[1].data,
                gradient_out=self._gradient,
                timeout=self._options.timeout,
                **self._options.loss,
            )
        except (LossdError, ValueError, TypeError) as error:
            raise RuntimeError(f"lossd: {error}") from error
        top[0].data[...] = result.loss

    def backward(self, top: Any, propagate_down: Any, bottom: Any) -> None:
        if propagate_down[1]:
            # With force_backward Caffe asks for it even where the network says not to.
            warnings.warn("lossd: the labels have no gradient: their diff is 0", stacklevel=1)
            bottom[1].diff[...] = 0
        if propagate_down[0]:
            # The diff is loss_weight, which the loss itself is not multiplied by.
            np.multiply(self._gradient, np.ravel(top[0].diff)[0], out=bottom[0].diff)
