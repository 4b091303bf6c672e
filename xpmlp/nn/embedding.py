"""Embedding: trained vectors in place of categories."""

from dataclasses import dataclass
from itertools import accumulate
from numbers import Integral
from typing import Any, ClassVar

from numpy.random import Generator

from ..arrays import Array
from ..errors import ShapeError
from .layers import WEIGHTS, Ctx, Group, Layer


@dataclass(frozen=True)
class Embedding(Layer):
    """Replace the last columns, which hold the codes of categories, by a trained vector each.

    The columns before them pass through. Codes count from 0; any other value (-1, or one too large)
    becomes a vector of zeros. The Array API cannot add at given indices, so both directions are
    products with columns of 0 and 1.

    x (..., N, D) with k columns of codes becomes y (..., N, D - k + k n_dim).

    Parameters
    ----------
    sizes : tuple of int
        Number of categories of each column of codes.
    n_dim : int, default=8
        Length of the vectors.

    Raises
    ------
    ValueError
        When a number is less than 1.

    References
    ----------
    Guo & Berkhahn 2016. Vectors start from N(0, 1), those of code 0, which stands for missing or
    unknown values, from 0.

    Examples
    --------
    >>> import numpy as np
    >>> from xpmlp.nn import Ctx
    >>> params = {"E": np.asarray([[0.0, 0.0], [1.0, 2.0], [3.0, 4.0]])}
    >>> Embedding((3,), 2).forward(params, np.asarray([[0.5, 2.0]]), Ctx(np))[0].tolist()
    [[0.5, 3.0, 4.0]]
    """

    sizes: tuple[int, ...]
    n_dim: int = 8
    groups: ClassVar[dict[str, Group]] = {"E": WEIGHTS}

    def __post_init__(self):
        object.__setattr__(self, "sizes", tuple(self.sizes))
        numbers = (*self.sizes, self.n_dim)
        if not self.sizes or not all(isinstance(n, Integral) and n > 0 for n in numbers):
            raise ValueError(
                f"Embedding needs numbers of categories and a length of vectors, all 1 or more, "
                f"got {self.sizes} and {self.n_dim!r}."
            )

    def init(self, n_in: int, stream: Generator, x: Array = None) -> tuple[dict, int]:
        """Draw E (sum of sizes, n_dim), which has a row for each category."""
        shapes, n_out = self.shapes(n_in)
        E = stream.normal(size=shapes["E"])
        E[[start for start, _ in self._rows()]] = 0.0
        return {"E": E}, n_out

    def shapes(self, n_in: int) -> tuple[dict, int]:
        """Return the shape of E, and the number of outputs."""
        k = len(self.sizes)
        if n_in < k:
            raise ShapeError(f"an Embedding of {k} columns of codes got {n_in} columns.")
        return {"E": (sum(self.sizes), self.n_dim)}, n_in - k + k * self.n_dim

    def _rows(self):
        """Return the first row of E and the one past the last, for each column."""
        stops = [*accumulate(self.sizes)]
        return list(zip([0, *stops], stops))

    def forward(self, params: dict, x: Array, ctx: Ctx) -> tuple[Array, Any]:
        """Return y (..., N, D - k + k n_dim) for x (..., N, D) with k columns of codes."""
        xp, E, n = ctx.xp, params["E"], x.shape[-1] - len(self.sizes)
        each = (
            ctx.kernels.embedding_forward(x[..., n + k], E[..., i:j, :], xp=xp)
            for k, (i, j) in enumerate(self._rows())
        )
        vectors, hots = zip(*each)
        return xp.concat([x[..., :n], *vectors], axis=-1), hots

    def backward(self, params: dict, dy: Array, cache: Any, ctx: Ctx) -> tuple[Array, dict]:
        """Return dx (0 for the codes) and dE for dy (..., N, D - k + k n_dim)."""
        xp, k = ctx.xp, len(self.sizes)
        n = dy.shape[-1] - k * self.n_dim
        parts = [dy[..., n + i * self.n_dim : n + (i + 1) * self.n_dim] for i in range(k)]
        dE = xp.concat([hot.mT @ part for hot, part in zip(cache, parts)], axis=-2)
        if not ctx.need_dx:
            return None, {"E": dE}
        return xp.concat([dy[..., :n], xp.zeros_like(dy[..., :k])], axis=-1), {"E": dE}
