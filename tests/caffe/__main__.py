"""Runs lossd.caffe's layer in pycaffe, and holds it and the recipe against Caffe 1.0: ./dev caffe.

usage: python -m tests.caffe CLASSPATH

CLASSPATH has the jars of tests/caffe/official/pom.xml. PYTHONPATH has pycaffe, and LOSSD_BINARY_DIR
the server. It writes docs/caffe.md and tests/caffe/report.json, with whose numbers every test run
compares lossd. The exit code is 1 if weights, losses, gradients or refusals are not as they should.
"""

from __future__ import annotations

import json
import sys
import tempfile
from pathlib import Path
from typing import Any

import lossd
import numpy as np

from tests.caffe import cases, training
from tests.caffe.official import Answer, Caffe, Question
from tests.caffe.page import PAGE, write_page
from tests.e2e.running_server import RunningServer, running_server
from tests.peers.rows import close

REPORT = Path(__file__).parent / "report.json"
TOLERANCE = 1e-6

OURS = ("lossd.caffe", "RemoteSigmoidCrossEntropyLossLayer")
OLDER = ("loss_layers", "CustomSigmoidCrossEntropyLossLayer")
REMOTE = """
layer { name: "loss" type: "Python" %(bottoms)s top: "loss"
  python_param { module: "%(module)s" layer: "%(layer)s" param_str: '%(options)s' }
  %(fields)s }
"""
TAIL_WORDS = ("its loss", "lossd's loss", "its gradient", "lossd's gradient")


class Run:
    """The servers, folders and failures of one run."""

    def __init__(self, server: RunningServer, folder: Path, official: Caffe) -> None:
        self.server, self.folder, self.official = server, folder, official
        self.failed = False

    def layer(
        self,
        names: tuple[str, str] = OURS,
        fields: str = "",
        bottoms: str = cases.BOTTOMS,
        **options: Any,
    ) -> str:
        """Returns the loss layer that this server computes, as prototxt."""
        text = json.dumps({"server": self.server.address, **options})
        named = {"module": names[0], "layer": names[1], "options": text}
        return REMOTE % {"bottoms": bottoms, "fields": fields, **named}

    def difference(self, *pairs: tuple[Any, Any]) -> str:
        """Returns the largest relative difference of pairs of ours and theirs, in words."""
        worst = max(close(*pair) for pair in pairs)
        self.failed |= not worst <= TOLERANCE
        return f"{worst:.0e}" if worst else "0"


def training_table(run: Run) -> list[str]:
    lines = [
        "| layer | loss_weight | last loss | largest difference of a weight |",
        "|---|---|---|---|",
    ]
    for weight in (1, 2):
        expected = training.train(run.folder, training.BUILT_IN % {"weight": weight})
        lines.append(f"| SigmoidCrossEntropyLoss | {weight} | {expected.loss:.7f} | |")
        # A sum of 64 rows with a 64th of the weight is the mean over the batch.
        for layer, reduction, given, forced in (
            (OURS, "batch", weight, False),
            (OURS, "batch", weight, True),
            (OLDER, "sum", weight / 64, False),
        ):
            options: dict[str, Any] = {"reduction": reduction}
            if forced:
                options["force_backward"] = True
            fields = f"loss_weight: {given} propagate_down: true propagate_down: false"
            remote = run.layer(layer, fields, **options)
            found = training.train(run.folder, remote, forced)
            difference = float(np.abs(found.weights - expected.weights).max())
            run.failed |= not difference <= TOLERANCE
            words = f"{layer[1]}, {reduction}{', force_backward' * forced}"
            lines.append(f"| {words} | {given} | {found.loss:.7f} | {difference:.1e} |")
    return [*lines, "", f"The largest weight is {np.abs(expected.weights).max():.3f}."]


def normalization_table(run: Run, client: lossd.Client, answers: list[Answer]) -> list[str]:
    """Compares the answers of Caffe 1.0 to all cases with the recipe, and the layer in pycaffe."""
    lines = [
        "| loss_param | labels | loss_weight | loss | recipe | layer |",
        "|---|---|--:|--:|--:|--:|",
    ]
    for case, answer in zip(cases.all_cases(), answers, strict=True):
        expected = np.reshape(answer.gradient, case.scores.shape)
        options = lossd.recipes.caffe_sigmoid_cross_entropy(**case.recipe)
        recipe = client.compute_loss(case.scores, case.labels, **options)
        words = [run.difference((recipe.loss, answer.net_loss), (recipe.gradient, expected))]
        fields = f"loss_weight: {case.loss_weight}"
        remote = run.layer(fields=fields, force_backward=True, **case.layer)
        net = cases.net_of(case.scores, case.labels) + remote
        loss, gradient = training.run(run.folder, net, case.scores, case.labels)
        words.append(run.difference((loss, answer.loss), (gradient, expected)))
        lines.append(
            f"| {case.loss_param or '-'} | {case.labels_in_words} | {case.loss_weight:g} "
            f"| {answer.loss:.7f} | {words[0]} | {words[1]} |"
        )
    return lines


def tail_table(client: lossd.Client, answers: list[Answer]) -> list[str]:
    lines = [f"| score | label | {' | '.join(TAIL_WORDS)} |", "|--:|--:|--:|--:|--:|--:|"]
    for score, label, answer in zip(cases.TAIL, cases.TAIL_LABELS, answers, strict=True):
        ours = client.compute_loss(score.reshape(1, 1), label.reshape(1, 1))
        numbers = (answer.loss, ours.loss, answer.gradient[0], ours.gradient.item())
        lines.append(f"| {score:g} | {label:g} | {' | '.join(f'{x:.7g}' for x in numbers)} |")
    return lines


def refusal_table(run: Run) -> list[str]:
    lines = ["| what | Caffe 1.0 ends the process | lossd.caffe |", "|---|---|---|"]
    for refusal in cases.REFUSALS:
        question = Question(cases.built_in_refused(refusal), refusal.scores, refusal.labels)
        theirs = run.official.fatal_message(question)
        remote = run.layer(fields=refusal.fields, bottoms=refusal.bottoms, **refusal.layer)
        net = cases.net_of(refusal.scores, refusal.labels) + remote
        ours = error_of(run, net, refusal.scores, refusal.labels, refusal.is_error_here)
        lines.append(f"| {refusal.words} | `{theirs}` | {ours} |")
    scores, labels = cases.SCORES.copy(), cases.HARD.copy()
    scores[1, 0], labels[0, 2] = np.nan, 2
    net = cases.net_of(scores, labels) + run.layer(force_backward=True)
    for words, given in (
        ("a NaN among the scores", (scores, cases.HARD)),
        ("a label of 2", (cases.SCORES, labels)),
    ):
        lines.append(f"| {words} | no: it computes | {error_of(run, net, *given, True)} |")
    return lines


def error_of(run: Run, net: str, scores: Any, labels: Any, expected: bool) -> str:
    """Returns what a net in pycaffe says, and notes a failure where that was not expected."""
    try:
        loss, _ = training.run(run.folder, net, scores, labels)
    except (RuntimeError, ValueError) as error:
        run.failed |= not expected
        return f"{type(error).__name__}: `{str(error).splitlines()[-1]}`"
    run.failed |= expected
    return f"takes them, the loss is {loss:.7f}"


def ask_official(official: Caffe) -> tuple[list[Answer], list[Answer]]:
    """Returns the answers to all cases, and those to the elements of the tail."""
    questions = [
        Question(cases.built_in(case), case.scores, case.labels) for case in cases.all_cases()
    ]
    elements = (array.reshape(-1, 1, 1) for array in (cases.TAIL, cases.TAIL_LABELS))
    pairs = list(zip(*elements, strict=True))
    fields = {"bottoms": cases.BOTTOMS, "fields": ""}
    questions += [Question(cases.net_of(*pair) + cases.BUILT_IN % fields, *pair) for pair in pairs]
    answers = official.ask(questions)
    return answers[: -len(pairs)], answers[-len(pairs) :]


def write_report(answers: list[Answer]) -> None:
    """Writes what Caffe 1.0 answered, with a line for each case."""
    named = zip(cases.all_cases(), answers, strict=True)
    lines = (f" {json.dumps(case.name)}: {json.dumps(answer._asdict())}" for case, answer in named)
    REPORT.write_text("{\n" + ",\n".join(lines) + "\n}\n")


def main() -> int:
    with (
        tempfile.TemporaryDirectory() as name,
        running_server("--log_level=error") as server,
        lossd.Client(server.address) as client,
    ):
        run = Run(server, Path(name), Caffe(sys.argv[1], Path(name)))
        answers, tail = ask_official(run.official)
        sections = [
            training_table(run),
            normalization_table(run, client, answers),
            tail_table(client, tail),
            refusal_table(run),
        ]
    write_report(answers)
    write_page(sections)
    print(PAGE.read_text())
    print(f"lossd {lossd.__version__}: {'FAILED' if run.failed else 'ok'}")
    return run.failed


if __name__ == "__main__":
    sys.exit(main())
