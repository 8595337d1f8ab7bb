"""A loss for scikit-learn's HistGradientBoostingClassifier.

The module needs scikit-learn, and its private module of losses.
"""

from __future__ import annotations

from sklearn._loss.loss import HalfBinomialLoss

from lossd.trees.derivatives import Array, TreeLoss, minimum_hessian_of


class SklearnLoss(HalfBinomialLoss):  # type: ignore[misc]  # scikit-learn has no types
    """Answers by lossd what scikit-learn asks its own loss.

    `n_threads` is ignored: the server has threads of its own.
    """

    def __init__(self, loss: TreeLoss, minimum_hessian: float) -> None:
        super().__init__()
        self._lossd = loss
        self._minimum_hessian = minimum_hessian_of(minimum_hessian)

    def loss(
        self,
        y_true: Array,
        raw_prediction: Array,
        sample_weight: Array | None = None,
        loss_out: Array | None = None,
        n_threads: int = 1,
    ) -> Array:
        return _into(loss_out, self._lossd.losses(_row(raw_prediction), y_true, sample_weight))

    def gradient_hessian(
        self,
        y_true: Array,
        raw_prediction: Array,
        sample_weight: Array | None = None,
        gradient_out: Array | None = None,
        hessian_out: Array | None = None,
        n_threads: int = 1,
    ) -> tuple[Array, Array]:
        gradient, hessian = self._lossd.derivatives(
            _row(raw_prediction), y_true, sample_weight, self._minimum_hessian
        )
        return _into(gradient_out, gradient), _into(hessian_out, hessian)

    def gradient(
        self,
        y_true: Array,
        raw_prediction: Array,
        sample_weight: Array | None = None,
        gradient_out: Array | None = None,
        n_threads: int = 1,
    ) -> Array:
        gradient, _ = self.gradient_hessian(y_true, raw_prediction, sample_weight)
        return _into(gradient_out, gradient)

    def loss_gradient(
        self,
        y_true: Array,
        raw_prediction: Array,
        sample_weight: Array | None = None,
        loss_out: Array | None = None,
        gradient_out: Array | None = None,
        n_threads: int = 1,
    ) -> tuple[Array, Array]:
        return (
            self.loss(y_true, raw_prediction, sample_weight, loss_out),
            self.gradient(y_true, raw_prediction, sample_weight, gradient_out),
        )


def _row(raw_prediction: Array) -> Array:
    """Returns predictions of shape (n, 1) as (n,), which scikit-learn's losses take too."""
    is_column = raw_prediction.ndim == 2 and raw_prediction.shape[1] == 1
    return raw_prediction[:, 0] if is_column else raw_prediction


def _into(out: Array | None, values: Array) -> Array:
    if out is None:
        return values
    out[...] = values.reshape(out.shape)
    return out
