"""Each recipe gives the numbers that the real package gave, which tests/peers/report.json has."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import lossd
import numpy as np
import pytest
from lossd import recipes
from running_server import running_server

from tests.peers import other_rows, program_rows, rows, torch_rows
from tests.peers.rows import Row

REPORT = json.loads((Path(__file__).parents[1] / "peers" / "report.json").read_text())
ROWS = torch_rows.all_rows() + other_rows.all_rows() + program_rows.all_rows()


@pytest.fixture(scope="module", name="client")
def open_client() -> Iterator[lossd.Client]:
    with running_server() as server, lossd.Client(server.address) as client:
        yield client


@pytest.mark.parametrize("row", ROWS, ids=[row.name for row in ROWS])
def test_a_recipe_gives_the_numbers_of_its_package(client: lossd.Client, row: Row) -> None:
    known = REPORT[row.name]
    loss, gradient = rows.ask_lossd(client, row, row.logits, row.targets)
    assert rows.close(loss, known["loss"]) < 5e-6
    if known["gradient"] is not None:
        assert rows.close(gradient, known["gradient"]) < 5e-6


def test_every_row_of_the_report_has_its_recipe() -> None:
    assert set(REPORT) == {row.name for row in ROWS}


# The divisors of packages that ./dev peers does not run, for losses that are all ln 2.
@pytest.mark.parametrize(
    ("options", "expected"),
    [
        (recipes.tfjs_sigmoid_cross_entropy(), 1),
        (recipes.tfjs_sigmoid_cross_entropy([[2.0], [0.0]]), 2),
        (recipes.tfjs_sigmoid_cross_entropy([[2.0], [0.0]], reduction="MEAN"), 1),
        (recipes.tfjs_sigmoid_cross_entropy([[2.0], [0.0]], reduction="SUM"), 6),
        (recipes.nd4j_sigmoid_cross_entropy([[2.0], [0.0]]), 2),
        (recipes.nd4j_sigmoid_cross_entropy([[2.0], [0.0]], reduction="MEAN_BY_WEIGHT"), 1),
        (recipes.candle_binary_cross_entropy_with_logit(), 1),
        (recipes.catboost_focal(0.5, 0.0), 0.5),
        (recipes.timm_binary_cross_entropy(sum_classes=True, reduction="sum"), 3),
        (recipes.caffe_sigmoid_cross_entropy(), 3),
        (recipes.caffe_sigmoid_cross_entropy(normalize=True), 1),
        (recipes.caffe_sigmoid_cross_entropy("NONE"), 6),
        (recipes.caffe_sigmoid_cross_entropy("VALID", ignore_label=1, loss_weight=2), 2),
    ],
)
def test_divisors(client: lossd.Client, options: dict[str, Any], expected: float) -> None:
    result = client.compute_loss(np.zeros((2, 3)), np.array([[0, 0, 1], [0, 1, 0]]), **options)
    assert result.loss == pytest.approx(expected * np.log(2))


@pytest.mark.parametrize(
    ("call", "text"),
    [
        (lambda: recipes.torch_bce_with_logits(reduction="avg"), "reduction: 'avg' is none of"),
        (lambda: recipes.torch_multilabel_soft_margin(reduction="sum"), "classes: the number"),
        (lambda: recipes.timm_binary_cross_entropy(target_threshold=0.2), "target_threshold: "),
        (lambda: recipes.timm_asymmetric_multilabel(smoothing=0.1), "smoothing: "),
        (lambda: recipes.timm_poly_binary_cross_entropy(alpha=0.25), "alpha: "),
        (lambda: recipes.smp_focal("multiclass"), "mode: 'multiclass' is neither"),
        (lambda: recipes.smp_focal("binary", normalized=True), "normalized: "),
        (lambda: recipes.smp_focal("binary", reduced_threshold=0.5), "reduced_threshold: "),
        (lambda: recipes.monai_focal(include_background=False), "include_background: "),
        (lambda: recipes.monai_focal(ignore_index=1), "ignore_index: "),
        (lambda: recipes.keras_binary_crossentropy(axis=0), "axis: 0 is not the last"),
        (lambda: recipes.keras_binary_crossentropy(reduction="sum"), "classes: the number"),
        (lambda: recipes.caffe_sigmoid_cross_entropy("MEAN"), "normalization: 'MEAN' is none"),
    ],
)
def test_what_lossd_has_no_option_for_is_named(call: Any, text: str) -> None:
    with pytest.raises(ValueError, match=f"^{text}"):
        call()
