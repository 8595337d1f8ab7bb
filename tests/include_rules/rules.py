"""Who may include whom: the table of ARCHITECTURE.md, as data, and its check."""

from __future__ import annotations

import re
from pathlib import Path

FACE = "kernels/sigmoid_loss.h"

# Folder -> folders of ours that it may include beside itself. A file name allows that file.
ALLOWED: dict[str, set[str]] = {
    # element.h is made of the bodies in element/, one for each loss.
    "kernels": {"kernels/element"},
    "kernels/element": set(),
    "kernels/reference": {"kernels"},
    # The benchmark proves its kernel before it times it.
    "kernels/cpu": {"kernels", "kernels/reference"},
    "kernels/cuda": {"kernels"},
    # PEM: for both ends of a connection.
    "pem": set(),
    "server/base": set(),
    "server/observability": {"server/base", FACE},
    "server/admission": {"server/base", "server/observability"},
    "server/batching": {"server/base", "server/admission", "server/observability", FACE},
    "server/execution": {
        "server/base",
        "server/batching",
        "server/observability",
        "kernels",
        "kernels/cpu",
    },
    "server/execution/cuda": {
        "server/base",
        "server/batching",
        "server/execution",
        "server/observability",
        # Its devices open the memory that clients lend.
        "server/shared_memory/devices.h",
        "kernels",
        "kernels/cpu",
        "kernels/cuda",
    },
    "server/shared_memory": {"lossd/v1", "server/base"},
    "server/rpc": {
        "lossd/v1",
        "server/base",
        "server/admission",
        "server/batching",
        "server/observability",
        "server/shared_memory",
        FACE,
    },
    "server": {"*"},
    "client/cpp": {"lossd/v1", "pem"},
    "client/cli": {"lossd/v1", "client/cpp", "pem"},
    "client/bench": {"lossd/v1", "client/cli", "client/cpp"},
}

# Third-party header prefix -> where it may appear.
FENCES: dict[str, tuple[str, ...]] = {
    "grpc": ("server/rpc/", "server/server.", "server/main.cc", "client/cpp/", "client/bench/"),
    "cuda": ("kernels/cuda/", "server/execution/cuda/"),
    "hwy/": ("kernels/cpu/",),
    "openssl/": ("pem/",),
    "prometheus/": ("server/observability/",),
    "spdlog/": ("server/observability/log",),
}

INCLUDE = re.compile(r'^\s*#\s*include\s+(?:"([^"]+)"|<([^>]+)>)', re.MULTILINE)
OURS = ("kernels/", "pem/", "server/", "client/", "tests/", "lossd/v1/")


def folder_of(path: str) -> str:
    return str(Path(path).parent)


def may_include(source: str, header: str) -> bool:
    """True if the file `source` may include our header `header`."""
    allowed = ALLOWED[folder_of(source)]
    folder = folder_of(header)
    if folder == "tests" or header.startswith("tests/"):
        return False
    return folder == folder_of(source) or folder in allowed or header in allowed or "*" in allowed


def complaints(source: str, text: str) -> list[str]:
    """What is wrong with the includes of one file."""
    found = []
    for quoted, angled in INCLUDE.findall(text):
        header = quoted or angled
        if header.startswith(OURS):
            if not may_include(source, header):
                found.append(f"{source} may not include {header}")
            continue
        for prefix, places in FENCES.items():
            if header.startswith(prefix) and not source.startswith(places):
                found.append(f"{source} is outside the fence of {header}")
    return found
