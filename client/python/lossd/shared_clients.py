"""The clients that losses share: one for each target, for as long as the process lives."""

from __future__ import annotations

import threading

from lossd.client import Client

_lock = threading.Lock()
_by_target: dict[str, Client] = {}


def of(client: Client | str) -> Client:
    """Returns a client as it is, or the shared one of a target.

    Raises TypeError for anything else, and ValueError for a target that is none.
    """
    if isinstance(client, str):
        return of_target(client)
    if not isinstance(client, Client):
        raise TypeError(f"client: {client!r} is neither a lossd.Client nor a target")
    return client


def of_target(target: str) -> Client:
    """Returns the client that all losses of a target share. Threads may call this."""
    client = _by_target.get(target)
    if client is None:
        with _lock:
            client = _by_target.get(target)
            if client is None:
                client = _by_target[target] = Client(target)
    return client
