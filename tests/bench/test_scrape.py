"""The bench reads histograms from a handwritten page and from a real server's page."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from running_server import running_server

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "bench"))
from scrape import Histogram, histogram_of, parse_histogram  # noqa: E402

PAGE = """# HELP wait_seconds Time.
# TYPE wait_seconds histogram
wait_seconds_count 7
wait_seconds_sum 2.5
wait_seconds_bucket{le="0.5"} 4
wait_seconds_bucket{le="1"} 6
wait_seconds_bucket{le="+Inf"} 7
other_wait_seconds_bucket{le="+Inf"} 9
"""
INFINITE = float("inf")


def test_a_handwritten_page_is_read() -> None:
    histogram = parse_histogram(PAGE, "wait_seconds")
    assert histogram == Histogram(((0.5, 4), (1.0, 6), (INFINITE, 7)), 2.5)
    assert histogram.mean == pytest.approx(2.5 / 7)
    assert histogram.as_json()["at_most"] == [[0.5, 4], [1.0, 6]]
    with pytest.raises(RuntimeError, match="seconds_of_something"):
        parse_histogram(PAGE, "seconds_of_something")


def test_a_difference_has_the_values_between_two_readings() -> None:
    before = Histogram(((0.5, 1), (INFINITE, 2)), 0.75)
    after = Histogram(((0.5, 4), (INFINITE, 6)), 2.75)
    assert after.since(before) == Histogram(((0.5, 3), (INFINITE, 4)), 2.0)


def test_a_real_servers_page_counts_every_request() -> None:
    program = Path(os.environ.get("LOSSD_BINARY_DIR", "build/dev")) / "client" / "lossbench"
    with running_server() as server:
        before = histogram_of(server.metrics, "lossd_batch_requests")
        subprocess.run(
            [program, f"--target={server.address}", "--requests=50", "--warmup=0s", "--json"],
            stdout=subprocess.DEVNULL,
            check=True,
            timeout=60,
        )
        batches = histogram_of(server.metrics, "lossd_batch_requests").since(before)
        waits = histogram_of(server.metrics, "lossd_queue_seconds")
    # lossbench makes one more request, to check an answer before it measures. A lone
    # caller's requests are computed in batches of one.
    assert batches.count == 51
    assert batches.mean == 1.0
    assert waits.count == 51
    assert waits.buckets[-1][0] == INFINITE
