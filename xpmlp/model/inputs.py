"""Inputs: how rows of X become what a network takes: encoded, moved, scaled, in its dtype."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from ..arrays import (
    HOST,
    Array,
    Location,
    all_finite,
    array_at,
    as_float,
    detached,
    float_dtype,
    is_array,
    is_numpy,
    location_of,
)
from ..placing import check_transfer, moved
from ..tables.frame import check_names
from ..training import SparseRows
from .encoding import Encoder
from .scaling import Scaling

PART = 2**19  # elements of X that are converted at once: 2 MB of float32
CARD_AND_HOST = {"cupy", "numpy"}


@dataclass(frozen=True, eq=False)
class Inputs:
    """How rows of X become the network's inputs.

    Parameters
    ----------
    n_features : int
        Columns of X.
    dtype : str
        Of the network's inputs and parameters.
    location : Location
        Library and device of the model.
    requested : str, default="auto"
        Name of the device that was asked for, to which rows are brought; "auto" where an array
        chose it, so that rows have to come from there.
    encoder : Encoder, optional
        Of a table.
    scaling : Scaling
        Of columns.
    columns : tuple of str
        Names of the columns of X, where it had names and has no encoder, which knows them.
    """

    n_features: int
    dtype: str
    location: Location
    requested: str = "auto"
    encoder: Encoder | None = None
    scaling: Scaling = Scaling()
    columns: tuple[str, ...] = ()

    def __post_init__(self):
        check_names(self.columns)

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the columns of X, empty where it has none."""
        if self.encoder is not None and self.encoder.named:
            return tuple(c.name for c in self.encoder.columns)
        return self.columns

    @property
    def width(self) -> int:
        """Number of columns that the network takes."""
        return self.n_features if self.encoder is None else self.encoder.width

    @property
    def like(self) -> Array:
        """An empty array in the model's library and on its device."""
        return array_at(self.location)

    @property
    def standardises(self) -> bool:
        """Whether columns are standardised."""
        return self.scaling.mean is not None

    def brought(self, x, caller: str, X):
        """Return rows x of a user's X on the model's device, or raise an error that says why not.

        caller: "Class.method", to name in an error.
        """
        x, here, at = detached(x), location_of(x), self.location
        if here == at:
            return x
        pair = {here.library, at.library}
        chosen = self.encoder is not None or self.requested != "auto"
        if not (chosen and (is_numpy(x) or len(pair) == 1 or pair == CARD_AND_HOST)):
            where = ("numpy.empty(0)", "X")[is_array(X)]
            raise ValueError(
                f"Inputs passed to {caller}() must use the same namespace and the same device as "
                f"those passed to fit(). The model is in {at.library} on {at.device}, X in "
                f"{here.library} on {here.device}: pass X from there, or move the model to X by "
                f".to({where}). Host arrays are brought to a model whose device has been named, by "
                "device='cuda' or .to('cuda')."
            )
        name = caller.partition(".")[0]
        check_transfer(x, at, "X", f"pass X from there, or move the model: {name}.to(X)")
        dtype = None if self.standardises else self.dtype  # None: in X's own floats, see `computed`
        return moved(x, self.like, dtype)

    def is_plain(self, a) -> bool:
        """Tell whether compiled code can read an array as it is: NumPy, contiguous, right dtype."""
        is_own = type(a) is np.ndarray and a.dtype == self.dtype
        return is_own and a.flags.c_contiguous and a.flags.aligned

    def quick(self, X):
        """Return a user's rows as the network takes them, None where they need more checks.

        They may not be finite.
        """
        plain = self.location == HOST and self.encoder is None and not self.columns
        if not plain or type(X) is not np.ndarray or X.shape[1:] != (self.n_features,):
            return None
        if X.size and self.is_plain(X) and not self.standardises:
            return X
        if 0 < X.size <= PART and X.dtype.char in "fd":
            return self._converted(X)
        return None

    def parts(self, x) -> Iterator[Array]:
        """Cut host rows x that have to be converted into blocks, which saves a copy of them all."""
        if not is_numpy(x) or (self.is_plain(x) and not self.standardises):
            yield x
            return
        rows = max(1, PART // x.shape[1])
        for start in range(0, x.shape[0], rows):
            yield np.ascontiguousarray(x[start : start + rows])

    def computed(self, x):
        """Return rows x (an array or SparseRows) standardised and in the compute dtype.

        Raises
        ------
        ValueError
            When a number is not finite.
        """
        if isinstance(x, SparseRows):
            numbers = x.csr.data
        else:
            numbers = x = self._converted(x)
        if not all_finite(numbers):
            raise ValueError(
                f"Input X contains NaN, infinity or a value too large for dtype('{self.dtype}')."
            )
        return x

    def _converted(self, x):
        """Return an array standardised, in the compute dtype."""
        if self.standardises:
            # In X's own floats: float32 would lose a column of 1.7e9 + t.
            x = self.scaling.apply(as_float(x, float_dtype(x)))
        with np.errstate(over="ignore"):
            return as_float(x, self.dtype)
