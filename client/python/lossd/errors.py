"""The error that a call raises."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

import grpc


class LossdError(Exception):
    """The server did not answer a call with a result.

    `code` is the gRPC status code; proto/lossd/v1/loss_service.proto says how a caller should
    react to each. `message` is the server's text. `retry_after` is the delay in seconds after
    which the server asks for another attempt, or None if it named no delay.
    """

    def __init__(self, code: grpc.StatusCode, message: str, retry_after: float | None) -> None:
        super().__init__(f"{code.name}: {message}")
        self.code = code
        self.message = message
        self.retry_after = retry_after


def from_rpc_error(error: grpc.RpcError) -> LossdError:
    """Returns the LossdError for an error of gRPC's blocking or asyncio API."""
    retry_after = None
    for key, value in error.trailing_metadata() or ():
        # gRPC reads a negative or malformed delay as "do not retry".
        if key == "grpc-retry-pushback-ms" and value.isdecimal():
            retry_after = int(value) / 1000
    return LossdError(error.code(), error.details() or "", retry_after)


@contextlib.contextmanager
def rpc_errors_translated() -> Iterator[None]:
    """Raises LossdError in place of an error of gRPC."""
    try:
        yield
    except grpc.RpcError as error:
        raise from_rpc_error(error) from error
