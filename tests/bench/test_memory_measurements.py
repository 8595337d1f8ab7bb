"""The bounds of memory are those that the documents promise."""

from __future__ import annotations

import re
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
sys.path.insert(0, str(ROOT / "bench"))

from measurement import MEBI  # noqa: E402
from memory_measurements import BYTES_PER_BUDGET, UNANSWERED, stream_bound  # noqa: E402


def test_the_numbers_are_those_of_the_documents_and_the_server() -> None:
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    assert f"{BYTES_PER_BUDGET} x `--max_inflight_bytes`" in readme
    call = (ROOT / "server/rpc/compute_losses_call.cc").read_text(encoding="utf-8")
    limit = re.search(r"kMaxUnansweredBytes = int64_t\{(\d+)\} << 20", call)
    assert limit is not None
    assert int(limit[1]) * MEBI == UNANSWERED


@pytest.mark.parametrize(("outstanding", "mebi"), [(1, 20), (4, 56), (5, 68), (6, 80), (16, 84)])
def test_a_stream_holds_its_entries_up_to_its_limit(outstanding: int, mebi: int) -> None:
    assert stream_bound(outstanding, 8 * MEBI, 12 * MEBI) == mebi * MEBI
