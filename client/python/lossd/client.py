"""The blocking client."""

from __future__ import annotations

import os
import time
from typing import Any, Self

import grpc

from lossd import forks
from lossd._channel import BaseClient, Connection
from lossd.conversion import Call, Logits, Targets
from lossd.losses import BlockingLosses
from lossd.pytorch import not_compiled
from lossd.result import LossResult
from lossd.retries import Resend
from lossd.session import Session
from lossd.spec import LossOptions
from lossd.streaming import LossStream
from lossd.v1 import loss_service_pb2


class Client(BlockingLosses, BaseClient):
    """Calls one lossd server, or several in turn, and blocks until one answers. Thread-safe.

    Close the client, or use it in a `with` statement.
    """

    _grpc = grpc

    def session(self) -> Session:
        """Returns a new session, which sends many requests over one stream.

        Raises ValueError after close().
        """
        self._check_open()
        return Session(self)

    def _compute(
        self, logits: Logits, targets: Targets, timeout: float | None, options: LossOptions
    ) -> LossResult[Any, Any]:
        call_options = self._call_options(timeout)
        return self._answer(self._prepare(logits, targets, options), call_options)

    def _answer(
        self, call: LossStream | Call, call_options: dict[str, Any]
    ) -> LossResult[Any, Any]:
        """Returns the result of a call that is ready to be sent."""
        if isinstance(call, LossStream):
            return self._stream(call, call_options)
        connection = self._connection_for(call_options)
        under_way = forks.begin_call()
        try:
            if call.references.names_device_memory:
                return self._call_on_device(connection, call, call_options)
            return call.result(connection.compute_loss(call.request, **call_options))
        except grpc.RpcError as error:
            raise connection.route.error(error) from error
        finally:
            forks.end_call(under_way)

    def _stream(self, call: LossStream, call_options: dict[str, Any]) -> LossResult[Any, Any]:
        """Returns the result of StreamLoss, which is called again for another server's answer."""
        resend = Resend(self._retries, call_options)
        while True:
            connection = self._connection(resend.left(), resend.timeout)
            under_way = forks.begin_call()
            try:
                # gRPC sends the messages from a thread of its own while these are read.
                for message in connection.stream_loss(call.messages(), **resend.options()):
                    call.add(message)
                resend.answered()
                return call.result()
            except grpc.RpcError as error:
                failure = connection.route.error(error)
                delay = resend.delay(failure)
                if delay is None:
                    raise failure from error
            finally:
                forks.end_call(under_way)
            call.restart()
            time.sleep(delay)

    @staticmethod
    def _call_on_device(
        connection: Connection, call: Call, call_options: dict[str, Any]
    ) -> LossResult[Any, Any]:
        call.references.synchronize()
        with call.references.until_answered(call.gradient_out, call.second_derivative_out):
            try:
                return call.result(connection.compute_loss(call.request, **call_options))
            except grpc.RpcError as error:
                raise connection.route.error(error) from error

    @not_compiled
    def server_info(self, timeout: float | None = None) -> loss_service_pb2.GetServerInfoResponse:
        call_options = self._call_options(timeout)
        connection = self._connection_for(call_options)
        under_way = forks.begin_call()
        try:
            info: loss_service_pb2.GetServerInfoResponse = connection.get_server_info(
                loss_service_pb2.GetServerInfoRequest(), **call_options
            )
        except grpc.RpcError as error:
            raise connection.route.error(error) from error
        finally:
            forks.end_call(under_way)
        return info

    def close(self) -> None:
        self._closed = True
        self._places = None
        connection = self._connections.pop(os.getpid(), None)
        if connection is not None:
            connection.channel.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _connection_for(self, call_options: dict[str, Any]) -> Connection:
        """Returns the connection for a call, from whose timeout it takes what lookups took."""
        began = time.monotonic()
        connection = self._connection(call_options["timeout"])
        self._spend_since(began, call_options)
        return connection

    def _connection(self, seconds: float | None = None, timeout: float | None = None) -> Connection:
        """Returns the connection of this process, after at most `seconds` for looking up names.

        `timeout` is the call's, for the error, where `seconds` are what is left of it. A child
        keeps its parent's as well, because ending it would use the parent's gRPC.
        """
        if self._lookups is not None:
            target = self._lookups.target(seconds, self._wait_for_ready, timeout)
            return self._connection_of_list(target)
        connection = self._connections.get(os.getpid())
        if connection is not None:
            return connection
        made = self._connect(self._target)
        connection = self._connections.setdefault(os.getpid(), made)
        if connection is not made:  # another thread was faster
            made.channel.close()
        return connection

    def _connection_of_list(self, target: str) -> Connection:
        """Returns the connection to these addresses; calls on one to others come to their end."""
        connection = self._connections.get(os.getpid())
        if connection is None or connection.target != target:
            connection = self._connect(target)
            connection.close_when_unused()
            self._connections[os.getpid()] = connection
        return connection
