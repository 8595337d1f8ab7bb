"""TensorFlow.js, ND4J, candle and burn, each asked through a program in its own language.

tools/peers_build.sh builds the programs into build/peers.
"""

from __future__ import annotations

import functools
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from lossd import recipes

from tests.peers import rows
from tests.peers.rows import Answer, Array, Row

ROOT = Path(__file__).parents[2]
BUILT = ROOT / "build" / "peers"
# The language of each package's program, as tools/peers_build.sh knows it.
LANGUAGES = {
    "@tensorflow/tfjs": "node",
    "nd4j-native": "java",
    "candle-nn": "rust",
    "burn-nn": "rust",
}


class Unavailable(Exception):
    """Says why a program cannot be built on this machine."""


@functools.cache
def reason(language: str) -> str:
    """Builds the program of a language. Returns why that failed, or an empty string."""
    done = subprocess.run(
        [ROOT / "tools" / "peers_build.sh", language], text=True, capture_output=True, check=False
    )
    return "" if done.returncode == 0 else " ".join(done.stderr.split()) or "it does not build"


def commands() -> dict[str, list[str]]:
    classpath = BUILT / "java" / "classpath"
    return {
        "@tensorflow/tfjs": ["node", str(BUILT / "node" / "losses.js")],
        "nd4j-native": [
            "java",
            "-cp",
            classpath.read_text() if classpath.exists() else "",
            str(Path(__file__).parent / "java" / "Losses.java"),
        ],
        "candle-nn": [str(BUILT / "rust" / "release" / "losses")],
        "burn-nn": [str(BUILT / "rust" / "release" / "losses")],
    }


def asked(package: str, loss: str) -> Callable[[Array, Array], Answer]:
    """Returns the real side of a row from the name that the package's program has for the loss."""

    def real(logits: Array, targets: Array) -> Answer:
        if missing := reason(LANGUAGES[package]):
            raise Unavailable(missing)
        numbers = (" ".join(str(float(x)) for x in part.ravel()) for part in (logits, targets))
        line = "\t".join([loss, str(len(logits)), *numbers]) + "\n"
        done = subprocess.run(
            commands()[package], input=line, text=True, capture_output=True, check=False
        )
        if done.returncode != 0:
            raise RuntimeError(done.stderr)
        # Node and ND4J print lines of their own before the answer.
        found = [float(word) for word in done.stdout.splitlines()[-1].split()]
        return np.float64(found[0]), np.reshape(found[1:], logits.shape)

    return real


# A row adds the first word to its name; the program knows the loss by the second.
_WEIGHTS = rows.ROW_WEIGHTS
_TFJS: tuple[tuple[str, str, dict[str, Any]], ...] = (
    ("", "plain", {}),
    ("labelSmoothing=0.1", "smoothing", {"labelSmoothing": 0.1}),
    ("weights", "nonzero", {"weights": _WEIGHTS}),
    ("weights, MEAN", "mean", {"weights": _WEIGHTS, "reduction": "MEAN"}),
    ("weights, SUM", "sum", {"weights": _WEIGHTS, "reduction": "SUM"}),
)
_ND4J: tuple[tuple[str, str, dict[str, Any]], ...] = (
    ("", "plain", {}),
    ("labelSmoothing=0.1", "smoothing", {"labelSmoothing": 0.1}),
    ("weights", "nonzero", {"weights": _WEIGHTS}),
    ("weights, MEAN_BY_WEIGHT", "mean", {"weights": _WEIGHTS, "lossReduce": "MEAN_BY_WEIGHT"}),
    ("weights, SUM", "sum", {"weights": _WEIGHTS, "lossReduce": "SUM"}),
)
_BURN: tuple[tuple[str, str, dict[str, Any]], ...] = (
    ("", "burn", {"logits": True}),
    ("smoothing=0.1", "burn_smoothing", {"smoothing": 0.1, "logits": True, "classes": 3}),
    ("weights", "burn_weights", {"weights": rows.COLUMN_WEIGHTS, "logits": True}),
)


def _rows(name: str, package: str, recipe: Any, given: Any, targets: Array) -> list[Row]:
    return [
        Row(
            f"{name}({words})",
            (package,),
            recipe(**arguments),
            targets,
            asked(package, loss),
            has_tail="moothing" not in words,
        )
        for words, loss, arguments in given
    ]


def all_rows() -> list[Row]:
    candle = "candle_nn::loss::binary_cross_entropy_with_logit"
    return [
        *_rows(
            "tf.losses.sigmoidCrossEntropy",
            "@tensorflow/tfjs",
            recipes.tfjs_sigmoid_cross_entropy,
            _TFJS,
            rows.SOFT,
        ),
        *_rows(
            "SameDiff.loss().sigmoidCrossEntropy",
            "nd4j-native",
            recipes.nd4j_sigmoid_cross_entropy,
            _ND4J,
            rows.SOFT,
        ),
        Row(
            candle,
            ("candle-nn",),
            recipes.candle_binary_cross_entropy_with_logit(),
            rows.SOFT,
            asked("candle-nn", "candle"),
        ),
        *_rows(
            "burn::nn::loss::BinaryCrossEntropyLoss",
            "burn-nn",
            recipes.burn_binary_cross_entropy,
            _BURN,
            rows.HARD,
        ),
    ]
