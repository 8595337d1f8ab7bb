"""Runs peers that compute in process: each framework in a process of the bench of its own.

A process is limited to a number of threads and to an instruction set, which most frameworks read
once.
"""

from __future__ import annotations

import importlib.metadata
import json
import os
import shutil
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType

from started_server import PeerMissing

PROGRAM = Path(__file__).with_name("peer_process.py")
XLA_NAMES = {"avx2": "AVX2", "avx512": "AVX512"}


@dataclass(frozen=True)
class Peer:
    """A step of a framework; `what` names it in a report."""

    framework: str
    step: str
    what: str


CROSS_ENTROPY = Peer("torch", "eager_cross_entropy", "mean binary cross-entropy with logits")
FOCAL = Peer("torch", "eager_focal", "torchvision's focal loss in eager operations")
_FORMULA = "value and gradient of the formula in one function, compiled by"
COMPILED_CROSS_ENTROPY = Peer("torch", "formula_cross_entropy", f"{_FORMULA} torch.compile")
COMPILED_FOCAL = Peer("torch", "formula_focal", f"{_FORMULA} torch.compile")
JAX_CROSS_ENTROPY = Peer("jax", "formula_cross_entropy", f"{_FORMULA} jax.jit")
JAX_FOCAL = Peer("jax", "formula_focal", f"{_FORMULA} jax.jit")


def version(framework: str = "torch") -> str:
    """Returns the version of an installed framework; raises PeerMissing without one."""
    try:
        return importlib.metadata.version(framework)
    except importlib.metadata.PackageNotFoundError:
        raise PeerMissing(f"{framework} is not installed") from None


@dataclass
class PeerProcesses:
    """Starts a process at its first question and keeps it until the block ends."""

    log_dir: Path
    instruction_set: str = ""
    _running: dict[tuple[str, int], subprocess.Popen[str]] = field(default_factory=dict)

    def elements_per_second(self, peer: Peer, elements: int, seconds: float, threads: int) -> float:
        """Returns how many elements a second get their loss and gradient, in float32.

        Raises PeerMissing without the framework, and RuntimeError if the process did not compute
        the right result with the right instructions on the right number of threads.
        """
        version(peer.framework)
        process = self._process(peer.framework, threads)
        question = {"step": peer.step, "elements": elements, "seconds": seconds}
        assert process.stdin is not None
        assert process.stdout is not None
        process.stdin.write(json.dumps(question) + "\n")
        process.stdin.flush()
        line = process.stdout.readline()
        if not line:
            raise RuntimeError(f"a process of {peer.framework} ended: see {self.log_dir}")
        answer = json.loads(line)
        if "error" in answer:
            raise RuntimeError(f"{peer.framework}: {answer['error']}")
        return float(answer["rate"])

    def __enter__(self) -> PeerProcesses:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Ends all processes: each reads to the end of its input."""
        for process in self._running.values():
            assert process.stdin is not None
            process.stdin.close()
            process.wait(timeout=60)
        self._running.clear()

    def _process(self, framework: str, threads: int) -> subprocess.Popen[str]:
        key = (framework, threads)
        if key not in self._running:
            name = f"{framework}-{self.instruction_set or 'any'}-{threads}"
            folder = (self.log_dir / "compiled" / name).absolute()
            shutil.rmtree(folder, ignore_errors=True)  # else its code could be an older one's
            command = [sys.executable, str(PROGRAM), f"--framework={framework}"]
            command += [f"--instruction_set={self.instruction_set}", f"--threads={threads}"]
            command += [f"--folder={folder}"]
            with open(self.log_dir / f"peer-{name}.log", "w", encoding="utf-8") as log:
                self._running[key] = subprocess.Popen(
                    command,
                    stdin=subprocess.PIPE,
                    stdout=subprocess.PIPE,
                    stderr=log,
                    text=True,
                    env={**os.environ, **self._environment(folder)},
                )
        return self._running[key]

    def _environment(self, folder: Path) -> dict[str, str]:
        """Returns what XLA reads as it starts."""
        flags = [f"--xla_dump_to={folder}"]
        if self.instruction_set:
            flags.append(f"--xla_cpu_max_isa={XLA_NAMES[self.instruction_set]}")
        return {"XLA_FLAGS": " ".join(flags), "JAX_PLATFORMS": "cpu"}
