"""compute_loss() as users see it: the documentation, and the types of the results."""

from __future__ import annotations

import abc
from collections.abc import Awaitable
from typing import Any, Literal, TypeVar, Unpack, overload

from numpy.typing import ArrayLike, NDArray

from lossd.conversion import Logits, Targets
from lossd.pytorch import Tensor, not_compiled
from lossd.result import LossResult
from lossd.spec import LossOptions, PlainOptions

TensorT = TypeVar("TensorT", bound=Tensor)
OutT = TypeVar("OutT")


class ComputesLosses(abc.ABC):
    """Something that asks a server for losses: a client or a session."""

    @abc.abstractmethod
    def compute_loss(
        self,
        logits: Logits,
        targets: Targets,
        *,
        timeout: float | None = None,
        **options: Unpack[LossOptions],
    ) -> LossResult[Any, Any] | Awaitable[LossResult[Any, Any]]:
        """Returns the loss of `logits` and its gradient.

        `logits` are an array, a tensor of PyTorch, or lists of numbers, of float32, float64,
        bfloat16, float16, float8_e4m3fn or float8_e5m2.

        `targets` are one of:

        - an array or tensor of the logits' shape, of any of these types, of uint8, bool, int8,
          int16, int32 or int64; a list is an array too, never a list of labels
        - a sparse array of SciPy, PyTorch, JAX (BCOO, BCSR) or TensorFlow, of zeros and ones
        - lossd.ones(), lossd.ones_from_lists(), lossd.identity() or lossd.bits()

        `timeout` is in seconds and above 0; None, the default, waits as long as the server
        takes.

        The loss:

        - `kind`: "sigmoid_cross_entropy" (the default), "sigmoid_focal", "asymmetric", "poly",
          "quality_focal" or "varifocal"; loss_spec.proto has the formulas and the papers
        - `focal_gamma`, `focal_alpha`: the exponent and the class balance of "sigmoid_focal";
          the paper has 2 and 0.25. The exponent has no default; an alpha of None, the default,
          balances nothing. "poly" takes both, "quality_focal" the exponent (its paper has 2),
          and "varifocal" both, where an alpha of None is 0.75
        - `poly_epsilon`: the factor of the term that "poly" adds; the paper has 1
        - `soft_targets`: what a target between 0 and 1 means to "sigmoid_focal" and "poly":
          "linear" (the default) in the probability, or "mixture" of the two losses
        - `detach_focus`: True takes the powers of "sigmoid_focal" and "asymmetric" as constants
          in the derivatives; the default is False
        - `asymmetric_gamma_positive`, `asymmetric_gamma_negative`, `asymmetric_margin`: the
          exponents and the margin of "asymmetric"; the paper has 1, 4 and 0.05. At least one has
          to be given, and the others are 0
        - `label_smoothing`: e in [0, 1) makes a target t (1 - e) + e label_smoothing_prior; the
          default is 0
        - `label_smoothing_prior`: in [0, 1]; None, the default, is 1/2
        - `weights`: of the elements, broadcast to the logits' shape as NumPy does; the default,
          None, is 1
        - `pos_weight`: of the positive term, broadcast likewise; the default, None, is 1, and a
          negative one counts as it is, as in PyTorch

        Which elements take part:

        - `ignore_target`: elements whose target equals this take no part; NaN stands for every
          NaN, as tables have it for a missing label. None, the default, ignores none.
          normalizer="elements" still counts them; "valid" does not
        - `target_range`: "unit_interval" (the default) refuses a target outside [0, 1], "any"
          takes any finite one
        - `target_shape_rule`: "same" (the default) takes targets of the logits' shape,
          dimensions of 1 apart; "same_count" those with as many elements and the same first
          dimension, in row-major order
        - `nan_policy`: "reject" (the default) refuses a NaN logit and weights that are not
          finite; "propagate" counts the NaN logits and returns NaN

        How the losses are reduced:

        - `reduction`: "mean" (the default) divides the sum by the normalizer, "sum" does not,
          "none" returns a loss for each element, "rows" one for each index of the first
          dimension, and "mean_of_rows" the mean of those over rows with valid elements
        - `normalizer`, with "mean" and, counted within each row, with "rows" and "mean_of_rows":
          "elements" (the default, or None) is their number,
          "valid" that of those that are not ignored, "batch" the first dimension,
          "nonzero_weights" and "weight_sum" are of the weights, and "caller" is
          `normalizer_value`. A count is at least 1, so an empty batch has the loss 0
        - `normalizer_value`: above 0; only with, and needed by, normalizer="caller". The ranks
          of a data-parallel job give the elements of all ranks, divided by the ranks where
          their gradients are averaged
        - `loss_weight`: scales loss, losses and derivatives; the default, None, is 1
        - `losses_dtype`, only with "none" and "rows": the type of the losses, as `gradient_dtype`
          is that of the gradient; None, the default, is the logits' type

        The gradient:

        - `gradient`: False returns the loss alone; the default is True
        - `gradient_dtype`: "float32", "float64", "bfloat16", "float16", "float8_e4m3fn",
          "float8_e5m2", or such a dtype of NumPy, ml_dtypes or PyTorch; None, the default, is the
          logits' type. A mean over many elements has a gradient that is 0 in float8
        - `gradient_out`: an array or tensor of the logits' shape that receives the gradient, and
          is returned as it; its type is the gradient's. The server writes it there itself if it
          lies in shared memory or on a GPU. None, the default, makes a new one. After an error
          its contents are undefined
        - `upstream_gradient`: scales the gradient, not the loss: one number; or with
          reduction="none" an array that broadcasts to the logits' shape; or with "rows" one
          number for each row. The default, None, is 1
        - `second_derivative`: True returns the second derivative by each logit as well, which is
          the diagonal of the Hessian and has no other elements. It has the gradient's type and
          scale; the default is False
        - `second_derivative_out`, only with second_derivative=True: receives the second derivative
          as `gradient_out` does the gradient. If both are given, they have one type and do not
          overlap. None, the default, makes a new one

        `request_id` is written to the server's log and returned; the default is "".

        Raises LossdError if the server does not answer with a loss or cannot use the memory of
        a tensor; ValueError or TypeError, which begin with the argument's name, for arguments
        that cannot be sent; ValueError after close(); RuntimeError in a process that was forked
        while gRPC was in use.
        """


class BlockingLosses(ComputesLosses):
    """compute_loss() that blocks."""

    @overload
    def compute_loss(
        self,
        logits: TensorT,
        targets: Targets,
        *,
        timeout: float | None = None,
        gradient: Literal[True] = True,
        gradient_out: None = None,
        **options: Unpack[PlainOptions],
    ) -> LossResult[TensorT, TensorT | None]: ...

    @overload
    def compute_loss(
        self,
        logits: ArrayLike,
        targets: Targets,
        *,
        timeout: float | None = None,
        gradient: Literal[True] = True,
        gradient_out: None = None,
        **options: Unpack[PlainOptions],
    ) -> LossResult[NDArray[Any], NDArray[Any] | None]: ...

    @overload
    def compute_loss(
        self,
        logits: Logits,
        targets: Targets,
        *,
        timeout: float | None = None,
        gradient: Literal[False],
        gradient_out: None = None,
        **options: Unpack[PlainOptions],
    ) -> LossResult[None, Any]: ...

    @overload
    def compute_loss(
        self,
        logits: Logits,
        targets: Targets,
        *,
        timeout: float | None = None,
        gradient: Literal[True] = True,
        gradient_out: OutT,
        **options: Unpack[PlainOptions],
    ) -> LossResult[OutT, Any]: ...

    @overload
    def compute_loss(
        self,
        logits: Logits,
        targets: Targets,
        *,
        timeout: float | None = None,
        **options: Unpack[LossOptions],
    ) -> LossResult[Any, Any]: ...

    @not_compiled
    def compute_loss(
        self,
        logits: Logits,
        targets: Targets,
        *,
        timeout: float | None = None,
        **options: Unpack[LossOptions],
    ) -> LossResult[Any, Any]:
        return self._compute(logits, targets, timeout, options)

    @abc.abstractmethod
    def _compute(
        self, logits: Logits, targets: Targets, timeout: float | None, options: LossOptions
    ) -> LossResult[Any, Any]:
        """Returns what compute_loss() does."""


class AsyncLosses(ComputesLosses):
    """compute_loss() that is awaited."""

    @overload
    async def compute_loss(
        self,
        logits: TensorT,
        targets: Targets,
        *,
        timeout: float | None = None,
        gradient: Literal[True] = True,
        gradient_out: None = None,
        **options: Unpack[PlainOptions],
    ) -> LossResult[TensorT, TensorT | None]: ...

    @overload
    async def compute_loss(
        self,
        logits: ArrayLike,
        targets: Targets,
        *,
        timeout: float | None = None,
        gradient: Literal[True] = True,
        gradient_out: None = None,
        **options: Unpack[PlainOptions],
    ) -> LossResult[NDArray[Any], NDArray[Any] | None]: ...

    @overload
    async def compute_loss(
        self,
        logits: Logits,
        targets: Targets,
        *,
        timeout: float | None = None,
        gradient: Literal[False],
        gradient_out: None = None,
        **options: Unpack[PlainOptions],
    ) -> LossResult[None, Any]: ...

    @overload
    async def compute_loss(
        self,
        logits: Logits,
        targets: Targets,
        *,
        timeout: float | None = None,
        gradient: Literal[True] = True,
        gradient_out: OutT,
        **options: Unpack[PlainOptions],
    ) -> LossResult[OutT, Any]: ...

    @overload
    async def compute_loss(
        self,
        logits: Logits,
        targets: Targets,
        *,
        timeout: float | None = None,
        **options: Unpack[LossOptions],
    ) -> LossResult[Any, Any]: ...

    @not_compiled
    async def compute_loss(
        self,
        logits: Logits,
        targets: Targets,
        *,
        timeout: float | None = None,
        **options: Unpack[LossOptions],
    ) -> LossResult[Any, Any]:
        return await self._compute(logits, targets, timeout, options)

    @abc.abstractmethod
    async def _compute(
        self, logits: Logits, targets: Targets, timeout: float | None, options: LossOptions
    ) -> LossResult[Any, Any]:
        """Returns what compute_loss() does."""
