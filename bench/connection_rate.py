"""Measures how many connections per second a gRPC server takes."""

from __future__ import annotations

import socket
import time

# A client first sends this: the preface of HTTP/2, and SETTINGS without parameters.
_FIRST_BYTES = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + b"\0\0\0\4\0\0\0\0\0"
_AT_ONCE = 32  # connections that are opened before the first of them is waited for
_TIMEOUT = 60  # seconds, the limit of every wait


def connections_per_second(target: str, seconds: float) -> float:
    """Opens and closes connections to HOST:PORT for so long, and returns their rate.

    A connection counts once the server has sent its first frame, which gRPC does when it has
    made the connection's transport.
    """
    host, _, port = target.rpartition(":")
    address = (host, int(port))
    begin = time.monotonic()
    count = 0
    while time.monotonic() - begin < seconds:
        opened = [socket.create_connection(address, timeout=_TIMEOUT) for _ in range(_AT_ONCE)]
        for connection in opened:
            connection.sendall(_FIRST_BYTES)
        for connection in opened:
            if not connection.recv(4096):
                raise RuntimeError(f"{target} closed a connection")
            connection.close()
        count += len(opened)
    return count / (time.monotonic() - begin)
