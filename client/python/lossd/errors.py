"""The error that a call raises."""

from __future__ import annotations

import grpc

from lossd.address import Proxy
from lossd.v1 import loss_service_pb2

# gRPC's API for asyncio ends a call with INTERNAL and this text if the transport refuses a message,
# as it does when the server has ended the call and its status has not arrived yet.
_FAILED_WRITE = "Internal error from Core"

# This is gRPC's text for a request above the server's limit, which does not say whose it is.
_TOO_LARGE = "Received message larger than max"
_HOW_LARGER = (
    "; the server's --max_message_bytes is the limit, and the client's stream_above_bytes the size "
    "from which requests go in parts"
)

# An answer of OK would be no failure.
_CODES = {code.value[0]: code for code in grpc.StatusCode if code is not grpc.StatusCode.OK}


class LossdError(Exception):
    """The server did not answer a call with a result.

    `code` is the gRPC status code; proto/lossd/v1/loss_service.proto says how a caller should
    react to each. `message` is the server's text. `retry_after` is the delay in seconds after
    which the server asks for another attempt, or None if it named no delay.

    The error survives pickle, so it passes from worker processes to the process that waits.
    """

    def __init__(self, code: grpc.StatusCode, message: str, retry_after: float | None) -> None:
        super().__init__(f"{code.name}: {message}")
        self.code = code
        self.message = message
        self.retry_after = retry_after

    def __reduce__(self) -> tuple[type[LossdError], tuple[object, ...], dict[str, object]]:
        # Exception would call the type with the arguments of super().__init__().
        return type(self), (self.code, self.message, self.retry_after), self.__dict__


def of_failure(failure: loss_service_pb2.Failure) -> LossdError:
    """Returns the error that an entry of a ComputeLosses stream is answered with."""
    retry_after = None
    if failure.HasField("retry_delay"):
        retry_after = failure.retry_delay.seconds + failure.retry_delay.nanos / 1e9
    code = _CODES.get(failure.code, grpc.StatusCode.UNKNOWN)
    return LossdError(code, failure.message, retry_after)


class Route:
    """The way from a client to its server, for the text of an error."""

    def __init__(self, target: str, proxy: Proxy | None) -> None:
        self._target = target
        self._proxy = proxy

    def error(self, error: grpc.RpcError) -> LossdError:
        """Returns the LossdError for an error of gRPC's blocking or asyncio API.

        If a call did not reach the server and a proxy was to be asked, the text names the proxy
        and the target.
        """
        retry_after = None
        for key, value in error.trailing_metadata() or ():
            # gRPC reads a negative or malformed delay as "do not retry".
            if key == "grpc-retry-pushback-ms" and value.isdecimal():
                retry_after = int(value) / 1000
        message = error.details() or ""
        if message == _FAILED_WRITE:
            text = "the server or the connection ended the call while a message was being sent"
            return LossdError(grpc.StatusCode.UNAVAILABLE, text, None)
        if message.startswith(_TOO_LARGE):
            message += _HOW_LARGER
        if error.code() is grpc.StatusCode.UNAVAILABLE and self._proxy is not None:
            message += (
                f" (for {self._target} the HTTP proxy {self._proxy.address} of the variable "
                f"{self._proxy.variable} was asked)"
            )
        return LossdError(error.code(), message, retry_after)
