"""Calls a server in every way at once, so that all that it counts is counted."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable, Iterator

import lossd
import ml_dtypes
import numpy as np

Call = Callable[[lossd.Client], object]

_RANDOM = np.random.default_rng(7)
LARGE = _RANDOM.normal(0, 3, 65_536).astype(np.float32)
SMALL = LARGE[:256]
SATURATED = 20 * LARGE[:4096]


def plain(client: lossd.Client) -> object:
    return client.compute_loss(LARGE, LARGE > 0)


def focal(client: lossd.Client) -> object:
    logits = LARGE[:20_000].astype(ml_dtypes.bfloat16)
    return client.compute_loss(
        logits, LARGE[:20_000] > 0, kind="sigmoid_focal", focal_gamma=2, focal_alpha=0.25
    )


def session(client: lossd.Client) -> object:
    with client.session() as requests:
        return list(requests.map([SMALL] * 32, [SMALL > 0] * 32))


def nan(client: lossd.Client) -> object:
    return client.compute_loss([np.nan, 1.0], [1.0, 0.0], nan_policy="propagate")


def saturated(client: lossd.Client) -> object:
    return client.compute_loss(SATURATED, SATURATED > 0)


def wrong(client: lossd.Client) -> object:
    return client.compute_loss([0.5], [1.5])  # a target outside [0, 1]


KINDS: tuple[Call, ...] = (plain, plain, focal, session, nan, saturated, wrong)


def stream(address: str) -> None:
    """Sends one tensor by StreamLoss."""
    with lossd.Client(address, stream_above_bytes=0) as client:
        client.compute_loss(LARGE, LARGE > 0)


def _repeat(address: str, call: Call, pause: float, stop: threading.Event) -> None:
    with lossd.Client(address, wait_for_ready=True, job=call.__name__) as client:
        while not stop.is_set():
            # Some calls are wrong, and a small server refuses some.
            with contextlib.suppress(lossd.LossdError):
                call(client)
            stop.wait(pause)


@contextlib.contextmanager
def mixed_load(address: str, pause: float = 0.0) -> Iterator[None]:
    """Keeps all KINDS of calls going, each with a client of its own, until the block ends.

    `pause` is the seconds between two calls of a client.
    """
    stop = threading.Event()
    threads = [
        threading.Thread(target=_repeat, args=(address, call, pause, stop)) for call in KINDS
    ]
    for thread in threads:
        thread.start()
    try:
        yield
    finally:
        stop.set()
        for thread in threads:
            thread.join()
