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
    """An entry of bench.json.

    `instruction_set` is the one that both sides used, or "" where the CPU has none to choose.
    """

    name: str
    ours: float
    peer: float
    ratio: float
    unit: str
    what: str
    instruction_set: str = ""

    def as_json(self) -> dict[str, Any]:
        return asdict(self)


@dataclass(frozen=True)
class Effort:
    """Bounds a measurement: its rounds, and the seconds of one side in a round."""

    rounds: int
    seconds: float


@dataclass(frozen=True)
class Floors:
    """The ratios that a measurement should reach, by the instruction set of both sides."""

    avx2: float
    avx512: float

    def on(self, instruction_set: str) -> float:
        """Returns the floor for an instruction set; others have that of AVX2."""
        return self.avx512 if instruction_set == "avx512" else self.avx2


@dataclass(frozen=True)
class Measurement:
    """A measurement and its goal.

    `floor` is the ratio that it should reach, and `ceiling` the one that it should not exceed,
    where less is better. Without both the ratio is only reported.
    """

    floor: float | Floors | None
    run: Callable[[str, Programs, Effort], Result]
    ceiling: float | None = None

    def floor_on(self, instruction_set: str) -> float | None:
        """Returns the ratio to reach with an instruction set."""
        return self.floor.on(instruction_set) if isinstance(self.floor, Floors) else self.floor

    def goal_on(self, instruction_set: str) -> str:
        """Returns the goal as a table says it."""
        floor = self.floor_on(instruction_set)
        if floor is not None:
            return f">= {floor:g}"
        return "reported" if self.ceiling is None else f"<= {self.ceiling:g}"

    def is_met_by(self, result: Result) -> bool:
        """Returns whether the ratio of `result` reaches the floor and is not above the ceiling."""
        if self.ceiling is not None and result.ratio > self.ceiling:
            return False
        floor = self.floor_on(result.instruction_set)
        return floor is None or result.ratio >= floor


def alternate(
    rounds: int, ours: Callable[[], float], peer: Callable[[], float]
) -> tuple[float, float]:
    """Returns the medians of both sides, measured in turns so that a slow minute hits both."""
    pairs = [(ours(), peer()) for _ in range(rounds)]
    return statistics.median(a for a, _ in pairs), statistics.median(b for _, b in pairs)
