"""A machine's clock may be set, forward or back, and no call has less or more time for that."""

from __future__ import annotations

from pathlib import Path

import lossd
import numpy as np
import pytest
from running_server import running_server

HOUR = 3600  # seconds
CALLS = 200  # after each step: the old time must not live on in a cache
# It stands before the functions of the C library that tell the time of day, and reads a file.
LIBRARY = next(Path("/usr/lib").glob("*/faketime/libfaketimeMT.so.1"), None)
ELEMENTS = np.zeros(4, np.float32)


@pytest.mark.skipif(LIBRARY is None, reason="the package faketime is not installed")
def test_steps_of_the_clock_end_no_call(tmp_path: Path) -> None:
    clock = tmp_path / "clock"
    clock.write_text("+0\n")
    under = (
        "env",
        f"LD_PRELOAD={LIBRARY}",
        f"FAKETIME_TIMESTAMP_FILE={clock}",
        "FAKETIME_DONT_FAKE_MONOTONIC=1",
        "FAKETIME_NO_CACHE=1",
    )
    with (
        running_server(under=under) as server,
        lossd.Client(server.address) as client,
        client.session() as session,
    ):
        for step in (HOUR, 0, -HOUR, HOUR):
            waiting = [session.submit(ELEMENTS, ELEMENTS, timeout=60) for _ in range(CALLS)]
            clock.write_text(f"{step:+d}\n")
            for _ in range(CALLS):
                assert client.compute_loss(ELEMENTS, ELEMENTS, timeout=60).loss > 0
            assert all(future.result().loss > 0 for future in waiting)
