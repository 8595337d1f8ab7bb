"""PyTorch's own test cases of BCEWithLogitsLoss, with lossd.torch in its place.

The inputs come from PyTorch's registers of test inputs, which are installed with it. The cases
that are single tests of PyTorch's test_nn.py are written anew here. docs/pytorch.md lists the
cases that differ; DIFFERING has the inputs for which they do.
"""

from __future__ import annotations

import math
import pickle
from collections.abc import Iterator
from functools import partial
from typing import Any

import pytest
from running_server import RunningServer
from torch_server import choose_socket, start_server, torch

fixtures = (choose_socket, start_server)

lossd_torch = pytest.importorskip("lossd.torch")
functional = torch.nn.functional
DTYPES = ("float32", "float64", "bfloat16", "float16")
# The share of a value, and the part of the largest one, by which the two may differ.
TOLERANCES = {"float32": 2e-5, "float64": 1e-11, "bfloat16": 0.008, "float16": 0.001}


@pytest.fixture(name="loss")
def choose_loss(server: RunningServer) -> Any:
    # PyTorch takes any target, and its test inputs have such.
    return partial(lossd_torch.sigmoid_cross_entropy, client=server.address, target_range="any")


@pytest.fixture(name="module")
def choose_module(server: RunningServer) -> Any:
    return partial(lossd_torch.SigmoidCrossEntropyLoss, client=server.address, target_range="any")


def assert_alike(ours: Any, theirs: Any, name: str) -> None:
    assert (ours.dtype, ours.shape) == (theirs.dtype, theirs.shape)
    largest = max(1.0, theirs.abs().max().item()) if theirs.numel() else 1.0
    tolerance = TOLERANCES[name]
    assert torch.allclose(
        ours.double(), theirs.double(), rtol=tolerance, atol=tolerance * largest
    ), (ours, theirs)


def operator_inputs(dtype: torch.dtype) -> Iterator[tuple[Any, Any, dict[str, Any]]]:
    """Yields the inputs with which PyTorch tests its function."""
    pytest.importorskip("expecttest")
    internal = pytest.importorskip("torch.testing._internal.common_methods_invocations")
    name = "nn.functional.binary_cross_entropy_with_logits"
    (info,) = (known for known in internal.op_db if known.name == name)
    torch.manual_seed(4)
    for sample in info.sample_inputs("cpu", dtype, requires_grad=True):
        yield sample.input, sample.args[0], sample.kwargs


def theirs_rounded_once(logits: Any, target: Any, **options: Any) -> Any:
    """Returns PyTorch's loss; that of 16-bit types is one of the differences without autocast."""
    if logits.element_size() > 2:
        return functional.binary_cross_entropy_with_logits(logits, target, **options)
    wide = {name: part.float() if torch.is_tensor(part) else part for name, part in options.items()}
    loss = functional.binary_cross_entropy_with_logits(logits.float(), target.float(), **wide)
    return loss.to(logits.dtype)


@pytest.mark.parametrize("name", DTYPES)
def test_the_inputs_of_the_function(loss: Any, name: str) -> None:
    tried = 0
    for logits, target, options in operator_inputs(getattr(torch, name)):
        found = []
        for function in (loss, theirs_rounded_once):
            # A gradient by the target, which some inputs ask for, is one of the differences.
            value = function(logits, target.detach(), **options)
            value.sum().backward()
            found.append((value.detach(), logits.grad.clone()))
            logits.grad = None
        assert_alike(found[0][0], found[1][0], name)
        assert_alike(found[0][1], found[1][1], name)
        tried += 1
    assert tried >= 20


def test_the_derivatives_of_the_inputs_of_the_function(loss: Any) -> None:
    for logits, target, options in operator_inputs(torch.float64):
        function = partial(loss, target=target.detach(), **options)
        assert torch.autograd.gradcheck(function, (logits,), fast_mode=True)
        assert torch.autograd.gradgradcheck(function, (logits,), fast_mode=True)


@pytest.mark.parametrize("name", ["float32", "float64"])
def test_the_inputs_of_the_module(module: Any, name: str) -> None:
    pytest.importorskip("expecttest")
    internal = pytest.importorskip("torch.testing._internal.common_modules")
    (info,) = (
        known for known in internal.module_db if known.module_cls is torch.nn.BCEWithLogitsLoss
    )
    cases = info.module_inputs_func(
        info, device="cpu", dtype=getattr(torch, name), requires_grad=True, training=True
    )
    for case in cases:
        made, given = case.constructor_input, case.forward_input
        ours, theirs = (
            kind(*made.args, **made.kwargs) for kind in (module, torch.nn.BCEWithLogitsLoss)
        )
        logits, target = given.args
        assert_alike(ours(logits, target), theirs(logits, target), name)
        again = pickle.loads(pickle.dumps(ours))
        assert torch.equal(again(logits, target), ours(logits, target))
        transposed = [part.detach().mT.contiguous().mT for part in (logits, target)]
        assert torch.equal(ours(*transposed), ours(logits.detach(), target))
        assert ours.train().training
        assert not ours.eval().training


def test_it_is_the_sigmoid_and_the_loss_of_probabilities(module: Any) -> None:
    torch.manual_seed(0)
    for shape in ((64, 4), (1024, 128)):
        output, target = torch.rand(shape).sub(0.5).requires_grad_(), torch.rand(shape)
        weight = torch.rand(shape[1])
        for options in ({}, {"weight": weight}, {"weight": weight[:1]}, {"weight": weight[0]}):
            for reduction in ("mean", "sum"):
                ours = module(reduction=reduction, **options)(output, target)
                wanted = torch.nn.BCELoss(reduction=reduction, **options)(output.sigmoid(), target)
                assert torch.allclose(ours, wanted, rtol=1e-5)
                by_ours, by_theirs = (
                    torch.autograd.grad(each, output)[0] for each in (ours, wanted)
                )
                assert torch.allclose(by_ours, by_theirs, rtol=1e-4, atol=1e-7)


def test_the_gradient_at_0(module: Any) -> None:
    for options, wanted in (({}, -0.5), ({"pos_weight": torch.ones(3, 1)}, -0.5)):
        output = torch.zeros(3, 1, requires_grad=True)
        module(reduction="sum", **options)(output, torch.ones(3, 1)).backward()
        assert torch.equal(output.grad, torch.full((3, 1), wanted))
        output.grad = None
        module(reduction="sum", **options)(output, torch.zeros(3, 1)).backward()
        assert torch.equal(output.grad, torch.full((3, 1), 0.5))


@pytest.mark.parametrize("argument", ["weight", "pos_weight"])
def test_weights_are_broadcast(module: Any, argument: str) -> None:
    torch.manual_seed(1)
    target, output = torch.rand(16, 4), torch.rand(16, 4) - 0.5
    for shape in ((4,), (1, 4), (16, 1), (1, 1), ()):
        weight = torch.rand(shape)
        narrow = module(**{argument: weight})(output, target)
        full = module(**{argument: weight.expand(16, 4).contiguous()})(output, target)
        assert torch.equal(narrow, full)


def test_a_pos_weight_of_ones_is_none(module: Any) -> None:
    torch.manual_seed(2)
    target, output = torch.rand(64, 4), torch.rand(64, 4) - 0.5
    ones = module(pos_weight=torch.ones(64, 4))
    assert torch.equal(module()(output, target), ones(output, target))


def test_it_is_stable(module: Any) -> None:
    output, target = torch.tensor([0.0, -120.0]), torch.tensor([0.0, 1.0])
    for options in ({}, {"pos_weight": torch.ones(2)}):
        each = module(reduction="none", **options)(output, target)
        assert torch.isfinite(each).all()
        assert torch.allclose(each, torch.tensor([math.log(2), 120.0]))


def test_a_target_of_another_size_is_refused(module: Any) -> None:
    for target, output in ((torch.rand(5), torch.rand(5, 1)), (torch.rand(5, 1), torch.rand(5))):
        for criterion in (module(), torch.nn.BCEWithLogitsLoss()):
            with pytest.raises(ValueError, match="size"):
                criterion(output, target)


def test_targets_and_inputs_without_a_batch(module: Any) -> None:
    torch.manual_seed(3)
    for shape in ((9,), ()):
        output, target = (torch.randn(shape, dtype=torch.float64) for _ in range(2))
        for reduction in ("none", "mean", "sum"):
            theirs = torch.nn.BCEWithLogitsLoss(reduction=reduction)(output, target)
            assert_alike(module(reduction=reduction)(output, target), theirs, "float64")


# Each row has an input, what PyTorch 2.15 says of it, and what lossd.torch says.
DIFFERING: list[tuple[str, list[float], list[float], float, float]] = [
    ("the tail of the negatives", [-20.0], [0.0], 0.0, 2.0611537e-9),
    ("an infinite logit that is right", [math.inf], [1.0], math.nan, 0.0),
    ("nothing", [], [], math.nan, 0.0),
]


@pytest.mark.parametrize(
    ("logits", "target", "theirs", "ours"),
    [pytest.param(*row[1:], id=row[0]) for row in DIFFERING],
)
def test_a_value_that_differs(
    module: Any, logits: list[float], target: list[float], theirs: float, ours: float
) -> None:
    inputs = torch.tensor(logits), torch.tensor(target)
    assert torch.nn.BCEWithLogitsLoss()(*inputs).item() == pytest.approx(theirs, nan_ok=True)
    assert module()(*inputs).item() == pytest.approx(ours, rel=1e-6)


def test_the_gradient_of_a_right_positive_differs(module: Any) -> None:
    logits = torch.tensor([20.0], requires_grad=True)
    for criterion, wanted in ((torch.nn.BCEWithLogitsLoss(), 0.0), (module(), -2.0611537e-9)):
        logits.grad = None
        criterion(logits, torch.ones(1)).backward()
        assert logits.grad.item() == pytest.approx(wanted, rel=1e-6, abs=0)


def test_a_gradient_by_the_target_is_refused(module: Any) -> None:
    target = torch.rand(3, requires_grad=True)
    with pytest.raises(NotImplementedError, match="^target: "):
        module()(torch.rand(3), target)
    torch.nn.BCEWithLogitsLoss()(torch.rand(3), target).backward()


def test_a_nan_logit_is_a_nan_loss(module: Any) -> None:
    logits = torch.tensor([math.nan, 0.0], requires_grad=True)
    loss = module()(logits, torch.zeros(2))
    loss.backward()
    assert torch.isnan(loss)
    assert torch.isnan(logits.grad).tolist() == [True, False]


def test_mixed_types_have_the_type_of_the_input(module: Any) -> None:
    for first, second in (("float32", "bfloat16"), ("bfloat16", "float32")):
        logits = torch.zeros(3, dtype=getattr(torch, first))
        target = torch.zeros(3, dtype=getattr(torch, second))
        assert module()(logits, target).dtype == logits.dtype
