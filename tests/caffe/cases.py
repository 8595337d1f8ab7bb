"""The nets whose losses Caffe 1.0 was asked for: tests/caffe/official has its answers.

A case has the fields of a SigmoidCrossEntropyLoss layer, and what lossd is asked for in their
place: the arguments of the recipe, and the options of lossd.caffe's layer.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

Array = np.ndarray[Any, np.dtype[Any]]

NET = """force_backward: true
layer {{ name: "in" type: "Input" top: "score" top: "label"
  input_param {{ shape {{ {scores} }} shape {{ {labels} }} }} }}
"""
BUILT_IN = """layer { name: "loss" type: "SigmoidCrossEntropyLoss" %(bottoms)s top: "loss"
  %(fields)s }
"""
BOTTOMS = 'bottom: "score" bottom: "label"'

SCORES = np.array([[0.5, -1, 3], [-2, 0.25, 0]], np.float32)
HARD = np.array([[1, 0, 0], [0, 1, 1]], np.float32)
SOFT = np.array([[0.2, 0.9, 0.5], [1, 0, 0.25]], np.float32)
TWO_IGNORED = np.array([[1, -1, 0], [0, 1, -1]], np.float32)
IMAGE = np.linspace(-3, 3, 12, dtype=np.float32)
IMAGE_LABELS = np.array([0, 1, -1, 1, 0, 0, 1, 1, -1, 0, 1, 0], np.float32)
TAIL = np.array([-20, 20, 12, -12, -16, -88, 20, -20, np.inf, -np.inf, np.inf], np.float32)
TAIL_LABELS = np.array([0, 1, 1, 0, 0, 0, 0, 1, 1, 0, 0], np.float32)

# Each divisor as loss_param says it, as the recipe does, and as the layer does.
DIVISORS: tuple[tuple[str, dict[str, Any], str], ...] = (
    ("", {}, "batch"),
    ("normalize: true", {"normalize": True}, "valid"),
    ("normalize: false", {"normalize": False}, "batch"),
    ("normalization: FULL", {"normalization": "FULL"}, "full"),
    ("normalization: VALID", {"normalization": "VALID"}, "valid"),
    ("normalization: BATCH_SIZE", {"normalization": "BATCH_SIZE"}, "batch"),
    ("normalization: NONE", {"normalization": "NONE"}, "none"),
    (
        "normalization: FULL normalize: true",
        {"normalization": "FULL", "normalize": True},
        "full",
    ),
)


class Case(NamedTuple):
    loss_param: str
    labels_in_words: str
    recipe: dict[str, Any]  # arguments of recipes.caffe_sigmoid_cross_entropy()
    layer: dict[str, Any]  # the layer's param_str, without the server
    scores: Array
    labels: Array
    loss_weight: float = 1

    @property
    def name(self) -> str:
        weight = "" if self.loss_weight == 1 else f", loss_weight {self.loss_weight:g}"
        return f"{self.loss_param or 'no loss_param'}, {self.labels_in_words}{weight}"


def net_of(scores: Array, labels: Array) -> str:
    """Returns the part of a net that has its inputs."""
    words = [" ".join(f"dim: {size}" for size in array.shape) for array in (scores, labels)]
    return NET.format(scores=words[0], labels=words[1])


def built_in(case: Case) -> str:
    """Returns the net of a case with Caffe's own layer."""
    fields = f"loss_param {{ {case.loss_param} }} " if case.loss_param else ""
    fields += f"loss_weight: {case.loss_weight}"
    return net_of(case.scores, case.labels) + BUILT_IN % {"bottoms": BOTTOMS, "fields": fields}


def built_in_refused(refusal: Refusal) -> str:
    """Returns the net of a refusal with Caffe's own layer."""
    fields = {"bottoms": refusal.bottoms, "fields": refusal.fields}
    return net_of(refusal.scores, refusal.labels) + BUILT_IN % fields


def _ignoring(label: int | None) -> tuple[str, dict[str, Any]]:
    return ("", {}) if label is None else (f" ignore_label: {label}", {"ignore_label": label})


def _case(
    divisor: tuple[str, dict[str, Any], str],
    words: str,
    label: int | None,
    scores: Array,
    labels: Array,
    loss_weight: float = 1,
) -> Case:
    text, ignoring = _ignoring(label)
    recipe = divisor[1] | ignoring | ({} if loss_weight == 1 else {"loss_weight": loss_weight})
    layer = {"reduction": divisor[2]} | ignoring
    return Case((divisor[0] + text).strip(), words, recipe, layer, scores, labels, loss_weight)


def all_cases() -> list[Case]:
    all_ignored = np.full_like(HARD, -1)
    found = [
        _case(divisor, words, label, SCORES, labels)
        for divisor in DIVISORS
        for words, label, labels in (
            ("hard", None, HARD),
            ("two of six ignored", -1, TWO_IGNORED),
            ("all ignored", -1, all_ignored),
            ("the ones ignored", 1, HARD),
            ("soft", None, SOFT),
        )
    ]
    valid, none, batch = DIVISORS[4], DIVISORS[6], DIVISORS[0]
    for divisor in (batch, valid, none):
        found += [_case(divisor, "hard", None, SCORES, HARD, weight) for weight in (2, 0.25)]
        found += [
            _case(divisor, f"two of six ignored, of shape {shape}", -1, SCORES, labels)
            for shape in ((2, 3, 1, 1), (2, 1, 3))
            for labels in (TWO_IGNORED.reshape(shape),)
        ]
        scores, labels = IMAGE.reshape(2, 3, 1, 2), IMAGE_LABELS.reshape(2, 6)
        words = "two of twelve ignored, of shape (2, 6) for scores of (2, 3, 1, 2)"
        found.append(_case(divisor, words, -1, scores, labels, 0.5))
    return found


class Refusal(NamedTuple):
    """A net that is refused, as Caffe's own layer and as lossd's."""

    words: str
    scores: Array
    labels: Array
    bottoms: str = BOTTOMS
    fields: str = ""
    layer: dict[str, Any] = {"force_backward": True}  # noqa: RUF012
    is_error_here: bool = True


REFUSALS = (
    Refusal("one bottom", SCORES, HARD, 'bottom: "score"'),
    Refusal("three bottoms", SCORES, HARD, f'{BOTTOMS} bottom: "label"'),
    Refusal("labels of another count", SCORES, HARD[:, :2]),
    Refusal(
        "labels of another first dimension and the same count",
        SCORES,
        HARD.reshape(3, 2),
        is_error_here=False,
    ),
    Refusal(
        'labels that ask for a gradient, `"force_backward": false`',
        SCORES,
        HARD,
        fields="propagate_down: true propagate_down: true",
        layer={"force_backward": False},
    ),
)
