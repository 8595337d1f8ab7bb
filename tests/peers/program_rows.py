"""TensorFlow.js, ND4J, candle and burn, each asked through a program in its own language.

tools/peers_build.sh builds the programs into build/peers.
"""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from lossd import recipes

from tests.peers import rows
from tests.peers.rows import Answer, Array, Row

BUILT = Path(__file__).parents[2] / "build" / "peers"
# The versions that package.json, pom.xml and Cargo.toml pin.
VERSIONS = {
    "@tensorflow/tfjs": "4.22.0",
    "nd4j-native": "1.0.0-M2.1",
    "candle-nn": "0.11.1",
    "burn-nn": "0.22.1",
}


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
    ("labelSmoothing=0.1", "smoothing", {"label_smoothing": 0.1}),
    ("weights", "nonzero", {"weights": _WEIGHTS}),
    ("weights, MEAN_BY_WEIGHT", "mean", {"weights": _WEIGHTS, "reduction": "MEAN_BY_WEIGHT"}),
    ("weights, SUM", "sum", {"weights": _WEIGHTS, "reduction": "SUM"}),
)
_BURN: tuple[tuple[str, str, dict[str, Any]], ...] = (
    ("", "burn", {}),
    ("smoothing=0.1", "burn_smoothing", {"smoothing": 0.1, "classes": 3}),
    ("weights", "burn_weights", {"weights": rows.COLUMN_WEIGHTS}),
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
