"""The layer for Caffe with a real server, in a stand-in of Caffe's layer interface."""

from __future__ import annotations

import importlib
import json
import mmap
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import lossd
import numpy as np
import pytest
from caffe_stand_in import RunningLayer, caffe_stand_in
from running_server import RunningServer, running_server, stopped
from shared_memory_server import shared_bytes

from tests.caffe.cases import Case, all_cases
from tests.peers.rows import close

CASES = all_cases()
# Caffe 1.0 itself answered so to the cases.
REPORT = json.loads((Path(__file__).parents[1] / "caffe" / "report.json").read_text())
SCORES = np.array([[0.5, -1, 3], [-20, 20, 0]], np.float32)
LABELS = np.array([[1, 0, 0], [0, 1, 1]], np.float32)


@pytest.fixture(scope="module", name="server")
def start_server() -> Iterator[RunningServer]:
    with running_server() as server:
        yield server


@pytest.fixture(name="layer")
def import_layer() -> Iterator[Any]:
    with caffe_stand_in():
        yield importlib.import_module("lossd.caffe").RemoteSigmoidCrossEntropyLossLayer


def parameters(server: RunningServer, **options: Any) -> str:
    return json.dumps({"server": server.address, **options})


def exact(labels: Any = LABELS) -> tuple[Any, Any]:
    scores = SCORES.astype(float)
    losses = np.logaddexp(0, scores) - scores * labels
    return losses, 1 / (1 + np.exp(-scores)) - labels


def test_the_layer_sums_and_honours_the_loss_weight(server: RunningServer, layer: Any) -> None:
    running = RunningLayer(layer, [SCORES, LABELS], parameters(server))
    losses, gradient = exact()
    assert running.forward() == pytest.approx(losses.sum(), rel=1e-6)
    np.testing.assert_allclose(running.backward(), gradient, rtol=1e-5)
    np.testing.assert_allclose(running.backward(2), 2 * gradient, rtol=1e-5)
    running.bottoms[0].data[...] = 0  # the next batch
    assert running.forward() == pytest.approx(6 * np.log(2))
    assert np.all(np.abs(running.backward()) == 0.5)


@pytest.mark.parametrize(
    ("reduction", "divisor", "ignoring_divisor"),
    [("sum", 1, 1), ("none", 1, 1), ("batch", 2, 2), ("valid", 6, 4), ("full", 6, 6)],
)
def test_every_normalization_is_that_of_caffe(
    server: RunningServer, layer: Any, reduction: str, divisor: int, ignoring_divisor: int
) -> None:
    running = RunningLayer(layer, [SCORES, LABELS], parameters(server, reduction=reduction))
    losses, gradient = exact()
    assert running.forward() == pytest.approx(losses.sum() / divisor, rel=1e-6)
    np.testing.assert_allclose(running.backward(), gradient / divisor, rtol=1e-5)

    labels = LABELS.copy()
    labels[0, 1] = labels[1, 2] = -1
    running = RunningLayer(
        layer, [SCORES, labels], parameters(server, reduction=reduction, ignore_label=-1)
    )
    kept = labels != -1
    assert running.forward() == pytest.approx(losses[kept].sum() / ignoring_divisor, rel=1e-6)
    np.testing.assert_allclose(
        running.backward(), np.where(kept, gradient, 0) / ignoring_divisor, rtol=1e-5
    )
    running.bottoms[1].data[...] = -1
    assert running.forward() == 0
    assert not running.backward().any()


@pytest.mark.parametrize("case", CASES, ids=[case.name for case in CASES])
def test_layer_and_recipe_have_the_numbers_of_caffe_itself(
    server: RunningServer, layer: Any, case: Case
) -> None:
    known = REPORT[case.name]
    expected = np.reshape(known["gradient"], case.scores.shape)
    running = RunningLayer(layer, [case.scores, case.labels], parameters(server, **case.layer))
    assert close(running.forward(), known["loss"]) < 1e-6
    assert close(running.backward(case.loss_weight), expected) < 1e-6
    with lossd.Client(server.address) as client:
        options = lossd.recipes.caffe_sigmoid_cross_entropy(**case.recipe)
        result = client.compute_loss(case.scores, case.labels, **options)
    assert close(result.loss, known["net_loss"]) < 1e-6
    assert close(result.gradient, expected) < 1e-6


def test_the_report_has_every_case() -> None:
    assert list(REPORT) == [case.name for case in CASES]


@pytest.mark.parametrize("shape", [(2, 3, 1, 1), (6,), (3, 2)])
def test_labels_of_another_shape_with_the_same_count_are_taken(
    server: RunningServer, layer: Any, shape: tuple[int, ...]
) -> None:
    running = RunningLayer(layer, [SCORES, LABELS.reshape(shape)], parameters(server))
    assert running.forward() == pytest.approx(exact()[0].sum(), rel=1e-6)
    np.testing.assert_allclose(running.backward(), exact()[1], rtol=1e-5)


def test_a_batch_of_another_size_is_taken(server: RunningServer, layer: Any) -> None:
    running = RunningLayer(layer, [SCORES, LABELS], parameters(server))
    running.forward()
    for blob, data in zip(running.bottoms, (SCORES, LABELS), strict=True):
        blob.reshape(1, 3)
        blob.data[...] = data[:1]
    assert running.forward() == pytest.approx(exact()[0][0].sum(), rel=1e-6)
    np.testing.assert_allclose(running.backward(), exact()[1][:1], rtol=1e-5)


def test_an_older_prototxt_finds_its_layer(server: RunningServer, layer: Any) -> None:
    module = importlib.import_module("loss_layers")
    assert module.CustomSigmoidCrossEntropyLossLayer is layer


def test_labels_that_ask_for_a_gradient_are_an_error(server: RunningServer, layer: Any) -> None:
    options = parameters(server, force_backward=False)
    running = RunningLayer(layer, [SCORES, LABELS], options)
    running.forward()
    with pytest.raises(RuntimeError, match=r"^lossd: bottom\[1\]: .* propagate_down: false"):
        running.backward(labels=True)


def test_labels_that_may_ask_for_a_gradient_get_zeros_and_a_warning(
    server: RunningServer, layer: Any
) -> None:
    running = RunningLayer(layer, [SCORES, LABELS], parameters(server))
    running.forward()
    running.bottoms[1].diff[...] = 7
    with pytest.warns(RuntimeWarning, match=r"^lossd: bottom\[1\]: .* their diff is 0"):
        running.backward(labels=True)
    assert not running.bottoms[1].diff.any()


def test_with_force_backward_the_labels_diff_is_zero(server: RunningServer, layer: Any) -> None:
    options = parameters(server, force_backward=True)
    running = RunningLayer(layer, [SCORES, LABELS], options)
    running.forward()
    running.bottoms[1].diff[...] = 7
    np.testing.assert_allclose(running.backward(labels=True), exact()[1], rtol=1e-5)
    assert not running.bottoms[1].diff.any()


@pytest.mark.parametrize("count", [1, 3])
def test_a_layer_needs_two_inputs(server: RunningServer, layer: Any, count: int) -> None:
    with pytest.raises(ValueError, match="Need two inputs"):
        RunningLayer(layer, [SCORES] * count, parameters(server))


def test_bad_blobs_are_named(server: RunningServer, layer: Any) -> None:
    with pytest.raises(ValueError, match="top: "):
        RunningLayer(layer, [SCORES, LABELS], parameters(server), tops=2)
    with pytest.raises(ValueError, match=r"\(2, 3\) and the labels \(1, 3\)"):
        RunningLayer(layer, [SCORES, LABELS[:1]], parameters(server)).forward()
    scores = SCORES.copy()
    scores[1, 0] = np.nan
    with pytest.raises(RuntimeError, match=r"lossd: INVALID_ARGUMENT: logits.*3"):
        RunningLayer(layer, [scores, LABELS], parameters(server)).forward()
    with pytest.raises(RuntimeError, match=r"lossd: INVALID_ARGUMENT: targets"):
        RunningLayer(layer, [SCORES, LABELS + 1], parameters(server)).forward()


@pytest.mark.parametrize(
    ("param_str", "text"),
    [
        ("server=x", "param_str: 'server=x' is not JSON"),
        ("[]", "param_str: .* is not a JSON object"),
        ('{"sever": "x:1"}', "param_str: 'sever' is none of server, "),
        ('{"reduction": "mean"}', "reduction: 'mean' is none of sum, none, batch, valid, full"),
        ('{"reduction": ["sum"]}', r"reduction: \['sum'\] is none of sum, none, batch"),
        ('{"ignore_label": "x"}', "ignore_label: 'x' is not a number"),
        ('{"ignore_label": true}', "ignore_label: True is not a number"),
        ('{"timeout": -1}', "timeout: -1 seconds"),
        ('{"timeout": "1 s"}', "timeout: '1 s' is not a number"),
        ('{"force_backward": "no"}', "force_backward: 'no' is neither True nor False"),
        ('{"token": 7}', "token: 7 is not a string"),
        ('{"shared_memory": 7}', "shared_memory: 7 is not a string"),
        ('{"server": null}', "server: None is not a string"),
        ('{"server": 7}', "server: 7 is not a string"),
        ('{"server": "host"}', "target: "),
    ],
)
def test_a_bad_option_is_named(layer: Any, param_str: str, text: str) -> None:
    with pytest.raises((TypeError, ValueError), match=f"^{text}"):
        RunningLayer(layer, [SCORES, LABELS], param_str)


def test_a_server_that_goes_away_is_an_error(layer: Any) -> None:
    with running_server() as server:
        running = RunningLayer(layer, [SCORES, LABELS], parameters(server))
        running.forward()
    with pytest.raises(RuntimeError, match="lossd: UNAVAILABLE"):
        running.forward()


def test_a_socket_without_a_server_is_named(layer: Any, tmp_path: Path) -> None:
    with pytest.raises(RuntimeError, match=r"^shared_memory: .*/nobody"):
        RunningLayer(
            layer, [SCORES, LABELS], json.dumps({"shared_memory": str(tmp_path / "nobody")})
        )


def test_a_server_on_the_same_host_shares_memory(layer: Any, tmp_path: Path) -> None:
    path = str(tmp_path / "socket")
    with running_server(f"--shared_memory_socket={path}") as server:
        running = RunningLayer(
            layer, [SCORES, LABELS], parameters(server, shared_memory=path, reduction="batch")
        )
        assert running.forward() == pytest.approx(exact()[0].sum() / 2, rel=1e-6)
        np.testing.assert_allclose(running.backward(), exact()[1] / 2, rtol=1e-5)
        # The scores, the labels and the gradient have a region each.
        assert shared_bytes(server) == 3 * mmap.PAGESIZE


def test_a_call_without_an_answer_leaves_its_shared_memory_to_the_server(
    layer: Any, tmp_path: Path
) -> None:
    path = str(tmp_path / "socket")
    with running_server(f"--shared_memory_socket={path}") as server:
        options = parameters(server, shared_memory=path, timeout=0.2)
        running = RunningLayer(layer, [SCORES, LABELS], options)
        running.forward()
        shared = running.layer._arrays.gradient
        with stopped(server), pytest.raises(RuntimeError, match="DEADLINE_EXCEEDED"):
            running.forward()
        while True:  # until the server has gone on
            try:
                assert running.forward() == pytest.approx(exact()[0].sum(), rel=1e-6)
                break
            except RuntimeError:
                continue
        shared[...] = 7  # as a late answer may do
        np.testing.assert_allclose(running.backward(), exact()[1], rtol=1e-5)
