"""Two processes train as one: their averages are the loss and the gradient of all elements."""

from __future__ import annotations

import os
import socket as sockets
from collections.abc import Callable
from typing import Any

import pytest
from running_server import RunningServer
from torch_server import choose_socket, exact, pair, start_server, torch

fixtures = (choose_socket, start_server)

lossd_torch = pytest.importorskip("lossd.torch")
dist = pytest.importorskip("torch.distributed")
if not dist.is_available():
    pytest.skip("this PyTorch has no torch.distributed", allow_module_level=True)

SHARDS = (slice(0, 5), slice(5, 8))  # of eight rows
Work = Callable[[int, str], Any]


def free_port() -> int:
    with sockets.create_server(("127.0.0.1", 0)) as listener:
        port: int = listener.getsockname()[1]
    return port


def run_rank(rank: int, port: int, work: Work, address: str, results: Any) -> None:
    torch.set_num_threads(1)
    os.environ.update(MASTER_ADDR="127.0.0.1", MASTER_PORT=str(port))
    dist.init_process_group("gloo", rank=rank, world_size=2)
    try:
        results[rank] = work(rank, address)
    finally:
        dist.destroy_process_group()


def on_two_processes(work: Work, address: str) -> list[Any]:
    """Returns what `work` of each rank returned; it gets the rank and the server's address."""
    context = torch.multiprocessing.get_context("spawn")
    with context.Manager() as manager:
        results = manager.dict()
        torch.multiprocessing.start_processes(
            run_rank, (free_port(), work, address, results), nprocs=2, start_method="spawn"
        )
        return [results[rank] for rank in range(2)]


def batch() -> tuple[Any, Any, Any, Any]:
    """Returns inputs, targets of which some are -1, weights and an initial matrix."""
    inputs, targets = pair(8, 3, dtype=torch.float64)
    targets = targets.clone()
    targets[0, 0] = targets[6, :] = -1
    generator = torch.Generator().manual_seed(5)
    weights = torch.rand(8, 3, generator=generator, dtype=torch.float64)
    weights[2] = 0
    matrix = torch.randn(3, 3, generator=generator, dtype=torch.float64)
    return inputs.detach(), targets, weights, matrix


def wanted_divisor(normalizer: str) -> float:
    _, targets, weights, _ = batch()
    valid = targets != -1
    return {
        "elements": 24.0,
        "batch": 8.0,
        "valid": float(valid.sum()),
        "nonzero_weights": float((valid & (weights != 0)).sum()),
        "weight_sum": float(weights[valid].sum()),
    }[normalizer]


NORMALIZERS = ("elements", "batch", "valid", "nonzero_weights", "weight_sum")


def train_shard(rank: int, address: str) -> dict[str, Any]:
    """Returns the loss and the averaged gradient by the matrix, for each normalizer."""
    inputs, targets, weights, matrix = batch()
    rows = SHARDS[rank]
    found = {}
    for normalizer in NORMALIZERS:
        model = torch.nn.Linear(3, 3, bias=False).double()
        with torch.no_grad():
            model.weight.copy_(matrix)
        parallel = torch.nn.parallel.DistributedDataParallel(model)
        loss = lossd_torch.sigmoid_cross_entropy(
            parallel(inputs[rows]),
            targets[rows],
            weights[rows],
            client=address,
            normalizer=normalizer,
            ignore_target=-1.0,
            process_group="world",
        )
        loss.backward()
        found[normalizer] = (loss.item(), model.weight.grad.tolist())
    return found


def test_every_count_agrees_with_the_full_batch_under_uneven_shards(
    server: RunningServer,
) -> None:
    ranks = on_two_processes(train_shard, server.address)
    inputs, targets, weights, matrix = batch()
    for normalizer in NORMALIZERS:
        full = matrix.clone().requires_grad_()
        each = torch.where(targets != -1, exact(inputs @ full.T, targets) * weights, 0.0)
        loss = each.sum() / wanted_divisor(normalizer)
        loss.backward()
        losses = [found[normalizer][0] for found in ranks]
        assert sum(losses) / 2 == pytest.approx(loss.item(), rel=1e-12)
        for found in ranks:
            gradient = torch.tensor(found[normalizer][1], dtype=torch.float64)
            assert torch.allclose(gradient, full.grad, rtol=1e-12, atol=1e-15), normalizer


def compare_features(rank: int, address: str) -> tuple[float, list[Any]]:
    features = [part.detach().requires_grad_() for part in features_of(SHARDS[rank])]
    scale = torch.tensor(3.0, dtype=torch.float64, requires_grad=True)
    criterion = lossd_torch.SigLipLoss(client=address, process_group="world")
    loss = criterion(*features, scale, torch.tensor(-1.0, dtype=torch.float64))
    loss.backward()
    return loss.item(), [tensor.grad.tolist() for tensor in (*features, scale)]


def features_of(rows: slice) -> list[Any]:
    generator = torch.Generator().manual_seed(9)
    both = torch.randn(2, 8, 4, generator=generator, dtype=torch.float64)
    return [part[rows] for part in both]


def test_siglip_on_two_processes_is_that_of_all_rows(server: RunningServer) -> None:
    ranks = on_two_processes(compare_features, server.address)
    images, texts = (part.requires_grad_() for part in features_of(slice(0, 8)))
    scale = torch.tensor(3.0, dtype=torch.float64, requires_grad=True)
    loss = exact(scale * images @ texts.T - 1, torch.eye(8)).sum() / 8
    loss.backward()
    assert sum(found[0] for found in ranks) / 2 == pytest.approx(loss.item(), rel=1e-12)
    # The average that DistributedDataParallel makes of parameters is made here of features.
    for place, full in enumerate((images.grad, texts.grad)):
        rows = [torch.tensor(found[1][place], dtype=torch.float64) / 2 for found in ranks]
        assert torch.allclose(torch.cat(rows), full, rtol=1e-11, atol=1e-14)
    by_scale = sum(found[1][2] for found in ranks) / 2
    assert by_scale == pytest.approx(scale.grad.item(), rel=1e-11)


class Losses(torch.utils.data.Dataset):  # type: ignore[misc, name-defined, unused-ignore]
    """Items that a worker of a DataLoader computes with a loss."""

    def __init__(self, criterion: Any) -> None:
        self.criterion = criterion

    def __len__(self) -> int:
        return 40

    def __getitem__(self, index: int) -> Any:
        return self.criterion(torch.full((3,), float(index)), torch.zeros(3)).detach()


@pytest.mark.parametrize("method", ["fork", "spawn"])
def test_the_workers_of_a_data_loader_use_a_loss(server: RunningServer, method: str) -> None:
    items = Losses(lossd_torch.SigmoidCrossEntropyLoss(client=server.address))
    first = items[7]
    loader = torch.utils.data.DataLoader(
        items, batch_size=10, num_workers=2, multiprocessing_context=method
    )
    found = torch.cat(list(loader))
    assert found[7] == first
    assert torch.allclose(found.double(), exact(torch.arange(40.0), torch.zeros(40)))
