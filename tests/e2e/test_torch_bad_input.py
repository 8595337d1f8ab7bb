"""Every mistake is an error of a type that PyTorch code expects, and it names the argument."""

from __future__ import annotations

import dataclasses
import pickle
import signal
import socket as sockets
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import grpc
import lossd
import pytest
from lossd import cuda_driver, device_array
from running_server import RunningServer, running_server, stopped
from torch_server import choose_socket, pair, start_server, torch

fixtures = (choose_socket, start_server)

lossd_torch = pytest.importorskip("lossd.torch")
calls = pytest.importorskip("lossd.torch.calls")


@pytest.fixture(name="criterion")
def make_criterion(server: RunningServer) -> Any:
    return lossd_torch.SigmoidCrossEntropyLoss(client=server.address)


@pytest.mark.parametrize(
    ("change", "error", "text"),
    [
        ({"input": [1.0]}, TypeError, "input: list is not a tensor"),
        ({"input": torch.ones(2, 3, dtype=torch.int64)}, TypeError, "input: torch.int64 is none"),
        ({"input": torch.ones(2, 3, device="meta")}, RuntimeError, "input: is on meta"),
        ({"target": [1.0]}, TypeError, "target: list is not a tensor"),
        ({"target": torch.ones(3)}, ValueError, r"target: its size \(3,\)"),
        ({"target": torch.ones(2, 3, device="meta")}, RuntimeError, "target: is on meta, and the"),
        ({"target": torch.ones(2, 3, requires_grad=True)}, NotImplementedError, "target: lossd"),
        ({"target": torch.full((2, 3), 2.0)}, RuntimeError, "targets"),
        ({"normalizer_value": 0.0}, RuntimeError, "normalizer_value"),
    ],
)
def test_tensors_that_do_not_fit(
    criterion: Any, change: dict[str, Any], error: type[Exception], text: str
) -> None:
    logits, targets = pair(2, 3)
    with pytest.raises(error, match=text):
        criterion(**{"input": logits, "target": targets, **change})


@pytest.mark.parametrize("name", ["weight", "pos_weight"])
def test_weights_that_do_not_fit(server: RunningServer, name: str) -> None:
    logits, targets = pair(2, 3)
    for bad, error, text in (
        (torch.ones(4), lossd_torch.ServerError, name),
        (torch.ones(3, requires_grad=True), NotImplementedError, f"^{name}: "),
        (torch.ones(3, device="meta"), RuntimeError, f"^{name}: is on meta"),
    ):
        criterion = lossd_torch.SigmoidCrossEntropyLoss(client=server.address, **{name: bad})
        with pytest.raises(error, match=text):
            criterion(logits, targets)


@pytest.mark.parametrize(
    ("options", "error", "text"),
    [
        ({"reduction": "median"}, ValueError, "^reduction: 'median' is none of"),
        ({"normaliser": "valid"}, TypeError, "^normaliser: .* is it normalizer"),
        ({"normalizer": "valid", "reduction": "sum"}, ValueError, "^normalizer: "),
        ({"gradient_dtype": "float16"}, TypeError, "^gradient_dtype: "),
        ({"label_smoothing": "much"}, TypeError, "^label_smoothing: "),
        ({"client": 3}, TypeError, "^client: 3 is neither"),
        ({"client": "nonsense"}, ValueError, "nonsense"),
    ],
)
def test_options_are_checked_when_the_module_is_made(
    server: RunningServer, options: dict[str, Any], error: type[Exception], text: str
) -> None:
    with pytest.raises(error, match=text):
        lossd_torch.SigmoidCrossEntropyLoss(**{"client": server.address, **options})


def test_the_deprecated_arguments_warn_and_mean_what_they_meant(server: RunningServer) -> None:
    for size_average, reduce, meant in (
        (False, None, "sum"),
        (True, None, "mean"),
        (None, False, "none"),
        (False, False, "none"),
        (None, True, "mean"),
    ):
        with pytest.warns(FutureWarning, match=f"size_average, reduce: .*{meant}"):
            criterion = lossd_torch.SigmoidCrossEntropyLoss(
                None, size_average, reduce, client=server.address
            )
        assert criterion.reduction == meant


@pytest.fixture(name="mortal")
def start_another_server() -> Iterator[RunningServer]:
    with running_server() as server:
        yield server


def test_a_server_that_goes_away_after_forward_is_named(mortal: RunningServer) -> None:
    logits, targets = pair(2, 3)
    criterion = lossd_torch.SigmoidCrossEntropyLoss(client=mortal.address)
    loss = criterion(logits, targets)
    mortal.process.send_signal(signal.SIGKILL)
    mortal.process.wait()
    # The gradient came with the loss; its own derivative does not.
    (gradient,) = torch.autograd.grad(loss, logits, create_graph=True)
    with pytest.raises(lossd_torch.ServerError) as second:
        torch.autograd.grad(gradient.sum(), logits)
    with pytest.raises(RuntimeError, match="UNAVAILABLE") as first:
        criterion(logits, targets)
    for error in (first.value, second.value):
        assert isinstance(error, lossd.LossdError)
        assert error.code is grpc.StatusCode.UNAVAILABLE
        assert pickle.loads(pickle.dumps(error)).code is error.code


def test_a_server_that_goes_away_leaves_its_gradients_in_shared_memory(tmp_path: Path) -> None:
    logits, targets = pair(300, 300)
    path = tmp_path / "regions"
    with running_server(f"--shared_memory_socket={path}") as server:
        memory = lossd.SharedMemory(path)
        client = lossd.Client(server.address, shared_memory=memory)
        criterion = lossd_torch.SigmoidCrossEntropyLoss(client=client)
        (wanted,) = torch.autograd.grad(criterion(logits, targets), logits, create_graph=True)
        loss = criterion(logits, targets)
        server.process.send_signal(signal.SIGKILL)
        server.process.wait()
        loss.backward()
        assert torch.equal(logits.grad, wanted)
        for call in (
            lambda: criterion(logits, targets),
            lambda: criterion(logits[:7].detach(), targets[:7]),
            lambda: torch.autograd.grad(wanted.sum(), logits),
        ):
            with pytest.raises(lossd_torch.ServerError) as error:
                call()
            assert error.value.code is grpc.StatusCode.UNAVAILABLE
        client.close()
        memory.close()


def test_a_server_that_stops_within_a_second_backward_pass_is_named(mortal: RunningServer) -> None:
    logits, targets = pair(2, 3)
    criterion = lossd_torch.SigmoidCrossEntropyLoss(client=mortal.address, timeout=2)
    (gradient,) = torch.autograd.grad(criterion(logits, targets), logits, create_graph=True)
    with stopped(mortal), pytest.raises(lossd_torch.ServerError) as error:
        torch.autograd.grad(gradient.sum(), logits)
    assert error.value.code is grpc.StatusCode.DEADLINE_EXCEEDED


def test_a_server_that_does_not_answer_ends_the_call() -> None:
    logits, targets = pair(2, 3)
    with closing(sockets.create_server(("127.0.0.1", 0))) as silent:
        port = silent.getsockname()[1]
        criterion = lossd_torch.SigmoidCrossEntropyLoss(client=f"127.0.0.1:{port}", timeout=0.2)
        with pytest.raises(lossd_torch.ServerError):
            criterion(logits, targets)


@pytest.mark.filterwarnings("ignore:There is a performance drop")
def test_vmap_makes_a_call_for_each_row_and_its_gradient_is_refused(criterion: Any) -> None:
    logits, targets = pair(2, 3)
    logits = logits.detach()
    rows = torch.func.vmap(criterion)(logits, targets)
    assert torch.equal(
        rows, torch.stack([criterion(*row) for row in zip(logits, targets, strict=True)])
    )
    for dimensions, each in (((0, None), (logits, targets[0])), ((1, 1), (logits, targets))):
        found = torch.func.vmap(criterion, in_dims=dimensions)(*each)
        assert found.shape == (each[0].shape[dimensions[0]],)
    with pytest.raises(ValueError, match="in_dim"):
        torch.func.vmap(criterion, in_dims=2)(logits, targets)
    with pytest.raises(ValueError, match="^target: its size"):
        torch.func.vmap(criterion, in_dims=(0, None))(logits, targets)
    with pytest.raises(RuntimeError, match="functorch.*setup_context"):
        torch.func.grad(criterion)(logits, targets)


class OneAllocation:
    """A CUDA driver that knows one allocation, wherever an address is."""

    def buffer_id(self, address: int) -> int:
        return 1

    def allocation(self, address: int) -> cuda_driver.Allocation:
        return cuda_driver.Allocation(
            base=address, byte_size=1 << 21, device=0, uuid=bytes(16), handle=bytes(64)
        )


def test_a_cuda_tensor_is_refused_by_a_server_without_that_gpu(
    server: RunningServer, socket: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    logits, targets = pair(2, 3)
    # A description of a tensor on a GPU stands for one, because there may be no GPU here.
    described = dataclasses.replace(
        device_array._of_interface(
            None,
            {"data": (1 << 40, False), "typestr": "<f4", "shape": (2, 3), "strides": None},
        ),
        device="cuda:0",
        copies_itself=True,
    )
    monkeypatch.setattr(device_array, "of", lambda _, array: array is not None and described)
    monkeypatch.setattr(cuda_driver, "load", OneAllocation)
    monkeypatch.setattr(calls, "_pool_for", lambda *_: None)
    monkeypatch.setattr(calls, "_plain", lambda tensor: tensor)
    with (
        lossd.SharedMemory(socket) as memory,
        lossd.Client(server.address, shared_memory=memory) as client,
    ):
        criterion = lossd_torch.SigmoidCrossEntropyLoss(client=client)
        with pytest.raises(lossd_torch.ServerError, match="logits: on cuda:0: .*GPU"):
            criterion(logits.detach(), targets)
