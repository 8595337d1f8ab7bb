"""The losses of lossd for Keras 3, with the backends JAX, TensorFlow and PyTorch.

```python
import lossd.keras

loss = lossd.keras.BinaryCrossentropy(from_logits=True, client="localhost:50051")
model.compile(loss=loss)
```
"""

from lossd.keras.losses import BinaryCrossentropy, BinaryFocalCrossentropy, SigmoidLoss

__all__ = ["BinaryCrossentropy", "BinaryFocalCrossentropy", "SigmoidLoss"]
