"""Opens ten thousand health watches at once, and ends the server."""

from __future__ import annotations

import asyncio
import contextlib
import signal
from collections import Counter
from collections.abc import Iterator

import grpc
import grpc.aio

from soak import message
from soak.row import Row, judged
from soak.server import PATIENCE, Server, Setting, counts, running

WATCHES, CONNECTIONS = 10_000, 100
SERVING, NOT_SERVING = 1, 2
DONE = f"watches open at once on {CONNECTIONS} connections, then SIGTERM"


class Watches:
    """Counts what each of many watches is told."""

    def __init__(self) -> None:
        self.serving = 0
        self.not_serving = 0
        self.ended: Counter[str] = Counter()  # by code, before the change was told
        self._changed = asyncio.Condition()

    async def watch(self, channel: grpc.aio.Channel, service: str) -> None:
        told = 0
        try:
            async for reply in channel.unary_stream(message.WATCH)(message.health_request(service)):
                told = message.health_status(reply)
                async with self._changed:
                    self.serving += told == SERVING
                    self.not_serving += told == NOT_SERVING
                    self._changed.notify_all()
        except grpc.aio.AioRpcError as error:
            if told != NOT_SERVING:
                self.ended[error.code().name] += 1
        async with self._changed:
            self._changed.notify_all()

    async def wait_for(self, watches: int, status: int) -> None:
        """Waits until each watch has been told the status or has ended, or for PATIENCE."""

        def told() -> bool:
            count = self.serving if status == SERVING else self.not_serving
            return count + self.ended.total() >= watches

        async with self._changed:
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._changed.wait_for(told), PATIENCE)


def rows(setting: Setting) -> Iterator[Row]:
    # The delay leaves time for the news to reach everybody before the connections end.
    flags = ["--drain_delay=20s"] if setting.knows("drain_delay") else []
    server = Server(setting, *flags)
    with running(server):
        seen = asyncio.run(watched(server, setting.times(WATCHES)))
    watches = setting.times(WATCHES)
    yield judged(
        "health",
        DONE,
        f"grpcio {grpc.__version__} (asyncio)",
        times=watches,
        lost=watches - seen.not_serving,
        seen=f"{seen.serving:,} were told SERVING, {seen.not_serving:,} NOT_SERVING; "
        f"ended before: {counts(seen.ended) or 'none'}",
    )


async def watched(server: Server, number: int) -> Watches:
    seen = Watches()
    async with contextlib.AsyncExitStack() as stack:
        channels = [
            await stack.enter_async_context(
                grpc.aio.insecure_channel(server.address, [("grpc.use_local_subchannel_pool", 1)])
            )
            for _ in range(CONNECTIONS)
        ]
        tasks = [
            asyncio.create_task(
                seen.watch(channels[i % CONNECTIONS], message.SERVICE if i % 2 else "")
            )
            for i in range(number)
        ]
        await seen.wait_for(number, SERVING)
        server.send(signal.SIGTERM)
        await seen.wait_for(number, NOT_SERVING)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
    return seen
