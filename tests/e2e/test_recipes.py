"""Each recipe gives the numbers that the real package gave, which tests/peers/report.json has."""

from __future__ import annotations

import inspect
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import lossd
import numpy as np
import pytest
from lossd import recipes
from running_server import running_server

from tests.peers import checks, pins, report, rows, signatures, table, tree_rows
from tests.peers.rows import Row
from tests.peers.tree_rows import TreeRow

REPORT = report.read()
ROWS = checks.all_rows()
TREES = tree_rows.all_rows()
MODULES = ("torch_rows", "vision_rows", "other_rows", "program_rows", "tree_rows")


@pytest.fixture(scope="module", name="client")
def open_client() -> Iterator[lossd.Client]:
    with running_server() as server, lossd.Client(server.address) as client:
        yield client


@pytest.mark.parametrize("row", ROWS, ids=[row.name for row in ROWS])
def test_a_recipe_gives_the_numbers_of_its_package(client: lossd.Client, row: Row) -> None:
    known = REPORT["rows"][row.name]
    loss, gradient = rows.ask_lossd(client, row, row.logits, row.targets)
    assert rows.close(loss, known["loss"]) < checks.TOLERANCE
    if known["gradient"] is not None:
        assert rows.close(gradient, known["gradient"]) < checks.TOLERANCE


@pytest.mark.parametrize("row", TREES, ids=[row.name for row in TREES])
def test_a_recipe_gives_the_derivatives_of_its_objective(
    client: lossd.Client, row: TreeRow
) -> None:
    known = REPORT["trees"][row.name]
    answers = tree_rows.ask_lossd(client, row, rows.LOGITS, row.targets)
    for part, found in zip(tree_rows.PARTS, answers, strict=True):
        assert rows.close(found, known[part]) < checks.TOLERANCE, part


@pytest.mark.parametrize("recipe", signatures.REAL)
def test_a_recipe_has_the_parameters_of_its_package(recipe: str) -> None:
    assert signatures.ours(recipe) == REPORT["signatures"][recipe]["parameters"]


def test_the_report_has_every_check_and_nothing_else() -> None:
    found = {(part, key) for part, answers in REPORT.items() for key in answers}
    assert found == {(one.part, one.key) for one in checks.by_name().values()}


def test_the_report_is_of_the_versions_that_are_pinned() -> None:
    def plain(name: str) -> str:
        return name.lower().replace("_", "-")

    pinned = {plain(name): version for name, version in pins.versions().items()}
    for name, answer in [pair for part in REPORT.values() for pair in part.items()]:
        for package, version in answer["versions"].items():
            assert pinned[plain(package)] == version, name


def test_the_tables_are_those_of_the_report() -> None:
    text = table.PAGE.read_text()
    assert table.page(text, REPORT) == text


def test_every_recipe_is_asked_about() -> None:
    caffe = {"caffe_sigmoid_cross_entropy"}  # its rows are those of ./dev caffe
    rows_of = "".join((Path(checks.__file__).parent / f"{name}.py").read_text() for name in MODULES)
    assert {name for name in recipes.__all__ if f"recipes.{name}" not in rows_of} == caffe


# The divisors, for losses that are all ln 2.
@pytest.mark.parametrize(
    ("options", "expected"),
    [
        (recipes.tfjs_sigmoid_cross_entropy(), 1),
        (recipes.tfjs_sigmoid_cross_entropy([[2.0], [0.0]]), 2),
        (recipes.tfjs_sigmoid_cross_entropy([[2.0], [0.0]], reduction="MEAN"), 1),
        (recipes.tfjs_sigmoid_cross_entropy([[2.0], [0.0]], reduction="SUM"), 6),
        (recipes.nd4j_sigmoid_cross_entropy([[2.0], [0.0]]), 2),
        (recipes.nd4j_sigmoid_cross_entropy([[2.0], [0.0]], lossReduce="MEAN_BY_WEIGHT"), 1),
        (recipes.candle_binary_cross_entropy_with_logit(), 1),
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
        (
            lambda: recipes.torch_bce_with_logits(reduction=["sum"]),  # type: ignore[arg-type]
            "reduction: ['sum'] is none of",
        ),
        (lambda: recipes.torch_bce_with_logits([[1], [1, 2]]), "weight: setting an array"),
        (
            lambda: recipes.torch_multilabel_soft_margin(reduction="sum"),
            "classes: None: the number",
        ),
        (lambda: recipes.torchvision_sigmoid_focal(2.0), "alpha: 2 is not between 0 and 1"),
        (lambda: recipes.torchvision_sigmoid_focal(gamma=-1), "gamma: -1 is not at least 0"),
        (lambda: recipes.torchvision_retinanet(-1), "foreground_anchors: -1 is below 0"),
        (lambda: recipes.open_clip_siglip(rank=2, world_size=2), "rank: 2 is not below a world"),
        (
            lambda: recipes.timm_binary_cross_entropy(1.0),
            "smoothing: 1 is not at least 0 and below",
        ),
        (
            lambda: recipes.timm_binary_cross_entropy(target_threshold=0.2),
            "target_threshold: 0.2: ",
        ),
        (lambda: recipes.timm_asymmetric_multilabel(smoothing=0.1), "smoothing: 0.1: "),
        (lambda: recipes.timm_asymmetric_multilabel(gamma_neg=-4), "gamma_neg: -4 is not"),
        (
            lambda: recipes.timm_asymmetric_multilabel(clip=1),
            "clip: 1 is not at least 0 and below 1",
        ),
        (lambda: recipes.timm_poly_binary_cross_entropy(alpha=0.25), "alpha: 0.25: "),
        (lambda: recipes.timm_poly_binary_cross_entropy(np.nan), "epsilon: nan is not finite"),
        (lambda: recipes.smp_soft_bce_with_logits(smooth_factor=0.5), "smooth_factor: 0.5: it"),
        (lambda: recipes.smp_focal("multiclass"), "mode: 'multiclass': it is neither"),
        (lambda: recipes.smp_focal("binary", from_logits=False), "from_logits: False: lossd takes"),
        (lambda: recipes.smp_focal("binary", normalized=True), "normalized: True: "),
        (lambda: recipes.smp_focal("binary", reduced_threshold=0.5), "reduced_threshold: 0.5: "),
        (lambda: recipes.smp_focal("multilabel", ignore_index=-1), "ignore_index: -1: "),
        (lambda: recipes.smp_focal("binary", class_weights=[1]), "class_weights: [1]: "),
        (lambda: recipes.monai_focal(include_background=False), "include_background: False: "),
        (lambda: recipes.monai_focal(ignore_index=1), "ignore_index: 1: "),
        (
            lambda: recipes.monai_focal(reduction="sum", spatial_dimensions=2),
            "reduction: 'sum': it is a mean",
        ),
        (lambda: recipes.keras_binary_crossentropy(), "from_logits: False: lossd takes logits"),
        (lambda: recipes.keras_binary_crossentropy(True, axis=0), "axis: 0: it is not the last"),
        (lambda: recipes.keras_binary_crossentropy(True, dtype="float16"), "dtype: 'float16': "),
        (
            lambda: recipes.keras_binary_crossentropy(True, reduction="sum"),
            "classes: None: the number",
        ),
        (lambda: recipes.mlx_binary_cross_entropy(with_logits=False), "with_logits: False: lossd"),
        (lambda: recipes.burn_binary_cross_entropy(), "logits: False: lossd takes logits"),
        (lambda: recipes.paddle_sigmoid_focal(0.0), "normalizer: 0 is not above 0"),
        (lambda: recipes.xgboost_binary_logistic(0), "scale_pos_weight: 0 is not above 0"),
        (lambda: recipes.lightgbm_binary(is_unbalance=True), "is_unbalance: True: count"),
        (lambda: recipes.lightgbm_binary(sigmoid=2.0), "sigmoid: 2.0: multiply"),
        (lambda: recipes.catboost_logloss([1, 2, 3]), "class_weights: [1, 2, 3]: two numbers"),
        (lambda: recipes.catboost_logloss([1, 2], None, 2.0), "class_weights: [1, 2]: CatBoost"),
        (lambda: recipes.catboost_focal(2.0, 2.0), "focal_alpha: 2 is not between"),
        (lambda: recipes.sklearn_log_loss(labels=[0, 1, 2]), "labels: [0, 1, 2]: lossd's targets"),
        (lambda: recipes.caffe_sigmoid_cross_entropy("MEAN"), "normalization: 'MEAN' is none"),
    ],
)
def test_what_lossd_has_no_option_for_is_named(call: Any, text: str) -> None:
    with pytest.raises(ValueError, match=f"^{re.escape(text)}"):
        call()


# A recipe needs these besides the argument that is wrong.
NEEDED: dict[str, dict[str, Any]] = {
    "burn_binary_cross_entropy": {"logits": True},
    "catboost_focal": {"focal_alpha": 0.25, "focal_gamma": 2.0},
    "keras_binary_crossentropy": {"from_logits": True},
    "keras_binary_focal_crossentropy": {"from_logits": True, "apply_class_balancing": True},
    "smp_focal": {"mode": "multilabel"},
    "tensorflow_weighted_cross_entropy": {"pos_weight": 1.0},
    "torchvision_retinanet": {"foreground_anchors": 1},
}
# lossd's own arguments are read only where a recipe needs them.
NEEDED_BY: dict[str, dict[str, Any]] = {
    "classes": {"reduction": "sum"},
    "spatial_dimensions": {"weight": [1.0, 2.0]},
}
READ_BY_NOBODY = {"name", "scope", "loss_collection"}


def every_parameter() -> list[tuple[str, str]]:
    return [
        (recipe, parameter)
        for recipe in recipes.__all__
        for parameter in inspect.signature(getattr(recipes, recipe)).parameters
        if parameter not in READ_BY_NOBODY
    ]


@pytest.mark.parametrize(("recipe", "parameter"), every_parameter())
def test_a_wrong_type_names_the_argument_and_the_value(recipe: str, parameter: str) -> None:
    function = getattr(recipes, recipe)
    needed = {**NEEDED.get(recipe, {})}
    known = inspect.signature(function).parameters
    needed |= {k: v for k, v in NEEDED_BY.get(parameter, {}).items() if k in known}
    wrong = ["nonsense"]
    for value in ("nonsense", wrong):
        with pytest.raises((TypeError, ValueError)) as error:
            function(**{**needed, parameter: value})
        assert str(error.value).startswith(f"{parameter}: ")
        assert "nonsense" in str(error.value)
