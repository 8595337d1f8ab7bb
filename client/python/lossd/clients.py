"""The clients of targets, which the losses for frameworks share.

The client of a target lives as long as the process.
"""

from __future__ import annotations

import threading

from lossd.client import Client

_lock = threading.Lock()
_by_target: dict[str, Client] = {}


def of(client: Client | str) -> Client:
    """Returns a client as it is, or the one of a target; raises TypeError for anything else."""
    if isinstance(client, str):
        return of_target(client)
    if not isinstance(client, Client):
        raise TypeError(f"client: {client!r} is neither a lossd.Client nor a target")
    return client


def of_target(target: str) -> Client:
    """Returns the one client of a target; raises ValueError if it is no target. Thread-safe."""
    client = _by_target.get(target)
    if client is None:
        with _lock:
            client = _by_target.get(target)
            if client is None:
                client = _by_target[target] = Client(target)
    return client
