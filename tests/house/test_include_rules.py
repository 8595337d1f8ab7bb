"""Every #include in the tree keeps to the table, and the check finds what it should."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from include_rules import (
    ALLOWED,
    FOLDERS,
    complaints,
    folder_of,
    included,
    sides_of,
    wrongly_quoted,
)

ROOT = Path(__file__).resolve().parents[2]


def sources(folders: tuple[str, ...] = FOLDERS) -> list[str]:
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


def test_tests_quote_the_headers_of_this_project_alone() -> None:
    for source in sources(("tests",)):
        assert wrongly_quoted(source, (ROOT / source).read_text(encoding="utf-8")) == []


@pytest.mark.parametrize(
    ("source", "include"),
    [
        ("kernels/sigmoid_loss.h", '#include "server/base/clock.h"'),
        ("server/base/clock.h", '#include "server/door/status.h"'),
        ("server/batching/queue.h", '#include "server/execution/executor.h"'),
        ("server/door/status.cc", '#include "kernels/cpu/cpu_kernel.h"'),
        ("server/batching/queue.h", "#include <grpcpp/grpcpp.h>"),
        ("server/execution/task_completion.h", "#include <cuda_runtime.h>"),
        ("server/door/status.cc", '# include "tests/server/fake_clock.h"'),
        ("server/shared_memory/region.h", '#include "server/door/status.h"'),
        ("server/shared_memory/region_protocol.h", "#include <grpcpp/grpcpp.h>"),
        ("client/cli/lossctl.cc", '#include "server/config.h"'),
        ("kernels/sigmoid_loss.cc", "#include <hwy/highway.h>"),
        ("server/server.cc", "#include <spdlog/spdlog.h>"),
        ("client/cpp/call_status.cc", '#include "google/rpc/status.pb.h"'),
        ("server/rpc/rpc_call.h", '#include "grpcpp/grpcpp.h"'),
        ("server/rpc/rpc_call.h", "#include <absl/time/time.h>"),
    ],
)
def test_a_forbidden_include_is_found(source: str, include: str) -> None:
    assert len(complaints(source, f"// a comment\n{include}\n")) == 1


def test_an_allowed_include_is_not() -> None:
    assert complaints("server/rpc/call.cc", '#include "kernels/sigmoid_loss.h"\n') == []


# base/ counts as a side for its own headers, because what it includes must lie in base/.
SIDES = {"base", "server", "client", "bench"}
TEXTS = {source: (ROOT / source).read_text(encoding="utf-8") for source in sources()}


@pytest.mark.parametrize("header", [s for s in sources() if re.match(r"base/[^/]*\.h$", s)])
def test_a_header_in_base_is_included_from_two_sides(header: str) -> None:
    assert len(sides_of(header, TEXTS) & SIDES) >= 2


def test_a_header_of_one_side_is_found() -> None:
    texts = {
        "server/a.cc": '#include "base/a.h"\n',
        "server/b.cc": '#include "base/a.h"\n',
        "base/a.cc": '#include "base/a.h"\n',
    }
    assert sides_of("base/a.h", texts) == {"server"}


@pytest.mark.parametrize("folder", [f for f, allowed in ALLOWED.items() if allowed != {"*"}])
def test_every_permission_is_used(folder: str) -> None:
    headers = {
        header
        for source, text in TEXTS.items()
        if folder_of(source) == folder
        for header in included(text)
    }
    used = headers | {folder_of(header) for header in headers}
    assert ALLOWED[folder] - used == set()
