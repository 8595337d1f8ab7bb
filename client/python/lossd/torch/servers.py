"""The clients that operators use, by names that the graphs of PyTorch can hold."""

from __future__ import annotations

import itertools
import threading
import weakref
from typing import Any, Self

from lossd import shared_clients
from lossd.client import Client


class Server:
    """A client, and the name by which the operators find it.

    A copy of a module shares it, and a pickled one has a client of the same arguments.
    """

    def __init__(self, name: str, client: Client) -> None:
        self.name = name
        self.client = client

    def __deepcopy__(self, _: dict[int, Any]) -> Self:
        return self

    def __reduce__(self) -> tuple[Any, ...]:
        return of, (self.name if is_target(self.name) else self.client,)

    def __repr__(self) -> str:
        return self.name


_numbers = itertools.count()
_lock = threading.Lock()
# A client that was given lives as long as its owners.
_given: weakref.WeakValueDictionary[str, Client] = weakref.WeakValueDictionary()
_names: weakref.WeakKeyDictionary[Client, str] = weakref.WeakKeyDictionary()
_default: Server | None = None

_NO_CLIENT = (
    "client: none was given; give client='HOST:PORT' or a lossd.Client, or call "
    "lossd.torch.set_default_client()"
)


def set_default_client(client: Client | str | None) -> None:
    """Chooses the client, or the target HOST:PORT, of modules and functions that are given none.

    None chooses no client again. Raises TypeError or ValueError for anything else.
    """
    global _default
    _default = None if client is None else of(client)


def of(client: Client | str | None) -> Server:
    """Returns the server of a client, of a target, or of set_default_client().

    All modules of a target share one client. Raises RuntimeError if there is no default.
    """
    if client is None:
        if _default is None:
            raise RuntimeError(_NO_CLIENT)
        return _default
    if isinstance(client, str):
        return Server(client, shared_clients.of_target(client))
    shared_clients.of(client)  # the check of its type
    with _lock:
        name = _names.get(client)
        if name is None:
            name = _names[client] = f"client#{next(_numbers)}"
            _given[name] = client
    return Server(name, client)


def name_of(client: Client | str | None) -> str:
    """Returns the name of of(client). torch.compile() can trace this for a target or a default."""
    if isinstance(client, str):
        return client
    if client is None and _default is not None:
        return _default.name
    return of(client).name


def is_target(name: str) -> bool:
    """Returns whether a name is a target, which means the same in every process."""
    return "#" not in name


def named(name: str) -> Client:
    """Returns the client of a name.

    Raises RuntimeError for a client that was given in another process, or that is gone.
    """
    if is_target(name):
        return shared_clients.of_target(name)
    client = _given.get(name)
    if client is None:
        raise RuntimeError(
            f"{name}: this loss was made with a lossd.Client that is not in this process any "
            "more; keep the client, or give a target, client='HOST:PORT'"
        )
    return client
