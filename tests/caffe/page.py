"""The page docs/caffe.md, from the tables of a run."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import caffe
import numpy as np

from tests.caffe import training

PAGE = Path(__file__).parents[2] / "docs" / "caffe.md"

HEADS = (
    """# The layer of lossd.caffe in Caffe

`./dev caffe` ran all of this and wrote the page.

## Training in pycaffe

pycaffe is Caffe {caffe} of PyPI's brocolli-caffe 9.0.2, a fork, with NumPy {numpy} and
Python {python}. Each net was trained for {steps} steps (momentum 0.9, 10 inputs, 5 outputs,
batches of 64), once through the fork's own layer and then through lossd.
""",
    """## Normalizations of Caffe 1.0

The fork's own layer knows neither `normalization` nor `ignore_label`, so these losses and
gradients are those of Caffe 1.0 itself:
org.bytedeco.javacpp-presets:caffe:1.0-1.4.4 of Maven Central, with {java}.
"loss" is what it printed; a loss_weight multiplies the gradient and the net's loss. "recipe" is the
largest difference of `lossd.recipes.caffe_sigmoid_cross_entropy` in loss or gradient, as a part of
the largest number, and "layer" that of `lossd.caffe` in pycaffe. `tests/caffe/report.json` has
every number, and each test run compares lossd with them.
""",
    """## Tails

Caffe 1.0's loss and gradient of one element, beside lossd's.
""",
    """## What is refused

A fatal error of Caffe's own layer ends the process. Those of a Python layer are exceptions.
""",
)


def java_version() -> str:
    found = subprocess.run(["java", "--version"], capture_output=True, text=True, check=True)
    return " ".join(found.stdout.splitlines()[0].split()[:2])


def write_page(sections: list[list[str]]) -> None:
    """Writes the lines of each section below its head."""
    facts = {
        "caffe": caffe.__version__,
        "numpy": np.__version__,
        "python": sys.version.split()[0],
        "java": java_version(),
        "steps": training.STEPS,
    }
    pairs = zip(HEADS, sections, strict=True)
    parts = (head.format(**facts) + "\n" + "\n".join(lines) + "\n" for head, lines in pairs)
    PAGE.write_text("\n".join(parts))
