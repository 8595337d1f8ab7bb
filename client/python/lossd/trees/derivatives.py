"""The loss of raw predictions and its derivatives, for all packages of decision trees."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lossd import arguments
from lossd.client import Client
from lossd.errors import LossdError
from lossd.result import LossResult
from lossd.spec import NAMES, OF_RESULTS

Array = NDArray[Any]

# The packages decide these: they want derivatives of a sum, with the weights of their rows.
_DECIDED = OF_RESULTS | {
    "weights",
    "upstream_gradient",
    "reduction",
    "normalizer",
    "normalizer_value",
    "target_shape_rule",
}


class TreeLoss:
    """One loss of one server. Thread-safe. It can be pickled if its client can be."""

    def __init__(
        self,
        client: Client,
        timeout: float | None,
        options: Mapping[str, Any],
        error: type[Exception],
    ) -> None:
        """Raises TypeError if an option is unknown or is not the caller's to choose."""
        for name in options:
            if name in _DECIDED:
                raise TypeError(f"{name}: the package that grows the trees decides it")
        arguments.known(NAMES, options)
        self._client = client
        self._timeout = arguments.seconds("timeout", timeout)
        self._options = dict(options)
        self._error = error

    def derivatives(
        self, raw: Any, labels: Any, weights: Any, minimum_hessian: float
    ) -> tuple[Array, Array]:
        """Returns the gradient and the second derivatives of the sum, in the shape of `raw`."""
        with self._translated():
            result = self._ask(
                *_rows(raw, labels, weights), reduction="sum", second_derivative=True
            )
            second = np.maximum(result.second_derivative, minimum_hessian)
            return np.array(result.gradient), second  # what the reply holds may not be aligned

    def losses(self, raw: Any, labels: Any, weights: Any) -> Array:
        """Returns the loss of each element, with its weight."""
        with self._translated():
            rows = _rows(raw, labels, weights)
            return np.array(self._ask(*rows, reduction="none", gradient=False).losses)

    def total(self, raw: Any, labels: Any, weights: Any) -> tuple[float, float]:
        """Returns the sum of losses and the sum of the weights of the elements that took part."""
        with self._translated():
            raw, labels, weights = _rows(raw, labels, weights)
            result = self._ask(raw, labels, weights, reduction="sum", gradient=False)
            if weights is None:
                return result.loss, float(result.valid_count)
            return result.loss, self._weight_sum(labels, weights)

    def _ask(
        self, raw: Array, labels: Array, weights: Array | None, **wanted: Any
    ) -> LossResult[Any, Any]:
        return self._client.compute_loss(
            raw, labels, weights=weights, timeout=self._timeout, **self._options, **wanted
        )

    def _weight_sum(self, labels: Array, weights: Array) -> float:
        ignored = self._options.get("ignore_target")
        if ignored is None:
            takes_part = np.ones(labels.shape, bool)
        elif np.isnan(ignored):
            takes_part = ~np.isnan(labels)
        else:
            takes_part = labels != ignored
        return float(np.sum(np.broadcast_to(weights, labels.shape), where=takes_part))

    @contextlib.contextmanager
    def _translated(self) -> Iterator[None]:
        """Turns what compute_loss() raises into an error of the package."""
        try:
            yield
        except (LossdError, ValueError, TypeError) as error:
            raise self._error(f"lossd: {error}") from error


def _rows(raw: Any, labels: Any, weights: Any) -> tuple[Array, Array, Array | None]:
    """Returns the arrays of one call: labels in the shape of `raw`, and weights of its rows.

    Raises ValueError if they have other numbers of rows or elements.
    """
    raw, labels = np.asarray(raw), np.asarray(labels)
    if labels.size != raw.size or labels.shape[:1] not in (raw.shape[:1], (raw.size,)):
        raise ValueError(
            f"labels: have shape {labels.shape}, and the raw predictions {raw.shape}: "
            "each row needs a label for each output"
        )
    labels = labels.reshape(raw.shape)
    if weights is None or np.size(weights) == 0:
        return raw, labels, None
    weights = np.asarray(weights)
    if weights.shape != raw.shape[:1]:
        raise ValueError(
            f"weights: have shape {weights.shape}, and there are {len(raw)} rows of raw predictions"
        )
    return raw, labels, weights.reshape(-1, *(1,) * (raw.ndim - 1))
