"""Tests that the sparse arrays and label lists of other libraries are read as their ones."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import lossd
import numpy as np
import pytest
import scipy.sparse
from messages import to_targets

DENSE = np.array([[0, 1, 0, 1], [0, 0, 0, 0], [1, 1, 0, 0]], np.float32)


def assert_dense(targets: Any, dense: np.ndarray = DENSE) -> None:
    """Asserts that targets are sent as the ones of a dense array, each row in rising order."""
    tensor = to_targets(targets)
    expected = [np.flatnonzero(row).tolist() for row in dense.reshape(len(dense), -1)]
    splits = list(tensor.ones.row_splits)
    columns = list(tensor.ones.columns)
    assert [columns[a:b] for a, b in zip(splits, splits[1:], strict=False)] == expected
    assert list(tensor.shape) in ([], list(dense.shape))


# Stand-ins with the attributes of the real classes; the tests below take the real ones.
@dataclass
class BCOO:
    indices: np.ndarray
    data: np.ndarray
    shape: tuple[int, ...]
    n_batch: int = 0
    n_dense: int = 0


@dataclass
class BCSR:
    indptr: np.ndarray
    indices: np.ndarray
    data: np.ndarray
    shape: tuple[int, ...]
    n_batch: int = 0
    n_dense: int = 0


@dataclass
class SparseTensor:
    indices: np.ndarray
    values: np.ndarray
    dense_shape: np.ndarray


@dataclass
class RaggedTensor:
    values: np.ndarray
    row_splits: np.ndarray


def test_the_padding_of_jax_is_left_out() -> None:
    # Index (3, 4) is outside, as JAX fills up.
    places = np.array([[2, 1], [0, 3], [0, 1], [2, 0], [3, 4], [3, 4]])
    values = np.array([1, 1, 1, 1, 0, 0], np.float32)
    assert_dense(BCOO(places, values, (3, 4)))
    indices = np.array([1, 3, 0, 1, 4, 4])
    assert_dense(BCSR(np.array([0, 2, 2, 4]), indices, values, (3, 4)))
    for bad in (BCOO(places, values, (3, 4), n_batch=1), BCSR(indices, indices, values, (3, 4), 1)):
        with pytest.raises(TypeError, match="^targets: a BC.. with batch or dense dimensions"):
            to_targets(bad)


def test_a_sparse_tensor_of_any_rank_has_rows_and_columns() -> None:
    dense = np.zeros((2, 3, 4))
    dense[0, 2, 1] = dense[1, 0, 0] = dense[1, 2, 3] = 1
    places = np.argwhere(dense)[::-1]
    assert_dense(SparseTensor(places, np.ones(3), np.array([2, 3, 4])), dense)
    for values, text in (([1, 1, 0.5], "neither 0 nor 1"), ([1, 1, np.nan], "neither 0 nor 1")):
        with pytest.raises(ValueError, match=f"^targets: .*{text}"):
            to_targets(SparseTensor(places, np.array(values), np.array([2, 3, 4])))
    for wrong, text in (([[0, 0], [0, 0]], "twice"), ([[0, 4]], "outside"), ([[3, 0]], "outside")):
        tensor = SparseTensor(np.array(wrong), np.ones(len(wrong)), np.array([3, 4]))
        with pytest.raises(ValueError, match=f"^targets: the sparse array has an element {text}"):
            to_targets(tensor)
    with pytest.raises(TypeError, match="^targets: a sparse array of rank 0"):
        to_targets(SparseTensor(np.empty((1, 0), int), np.ones(1), np.array([])))


def test_scipys_arrays_of_one_dimension_have_one_column() -> None:
    dense = np.array([0, 1, 0, 0, 1])
    try:
        array = scipy.sparse.coo_array(dense)
        array.tocsr()
    except ValueError:
        pytest.skip("this SciPy has no sparse arrays of one dimension")
    assert_dense(array, dense)
    assert_dense(array.tocsr(), dense)


def test_an_element_that_scipy_stores_twice_is_named() -> None:
    twice = scipy.sparse.csr_array(
        (np.ones(2, np.int64), np.array([1, 1]), np.array([0, 2])), shape=(1, 4)
    )
    with pytest.raises(ValueError, match="^targets: .* stored twice counts as the sum"):
        to_targets(twice)


@pytest.mark.parametrize(
    "lists",
    [
        [[1, 3], [], [1, 0]],
        [(1.0, 3.0), (), (0.0, 1.0)],  # as load_svmlight_file(..., multilabel=True) has them
        (np.array([3, 1]), np.array([]), np.array([0, 1], np.uint8)),
        RaggedTensor(np.array([1, 3, 0, 1]), np.array([0, 2, 2, 4])),
    ],
)
def test_lists_of_labels_are_ones(lists: Any) -> None:
    assert_dense(lossd.ones_from_lists(lists))
    assert_dense(lossd.ones_from_lists(lists, shape=(3, 4)))


def test_no_lists_are_no_ones() -> None:
    assert to_targets(lossd.ones_from_lists([])).ones.row_splits == [0]
    assert to_targets(lossd.ones_from_lists([[], []])).ones.row_splits == [0, 0, 0]


def test_lists_name_what_is_wrong() -> None:
    wrong: list[tuple[Any, type[Exception], str]] = [
        ([[1, 1]], ValueError, "row 0 has the label 1 twice"),
        ([[0], [2, 0, 2]], ValueError, "row 1 has the label 2 twice"),
        ([[0.5]], ValueError, "a label is no whole number"),
        ([[float("nan")]], ValueError, "a label is no whole number"),
        ([["a"]], TypeError, "labels of dtype <U"),
        ([[None]], TypeError, "labels of dtype object"),
        ([1, 2], TypeError, "row 0 is not one dimension of labels but 1"),
        ([[[1]]], TypeError, r"row 0 is not one dimension of labels but \[\[1\]\]"),
        ("ab", TypeError, "str is no sequence"),
        (7, TypeError, "int is no sequence"),
        (None, TypeError, "NoneType is no sequence"),
    ]
    for lists, error, text in wrong:
        with pytest.raises(error, match=f"^lists: {text}"):
            lossd.ones_from_lists(lists)
    with pytest.raises(TypeError, match="^shape: 3 is not a tuple"):
        lossd.ones_from_lists([[0]], shape=3)  # type: ignore[arg-type]
    ragged = RaggedTensor(np.array([0]), np.array([0, 1]))
    with pytest.raises(TypeError, match="^targets: .*give lossd.ones_from_lists"):
        to_targets(ragged)


def test_the_real_lists_of_arrow() -> None:
    arrow = pytest.importorskip("pyarrow")
    lists = [[9, 9], [1, 3], None, [0, 1], [7]]
    for kind in (arrow.list_(arrow.int32()), arrow.large_list(arrow.int64())):
        array = arrow.array(lists, kind).slice(1, 3)
        assert_dense(lossd.ones_from_lists(array))
        chunks = arrow.chunked_array([array.slice(0, 1), array.slice(1, 2)])
        assert_dense(lossd.ones_from_lists(chunks))
    with pytest.raises(ValueError, match="^lists: a label is null"):
        lossd.ones_from_lists(arrow.array([[1, None]]))


def test_the_real_sparse_tensors_of_pytorch() -> None:
    torch = pytest.importorskip("torch")
    tensor = torch.tensor(DENSE)
    for sparse in (tensor.to_sparse(), tensor.to_sparse_csr(), tensor.bool().to_sparse()):
        assert_dense(sparse)
    twice = torch.sparse_coo_tensor([[0, 0], [1, 1]], [1.0, 1.0], (3, 4))
    with pytest.raises(ValueError, match="^targets: .*neither 0 nor 1"):
        to_targets(twice)


def test_the_real_sparse_arrays_of_jax() -> None:
    sparse = pytest.importorskip("jax.experimental.sparse")
    for nse in (4, 7):
        assert_dense(sparse.BCOO.fromdense(DENSE, nse=nse))
        assert_dense(sparse.BCSR.fromdense(DENSE, nse=nse))


def test_the_real_tensors_of_tensorflow() -> None:
    tensorflow = pytest.importorskip("tensorflow")
    assert_dense(tensorflow.sparse.from_dense(DENSE))
    ragged = tensorflow.ragged.constant([[1, 3], [], [0, 1]])
    assert_dense(lossd.ones_from_lists(ragged))


def test_the_real_labels_of_scikit_learn() -> None:
    preprocessing = pytest.importorskip("sklearn.preprocessing")
    binarizer = preprocessing.MultiLabelBinarizer(sparse_output=True)
    labels = [("b", "d"), (), ("a", "b")]
    assert_dense(binarizer.fit_transform(labels), DENSE[:, [0, 1, 3]])
