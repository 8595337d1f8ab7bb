"""The losses of lossd.torch have the value, the gradient and the second derivative of PyTorch's."""

from __future__ import annotations

import copy
import pickle
from pathlib import Path
from typing import Any

import lossd
import pytest
from running_server import RunningServer
from torch_server import choose_socket, exact, pair, start_server, torch

pytestmark = pytest.mark.usefixtures("server")
fixtures = (choose_socket, start_server)

lossd_torch = pytest.importorskip("lossd.torch")
DTYPES = {"float32": 1e-6, "float64": 1e-13, "bfloat16": 0.01, "float16": 0.002}
REDUCTIONS = {
    "mean": torch.mean,
    "sum": torch.sum,
    "none": lambda losses: losses,
    "rows": lambda losses: losses.mean(dim=1),
    "mean_of_rows": torch.mean,
}


def focal(logits: Any, targets: Any, alpha: float = 0.25, gamma: float = 2) -> Any:
    p = torch.sigmoid(logits)
    p_t = p * targets + (1 - p) * (1 - targets)
    return (
        (alpha * targets + (1 - alpha) * (1 - targets))
        * (1 - p_t) ** gamma
        * exact(logits, targets)
    )


def asymmetric(logits: Any, targets: Any) -> Any:
    log_p = -torch.nn.functional.softplus(-logits)
    shifted = (torch.sigmoid(logits) - 0.05).clamp(min=0)
    positive = (1 - torch.sigmoid(logits)) * log_p
    negative = shifted**4 * torch.log1p(-shifted)
    return -(targets * positive + (1 - targets) * negative)


@pytest.mark.parametrize("name", DTYPES)
@pytest.mark.parametrize("reduction", REDUCTIONS)
def test_a_loss_has_the_value_type_and_gradient_of_pytorchs(
    server: RunningServer, name: str, reduction: str
) -> None:
    logits, targets = pair(5, 7, dtype=getattr(torch, name))
    loss = lossd_torch.SigmoidCrossEntropyLoss(reduction=reduction, client=server.address)(
        logits, targets
    )
    upstream = torch.rand(loss.shape).to(loss.dtype)
    loss.backward(upstream)
    wide = logits.detach().double().requires_grad_()
    wanted = exact(wide, targets)
    wanted = REDUCTIONS[reduction](wanted)
    wanted.backward(upstream.double())
    assert (loss.dtype, loss.device, loss.shape) == (logits.dtype, logits.device, wanted.shape)
    assert logits.grad is not None
    assert logits.grad.dtype == logits.dtype
    digits = DTYPES[name]
    assert torch.allclose(loss.double(), wanted, rtol=digits, atol=digits)
    assert torch.allclose(logits.grad.double(), wide.grad, rtol=digits, atol=digits / 10)
    logits.grad.zero_()  # it may be changed


def test_the_weights_mean_what_they_mean_in_pytorch(server: RunningServer) -> None:
    logits, targets = pair(6, 3)
    weight, pos_weight = torch.rand(6, 1) + 0.5, torch.tensor([1.0, 2, 3])
    criteria = (
        lossd_torch.SigmoidCrossEntropyLoss(weight, pos_weight=pos_weight, client=server.address),
        torch.nn.BCEWithLogitsLoss(weight, pos_weight=pos_weight),
    )
    losses, gradients = [], []
    for criterion in criteria:
        logits.grad = None
        loss = criterion(logits, targets)
        loss.backward()
        losses.append(loss.detach())
        gradients.append(logits.grad)
    assert torch.allclose(*losses, rtol=1e-6)
    assert torch.allclose(*gradients, rtol=1e-5, atol=1e-8)
    assert list(criteria[0].state_dict()) == list(criteria[1].state_dict())
    criteria[1].load_state_dict(criteria[0].state_dict())


@pytest.mark.parametrize("which", ["cross-entropy", "focal", "asymmetric"])
@pytest.mark.parametrize("reduction", ["mean", "none", "rows"])
def test_gradients_of_both_orders_are_right(
    server: RunningServer, which: str, reduction: str
) -> None:
    make = {
        "cross-entropy": lossd_torch.SigmoidCrossEntropyLoss,
        "focal": lossd_torch.SigmoidFocalLoss,
        "asymmetric": lossd_torch.AsymmetricLoss,
    }[which]
    criterion = make(reduction=reduction, client=server.address)
    logits, targets = pair(3, 4, dtype=torch.float64)
    assert torch.autograd.gradcheck(criterion, (logits, targets))
    assert torch.autograd.gradgradcheck(criterion, (logits, targets))
    wanted = {"cross-entropy": exact, "focal": focal, "asymmetric": asymmetric}[which]
    each = wanted(logits, targets)
    loss = REDUCTIONS[reduction](each)
    assert torch.allclose(criterion(logits, targets), loss, rtol=1e-12)


def test_a_gradient_penalty_is_right(server: RunningServer) -> None:
    criterion = lossd_torch.SigmoidCrossEntropyLoss(client=server.address)
    torch.manual_seed(2)
    weights = torch.randn(4, 3, dtype=torch.float64, requires_grad=True)
    inputs = torch.randn(5, 4, dtype=torch.float64, requires_grad=True)
    targets = (torch.rand(5, 3) < 0.5).double()
    found = []
    for loss_of in (criterion, lambda x, t: exact(x, t).mean()):
        loss = loss_of(torch.tanh(inputs) @ weights, targets)
        (by_inputs,) = torch.autograd.grad(loss, inputs, create_graph=True)
        penalty = loss + 10 * (by_inputs.norm(dim=1) - 1).square().mean()
        found.append(torch.autograd.grad(penalty, (weights, inputs)))
    for ours, wanted in zip(*found, strict=True):
        assert torch.allclose(ours, wanted, rtol=1e-10, atol=1e-14)


def test_the_second_derivative_is_right_where_pytorchs_is_zero(server: RunningServer) -> None:
    logits = torch.tensor([20.0], requires_grad=True)
    loss = lossd_torch.SigmoidCrossEntropyLoss(client=server.address)(logits, torch.zeros(1))
    (gradient,) = torch.autograd.grad(loss, logits, create_graph=True)
    (second,) = torch.autograd.grad(gradient, logits)
    assert second.item() == pytest.approx(2.0611536e-9, rel=1e-6)


def test_a_third_derivative_is_refused(server: RunningServer) -> None:
    logits, targets = pair(3)
    loss = lossd_torch.SigmoidCrossEntropyLoss(client=server.address)(logits, targets)
    (gradient,) = torch.autograd.grad(loss, logits, create_graph=True)
    (second,) = torch.autograd.grad(gradient.sum(), logits, create_graph=True)
    with pytest.raises(NotImplementedError, match="no third derivative"):
        torch.autograd.grad(second.sum(), logits)


def test_autocast_makes_the_loss_float32(server: RunningServer) -> None:
    for reduction in ("mean", "none"):
        criterion = lossd_torch.SigmoidCrossEntropyLoss(reduction=reduction, client=server.address)
        logits, targets = pair(8, 5, dtype=torch.bfloat16)
        with torch.autocast("cpu", torch.bfloat16):
            loss = criterion(logits, targets)
        assert loss.dtype == torch.float32
        assert torch.equal(loss, criterion(logits.float().detach(), targets))
        loss.sum().backward()
        assert logits.grad.dtype == torch.bfloat16


def test_a_scaled_gradient_of_float16_does_not_vanish(server: RunningServer) -> None:
    logits = torch.ones(1 << 17, dtype=torch.float16, requires_grad=True)
    targets = torch.zeros(1 << 17, dtype=torch.float16)
    criterion = lossd_torch.SigmoidCrossEntropyLoss(client=server.address)
    (criterion(logits, targets) * 1024).backward()
    # Unscaled it is 5.6e-6, of which float16 keeps two digits.
    wanted = torch.sigmoid(torch.tensor(1.0)) / 128
    assert torch.allclose(logits.grad.float(), wanted, rtol=5e-4, atol=0)


def test_other_options_are_those_of_compute_loss(server: RunningServer) -> None:
    logits, targets = pair(4, 3)
    targets[0, 0] = float("nan")
    criterion = lossd_torch.SigmoidCrossEntropyLoss(
        client=server.address,
        ignore_target=float("nan"),
        normalizer="valid",
        label_smoothing=0.1,
        request_id="a\nb=c",
    )
    loss = criterion(logits, targets)
    smoothed = targets * 0.9 + 0.05
    assert loss.item() == pytest.approx(exact(logits, smoothed).nanmean().item(), rel=1e-6)
    divided = lossd_torch.sigmoid_cross_entropy(
        logits[1:], targets[1:], normalizer_value=7.0, client=server.address
    )
    assert divided.item() == pytest.approx(exact(logits[1:], targets[1:]).sum().item() / 7)


def test_targets_may_be_of_whole_numbers(server: RunningServer) -> None:
    logits, targets = pair(4, 3)
    criterion = lossd_torch.SigmoidCrossEntropyLoss(client=server.address)
    hard = targets > 0.5
    wanted = criterion(logits, hard.float())
    for dtype in (torch.bool, torch.uint8, torch.int32, torch.int64):
        assert torch.equal(criterion(logits, hard.to(dtype)), wanted)


def test_focal_loss_has_torchvisions_arguments(server: RunningServer) -> None:
    logits, targets = pair(4, 3)
    each = lossd_torch.sigmoid_focal_loss(logits, targets, client=server.address)
    assert torch.allclose(each.double(), focal(logits.double(), targets), rtol=1e-5)
    plain = lossd_torch.sigmoid_focal_loss(logits, targets, -1, 0, "sum", client=server.address)
    assert torch.allclose(plain.double(), exact(logits, targets).sum(), rtol=1e-6)
    asl = lossd_torch.asymmetric_loss(logits, targets, reduction="sum", client=server.address)
    wanted = asymmetric(logits.double(), targets).sum()
    assert torch.allclose(asl.double(), wanted, rtol=1e-5)


def test_siglip_is_the_cross_entropy_of_all_pairs(server: RunningServer) -> None:
    torch.manual_seed(3)
    images, texts = (torch.randn(6, 4, requires_grad=True) for _ in range(2))
    scale, bias = torch.tensor(2.0, requires_grad=True), torch.tensor(-1.0, requires_grad=True)
    inputs = (images, texts, scale, bias)
    loss = lossd_torch.SigLipLoss(client=server.address)(*inputs)
    wanted = exact(scale * images @ texts.T + bias, torch.eye(6)).sum() / 6
    assert loss.item() == pytest.approx(wanted.item(), rel=1e-6)
    for ours, theirs in zip(
        torch.autograd.grad(loss, inputs), torch.autograd.grad(wanted, inputs), strict=True
    ):
        assert torch.allclose(ours, theirs, rtol=1e-4, atol=1e-6)


def test_a_module_is_copied_and_pickled(server: RunningServer) -> None:
    logits, targets = pair(4, 3)
    given = lossd.Client(server.address)
    for client in (server.address, given):
        criterion = lossd_torch.SigmoidFocalLoss(pos_weight=torch.ones(3), client=client)
        wanted = criterion(logits, targets)
        for copied in (copy.deepcopy(criterion), pickle.loads(pickle.dumps(criterion))):
            assert torch.equal(copied(logits, targets), wanted)
    given.close()


def test_the_text_of_a_module_has_its_target_and_says_which_weights_there_are(
    server: RunningServer,
) -> None:
    with lossd.Client(server.address, token="a secret") as client:
        loss = lossd_torch.SigmoidCrossEntropyLoss(pos_weight=torch.ones(3), client=client)
        for text in (repr(loss), repr(torch.nn.Sequential(loss))):
            assert f"weight=False, pos_weight=True, client='{server.address}'" in text
            assert "secret" not in text
    siglip = lossd_torch.SigLipLoss(client=server.address)
    assert repr(siglip).endswith(f"client='{server.address}')")


def test_a_default_client_is_used_where_none_is_given(server: RunningServer) -> None:
    logits, targets = pair(4, 3)
    with pytest.raises(RuntimeError, match=r"^client: none was given"):
        lossd_torch.SigmoidCrossEntropyLoss()
    lossd_torch.set_default_client(server.address)
    try:
        loss = lossd_torch.SigmoidCrossEntropyLoss()(logits, targets)
        assert torch.equal(loss, lossd_torch.sigmoid_cross_entropy(logits, targets))
    finally:
        lossd_torch.set_default_client(None)


def test_the_readmes_example_trains_a_model(server: RunningServer) -> None:
    readme = Path(__file__).parents[2] / "client" / "python" / "README.md"
    section = readme.read_text(encoding="utf-8").split("\n## PyTorch\n")[1]
    example = section.split("```python\n")[1].split("```")[0]
    names: dict[str, Any] = {}
    exec(example.replace("localhost:50051", server.address), names)
    right = (names["model"](names["inputs"]) > 0) == names["targets"]
    assert right.float().mean() > 0.9
