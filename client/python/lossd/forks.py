"""What a fork of this process leaves of gRPC in the child.

gRPC makes itself ready for a fork only while no other thread is inside it. If one is, the child
may crash or wait for ever in any use of gRPC, so the clients refuse to be used there. A thread
is inside it during a call, and as long as a channel of asyncio (D67) or the stream of a session
(D84) is open.
"""

from __future__ import annotations

import os
import threading
import weakref
from collections.abc import Iterable
from typing import Any

# Sets, because adding and removing one element needs no lock.
_calls: set[object] = set()  # one element for each call under way
_streams: set[object] = set()  # one for each stream of a session, which has threads inside gRPC
_channels: weakref.WeakSet[Any] = weakref.WeakSet()  # the open channels of asyncio
_LEAVING_SECONDS = 1.0
_broken = ""  # the reason why gRPC cannot be used in this process


def begin_call() -> object:
    """Says that this thread enters gRPC; returns what end_call() takes."""
    call = object()
    _calls.add(call)
    return call


def end_call(call: object) -> None:
    """Says that the thread of begin_call() has left gRPC."""
    _calls.discard(call)


def begin_stream() -> object:
    """Says that a session opens its stream; returns what end_stream() takes."""
    stream = object()
    _streams.add(stream)
    return stream


def end_stream(stream: object, threads: Iterable[threading.Thread] = ()) -> None:
    """Says that the stream of begin_stream() has ended.

    `threads` are those that gRPC has started for it. They leave gRPC a little later, unless they
    serve another stream, so they are waited for; at most a second, because one may be another's.
    One that has not begun yet is another's.
    """
    if len(_streams) == 1:
        for thread in threads:
            if thread.ident is not None:
                thread.join(_LEAVING_SECONDS)
    _streams.discard(stream)


def keep_in_mind(channel: Any) -> None:
    """Says that a channel of asyncio is open, until forget() or its end."""
    _channels.add(channel)


def forget(channel: Any) -> None:
    """Says that a channel of asyncio is closed."""
    _channels.discard(channel)


def check() -> None:
    """Raises RuntimeError in a child in which gRPC cannot be used."""
    if _broken:
        raise RuntimeError(
            f"lossd: this process was forked while {_broken}, and gRPC does not work in such a "
            "process; fork before that, or start processes by 'spawn' or 'forkserver'"
        )


def _look_back() -> None:
    global _broken
    if _calls:
        _broken = "another thread was in a call"
    elif _streams:
        _broken = "a Session was open"
    elif _channels:
        _broken = "an AsyncClient was open"
    _calls.clear()
    _streams.clear()
    _channels.clear()


os.register_at_fork(after_in_child=_look_back)
