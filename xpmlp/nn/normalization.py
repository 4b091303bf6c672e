"""Normalization: batch, layer and root mean square, each a layer with a gain g and an offset b.

x, y: (..., N, D); h: x normalised; s: what it was multiplied by; g, b: (..., 1, D).
"""

from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
from numpy.random import Generator

from ..arrays import Array
from .layers import BUFFERS, Ctx, Group, Layer

STATISTICS = "mean", "var"


def _gradients(dy, h, xp):
    """Return dg and db."""
    return xp.sum(dy * h, axis=-2, keepdims=True), xp.sum(dy, axis=-2, keepdims=True)


class Normalization(Layer):
    """Parameters that the three normalizations share: for each name a row (1, D)."""

    names: ClassVar[tuple[str, ...]]
    epsilon: float

    def __post_init__(self):
        if not self.epsilon >= 0:
            raise ValueError(f"{type(self).__name__} needs epsilon >= 0, got {self.epsilon!r}.")

    def init(self, n_in: int, stream: Generator, x: Array = None) -> tuple[dict, int]:
        """Return gains and variances of 1, offsets and means of 0; as many outputs as inputs."""
        return {k: np.full((1, n_in), 1.0 * (k in ("g", "var"))) for k in self.names}, n_in

    def shapes(self, n_in: int) -> tuple[dict, int]:
        """Return the shapes of the parameters, and the number of outputs."""
        return dict.fromkeys(self.names, (1, n_in)), n_in


@dataclass(frozen=True)
class BatchNorm(Normalization):
    """Normalise each column over the rows of the batch; in predictions by running statistics.

    ``y = g h + b`` with ``h = (x - mean) / sqrt(var + epsilon)``, all (..., N, D). Rows count by
    their weights: one of weight 0, such as padding, changes nothing, and one of weight 2 is two
    rows. The variance is divided by the sum of the weights. A running statistic moves to that of
    the batch by `momentum`, times the share of its rows that are not padding.

    Parameters
    ----------
    momentum : float, default=0.1
        Share of a batch in the running statistics.
    epsilon : float, default=1e-5
        Added to the variance.

    Raises
    ------
    ValueError
        For a momentum that is not above 0 and at most 1, or an epsilon below 0.

    References
    ----------
    Ioffe & Szegedy 2015, algorithm 1. PyTorch's running variance is divided by n - 1, Keras' by n,
    as here.

    Examples
    --------
    >>> import numpy as np
    >>> from xpmlp.nn import Ctx
    >>> layer = BatchNorm(epsilon=0.0)
    >>> params, _ = layer.init(1, np.random.default_rng(0))
    >>> layer.forward(params, np.asarray([[1.0], [3.0]]), Ctx(np, training=True))[0].tolist()
    [[-1.0], [1.0]]
    """

    momentum: float = 0.1
    epsilon: float = 1e-5
    names = "g", "b", *STATISTICS
    groups: ClassVar[dict[str, Group]] = dict.fromkeys(STATISTICS, BUFFERS)

    def __post_init__(self):
        super().__post_init__()
        if not 0 < self.momentum <= 1:
            raise ValueError(f"BatchNorm needs 0 < momentum <= 1, got {self.momentum!r}.")

    def forward(self, params: dict, x: Array, ctx: Ctx) -> tuple[Array, Any]:
        """Return y, of the shape of x."""
        xp, w = ctx.xp, None
        seen: list = []
        mean, var = (params[name] for name in STATISTICS)
        if ctx.training:
            w = ctx.weights
            if w is None:
                w = xp.ones_like(x[..., 0]) * (1.0 / x.shape[-2])
            w = w[..., None]
            mean = xp.sum(w * x, axis=-2, keepdims=True)
            c = x - mean
            var = xp.sum(w * c * c, axis=-2, keepdims=True)
            # A batch that weighs nothing leaves the statistics alone, and a short one, which is
            # padded, counts by its rows: the last of an epoch may be a single row.
            share = self.momentum * xp.sum(w, axis=-2, keepdims=True)
            if ctx.n_rows is not None:
                share = share * (ctx.n_rows[..., None, None] / x.shape[-2])
            old = [params[name] for name in STATISTICS]
            seen = [a + share * (now - a) for a, now in zip(old, (mean, var))]
        else:
            c = x - mean
        s = 1.0 / xp.sqrt(var + self.epsilon)
        h = c * s
        return params["g"] * h + params["b"], (h, s, w, *seen)

    def backward(self, params: dict, dy: Array, cache: Any, ctx: Ctx) -> tuple[Array, dict]:
        """Return dx, of the shape of dy; dg, db and the next running statistics."""
        h, s, w, *seen = cache
        dg, db = _gradients(dy, h, ctx.xp)
        dx = dy
        if w is not None:
            dx = dy - w * db - w * h * dg
        seen = seen or [ctx.xp.asarray(params[name], copy=True) for name in STATISTICS]
        return params["g"] * s * dx, {"g": dg, "b": db, **dict(zip(STATISTICS, seen))}


@dataclass(frozen=True)
class LayerNorm(Normalization):
    """Normalise each row over its columns, alike in training and in predictions.

    ``y = g h + b`` with ``h = (x - mean) / sqrt(var + epsilon)``, all (..., N, D).

    Parameters
    ----------
    epsilon : float, default=1e-5
        Added to the variance, 0 or more.

    References
    ----------
    Ba, Kiros & Hinton 2016, eq. 3 and 4; epsilon is added to the variance, as in PyTorch.

    Examples
    --------
    >>> import numpy as np
    >>> from xpmlp.nn import Ctx
    >>> layer = LayerNorm(epsilon=0.0)
    >>> params, _ = layer.init(2, np.random.default_rng(0))
    >>> layer.forward(params, np.asarray([[1.0, 3.0]]), Ctx(np))[0].tolist()
    [[-1.0, 1.0]]
    """

    epsilon: float = 1e-5
    names = "g", "b"

    def forward(self, params: dict, x: Array, ctx: Ctx) -> tuple[Array, Any]:
        """Return y, of the shape of x."""
        xp = ctx.xp
        c = x - xp.mean(x, axis=-1, keepdims=True)
        s = 1.0 / xp.sqrt(xp.mean(c * c, axis=-1, keepdims=True) + self.epsilon)
        h = c * s
        return params["g"] * h + params["b"], (h, s)

    def backward(self, params: dict, dy: Array, cache: Any, ctx: Ctx) -> tuple[Array, dict]:
        """Return dx, of the shape of dy, and dg, db."""
        xp, (h, s) = ctx.xp, cache
        dg, db = _gradients(dy, h, xp)
        dh = params["g"] * dy
        mean, slope = (xp.mean(a, axis=-1, keepdims=True) for a in (dh, dh * h))
        return s * (dh - mean - h * slope), {"g": dg, "b": db}


@dataclass(frozen=True)
class RMSNorm(Normalization):
    """Divide each row by the root of its mean square: a `LayerNorm` that centres nothing.

    ``y = g x / sqrt(mean(x^2) + epsilon)``, all (..., N, D).

    Parameters
    ----------
    epsilon : float, default=1e-5
        Added to the mean square, 0 or more.

    References
    ----------
    Zhang & Sennrich 2019, eq. 4; epsilon stands under the root, as in PyTorch.

    Examples
    --------
    >>> import numpy as np
    >>> from xpmlp.nn import Ctx
    >>> layer = RMSNorm(epsilon=0.0)
    >>> params, _ = layer.init(2, np.random.default_rng(0))
    >>> layer.forward(params, np.asarray([[2.0, 2.0]]), Ctx(np))[0].tolist()
    [[1.0, 1.0]]
    """

    epsilon: float = 1e-5
    names = ("g",)

    def forward(self, params: dict, x: Array, ctx: Ctx) -> tuple[Array, Any]:
        """Return y, of the shape of x."""
        xp = ctx.xp
        s = 1.0 / xp.sqrt(xp.mean(x * x, axis=-1, keepdims=True) + self.epsilon)
        h = x * s
        return params["g"] * h, (h, s)

    def backward(self, params: dict, dy: Array, cache: Any, ctx: Ctx) -> tuple[Array, dict]:
        """Return dx, of the shape of dy, and dg."""
        xp, (h, s) = ctx.xp, cache
        dh = params["g"] * dy
        slope = xp.mean(dh * h, axis=-1, keepdims=True)
        return s * (dh - h * slope), {"g": xp.sum(dy * h, axis=-2, keepdims=True)}


NORMALIZATIONS = {"batch": BatchNorm, "layer": LayerNorm, "rms": RMSNorm}
