"""Fixtures of several tests."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from otlp_receiver import Receiver, otlp_receiver
from running_server import RunningServer, running_server


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with otlp_receiver() as receiver:
        yield receiver


@pytest.fixture
def traced_server(receiver: Receiver) -> Iterator[RunningServer]:
    """A server that sends its spans to `receiver`."""
    with running_server(f"--otlp_endpoint={receiver.endpoint}") as server:
        yield server
