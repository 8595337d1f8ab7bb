"""The loss of raw predictions and its derivatives, for all packages of decision trees."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from lossd import arguments, clients
from lossd.client import Client
from lossd.errors import LossdError
from lossd.memory_references import UNANSWERED
from lossd.result import LossResult
from lossd.spec import NAMES, OF_RESULTS, OUTS
from lossd.targets import bits
from lossd.trees.buffers import Buffers

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

_FLOATS = (np.float16, np.float32, np.float64)

# The names that these arguments of compute_loss() have in the packages.
_TERMS = {"logits": "raw predictions", "targets": "labels"}


class Package(NamedTuple):
    """The ways of a package that a loss has to know."""

    error: type[Exception]
    nan_labels: str  # what becomes of NaN labels before the package calls the loss
    numbers_classes: bool = False  # whether the labels are places in the list of classes
    # Whether it calls the loss for parts of the data. It then makes one text of an error as well,
    # with the traceback and the cause.
    passes_parts: bool = False


class TreeLoss:
    """One loss of one server. Thread-safe. It can be pickled if its client can be.

    A copy of copy.deepcopy() is the loss itself: the packages copy their parameters, and a copied
    client would have a connection of its own. All losses of a target share one client.
    """

    def __init__(
        self,
        client: Client | str,
        timeout: float | None,
        options: Mapping[str, Any],
        package: Package,
    ) -> None:
        """Raises TypeError or ValueError if an option is unknown or has no effect in `package`."""
        for name in options:
            if name in _DECIDED:
                raise TypeError(f"{name}: the package that grows the trees decides it")
        arguments.known(NAMES, options)
        _check_ignored(options.get("ignore_target"), package)
        self._given = client
        self._client = clients.of(client)
        self._timeout = arguments.seconds("timeout", timeout)
        self._options = dict(options)
        self._package = package
        self._buffers = Buffers(self._client._shared_memory)

    def __getstate__(self) -> dict[str, Any]:
        made_again = ("_client", "_buffers")
        return {name: value for name, value in self.__dict__.items() if name not in made_again}

    def __setstate__(self, state: dict[str, Any]) -> None:
        client = clients.of(state["_given"])
        self.__dict__.update(state, _client=client, _buffers=Buffers(client._shared_memory))

    def __deepcopy__(self, memo: object) -> TreeLoss:
        return self

    def derivatives(
        self, raw: Any, labels: Any, weights: Any, minimum_hessian: float
    ) -> tuple[Array, Array]:
        """Returns the gradient and the second derivatives of the sum, in the shape of `raw`.

        Their memory is used again when they are gone.
        """
        with self.translated():
            raw, labels, weights = _rows(raw, labels, weights)
            gradient, second = (
                self._buffers.array(name, raw.shape, _derivative_type(raw)) for name in OUTS
            )
            self._ask(
                raw,
                labels,
                weights,
                reduction="sum",
                second_derivative=True,
                gradient_out=gradient,
                second_derivative_out=second,
            )
            return gradient, np.maximum(second, minimum_hessian, out=second)

    def losses(self, raw: Any, labels: Any, weights: Any) -> Array:
        """Returns the loss of each element, with its weight."""
        with self.translated():
            rows = _rows(raw, labels, weights)
            return np.array(self._ask(*rows, reduction="none", gradient=False).losses)

    def total(self, raw: Any, labels: Any, weights: Any) -> tuple[float, float]:
        """Returns the sum of losses and the sum of the weights of the elements that took part."""
        with self.translated():
            raw, labels, weights = _rows(raw, labels, weights)
            result = self._ask(raw, labels, weights, reduction="sum", gradient=False)
            if weights is None:
                return result.loss, float(result.valid_count)
            return result.loss, self._weight_sum(labels, weights)

    def _ask(
        self, raw: Array, labels: Array, weights: Array | None, **wanted: Any
    ) -> LossResult[Any, Any]:
        within_reach = self._buffers.within_reach
        return self._client.compute_loss(
            within_reach("raw", raw),
            self._sent(labels),
            weights=None if weights is None else within_reach("weights", weights),
            timeout=self._timeout,
            **self._options,
            **wanted,
        )

    def _sent(self, labels: Array) -> Any:
        """Returns labels as a call has them: a bit each if all are 0 or 1, a 32nd of the bytes.

        No bit stands for a label to ignore.
        """
        within_reach = self._buffers.within_reach
        if self._options.get("ignore_target") is None and labels.dtype.kind in "biuf":
            ones = labels == 1
            hard = np.count_nonzero(ones) + np.count_nonzero(labels == 0)
            if hard == labels.size > 0:
                packed = np.packbits(ones, axis=None, bitorder="little")
                return bits(within_reach("labels", packed), labels.shape)
        return within_reach("labels", labels)

    def _weight_sum(self, labels: Array, weights: Array) -> float:
        ignored = self._options.get("ignore_target")
        takes_part = True if ignored is None else labels != ignored
        return float(np.sum(np.broadcast_to(weights, labels.shape), where=takes_part))

    @contextlib.contextmanager
    def translated(self) -> Iterator[None]:
        """Turns what compute_loss() raises into an error of the package."""
        try:
            yield
        except (LossdError, ValueError, TypeError) as error:
            if isinstance(error, LossdError) and error.code in UNANSWERED:
                self._buffers.share_no_more()
            text = re.sub(r"\b(logits|targets)\b", lambda found: _TERMS[found[0]], str(error))
            if not self._package.passes_parts:
                raise self._package.error(f"lossd: {text}") from error
            if re.search(r"\[\d", text):
                text += "; rows are counted from the first one of a part of the data"
            raise self._package.error(f"lossd: {text}") from None


def minimum_hessian_of(value: Any) -> float:
    """Returns the number, or raises TypeError or ValueError, which name the argument."""
    least = arguments.number("minimum_hessian", value)
    if not np.isfinite(least):
        raise ValueError(f"minimum_hessian: {least:g} is not finite")
    return least


def _derivative_type(raw: Array) -> np.dtype[Any]:
    """Returns the type of `raw`, or another one if compute_loss() is going to refuse it."""
    return raw.dtype if raw.dtype in _FLOATS else np.dtype(np.float64)


def _check_ignored(ignored: Any, package: Package) -> None:
    """Raises ValueError if the package would never show labels of this value to the loss."""
    if ignored is None:
        return
    value = arguments.number("ignore_target", ignored)
    if package.numbers_classes:
        raise ValueError(
            f"ignore_target: {value:g}: the package numbers the classes 0 and 1 itself; leave the "
            "rows out, or give them the weight 0"
        )
    if np.isnan(value):
        raise ValueError(
            f"ignore_target: NaN: the package {package.nan_labels}; give such labels another "
            "value, such as -1"
        )


def _rows(raw: Any, labels: Any, weights: Any) -> tuple[Array, Array, Array | None]:
    """Returns the arrays of one call: labels in the shape of `raw`, and weights of its rows.

    Raises ValueError if they have other numbers of rows or elements, or a weight is negative.
    """
    raw, labels = np.asarray(raw), np.asarray(labels)
    if labels.size != raw.size or labels.shape[:1] not in (raw.shape[:1], (raw.size,)):
        raise ValueError(
            f"labels: have shape {labels.shape}, and the raw predictions {raw.shape}: each row "
            "needs a label for each output, and an output has two classes"
        )
    labels = labels.reshape(raw.shape)
    if weights is None or np.size(weights) == 0:
        return raw, labels, None
    return raw, labels, _row_weights(np.asarray(weights), raw)


def _row_weights(weights: Array, raw: Array) -> Array:
    """Returns one weight for each row, in a shape that broadcasts to that of `raw`."""
    if weights.shape != raw.shape[:1]:
        raise ValueError(
            f"weights: have shape {weights.shape}, and there are {len(raw)} rows of raw predictions"
        )
    if weights.dtype.kind in "if":
        least = int(np.argmin(weights))
        if weights[least] < 0:
            raise ValueError(f"weights[{least}]: {weights[least]:g} is below 0")
    return weights.reshape(-1, *(1,) * (raw.ndim - 1))
