"""The sparse arrays and the lists of labels of other libraries, as the places of their ones.

No such library is imported: the objects are known by their attributes.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from lossd import arguments
from lossd.pytorch import torch_of

# Row splits, columns and shape, as lossd.ones() takes them.
Places = tuple[NDArray[np.int64], NDArray[np.int64], tuple[int, ...]]


@runtime_checkable
class SparseMatrix(Protocol):
    """A matrix or array of scipy.sparse, in any of its formats."""

    def tocsr(self, *, copy: bool) -> Any: ...


def places(targets: Any) -> Places | None:
    """Returns where the ones of a sparse array are, or None if `targets` is not sparse.

    Takes the arrays of scipy.sparse, PyTorch, JAX (BCOO and BCSR) and TensorFlow. Raises
    ValueError or TypeError if an element is neither 0 nor 1, or a place is given twice.
    """
    if torch_of(targets) is not None:
        return None if str(targets.layout) == "torch.strided" else _of_torch(targets)
    name = type(targets).__name__
    if isinstance(targets, SparseMatrix):
        return _of_scipy(targets)
    if name == "BCOO" and hasattr(targets, "n_batch"):
        return _of_bcoo(targets)
    if name == "BCSR" and hasattr(targets, "indptr"):
        return _of_bcsr(targets)
    if name == "SparseTensor" and hasattr(targets, "dense_shape"):
        shape = tuple(int(size) for size in np.asarray(targets.dense_shape))
        return _of_coordinates(np.asarray(targets.indices).T, np.asarray(targets.values), shape)
    if name == "RaggedTensor" and hasattr(targets, "row_splits"):
        raise TypeError(
            "targets: a RaggedTensor has lists of labels; give lossd.ones_from_lists(targets)"
        )
    return None


def from_lists(lists: Any) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Returns the row splits and the columns of a list of labels for each row.

    Raises TypeError or ValueError, which begin with "lists", for a label that is no whole number
    or stands twice in a row.
    """
    if hasattr(lists, "combine_chunks") and hasattr(lists, "num_chunks"):  # of Arrow, in chunks
        lists = lists.combine_chunks()
    if hasattr(lists, "value_lengths") and hasattr(lists, "flatten"):
        # flatten() leaves out what is before a slice, after it, and in a null.
        lengths = np.asarray(lists.value_lengths().fill_null(0))
        labels = lists.flatten()
        if labels.null_count > 0:
            raise ValueError("lists: a label is null")
        labels = np.asarray(labels)
    elif type(lists).__name__ == "RaggedTensor":
        lengths, labels = np.diff(np.asarray(lists.row_splits)), np.asarray(lists.values)
    elif isinstance(lists, Sequence | np.ndarray) and not isinstance(lists, str | bytes):
        rows = [_labels_of_row(row, index) for index, row in enumerate(lists)]
        lengths = np.array([row.size for row in rows], np.int64)
        labels = np.concatenate([*rows, np.empty(0, np.int64)])
    else:
        raise TypeError(f"lists: {type(lists).__name__} is no sequence of lists of labels")
    splits = np.concatenate(([0], np.cumsum(lengths, dtype=np.int64)))
    columns = _whole("lists", labels)
    rows_of = np.repeat(np.arange(len(lengths)), lengths)
    order = np.lexsort((columns, rows_of))
    columns = columns[order]
    twice = (np.diff(columns) == 0) & (np.diff(rows_of) == 0)
    if twice.any():
        place = int(np.argmax(twice))
        raise ValueError(f"lists: row {rows_of[place]} has the label {columns[place]} twice")
    return splits, columns


def _labels_of_row(row: Any, index: int) -> NDArray[Any]:
    with arguments.naming(f"lists: row {index}"):
        labels = np.asarray(row)
    if labels.ndim != 1:
        raise TypeError(f"lists: row {index} is not one dimension of labels but {row!r}")
    return labels


def _whole(name: str, labels: NDArray[Any]) -> NDArray[np.int64]:
    """Returns labels, which scikit-learn stores as floats, as integers."""
    if labels.size > 0 and labels.dtype.kind not in "iuf":
        raise TypeError(f"{name}: labels of dtype {labels.dtype} are no whole numbers")
    whole = labels.astype(np.int64) if np.isfinite(labels).all() else np.empty(0, np.int64)
    if whole.size != labels.size or (whole != labels).any():
        raise ValueError(f"{name}: a label is no whole number of 64 bits")
    return whole


def _of_scipy(matrix: SparseMatrix) -> Places:
    rows = matrix.tocsr(copy=True)
    if len(rows.shape) == 1:
        return _of_coordinates(rows.tocoo().coords, rows.data, rows.shape)
    rows.sum_duplicates()
    rows.eliminate_zeros()
    rows.sort_indices()
    _check_ones(rows.data)
    return rows.indptr.astype(np.int64), rows.indices.astype(np.int64), rows.shape


def _of_torch(tensor: Any) -> Places:
    layout = str(tensor.layout).removeprefix("torch.")
    if layout not in ("sparse_coo", "sparse_csr", "sparse_csc", "sparse_bsr", "sparse_bsc"):
        raise TypeError(f"targets: a tensor of layout {tensor.layout} has no plain memory")
    with arguments.naming("targets"):
        tensor = tensor.detach().cpu().to_sparse_coo().coalesce()
        indices, values = tensor.indices().numpy(), tensor.values()
        if values.ndim != 1:
            raise TypeError("a sparse tensor with dense dimensions is not zeros and ones")
        return _of_coordinates(indices, values.float().numpy(), tuple(tensor.shape))


def _of_bcoo(array: Any) -> Places:
    if array.n_batch or array.n_dense:
        raise TypeError("targets: a BCOO with batch or dense dimensions; use n_batch=n_dense=0")
    indices, values = np.asarray(array.indices).T, np.asarray(array.data)
    # JAX fills up with indices that lie outside.
    inside = (indices < np.array(array.shape)[:, np.newaxis]).all(axis=0)
    return _of_coordinates(indices[:, inside], values[inside], tuple(array.shape))


def _of_bcsr(array: Any) -> Places:
    if array.n_batch or array.n_dense:
        raise TypeError("targets: a BCSR with batch or dense dimensions; use n_batch=n_dense=0")
    splits = np.asarray(array.indptr).astype(np.int64)
    used = int(splits[-1])
    rows = np.repeat(np.arange(splits.size - 1), np.diff(splits))
    indices = np.stack((rows, np.asarray(array.indices)[:used]))
    return _of_coordinates(indices, np.asarray(array.data)[:used], tuple(array.shape))


def _of_coordinates(indices: Any, values: NDArray[Any], shape: tuple[int, ...]) -> Places:
    """Returns the places of an array of any rank: its columns are all dimensions but the first."""
    if not shape:
        raise TypeError("targets: a sparse array of rank 0")
    stored = values != 0
    _check_ones(values[stored])
    rows, *others = (np.asarray(index)[stored].astype(np.int64) for index in indices)
    columns = np.zeros_like(rows)
    for size, index in zip(shape[1:], others, strict=True):
        columns = columns * size + index
    width = math.prod(shape[1:])
    order = np.lexsort((columns, rows))
    rows, columns = rows[order], columns[order]
    if ((np.diff(rows) == 0) & (np.diff(columns) == 0)).any():
        raise ValueError("targets: the sparse array has an element twice")
    if rows.size and (rows.min() < 0 or rows.max() >= shape[0] or columns.max() >= width):
        raise ValueError(f"targets: the sparse array has an element outside of its shape, {shape}")
    splits = np.concatenate(([0], np.cumsum(np.bincount(rows, minlength=shape[0]))))
    return splits.astype(np.int64), columns, shape


def _check_ones(values: NDArray[Any]) -> None:
    if not (values == 1).all():
        raise ValueError(
            "targets: an element of the sparse array is neither 0 nor 1; "
            "an element that is stored twice counts as the sum"
        )
