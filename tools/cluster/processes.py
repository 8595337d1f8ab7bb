"""Runs programs beside each other, with a log each, and ends them in reverse order."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

OUT = Path("build/cluster").resolve()
BIN = OUT / "bin"
RUN = OUT / "run"  # state of the running cluster, made anew each time


class ClusterError(RuntimeError):
    """Says which part of the cluster did not do what."""


def run(*command: str | Path, check: bool = True, stdin: str | None = None) -> str:
    """Returns the standard output of a command. Errors: ClusterError with what it said."""
    done = subprocess.run(
        [str(word) for word in command], capture_output=True, text=True, check=False, input=stdin
    )
    if check and done.returncode != 0:
        raise ClusterError(f"{' '.join(str(w) for w in command)}: {done.stderr or done.stdout}")
    return done.stdout


def remove_run() -> None:
    """Removes what a former run has left, after the mounts in it, which a kubelet does not undo."""
    places = [line.split()[1] for line in Path("/proc/self/mounts").read_text().splitlines()]
    for place in sorted(places, key=len, reverse=True):
        if Path(place).is_relative_to(RUN):
            run("umount", "--lazy", place)
    shutil.rmtree(RUN, ignore_errors=True)


def wait_for(
    what: str,
    condition: Callable[[], bool],
    seconds: float = 300,
    of: subprocess.Popen[bytes] | None = None,
) -> None:
    """Waits until the condition holds, `of` a program that still runs.

    Errors: ClusterError that names `what`.
    """
    end = time.monotonic() + seconds
    while not condition():
        if of is not None and of.poll() is not None:
            raise ClusterError(f"{what}: the program ended with {of.returncode}; see {RUN}/log")
        if time.monotonic() > end:
            raise ClusterError(f"{what}: not within {seconds:.0f} s")
        time.sleep(0.2)


def succeeds(*command: str | Path) -> bool:
    done = subprocess.run([str(word) for word in command], capture_output=True, check=False)
    return done.returncode == 0


@contextlib.contextmanager
def program(
    name: str, command: Sequence[str | Path], network: str | None = None, grace: float = 20
) -> Iterator[subprocess.Popen[bytes]]:
    """Runs a program, in a network namespace if one is named, until the block ends."""
    inside = ["nsenter", f"--net=/run/netns/{network}"] if network else []
    (RUN / "log").mkdir(parents=True, exist_ok=True)
    with (RUN / "log" / f"{name}.log").open("wb") as log:
        process = subprocess.Popen(
            [*inside, *(str(word) for word in command)],
            stdout=log,
            stderr=subprocess.STDOUT,
            env={**os.environ, "GOMAXPROCS": "2"},
            start_new_session=True,
        )
        try:
            yield process
        finally:
            process.send_signal(signal.SIGTERM)
            try:
                process.wait(timeout=grace)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
