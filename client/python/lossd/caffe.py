"""Caffe's sigmoid cross-entropy as a Python layer that a server computes.

```
layer {
  name: "loss" type: "Python" bottom: "score" bottom: "label" top: "loss"
  python_param {
    module: "lossd.caffe" layer: "RemoteSigmoidCrossEntropyLossLayer"
    param_str: '{"server": "localhost:50051"}'
  }
  loss_weight: 1
}
```

The module needs Caffe's Python module, built with its Python layers. `param_str` is JSON, as
layer_options() reads it. The labels have as many elements as the scores, in any shape.

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
from lossd.memory_references import UNANSWERED
from lossd.shared_memory import SharedMemory

__all__ = ["RemoteSigmoidCrossEntropyLossLayer", "LayerOptions", "layer_options"]

_REDUCTIONS: dict[str, dict[str, str]] = {
    "sum": {"reduction": "sum"},
    "none": {"reduction": "sum"},  # Caffe's normalization NONE
    "batch": {"normalizer": "batch"},
    "valid": {"normalizer": "valid"},
    "full": {"normalizer": "elements"},
}
_SERVER = "localhost:50051"
_LABEL_GRADIENT = (
    "lossd: bottom[1]: the labels ask for a gradient, and the layer cannot backpropagate to label "
    "inputs: set propagate_down: false for them; in a net with force_backward, "
    'put "force_backward": true into param_str'
)


class LayerOptions(NamedTuple):
    """The options of one layer, as layer_options() reads them."""

    server: str
    token: str | None
    job: str | None
    shared_memory: str | None  # the path of the server's socket
    timeout: float | None
    force_backward: bool | None
    loss: dict[str, Any]  # of compute_loss()


_NAMES = (
    "server",
    "reduction",
    "ignore_label",
    "timeout",
    "token",
    "job",
    "shared_memory",
    "force_backward",
)


def layer_options(param_str: str) -> LayerOptions:
    """Reads the JSON object of `param_str`; ValueError and TypeError name a bad option.

    - "server": HOST:PORT or unix:/path; the default is localhost:50051.
    - "reduction": "sum" (the default) or "none", "batch" (what Caffe does without loss_param),
      "valid" or "full".
    - "ignore_label": labels that equal it take no part.
    - "timeout": the seconds that a call has, by default 60; null means no end.
    - "token": the bearer token of a server that wants one.
    - "job": the name of the training job in the server's metrics.
    - "shared_memory": the path of the server's socket, for a server on the same host.
    - "force_backward": whether the net has it. Caffe then asks a Python layer for the labels'
      gradient whatever propagate_down says, and the layer answers with zeros. With false the
      question is a RuntimeError; absent, it is answered with zeros and a RuntimeWarning.
    """
    given = _json_object(param_str)
    loss = _reduction(given.get("reduction", "sum"))
    if given.get("ignore_label") is not None:
        loss["ignore_target"] = arguments.number("ignore_label", given["ignore_label"])
    token, memory = given.get("token"), given.get("shared_memory")
    job = given.get("job")
    forced = given.get("force_backward")
    return LayerOptions(
        arguments.text("server", given.get("server", _SERVER)),
        None if token is None else arguments.token("token", token),
        None if job is None else arguments.job("job", job),
        None if memory is None else arguments.text("shared_memory", memory),
        arguments.seconds("timeout", given.get("timeout", 60.0)),
        None if forced is None else arguments.truth("force_backward", forced),
        loss,
    )


def _json_object(param_str: str) -> dict[str, Any]:
    try:
        given = json.loads(param_str or "{}")
    except ValueError as error:
        raise ValueError(f"param_str: {param_str!r} is not JSON: {error}") from error
    if not isinstance(given, dict):
        raise ValueError(f"param_str: {param_str!r} is not a JSON object")
    for name in given:
        if name not in _NAMES:
            raise ValueError(f"param_str: {name!r} is none of {', '.join(_NAMES)}")
    return given


def _reduction(name: Any) -> dict[str, Any]:
    if not isinstance(name, str) or name not in _REDUCTIONS:
        raise ValueError(f"reduction: {name!r} is none of {', '.join(_REDUCTIONS)}")
    return dict(_REDUCTIONS[name])


class _Arrays:
    """The arrays of the calls for blobs of one shape."""

    def __init__(self, shape: tuple[int, ...], memory: SharedMemory | None) -> None:
        self.shape = shape
        self._shared = memory is not None
        if memory is None:
            self.gradient = np.zeros(shape, np.float32)
            return
        self.gradient = memory.allocate(shape, np.float32)
        self._scores = memory.allocate(shape, np.float32)
        self._labels = memory.allocate(shape, np.float32)

    def inputs(self, scores: Any, labels: Any) -> tuple[Any, Any]:
        """Returns the numbers of the blobs in the scores' shape, copied if memory is shared."""
        labels = labels.reshape(self.shape)
        if not self._shared:
            return scores, labels
        self._scores[...], self._labels[...] = scores, labels
        return self._scores, self._labels


class RemoteSigmoidCrossEntropyLossLayer(caffe.Layer):  # type: ignore[misc]
    """Computes loss and gradient in forward() and hands the gradient out in backward().

    Caffe calls the methods. `bottom` has the blobs of scores and labels, of as many elements, and
    `top` that of the loss, which has one element. layer_options() has the options.
    """

    def setup(self, bottom: Any, top: Any) -> None:
        """Reads `param_str` and makes the client; connects to shared memory if that is named.

        Raises ValueError for another number of blobs, ValueError or TypeError for a bad option,
        and RuntimeError if no server listens at the socket of `shared_memory`.
        """
        if len(bottom) != 2:
            raise ValueError(
                f"Need two inputs to compute distance: scores and labels; got {len(bottom)}"
            )
        if len(top) != 1:
            raise ValueError(f"top: the loss is one top, and there are {len(top)}")
        self._options = layer_options(self.param_str)
        self._memory = self._connect_memory(self._options.shared_memory)
        self._client = Client(
            self._options.server,
            token=self._options.token,
            job=self._options.job,
            shared_memory=self._memory,
        )
        self._arrays = _Arrays(tuple(bottom[0].shape), self._memory)

    @staticmethod
    def _connect_memory(path: str | None) -> SharedMemory | None:
        try:
            return None if path is None else SharedMemory(path)
        except OSError as error:
            raise RuntimeError(f"shared_memory: {error}") from error

    def reshape(self, bottom: Any, top: Any) -> None:
        """Gives the loss its shape. Caffe calls it before every forward().

        Raises ValueError if scores and labels have different numbers of elements.
        """
        if bottom[0].count != bottom[1].count:
            raise ValueError(
                "Inputs must have the same dimension: the scores have shape "
                f"{tuple(bottom[0].shape)} and the labels {tuple(bottom[1].shape)}"
            )
        top[0].reshape(1)
        shape = tuple(bottom[0].shape)
        if self._arrays.shape != shape:
            self._arrays = _Arrays(shape, self._memory)

    def forward(self, bottom: Any, top: Any) -> None:
        """Writes the loss to `top`; RuntimeError if the server does not answer with a loss."""
        scores, labels = self._arrays.inputs(bottom[0].data, bottom[1].data)
        try:
            result = self._client.compute_loss(
                scores,
                labels,
                gradient_out=self._arrays.gradient,
                timeout=self._options.timeout,
                **self._options.loss,
            )
        except (LossdError, ValueError, TypeError) as error:
            if isinstance(error, LossdError) and error.code in UNANSWERED:
                self._share_no_more()
            raise RuntimeError(f"lossd: {error}") from error
        top[0].data[...] = result.loss

    def _share_no_more(self) -> None:
        """Gives the next calls ordinary memory, because the server may still write to this one's.

        The shared arrays are kept: a server that stands still would not answer to their release.
        """
        if self._memory is not None:
            self._late, self._memory = self._arrays, None
            self._arrays = _Arrays(self._arrays.shape, None)

    def backward(self, top: Any, propagate_down: Any, bottom: Any) -> None:
        """Writes the gradient, times the diff of `top`, to the diff of the scores.

        The labels' diff is 0 where it is asked for. layer_options() says when that is a warning or
        a RuntimeError.
        """
        if propagate_down[1]:
            if self._options.force_backward is False:
                raise RuntimeError(_LABEL_GRADIENT)
            if self._options.force_backward is None:
                warnings.warn(f"{_LABEL_GRADIENT}; their diff is 0", RuntimeWarning, stacklevel=2)
            bottom[1].diff[...] = 0
        if propagate_down[0]:
            # The diff is loss_weight, which the loss itself is not multiplied by.
            np.multiply(self._arrays.gradient, np.ravel(top[0].diff)[0], out=bottom[0].diff)
