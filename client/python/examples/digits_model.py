"""One hidden layer in NumPy, and the loss that lossd is compared with."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]
HIDDEN = 48


class Network:
    """64 pixels -> HIDDEN (tanh) -> ten logits. A caller may replace `parameters` as a whole."""

    def __init__(self, seed: int) -> None:
        random = np.random.default_rng(seed)
        self.parameters: list[Array] = [
            random.normal(0, 1 / 8, (64, HIDDEN)),
            np.zeros(HIDDEN),
            random.normal(0, HIDDEN**-0.5, (HIDDEN, 10)),
            np.zeros(10),
        ]

    def forward(self, images: Array) -> tuple[Array, Array]:
        """Returns the hidden layer and the logits."""
        w1, b1, w2, b2 = self.parameters
        hidden = np.tanh(images @ w1 + b1)
        return hidden, hidden @ w2 + b2

    def backward(self, images: Array, hidden: Array, logit_gradient: Array) -> list[Array]:
        """Returns the gradient of each parameter, computed from that of the logits."""
        back = logit_gradient @ self.parameters[2].T * (1 - hidden**2)
        return [
            images.T @ back,
            back.sum(axis=0),
            hidden.T @ logit_gradient,
            logit_gradient.sum(axis=0),
        ]

    def accuracy(self, images: Array, labels: NDArray[np.int64]) -> float:
        """Returns the share of images whose largest logit is that of their label."""
        return float((self.forward(images)[1].argmax(axis=1) == labels).mean())


class Optimizer:
    """Gradient descent with momentum."""

    def __init__(self, rate: float = 1.0, momentum: float = 0.9) -> None:
        self._rate = rate
        self._momentum = momentum
        self._velocity: list[Array] = []

    def apply(self, parameters: list[Array], gradients: list[Array]) -> None:
        if not self._velocity:
            self._velocity = [np.zeros_like(p) for p in parameters]
        for p, v, g in zip(parameters, self._velocity, gradients, strict=True):
            v *= self._momentum
            v -= self._rate * g
            p += v


def local_loss(logits: Array, targets: NDArray[np.uint8]) -> tuple[float, Array]:
    """Returns the mean sigmoid cross-entropy and its gradient, computed in float64."""
    softplus = np.maximum(logits, 0) + np.log1p(np.exp(-np.abs(logits)))
    sigmoid = np.exp(logits - softplus)
    loss = (softplus - logits * targets).mean()
    return float(loss), (sigmoid - targets) / logits.size
