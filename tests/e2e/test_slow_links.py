"""Sessions over a link that is slow or silent: others are served, and everything ends."""

from __future__ import annotations

import asyncio
import re
import threading
import urllib.request
from collections.abc import Callable, Iterator
from concurrent.futures import CancelledError
from typing import Any

import lossd
import ml_dtypes
import numpy as np
import pytest
from relay import SECONDS, Relay, relay_to
from running_server import RunningServer, eventually, running_server

ZEROS = np.zeros(4, np.float32)
# The requests, 0.6 KiB each, fit into the window of the server, and the answers, 12 KiB each, not
# into that of the client, who sends no permission for more.
ENTRIES = 20
NARROW: dict[str, int | str | bytes] = {
    "grpc.http2.lookahead_bytes": 1 << 14,
    "grpc.http2.bdp_probe": 0,
}
LOGITS = np.random.default_rng(4).normal(0, 3, 512).astype(ml_dtypes.float8_e4m3fn)
TARGETS = lossd.bits(LOGITS > 0)
OPTIONS: dict[str, Any] = {
    "reduction": "none",
    "gradient_dtype": "float64",
    "losses_dtype": "float64",
    "second_derivative": True,
}
ANSWER_BYTES = 3 * 8 * LOGITS.size


def metric(server: RunningServer, name: str, labels: str = "") -> float:
    with urllib.request.urlopen(f"http://{server.metrics}/metrics", timeout=SECONDS) as reply:
        page = reply.read().decode()
    found = re.search(rf"^{name}{re.escape(labels)} (\S+)$", page, re.MULTILINE)
    return float(found[1]) if found else 0.0


@pytest.fixture(scope="module", name="server")
def start_server() -> Iterator[RunningServer]:
    with running_server() as server:
        yield server


@pytest.fixture(name="relay")
def start_relay(server: RunningServer) -> Iterator[Relay]:
    with relay_to(server.address) as relay:
        yield relay


def test_answers_that_nobody_reads_hold_up_nobody_else(server: RunningServer, relay: Relay) -> None:
    def taken() -> float:
        return metric(server, "lossd_accepted_total", '{method="ComputeLosses"}')

    with (
        lossd.Client(server.address) as other,
        lossd.Client(relay.address, channel_options=NARROW) as client,
        client.session() as session,
    ):
        session.compute_loss(ZEROS, ZEROS)
        before = taken()
        relay.hold()
        futures = [session.submit(LOGITS, TARGETS, **OPTIONS) for _ in range(ENTRIES)]
        # The server goes on with the session while its answers stand, and with the other client.
        assert eventually(other, lambda: taken() - before == ENTRIES)
        assert metric(server, "lossd_inflight_bytes") > 0
        relay.let(ANSWER_BYTES // 2)
        expected = other.compute_loss(LOGITS, TARGETS, **OPTIONS)
        assert not any(future.done() for future in futures)
        relay.release()
        results = [future.result(SECONDS) for future in futures]
        assert eventually(other, lambda: metric(server, "lossd_inflight_bytes") == 0)
    for name in ("gradient", "losses", "second_derivative"):
        bits = {getattr(result, name).tobytes() for result in results}
        assert bits == {getattr(expected, name).tobytes()}


# gRPC notices within about a minute that nothing comes back, and with these at once.
HASTY: dict[str, int | str | bytes] = {
    "grpc.keepalive_time_ms": 200,
    "grpc.keepalive_timeout_ms": 200,
    "grpc.http2.ping_timeout_ms": 200,
}

# Asks three times over a link that becomes silent, closes the session, and returns the outcomes.
Asking = Callable[..., list[Any]]


def ask_blocking(
    relay: Relay,
    *,
    opened: bool,
    cancel: bool = False,
    close_client: bool = False,
    timeout: float | None = None,
) -> list[Any]:
    options = HASTY if not (timeout or cancel or close_client) else {}
    with lossd.Client(relay.address, channel_options=options) as client:
        session = client.session()
        if opened:
            session.compute_loss(ZEROS, ZEROS)
        relay.hold()
        futures = [session.submit(ZEROS, ZEROS, timeout=timeout) for _ in range(3)]
        closing = threading.Thread(target=session.close, kwargs={"cancel_futures": cancel})
        closing.start()
        if close_client:
            client.close()
        closing.join()
        assert all(future.done() for future in futures)
        return [CancelledError() if each.cancelled() else each.exception() for each in futures]


def ask_asyncio(
    relay: Relay,
    *,
    opened: bool,
    cancel: bool = False,
    close_client: bool = False,
    timeout: float | None = None,
) -> list[Any]:
    options = HASTY if not (timeout or cancel or close_client) else {}

    async def use() -> list[Any]:
        async with lossd.AsyncClient(relay.address, channel_options=options) as client:
            session = client.session()
            if opened:
                await session.compute_loss(ZEROS, ZEROS)
            relay.hold()
            calls = [session.compute_loss(ZEROS, ZEROS, timeout=timeout) for _ in range(3)]
            tasks = [asyncio.ensure_future(call) for call in calls]
            await asyncio.sleep(0)
            closing = asyncio.ensure_future(session.close(cancel_futures=cancel))
            await asyncio.sleep(0)
            if close_client:
                await client.close()
            await closing
            return await asyncio.gather(*tasks, return_exceptions=True)

    return asyncio.run(use())


def outcomes(ask: Asking, relay: Relay, **how: Any) -> list[str]:
    """Returns the names of the outcomes, and fails if asking and closing do not end."""
    found: list[Any] = []
    thread = threading.Thread(target=lambda: found.extend(ask(relay, **how)), daemon=True)
    thread.start()
    thread.join(SECONDS)
    assert not thread.is_alive()
    return [
        one.code.name if isinstance(one, lossd.LossdError) else type(one).__name__ for one in found
    ]


@pytest.mark.parametrize("opened", [False, True])
@pytest.mark.parametrize("ask", [ask_blocking, ask_asyncio])
class TestClosingOverASilentLink:
    """`opened` says whether the stream has begun before the link falls silent."""

    def test_waits_until_the_timeouts(self, relay: Relay, ask: Asking, opened: bool) -> None:
        found = outcomes(ask, relay, opened=opened, timeout=0.3)
        assert found == ["DEADLINE_EXCEEDED"] * 3

    def test_waits_until_the_link_is_lost(self, relay: Relay, ask: Asking, opened: bool) -> None:
        found = outcomes(ask, relay, opened=opened)
        assert found == ["UNAVAILABLE"] * 3

    def test_waits_for_nothing_if_it_cancels(self, relay: Relay, ask: Asking, opened: bool) -> None:
        found = outcomes(ask, relay, opened=opened, cancel=True)
        assert found == ["CancelledError"] * 3

    def test_ends_with_the_client(self, relay: Relay, ask: Asking, opened: bool) -> None:
        found = outcomes(ask, relay, opened=opened, close_client=True)
        assert found == ["CANCELLED"] * 3
