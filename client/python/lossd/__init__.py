"""The client of lossd, which computes the loss and its gradient from NumPy arrays.

import lossd
with lossd.Client("localhost:50051") as client:
    result = client.compute_loss(logits, targets)
result.loss, result.gradient
"""

from lossd import recipes
from lossd.aio import AsyncClient
from lossd.client import Client
from lossd.errors import LossdError
from lossd.result import Execution, LossResult
from lossd.shared_memory import SharedMemory
from lossd.spec import LossOptions
from lossd.targets import bits, identity, ones, ones_from_lists

__version__ = "0.1.0"

__all__ = [
    "AsyncClient",
    "Client",
    "Execution",
    "LossOptions",
    "LossResult",
    "LossdError",
    "SharedMemory",
    "__version__",
    "bits",
    "identity",
    "ones",
    "ones_from_lists",
    "recipes",
]
