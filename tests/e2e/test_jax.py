"""Losses of lossd as functions of JAX. The tests are skipped where JAX is not installed."""

from __future__ import annotations

import functools
import importlib
import os
import signal
from collections.abc import Iterator
from typing import Any

# Several devices, so that arrays can be sharded.
os.environ["XLA_FLAGS"] = "--xla_force_host_platform_device_count=4"

import lossd  # noqa: E402
import numpy as np  # noqa: E402
import pytest  # noqa: E402
from running_server import running_server  # noqa: E402

jax = pytest.importorskip("jax")
jnp = jax.numpy
lossd_jax = pytest.importorskip("lossd.jax")
# Older versions of JAX have it among their experiments.
x64 = jax if hasattr(jax, "enable_x64") else importlib.import_module("jax.experimental")

RANDOM = np.random.default_rng(6)
LOGITS = RANDOM.normal(0, 3, (4, 3)).astype(np.float32)
LOGITS[0] = [0, -20, 20]
TARGETS = RANDOM.random((4, 3)).astype(np.float32)
TARGETS[0] = [1, 0, 1]
WEIGHTS = RANDOM.random((4, 1)).astype(np.float32)
POS_WEIGHT = np.array([3, 1, 0.5], np.float32)


@pytest.fixture(scope="module", name="client")
def open_client() -> Iterator[lossd.Client]:
    with running_server() as server, lossd.Client(server.address) as client:
        yield client


def exact(weights: Any = 1.0, pos_weight: Any = 1.0) -> tuple[Any, Any, Any]:
    """Returns losses and both derivatives in float64."""
    x, t = LOGITS.astype(float), TARGETS.astype(float)
    p, rest = 1 / (1 + np.exp(-x)), 1 / (1 + np.exp(x))
    positive, negative = t * pos_weight, 1 - t
    losses = positive * np.logaddexp(0, -x) + negative * np.logaddexp(0, x)
    gradient = negative * p - positive * rest
    return (
        weights * losses,
        weights * gradient,
        weights * (positive + negative) * p * rest,
    )


@pytest.mark.parametrize("compiled", [False, True])
@pytest.mark.parametrize(("reduction", "divisor"), [("mean", 12), ("sum", 1)])
def test_value_and_gradient(
    client: lossd.Client, compiled: bool, reduction: str, divisor: int
) -> None:
    function = jax.value_and_grad(lossd_jax.sigmoid_loss(client, reduction=reduction))
    if compiled:
        function = jax.jit(function)
    value, gradient = function(LOGITS, TARGETS, WEIGHTS, POS_WEIGHT)
    losses, expected, _ = exact(WEIGHTS, POS_WEIGHT)
    assert value == pytest.approx(losses.sum() / divisor, rel=1e-6)
    np.testing.assert_allclose(gradient, expected / divisor, rtol=2e-6)
    assert value.dtype == gradient.dtype == jnp.float32


def test_the_gradient_is_right_at_0_and_in_both_tails(client: lossd.Client) -> None:
    gradient = jax.grad(lossd_jax.sigmoid_loss(client, reduction="sum"))
    logits = jnp.array([0, 0, -0.0, -20, 20], jnp.float32)
    targets = jnp.array([0, 1, 1, 0, 1], jnp.float32)
    np.testing.assert_allclose(
        gradient(logits, targets), [0.5, -0.5, -0.5, 2.0611537e-9, -2.0611537e-9], rtol=1e-6
    )


@pytest.mark.parametrize("name", ["bfloat16", "float16"])
def test_narrow_logits(client: lossd.Client, name: str) -> None:
    logits = jnp.asarray(LOGITS, name)
    loss = lossd_jax.sigmoid_loss(client)
    value, gradient = jax.value_and_grad(loss)(logits, TARGETS)
    assert (value.dtype, gradient.dtype) == (jnp.float32, logits.dtype)
    each = lossd_jax.sigmoid_loss(client, reduction="none")(logits, TARGETS > 0.5)
    assert (each.dtype, each.shape) == (logits.dtype, logits.shape)


def test_a_scaled_loss_of_float16_keeps_small_gradients(client: lossd.Client) -> None:
    logits, targets = jnp.zeros(4096, jnp.float16), jnp.zeros(4096)
    loss = lossd_jax.sigmoid_loss(client, normalizer="caller", normalizer_value=1e8)
    scale = 2.0**15
    gradient = jax.grad(lambda x: scale * loss(x, targets))(logits)
    # 0.5e-8 is no number of float16.
    np.testing.assert_allclose(gradient, np.full(4096, scale * 0.5e-8), rtol=1e-3)


def test_float64_logits_have_float64_results(client: lossd.Client) -> None:
    losses, gradient, second = exact()
    loss = lossd_jax.sigmoid_loss(client, reduction="sum")
    with x64.enable_x64(True):
        logits, targets = jnp.asarray(LOGITS, "float64"), jnp.asarray(TARGETS, "float64")
        value, found = jax.jit(jax.value_and_grad(loss))(logits, targets)
        assert (value.dtype, found.dtype) == (jnp.float64, jnp.float64)
        assert float(value) == pytest.approx(losses.sum(), rel=1e-14)
        np.testing.assert_allclose(found, gradient, rtol=1e-13)
        diagonal = jax.jvp(lambda x: jax.grad(loss)(x, targets), (logits,), (jnp.ones((4, 3)),))[1]
        np.testing.assert_allclose(diagonal, second, rtol=1e-13)


def test_a_training_step_of_a_tree_of_parameters_that_are_donated(client: lossd.Client) -> None:
    loss = lossd_jax.sigmoid_loss(client)
    inputs = RANDOM.normal(size=(4, 5)).astype(np.float32)

    def of_parameters(parameters: Any) -> Any:
        return loss(inputs @ parameters["weights"] + parameters["bias"], TARGETS)

    @functools.partial(jax.jit, donate_argnums=0)
    def step(parameters: Any) -> Any:
        value, gradient = jax.value_and_grad(of_parameters)(parameters)
        return jax.tree.map(lambda p, g: p - g, parameters, gradient), value

    parameters = {"weights": jnp.zeros((5, 3)), "bias": jnp.zeros(3)}
    given, losses = parameters["weights"], []
    for _ in range(20):
        parameters, value = step(parameters)
        losses.append(float(value))
    assert given.is_deleted()
    assert losses[0] == pytest.approx(np.log(2), rel=1e-6)
    assert losses[-1] < losses[1] < losses[0]


def test_loops_and_checkpoints(client: lossd.Client) -> None:
    loss = lossd_jax.sigmoid_loss(client, reduction="sum")

    def total(logits: Any) -> Any:
        one = jax.checkpoint(lambda x: loss(x, TARGETS))
        return jax.lax.scan(lambda sum_, _: (sum_ + one(logits), None), 0.0, length=3)[0]

    np.testing.assert_allclose(jax.jit(jax.grad(total))(LOGITS), 3 * exact()[1], rtol=2e-6)


def test_a_nan_logit_has_the_loss_nan_unless_it_is_refused(client: lossd.Client) -> None:
    logits = np.array([np.nan, 1], np.float32)
    value, gradient = jax.value_and_grad(lossd_jax.sigmoid_loss(client))(logits, np.ones(2))
    assert np.isnan(value)
    assert list(np.isnan(gradient)) == [True, False]
    strict = lossd_jax.sigmoid_loss(client, nan_policy="reject")
    with pytest.raises(jax.errors.JaxRuntimeError, match="logits.*NaN"):
        strict(logits, np.ones(2)).block_until_ready()


def test_losses_take_a_gradient_each(client: lossd.Client) -> None:
    loss = lossd_jax.sigmoid_loss(client, reduction="none")
    upstream = RANDOM.random((4, 3)).astype(np.float32)
    values, pull = jax.vjp(lambda x: loss(x, TARGETS), LOGITS)
    losses, expected, _ = exact()
    np.testing.assert_allclose(values, losses, rtol=2e-6)
    np.testing.assert_allclose(pull(upstream)[0], upstream * expected, rtol=2e-6)


def test_integer_targets_are_taken(client: lossd.Client) -> None:
    loss = jax.grad(lossd_jax.sigmoid_loss(client))
    hard = TARGETS > 0.5
    expected = loss(LOGITS, hard.astype(np.float32))
    for targets in (hard, hard.astype(np.int32)):
        np.testing.assert_array_equal(jax.jit(loss)(LOGITS, targets), expected)


@pytest.mark.parametrize("reduction", ["mean", "none"])
def test_vmap_is_a_loop(client: lossd.Client, reduction: str) -> None:
    loss = lossd_jax.sigmoid_loss(client, reduction=reduction)
    total = jax.value_and_grad(lambda x, t, w: loss(x, t, w, POS_WEIGHT).sum())
    logits = np.stack([LOGITS, 2 * LOGITS, -LOGITS], axis=1)
    # The batch is the second dimension of the logits; the targets have none.
    found = jax.jit(jax.vmap(total, in_axes=(1, None, 0)))(
        logits, TARGETS, np.stack([WEIGHTS, WEIGHTS + 1, WEIGHTS + 2])
    )
    for index in range(3):
        value, gradient = total(logits[:, index], TARGETS, WEIGHTS + index)
        assert found[0][index] == pytest.approx(float(value), rel=1e-6)
        np.testing.assert_array_equal(found[1][index], gradient)


def test_vmap_of_vmap(client: lossd.Client) -> None:
    loss = lossd_jax.sigmoid_loss(client, reduction="none")
    logits = np.stack([LOGITS, -LOGITS])
    each = jax.vmap(jax.vmap(loss, in_axes=(0, 0, None)), in_axes=(0, None, None))
    found = each(logits, TARGETS, POS_WEIGHT)
    for index in range(2):
        np.testing.assert_array_equal(found[index], loss(logits[index], TARGETS, POS_WEIGHT))


def test_the_second_derivative_of_a_gradient_penalty(client: lossd.Client) -> None:
    loss = lossd_jax.sigmoid_loss(client, reduction="sum")

    def penalty(logits: Any) -> Any:
        return (jax.grad(loss)(logits, TARGETS) ** 2).sum() / 2

    _, gradient, second = exact()
    for function in (jax.grad(penalty), jax.jit(jax.grad(penalty))):
        np.testing.assert_allclose(function(LOGITS), gradient * second, rtol=1e-5)


@pytest.mark.parametrize("mode", ["hessian", "jacrev", "jacfwd"])
@pytest.mark.parametrize("reduction", ["sum", "none"])
def test_hessians_in_every_mode(client: lossd.Client, mode: str, reduction: str) -> None:
    loss = lossd_jax.sigmoid_loss(client, reduction=reduction)

    def total(logits: Any) -> Any:
        return loss(logits, TARGETS[0]).sum()

    of_gradient = {"jacrev": jax.jacrev, "jacfwd": jax.jacfwd}
    hessian = jax.hessian(total) if mode == "hessian" else of_gradient[mode](jax.grad(total))
    _, _, second = exact()
    for function in (hessian, jax.jit(hessian)):
        np.testing.assert_allclose(function(LOGITS[0]), np.diag(second[0]), rtol=1e-5)


def test_forward_mode(client: lossd.Client) -> None:
    direction = RANDOM.random((4, 3)).astype(np.float32)
    losses, gradient, second = exact(WEIGHTS)
    loss = lossd_jax.sigmoid_loss(client, reduction="sum")

    def of_weighted(logits: Any) -> Any:
        return loss(logits, TARGETS, WEIGHTS)

    value, tangent = jax.jvp(of_weighted, (LOGITS,), (direction,))
    assert value == pytest.approx(losses.sum(), rel=1e-6)
    assert tangent == pytest.approx((gradient * direction).sum(), rel=1e-5)
    value, tangent = jax.jit(lambda x: jax.jvp(jax.grad(of_weighted), (x,), (direction,)))(LOGITS)
    np.testing.assert_allclose(value, gradient, rtol=2e-6)
    np.testing.assert_allclose(tangent, second * direction, rtol=2e-6)


def test_a_third_derivative_is_an_error_that_says_so(client: lossd.Client) -> None:
    loss = lossd_jax.sigmoid_loss(client, reduction="sum")
    third = jax.grad(jax.grad(jax.grad(loss)))
    with pytest.raises(NotImplementedError, match="logits: .* no third derivative"):
        third(jnp.float32(0.5), jnp.float32(1))


def test_sharded_arguments(client: lossd.Client) -> None:
    mesh = jax.sharding.Mesh(np.array(jax.devices()), ("data",))
    rows = jax.sharding.PartitionSpec("data")
    sharding = jax.sharding.NamedSharding(mesh, rows)
    arrays = [jax.device_put(array, sharding) for array in (LOGITS, TARGETS)]
    mean = jax.value_and_grad(lossd_jax.sigmoid_loss(client))
    everywhere = jax.sharding.NamedSharding(mesh, jax.sharding.PartitionSpec())
    value, gradient = jax.jit(mean, out_shardings=(everywhere, sharding))(*arrays)
    assert gradient.sharding == sharding
    expected, expected_gradient = mean(LOGITS, TARGETS)
    assert value == expected
    np.testing.assert_array_equal(gradient, expected_gradient)

    loss = lossd_jax.sigmoid_loss(client, reduction="sum")
    total = jax.jit(
        jax.shard_map(
            lambda x, t: jax.lax.psum(loss(x, t), "data"),
            mesh=mesh,
            in_specs=(rows, rows),
            out_specs=jax.sharding.PartitionSpec(),
        )
    )
    assert total(*arrays) == pytest.approx(exact()[0].sum(), rel=1e-6)
    gradient = jax.grad(total)(*arrays)
    assert gradient.sharding.is_equivalent_to(sharding, 2)
    np.testing.assert_allclose(gradient, exact()[1], rtol=2e-6)


def test_what_has_no_gradient_is_named(client: lossd.Client) -> None:
    loss = lossd_jax.sigmoid_loss(client)
    with pytest.raises(TypeError, match="^targets: only logits have a gradient"):
        jax.grad(loss, argnums=1)(LOGITS, TARGETS)
    with pytest.raises(TypeError, match="^weights: only logits have a gradient"):
        jax.grad(loss, argnums=2)(LOGITS, TARGETS, WEIGHTS)


def test_bad_arguments_are_named_while_tracing(client: lossd.Client) -> None:
    loss = lossd_jax.sigmoid_loss(client)
    for bad, text in (
        ((LOGITS, TARGETS[0]), r"targets: shape \(3,\) is not the logits' \(4, 3\)"),
        ((LOGITS.astype(int), TARGETS), "logits: int32 is no type of real numbers"),
        ((LOGITS, TARGETS, np.ones(4)), r"weights: shape \(4,\) does not broadcast"),
        ((LOGITS, "text"), "targets: "),
    ):
        with pytest.raises((TypeError, ValueError), match=f"^{text}"):
            jax.jit(loss)(*bad) if text != "targets: " else loss(*bad)
    # Each row of targets has lost the dimension that those of the logits have.
    with pytest.raises(ValueError, match=r"targets: shape \(4,\) is not the logits' \(3,\)"):
        jax.vmap(loss, in_axes=(0, 1))(LOGITS, np.ones((4, 4), np.float32))


@pytest.mark.parametrize(
    ("options", "text"),
    [
        ({"gradient": True}, "gradient: it is an argument"),
        ({"focal_gama": 2}, "focal_gama: .* is it focal_gamma"),
        ({"reduction": "rows"}, "reduction: 'rows' is none of mean, sum, none"),
        ({"timeout": 0}, "timeout: 0 seconds"),
        ({"kind": "sigmoid_focal"}, "focal_gamma: kind sigmoid_focal needs it"),
        ({"label_smoothing": "much"}, "label_smoothing: 'much' is not a number"),
    ],
)
def test_a_bad_option_is_named(client: lossd.Client, options: Any, text: str) -> None:
    with pytest.raises((TypeError, ValueError), match=f"^{text}"):
        lossd_jax.sigmoid_loss(client, **options)


def test_an_error_of_the_server_is_an_error_of_jax(client: lossd.Client) -> None:
    loss = jax.jit(jax.grad(lossd_jax.sigmoid_loss(client)))
    with pytest.raises(jax.errors.JaxRuntimeError, match="INVALID_ARGUMENT: targets"):
        loss(LOGITS, TARGETS + 1).block_until_ready()


def test_the_last_line_of_an_error_is_that_of_lossd(client: lossd.Client) -> None:
    loss = jax.jit(jax.grad(lossd_jax.sigmoid_loss(client)))
    for _ in range(2):  # a function that has run before takes a shorter way
        with pytest.raises((jax.errors.JaxRuntimeError, ValueError)) as caught:
            loss(LOGITS, TARGETS + 1).block_until_ready()
        last = str(caught.value).splitlines()[-1]
        assert last.startswith("LossdError: INVALID_ARGUMENT: targets[0]: 2")
        loss(LOGITS, TARGETS).block_until_ready()


def test_a_target_stands_for_the_client_that_all_of_its_losses_share() -> None:
    with running_server() as server:
        value = lossd_jax.sigmoid_loss(server.address, reduction="sum")(LOGITS, TARGETS)
        assert float(value) == pytest.approx(exact()[0].sum(), rel=1e-6)


@pytest.mark.parametrize("bad", [None, 3, lossd.AsyncClient])
def test_a_client_that_is_none_is_named_when_the_loss_is_made(bad: Any) -> None:
    with pytest.raises(TypeError, match="^client: .* is neither a lossd.Client nor a target"):
        lossd_jax.sigmoid_loss(bad)


def test_a_server_that_goes_away_is_an_error_of_jax() -> None:
    with running_server() as server, lossd.Client(server.address) as client:
        loss = jax.jit(jax.grad(lossd_jax.sigmoid_loss(client)))
        loss(LOGITS, TARGETS).block_until_ready()
        server.process.kill()
        server.process.wait()
        # A function that has run before takes a shorter way, with another error.
        with pytest.raises((jax.errors.JaxRuntimeError, ValueError), match="UNAVAILABLE"):
            loss(LOGITS, TARGETS).block_until_ready()


def test_a_server_that_does_not_answer_is_an_error_of_jax() -> None:
    with running_server() as server, lossd.Client(server.address) as client:
        loss = jax.jit(lossd_jax.sigmoid_loss(client, timeout=0.2))
        server.process.send_signal(signal.SIGSTOP)
        try:
            with pytest.raises(jax.errors.JaxRuntimeError, match="DEADLINE_EXCEEDED"):
                loss(LOGITS, TARGETS).block_until_ready()
        finally:
            server.process.send_signal(signal.SIGCONT)
