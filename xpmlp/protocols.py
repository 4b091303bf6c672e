"""Types of what users pass, as protocols: arrays of any library, tables, columns, fitted models."""

from collections.abc import Mapping
from os import PathLike
from typing import TYPE_CHECKING, Any, Protocol, TypeAlias

if TYPE_CHECKING:
    from matplotlib.figure import Figure
else:
    Figure = Any  # without importing matplotlib

__all__ = [
    "AnyArray", "Column", "Figure", "HasHistory", "History", "Path", "RateTest", "Rows", "SaveAs",
    "Sparse", "Table", "Values",
]  # fmt: skip


class AnyArray(Protocol):
    """Array of NumPy, CuPy, PyTorch, JAX, or another library that exchanges arrays by DLPack."""

    @property
    def shape(self) -> Any:
        """Number of elements along each axis."""

    @property
    def dtype(self) -> Any:
        """Type of the elements, as its library names it."""

    @property
    def ndim(self) -> int:
        """Number of axes."""

    def __getitem__(self, key: Any, /) -> Any: ...

    def __dlpack__(self) -> Any: ...


class Column(Protocol):
    """Series of pandas or polars, and what else NumPy makes an array of."""

    def __array__(self) -> Any: ...


class Table(Protocol):
    """Data frame of pandas, polars, pyarrow or narwhals, in memory or lazy."""

    @property
    def columns(self) -> Any:
        """Columns, or their names."""


class Sparse(Protocol):
    """Sparse matrix or array of SciPy."""

    def tocsr(self) -> Any:
        """Return it by compressed rows."""


class HasHistory(Protocol):
    """Fitted estimator, of which the history is drawn."""

    @property
    def history_(self) -> Mapping[str, list[float]]:
        """Lists by name, an entry for each epoch."""


class RateTest(Protocol):
    """Losses over a range of learning rates."""

    @property
    def rates(self) -> Any:
        """Learning rate of each step."""

    @property
    def losses(self) -> Any:
        """Loss of each step."""

    @property
    def smoothed(self) -> Any:
        """Moving average of the losses."""

    @property
    def suggestion(self) -> float:
        """Learning rate to take."""


Values: TypeAlias = AnyArray | Column | list[Any] | tuple[Any, ...] | range
Rows: TypeAlias = Values | Table | Sparse
History: TypeAlias = Mapping[str, Any] | HasHistory | Table
Path: TypeAlias = str | PathLike[str]
SaveAs: TypeAlias = Path | None
