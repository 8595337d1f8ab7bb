"""The loss of SigLIP: every pair of an image and a text is one target."""

from __future__ import annotations

from typing import Any

import torch
import torch.distributed as dist
from torch import nn

from lossd.client import Client
from lossd.torch import distributed, functional, options, servers


def siglip_loss(
    image_features: torch.Tensor,
    text_features: torch.Tensor,
    logit_scale: torch.Tensor,
    logit_bias: torch.Tensor | None = None,
    *,
    client: Client | str | None = None,
    process_group: Any = None,
    **more: Any,
) -> torch.Tensor:
    """Returns the loss of SigLipLoss, which has the arguments."""
    text = functional.encoded("sigmoid_cross_entropy", "mean", more)
    server = servers.name_of(client)
    return _loss(
        image_features, text_features, logit_scale, logit_bias, process_group, server, text
    )


class SigLipLoss(nn.Module):
    """The sigmoid loss of image and text features (Zhai et al., 2023), as open_clip has it.

    It is the cross-entropy of logit_scale * image_features @ text_features.T + logit_bias with
    targets that are 1 for the pairs of one row and 0 for all others, summed and divided by the
    number of rows. The targets are not sent. The features are normalised by the caller.

    With `process_group` each process computes its images with the texts of all, which are
    gathered; the average of the processes' losses and gradients is that of all rows in one
    process. They may have different numbers of rows. SigmoidCrossEntropyLoss has `client`,
    `process_group` and the other options.
    """

    def __init__(
        self, *, client: Client | str | None = None, process_group: Any = None, **more: Any
    ) -> None:
        super().__init__()
        self.server = servers.of(client)
        self.process_group = process_group
        self._options = functional.encoded("sigmoid_cross_entropy", "mean", more)
        functional.check_options(self._options)

    def forward(
        self,
        image_features: torch.Tensor,
        text_features: torch.Tensor,
        logit_scale: torch.Tensor,
        logit_bias: torch.Tensor | None = None,
    ) -> torch.Tensor:
        """Returns the loss, which is one number.

        The features have the shape [rows, width]; scale and bias are one number each. Raises
        ValueError for features of other shapes.
        """
        return _loss(
            image_features,
            text_features,
            logit_scale,
            logit_bias,
            self.process_group,
            self.server.name,
            self._options,
        )

    def extra_repr(self) -> str:
        """Returns the options and the client's target."""
        return options.shown(self._options, client=self.server.client._target)


def _loss(
    images: torch.Tensor,
    texts: torch.Tensor,
    scale: torch.Tensor,
    bias: torch.Tensor | None,
    process_group: Any,
    server: str,
    text: str,
) -> torch.Tensor:
    if images.dim() != 2 or images.shape != texts.shape:
        raise ValueError(
            f"text_features: their size {tuple(texts.shape)} is not that of the image_features, "
            f"{tuple(images.shape)}, or has not two dimensions"
        )
    first, rows = 0, functional.as_divisor(max(images.shape[0], 1))
    if process_group is not None:
        texts, first = distributed.gather_rows(texts, process_group)
        processes = dist.get_world_size(distributed.group_of(process_group))
        rows = functional.as_divisor(max(texts.shape[0], 1) / processes)
    logits = scale * images @ texts.T
    if bias is not None:
        logits = logits + bias
    functional.check_logits("image_features", logits)
    diagonal = f"{text}\ndiagonal={first}"
    return functional.differentiable((logits, None, None, None, rows, server, diagonal))
