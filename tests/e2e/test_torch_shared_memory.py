"""The tensors of lossd.torch in shared memory: the same bits, and never another step's."""

from __future__ import annotations

import copy
import io
import os
import pickle
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import lossd
import pytest
from running_server import RunningServer, eventually, running_server, stopped
from torch_server import choose_socket, exact, pair, start_server, torch

fixtures = (choose_socket, start_server)

lossd_torch = pytest.importorskip("lossd.torch")
DTYPES = ("float32", "float64", "bfloat16", "float16")
MEBI = 1 << 20


@pytest.fixture(name="memory")
def connect_memory(server: RunningServer, socket: Path) -> Iterator[lossd.SharedMemory]:
    with lossd.SharedMemory(socket) as memory:
        yield memory


@pytest.fixture(name="client")
def connect(server: RunningServer, memory: lossd.SharedMemory) -> Iterator[lossd.Client]:
    with lossd.Client(server.address, shared_memory=memory) as client:
        yield client


@pytest.fixture(name="criterion")
def make_criterion(client: lossd.Client) -> Any:
    return lossd_torch.SigmoidCrossEntropyLoss(client=client)


def lies_in(memory: lossd.SharedMemory, tensor: Any) -> bool:
    return memory._reference_at(tensor.data_ptr(), tensor.nbytes) is not None


def gradient_of(loss: Any, logits: Any, **options: Any) -> Any:
    return torch.autograd.grad(loss, logits, **options)[0]


@pytest.mark.parametrize("name", DTYPES)
@pytest.mark.parametrize("reduction", ["mean", "none"])
@pytest.mark.parametrize("shape", [(3,), (300, 400)])
def test_shared_memory_changes_no_bit(
    server: RunningServer, client: lossd.Client, name: str, reduction: str, shape: tuple[int, ...]
) -> None:
    logits, targets = pair(*shape, dtype=getattr(torch, name))
    answers = []
    for used in (server.address, client):
        criterion = lossd_torch.SigmoidCrossEntropyLoss(reduction=reduction, client=used)
        losses = [criterion(logits, targets) for _ in range(3)]
        gradients = [gradient_of(loss.sum(), logits) for loss in losses]
        assert all(torch.equal(gradient, gradients[0]) for gradient in gradients)
        answers.append((losses[0].detach(), gradients[0]))
    for first, second in zip(*answers, strict=True):
        assert torch.equal(first, second)


def test_inputs_of_every_layout_are_read_right(server: RunningServer, client: lossd.Client) -> None:
    logits, targets = pair(6, 8)
    weight, pos_weight = torch.rand(8) + 0.5, torch.rand(6, 1) + 0.5
    for inputs in (
        (logits.detach().T, targets.T, weight.unsqueeze(1), pos_weight.T),
        (logits.detach()[:, ::2], (targets > 0.5)[:, ::2], weight[::2], pos_weight),
        (logits.detach()[0, 0], targets[0, 0].round().long(), weight[0], None),
        (logits.detach()[:1].expand(5, 8), targets[:1].expand(5, 8), None, weight),
        (torch.zeros(0, 3), torch.zeros(0, 3), None, None),
    ):
        *values, weights, pos = inputs
        found = []
        for used in (server.address, client):
            asked = values[0].clone().requires_grad_()
            criterion = lossd_torch.SigmoidCrossEntropyLoss(weights, pos_weight=pos, client=used)
            loss = criterion(asked, values[1])
            found.append((loss.detach(), gradient_of(loss * 2, asked)))
        assert torch.equal(found[0][0], found[1][0])
        assert torch.equal(found[0][1], found[1][1])


def test_what_changes_between_two_calls_is_read_again(criterion: Any) -> None:
    logits, targets = pair(4, 5)
    array = targets.numpy()
    for _ in range(3):
        # NumPy writes behind PyTorch's back, and so does `data`.
        array[:] = 1 - array
        logits.data.neg_()
        assert torch.allclose(criterion(logits, targets), exact(logits, targets).mean().float())


def test_an_ordinary_step_returns_the_servers_own_memory_and_uses_it_again(
    criterion: Any, memory: lossd.SharedMemory
) -> None:
    if not hasattr(torch._C._autograd, "_get_current_graph_task_keep_graph"):
        pytest.skip("this PyTorch does not say whether a graph is kept")
    logits, targets = pair(300, 400)
    places = set()
    for _ in range(5):
        logits.grad = None
        criterion(logits, targets).backward()
        places.add(logits.grad.data_ptr())
        assert lies_in(memory, logits.grad)
    assert len(places) == 1


def test_a_gradient_is_not_given_to_another_call(criterion: Any) -> None:
    logits, targets = pair(300, 400)
    first = criterion(logits, targets)
    second = criterion(logits * 2, 1 - targets)
    early = gradient_of(first, logits)
    expected = early.clone()
    del first
    criterion(logits * 3, targets)
    assert torch.equal(early, expected)
    late = gradient_of(second, logits)
    exactly = gradient_of(exact(logits * 2, 1 - targets).mean(), logits)
    assert torch.allclose(late, exactly, rtol=1e-5, atol=1e-10)


@pytest.mark.parametrize("shape", [(3,), (300, 400)])
def test_a_gradient_may_be_changed_while_its_graph_is_kept(
    criterion: Any, shape: tuple[int, ...]
) -> None:
    logits, targets = pair(*shape)
    loss = criterion(logits, targets)
    first = gradient_of(loss, logits, retain_graph=True)
    expected = first.clone()
    first.zero_()
    assert torch.equal(gradient_of(loss * 2, logits, retain_graph=True), expected * 2)
    second = gradient_of(loss, logits)
    assert torch.equal(second, expected)
    second.mul_(3)
    assert torch.equal(gradient_of(criterion(logits, targets), logits), expected)
    with pytest.raises(RuntimeError, match="second time"):
        gradient_of(loss, logits)


def test_many_gradients_may_be_kept(criterion: Any, memory: lossd.SharedMemory) -> None:
    logits, targets = pair(200, 100)
    kept = [gradient_of(criterion(logits * n, targets), logits) for n in range(1, 41)]
    for n, gradient in enumerate(kept, start=1):
        wanted = gradient_of(exact(logits * n, targets).mean(), logits)
        assert torch.allclose(gradient, wanted, rtol=1e-4, atol=1e-9)
    assert sum(lies_in(memory, gradient) for gradient in kept) <= 16


def test_many_shapes_do_not_keep_much_memory(criterion: Any, memory: lossd.SharedMemory) -> None:
    for rows in range(1, 60):
        logits, targets = pair(rows, 1000)
        criterion(logits, targets).backward()
        del logits
    assert len(memory._regions) <= 10


def test_a_gradient_is_copied_pickled_and_saved(criterion: Any) -> None:
    logits, targets = pair(300, 400)
    gradient = gradient_of(criterion(logits, targets), logits)
    file = io.BytesIO()
    torch.save(gradient, file)
    file.seek(0)
    for copied in (
        copy.deepcopy(gradient),
        pickle.loads(pickle.dumps(gradient)),
        torch.load(file, weights_only=True),
        gradient.clone().share_memory_(),
    ):
        assert torch.equal(copied, gradient)


def test_the_memory_ends_with_the_client(tmp_path: Path) -> None:
    limit = 8 * MEBI
    path = tmp_path / "regions"
    with running_server(
        f"--shared_memory_socket={path}", f"--max_shared_memory_bytes={limit}"
    ) as small:
        logits, targets = pair(1000, 300)
        with (
            lossd.SharedMemory(path) as memory,
            lossd.Client(small.address, shared_memory=memory) as client,
        ):
            criterion = lossd_torch.SigmoidCrossEntropyLoss(client=client)
            criterion(logits, targets).backward()
            logits.grad = None
        with lossd.SharedMemory(path) as again, lossd.Client(small.address) as client:
            assert eventually(client, lambda: _allocates(again, limit - 4096))
        del criterion


def _allocates(memory: lossd.SharedMemory, byte_size: int) -> bool:
    try:
        memory.allocate(byte_size, "u1")
    except lossd.LossdError:
        return False
    return True


def test_beyond_the_servers_limit_the_tensors_are_sent(tmp_path: Path) -> None:
    logits, targets = pair(1000, 300)
    path = tmp_path / "regions"
    flags = (f"--shared_memory_socket={path}", f"--max_shared_memory_bytes={2 * MEBI}")
    with (
        running_server(*flags) as server,
        lossd.SharedMemory(path) as memory,
        lossd.Client(server.address, shared_memory=memory) as client,
    ):
        criterion = lossd_torch.SigmoidCrossEntropyLoss(client=client)
        small = gradient_of(criterion(logits[:9], targets[:9]), logits)
        loss = criterion(logits, targets)
        gradient = gradient_of(loss, logits)
        assert small.any()
    assert loss.item() == pytest.approx(exact(logits, targets).mean().item(), rel=1e-6)
    wanted = gradient_of(exact(logits, targets).mean(), logits)
    assert torch.allclose(gradient, wanted, rtol=1e-4, atol=1e-10)


def test_a_forked_child_keeps_its_gradient(criterion: Any) -> None:
    logits, targets = pair(300, 400)
    gradient = gradient_of(criterion(logits, targets), logits)
    expected = gradient.numpy().tobytes()
    ready, go = os.pipe(), os.pipe()
    child = os.fork()
    if child == 0:
        signal.alarm(60)  # a child that waits for ever would keep the test's output open
        os.write(ready[1], b"1")
        os.read(go[0], 1)
        # PyTorch's threads do not work in a forked child.
        os._exit(0 if gradient.numpy().tobytes() == expected else 1)
    os.read(ready[0], 1)
    del gradient
    for _ in range(3):
        criterion(logits * 3, 1 - targets).backward()
        logits.grad = None
    os.write(go[1], b"1")
    assert os.waitpid(child, 0)[1] == 0


class Losses(torch.utils.data.Dataset):  # type: ignore[misc, name-defined, unused-ignore]
    """Items that a worker of a DataLoader computes with a loss."""

    def __init__(self, criterion: Any) -> None:
        self.criterion = criterion

    def __len__(self) -> int:
        return 12

    def __getitem__(self, index: int) -> Any:
        logits = torch.full((200, 100), float(index), requires_grad=True)
        return gradient_of(self.criterion(logits, torch.zeros(200, 100)), logits)


@pytest.mark.parametrize("method", ["fork", "spawn"])
def test_workers_do_not_write_to_their_parents_places(criterion: Any, method: str) -> None:
    items = Losses(criterion)
    own = items[3]
    expected = own.clone()
    loader = torch.utils.data.DataLoader(
        items, batch_size=4, num_workers=2, multiprocessing_context=method
    )
    found = torch.cat([batch.clone() for batch in loader])
    assert torch.equal(own, expected)
    for index in range(12):
        assert torch.equal(found[index], items[index])


def test_a_call_without_an_answer_keeps_its_place(tmp_path: Path) -> None:
    logits, targets = pair(300, 400)
    path = tmp_path / "regions"
    with (
        running_server(f"--shared_memory_socket={path}") as server,
        lossd.SharedMemory(path) as memory,
        lossd.Client(server.address, shared_memory=memory) as client,
    ):
        criterion = lossd_torch.SigmoidCrossEntropyLoss(client=client)
        hasty = lossd_torch.SigmoidCrossEntropyLoss(client=client, timeout=0.05)
        wanted = gradient_of(criterion(logits, targets), logits).clone()
        with stopped(server), pytest.raises(lossd_torch.ServerError, match="DEADLINE_EXCEEDED"):
            hasty(logits * 2, targets)
        for _ in range(5):  # the server answers the late call meanwhile
            assert torch.equal(gradient_of(criterion(logits, targets), logits), wanted)
        assert len(memory._regions) == 2  # the server may still write to one of them


def test_a_refused_call_gives_its_place_back(criterion: Any, memory: lossd.SharedMemory) -> None:
    logits, targets = pair(300, 400)
    for _ in range(20):
        with pytest.raises(lossd_torch.ServerError, match="targets"):
            criterion(logits, targets * 3)
    assert len(memory._regions) == 1


def test_a_closed_client_says_so_and_keeps_no_memory(
    criterion: Any, client: lossd.Client, memory: lossd.SharedMemory
) -> None:
    logits, targets = pair(300, 400)
    criterion(logits, targets)
    client.close()
    with pytest.raises(ValueError, match="closed"):
        criterion(logits, targets)
    assert not memory._regions


def test_views_made_in_inference_mode_serve_training_too(criterion: Any) -> None:
    logits, targets = pair(4, 5)
    with torch.inference_mode():
        early = criterion(logits, targets)
    loss = criterion(logits, targets)
    loss.backward()
    assert torch.equal(early, loss)


def test_empty_like_makes_tensors_that_are_not_copied(
    criterion: Any, client: lossd.Client, memory: lossd.SharedMemory
) -> None:
    for name in DTYPES:
        logits, targets = pair(30, 40, dtype=getattr(torch, name))
        placed = [lossd_torch.empty_like(tensor, client=client) for tensor in (logits, targets)]
        for own, tensor in zip(placed, (logits, targets), strict=True):
            assert (own.dtype, own.shape, own.requires_grad) == (tensor.dtype, tensor.shape, False)
            assert lies_in(memory, own)
            own.copy_(tensor.detach())
        placed[0].requires_grad_()
        found = criterion(*placed)
        wanted = criterion(logits, targets)
        assert torch.equal(found, wanted)
        assert torch.equal(gradient_of(found, placed[0]), gradient_of(wanted, logits))
        with torch.no_grad():
            placed[0].neg_()
        assert torch.equal(criterion(*placed), criterion(-logits, targets))
    with pytest.raises(ValueError, match="^client: has no shared memory"):
        lossd_torch.empty_like(logits, client=client._target)
