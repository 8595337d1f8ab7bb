"""Every #include in the tree is held against the table; the check is checked itself."""

from __future__ import annotations

from pathlib import Path

import pytest
from rules import ALLOWED, complaints, folder_of

ROOT = Path(__file__).resolve().parents[2]


def sources() -> list[str]:
    folders = ("kernels", "pem", "server", "client")
    endings = (".h", ".cc", ".cu", ".cuh")
    return sorted(
        str(path.relative_to(ROOT))
        for folder in folders
        for path in (ROOT / folder).rglob("*")
        if path.suffix in endings
    )


def test_there_is_something_to_check() -> None:
    assert len(sources()) > 50


@pytest.mark.parametrize("source", sources())
def test_includes_keep_to_the_table(source: str) -> None:
    assert folder_of(source) in ALLOWED, f"{folder_of(source)} is not in the table"
    assert complaints(source, (ROOT / source).read_text(encoding="utf-8")) == []


@pytest.mark.parametrize(
    ("source", "include"),
    [
        ("kernels/sigmoid_loss.h", '#include "server/base/clock.h"'),
        ("server/base/clock.h", '#include "server/rpc/status.h"'),
        ("server/batching/queue.h", '#include "server/execution/executor.h"'),
        ("server/rpc/status.cc", '#include "kernels/cpu/cpu_kernel.h"'),
        ("server/batching/queue.h", "#include <grpcpp/grpcpp.h>"),
        ("server/execution/finish.h", "#include <cuda_runtime.h>"),
        ("server/rpc/status.cc", '# include "tests/server/fake_clock.h"'),
        ("server/shared_memory/region.h", '#include "server/rpc/status.h"'),
        ("server/shared_memory/packets.h", "#include <grpcpp/grpcpp.h>"),
        ("client/cli/lossctl.cc", '#include "server/config.h"'),
        ("kernels/sigmoid_loss.cc", '#include "hwy/highway.h"'),
        ("server/server.cc", "#include <spdlog/spdlog.h>"),
    ],
)
def test_a_forbidden_include_is_found(source: str, include: str) -> None:
    assert len(complaints(source, f"// a comment\n{include}\n")) == 1


def test_an_allowed_include_is_not() -> None:
    assert complaints("server/rpc/call.cc", '#include "kernels/sigmoid_loss.h"\n') == []
