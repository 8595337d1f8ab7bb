"""Checks which folder may include which: the table of ARCHITECTURE.md as data."""

from __future__ import annotations

import re
from pathlib import Path

FACE = "kernels/sigmoid_loss.h"
FACE_OF_ROWS = "kernels/rows.h"
FACE_OF_SAMPLES = "kernels/sample.h"

# Maps a folder to the folders of this project that it may include besides itself. The name
# of a file allows that file alone.
ALLOWED: dict[str, set[str]] = {  # D1
    "element_type": set(),
    "base": {"element_type", "lossd/v1"},
    "base/completion": {"base"},
    "kernels": {"element_type"},
    "kernels/element": set(),
    "kernels/reference": {"kernels"},
    "kernels/cpu": {"element_type", "kernels", "kernels/element"},
    "kernels/cuda": {"element_type", "kernels", "kernels/element"},
    "server/base": {"base"},
    "server/observability": {"base", "server/base", "element_type", FACE, FACE_OF_SAMPLES},
    "server/tracing": {"base", "server/base", "server/observability"},
    "server/admission": set(),
    "server/machine": set(),
    "server/batching": {"server/base", FACE, FACE_OF_ROWS},
    "server/execution": {"server/base", "server/batching", "server/observability", "kernels/cpu"},
    "server/execution/cuda": {
        "server/base",
        "server/batching",
        "server/execution",
        "server/observability",
        "kernels",
        "kernels/cpu",
        "kernels/cuda",
    },
    "server/shared_memory": {"lossd/v1", "base", "server/base", "server/machine"},
    # The parser sees no queue, no budget and no region.
    "server/wire": {"lossd/v1", "server/base", FACE},
    # This folder finds every mistake in a request, before admission.
    "server/request": {
        "lossd/v1",
        "element_type",
        "base",
        "server/base",
        "server/wire",
        "server/shared_memory",
        FACE,
        FACE_OF_ROWS,
    },
    "server/door": {"base", "server/base", "server/observability"},
    "server/rpc": {
        "lossd/v1",
        "base",
        "server/base",
        "server/admission",
        "server/batching",
        "server/observability",
        "server/tracing",
        "server/shared_memory",
        "server/wire",
        "server/request",
        "server/door",
        FACE,
        FACE_OF_ROWS,
    },
    "server": {"*"},
    "client/cpp/tensor": {"lossd/v1", "base", "element_type"},
    "client/cpp/message": {"lossd/v1", "base", "client/cpp/tensor"},
    "client/cpp": {"lossd/v1", "base", "client/cpp/message"},
    "client/cli/watch": {"base"},
    "client/cli": {
        "lossd/v1",
        "base",
        "base/completion",
        "client/cli/watch",
        "client/cpp",
        "client/cpp/message",
        "client/cpp/tensor",
    },
    # The samples of generated code use nothing else of ours.
    "client/service_config/cpp": {"lossd/v1"},
    "bench/admission": {"server/admission"},
    "bench/peers": {"lossd/v1", "base"},
    "bench/load": {
        "lossd/v1",
        "base",
        "base/completion",
        "bench/peers",
        "client/cpp",
        "client/cpp/tensor",
    },
    # The benchmark proves its kernels before it times them.
    "bench/kernels": {
        "element_type",
        "kernels",
        "kernels/cpu",
        "kernels/cuda",
        "kernels/reference",
    },
    "bench/pipeline": {"kernels", "kernels/cuda", "server/base", "server/execution/cuda"},
}

# Maps the prefix of third-party headers to the paths that may include them.
FENCES: dict[str, tuple[str, ...]] = {
    "grpc": (
        "base/grpc_time",
        "server/wire/",
        "server/request/",
        "server/door/",
        "server/rpc/",
        "server/server.",
        "server/main.cc",
        "client/cpp/",
        "client/service_config/cpp/",
        "bench/load/",
        "bench/peers/",
    ),
    "curl/": ("client/cli/watch/metrics_page", "server/tracing/otlp_http_exporter"),
    "cuda": ("kernels/cuda/", "server/execution/cuda/", "bench/kernels/"),
    "hwy/": ("kernels/cpu/", "bench/kernels/"),
    # Not in the client: a program that links it may have these messages from elsewhere.
    "google/rpc/": ("server/door/",),
    "grpc/health/": ("server/door/",),
    "opentelemetry/": ("server/tracing/",),
    "openssl/": ("base/pem", "server/door/authenticator", "server/door/token_file"),
    "microhttpd": ("server/observability/http_server",),
    "prometheus/": ("server/observability/",),
    "spdlog/": ("server/observability/log",),
    "zlib": ("server/observability/gzip",),
}

INCLUDE = re.compile(r'^\s*#\s*include\s+(?:"([^"]+)"|<([^>]+)>)', re.MULTILINE)
FOLDERS = ("element_type", "base", "kernels", "server", "client", "bench")
OURS = (*(f"{folder}/" for folder in FOLDERS), "tests/", "lossd/v1/")
# These stand in quotes: headers of this project, those that are generated from proto/, and
# Abseil's. All others stand in angle brackets.
QUOTED = (*OURS, "google/rpc/", "grpc/health/", "opentelemetry/", "absl/")


def folder_of(path: str) -> str:
    return str(Path(path).parent)


def included(text: str) -> list[str]:
    """The headers that a file's text includes."""
    return [quoted or angled for quoted, angled in INCLUDE.findall(text)]


def may_include(source: str, header: str) -> bool:
    """Returns whether the file `source` may include this project's header `header`."""
    allowed = ALLOWED[folder_of(source)]
    folder = folder_of(header)
    if folder == "tests" or header.startswith("tests/"):
        return False
    return folder == folder_of(source) or folder in allowed or header in allowed or "*" in allowed


def wrongly_quoted(source: str, text: str) -> list[str]:
    """Returns the includes of one file with quotes for angle brackets or the reverse."""
    return [
        f"{source} includes {quoted or angled} in the wrong brackets"
        for quoted, angled in INCLUDE.findall(text)
        if (quoted or angled).startswith(QUOTED) != bool(quoted)
    ]


def complaints(source: str, text: str) -> list[str]:
    """Returns the forbidden includes of one file."""
    found = wrongly_quoted(source, text)
    for header in included(text):
        if header.startswith(OURS):
            if not may_include(source, header):
                found.append(f"{source} may not include {header}")
            continue
        for prefix, places in FENCES.items():
            if header.startswith(prefix) and not source.startswith(places):
                found.append(f"{source} is outside the fence of {header}")
    return found


def sides_of(header: str, texts: dict[str, str]) -> set[str]:  # D2
    """Returns the top folders whose files, except its own source file, include `header`."""
    own = header.removesuffix(".h") + ".cc"
    return {
        source.split("/")[0]
        for source, text in texts.items()
        if source != own and f'#include "{header}"' in text
    }
