"""Layers: frozen records of hyperparameters with pure methods, forward and backward side by side.

N rows, D inputs, H outputs. Rows are samples and every axis is counted from the end, so a leading
member axis K (K models trained at once) passes through: x (N, D) or (K, N, D), W (K, D, H),
b (K, 1, H). Every parameter has at least two axes.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from numbers import Integral
from typing import Any, ClassVar, NamedTuple

from numpy.random import Generator

from ..arrays import Array
from ..errors import ShapeError
from ..randomness import fold_in, random_bits, stream
from .activations import ActivationFunction, get_activation
from .initializers import Initializer, get_initializer
from .loss import one_hot


@dataclass(frozen=True)
class Group:
    """What the update does with a parameter: train it or not, decay it or not, at which rate.

    Parameters
    ----------
    name : str
    decay : bool, default=False
        Whether L2 penalty and weight decay count it.
    rate : float, default=1.0
        Its learning rate, as a multiple of that of the training.
    trained : bool, default=True
        Whether the update rule changes it; a running statistic is set by its layer.
    """

    name: str
    decay: bool = False
    rate: float = 1.0
    trained: bool = True


WEIGHTS = Group("weights", decay=True)
OFFSETS = Group("offsets")
BUFFERS = Group("buffers", trained=False)  # running statistics: set by the layer, not by the rule

MOST = 1 << 48  # weights of a layer, 2 PB in float64; NumPy refuses far more in words of its own


def dense_forward(x, W, b, activation, *, xp):
    """Affine map and activation: ``activation(x @ W + b)``.

    x: (..., N, D); W: (..., D, H); b: (..., 1, H) or None.  Returns a (..., N, H) and the cache.
    """
    z = x @ W
    if b is not None:
        z += b  # z was made on the line above
    a = activation.forward(z, xp)
    return a, (x, z, a)


def dense_backward(da, cache, W, activation, *, need_dx, need_db, xp):
    """Gradients of `dense_forward`.

    da: (..., N, H).  Returns dx (None unless needed), dW and db (None unless needed), shaped like
    x, W and b.
    """
    x, z, a = cache
    dz = activation.backward(da, z, a, xp)
    dx = dz @ W.mT if need_dx else None
    db = xp.sum(dz, axis=-2, keepdims=True) if need_db else None
    return dx, x.mT @ dz, db


def embedding_forward(codes, E, *, xp):
    """Vectors for codes, zeros for what is no code, by a product with 0/1 columns.

    codes: (..., N), whole numbers as floats; E: (..., S, H).  Returns them (..., N, H), and the
    columns (..., N, S).
    """
    hot = one_hot(xp.round(codes[..., None]), E.shape[-2], codes)
    return hot @ E, hot


class Kernels(NamedTuple):
    """Functions that an engine may replace; a replacement has the signature of what it replaces.

    Parameters
    ----------
    dense_forward, dense_backward, random_bits, embedding_forward : callable
        By default those of the Array API, which run on every library.
    """

    dense_forward: Any = dense_forward
    dense_backward: Any = dense_backward
    random_bits: Any = random_bits
    embedding_forward: Any = embedding_forward


class Ctx(NamedTuple):
    """What a layer may use beside its arguments: the array namespace, and facts of the batch.

    Parameters
    ----------
    xp : namespace
        The array library, as of the Array API.
    training : bool
        Whether a training step runs, not a prediction: dropout and batch statistics ask it.
    kernels : Kernels
    weights : array (..., N) or None
        Weights of the batch's rows: they sum to one, and are 0 in rows of padding.
    n_rows : array (...,) or None
        Number of rows that are not padding.
    key : int32 array (..., 1, 2) or None
        Key of this step's random bits.
    need_dx : bool
        Whether the gradient of the input is read; that of a first layer is not.
    place : tuple of int
        Number of the layer in the network, from 0; of a layer in a layer, the number of each.
    """

    xp: Any
    training: bool = False
    kernels: Kernels = Kernels()
    weights: Array = None
    n_rows: Array = None
    key: Array = None
    need_dx: bool = True
    place: tuple = ()

    def part(self, i: Any, need_dx: bool = True) -> "Ctx":
        """Return the context of a layer's i-th part; need_dx: whether its dx is read."""
        return self._replace(place=(*self.place, i), need_dx=need_dx)


class Layer:
    """Base class of layers. A subclass is a frozen dataclass without arrays in it.

    It has the four methods below; `shapes` may be left out. The class attribute `groups` maps the
    names of parameters to their `Group`: "W" is a weight; a name that is not in it is an offset,
    which does not decay. A layer made of layers has them in `parts`.

    Examples
    --------
    A layer of your own, the scaling of each input by a trained factor:

    >>> from dataclasses import dataclass
    >>> import numpy as np
    >>> @dataclass(frozen=True)
    ... class Scale(Layer):
    ...     def init(self, n_in, stream, x=None):
    ...         return {"s": np.ones((1, n_in))}, n_in
    ...
    ...     def forward(self, params, x, ctx):
    ...         return x * params["s"], (x,)
    ...
    ...     def backward(self, params, dy, cache, ctx):
    ...         (x,) = cache
    ...         return dy * params["s"], {"s": ctx.xp.sum(dy * x, axis=-2, keepdims=True)}
    >>> Scale().forward({"s": np.full((1, 2), 3.0)}, np.ones((1, 2)), Ctx(np))[0]
    array([[3., 3.]])
    """

    groups: ClassVar[dict[str, Group]] = {"W": WEIGHTS}  # a name not in it is an offset

    @property
    def parts(self) -> Mapping:
        """Layers by name, of a layer that is made of layers; else empty."""
        return {}

    def init(self, n_in: int, stream: Generator, x: Array = None) -> tuple[dict, int]:
        """Return the initial parameters, host arrays of two axes by name, and the number of units.

        n_in: number of inputs; stream: a NumPy Generator; x (N, n_in): the layer's input on sample
        rows, for starts that depend on the data. A layer made of `parts` returns a dict of dicts.
        """
        raise NotImplementedError(f"{type(self).__name__} has no method init(n_in, stream, x=None)")

    def shapes(self, n_in: int) -> tuple[dict, int]:
        """Return the shapes of the parameters and the number of outputs, for n_in inputs."""
        params, n_out = self.init(n_in, stream(0, "init"))
        return _shapes(params), n_out

    def forward(self, params: dict, x: Array, ctx: Ctx) -> tuple[Array, Any]:
        """Return y (..., N, H) for a batch x (..., N, D), and a tuple of arrays for `backward`.

        params: as of `init`, on the library and device of x; ctx: a `Ctx`.
        """
        raise NotImplementedError(f"{type(self).__name__} has no method forward(params, x, ctx)")

    def backward(self, params: dict, dy: Array, cache: Any, ctx: Ctx) -> tuple[Array, dict]:
        """Return dx (..., N, D) and the updates for dy (..., N, H), the gradient of the output.

        cache: the tuple of `forward`. The updates have the keys of params: a parameter's gradient,
        a fresh array; a running statistic's next value. dx is None where ``ctx.need_dx`` is False.
        """
        raise NotImplementedError(
            f"{type(self).__name__} has no method backward(params, dy, cache, ctx)"
        )


def _shapes(params):
    if not isinstance(params, dict):
        return tuple(params.shape)
    return {name: _shapes(p) for name, p in params.items()}


@dataclass(frozen=True)
class Dense(Layer):
    """Fully connected layer: ``activation(x @ W + b)``.

    x (..., N, D), W (..., D, H), b (..., 1, H) give y (..., N, H). With ``z = x W + b`` and f the
    activation: ``dz = dy * f'(z)``, ``dW = x^T dz``, ``dx = dz W^T``, db the sum of dz over rows.

    Parameters
    ----------
    n_out : int
        Number H of units.
    activation : str or ActivationFunction, default="identity"
    use_bias : bool, default=True
    initializer : str or initializer, default="auto"
        "auto" is the initializer that belongs to the activation.

    Raises
    ------
    ValueError
        For a number of units below 1, or a name that is not known.

    Examples
    --------
    >>> import numpy as np
    >>> params = {"W": np.asarray([[1.0], [2.0]]), "b": np.asarray([[0.5]])}
    >>> Dense(1, "relu").forward(params, np.asarray([[1.0, 1.0], [-3.0, 1.0]]), Ctx(np))[0]
    array([[3.5],
           [0. ]])
    """

    n_out: int
    activation: str | ActivationFunction = "identity"
    use_bias: bool = True
    initializer: str | Initializer = field(default="auto", compare=False)

    def __post_init__(self):
        if isinstance(self.n_out, bool) or not isinstance(self.n_out, Integral) or self.n_out < 1:
            raise ValueError(f"Dense needs a number of units of 1 or more, got {self.n_out!r}.")
        get_activation(self.activation)
        if self.initializer != "auto":
            get_initializer(self.initializer)

    def init(self, n_in: int, stream: Generator, x: Array = None) -> tuple[dict, int]:
        """Draw W (n_in, n_out) and b (1, n_out)."""
        if n_in * self.n_out > MOST:
            raise ValueError(
                f"a layer of {n_in} inputs has more than {MOST:.1e} weights, which fit no memory: "
                "take fewer units."
            )
        rule = self.initializer
        if rule == "auto":
            rule = get_activation(self.activation).init
        W, b = get_initializer(rule).draw(n_in, self.n_out, stream)
        return self._named(W, b), self.n_out

    def _named(self, W, b):
        """Return what belongs to W and to b, if there is a b, by their names."""
        return {"W": W, "b": b} if self.use_bias else {"W": W}

    def shapes(self, n_in: int) -> tuple[dict, int]:
        """Return the shapes of W and b, and the number of units."""
        return self._named((n_in, self.n_out), (1, self.n_out)), self.n_out

    def forward(self, params: dict, x: Array, ctx: Ctx) -> tuple[Array, Any]:
        """Return a (..., N, H) for x (..., N, D)."""
        W = params["W"]
        if x.ndim < 2 or x.shape[-1] != W.shape[-2]:
            raise ShapeError(
                f"layer {'.'.join(str(i + 1) for i in ctx.place) or 1} (Dense {W.shape[-2]} -> "
                f"{W.shape[-1]}) got a batch of shape {tuple(x.shape)}, expected (n_samples, "
                f"{W.shape[-2]}): rows are samples, so transpose X if its samples stand in columns."
            )
        activation = get_activation(self.activation)
        return ctx.kernels.dense_forward(x, W, params.get("b"), activation, xp=ctx.xp)

    def backward(self, params: dict, dy: Array, cache: Any, ctx: Ctx) -> tuple[Array, dict]:
        """Return dx (..., N, D), dW and db for dy (..., N, H)."""
        needs = {"need_dx": ctx.need_dx, "need_db": self.use_bias, "xp": ctx.xp}
        activation = get_activation(self.activation)
        dx, dW, db = ctx.kernels.dense_backward(dy, cache, params["W"], activation, **needs)
        return dx, self._named(dW, db)


@dataclass(frozen=True)
class Activation(Layer):
    """An activation as a layer by itself: ``y = f(x)``, ``dx = dy * f'(x)``, all (..., N, D).

    Parameters
    ----------
    activation : str or ActivationFunction

    Examples
    --------
    >>> import numpy as np
    >>> Activation("relu").forward({}, np.asarray([[-1.0, 2.0]]), Ctx(np))[0]
    array([[0., 2.]])
    """

    activation: str | ActivationFunction

    def __post_init__(self):
        get_activation(self.activation)

    def init(self, n_in: int, stream: Generator, x: Array = None) -> tuple[dict, int]:
        """Return no parameters, and as many outputs as inputs."""
        return {}, n_in

    def forward(self, params: dict, x: Array, ctx: Ctx) -> tuple[Array, Any]:
        """Return the activation of x, of the shape of x."""
        a = get_activation(self.activation).forward(x, ctx.xp)
        return a, (x, a)

    def backward(self, params: dict, dy: Array, cache: Any, ctx: Ctx) -> tuple[Array, dict]:
        """Return dx, of the shape of dy."""
        x, a = cache
        return get_activation(self.activation).backward(dy, x, a, ctx.xp), {}


@dataclass(frozen=True)
class Dropout(Layer):
    """Drop each input with probability `rate` while training, and scale the others up.

    ``y = x m / (1 - rate)``, ``dx = dy m / (1 - rate)``, all (..., N, D); m is 0 where an input is
    dropped, else 1: a hash of (seed, step, layer, row, column), the same bits on every library.

    Parameters
    ----------
    rate : float
        From 0 to below 1.

    Raises
    ------
    ValueError
        For another rate.

    References
    ----------
    Srivastava et al. 2014, in the inverted form: predictions need no scaling.

    Examples
    --------
    >>> import numpy as np
    >>> Dropout(0.5).forward({}, np.ones((1, 3)), Ctx(np, training=False))[0]
    array([[1., 1., 1.]])
    """

    rate: float

    def __post_init__(self):
        if not 0.0 <= self.rate < 1.0:
            raise ValueError(f"Dropout needs 0 <= rate < 1, got {self.rate!r}.")

    def init(self, n_in: int, stream: Generator, x: Array = None) -> tuple[dict, int]:
        """Return no parameters, and as many outputs as inputs."""
        return {}, n_in

    def forward(self, params: dict, x: Array, ctx: Ctx) -> tuple[Array, Any]:
        """Return y, of the shape of x."""
        if not ctx.training or self.rate == 0.0:
            return x, ()
        bits = ctx.kernels.random_bits(fold_in(ctx.key, ctx.place), x.shape, xp=ctx.xp)
        # Integers are compared, so that every library drops the same ones.
        kept = ctx.xp.astype(bits >= round(self.rate * 2**24), x.dtype)
        kept *= 1.0 / (1.0 - self.rate)
        return x * kept, (kept,)

    def backward(self, params: dict, dy: Array, cache: Any, ctx: Ctx) -> tuple[Array, dict]:
        """Return dx, of the shape of dy."""
        if not cache:
            return dy, {}
        return dy * cache[0], {}
