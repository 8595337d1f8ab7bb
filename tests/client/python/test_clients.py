"""All losses of a target share one client."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import Any

import lossd
import pytest
from lossd import clients


def test_a_target_has_one_client_in_all_threads() -> None:
    with ThreadPoolExecutor(8) as threads:
        found = set(threads.map(clients.of, ["127.0.0.1:1"] * 64))
    assert len(found) == 1
    assert clients.of("127.0.0.1:2") not in found


def test_a_client_is_taken_as_it_is() -> None:
    with lossd.Client("127.0.0.1:1") as client:
        assert clients.of(client) is client
        assert clients.of("127.0.0.1:1") is not client


@pytest.mark.parametrize("client", [None, 3, b"127.0.0.1:1", lossd.AsyncClient])
def test_what_is_neither_is_a_type_error(client: Any) -> None:
    with pytest.raises(TypeError, match="^client: .* is neither a lossd.Client nor a target"):
        clients.of(client)


def test_a_bad_target_is_named() -> None:
    with pytest.raises(ValueError, match="^target: 'localhost' has no port"):
        clients.of("localhost")
