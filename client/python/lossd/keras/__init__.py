"""The losses of lossd for Keras 3, with the backends JAX, TensorFlow and PyTorch.

```python
import lossd.keras

loss = lossd.keras.BinaryCrossentropy(from_logits=True, client="localhost:50051")
model.compile(loss=loss)
```

A saved model has the loss and its target. A program that loads it imports lossd.keras first, or
loads it with compile=False, which needs no lossd. For another server the loaded model is compiled
again, with model.optimizer and a new loss.
"""

import importlib.util

from lossd import extras

_BACKENDS = {"jax", "tensorflow", "torch"}

try:
    from lossd.keras.losses import BinaryCrossentropy, BinaryFocalCrossentropy, SigmoidLoss
except ModuleNotFoundError as error:
    package = (error.name or "").partition(".")[0]
    if package == "keras":
        raise extras.missing("lossd.keras", "keras", "keras,jax") from None
    if package in _BACKENDS and importlib.util.find_spec(package) is None:
        raise ModuleNotFoundError(
            f"lossd.keras: Keras chose the backend {package}, which is not installed; pip "
            "install './client/python[keras,jax]' and set KERAS_BACKEND=jax (or torch in both "
            "places; or pip install tensorflow)",
            name=package,
        ) from None
    raise

__all__ = ["BinaryCrossentropy", "BinaryFocalCrossentropy", "SigmoidLoss"]
