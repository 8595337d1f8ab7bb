"""The handwritten digits that scikit-learn carries, split for training."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class Digits:
    train_images: NDArray[np.float64]  # [images, 64], pixels in [0, 1]
    train_targets: NDArray[np.uint8]  # [images, 10], one 1 in each row
    test_images: NDArray[np.float64]
    test_labels: NDArray[np.int64]


def load_digits_split() -> Digits:
    """Returns three quarters to train with and one quarter to test with, always the same."""
    # The import is here because the worker processes, which receive their shares, skip it.
    from sklearn.datasets import load_digits
    from sklearn.model_selection import train_test_split

    images, labels = load_digits(return_X_y=True)
    train, test, train_labels, test_labels = train_test_split(
        images / 16, labels, test_size=0.25, random_state=1, stratify=labels
    )
    return Digits(train, np.eye(10, dtype=np.uint8)[train_labels], test, test_labels)
