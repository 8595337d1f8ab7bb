"""Arguments of compute_loss() of every kind, for the tests of sessions."""

from __future__ import annotations

from typing import Any

import lossd
import ml_dtypes
import numpy as np
import scipy.sparse

RANDOM = np.random.default_rng(15)
LOGITS: np.ndarray = RANDOM.normal(0, 3, (30, 20)).astype(np.float32)
TARGETS = (RANDOM.random((30, 20)) < 0.4).astype(np.float32)
WEIGHTS: np.ndarray = RANDOM.random((30, 20)).astype(np.float32)
ONES = [[column for column in range(20) if row[column]] for row in TARGETS]

CASES: dict[str, tuple[Any, Any, dict[str, Any]]] = {
    "plain": (LOGITS, TARGETS, {}),
    "not contiguous": (LOGITS[:, ::2], TARGETS[:, ::2], {}),
    "float64": (LOGITS.astype(np.float64), TARGETS > 0, {}),
    "float16": (LOGITS.astype(np.float16), TARGETS.astype(np.uint8), {}),
    "bfloat16": (LOGITS.astype(ml_dtypes.bfloat16), TARGETS.astype(np.int64), {}),
    "lists": ([[0.5, -1.0], [3.0, -20.0]], [[1, 0], [0, 1]], {}),
    "empty": (LOGITS[:0], TARGETS[:0], {}),
    "bits": (LOGITS, lossd.bits(TARGETS), {}),
    "ones": (LOGITS, lossd.ones_from_lists(ONES), {}),
    "identity": (LOGITS[:20], lossd.identity(), {}),
    "sparse": (LOGITS, scipy.sparse.csr_array(TARGETS), {}),
    "no gradient": (LOGITS, TARGETS, {"gradient": False}),
    "losses": (LOGITS, TARGETS, {"reduction": "none", "losses_dtype": "float64"}),
    "rows": (LOGITS, TARGETS, {"reduction": "rows", "upstream_gradient": WEIGHTS[:, :1]}),
    "weights": (LOGITS, TARGETS, {"weights": WEIGHTS, "pos_weight": WEIGHTS[0]}),
    "ignored": (LOGITS, TARGETS, {"ignore_target": 0, "normalizer": "valid"}),
    "focal": (LOGITS, TARGETS, {"kind": "sigmoid_focal", "focal_gamma": 2.0}),
    "second derivative": (LOGITS, TARGETS, {"second_derivative": True}),
    "gradient_dtype": (LOGITS, TARGETS, {"gradient_dtype": "bfloat16"}),
    "request_id": (LOGITS, TARGETS, {"request_id": "ä" * 100}),
    "timeout": (LOGITS, TARGETS, {"timeout": 60}),
    "a mebi": (np.tile(LOGITS.reshape(-1), 1748), np.tile(TARGETS.reshape(-1), 1748), {}),
}

FAILURES: dict[str, tuple[Any, Any, dict[str, Any]]] = {
    "shape": (LOGITS, TARGETS[:, :10], {}),
    "target": (LOGITS, TARGETS + 1, {}),
    "nan": (LOGITS * np.nan, TARGETS, {}),
    "weight": (LOGITS, TARGETS, {"weights": np.inf}),
    "no effect": (LOGITS, TARGETS, {"normalizer": "caller"}),
}


def assert_equal(found: lossd.LossResult, expected: lossd.LossResult) -> None:
    """Expects two results with equal bits in every field but `execution`."""
    for name in ("gradient", "losses", "second_derivative"):
        one, other = getattr(found, name), getattr(expected, name)
        assert type(one) is type(other)
        if other is not None:
            assert (one.dtype, one.shape) == (other.dtype, other.shape)
            assert one.tobytes() == other.tobytes()
    for name in ("loss", "normalizer", "valid_count", "nan_count", "request_id"):
        assert getattr(found, name) == getattr(expected, name)
