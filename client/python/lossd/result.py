"""What compute_loss() returns."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, fields
from datetime import timedelta
from typing import TYPE_CHECKING, Any, Generic, NamedTuple

if TYPE_CHECKING:  # the standard library's TypeVar has defaults since Python 3.13
    from typing_extensions import TypeVar

    GradientT_co = TypeVar("GradientT_co", covariant=True, default=Any)
    LossesT_co = TypeVar("LossesT_co", covariant=True, default=Any)
else:
    from typing import TypeVar

    GradientT_co = TypeVar("GradientT_co", covariant=True)
    LossesT_co = TypeVar("LossesT_co", covariant=True)


class Execution(NamedTuple):
    """The way in which the server computed a request; it has no influence on the result.

    - `backend`: the name of the backend, such as "cpu/AVX3_DL" or "cuda/0"
    - `batch_requests`, `batch_elements`: the requests and the elements of the batch that held this
      request
    - `queue_time`: the time from acceptance to the start of the batch
    - `compute_time`: the time from there to the end of this request's arithmetic

    All but the backend is None for a streamed call, which is part of many batches.
    """

    backend: str
    batch_requests: int | None
    batch_elements: int | None
    queue_time: timedelta | None
    compute_time: timedelta | None


@dataclass(frozen=True, eq=False, init=False)  # == of arrays has no truth value
class LossResult(Generic[GradientT_co, LossesT_co]):
    """The result of compute_loss().

    `loss` is the reduced loss, and 0 with reduction="none" and "rows", which have `losses`.

    `gradient` has the logits' shape, and their dtype unless `gradient_dtype` asked for another.
    It is None with gradient=False, and the object passed as `gradient_out` if there was one.
    PyTorch logits have a new PyTorch tensor on their device as their gradient. Otherwise it is
    a read-only view of the reply, which need not be aligned (`gradient.flags.aligned`);
    numpy.array(gradient) is a copy that can be changed.

    `losses` has the logits' shape, and their dtype unless `losses_dtype` asked for another; it is
    a view or a tensor likewise. With reduction="rows" it has one element for each row. It is
    None unless reduction is "none" or "rows".

    `second_derivative` has the gradient's shape and dtype, and is a view or a tensor likewise, or
    the object passed as `second_derivative_out`. It is None unless second_derivative=True.

    `normalizer` is what the sum was divided by, `valid_count` the number of elements that took
    part, and `nan_count` that of the NaN logits with nan_policy="propagate". `execution` says how
    the server computed the request, whose `request_id` comes back.

    Without the package ml_dtypes, a view of bfloat16 or float8 is widened to float32, which is
    exact.
    """

    loss: float
    losses: LossesT_co
    gradient: GradientT_co
    normalizer: float
    valid_count: int
    nan_count: int
    execution: Execution
    request_id: str
    second_derivative: Any

    def __init__(
        self,
        loss: float,
        losses: LossesT_co,
        gradient: GradientT_co,
        normalizer: float,
        valid_count: int,
        nan_count: int,
        execution: Execution,
        request_id: str,
        second_derivative: Any = None,
    ) -> None:
        # The constructor of a frozen dataclass takes several times as long.
        self.__dict__.update(
            loss=loss,
            losses=losses,
            gradient=gradient,
            normalizer=normalizer,
            valid_count=valid_count,
            nan_count=nan_count,
            execution=execution,
            request_id=request_id,
            second_derivative=second_derivative,
        )

    @classmethod
    def _read_later(
        cls, losses: Any, gradient: Any, second_derivative: Any, read: Callable[[], dict[str, Any]]
    ) -> LossResult[Any, Any]:
        """Returns a result whose other fields are those of `read`, which the first use calls.

        Right after a call of gRPC everything is slow, and most callers use few of the fields.
        """
        result = cls.__new__(cls)
        result.__dict__.update(
            losses=losses, gradient=gradient, second_derivative=second_derivative, _read=read
        )
        return result

    if not TYPE_CHECKING:  # a type checker would take any name for an attribute

        def __getattr__(self, name: str) -> Any:
            values = self.__dict__
            if "_read" in values and name in _FIELDS:
                values.update(values["_read"]())
                return values[name]
            raise AttributeError(f"{type(self).__name__!r} object has no attribute {name!r}")

    def __getstate__(self) -> dict[str, Any]:
        return {name: getattr(self, name) for name in _FIELDS}


_FIELDS = frozenset(field.name for field in fields(LossResult))
