"""Replaces certificate and key while clients connect without a pause."""

from __future__ import annotations

import signal
import socket
import ssl
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

from cryptography import x509

from soak.certificates import DAY, Authority, Pair, replace
from soak.row import Row, judged
from soak.server import PATIENCE, Server, Setting, running, slowest, wait_until

REPLACED, HANGUPS, BAD = 10, 20, 3  # times; BAD for each of four kinds
# The server looks at its files every ten seconds, so it sees the one without the other.
APART = 12.0  # seconds
PAUSE = 0.01  # seconds between handshakes


class Handshakes:
    """A thread that connects again and again, checks the chain, and notes whose it is."""

    def __init__(self, address: str, authority: Authority) -> None:
        self._context = ssl.create_default_context(cadata=authority.certificate.decode())
        self._context.set_alpn_protocols(["h2"])
        host, port = address.rsplit(":", 1)
        self._address = (host, int(port))
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._work)
        # One thread writes these; the others only read them.
        self.made = 0
        self.failed = 0
        self.reason = ""  # the last failure's
        self.serial = 0  # the last certificate's

    def __enter__(self) -> Handshakes:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        self._thread.join()

    def _work(self) -> None:
        while not self._ended.wait(PAUSE):
            self.made += 1
            try:
                self.serial = self._shake_hands()
            except OSError as error:
                self.failed += 1
                self.reason = str(error)

    def _shake_hands(self) -> int:
        with (
            socket.create_connection(self._address, PATIENCE) as plain,
            self._context.wrap_socket(plain, server_hostname=self._address[0]) as secure,
        ):
            certificate = secure.getpeercert(binary_form=True)
            assert certificate is not None
            return x509.load_der_x509_certificate(certificate).serial_number

    def sees(self, pair: Pair) -> float:
        """Returns after how long the pair is served, or infinity."""
        return wait_until(lambda: self.serial == pair.serial, PATIENCE)


class Files:
    """The server's certificate and key, and the authority that signs them."""

    def __init__(self, setting: Setting) -> None:
        self.certificate = (setting.folder / "tls.crt").resolve()
        self.key = (setting.folder / "tls.key").resolve()
        self.authority = Authority()
        self.put(self.authority.pair())

    def put(self, pair: Pair, apart: float = 0) -> None:
        replace(self.certificate, pair.certificate)
        time.sleep(apart)
        replace(self.key, pair.key)

    @contextmanager
    def served(self, setting: Setting, name: str) -> Iterator[tuple[Server, Handshakes]]:
        server = Server(
            setting, f"--tls_cert={self.certificate}", f"--tls_key={self.key}", name=name
        )
        with running(server), Handshakes(server.address, self.authority) as handshakes:
            wait_until(lambda: handshakes.serial != 0)
            yield server, handshakes


def rows(setting: Setting) -> Iterator[Row]:
    files = Files(setting)
    with files.served(setting, "replaced") as (server, handshakes):
        seen = []
        for _ in range(setting.times(REPLACED)):
            pair = files.authority.pair()
            files.put(pair, APART)
            seen.append(handshakes.sees(pair))
        yield row(f"certificate, {APART:.0f} s later the key replaced", seen, server, handshakes)
    with files.served(setting, "hangup") as (server, handshakes):
        seen = []
        for _ in range(setting.times(HANGUPS)):
            pair = files.authority.pair()
            files.put(pair)
            if server.alive():
                server.send(signal.SIGHUP)
            seen.append(handshakes.sees(pair) if server.alive() else float("inf"))
        yield row("both files replaced, then SIGHUP", seen, server, handshakes)
    yield bad_files(setting, files)


def row(done: str, seen: list[float], server: Server, handshakes: Handshakes) -> Row:
    served = [waited for waited in seen if waited != float("inf")]
    unseen = len(seen) - len(served)
    return judged(
        "tls",
        f"{done}, under new connections",
        f"{ssl.OPENSSL_VERSION.rsplit(' ', 3)[0]} (Python)",
        times=len(seen),
        lost=handshakes.failed + unseen,
        seen=f"{handshakes.made:,} handshakes, {handshakes.failed:,} failed; "
        f"{unseen} pairs never served; {slowest(served)}",
        broken=handshakes.reason if server.alive() else "the server has ended",
    )


def bad_files(setting: Setting, files: Files) -> Row:
    """Puts files in place that must not be taken; the pair from before stays in use."""
    good = files.authority.pair()
    files.put(good)
    other = files.authority.pair()
    bad = [
        Pair(b"no certificate\n", good.key, 0),
        Pair(good.certificate, other.key, 0),
        Pair(other.certificate[:200], other.key, 0),
        files.authority.pair(-DAY),
    ]
    kept = 0
    times = setting.times(BAD)
    with files.served(setting, "bad") as (server, handshakes):
        for pair in bad * times:
            files.put(pair)
            time.sleep(APART)
            kept += handshakes.serial == good.serial
        failed = handshakes.failed
        made = handshakes.made
        reason = handshakes.reason if server.alive() else "the server has ended"
    return judged(
        "tls",
        "garbage, a foreign key, half a file, an expired pair put in place",
        f"{ssl.OPENSSL_VERSION.rsplit(' ', 3)[0]} (Python)",
        times=len(bad) * times,
        lost=failed + len(bad) * times - kept,
        seen=f"{made:,} handshakes, {failed:,} failed; the old pair stayed {kept} times",
        broken=reason,
    )
