"""A network namespace, so that the way to a server can be cut."""

from __future__ import annotations

import contextlib
import os
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass

# Addresses for tests of devices between networks (RFC 2544), which no machine has of its own.
OURS, THEIRS = "198.18.16.1", "198.18.16.2"


class NoNetwork(RuntimeError):
    """This machine does not let us make a network namespace."""


@dataclass(frozen=True)
class Network:
    """A namespace that a pair of virtual interfaces joins to this machine."""

    name: str
    host: str = THEIRS

    @property
    def inside(self) -> tuple[str, ...]:
        """Returns the command that runs the one after it inside."""
        return ("ip", "netns", "exec", self.name)

    def cut(self) -> None:
        """From here on packets are lost both ways, and nobody is told."""
        _ip("-n", self.name, "link", "set", "inside", "down")

    def mend(self) -> None:
        _ip("-n", self.name, "link", "set", "inside", "up")


@contextlib.contextmanager
def network() -> Iterator[Network]:
    """Makes a namespace and removes it; NoNetwork if this process may not."""
    made = Network(f"lossd-soak-{os.getpid()}")
    outside = f"soak{os.getpid()}"[:15]
    try:
        _ip("netns", "add", made.name)
    except (OSError, subprocess.CalledProcessError) as error:
        raise NoNetwork(f"no network namespace: {error}") from error
    try:
        _ip("link", "add", outside, "type", "veth", "peer", "inside", "netns", made.name)
        _ip("address", "add", f"{OURS}/30", "dev", outside)
        _ip("link", "set", outside, "up")
        _ip("-n", made.name, "address", "add", f"{THEIRS}/30", "dev", "inside")
        _ip("-n", made.name, "link", "set", "lo", "up")
        made.mend()
        yield made
    finally:
        _ip("netns", "delete", made.name)  # and its interfaces


def _ip(*arguments: str) -> None:
    subprocess.run(["ip", *arguments], check=True, capture_output=True, text=True)
