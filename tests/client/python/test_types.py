"""The types that a user's own type checker sees; mypy reads them from the installed package."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

PROGRAM = """\
import asyncio
from concurrent.futures import Future
from typing import Any
import lossd
import numpy as np
from numpy.typing import NDArray

x = np.zeros((2, 3), np.float32)

def blocking(client: lossd.Client) -> float:
    with client:
        version: str = client.server_info().version
        result: lossd.LossResult = client.compute_loss(
            x, lossd.bits(x), timeout=2, reduction="sum", gradient_dtype=np.float64
        )
    return result.loss

async def asynchronous(client: lossd.AsyncClient) -> float:
    async with client:
        version: str = (await client.server_info()).version
        result: lossd.LossResult = await client.compute_loss(x, [[1]], reduction="none")
    return result.loss

class Tensor:
    def detach(self) -> "Tensor": return self
    def requires_grad_(self, requires_grad: bool = True) -> "Tensor": return self

async def gradients(client: lossd.Client, other: lossd.AsyncClient, wanted: bool) -> None:
    array: NDArray[Any] = client.compute_loss(x, x).gradient
    tensor: Tensor = client.compute_loss(Tensor(), x, normalizer="batch").gradient
    nothing: None = client.compute_loss(x, x, gradient=False).gradient
    out: list[int] = client.compute_loss(x, x, gradient_out=[1]).gradient
    later: NDArray[Any] = (await other.compute_loss(x, x, gradient_dtype=np.float16)).gradient
    options: lossd.LossOptions = {"reduction": "none", "gradient": wanted}
    any_of_these: lossd.LossResult = client.compute_loss(x, x, **options)

async def sessions(client: lossd.Client, other: lossd.AsyncClient) -> None:
    with client.session() as session:
        future: Future[lossd.LossResult] = session.submit(x, lossd.bits(x), timeout=2)
        array: NDArray[Any] = session.compute_loss(x, x).gradient
        losses: list[float] = [result.loss for result in session.map([x], [x], reduction="sum")]
    session.close(cancel_futures=True)
    async with other.session() as later:
        tensor: Tensor = (await later.compute_loss(Tensor(), x)).gradient
    await later.close(cancel_futures=True)

blocking(lossd.Client("localhost:1", token="t", channel_options={"grpc.x": 1}))
asyncio.run(asynchronous(lossd.AsyncClient("localhost:1")))
"""

MISTAKES = {
    'lossd.Client("localhost:1").compute_loss(x, x, reduction="median")': "call-overload",
    'lossd.Client("localhost:1").compute_loss(x, x, reducton="mean")': "call-overload",
    'lossd.Client("localhost:1", tokn="t")': "call-arg",
    'lossd.AsyncClient("localhost:1").compute_loss(x, x).loss': "attr-defined",
    'lossd.Client("localhost:1").compute_loss(x, x).gradient.backward()': "attr-defined",
    'lossd.Client("localhost:1").session().submit(x, x).loss': "attr-defined",
    'lossd.Client("localhost:1").session().submit(x, x, reduction="median")': "arg-type",
    'lossd.Client("localhost:1").session().compute_loss(x, x, reducton="mean")': "call-overload",
}


def test_mypy_passes_right_calls_and_finds_wrong_ones(tmp_path: Path) -> None:
    (tmp_path / "program.py").write_text(PROGRAM + "\n".join(MISTAKES) + "\n")
    done = subprocess.run(
        [sys.executable, "-m", "mypy", "--strict", "--cache-dir=cache", "program.py"],
        cwd=tmp_path,
        stdout=subprocess.PIPE,
        text=True,
        check=False,
    )
    first = PROGRAM.count("\n") + 1
    expected = [(first + index, code) for index, code in enumerate(MISTAKES.values())]
    errors = [line for line in done.stdout.splitlines() if ": error: " in line]
    found = [(int(line.split(":")[1]), line.rpartition("[")[2].rstrip("]")) for line in errors]
    # A misspelt option of a call with overloads is named in an error of its own.
    found = list(dict.fromkeys(found))
    assert found == expected, done.stdout
