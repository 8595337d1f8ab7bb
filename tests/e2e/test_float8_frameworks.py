"""float8 tensors of PyTorch and JAX."""

from __future__ import annotations

import lossd
import ml_dtypes
import numpy as np
import pytest
from float8_results import exact, expect_rounded
from running_server import RunningServer
from shared_memory_server import socket_path, start_server

fixtures = (socket_path, start_server)


@pytest.mark.parametrize("name", ["float8_e4m3fn", "float8_e5m2"])
def test_pytorchs_logits_have_pytorchs_gradient(server: RunningServer, name: str) -> None:
    torch = pytest.importorskip("torch")
    lossd_torch = pytest.importorskip("lossd.torch")
    dtype = getattr(torch, name)
    wide = torch.linspace(-4, 4, 40).reshape(5, 8)
    logits = wide.to(dtype)
    targets = torch.arange(40).reshape(5, 8) % 3 == 0
    values = logits.double().requires_grad_()
    loss = torch.nn.functional.binary_cross_entropy_with_logits(values, targets.double())
    loss.backward()
    with lossd.Client(server.address) as client:
        result = client.compute_loss(logits, targets, reduction="sum")
    assert result.gradient.dtype == dtype
    sums = values.grad * 40
    assert torch.equal(result.gradient.float(), sums.float().to(dtype).float())
    leaf = logits.clone().requires_grad_()
    own = lossd_torch.SigmoidCrossEntropyLoss(reduction="sum", client=server.address)(leaf, targets)
    assert own.dtype == torch.float32
    assert own.item() == pytest.approx(loss.item() * 40, rel=1e-6)
    own.backward()
    assert leaf.grad.dtype == dtype
    assert torch.equal(leaf.grad.float(), result.gradient.float())


@pytest.mark.parametrize("name", ["float8_e4m3fn", "float8_e5m2"])
def test_jaxs_logits_have_jaxs_gradient(server: RunningServer, name: str) -> None:
    jax = pytest.importorskip("jax")
    lossd_jax = pytest.importorskip("lossd.jax")
    logits = jax.numpy.linspace(-4, 4, 40).astype(name)
    targets = jax.numpy.arange(40) % 3 == 0
    losses, gradient = exact(np.asarray(logits), np.asarray(targets))
    with lossd.Client(server.address) as client:
        result = client.compute_loss(logits, targets, reduction="sum")
        loss = lossd_jax.sigmoid_loss(client, reduction="sum")
        value, found = jax.value_and_grad(loss)(logits, targets)
    expect_rounded(result.gradient, gradient, np.dtype(getattr(ml_dtypes, name)))
    assert float(value) == pytest.approx(losses.sum(), rel=1e-6)
    assert found.dtype == logits.dtype
    assert np.asarray(found).tobytes() == result.gradient.tobytes()


@pytest.mark.parametrize("name", ["float8_e4m3fn", "float8_e5m2"])
def test_jaxs_losses_of_elements_are_float32(server: RunningServer, name: str) -> None:
    jax = pytest.importorskip("jax")
    lossd_jax = pytest.importorskip("lossd.jax")
    logits = jax.numpy.linspace(-4, 4, 40).astype(name)
    targets = jax.numpy.arange(40) % 3 == 0
    wanted, slopes = exact(np.asarray(logits), np.asarray(targets))
    with lossd.Client(server.address) as client:
        loss = lossd_jax.sigmoid_loss(client, reduction="none")
        losses, pull = jax.jit(lambda x: jax.vjp(lambda y: loss(y, targets), x))(logits)
        (gradient,) = pull(jax.numpy.full(40, 4, losses.dtype))
    assert losses.dtype == np.float32
    np.testing.assert_allclose(losses, wanted, rtol=3e-7)
    assert gradient.dtype == logits.dtype
    expect_rounded(np.asarray(gradient), 4 * slopes, np.dtype(getattr(ml_dtypes, name)))
