"""A control group of our own that bounds memory and CPU, as a container does."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

ROOT = Path("/sys/fs/cgroup")
PERIOD = 100_000  # microseconds


class NoCgroup(RuntimeError):
    """This machine does not let us make a control group."""


@dataclass(frozen=True)
class CgroupLimits:
    """Folders that belong to one control group; `enter` puts the shell that runs it inside."""

    version: int
    memory: Path
    cpu: Path

    @property
    def enter(self) -> str:
        folders = dict.fromkeys((self.memory, self.cpu))
        return " && ".join(f"echo $$ > {folder}/cgroup.procs" for folder in folders)

    def usage(self) -> int:
        """Returns the bytes that the group uses now, page cache included."""
        name = "memory.usage_in_bytes" if self.version == 1 else "memory.current"
        return int((self.memory / name).read_text())

    def peak(self) -> int:
        """Returns the most bytes that the group ever used."""
        name = "memory.max_usage_in_bytes" if self.version == 1 else "memory.peak"
        return int((self.memory / name).read_text())

    def kills(self) -> int:
        """Returns how many processes the kernel has killed here for memory."""
        name = "memory.oom_control" if self.version == 1 else "memory.events"
        pairs = (line.split() for line in (self.memory / name).read_text().splitlines())
        return next(int(value) for key, value in pairs if key == "oom_kill")


@contextlib.contextmanager
def cgroup(memory_bytes: int, cpus: float) -> Iterator[CgroupLimits]:
    """Makes a group with these limits and removes it; NoCgroup if this process may not."""
    name = f"lossd-soak-{os.getpid()}"
    second = (ROOT / "cgroup.controllers").exists()
    folders = [ROOT / name] if second else [ROOT / "memory" / name, ROOT / "cpu" / name]
    quota = int(cpus * PERIOD)
    made: list[Path] = []
    try:
        try:
            for folder in folders:
                folder.mkdir()
                made.append(folder)
            if second:
                (folders[0] / "memory.max").write_text(str(memory_bytes))
                (folders[0] / "cpu.max").write_text(f"{quota} {PERIOD}")
            else:
                (folders[0] / "memory.limit_in_bytes").write_text(str(memory_bytes))
                (folders[1] / "cpu.cfs_period_us").write_text(str(PERIOD))
                (folders[1] / "cpu.cfs_quota_us").write_text(str(quota))
        except OSError as error:
            raise NoCgroup(f"no control group: {error}") from error
        yield CgroupLimits(2 if second else 1, folders[0], folders[-1])
    finally:
        for folder in made:
            folder.rmdir()
