"""What is sent again, when, and how often."""

from __future__ import annotations

import json

import grpc
import lossd
import pytest
from lossd.retries import MOST_ATTEMPTS, SERVICE_CONFIG, Resend, Retries

GONE = lossd.LossdError(grpc.StatusCode.UNAVAILABLE, "gone", None)
FULL = lossd.LossdError(grpc.StatusCode.RESOURCE_EXHAUSTED, "full", 0.25)


def test_a_server_that_is_gone_is_left_after_a_delay_that_grows_and_varies() -> None:
    retries = Retries()
    for attempt, delay in ((1, 0.1), (2, 0.2), (3, 0.4), (4, 0.8)):
        delays = {retries.delay(GONE, attempt, None) for _ in range(100)}
        assert len(delays) > 50
        assert all(found is not None and 0.8 <= found / delay <= 1.2 for found in delays)
    assert retries.delay(GONE, MOST_ATTEMPTS, None) is None


def test_a_refusal_is_sent_again_when_the_server_says() -> None:
    assert Retries().delay(FULL, 1, None) == 0.25
    never = lossd.LossdError(grpc.StatusCode.RESOURCE_EXHAUSTED, "too large", None)
    assert Retries().delay(never, 1, None) is None


def test_what_would_come_too_late_is_not_sent_again() -> None:
    assert Retries().delay(FULL, 1, 0.2) is None
    assert Retries().delay(GONE, 1, 0.01) is None
    assert Retries().delay(FULL, 1, 0.3) == 0.25


@pytest.mark.parametrize("code", set(grpc.StatusCode) - {GONE.code, FULL.code}, ids=str)
def test_no_other_code_is_sent_again(code: grpc.StatusCode) -> None:
    assert Retries().delay(lossd.LossdError(code, "", 0.1), 1, None) is None


def test_the_budget_is_a_burst_and_a_fifth_of_the_answers() -> None:
    retries = Retries()
    burst = 0
    while retries.delay(GONE, 1, None) is not None:
        burst += 1
    assert burst == 4096
    retries.answered(4)
    assert retries.delay(GONE, 1, None) is None
    retries.answered(6)
    assert [retries.delay(GONE, 1, None) is None for _ in range(3)] == [False, False, True]


def test_a_stream_has_the_time_that_is_left_and_pays_the_budget_back() -> None:
    retries = Retries()
    while retries.delay(GONE, 1, None) is not None:
        pass
    resend = Resend(retries, {"timeout": 60.0})
    assert 0 < resend.options()["timeout"] < 60
    for _ in range(5):
        resend.answered()
    assert resend.delay(GONE) is not None
    assert Resend(None, {"timeout": None}).options() == {"timeout": None}


def test_grpc_retries_unary_calls_alone() -> None:
    config = json.loads(SERVICE_CONFIG)
    (methods,) = config["methodConfig"]
    assert {name["method"] for name in methods["name"]} == {"ComputeLoss", "GetServerInfo"}
    assert methods["retryPolicy"]["retryableStatusCodes"] == ["UNAVAILABLE", "RESOURCE_EXHAUSTED"]
