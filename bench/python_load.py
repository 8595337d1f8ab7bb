"""Calls lossd from Python as often as possible and prints the elements per second.

./dev bench runs it with the Python of an environment that has the client, also an older one.
"""

from __future__ import annotations

import argparse
import asyncio
import threading
import time
from collections import deque
from collections.abc import Awaitable, Callable

import grpc
import lossd
import numpy as np

METHOD = "/lossd.v1.LossService/ComputeLoss"
UNLIMITED = [("grpc.max_send_message_length", -1), ("grpc.max_receive_message_length", -1)]


def tensors(elements: int) -> tuple[np.ndarray, np.ndarray]:
    random = np.random.default_rng(0)
    logits = random.normal(size=elements).astype(np.float32)
    return logits, (random.random(elements) < 0.5).astype(np.float32)


def ready_bytes(elements: int) -> bytes:
    return lossd.conversion.to_call(*tensors(elements)).request


def client_call(arguments: argparse.Namespace) -> Callable[[], object]:
    client = lossd.Client(arguments.target)
    logits, targets = tensors(arguments.elements)
    return lambda: client.compute_loss(logits, targets)


def bare_call(arguments: argparse.Namespace) -> Callable[[], object]:
    call = grpc.insecure_channel(arguments.target, UNLIMITED).unary_unary(METHOD)
    request = ready_bytes(arguments.elements)
    return lambda: call(request)


def shared_memory_call(arguments: argparse.Namespace) -> Callable[[], object]:
    memory = lossd.SharedMemory(arguments.shared_memory)
    client = lossd.Client(arguments.target, shared_memory=memory)
    logits, targets, gradient = (memory.allocate(arguments.elements, np.float32) for _ in range(3))
    logits[:], targets[:] = tensors(arguments.elements)
    return lambda: client.compute_loss(logits, targets, gradient_out=gradient)


CALLS = {"client": client_call, "bare": bare_call, "shared_memory": shared_memory_call}
MODES = [*CALLS, "session", "aio", "aio_session", "bare_aio"]


def calls_per_second(
    make: Callable[[argparse.Namespace], Callable[[], object]], arguments: argparse.Namespace
) -> float:
    """Returns the rate of `concurrency` threads together, after each has made a few calls."""
    calls = [make(arguments) for _ in range(arguments.concurrency)]
    for call in calls:
        for _ in range(3):
            call()
    counts = [0] * len(calls)
    start = time.perf_counter()
    end = start + arguments.seconds

    def work(index: int) -> None:
        while time.perf_counter() < end:
            calls[index]()
            counts[index] += 1

    threads = [threading.Thread(target=work, args=(index,)) for index in range(1, len(calls))]
    for thread in threads:
        thread.start()
    work(0)
    for thread in threads:
        thread.join()
    return sum(counts) / (time.perf_counter() - start)


def session_rate(arguments: argparse.Namespace) -> float:
    """Returns the rate of one thread that has `concurrency` requests of a session under way."""
    logits, targets = tensors(arguments.elements)
    with lossd.Client(arguments.target) as client, client.session() as session:
        session.compute_loss(logits, targets)
        count = 0
        start = time.perf_counter()
        waiting = deque(session.submit(logits, targets) for _ in range(arguments.concurrency))
        while time.perf_counter() < start + arguments.seconds:
            waiting.popleft().result()
            count += 1
            waiting.append(session.submit(logits, targets))
        return count / (time.perf_counter() - start)


async def asynchronous_rate(arguments: argparse.Namespace) -> float:
    """Returns the rate of `concurrency` tasks together."""
    if arguments.mode in ("aio", "aio_session"):
        client = lossd.AsyncClient(arguments.target)
        asked = client if arguments.mode == "aio" else client.session()
        logits, targets = tensors(arguments.elements)

        def start_call() -> Awaitable[object]:
            return asked.compute_loss(logits, targets)

    else:
        bare = grpc.aio.insecure_channel(arguments.target, UNLIMITED).unary_unary(METHOD)
        request = ready_bytes(arguments.elements)

        def start_call() -> Awaitable[object]:
            return bare(request)

    await asyncio.gather(*(start_call() for _ in range(arguments.concurrency)))
    count = 0
    start = time.perf_counter()

    async def work() -> None:
        nonlocal count
        while time.perf_counter() < start + arguments.seconds:
            await start_call()
            count += 1

    await asyncio.gather(*(work() for _ in range(arguments.concurrency)))
    return count / (time.perf_counter() - start)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--target", required=True)
    parser.add_argument("--mode", choices=MODES, default="client")
    parser.add_argument("--elements", type=int, default=64)
    parser.add_argument("--concurrency", type=int, default=1)
    parser.add_argument("--seconds", type=float, default=2.0)
    parser.add_argument("--shared_memory", help="the server's socket, for that mode")
    arguments = parser.parse_args()
    make = CALLS.get(arguments.mode)
    if make is not None:
        rate = calls_per_second(make, arguments)
    elif arguments.mode == "session":
        rate = session_rate(arguments)
    else:
        rate = asyncio.run(asynchronous_rate(arguments))
    print(rate * arguments.elements)


if __name__ == "__main__":
    main()
