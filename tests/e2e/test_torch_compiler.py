"""PyTorch's compiler, exporter and checks of operators take the operators of lossd.torch."""

from __future__ import annotations

import io
from typing import Any

import lossd
import pytest
from running_server import RunningServer
from torch_server import choose_socket, pair, start_server, torch

fixtures = (choose_socket, start_server)

lossd_torch = pytest.importorskip("lossd.torch")
operators = pytest.importorskip("lossd.torch.operators")


@pytest.mark.parametrize("name", ["value", "value_and_gradient", "second_derivative"])
@pytest.mark.parametrize("reduction", ["mean", "none", "rows"])
@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_an_operator_passes_pytorchs_checks(
    server: RunningServer, name: str, reduction: str, dtype: str
) -> None:
    logits, targets = pair(3, 4, dtype=getattr(torch, dtype))
    if name == "value":
        logits = logits.detach()
    criterion = lossd_torch.SigmoidCrossEntropyLoss(reduction=reduction, client=server.address)
    inputs = (logits, targets, torch.ones(4), None, None, server.address, criterion._options)
    # The checks of autograd run a backward pass, which the second derivative refuses.
    checks = ["test_schema", "test_faketensor"]
    if name != "second_derivative":
        checks += ["test_autograd_registration", "test_aot_dispatch_dynamic"]
    torch.library.opcheck(getattr(operators, name), inputs, test_utils=checks)


@pytest.mark.parametrize("reduction", ["mean", "none", "rows", "mean_of_rows"])
def test_a_compiled_step_is_one_graph_with_the_same_result(
    server: RunningServer, reduction: str
) -> None:
    criterion = lossd_torch.SigmoidCrossEntropyLoss(
        pos_weight=torch.tensor([2.0]), reduction=reduction, client=server.address
    )

    def step(logits: Any, targets: Any) -> Any:
        return (criterion(logits * 2, targets) * 3).sum()

    found = []
    for run in (step, torch.compile(step, fullgraph=True, backend="aot_eager")):
        logits, targets = pair(5, 7)
        loss = run(logits, targets)
        loss.backward()
        found.append((loss.detach(), logits.grad))
    assert torch.equal(found[0][0], found[1][0])
    assert torch.equal(found[0][1], found[1][1])


def test_the_functions_compile_with_a_target_and_under_autocast(server: RunningServer) -> None:
    def step(logits: Any, targets: Any) -> Any:
        with torch.autocast("cpu", torch.bfloat16):
            return lossd_torch.sigmoid_focal_loss(
                logits, targets, reduction="mean", client=server.address
            )

    logits, targets = pair(5, 7, dtype=torch.bfloat16)
    compiled = torch.compile(step, fullgraph=True, backend="aot_eager")(logits, targets)
    assert compiled.dtype == torch.float32
    assert torch.equal(compiled, step(logits, targets))


def test_a_changing_normalizer_compiles_once(server: RunningServer) -> None:
    criterion = lossd_torch.SigmoidCrossEntropyLoss(client=server.address)
    graphs = []

    def backend(graph: Any, _: Any) -> Any:
        graphs.append(graph)
        return graph.forward

    compiled = torch.compile(criterion, fullgraph=True, backend=backend)
    logits, targets = pair(5, 7)
    wanted = criterion(logits, targets).item() * 35
    for count in (3.0, 4.0, 5.0):
        divisor = torch.tensor(count, dtype=torch.float64)
        assert compiled(logits, targets, divisor).item() == pytest.approx(wanted / count)
    assert len(graphs) == 1


def test_an_exported_model_is_saved_and_loaded(server: RunningServer) -> None:
    model = lossd_torch.SigmoidCrossEntropyLoss(client=server.address)
    logits, targets = pair(5, 7)
    logits = logits.detach()
    rows = torch.export.Dim("rows", min=2, max=1000)
    program = torch.export.export(model, (logits, targets), dynamic_shapes=({0: rows}, {0: rows}))
    file = io.BytesIO()
    torch.export.save(program, file)
    file.seek(0)
    loaded = torch.export.load(file).module()
    assert torch.equal(loaded(logits, targets), model(logits, targets))
    assert torch.equal(loaded(logits[:3], targets[:3]), model(logits[:3], targets[:3]))


def test_a_graph_of_a_client_that_is_gone_says_so(server: RunningServer) -> None:
    client = lossd.Client(server.address)
    logits, targets = pair(4)
    loss = lossd_torch.sigmoid_cross_entropy(logits, targets, client=client)
    (gradient,) = torch.autograd.grad(loss, logits, create_graph=True)
    del client
    with pytest.raises(RuntimeError, match="a lossd.Client that is not in this process any more"):
        torch.autograd.grad(gradient.sum(), logits)
