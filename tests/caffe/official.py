"""Asks Caffe 1.0, from Maven Central, through the Java program of tests/caffe/official."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from tests.caffe.cases import Array

PROGRAM = Path(__file__).parent / "official" / "RunNets.java"
FATAL = re.compile(r"^F\d.*?\] (.*)$", re.M)


class Question(NamedTuple):
    net: str  # a prototxt
    scores: Array
    labels: Array


class Answer(NamedTuple):
    loss: float  # the top of the loss layer
    net_loss: float  # the loss by its loss_weight
    gradient: list[float]  # the diff of the scores


class Caffe:
    """Caffe 1.0 with the jars of a classpath; nets are written into a folder."""

    def __init__(self, classpath: str, folder: Path) -> None:
        self._command = ["java", "-cp", classpath, str(PROGRAM)]
        self._folder = folder

    def ask(self, questions: Sequence[Question]) -> list[Answer]:
        """Returns an answer for each question; RuntimeError if Caffe ends the process."""
        done = self._run(questions)
        if done.returncode != 0:
            raise RuntimeError(done.stderr)
        lines = ([float(word) for word in line.split()] for line in done.stdout.splitlines())
        return [Answer(line[0], line[1], line[2:]) for line in lines]

    def fatal_message(self, question: Question) -> str:
        """Returns the line with which Caffe ends the process; RuntimeError if it does not."""
        done = self._run([question])
        found = FATAL.search(done.stderr)
        if done.returncode == 0 or found is None:
            raise RuntimeError(f"Caffe 1.0 takes {question.net}")
        return found[1].strip()

    def _run(self, questions: Sequence[Question]) -> subprocess.CompletedProcess[str]:
        lines = []
        for place, question in enumerate(questions):
            path = self._folder / f"{place}.prototxt"
            path.write_text(question.net)
            numbers = (" ".join(java(x) for x in np.ravel(part)) for part in question[1:])
            lines.append("\t".join([str(path), *numbers]) + "\n")
        return subprocess.run(
            self._command, input="".join(lines), text=True, capture_output=True, check=False
        )


def java(number: float) -> str:
    """Returns a number as Java reads it."""
    return str(float(number)).replace("inf", "Infinity").replace("nan", "NaN")
