"""The asyncio client."""

from __future__ import annotations

import asyncio
from typing import Self, Unpack

import grpc
from numpy.typing import ArrayLike

from lossd import conversion
from lossd._channel import BaseClient
from lossd.conversion import LossResult, Targets
from lossd.errors import rpc_errors_translated
from lossd.spec import LossOptions
from lossd.streaming import LossStream
from lossd.v1 import loss_service_pb2


class AsyncClient(BaseClient):
    """Calls one lossd server from one event loop.

    Not thread-safe; use it on one event loop. Close the client, or use it in an
    `async with` statement.
    """

    _grpc = grpc.aio

    async def compute_loss(
        self,
        logits: ArrayLike,
        targets: Targets,
        *,
        timeout: float | None = None,
        **options: Unpack[LossOptions],
    ) -> LossResult:
        call_options = self._call_options(timeout)
        call = self._prepare(logits, targets, options)
        if isinstance(call, LossStream):
            with rpc_errors_translated():
                # gRPC sends the messages from a task of its own while these are read.
                async for response in self._stream_loss(call.messages(), **call_options):
                    call.add(response)
            return call.result()
        if call.references.names_device_memory:
            await asyncio.to_thread(call.references.synchronize)
        with call.references.until_answered(call.gradient_out), rpc_errors_translated():
            reply = await self._compute_loss(call.request, **call_options)
        return conversion.to_result(reply, call.gradient_out)

    async def server_info(
        self, timeout: float | None = None
    ) -> loss_service_pb2.GetServerInfoResponse:
        request = loss_service_pb2.GetServerInfoRequest()
        with rpc_errors_translated():
            info: loss_service_pb2.GetServerInfoResponse = await self._get_server_info(
                request, **self._call_options(timeout)
            )
        return info

    async def close(self) -> None:
        await self._channel.close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()
