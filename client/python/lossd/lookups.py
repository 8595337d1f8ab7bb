"""The addresses of several servers, as the one target that gRPC takes for several (D90)."""

from __future__ import annotations

import ipaddress
import logging
import math
import os
import socket
import threading
import time
from collections.abc import Callable, Iterable, Sequence
from typing import NamedTuple, Protocol

import grpc

from lossd import address
from lossd.errors import LossdError

_LOG = logging.getLogger("lossd")
# gRPC asks the DNS for one name again after so many seconds, too.
_AGAIN_SECONDS = 30.0
# A function is called again after so many seconds (D97).
_CALL_AGAIN_SECONDS = 5.0
# A client that waits for its servers looks again after so many seconds while there is none, and
# one that had no thread for a lookup tries again.
_SOON_SECONDS = 1.0

# An IP address and a port, as texts.
Address = tuple[str, str]


class Found(NamedTuple):
    """What a lookup has found."""

    target: str  # for gRPC; empty if there is no server
    error: str = ""  # why there is none, or not every one


class Source(Protocol):
    """Finds the servers of a client."""

    def find(self) -> Found: ...


class Names:
    """The servers of a list of HOST:PORT. A name that is not found keeps its earlier addresses."""

    def __init__(self, listed: Sequence[str]) -> None:
        self.listed = listed
        self._found: dict[str, list[Address]] = {}
        self._errors: dict[str, str] = {}
        self._names: list[str] = []
        for one in listed:
            known = _as_ip(one)
            if known is None:
                self._names.append(one)
            else:
                self._found[one] = [known]

    @property
    def constant(self) -> bool:
        """Whether find() returns the same at once and always."""
        return not self._names

    def find(self) -> Found:
        """Asks the DNS for each name."""
        self._errors.clear()
        for name in self._names:
            self._ask(name)
        errors = "; ".join(f"{name}: {why}" for name, why in self._errors.items())
        if self._found:
            return Found(_joined(self._found.values()), errors)
        return Found("", f"no server's name: {errors}")

    def _ask(self, name: str) -> None:
        host, _, port = name.rpartition(":")
        try:
            found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
        except OSError as error:  # also UnicodeError's cause
            self._errors[name] = error.strerror or str(error)
        except UnicodeError as error:
            self._errors[name] = str(error)
        else:
            self._found[name] = [(str(place[0]), str(place[1])) for *_, place in found]


class Called:
    """The servers of the list that a function returns. If it raises, they are the former ones."""

    def __init__(self, function: Callable[[], Sequence[str]]) -> None:
        self._function = function
        self._names = Names([])  # of the list that was returned last
        self._last = ""

    def find(self) -> Found:
        """Calls the function. An empty list means that there is no server now."""
        try:
            returned = self._function()
            if isinstance(returned, Sequence) and len(returned) == 0:
                self._last = ""
                return Found("", f"no server: {address.name_of(self._function)} returned none")
            listed = address.listed(f"the result of {address.name_of(self._function)}", returned)
            if listed != self._names.listed:
                self._names = Names(listed)
            found = self._names.find()
        except Exception as error:  # whatever a function of the user may raise
            return Found(self._last, f"no server: {error}")
        self._last = found.target or self._last
        return Found(self._last, found.error)


class Lookups:
    """Finds the addresses of servers, and looks again while it is asked for them.

    gRPC does this for one name (`dns:///`), and for a list takes only IP addresses. Names are
    looked up every 30 s, and a function is called every 5 s. Where that fails and servers are
    known, those answer alone, and the logger "lossd" warns once of each failure. Thread-safe; of
    use in a forked child.
    """

    def __init__(self, given: Sequence[str] | Callable[[], Sequence[str]]) -> None:
        """`given` are the texts HOST:PORT, or a function that returns them."""
        self._source: Source
        self._target, self.error, self._again_at = "", "", 0.0
        if callable(given):
            self._source, self._again_seconds = Called(given), _CALL_AGAIN_SECONDS
        else:
            names = Names(given)
            self._source, self._again_seconds = names, _AGAIN_SECONDS
            if names.constant:
                self._target, self._again_at = names.find().target, math.inf
        # The process and the end of a lookup that is under way.
        self._under_way: tuple[int, threading.Event] | None = None

    @property
    def known(self) -> bool:
        """Whether target() returns at once."""
        return self._target != ""

    def target(self, seconds: float | None, patient: bool, timeout: float | None = None) -> str:
        """Returns the target for gRPC. Waits for the first lookup, and for no later one.

        Raises LossdError: UNAVAILABLE if no server is known and the caller is not `patient`, and
        DEADLINE_EXCEEDED after `seconds`, which are what is left of the call's `timeout`; None says
        that they are all of it.
        """
        target = self._target  # a lookup may change it at any time
        if target and time.monotonic() < self._again_at:
            return target
        deadline = math.inf if seconds is None else time.monotonic() + seconds
        looked_up = self._begin()
        while not target:
            ended = looked_up.wait(_left(deadline))
            target = self._target
            if target:
                break
            if ended and not patient:
                raise LossdError(grpc.StatusCode.UNAVAILABLE, self.error, None)
            if seconds is not None and time.monotonic() >= deadline:
                raise self.not_found_within(seconds if timeout is None else timeout)
            time.sleep(min(_SOON_SECONDS, max(deadline - time.monotonic(), 0)))
            looked_up = self._begin()
        return target

    def not_found_within(self, seconds: float) -> LossdError:
        """Returns the error of a call whose timeout was too short for the lookup.

        A caller with 0 seconds does not wait, and has no timeout.
        """
        waited = f"was found within the timeout of {seconds:g} s" if seconds > 0 else "is known"
        text = f"no server {waited}"
        text += f": {self.error}" if self.error else ""
        return LossdError(grpc.StatusCode.DEADLINE_EXCEEDED, text, None)

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
        former = self.error
        try:
            self._target, self.error = self._source.find()
            if self._target and self.error not in ("", former):
                _LOG.warning("the list of lossd's servers may be out of date: %s", self.error)
        finally:
            self._again_at = time.monotonic() + self._again_seconds
            self._under_way = None
            looked_up.set()


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
