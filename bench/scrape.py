"""Reads histograms from a server's /metrics page and subtracts earlier readings."""

from __future__ import annotations

import re
import urllib.request
from dataclasses import dataclass

SAMPLE = re.compile(
    r'^(?P<name>\w+?)_(?P<part>bucket|sum|count)(?:\{le="(?P<le>[^"]+)"\})? (?P<value>\S+)$'
)


@dataclass(frozen=True)
class Histogram:
    """`buckets` has (bound, count of values up to it), bounds rising, the last one infinite."""

    buckets: tuple[tuple[float, int], ...]
    sum: float

    @property
    def count(self) -> int:
        return self.buckets[-1][1] if self.buckets else 0

    @property
    def mean(self) -> float:
        return self.sum / self.count if self.count else 0.0

    def since(self, before: Histogram) -> Histogram:
        """Returns the values observed after `before`, an earlier reading of this histogram."""
        earlier = dict(before.buckets)
        return Histogram(
            tuple((bound, count - earlier.get(bound, 0)) for bound, count in self.buckets),
            self.sum - before.sum,
        )

    def as_json(self) -> dict[str, object]:
        """Gives bounds in the metric's unit. `count` stands for the infinite bound."""
        return {
            "count": self.count,
            "mean": self.mean,
            "at_most": [[bound, n] for bound, n in self.buckets if bound != float("inf")],
        }


def parse_histogram(page: str, name: str) -> Histogram:
    """Returns the histogram `name`, whose only label is its bound; RuntimeError without one."""
    buckets: list[tuple[float, int]] = []
    total = 0.0
    for line in page.splitlines():
        sample = SAMPLE.match(line)
        if sample is None or sample["name"] != name:
            continue
        if sample["part"] == "bucket":
            buckets.append((float(sample["le"]), int(float(sample["value"]))))
        elif sample["part"] == "sum":
            total = float(sample["value"])
    if not buckets:
        raise RuntimeError(f"no histogram {name} on the page")
    return Histogram(tuple(sorted(buckets)), total)


def histogram_of(address: str, name: str) -> Histogram:
    """Returns the histogram `name` of the server whose /metrics is at `address`."""
    with urllib.request.urlopen(f"http://{address}/metrics", timeout=10) as reply:
        return parse_histogram(reply.read().decode(), name)
