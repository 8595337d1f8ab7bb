"""The commands that pip installs. Each becomes its program, with the same process id."""

from __future__ import annotations

import os
import signal
import sys
from functools import partial
from typing import NoReturn

from lossd_server import path


def become(program: str) -> NoReturn:
    """Replaces this process with the program. Exits with 126 if the system cannot start it."""
    # Python ignores these two, and the program would inherit that.
    for ignored in (signal.SIGPIPE, signal.SIGXFSZ):
        signal.signal(ignored, signal.SIG_DFL)
    file = path(program)
    try:
        os.execv(file, [program, *sys.argv[1:]])
    except OSError as error:
        print(f"{program}: {file} cannot be started: {error.strerror}", file=sys.stderr)
        raise SystemExit(126) from None


lossd = partial(become, "lossd")
lossctl = partial(become, "lossctl")
lossbench = partial(become, "lossbench")
