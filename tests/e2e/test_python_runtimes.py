"""The Python client inside PyTorch and Ray; tools/python_runtimes.sh installs them."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import lossd
import numpy as np
import pytest
from running_server import RunningServer, running_server

CALLS = 1000


@pytest.fixture(scope="module", name="server")
def start_server() -> Iterator[RunningServer]:
    with running_server() as server:
        yield server


@pytest.mark.parametrize("name", ["float32", "float64", "bfloat16", "float16"])
@pytest.mark.parametrize("stream_above_bytes", [0, 1 << 20])
def test_pytorchs_logits_have_pytorchs_gradient(
    server: RunningServer, name: str, stream_above_bytes: int
) -> None:
    torch = pytest.importorskip("torch")
    logits = torch.linspace(-4, 4, 35).reshape(5, 7).to(getattr(torch, name)).requires_grad_()
    targets = torch.arange(35).reshape(5, 7) % 3 == 0
    with lossd.Client(server.address, stream_above_bytes=stream_above_bytes) as client:
        # The normalizer depends on the data, so a stream's client scales the gradient.
        result = client.compute_loss(logits, targets, normalizer="valid")
        each = client.compute_loss(logits, targets, reduction="none", gradient=False)
        out = torch.empty_like(logits)
        placed = client.compute_loss(logits, targets, gradient_out=out)
    exact = (torch.sigmoid(logits.detach().double()) - targets.double()) / 35
    digits = {"float32": 1e-6, "float64": 1e-12, "bfloat16": 0.01, "float16": 0.002}[name]
    for gradient in (result.gradient, placed.gradient):
        assert (gradient.dtype, gradient.shape) == (logits.dtype, logits.shape)
        assert not gradient.requires_grad
        assert torch.allclose(gradient.double(), exact, rtol=digits, atol=digits / 100)
    result.gradient.mul_(2)  # it may be changed
    assert placed.gradient is out
    assert each.gradient is None
    assert each.losses.dtype == logits.dtype
    wanted = torch.nn.functional.softplus(logits.detach().double()) - logits * targets
    assert torch.allclose(each.losses.double(), wanted, rtol=digits, atol=digits)


def test_the_example_of_the_packages_readme_runs(server: RunningServer) -> None:
    readme = Path(__file__).parents[2] / "client" / "python" / "README.md"
    example = re.search(r"```python\n(.*?)```", readme.read_text(), re.DOTALL)
    assert example is not None
    program = example[1].replace("localhost:50051", server.address)
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, timeout=120, check=False
    )
    assert done.returncode == 0, done.stderr
    x, t = np.array([0.5, -1, 3, -20]), np.array([1, 0, 0, 1])
    loss = np.sum(np.logaddexp(0, x) - x * t) / 2
    assert float(done.stdout.split()[0]) == pytest.approx(loss, rel=1e-6)


def test_a_tensor_of_rank_0_has_a_gradient_by_both_calls(server: RunningServer) -> None:
    for above in (0, 1 << 20):
        with lossd.Client(server.address, stream_above_bytes=above) as client:
            out = np.zeros((), np.float32)
            assert client.compute_loss(np.float32(0), 1.0, gradient_out=out).gradient is out
            assert out == -0.5
            assert client.compute_loss(np.float32(0), 1.0).gradient == -0.5


@pytest.mark.parametrize("backend", ["eager", "aot_eager"])
def test_torch_compile_leaves_a_call_as_it_is(server: RunningServer, backend: str) -> None:
    torch = pytest.importorskip("torch")
    client = lossd.Client(server.address)

    class Loss(torch.autograd.Function):  # type: ignore[misc, name-defined]
        @staticmethod
        def forward(context: Any, logits: Any, targets: Any) -> Any:
            result = client.compute_loss(logits, targets)
            context.save_for_backward(result.gradient)
            return logits.new_tensor(result.loss)

        @staticmethod
        def backward(context: Any, upstream: Any) -> Any:
            return context.saved_tensors[0] * upstream, None

    def step(logits: Any, targets: Any) -> Any:
        return Loss.apply(logits * 2, targets) * 3

    gradients = []
    for run in (step, torch.compile(step, backend=backend)):
        logits = torch.linspace(-1, 1, 6).requires_grad_()
        run(logits, torch.ones(6)).backward()
        gradients.append(logits.grad)
    assert torch.equal(*gradients)
    client.close()


def test_a_gradient_out_that_pytorch_cannot_lend_is_named(server: RunningServer) -> None:
    torch = pytest.importorskip("torch")
    zeros = torch.zeros(3)
    with lossd.Client(server.address) as client:
        for bad in (zeros.to_sparse(), zeros.to(torch.float8_e5m2), zeros.to("meta")):
            for name in ("logits", "gradient_out"):
                arguments = {"logits": zeros, "targets": zeros, name: bad}
                with pytest.raises((TypeError, ValueError), match=f"^{name}: "):
                    client.compute_loss(**arguments)


def answer(client: lossd.Client, index: int) -> int:
    """Returns 1 for a loss and -3, the error's code, for every third index."""
    zeros = np.zeros(4, np.float32)
    try:
        client.compute_loss(zeros, np.zeros(5 if index % 3 == 0 else 4), timeout=60)
    except lossd.LossdError as error:
        return -int(error.code.value[0])
    return 1


ANSWERS = [-3 if index % 3 == 0 else 1 for index in range(CALLS)]


class Items:
    """A data set whose items are answers of the server."""

    def __init__(self, client: lossd.Client) -> None:
        self.client = client

    def __len__(self) -> int:
        return CALLS

    def __getitem__(self, index: int) -> int:
        return answer(self.client, index)


@pytest.mark.parametrize("method", ["fork", "spawn"])
def test_the_workers_of_a_data_loader_use_a_client(server: RunningServer, method: str) -> None:
    torch = pytest.importorskip("torch")
    with lossd.Client(server.address) as client:
        assert answer(client, 1) == 1
        loader = torch.utils.data.DataLoader(
            Items(client), batch_size=50, num_workers=2, multiprocessing_context=method
        )
        answers = torch.cat(list(loader)).tolist()
        assert answers == ANSWERS
        assert answer(client, 1) == 1


def test_an_actor_of_ray_uses_a_client_and_passes_errors_on(server: RunningServer) -> None:
    ray = pytest.importorskip("ray")
    os.environ["RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO"] = "0"
    ray.init(
        num_cpus=1,
        include_dashboard=False,
        log_to_driver=False,
        runtime_env={"env_vars": {"PYTHONPATH": os.pathsep.join(sys.path)}},
    )
    try:

        class Worker:
            def __init__(self, client: lossd.Client) -> None:
                self.client = client

            def ask(self) -> list[int]:
                return [answer(self.client, index) for index in range(CALLS)]

            def fail(self) -> None:
                self.client.compute_loss(np.zeros(4), np.zeros(5))

        worker = ray.remote(Worker).remote(lossd.Client(server.address))
        with pytest.raises(lossd.LossdError):
            ray.get(worker.fail.remote())
        assert ray.get(worker.ask.remote()) == ANSWERS
    finally:
        ray.shutdown()
