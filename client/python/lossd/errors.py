"""What a call raises."""

from __future__ import annotations

import grpc


class LossdError(Exception):
    """A call that did not answer.

    `code` is the gRPC status code; proto/lossd/v1/loss_service.proto says what a caller
    does about each. `retry_after` is in seconds, where the server named a time.
    """

    def __init__(self, code: grpc.StatusCode, message: str, retry_after: float | None) -> None:
        super().__init__(f"{code.name}: {message}")
        self.code = code
        self.message = message
        self.retry_after = retry_after


def from_rpc_error(error: grpc.RpcError) -> LossdError:
    """The same error as a LossdError; of both the blocking and the asyncio API."""
    retry_after = None
    for key, value in error.trailing_metadata() or ():
        # A negative number, or none at all, means: do not try again.
        if key == "grpc-retry-pushback-ms" and value.isdecimal():
            retry_after = int(value) / 1000
    return LossdError(error.code(), error.details() or "", retry_after)
