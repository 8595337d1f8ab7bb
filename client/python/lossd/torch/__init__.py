"""The losses of lossd as modules and functions of PyTorch 2.4 and later.

```python
import lossd.torch

criterion = lossd.torch.SigmoidCrossEntropyLoss(client="localhost:50051")
criterion(logits, targets).backward()
```
"""

import importlib.util

from lossd import extras

if importlib.util.find_spec("torch") is None:
    raise extras.missing("lossd.torch", "torch", "torch")

from lossd.torch.errors import ServerError
from lossd.torch.functional import asymmetric_loss, sigmoid_cross_entropy, sigmoid_focal_loss
from lossd.torch.modules import AsymmetricLoss, SigmoidCrossEntropyLoss, SigmoidFocalLoss
from lossd.torch.servers import set_default_client
from lossd.torch.shared import empty_like
from lossd.torch.siglip import SigLipLoss, siglip_loss

__all__ = [
    "SigmoidCrossEntropyLoss",
    "SigmoidFocalLoss",
    "AsymmetricLoss",
    "SigLipLoss",
    "sigmoid_cross_entropy",
    "sigmoid_focal_loss",
    "asymmetric_loss",
    "siglip_loss",
    "set_default_client",
    "empty_like",
    "ServerError",
]
