"""Defines a measurement and its result."""

from __future__ import annotations

import statistics
from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:  # it needs PyTorch
    from programs import Programs

MEBI = 1 << 20


@dataclass(frozen=True)
class Result:
    """An entry of bench.json."""

    name: str
    ours: float
    peer: float
    ratio: float
    unit: str
    what: str

    def as_json(self) -> dict[str, Any]:
        return asdict(self)


@dataclass(frozen=True)
class Effort:
    """Bounds a measurement: its rounds, and the seconds of one side in a round."""

    rounds: int
    seconds: float


@dataclass(frozen=True)
class Measurement:
    """A measurement and its goal.

    `floor` is the ratio that it should reach, and `ceiling` the one that it should not exceed,
    where less is better. Without both the ratio is only reported.
    """

    floor: float | None
    run: Callable[[str, Programs, Effort], Result]
    ceiling: float | None = None

    def is_met_by(self, result: Result) -> bool:
        """Returns whether the ratio of `result` reaches the floor and is not above the ceiling."""
        if self.ceiling is not None and result.ratio > self.ceiling:
            return False
        return self.floor is None or result.ratio >= self.floor


def alternate(
    rounds: int, ours: Callable[[], float], peer: Callable[[], float]
) -> tuple[float, float]:
    """Returns the medians of both sides, measured in turns so that a slow minute hits both."""
    pairs = [(ours(), peer()) for _ in range(rounds)]
    return statistics.median(a for a, _ in pairs), statistics.median(b for _, b in pairs)
