"""A lossd server as a child of this process, which ends with it."""

from __future__ import annotations

import collections
import importlib
import os
import re
import select
import shutil
import signal
import subprocess
import sys
import threading
from collections.abc import Sequence
from pathlib import Path

_READY = re.compile(r"lossd listening on (\S+) metrics on (\S+)")
# A server with many GPUs takes some seconds.
_START_SECONDS = 60.0
# Longer than --drain_timeout, which the server keeps by itself, is not waited for.
_STOP_SECONDS = 60.0
_LAST_LINES = 5
_LOG_SECONDS = 1.0
_WITH_PARENT = Path(__file__).with_name("with_parent.py")


class NotStarted(RuntimeError):
    """A server did not start. The text says why, with the server's last lines."""


def find_program(given: str | None = None) -> str:
    """Returns the path of the program lossd on this machine.

    It is the one that is given, else that of the package lossd-server, else the first on PATH.
    Raises NotStarted if there is none.
    """
    if given is not None:
        if not os.access(given, os.X_OK) or os.path.isdir(given):
            raise NotStarted(f"binary: {given!r} is no program on this machine")
        return given
    try:
        return str(importlib.import_module("lossd_server").path("lossd"))
    except ModuleNotFoundError:
        found = shutil.which("lossd")
    if found is None:
        raise NotStarted(
            "there is no lossd on this machine: pip install lossd-server, put the program on "
            "PATH, or give its path as `binary`"
        )
    return found


class ServerProcess:
    """A server that is ready. It gets SIGTERM when the thread that made this object ends.

    That is how Linux tells a child of its parent's death, however that came (prctl(2),
    PR_SET_PDEATHSIG). Not thread-safe, except for stop().
    """

    def __init__(self, program: str, host: str, port: int, flags: Sequence[str]) -> None:
        """Starts the server at HOST:PORT, with a free port for 0 and another for its metrics.

        `host` is an IP address. Raises NotStarted.
        """
        place = f"[{host}]" if ":" in host else host
        own = [f"--listen={place}:{port}", f"--metrics_listen={place}:0"]
        self._process = subprocess.Popen(
            [sys.executable, "-I", _WITH_PARENT, str(os.getpid()), program, *own, *flags],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            errors="replace",
        )
        self._last_lines: collections.deque[str] = collections.deque(maxlen=_LAST_LINES)
        self._log = threading.Thread(target=self._copy_log, name="lossd log", daemon=True)
        self._log.start()
        ready = _READY.match(self._first_line())
        if ready is None:
            raise NotStarted(self._why_not(program))
        self.address, self.metrics = ready[1], ready[2]

    @property
    def pid(self) -> int:
        """The process's number."""
        return self._process.pid

    def ended(self, seconds: float) -> bool:
        """Returns whether the server has ended, for which this waits."""
        stdout = self._process.stdout
        assert stdout is not None
        closed = select.poll()  # select() takes no file descriptor above 1,023
        closed.register(stdout)
        return bool(closed.poll(seconds * 1000))

    def stop(self) -> None:
        """Has the server answer what it has accepted and end. Does nothing if it has ended."""
        self._process.send_signal(signal.SIGTERM)

    def code(self) -> int:
        """Waits for the end; returns the exit code, or the number of a signal as a negative one."""
        try:
            return self._process.wait(_STOP_SECONDS)
        except subprocess.TimeoutExpired:
            self._process.kill()
            return self._process.wait()

    def _first_line(self) -> str:
        """Returns what the server prints; an empty text if it ends, or takes too long."""
        stdout = self._process.stdout
        assert stdout is not None
        # readline() has no timeout, but it returns when the process is killed.
        timer = threading.Timer(_START_SECONDS, self._process.kill)
        timer.start()
        line = stdout.readline()
        timer.cancel()
        return line

    def _why_not(self, program: str) -> str:
        self._process.kill()  # one that prints something else
        code = self._process.wait()
        self._log.join(_LOG_SECONDS)  # a child of the program may keep its log open
        last = " | ".join(line.strip() for line in self._last_lines)
        return f"{program} ended with {code} before it was ready: {last or 'it said nothing'}"

    def _copy_log(self) -> None:
        """Passes the server's log on to that of this process."""
        assert self._process.stderr is not None
        for line in self._process.stderr:
            self._last_lines.append(line)
            sys.stderr.write(line)
