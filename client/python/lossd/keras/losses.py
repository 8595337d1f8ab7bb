"""The losses as classes of Keras."""

from __future__ import annotations

from typing import Any

import keras

from lossd.client import Client
from lossd.keras import backends

Tensor = Any  # of Keras's backend


@keras.saving.register_keras_serializable(package="lossd")
class SigmoidLoss(keras.losses.Loss):
    """A loss of logits by a lossd server: its mean over `axis`, reduced as Keras does.

    Sample weights, class weights and masks are Keras's own. A NaN logit has the loss NaN unless
    `nan_policy` says otherwise.

    - `client`: a target HOST:PORT, or a lossd.Client. A saved model has the target alone,
      and is loaded after an import of lossd.keras
    - `label_smoothing`, `axis`, `reduction`, `name` and `dtype`: those of
      keras.losses.BinaryCrossentropy
    - `options`: those of lossd.Client.compute_loss() that say which loss it is, such as
      `kind` and `ignore_target`, and `timeout`, the seconds that a call may take, by default 60.
      Keras counts ignored elements in its means

    Raises ValueError or TypeError, which name a bad option, and NotImplementedError for another
    backend of Keras.
    """

    def __init__(
        self,
        *,
        client: Client | str,
        label_smoothing: float = 0.0,
        axis: int = -1,
        reduction: str | None = "sum_over_batch_size",
        name: str | None = "sigmoid_loss",
        dtype: Any = None,
        **options: Any,
    ) -> None:
        super().__init__(name=name, reduction=reduction, dtype=dtype)
        if not isinstance(client, Client | str):
            raise TypeError(f"client: {client!r} is neither a lossd.Client nor a target")
        self.label_smoothing = label_smoothing
        self.axis = axis
        self._target = client if isinstance(client, str) else client._target
        self._options = options
        self._elements = backends.elements(client, {"label_smoothing": label_smoothing, **options})

    def call(self, y_true: Tensor, y_pred: Tensor) -> Tensor:
        """Returns the mean over `axis` of the losses of logits, `y_pred`, of any shape.

        The targets, `y_true`, have that shape too; they may lack a last dimension of 1, or have
        it where the logits do not.
        """
        if len(y_true.shape) == len(y_pred.shape) - 1 and y_pred.shape[-1] == 1:
            y_true = keras.ops.expand_dims(y_true, -1)
        elif len(y_true.shape) == len(y_pred.shape) + 1 and y_true.shape[-1] == 1:
            y_true = keras.ops.squeeze(y_true, -1)
        return keras.ops.mean(self._elements(y_pred, y_true), axis=self.axis)

    def get_config(self) -> dict[str, Any]:
        """Returns the arguments of an equal loss, from which Keras loads a saved model."""
        return {
            **super().get_config(),
            "client": self._target,
            "label_smoothing": self.label_smoothing,
            "axis": self.axis,
            "dtype": self.dtype,
            **self._options,
        }


def _check_logits(from_logits: bool) -> None:
    if not from_logits:
        raise ValueError(
            "from_logits: lossd computes losses of logits; leave out the model's last sigmoid and "
            "give from_logits=True"
        )


@keras.saving.register_keras_serializable(package="lossd")
class BinaryCrossentropy(SigmoidLoss):
    """keras.losses.BinaryCrossentropy(from_logits=True), computed by a lossd server.

    SigmoidLoss has the arguments that are not Keras's.
    """

    def __init__(
        self,
        from_logits: bool = False,
        label_smoothing: float = 0.0,
        axis: int = -1,
        reduction: str | None = "sum_over_batch_size",
        name: str | None = "binary_crossentropy",
        dtype: Any = None,
        *,
        client: Client | str,
        **options: Any,
    ) -> None:
        _check_logits(from_logits)
        super().__init__(
            client=client,
            label_smoothing=label_smoothing,
            axis=axis,
            reduction=reduction,
            name=name,
            dtype=dtype,
            **options,
        )

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "from_logits": True}


@keras.saving.register_keras_serializable(package="lossd")
class BinaryFocalCrossentropy(SigmoidLoss):
    """keras.losses.BinaryFocalCrossentropy(from_logits=True), computed by a lossd server.

    As in Keras, `alpha` has an effect only with `apply_class_balancing`. SigmoidLoss has the
    arguments that are not Keras's.
    """

    def __init__(
        self,
        apply_class_balancing: bool = False,
        alpha: float = 0.25,
        gamma: float = 2.0,
        from_logits: bool = False,
        label_smoothing: float = 0.0,
        axis: int = -1,
        reduction: str | None = "sum_over_batch_size",
        name: str | None = "binary_focal_crossentropy",
        dtype: Any = None,
        *,
        client: Client | str,
        **options: Any,
    ) -> None:
        _check_logits(from_logits)
        self._focal = {
            "apply_class_balancing": apply_class_balancing,
            "alpha": alpha,
            "gamma": gamma,
        }
        balance = {"focal_alpha": alpha} if apply_class_balancing else {}
        super().__init__(
            client=client,
            label_smoothing=label_smoothing,
            axis=axis,
            reduction=reduction,
            name=name,
            dtype=dtype,
            kind="sigmoid_focal",
            focal_gamma=gamma,
            **balance,
            **options,
        )

    def get_config(self) -> dict[str, Any]:
        config = super().get_config()
        for name in ("kind", "focal_gamma", "focal_alpha"):
            config.pop(name, None)
        return {**config, **self._focal, "from_logits": True}
