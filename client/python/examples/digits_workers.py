"""Worker processes that train data-parallel and ask lossd for their losses."""

from __future__ import annotations

import asyncio
import contextlib
import multiprocessing
from collections.abc import Iterator
from multiprocessing.connection import Connection

import lossd
import numpy as np
from digits_data import Digits
from digits_model import Array, Network
from numpy.typing import NDArray

# A worker cuts its share into so many requests and sends them together. A worker that overlaps
# its forward pass with the loss has as many calls in flight.
REQUESTS_PER_STEP = 4


async def remote_loss(
    client: lossd.AsyncClient, logits: Array, targets: NDArray[np.uint8], elements: int
) -> tuple[float, Array]:
    """Returns a share of the mean loss over `elements` elements, and its gradient.

    Every worker divides by the same `elements`, so the shares of all workers add up to the mean.
    """
    calls = [
        client.compute_loss(
            part,
            part_targets,
            normalizer="caller",
            normalizer_value=elements,
            timeout=30,
        )
        for part, part_targets in zip(
            np.array_split(logits.astype(np.float32), REQUESTS_PER_STEP),
            np.array_split(targets, REQUESTS_PER_STEP),
            strict=True,
        )
    ]
    results = await asyncio.gather(*calls)
    gradient = np.concatenate([result.gradient for result in results]).astype(np.float64)
    return sum(result.loss for result in results), gradient


async def serve_steps(
    pipe: Connection, address: str, images: Array, targets: NDArray[np.uint8], elements: int
) -> None:
    network = Network(seed=0)
    async with lossd.AsyncClient(address) as client:
        while (parameters := pipe.recv()) is not None:
            network.parameters = parameters
            hidden, logits = network.forward(images)
            loss, logit_gradient = await remote_loss(client, logits, targets, elements)
            pipe.send((loss, network.backward(images, hidden, logit_gradient)))


def worker_main(
    pipe: Connection, address: str, images: Array, targets: NDArray[np.uint8], elements: int
) -> None:
    asyncio.run(serve_steps(pipe, address, images, targets, elements))


class Workers:
    """`count` processes, each with its share of the images. Use it in a `with` statement.

    No process is left after that statement. Raises SystemExit, which names the worker, if one
    dies before.
    """

    def __init__(self, address: str, digits: Digits, count: int) -> None:
        context = multiprocessing.get_context("spawn")
        self._pipes: list[Connection] = []
        self._processes = []
        elements = digits.train_targets.size
        shares = zip(
            np.array_split(digits.train_images, count),
            np.array_split(digits.train_targets, count),
            strict=True,
        )
        for images, targets in shares:
            here, there = context.Pipe()
            process = context.Process(
                target=worker_main, args=(there, address, images, targets, elements), daemon=True
            )
            process.start()
            there.close()
            self._pipes.append(here)
            self._processes.append(process)

    def step(self, parameters: list[Array]) -> tuple[float, list[Array]]:
        """Returns the loss over all images and the gradient of every parameter."""
        for index in range(len(self._pipes)):
            with self._naming(index):
                self._pipes[index].send(parameters)
        shares = []
        for index in range(len(self._pipes)):
            with self._naming(index):
                shares.append(self._pipes[index].recv())
        gradients = [sum(parts) for parts in zip(*(share[1] for share in shares), strict=True)]
        return sum(share[0] for share in shares), gradients

    @contextlib.contextmanager
    def _naming(self, index: int) -> Iterator[None]:
        """Raises SystemExit for worker `index` if its pipe breaks, because then it has died."""
        try:
            yield
        except (EOFError, OSError) as error:
            process = self._processes[index]
            process.join(timeout=10)
            raise SystemExit(
                f"worker {index} died with exit code {process.exitcode};"
                " if it said why, that is above"
            ) from error

    def __enter__(self) -> Workers:
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        for pipe, process in zip(self._pipes, self._processes, strict=True):
            if kind is None:
                with contextlib.suppress(OSError):  # the worker has just died
                    pipe.send(None)
                process.join(timeout=10)
            process.kill()  # has no effect if the process has ended
            process.join()
