"""The addresses of the servers of a list, as the one target that gRPC takes for several (D90)."""

from __future__ import annotations

import ipaddress
import math
import os
import socket
import threading
import time
from collections.abc import Iterable, Sequence

import grpc

from lossd.errors import LossdError

# gRPC asks the DNS for one name again after so many seconds, too.
_AGAIN_SECONDS = 30.0
# A client that waits for its servers asks for unknown names again after so many seconds, and one
# that had no thread for a lookup tries again.
_SOON_SECONDS = 1.0

# An IP address and a port, as texts.
Address = tuple[str, str]


class Lookups:
    """Finds the addresses of host names, and looks again every 30 s while it is asked for them.

    gRPC does this for one name (`dns:///`), and for a list takes only IP addresses. A name that
    is not found keeps the addresses that it had. Thread-safe; of use in a forked child.
    """

    def __init__(self, listed: Sequence[str]) -> None:
        """`listed` are the texts HOST:PORT."""
        self._found: dict[str, list[Address]] = {}
        self._errors: dict[str, str] = {}
        self._names: list[str] = []
        for one in listed:
            address = _as_ip(one)
            if address is None:
                self._names.append(one)
            else:
                self._found[one] = [address]
        self._target = "" if self._names else _joined(self._found.values())
        self._again_at = 0.0 if self._names else math.inf
        # The process and the end of a lookup that is under way.
        self._under_way: tuple[int, threading.Event] | None = None

    @property
    def known(self) -> bool:
        """Whether target() returns at once."""
        return self._target != ""

    def target(self, seconds: float | None, patient: bool) -> str:
        """Returns the target for gRPC. Waits for the first lookup, and for no later one.

        Raises LossdError: UNAVAILABLE if no name is known and the caller is not `patient`, and
        DEADLINE_EXCEEDED after `seconds`.
        """
        if time.monotonic() < self._again_at and self._target:
            return self._target
        deadline = math.inf if seconds is None else time.monotonic() + seconds
        looked_up = self._begin()
        while not self._target:
            ended = looked_up.wait(_left(deadline))
            if self._target:
                break
            if ended and not patient:
                text = "; ".join(f"{name}: {why}" for name, why in self._errors.items())
                raise LossdError(grpc.StatusCode.UNAVAILABLE, f"no server's name: {text}", None)
            if seconds is not None and time.monotonic() >= deadline:
                raise not_found_within(seconds)
            time.sleep(min(_SOON_SECONDS, max(deadline - time.monotonic(), 0)))
            looked_up = self._begin()
        return self._target

    def _begin(self) -> threading.Event:
        """Starts a lookup unless one is under way in this process; returns its end."""
        under_way = self._under_way  # its thread may clear it at any time
        if under_way is not None and under_way[0] == os.getpid():
            return under_way[1]
        looked_up = threading.Event()
        self._under_way = (os.getpid(), looked_up)
        # The C library limits the time of a lookup, and the caller's timeout may be shorter.
        thread = threading.Thread(
            target=self._look_up, args=(looked_up,), name="lossd lookup", daemon=True
        )
        try:
            thread.start()
        except RuntimeError:  # the process has too many threads
            self._under_way = None
            self._again_at = time.monotonic() + _SOON_SECONDS
            if not self._target:
                raise
        return looked_up

    def _look_up(self, looked_up: threading.Event) -> None:
        try:
            self._ask_for_names()
        finally:
            self._again_at = time.monotonic() + _AGAIN_SECONDS
            self._under_way = None
            looked_up.set()

    def _ask_for_names(self) -> None:
        for name in self._names:
            host, _, port = name.rpartition(":")
            try:
                found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
            except OSError as error:  # also UnicodeError's cause
                self._errors[name] = error.strerror or str(error)
            except UnicodeError as error:
                self._errors[name] = str(error)
            else:
                self._errors.pop(name, None)
                self._found[name] = [(str(place[0]), str(place[1])) for *_, place in found]
        self._target = _joined(self._found.values()) if self._found else ""


def not_found_within(seconds: float) -> LossdError:
    """Returns the error of a call whose timeout was too short for the lookup."""
    text = f"the servers' names were not found within the timeout of {seconds:g} s"
    return LossdError(grpc.StatusCode.DEADLINE_EXCEEDED, text, None)


def _left(deadline: float) -> float | None:
    """Returns the seconds until a deadline for a wait; None if it is infinite."""
    return None if deadline == math.inf else max(deadline - time.monotonic(), 0)


def _as_ip(one: str) -> Address | None:
    host, _, port = one.rpartition(":")
    host = host.strip("[]")
    try:
        ipaddress.ip_address(host.partition("%")[0])
    except ValueError:
        return None
    return (host, port) if port.isdecimal() else None


def _joined(found: Iterable[Sequence[Address]]) -> str:
    """Returns one target of all addresses, which is the same whatever their order was."""
    addresses = sorted({address for some in found for address in some})
    if all(":" not in ip for ip, _ in addresses):
        return "ipv4:" + ",".join(f"{ip}:{port}" for ip, port in addresses)
    # Under "ipv6" an IPv4 address has its mapped form. The characters [, ] and % are escaped.
    mapped = ((ip if ":" in ip else f"::ffff:{ip}", port) for ip, port in addresses)
    return "ipv6:" + ",".join(f"%5B{ip.replace('%', '%25')}%5D:{port}" for ip, port in mapped)
