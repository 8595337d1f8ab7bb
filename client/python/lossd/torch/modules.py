"""The losses as modules."""

from __future__ import annotations

from typing import Any

import torch
from torch import nn

from lossd.client import Client
from lossd.torch import functional, options, servers


class _Loss(nn.Module):
    """A loss of logits and targets, with its options as the operators take them."""

    weight: torch.Tensor | None
    pos_weight: torch.Tensor | None

    def __init__(
        self,
        kind: str,
        reduction: str,
        weight: torch.Tensor | None,
        pos_weight: torch.Tensor | None,
        client: Client | str | None,
        process_group: Any,
        more: dict[str, Any],
    ) -> None:
        super().__init__()
        self.register_buffer("weight", weight)
        self.register_buffer("pos_weight", pos_weight)
        self.reduction = reduction
        self.process_group = process_group
        self.server = servers.of(client)
        self._options = functional.encoded(kind, reduction, more)
        functional.check_options(self._options)

    def forward(
        self,
        input: torch.Tensor,
        target: torch.Tensor,
        normalizer_value: float | torch.Tensor | None = None,
    ) -> torch.Tensor:
        """Returns the loss of logits and targets of one shape.

        It is a number, or has the input's shape with reduction="none", or an element for each
        index of the first dimension with "rows". `normalizer_value` is what a mean divides by
        instead of a count.
        """
        return functional.compute(
            input,
            target,
            self.weight,
            self.pos_weight,
            normalizer_value,
            self.process_group,
            self.server.name,
            self._options,
        )

    def extra_repr(self) -> str:
        """Returns the options, the client's target and which weights there are."""
        return options.shown(
            self._options,
            weight=self.weight is not None,
            pos_weight=self.pos_weight is not None,
            client=self.server.client._target,
        )


class SigmoidCrossEntropyLoss(_Loss):
    """torch.nn.BCEWithLogitsLoss, computed by a lossd server.

    The positional arguments, the buffers and the meaning are that class's; docs/pytorch.md lists
    what differs. Input and target are tensors of one shape, and the target may also be of
    integers or bool. The loss has the input's type and device, and may be differentiated twice.

    - `client`: a lossd.Client, or a target HOST:PORT, whose client all modules share; None is
      that of set_default_client()
    - `process_group`: a mean counts the elements of all processes of this group of
      torch.distributed, divided by their number, so that DistributedDataParallel's average is the
      mean over all. "world" is the default group; None, the default, counts this process's own
    - `timeout`: the seconds that a call may take, by default 60; after them it raises ServerError
    - `more`: the other options of lossd.Client.compute_loss(), such as ignore_target,
      label_smoothing, normalizer, target_range and request_id. A nan_policy is "propagate" here
      unless it is given

    Errors of the server are ServerError, which is a RuntimeError and a lossd.LossdError.
    """

    def __init__(
        self,
        weight: torch.Tensor | None = None,
        size_average: bool | None = None,
        reduce: bool | None = None,
        reduction: str = "mean",
        pos_weight: torch.Tensor | None = None,
        *,
        client: Client | str | None = None,
        process_group: Any = None,
        **more: Any,
    ) -> None:
        reduction = functional.legacy_reduction(size_average, reduce, reduction)
        super().__init__(
            "sigmoid_cross_entropy", reduction, weight, pos_weight, client, process_group, more
        )


class SigmoidFocalLoss(_Loss):
    """The focal loss (Lin et al., 2017), with the parameters of torchvision.ops.

    An `alpha` below 0, or None, balances nothing. Unlike torchvision's function this module
    reduces by default. SigmoidCrossEntropyLoss has the other arguments.
    """

    def __init__(
        self,
        alpha: float | None = 0.25,
        gamma: float = 2,
        reduction: str = "mean",
        *,
        weight: torch.Tensor | None = None,
        pos_weight: torch.Tensor | None = None,
        client: Client | str | None = None,
        process_group: Any = None,
        **more: Any,
    ) -> None:
        more = {**functional.focal_options(alpha, gamma), **more}
        super().__init__(
            "sigmoid_focal", reduction, weight, pos_weight, client, process_group, more
        )


class AsymmetricLoss(_Loss):
    """The asymmetric loss for multi-label classification (Ridnik et al., 2021).

    `clip` is the margin. The defaults are the paper's. SigmoidCrossEntropyLoss has the other
    arguments.
    """

    def __init__(
        self,
        gamma_neg: float = 4,
        gamma_pos: float = 1,
        clip: float = 0.05,
        reduction: str = "mean",
        *,
        weight: torch.Tensor | None = None,
        pos_weight: torch.Tensor | None = None,
        client: Client | str | None = None,
        process_group: Any = None,
        **more: Any,
    ) -> None:
        more = {**functional.asymmetric_options(gamma_neg, gamma_pos, clip), **more}
        super().__init__("asymmetric", reduction, weight, pos_weight, client, process_group, more)
