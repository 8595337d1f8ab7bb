"""The error of a call that PyTorch code makes."""

from __future__ import annotations

from lossd.errors import LossdError


class ServerError(LossdError, RuntimeError):
    """A LossdError that is a RuntimeError as well, as the errors of PyTorch's operators are."""


def of(error: LossdError) -> ServerError:
    """Returns the same error as one of PyTorch's."""
    return ServerError(error.code, error.message, error.retry_after)
