"""The ways round of "Losses that are not here" in client/README.md give those losses' gradients."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import lossd
import numpy as np
import pytest
from running_server import running_server

Array = np.ndarray[Any, np.dtype[np.float64]]

LOGITS: Array = np.random.default_rng(3).normal(0, 2, (4, 3))
TARGETS: Array = np.array([[0.0, 1, 1], [1, 0, 0], [0, 0, 1], [1, 1, 0]])


@pytest.fixture(scope="module", name="client")
def open_client() -> Iterator[lossd.Client]:
    with running_server() as server, lossd.Client(server.address) as client:
        yield client


def sigmoid(x: Array) -> Array:
    return 1 / (1 + np.exp(-x))


def cross_entropy(x: Array) -> float:
    return float((np.logaddexp(0, x) - TARGETS * x).mean())


def differences(loss: Callable[[Array], float], at: Array) -> Array:
    """Returns the central differences of a loss by each element."""
    gradient = np.zeros_like(at)
    for place in np.ndindex(at.shape):
        step = np.zeros_like(at)
        step[place] = 1e-6
        gradient[place] = (loss(at + step) - loss(at - step)) / 2e-6
    return gradient


def test_probabilities(client: lossd.Client) -> None:
    p = sigmoid(LOGITS)

    def of_probabilities(p: Array) -> float:
        return float(-(TARGETS * np.log(p) + (1 - TARGETS) * np.log1p(-p)).mean())

    result = client.compute_loss(np.log(p) - np.log1p(-p), TARGETS)
    assert result.loss == pytest.approx(of_probabilities(p), rel=1e-12)
    np.testing.assert_allclose(
        result.gradient / (p * (1 - p)), differences(of_probabilities, p), rtol=1e-6
    )


def test_a_probability_near_1_has_lost_its_loss(client: lossd.Client) -> None:
    confident = np.array([20.0], np.float32)
    kept = client.compute_loss(confident, np.ones(1, np.float32)).loss
    assert kept == pytest.approx(2.061153618190204e-09, rel=1e-6)
    assert 1 / (1 + np.exp(-confident)) == 1  # whose loss is 0


def dice(x: Array) -> float:
    p = sigmoid(x)
    return float(1 - 2 * (p * TARGETS).sum() / (p.sum() + TARGETS.sum()))


def dice_gradient(x: Array) -> Array:
    p = sigmoid(x)
    whole = p.sum() + TARGETS.sum()
    by_p = -2 * TARGETS / whole + 2 * (p * TARGETS).sum() / whole**2
    return by_p * p * (1 - p)


def two_way(x: Array) -> float:
    """Returns the part of the two-way loss that goes over rows."""
    highest = np.log(np.where(TARGETS == 0, np.exp(x), 0).sum(axis=1))
    lowest = np.log(np.where(TARGETS == 1, np.exp(-x), 0).sum(axis=1))
    return float(np.logaddexp(0, highest + lowest).mean())


def two_way_gradient(x: Array) -> Array:
    up = np.where(TARGETS == 0, np.exp(x), 0)
    down = np.where(TARGETS == 1, np.exp(-x), 0)
    product = up.sum(axis=1, keepdims=True) * down.sum(axis=1, keepdims=True)
    shares = up / up.sum(axis=1, keepdims=True) - down / down.sum(axis=1, keepdims=True)
    return product / (1 + product) * shares / len(x)


@pytest.mark.parametrize(
    ("loss", "gradient"),
    [(dice, dice_gradient), (two_way, two_way_gradient)],
    ids=["dice", "two-way"],
)
def test_a_loss_beside_lossd(
    client: lossd.Client, loss: Callable[[Array], float], gradient: Callable[[Array], Array]
) -> None:
    result = client.compute_loss(LOGITS, TARGETS)
    np.testing.assert_allclose(
        result.gradient + gradient(LOGITS),
        differences(lambda x: cross_entropy(x) + loss(x), LOGITS),
        rtol=1e-6,
        atol=1e-9,
    )


def test_a_factor_of_the_cross_entropy(client: lossd.Client) -> None:
    """The focal factor of segmentation_models takes exp(-loss) for p_t, also of soft targets."""
    soft = 0.8 * TARGETS + 0.1

    def entropy(x: Array) -> Array:
        return np.logaddexp(0, x) - soft * x

    def focal(x: Array) -> float:
        return float(((1 - np.exp(-entropy(x))) ** 2 * entropy(x)).mean())

    result = client.compute_loss(LOGITS, soft, reduction="none")
    assert result.losses is not None
    rest = 1 - np.exp(-result.losses)
    slope = 2 * rest * (1 - rest) * result.gradient  # of the factor rest**2
    assert (rest**2 * result.losses).mean() == pytest.approx(focal(LOGITS), rel=1e-12)
    np.testing.assert_allclose(
        (rest**2 * result.gradient + slope * result.losses) / LOGITS.size,
        differences(focal, LOGITS),
        rtol=1e-6,
        atol=1e-9,
    )


def test_another_scale_for_negative_elements(client: lossd.Client) -> None:
    """timm's distribution-balanced loss has softplus(s z) / s for targets of 0."""
    scale = 2.0
    weights = np.linspace(0.5, 1.5, LOGITS.size).reshape(LOGITS.shape)

    def balanced(z: Array) -> float:
        negative = np.logaddexp(0, scale * z) / scale
        return float((weights * np.where(TARGETS == 1, np.logaddexp(0, -z), negative)).mean())

    factor = np.where(TARGETS == 1, 1, scale)
    result = client.compute_loss(LOGITS * factor, TARGETS, weights=weights / factor)
    assert result.loss == pytest.approx(balanced(LOGITS), rel=1e-12)
    np.testing.assert_allclose(
        result.gradient * factor, differences(balanced, LOGITS), rtol=1e-6, atol=1e-9
    )


def test_gradients_by_targets_and_weights(client: lossd.Client) -> None:
    weights = np.linspace(0.5, 1.5, LOGITS.size).reshape(LOGITS.shape)
    q = 3.0

    def entropies(t: Array) -> Array:
        return q * t * np.logaddexp(0, -LOGITS) + (1 - t) * np.logaddexp(0, LOGITS)

    def losses(t: Array, w: Array) -> Array:
        result = client.compute_loss(LOGITS, t, weights=w, pos_weight=q, reduction="none")
        return np.asarray(result.losses)

    ones = np.ones_like(LOGITS)
    np.testing.assert_allclose(
        losses(ones, weights) - losses(0 * ones, weights),
        differences(lambda t: float((weights * entropies(t)).sum()), TARGETS),
        rtol=1e-6,
    )
    np.testing.assert_allclose(
        losses(TARGETS, ones),
        differences(lambda w: float((w * entropies(TARGETS)).sum()), weights),
        rtol=1e-6,
    )


def test_masks(client: lossd.Client) -> None:
    """A mask is weights of 0 and 1, or NaN in place of the targets that do not count."""
    mask = np.arange(LOGITS.size).reshape(LOGITS.shape) % 3 != 0
    entropy = np.logaddexp(0, LOGITS) - TARGETS * LOGITS
    by_weights = client.compute_loss(
        LOGITS, TARGETS, weights=mask.astype(np.uint8), normalizer="nonzero_weights"
    )
    holes = np.where(mask, TARGETS, np.nan)
    by_targets = client.compute_loss(LOGITS, holes, ignore_target=np.nan, normalizer="valid")
    assert by_weights.loss == by_targets.loss == pytest.approx(entropy[mask].mean(), rel=1e-12)
    np.testing.assert_array_equal(by_weights.gradient, by_targets.gradient)


def test_class_indices(client: lossd.Client) -> None:
    indices = np.array([1, 0, 2, 1])
    sparse = client.compute_loss(LOGITS, lossd.ones_from_lists(indices.reshape(-1, 1)))
    dense = client.compute_loss(LOGITS, np.eye(3)[indices])
    assert sparse.loss == dense.loss
    np.testing.assert_array_equal(sparse.gradient, dense.gradient)


def test_targets_of_minus_1_and_1(client: lossd.Client) -> None:
    signs = 2 * TARGETS - 1
    result = client.compute_loss(LOGITS, (signs + 1) / 2)
    assert result.loss == pytest.approx(np.logaddexp(0, -signs * LOGITS).mean(), rel=1e-12)
