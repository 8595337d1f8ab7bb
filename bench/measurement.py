"""What a measurement is, and what it gives."""

from __future__ import annotations

import statistics
from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any

from programs import Programs

MEBI = 1 << 20


@dataclass(frozen=True)
class Result:
    """One line of bench.json."""

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
    """How much work a measurement may do."""

    rounds: int
    seconds: float


@dataclass(frozen=True)
class Measurement:
    """`floor`: the ratio to reach; for memory, the ratio to stay under; None: only reported."""

    floor: float | None
    run: Callable[[str, Programs, Effort], Result]


def alternate(
    rounds: int, ours: Callable[[], float], peer: Callable[[], float]
) -> tuple[float, float]:
    """Medians of both sides, taken in turns so that a slow minute hits both."""
    pairs = [(ours(), peer()) for _ in range(rounds)]
    return statistics.median(a for a, _ in pairs), statistics.median(b for _, b in pairs)
