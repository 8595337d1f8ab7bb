"""The exact results of hard and soft targets, and what rounds to them."""

from __future__ import annotations

from typing import Any

import numpy as np


def exact(logits: np.ndarray, targets: Any) -> tuple[np.ndarray, np.ndarray]:
    """Returns losses and gradient in float64."""
    x, t = logits.astype(np.float64), np.asarray(targets).astype(np.float64)
    z = np.exp(-np.abs(x))
    a = np.where(x >= 0, 1 - t, t)
    losses = np.abs(x) * a + np.log1p(z)
    part = z / (1 + z)
    return losses, np.where(x >= 0, a - part, part - a)


def expect_rounded(got: np.ndarray, wanted: np.ndarray, dtype: Any) -> None:
    """Fails unless `got` is `wanted`, rounded by ml_dtypes; near ties float32 decides."""
    assert got.dtype == dtype
    narrow = [(wanted * off).astype(np.float32).astype(dtype) for off in (1 - 3e-7, 1, 1 + 3e-7)]
    assert np.all(np.any([got.astype(np.float32) == each.astype(np.float32) for each in narrow], 0))
