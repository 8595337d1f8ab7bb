"""The losses of lossd as modules and functions of PyTorch 2.4 and later.

import lossd.torch
criterion = lossd.torch.SigmoidCrossEntropyLoss(client="localhost:50051")
criterion(logits, targets).backward()
"""

from lossd.torch.errors import ServerError
from lossd.torch.functional import asymmetric_loss, sigmoid_cross_entropy, sigmoid_focal_loss
from lossd.torch.modules import AsymmetricLoss, SigmoidCrossEntropyLoss, SigmoidFocalLoss
from lossd.torch.servers import set_default_client
from lossd.torch.shared import empty_like
from lossd.torch.siglip import SigLipLoss, siglip_loss

__all__ = [
    "AsymmetricLoss",
    "ServerError",
    "SigLipLoss",
    "SigmoidCrossEntropyLoss",
    "SigmoidFocalLoss",
    "asymmetric_loss",
    "empty_like",
    "set_default_client",
    "siglip_loss",
    "sigmoid_cross_entropy",
    "sigmoid_focal_loss",
]
