"""Calls of the same objects are found again, and no others."""

from __future__ import annotations

import gc
from typing import Any

import numpy as np
import pytest
from lossd import conversion
from lossd.named_calls import NamedCalls


def array(shape: tuple[int, ...] = (4, 3)) -> np.ndarray:
    return np.zeros(shape, np.float32)


def named(logits: Any, out: Any, second_out: Any = None) -> conversion.Call:
    nothing = conversion.NOTHING_SHARED
    return conversion.Call(b"places", logits, out, nothing, None, False, second_out)


@pytest.mark.parametrize("constants", [{}, {"normalizer": "batch", "loss_weight": 2.0}])
def test_a_call_of_the_same_objects_is_found(constants: dict[str, Any]) -> None:
    calls = NamedCalls()
    logits, targets, out = array(), array(), array()
    options = {"gradient_out": out, **constants}
    assert calls.find(logits, targets, options) is None
    calls.keep(named(logits, out), targets, options)
    found = calls.find(logits, targets, options)
    assert found is not None
    assert found.request == b"places"
    assert found.logits is logits
    assert found.gradient_out is out
    assert calls.find(targets, logits, options) is None
    assert calls.find(logits, targets.view(), options) is None
    assert calls.find(logits, targets, {**options, "gradient_out": array()}) is None
    assert calls.find(logits, targets, {**options, "gradient_out": None}) is None
    assert calls.find(logits, targets, {**options, "request_id": "r"}) is None
    assert calls.find(logits, targets, {**options, "weights": None}) is None
    for name in options:
        fewer = {key: value for key, value in options.items() if key != name}
        assert calls.find(logits, targets, fewer) is None
    if constants:
        assert calls.find(logits, targets, {**options, "normalizer": "valid"}) is None
        # True == 1, but label_smoothing=True is an error.
        assert calls.find(logits, targets, {**options, "loss_weight": 2}) is None


def test_a_call_with_places_for_both_derivatives_is_found() -> None:
    calls = NamedCalls()
    logits, targets, out, second_out = array(), array(), array(), array()
    options = {"second_derivative": True, "gradient_out": out, "second_derivative_out": second_out}
    alone = {name: value for name, value in options.items() if name != "gradient_out"}
    calls.keep(named(logits, out, second_out), targets, options)
    found = calls.find(logits, targets, options)
    assert found is not None
    assert found.gradient_out is out
    assert found.second_derivative_out is second_out
    assert calls.find(logits, targets, alone) is None
    assert calls.find(logits, targets, {**options, "second_derivative_out": array()}) is None
    exchanged = {**options, "gradient_out": second_out, "second_derivative_out": out}
    assert calls.find(logits, targets, exchanged) is None
    calls.keep(named(logits, None, second_out), targets, alone)
    found = calls.find(logits, targets, alone)
    assert found is not None
    assert found.gradient_out is None
    assert found.second_derivative_out is second_out
    second_out.shape = (3, 4)
    assert calls.find(logits, targets, options) is None
    assert calls.find(logits, targets, alone) is None


def test_a_call_without_a_place_for_the_gradient_is_found() -> None:
    calls = NamedCalls()
    logits, targets = array(), array()
    calls.keep(named(logits, None), targets, {"gradient": False})
    assert calls.find(logits, targets, {"gradient": False}) is not None
    assert calls.find(logits, targets, {}) is None


@pytest.mark.parametrize("which", [0, 1, 2])
def test_an_array_whose_layout_has_changed_is_another(which: int) -> None:
    for change in ("dtype", "read-only", "shape"):
        calls = NamedCalls()
        arrays = (array(), array(), array())
        options = {"gradient_out": arrays[2]}
        calls.keep(named(arrays[0], arrays[2]), arrays[1], options)
        assert calls.find(arrays[0], arrays[1], options) is not None
        changed = arrays[which]
        if change == "dtype":
            changed.dtype = np.dtype(np.int32)  # type: ignore[misc]
        elif change == "shape":
            changed.shape = (3, 4)
        else:
            changed.flags.writeable = False
        assert calls.find(arrays[0], arrays[1], options) is None


def test_no_array_is_kept_and_no_number_of_one_that_is_gone_is_taken_for_it() -> None:
    calls = NamedCalls()
    targets = array()
    for _ in range(1000):  # some of these get the number of one before
        logits = array()
        assert calls.find(logits, targets, {}) is None
        calls.keep(named(logits, None), targets, {})
        assert calls.find(logits, targets, {}) is not None
        del logits
    gc.collect()
    assert len(calls._kept) <= 64
    assert all(kept.arrays[0][1]() is None for kept in calls._kept.values())


def test_what_holds_bytes_or_changes_is_not_kept() -> None:
    calls = NamedCalls()
    logits, targets = array(), array()
    calls.keep(conversion.to_call(logits, targets), targets, {})
    calls.keep(named(logits, None), targets, {"weights": targets})
    calls.keep(named(logits.tolist(), None), targets, {})
    calls.keep(named(logits, None), conversion.Bits(logits, (4,)), {})
    calls.keep(named(logits, None), targets[:, ::2], {})
    assert not calls._kept
    assert calls.find(logits, targets, {}) is None
    assert calls.find(logits.tolist(), targets, {}) is None
