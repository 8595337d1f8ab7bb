"""The programs of lossd: the server `lossd`, its tool `lossctl`, the load generator `lossbench`.

pip puts them on the path as commands. A program that starts them itself takes their files:

    server = subprocess.Popen([lossd_server.path("lossd"), "--listen=127.0.0.1:0"])
"""

from __future__ import annotations

from pathlib import Path

__all__ = ["PROGRAMS", "path"]
__version__ = "0.1.0"

PROGRAMS = ("lossd", "lossctl", "lossbench")


def path(program: str) -> Path:
    """Returns the file of one of PROGRAMS. Another name is a ValueError."""
    if program not in PROGRAMS:
        raise ValueError(f"program={program!r}: must be one of {', '.join(PROGRAMS)}")
    return Path(__file__).resolve().parent / "bin" / program
