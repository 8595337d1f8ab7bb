"""The asyncio client."""

from __future__ import annotations

import asyncio
import math
import time
from typing import Any, Self

import grpc

from lossd import forks
from lossd._channel import BaseClient, Connection
from lossd.aio_session import AsyncSession
from lossd.conversion import Call, Logits, Targets
from lossd.errors import LossdError
from lossd.losses import AsyncLosses
from lossd.result import LossResult
from lossd.retries import Resend
from lossd.spec import LossOptions
from lossd.streaming import LossStream
from lossd.v1 import loss_service_pb2


class AsyncClient(AsyncLosses, BaseClient):
    """Calls one lossd server, or several, from any event loop, with a connection for each loop.

    Close the client, or use it in an `async with` statement.
    """

    _grpc = grpc.aio

    def session(self) -> AsyncSession:
        """Returns a new session, which sends many requests over one stream.

        Raises ValueError after close().
        """
        self._check_open()
        session = AsyncSession(self)
        self._sessions.add(session)
        return session

    async def _compute(
        self, logits: Logits, targets: Targets, timeout: float | None, options: LossOptions
    ) -> LossResult[Any, Any]:
        call_options = self._call_options(timeout)
        return await self._answer(self._prepare(logits, targets, options), call_options)

    async def _answer(
        self, call: LossStream | Call, call_options: dict[str, Any]
    ) -> LossResult[Any, Any]:
        """Returns the result of a call that is ready to be sent."""
        await self._look_up_for(call_options)
        if isinstance(call, LossStream):
            return await self._stream(call, call_options)
        connection = self._connection()
        try:
            if not call.references.names_device_memory:
                return call.result(await connection.compute_loss(call.request, **call_options))
            return await self._call_on_device(connection, call, call_options)
        except grpc.RpcError as error:
            raise connection.route.error(error) from error

    async def _stream(self, call: LossStream, call_options: dict[str, Any]) -> LossResult[Any, Any]:
        """Returns the result of StreamLoss, which is called again for another server's answer."""
        resend = Resend(self._retries, call_options)
        while True:
            connection = self._connection()
            try:
                # gRPC sends the messages from a task of its own while these are read.
                async for message in connection.stream_loss(call.messages(), **resend.options()):
                    call.add(message)
                resend.answered()
                return call.result()
            except grpc.RpcError as error:
                failure = connection.route.error(error)
                delay = resend.delay(failure)
                if delay is None:
                    raise failure from error
            call.restart()
            await asyncio.sleep(delay)
            # _connection() would make the loop wait for names.
            await self._look_up(resend.left(), resend.timeout)

    @staticmethod
    async def _call_on_device(
        connection: Connection, call: Call, call_options: dict[str, Any]
    ) -> LossResult[Any, Any]:
        await asyncio.to_thread(call.references.synchronize)
        with call.references.until_answered(call.gradient_out, call.second_derivative_out):
            try:
                return call.result(await connection.compute_loss(call.request, **call_options))
            except grpc.RpcError as error:
                raise connection.route.error(error) from error

    async def server_info(
        self, timeout: float | None = None
    ) -> loss_service_pb2.GetServerInfoResponse:
        call_options = self._call_options(timeout)
        await self._look_up_for(call_options)
        connection = self._connection()
        try:
            info: loss_service_pb2.GetServerInfoResponse = await connection.get_server_info(
                loss_service_pb2.GetServerInfoRequest(), **call_options
            )
        except grpc.RpcError as error:
            raise connection.route.error(error) from error
        return info

    async def close(self) -> None:
        self._closed = True
        for session in list(self._sessions):
            session._cancel()
        here = asyncio.get_running_loop()
        while self._connections:
            loop, connection = self._connections.popitem()
            forks.forget(connection.channel)
            if loop is here:
                await connection.channel.close()
            elif not loop.is_closed():
                asyncio.run_coroutine_threadsafe(connection.channel.close(), loop)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    async def _look_up_for(self, call_options: dict[str, Any]) -> None:
        """Looks names up, and takes what that took from the call's timeout."""
        began = time.monotonic()
        await self._look_up(call_options["timeout"])
        self._spend_since(began, call_options)

    async def _look_up(self, seconds: float | None, timeout: float | None = None) -> None:
        """Lets _connection() return at once, where names have to be looked up first.

        `timeout` is the call's, for the error, where `seconds` are what is left of it.
        """
        deadline = math.inf if seconds is None else time.monotonic() + seconds
        while self._lookups is not None and not self._lookups.known:
            # A thread cannot be cancelled, so none waits for longer than a second.
            most = max(min(deadline - time.monotonic(), 1.0), 0)
            try:
                await asyncio.to_thread(self._lookups.target, most, self._wait_for_ready)
            except LossdError as error:
                if error.code is not grpc.StatusCode.DEADLINE_EXCEEDED:
                    raise
                if seconds is not None and time.monotonic() >= deadline:
                    total = seconds if timeout is None else timeout
                    raise self._lookups.not_found_within(total) from error

    def _connection(self) -> Connection:
        loop = asyncio.get_running_loop()
        target = self._target
        if self._lookups is not None:
            target = self._lookups.target(None, self._wait_for_ready)
        connection = self._connections.get(loop)
        if connection is None or connection.target != target:
            for other in [other for other in self._connections if other.is_closed()]:
                self._connections.pop(other, None)
            # One to other addresses is closed by gRPC when its calls have come to their end.
            connection = self._connections[loop] = self._connect(target)
            forks.keep_in_mind(connection.channel)
        else:
            forks.check()
        return connection
