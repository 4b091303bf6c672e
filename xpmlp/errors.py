"""Exceptions of the package: each is what a caller may want to catch by itself.

Every message is one sentence: what, got, expected, remedy.
"""


class ShapeError(ValueError):
    """Arrays whose shapes do not fit together."""


class DivergenceError(ValueError):
    """Training left the finite numbers, or its loss or a weight grew out of all proportion.

    Attributes
    ----------
    n_finite : int
        Epochs of the call that ended well. The estimator holds the weights after the last of them;
        if there was none it is as it was before the call.
    """

    n_finite = 0


class DataError(ValueError):
    """A data file or table that cannot be read as it stands."""


class DataMemoryError(DataError, MemoryError):
    """A data file that takes more memory than it is allowed to, by ``max_memory`` or by default."""


class ModelFileError(ValueError):
    """A model file that is missing, damaged, hostile, or from a newer format."""


class CheckpointError(ValueError):
    """A checkpoint that is damaged, of another training, or written to by another fit."""


class PreemptedError(RuntimeError):
    """A training that a signal ended before its first epoch had."""


class DeviceError(RuntimeError):
    """A device or array library that was asked for and does not work here."""


class DeviceMemoryError(DeviceError, MemoryError):
    """A device whose memory is too small, even for one row at a time."""

    late = False  # whether an epoch had ended by then


class TransferError(RuntimeError):
    """A copy of rows between the host and a device, where `forbid_transfers` forbids it."""
