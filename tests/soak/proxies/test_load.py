"""What of a reply two servers must agree in, and what a load sends."""

from __future__ import annotations

from soak import message
from soak.proxies.load import random_request, result_of


def test_a_result_is_everything_but_how_it_was_computed() -> None:
    loss = b"\x09" + bytes(8)
    gradient = message.field(3, b"bits")
    execution = message.field(6, b"cpu")
    count = message.number(5, 300)
    assert result_of(loss + gradient + count + execution) == result_of(loss + gradient + count)
    assert result_of(loss + gradient) != result_of(loss + message.field(3, b"bitt"))
    assert result_of(loss + count) != result_of(loss + message.number(5, 301))


def test_a_request_is_the_same_each_time_and_has_8_bytes_an_element() -> None:
    assert random_request(1000) == random_request(1000)
    assert 8000 < len(random_request(1000)) < 8040
