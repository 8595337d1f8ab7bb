"""What a client of several servers sends again, and when (D90)."""

from __future__ import annotations

import json
import random
import time
from typing import Any

import grpc

from lossd.errors import LossdError

# gRPC makes no more attempts than five, whatever its policy says.
MOST_ATTEMPTS = 5
_FIRST_DELAY, _LONGEST_DELAY, _FACTOR = 0.1, 1.0, 2
_JITTER = 0.2  # gRPC's, on either side
# Each request that is sent again takes a token, and each answer returns a part of one. A session
# has up to 1,024 requests under way, which break together.
_MOST_TOKENS = 4096
_TOKENS_OF_ANSWER = 0.2

_SERVICE = "lossd.v1.LossService"

# How gRPC calls several servers. Unary calls are retried by gRPC itself, streams by Retries.
SERVICE_CONFIG = json.dumps(
    {
        "loadBalancingConfig": [{"round_robin": {}}],
        "healthCheckConfig": {"serviceName": _SERVICE},
        "methodConfig": [
            {
                "name": [
                    {"service": _SERVICE, "method": "ComputeLoss"},
                    {"service": _SERVICE, "method": "GetServerInfo"},
                ],
                "retryPolicy": {
                    "maxAttempts": MOST_ATTEMPTS,
                    "initialBackoff": f"{_FIRST_DELAY}s",
                    "maxBackoff": f"{_LONGEST_DELAY}s",
                    "backoffMultiplier": _FACTOR,
                    "retryableStatusCodes": ["UNAVAILABLE", "RESOURCE_EXHAUSTED"],
                },
            }
        ],
        # A failed attempt takes one, and below half of them nothing is retried.
        "retryThrottling": {"maxTokens": 500, "tokenRatio": _TOKENS_OF_ANSWER},
    }
)

# gRPC keeps a message for another attempt below this limit, by reference. It is no size of memory.
RETRY_BUFFER_BYTES = (1 << 31) - 1


class Retries:
    """Decides what of StreamLoss and of sessions is sent again, as gRPC decides for unary calls.

    gRPC retries no stream from which an answer has come. One object serves a client: its budget
    limits what is sent again to a fifth of what is answered, beside a first burst. Thread-safe.
    """

    def __init__(self) -> None:
        # Threads may lose a part of a token here to each other.
        self._tokens = float(_MOST_TOKENS)

    def answered(self, count: int = 1) -> None:
        """Counts answers."""
        self._tokens = min(self._tokens + count * _TOKENS_OF_ANSWER, _MOST_TOKENS)

    def delay(self, error: LossdError, attempts: int, left: float | None) -> float | None:
        """Returns the seconds after which a request is sent again, or None to report its error.

        `attempts` have been made, and `left` are the seconds until the deadline, None without one.
        """
        if attempts >= MOST_ATTEMPTS or self._tokens < 1:
            return None
        if error.retry_after is not None:
            delay = error.retry_after
        elif error.code is grpc.StatusCode.UNAVAILABLE:
            delay = min(_FIRST_DELAY * _FACTOR ** (attempts - 1), _LONGEST_DELAY)
            delay *= random.uniform(1 - _JITTER, 1 + _JITTER)
        else:
            return None
        if error.code not in (grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.RESOURCE_EXHAUSTED):
            return None
        if left is not None and delay >= left:
            return None
        self._tokens -= 1
        return delay


class Resend:
    """The attempts of one StreamLoss."""

    def __init__(self, retries: Retries | None, call_options: dict[str, Any]) -> None:
        """`call_options` are the keyword arguments for gRPC; without `retries` there is one try."""
        self._retries = retries
        self._options = call_options
        self._attempts = 0
        self.timeout: float | None = call_options["timeout"]
        self._deadline = None if self.timeout is None else time.monotonic() + self.timeout

    def options(self) -> dict[str, Any]:
        """Returns the keyword arguments of the next attempt, with the time that is left."""
        self._attempts += 1
        return {**self._options, "timeout": self.left()}

    def answered(self) -> None:
        """Counts the answer for the budget."""
        if self._retries is not None:
            self._retries.answered()

    def delay(self, error: LossdError) -> float | None:
        """Returns the seconds until the next attempt, or None if there is none."""
        if self._retries is None:
            return None
        return self._retries.delay(error, self._attempts, self.left())

    def left(self) -> float | None:
        """Returns the seconds until the deadline, None without one."""
        return None if self._deadline is None else max(self._deadline - time.monotonic(), 0)
