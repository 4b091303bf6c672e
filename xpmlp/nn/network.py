"""Network: a chain of layers, which is a layer too."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

from numpy.random import Generator

from ..arrays import Array, namespace
from ..errors import ShapeError
from .activations import get_activation
from .embedding import Embedding
from .layers import Activation, Ctx, Dense, Dropout, Layer
from .layout import walk
from .normalization import NORMALIZATIONS


@dataclass(frozen=True)
class Network(Layer):
    """Layers one after the other: x (..., N, D) becomes outputs (..., N, C).

    Parameters map a layer's number, from 0, to the parameters of that layer.

    Parameters
    ----------
    layers : sequence of layers

    Raises
    ------
    TypeError
        When one has not the methods of a `Layer`, or cannot be hashed.

    Examples
    --------
    >>> import numpy as np
    >>> network = Network([Dense(3, "tanh"), Dense(1)])
    >>> params, n_out = network.init(2, np.random.default_rng(0))
    >>> outputs, caches = network.forward(params, np.ones((4, 2)), Ctx(np))
    >>> outputs.shape
    (4, 1)
    >>> _, grads = network.backward(params, np.ones((4, 1)), caches, Ctx(np))
    >>> grads[0]["W"].shape
    (2, 3)
    >>> print(network.summary(2))
    layer               output   parameters
    1 Dense 2 -> 3 tanh (n, 3)            9
    2 Dense 3 -> 1      (n, 1)            4
    total                                13
    """

    layers: tuple[Layer, ...]

    if TYPE_CHECKING:  # it takes any sequence, and keeps a tuple

        def __init__(self, layers: Sequence[Layer]) -> None: ...

    def __post_init__(self):
        object.__setattr__(self, "layers", tuple(self.layers))
        for layer in self.layers:
            if not all(hasattr(layer, name) for name in ("init", "forward", "backward")):
                raise TypeError(
                    f"a network is made of layers such as nn.Dense(30, 'relu'), got {layer!r}."
                )
            try:
                hash(layer)
            except TypeError as error:
                raise TypeError(
                    f"{layer!r} cannot be hashed: make it a frozen dataclass without arrays."
                ) from error

    @property
    def parts(self) -> Mapping:
        """Layers by number, from 0."""
        return dict(enumerate(self.layers))

    def init(self, n_in: int, stream: Generator, x: Array = None) -> tuple[dict, int]:
        """Draw the parameters of every layer, each from a random stream of its own."""
        params = {}
        for i, (layer, child) in enumerate(zip(self.layers, stream.spawn(len(self.layers)))):
            params[i], n_out = layer.init(n_in, child, x)
            if x is not None:
                x, _ = layer.forward(params[i], x, Ctx(namespace(x)))
            n_in = n_out
        return params, n_in

    def shapes(self, n_in: int) -> tuple[dict, int]:
        """Return the shapes of every layer's parameters, and the number of outputs."""
        shapes = {}
        for i, layer in enumerate(self.layers):
            shapes[i], n_in = shapes_of(layer, n_in)
        return shapes, n_in

    def forward(self, params: dict, x: Array, ctx: Ctx) -> tuple[Array, Any]:
        """Return the outputs (..., N, C) for x (..., N, D), and the caches of the layers."""
        caches = []
        for i, layer in enumerate(self.layers):
            x, cache = layer.forward(params.get(i, {}), x, ctx.part(i))
            caches.append(cache)
        return x, caches

    def backward(self, params: dict, dy: Array, caches: Any, ctx: Ctx) -> tuple[Array, dict]:
        """Return dx (None unless needed) and the updates of each layer for dy (..., N, C)."""
        # dx is read by the caller, or by a layer further down that has parameters.
        first = 0
        if not ctx.need_dx:
            first = min((i for i in params if params[i]), default=len(caches))
        updates: dict = {i: {} for i in range(first)}
        for i in range(len(self.layers) - 1, first - 1, -1):
            part = ctx.part(i, need_dx=ctx.need_dx or i > first)
            dy, updates[i] = self.layers[i].backward(params.get(i, {}), dy, caches[i], part)
        return dy if ctx.need_dx else None, updates

    def summary(self, n_features: int) -> str:
        """Return a table of layers, shapes and numbers of parameters, for n_features columns."""
        rows, total, n_in = [], 0, n_features
        for i, layer in enumerate(self.layers):
            shapes, n_out = shapes_of(layer, n_in)
            n = sum(math.prod(shape) for _, group, shape in walk(layer, shapes) if group.trained)
            rows.append((f"{i + 1} {describe(layer, n_in)}", f"(n, {n_out})", f"{n:,}"))
            total, n_in = total + n, n_out
        rows = [("layer", "output", "parameters"), *rows, ("total", "", f"{total:,}")]
        wide = [max(len(row[c]) for row in rows) for c in range(3)]
        return "\n".join(
            f"{a:<{wide[0]}} {b:<{wide[1] + 2}} {c:>{wide[2]}}".rstrip() for a, b, c in rows
        )


@dataclass(frozen=True)
class Residual(Layer):
    """A chain of layers around which its input passes: ``y = x + layers(x)``, all (..., N, D).

    Parameters
    ----------
    layers : sequence of layers
        The last has as many outputs as the first has inputs, else `init` raises a ShapeError.

    References
    ----------
    He et al. 2016, eq. 1, without an activation after the sum.

    Examples
    --------
    >>> import numpy as np
    >>> block = Residual([Dense(2, "relu", use_bias=False)])
    >>> params = {0: {"W": np.eye(2)}}
    >>> block.forward(params, np.asarray([[1.0, -1.0]]), Ctx(np))[0].tolist()
    [[2.0, -1.0]]
    """

    layers: tuple[Layer, ...]

    if TYPE_CHECKING:  # it takes any sequence, and keeps a tuple

        def __init__(self, layers: Sequence[Layer]) -> None: ...

    def __post_init__(self):
        object.__setattr__(self, "layers", Network(self.layers).layers)

    @cached_property
    def chain(self):
        """Network of the layers."""
        return Network(self.layers)

    @property
    def parts(self) -> Mapping:
        """Layers by number, from 0."""
        return self.chain.parts

    def init(self, n_in: int, stream: Generator, x: Array = None) -> tuple[dict, int]:
        """Draw the parameters of the layers."""
        params, n_out = self.chain.init(n_in, stream, x)
        return params, self._checked(n_in, n_out)

    def shapes(self, n_in: int) -> tuple[dict, int]:
        """Return the shapes of the layers' parameters, and the number of outputs."""
        shapes, n_out = self.chain.shapes(n_in)
        return shapes, self._checked(n_in, n_out)

    def _checked(self, n_in, n_out):
        if n_out != n_in:
            raise ShapeError(
                f"a Residual of {n_in} inputs has {n_out} outputs, which cannot be added to them: "
                f"its last layer needs {n_in} units."
            )
        return n_out

    def forward(self, params: dict, x: Array, ctx: Ctx) -> tuple[Array, Any]:
        """Return y, of the shape of x, and the caches of the layers."""
        y, caches = self.chain.forward(params, x, ctx)
        return x + y, caches

    def backward(self, params: dict, dy: Array, cache: Any, ctx: Ctx) -> tuple[Array, dict]:
        """Return dx (None unless needed) and the updates of the layers for dy (..., N, D)."""
        dx, updates = self.chain.backward(params, dy, cache, ctx)
        return dy + dx if ctx.need_dx else None, updates


LAYERS = {
    layer.__name__: layer
    for layer in (Dense, Activation, Dropout, Embedding, *NORMALIZATIONS.values(), Residual)
}


def shapes_of(layer, n_in):
    """Return ``layer.shapes(n_in)``; for a user's layer without that method, ask its `init`."""
    return getattr(layer, "shapes", lambda n_in: Layer.shapes(layer, n_in))(n_in)


def describe(layer, n_in):
    """Describe a layer of n_in inputs in a few words, as "Dense 2 -> 3 tanh"."""
    if type(layer) in NORMALIZATIONS.values():
        return type(layer).__name__
    if not isinstance(layer, Dense):
        if parts := getattr(layer, "parts", {}):
            return f"{type(layer).__name__} of {len(parts)} layers"
        return str(layer)
    words = ["Dense", n_in, "->", layer.n_out]
    if get_activation(layer.activation).name != "identity":
        words.append(get_activation(layer.activation).name)
    if not layer.use_bias:
        words.append("without bias")
    return " ".join(map(str, words))
