"""The client of lossd, which computes losses and their gradients from arrays and tensors.

```python
import lossd

with lossd.Client("localhost:50051") as client:
    result = client.compute_loss(logits, targets)
    result.loss, result.gradient
```

`Client` blocks and `AsyncClient` is awaited; both have the same methods. A session of a client
sends many requests over one stream. The modules `lossd.torch`,
`lossd.jax`, `lossd.keras`, `lossd.caffe` and `lossd.trees` put the losses into frameworks, and
`lossd.ray` has servers on the nodes of a Ray cluster.
"""

from lossd import recipes
from lossd.aio import AsyncClient
from lossd.aio_session import AsyncSession
from lossd.client import Client
from lossd.errors import LossdError
from lossd.result import Execution, LossResult
from lossd.session import Session
from lossd.shared_memory import SharedMemory
from lossd.spec import LossOptions
from lossd.targets import bits, identity, ones, ones_from_lists

__version__ = "0.1.0"

__all__ = [
    "Client",
    "AsyncClient",
    "Session",
    "AsyncSession",
    "LossOptions",
    "LossResult",
    "Execution",
    "LossdError",
    "SharedMemory",
    "bits",
    "identity",
    "ones",
    "ones_from_lists",
    "recipes",
    "__version__",
]
