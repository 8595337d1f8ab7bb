"""Builds the counterparts from public packages and runs them."""

from __future__ import annotations

import json
import shutil
import signal
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

CLIENTS = Path(__file__).parent / "clients"
CONFIG = CLIENTS / "service_config.json"
LIBRARIES = {"python": "grpcio", "go": "grpc-go", "node": "grpc-js", "java": "grpc-java"}
# A client has this long to end its last calls, which have deadlines of 30 s.
LAST_CALLS = 90.0  # seconds


class NoCounterpart(RuntimeError):
    """A counterpart cannot be built here; the text says why."""


@dataclass(frozen=True)
class Report:
    """What a client printed; clients/README.md describes it."""

    version: str
    sent: int
    calls: int
    codes: dict[str, int]
    wrong: int
    texts: dict[str, str]
    messages: int
    ended: str

    @property
    def lost(self) -> int:
        return sum(self.codes.values()) + self.wrong


class Client:
    """A running client, which reports when its standard input ends. What it logs goes to `log`."""

    def __init__(self, command: list[str], arguments: list[str], log: Path) -> None:
        self._log = log
        with log.open("w") as errors:
            self._process = subprocess.Popen(
                [*command, *arguments],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=errors,
                text=True,
            )

    def __enter__(self) -> Client:
        return self

    def __exit__(self, *_: object) -> None:
        if self._process.poll() is None:
            self._process.kill()
        self._process.communicate()

    def send(self, number: signal.Signals) -> None:
        self._process.send_signal(number)

    def finish(self) -> Report:
        """Ends the client and returns its report; RuntimeError if it printed none."""
        printed, _ = self._process.communicate(timeout=LAST_CALLS)
        if self._process.returncode != 0:
            code = self._process.returncode
            raise RuntimeError(f"a client ended with {code}; see {self._log}")
        read = json.loads(printed)
        return Report(
            read["version"],
            read.get("sent", 0),
            read.get("calls", 0),
            read.get("codes") or {},
            read.get("wrong", 0),
            read.get("texts") or {},
            read.get("messages", 0),
            read.get("ended", ""),
        )


class Clients:
    """Builds each client once in `folder` and starts it."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._commands: dict[str, list[str]] = {}

    def load(self, language: str, addresses: list[str], samples: Path) -> Client:
        """Starts calls with the requests in the folder `samples`, which samples.py writes."""
        command = self._command(language)
        arguments = ["load", ",".join(addresses), str(CONFIG), str(samples)]
        return Client(command, arguments, self._folder / f"{language}-client.log")

    def watch(self, language: str, address: str) -> Client:
        command = self._command(language)
        return Client(command, ["watch", address], self._folder / f"{language}-client.log")

    def _command(self, language: str) -> list[str]:
        if language not in self._commands:
            folder = self._folder / language
            shutil.copytree(CLIENTS / language, folder, dirs_exist_ok=True)
            self._commands[language] = BUILDERS[language](folder)
        return self._commands[language]


def run(command: list[str], folder: Path) -> None:
    """Runs a step of a build; NoCounterpart with its last line if it fails."""
    if shutil.which(command[0]) is None:
        raise NoCounterpart(f"{command[0]} is not installed")
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        lines = (done.stderr or done.stdout).strip().splitlines()
        raise NoCounterpart(f"{' '.join(command[:3])}: {lines[-1] if lines else 'failed'}")


def build_go(folder: Path) -> list[str]:
    run(["go", "mod", "tidy"], folder)
    run(["go", "build", "-p", "1", "-o", "program", "."], folder)
    return [str(folder / "program")]


def build_node(folder: Path) -> list[str]:
    run(["npm", "install", "--no-audit", "--no-fund"], folder)
    return ["node", str(folder / "main.js")]


def build_java(folder: Path) -> list[str]:
    run(["mvn", "-B", "-q", "dependency:copy-dependencies", "-DoutputDirectory=lib"], folder)
    run(["javac", "-cp", "lib/*", "-d", "classes", "Client.java"], folder)
    return ["java", "-cp", f"{folder}/classes:{folder}/lib/*", "Client"]


def build_python(folder: Path) -> list[str]:
    return [sys.executable, str(folder / "client.py")]


BUILDERS = {"go": build_go, "node": build_node, "java": build_java, "python": build_python}
