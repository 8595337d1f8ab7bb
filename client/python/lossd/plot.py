"""Draws the results of a benchmark, or loss curves, as a picture.

`python -m lossd.plot FILE [--out=PICTURE]` takes a bench.json of `./dev bench`, or loss curves as
CSV (a line of names, then a line of numbers for each step) or as JSON lines (an object of numbers
for each step). A column named "step" is the horizontal axis. It needs matplotlib:
`pip install './client/python[plot]'`.
"""

from __future__ import annotations

import argparse
import csv
import json
import math
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from lossd import extras

__all__ = ["BadFile", "draw", "save_bench", "save_curves", "write_csv"]

REACHED = "#3b7dd8"
MISSED = "#d8573b"
THIN, WIDER = 1.2, 2.8  # points: the last curve, and what each one before it is wider

Curves = dict[str, list[float]]


class BadFile(ValueError):
    """A file that holds neither a benchmark's results nor loss curves."""


def _number(value: object, where: str) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        raise BadFile(f"{where}: {value!r} is no number")
    try:
        return float(value)
    except (ValueError, OverflowError):
        raise BadFile(f"{where}: {value!r} is no number") from None


def parse_bench(text: str, name: str) -> list[dict[str, Any]]:
    """Returns the measurements of a bench.json; raises BadFile, which says where it is wrong."""
    try:
        measurements = json.loads(text)
    except json.JSONDecodeError as error:
        raise BadFile(f"{name}:{error.lineno}: {error.msg}") from None
    if not isinstance(measurements, list) or not measurements:
        raise BadFile(f"{name}:1: must be a list of measurements")
    for place, one in enumerate(measurements):
        where = f"{name}: measurement {place}"
        if not isinstance(one, dict) or not isinstance(one.get("name"), str):
            raise BadFile(f"{where}: must be an object with a name")
        for field in ("ours", "peer", "ratio"):
            if field not in one:
                raise BadFile(f"{where} ({one['name']}): has no {field}")
            one[field] = _number(one[field], f"{where} ({one['name']}): {field}")
        if one.get("goal") is not None:
            one["goal"] = _number(one["goal"], f"{where} ({one['name']}): goal")
    return measurements


def _add(curves: Curves, row: Mapping[str, object], where: str) -> None:
    if curves and set(row) != set(curves):
        raise BadFile(f"{where}: has {', '.join(row)}, not {', '.join(curves)}")
    for column, value in row.items():
        curves.setdefault(column, []).append(_number(value, f"{where}: {column}"))


def _no_constant(text: str) -> float:
    return {"NaN": math.nan, "Infinity": math.inf, "-Infinity": -math.inf}[text]


def parse_json_lines(text: str, name: str) -> Curves:
    """Returns the columns of JSON lines; raises BadFile, which names the line."""
    curves: Curves = {}
    for number, line in enumerate(text.splitlines(), 1):
        if not line.strip():
            continue
        where = f"{name}:{number}"
        try:
            row = json.loads(line, parse_constant=_no_constant)
        except json.JSONDecodeError as error:
            raise BadFile(f"{where}: {error.msg}") from None
        if not isinstance(row, dict) or not row:
            raise BadFile(f"{where}: must be an object of numbers")
        _add(curves, row, where)
    return curves


def parse_csv(text: str, name: str) -> Curves:
    """Returns the columns of a CSV file; raises BadFile, which names the line."""
    reader = csv.reader(text.splitlines())
    names = [column.strip() for column in next(reader, [])]
    if len(set(names)) != len(names) or not all(names):
        raise BadFile(f"{name}:1: must name each column once")
    curves: Curves = {}
    try:
        for row in reader:
            if not row:
                continue
            where = f"{name}:{reader.line_num}"
            if len(row) != len(names):
                raise BadFile(f"{where}: has {len(row)} values for {len(names)} columns")
            _add(curves, dict(zip(names, row, strict=True)), where)
    except csv.Error as error:
        raise BadFile(f"{name}:{reader.line_num}: {error}") from None
    return curves


def parse_curves(text: str, name: str) -> Curves:
    """Returns loss curves by name, of CSV or JSON lines; raises BadFile, which names the line."""
    parse = parse_json_lines if text.lstrip().startswith("{") else parse_csv
    curves = parse(text, name)
    if not set(curves) - {"step"}:
        raise BadFile(f"{name}: has no losses")
    return curves


def write_csv(curves: Mapping[str, Sequence[float]], path: Path) -> None:
    """Writes curves of one length as CSV, with a column of steps; OSError if it cannot."""
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(["step", *curves])
        for step, row in enumerate(zip(*curves.values(), strict=True)):
            writer.writerow([step, *row])


def _pyplot() -> Any:
    """Returns matplotlib's pyplot, which needs no display."""
    try:
        import matplotlib
    except ImportError:
        raise extras.missing("lossd.plot", "matplotlib", "plot") from None
    matplotlib.use("Agg")
    import matplotlib.pyplot

    return matplotlib.pyplot


def save_bench(measurements: Sequence[Mapping[str, Any]], path: Path, title: str = "") -> None:
    """Draws each ratio to the peer as a bar, and its "goal", if it has one, as a black mark.

    A measurement whose "missed" is true has another colour. Measurements of one name that follow
    each other, as those of several instruction sets do, share the name.
    """
    pyplot = _pyplot()
    figure, axes = pyplot.subplots(figsize=(9, 1.5 + 0.45 * len(measurements)))
    labels = []
    last = None
    for row, one in enumerate(measurements):
        # Memory that shrank gets a bar of length 0, as memory that did not grow.
        axes.barh(row, max(one["ratio"], 0.0), color=MISSED if one.get("missed") else REACHED)
        goal = one.get("goal")
        if goal is not None:
            axes.plot([goal, goal], [row - 0.4, row + 0.4], color="black", linewidth=2)
        name = "" if one["name"] == last else f"{one['name']}   "
        last = one["name"]
        labels.append(f"{name}{one.get('instruction_set', '')} {one['ratio']:.2f}")
    axes.set_yticks(range(len(measurements)), labels)
    axes.set_ylim(len(measurements) - 0.5, -0.5)
    axes.axvline(1.0, color="grey", linestyle=":")
    goals = any(one.get("goal") is not None for one in measurements)
    marks = " (black: the goal; memory should stay below it)" if goals else ""
    axes.set_xlabel(f"ours / peer{marks}")
    axes.set_title(title, fontsize=10)
    figure.tight_layout()
    figure.savefig(path, dpi=120)
    pyplot.close(figure)


def _paler(color: str) -> tuple[float, ...]:
    """Returns a color with more white, which hides what is below it as the color does."""
    from matplotlib import colors

    return tuple(1 - 0.5 * (1 - part) for part in colors.to_rgb(color))


def save_curves(curves: Mapping[str, Sequence[float]], path: Path, title: str = "") -> None:
    """Draws one curve for each name over the column "step", if there is one.

    The losses' axis is logarithmic if all of them are above 0. The last curve is thin, and those
    before it are pale and wider, so that each one is seen where they coincide.
    """
    pyplot = _pyplot()
    figure, axes = pyplot.subplots(figsize=(7, 4))
    steps = curves.get("step")
    losses = {name: values for name, values in curves.items() if name != "step"}
    for place, (name, values) in enumerate(losses.items()):
        after = len(losses) - 1 - place
        axes.plot(
            range(len(values)) if steps is None else steps,
            values,
            color=_paler(f"C{place % 10}") if after else f"C{place % 10}",
            linewidth=THIN + min(after, 5) * WIDER,
            label=name,
        )
    if all(value > 0 for values in losses.values() for value in values):
        axes.set_yscale("log")
    axes.set_xlabel("step")
    axes.set_ylabel("loss")
    axes.set_title(title, fontsize=10)
    axes.legend()
    figure.tight_layout()
    figure.savefig(path, dpi=120)
    pyplot.close(figure)


def draw(source: Path, picture: Path) -> None:
    """Draws a file by what it holds. Raises BadFile, OSError, or ImportError for matplotlib."""
    try:
        text = source.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError:
        raise BadFile(f"{source}: is no text") from None
    if text.lstrip().startswith("["):
        save_bench(parse_bench(text, str(source)), picture, source.name)
    else:
        save_curves(parse_curves(text, str(source)), picture, source.name)


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs the command; returns 2 for a file that cannot be read, drawn or written."""
    parser = argparse.ArgumentParser(prog="python -m lossd.plot", description=__doc__)
    parser.add_argument("file", type=Path, help="a bench.json, or loss curves as CSV or JSON lines")
    parser.add_argument(
        "--out", type=Path, help="the picture; by default beside the file, with .png at its end"
    )
    parsed = parser.parse_args(arguments)
    picture = parsed.out or parsed.file.with_suffix(".png")
    try:
        draw(parsed.file, picture)
    except OSError as error:
        print(f"lossd.plot: {error.filename}: {error.strerror}", file=sys.stderr)
        return 2
    except (ValueError, ImportError) as error:
        print(f"lossd.plot: {error}", file=sys.stderr)
        return 2
    print(picture)
    return 0


if __name__ == "__main__":
    sys.exit(main())
