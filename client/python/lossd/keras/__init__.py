"""The losses of lossd for Keras 3, with the backends JAX and PyTorch.

import lossd.keras
model.compile(loss=lossd.keras.BinaryCrossentropy(from_logits=True, client="localhost:50051"))
"""

from lossd.keras.losses import BinaryCrossentropy, BinaryFocalCrossentropy, SigmoidLoss

__all__ = ["BinaryCrossentropy", "BinaryFocalCrossentropy", "SigmoidLoss"]
