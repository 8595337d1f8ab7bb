"""A TCP relay between a client and a server, which passes on as much as a test lets it.

It stands for a link that is slow or silent, without a wait: a test says how many bytes go on.
"""

from __future__ import annotations

import contextlib
import math
import queue
import socket
import threading
from collections.abc import Callable, Iterator

SECONDS = 60  # the limit of a wait
_PIECE = 1 << 16  # bytes that are read ahead of what is passed on


class Relay:
    """Passes one connection after another on to a server.

    Requests always go on. Answers do so as hold(), let() and release() say, and with them HTTP/2's
    permissions to send more. Both threads are there from the beginning: a session waits a little
    for threads that appear while it opens its stream, because they may be gRPC's.
    """

    def __init__(self, server: str) -> None:
        host, _, port = server.rpartition(":")
        self._server = (host, int(port))
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.address = f"127.0.0.1:{self._listener.getsockname()[1]}"
        self._changed = threading.Condition()
        self._left: float = math.inf  # bytes of answers that may go on
        self._ended = False
        # The two sides of each connection whose answers are to be passed on; None is the last.
        self._opened: queue.SimpleQueue[tuple[socket.socket, socket.socket] | None]
        self._opened = queue.SimpleQueue()
        self._sockets = [self._listener]
        self._threads = [
            threading.Thread(target=run, name="relay") for run in (self._accept, self._answer)
        ]
        for thread in self._threads:
            thread.start()

    def hold(self) -> None:
        """Lets no answer on that is not read yet."""
        self._set(0)

    def let(self, count: int) -> None:
        """Lets so many bytes on after hold(), and returns when they are on their way."""
        self._set(count)
        with self._changed:
            assert self._changed.wait_for(lambda: self._left == 0, SECONDS)

    def release(self) -> None:
        self._set(math.inf)

    def end(self) -> None:
        """Closes all connections."""
        with self._changed:
            self._ended = True
            self._changed.notify_all()
        self._opened.put(None)
        for each in self._sockets:
            with contextlib.suppress(OSError):  # the other side has closed it
                each.shutdown(socket.SHUT_RDWR)
        for thread in self._threads:
            thread.join(SECONDS)
        for each in self._sockets:
            each.close()

    def _set(self, left: float) -> None:
        with self._changed:
            self._left = left
            self._changed.notify_all()

    def _take(self, most: int) -> int:
        """Waits until bytes may go on; returns how many, and 0 at the end of the relay."""
        with self._changed:
            self._changed.wait_for(lambda: self._left > 0 or self._ended)
            if self._ended:
                return 0
            count = int(min(most, self._left))
            self._left -= count
            self._changed.notify_all()
            return count

    def _accept(self) -> None:
        with contextlib.suppress(OSError):  # the relay ends
            while True:
                client, _ = self._listener.accept()
                server = socket.create_connection(self._server, SECONDS)
                self._sockets += (client, server)
                self._opened.put((server, client))
                _pass_on(client, server, lambda most: most)

    def _answer(self) -> None:
        while (sides := self._opened.get()) is not None:
            _pass_on(*sides, self._take)


def _pass_on(source: socket.socket, sink: socket.socket, take: Callable[[int], int]) -> None:
    with contextlib.suppress(OSError):  # one of the two sides has closed the connection
        while data := source.recv(_PIECE):
            while data:
                count = take(len(data))
                if count == 0:
                    return
                sink.sendall(data[:count])
                data = data[count:]
        sink.shutdown(socket.SHUT_WR)


@contextlib.contextmanager
def relay_to(server: str) -> Iterator[Relay]:
    relay = Relay(server)
    try:
        yield relay
    finally:
        relay.end()
