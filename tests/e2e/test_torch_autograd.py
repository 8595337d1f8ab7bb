"""The losses under what PyTorch does beside a plain backward pass."""

from __future__ import annotations

from typing import Any

import pytest
from running_server import RunningServer
from torch_server import choose_socket, exact, pair, start_server, torch

fixtures = (choose_socket, start_server)

lossd_torch = pytest.importorskip("lossd.torch")
checkpoints = pytest.importorskip("torch.utils.checkpoint")
proxy_tensor = pytest.importorskip("torch.fx.experimental.proxy_tensor")


@pytest.fixture(name="criterion")
def make_criterion(server: RunningServer) -> Any:
    return lossd_torch.SigmoidCrossEntropyLoss(client=server.address)


def mean(logits: Any, targets: Any) -> Any:
    return exact(logits, targets).mean()


@pytest.mark.parametrize("vectorize", [False, True])
@pytest.mark.filterwarnings("ignore:There is a performance drop")
def test_the_hessian_is_right(criterion: Any, vectorize: bool) -> None:
    logits, targets = pair(5, dtype=torch.float64)
    found, wanted = (
        torch.autograd.functional.hessian(
            lambda x, loss=loss: loss(x, targets), logits.detach(), vectorize=vectorize
        )
        for loss in (criterion, mean)
    )
    assert torch.allclose(found, wanted, rtol=1e-10, atol=1e-14)


@pytest.mark.filterwarnings("ignore:There is a performance drop")
def test_a_batch_of_upstream_gradients(server: RunningServer) -> None:
    logits, targets = pair(4, dtype=torch.float64)
    each = lossd_torch.SigmoidCrossEntropyLoss(reduction="none", client=server.address)
    upstream = torch.eye(4, dtype=torch.float64)
    found, wanted = (
        torch.autograd.grad(loss, logits, upstream, is_grads_batched=True)[0]
        for loss in (each(logits, targets), exact(logits, targets))
    )
    assert torch.allclose(found, wanted, rtol=1e-10, atol=1e-14)


@pytest.mark.parametrize("reentrant", [False, True])
def test_checkpoints_and_offloaded_tensors(criterion: Any, reentrant: bool) -> None:
    logits, targets = pair(6, 4)
    (wanted,) = torch.autograd.grad(criterion(logits, targets), logits)
    loss = checkpoints.checkpoint(criterion, logits, targets, use_reentrant=reentrant)
    loss.backward()
    assert torch.equal(logits.grad, wanted)
    with torch.autograd.graph.save_on_cpu():
        loss = criterion(logits, targets)
    assert torch.equal(torch.autograd.grad(loss, logits)[0], wanted)


def test_logits_that_are_changed_before_the_backward_pass_are_noticed(criterion: Any) -> None:
    logits, targets = pair(3)
    hidden = logits * 1
    loss = criterion(hidden, targets)
    hidden.mul_(2)
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        loss.backward()


def test_a_gradient_scaler_scales_once(criterion: Any) -> None:
    logits, targets = pair(300, 300)
    scaler = torch.amp.GradScaler("cpu", init_scale=1024.0)
    scaler.scale(criterion(logits, targets)).backward()
    (wanted,) = torch.autograd.grad(criterion(logits, targets), logits)
    assert torch.equal(logits.grad, wanted * 1024)


def test_gradients_add_up_over_steps(criterion: Any) -> None:
    logits, targets = pair(300, 300)
    (once,) = torch.autograd.grad(criterion(logits, targets), logits)
    for _ in range(3):
        criterion(logits, targets).backward()
    assert torch.allclose(logits.grad, once * 3, rtol=1e-6)


def test_forward_mode_is_refused(criterion: Any) -> None:
    logits, targets = pair(3)
    for values in (logits, logits.detach()):
        with torch.autograd.forward_ad.dual_level():
            dual = torch.autograd.forward_ad.make_dual(values, torch.ones(3))
            with pytest.raises((RuntimeError, NotImplementedError), match=r"forward|jvp"):
                criterion(dual, targets)


def test_modes_that_watch_operators_see_one(criterion: Any) -> None:
    logits, targets = pair(3)
    traced = proxy_tensor.make_fx(criterion)(logits.detach(), targets)
    assert "lossd.value" in traced.code
    assert torch.equal(traced(logits.detach() * 2, targets), criterion(logits * 2, targets))
    with torch._subclasses.FakeTensorMode() as mode:
        fake = criterion(mode.from_tensor(logits), mode.from_tensor(targets))
    assert fake.shape == ()


@pytest.mark.filterwarnings("ignore")
def test_a_traced_module_calls_the_server(criterion: Any) -> None:
    logits, targets = pair(3)
    traced = torch.jit.trace(criterion, (logits.detach(), targets), check_trace=False)
    assert torch.equal(traced(logits * 2, targets), criterion(logits * 2, targets))


def test_anomaly_mode_finds_nothing(criterion: Any) -> None:
    logits, targets = pair(300, 300)
    (wanted,) = torch.autograd.grad(criterion(logits, targets), logits)
    with torch.autograd.set_detect_anomaly(True):
        criterion(logits, targets).backward()
    assert torch.equal(logits.grad, wanted)
