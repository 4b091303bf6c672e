"""Initial weights, drawn on the host in float64: the same numbers on every library for one seed.

===============  =====================================  ===================================
name             weights                                source
===============  =====================================  ===================================
glorot_uniform   U(-r, r), r^2 = 6 / (n_in + n_out)     Glorot & Bengio 2010, eq. 16
glorot_logistic  U(-r, r), r^2 = 2 / (n_in + n_out)     scikit-learn's for logistic
glorot_normal    N(0, 2 / (n_in + n_out))               Glorot & Bengio 2010, eq. 12
he_uniform       U(-r, r), r^2 = 6 / n_in               He et al. 2015, eq. 10
he_normal        N(0, 2 / n_in)                         He et al. 2015, eq. 10
lecun_uniform    U(-r, r), r^2 = 3 / n_in               LeCun et al. 1998
lecun_normal     N(0, 1 / n_in)                         LeCun et al. 1998
normal           N(0, 1)
uniform          U(-0.05, 0.05)
zeros            0
orthogonal       orthonormal rows or columns            Saxe et al. 2014
===============  =====================================  ===================================

N takes mean and variance. Biases are 0; those of glorot_uniform, glorot_logistic (as in
scikit-learn), normal and uniform are drawn like the weights.
"""

import math
from dataclasses import dataclass

import numpy as np

from ..words import check_ranges, check_word

LARGE = 1e150  # no sane weight is so large, and its square is finite


@dataclass(frozen=True)
class VarianceScaling:
    """Draw weights whose variance is ``gain / fan``.

    Parameters
    ----------
    gain : float, default=1.0
    fan : {"mean", "in"}, default="mean"
        The number of inputs, or the mean of the numbers of inputs and outputs.
    distribution : {"normal", "uniform"}, default="normal"
        "uniform" draws from -sqrt(3 gain / fan) to sqrt(3 gain / fan).
    biases : bool, default=False
        Draw biases like the weights, instead of zeros.

    References
    ----------
    Glorot & Bengio 2010 (eq. 16: gain 1, fan "mean"); He et al. 2015 (gain 2, fan "in");
    LeCun et al. 1998 (gain 1, fan "in").

    Examples
    --------
    >>> W, b = VarianceScaling(2.0, "in").draw(100, 3, np.random.default_rng(0))
    >>> W.shape, b.shape, float(b.max())
    ((100, 3), (1, 3), 0.0)
    """

    gain: float = 1.0
    fan: str = "mean"
    distribution: str = "normal"
    biases: bool = False

    def __post_init__(self):
        check_ranges(self, gain=(0.0, LARGE))
        check_word("fan", self.fan, ("mean", "in"))
        check_word("distribution", self.distribution, ("normal", "uniform"))

    def draw(self, n_in, n_out, rng):
        """Return W (n_in, n_out) and b (1, n_out), host arrays; rng: a NumPy Generator."""
        fan = {"in": n_in, "mean": (n_in + n_out) / 2}[self.fan]
        if self.distribution == "normal":
            return Normal(math.sqrt(self.gain / max(fan, 1)), self.biases).draw(n_in, n_out, rng)
        bound = math.sqrt(3.0 * self.gain / max(fan, 1))
        if self.biases:  # scikit-learn's rule, so from its generator: one seed gives its weights
            rng = getattr(rng, "shared", rng)
        return Uniform(-bound, bound, self.biases).draw(n_in, n_out, rng)


@dataclass(frozen=True)
class Normal:
    """Draw weights from N(0, std^2), and biases too unless `biases` is False."""

    std: float = 1.0
    biases: bool = True

    def __post_init__(self):
        check_ranges(self, std=(0.0, LARGE))

    def draw(self, n_in, n_out, rng):
        """Return W (n_in, n_out) and b (1, n_out), host arrays."""
        W, b = rng.normal(0.0, self.std, (n_in, n_out)), np.zeros((1, n_out))
        if self.biases:
            b = rng.normal(0.0, self.std, b.shape)
        return W, b


@dataclass(frozen=True)
class Uniform:
    """Draw weights from U(low, high), and biases too unless `biases` is False."""

    low: float = -0.05
    high: float = 0.05
    biases: bool = True

    def __post_init__(self):
        check_ranges(self, low=(-LARGE, LARGE), high=(self.low, LARGE))

    def draw(self, n_in, n_out, rng):
        """Return W (n_in, n_out) and b (1, n_out), host arrays."""
        W, b = rng.uniform(self.low, self.high, (n_in, n_out)), np.zeros((1, n_out))
        if self.biases:
            b = rng.uniform(self.low, self.high, b.shape)
        return W, b


@dataclass(frozen=True)
class Zeros:
    """Start from zeros: for an output layer, or to show what symmetry does to hidden layers."""

    def draw(self, n_in, n_out, rng):
        """Return W (n_in, n_out) and b (1, n_out), host arrays."""
        return np.zeros((n_in, n_out)), np.zeros((1, n_out))


@dataclass(frozen=True)
class Orthogonal:
    """Draw orthonormal rows or columns, times `gain` (Saxe et al. 2014); biases are 0."""

    gain: float = 1.0

    def __post_init__(self):
        check_ranges(self, gain=(-LARGE, LARGE))

    def draw(self, n_in, n_out, rng):
        """Return W (n_in, n_out) and b (1, n_out), host arrays."""
        q, r = np.linalg.qr(rng.normal(size=(max(n_in, n_out), min(n_in, n_out))))
        q *= np.sign(np.diag(r))  # without it the draw is not uniform (Mezzadri 2007)
        return self.gain * (q if n_in >= n_out else q.T), np.zeros((1, n_out))


Initializer = VarianceScaling | Normal | Uniform | Zeros | Orthogonal

INITIALIZERS: dict[str, Initializer] = {
    # scikit-learn's rule: Glorot's bound, for biases too; a third of the variance for logistic
    "glorot_uniform": VarianceScaling(1.0, "mean", "uniform", biases=True),
    "glorot_logistic": VarianceScaling(1.0 / 3.0, "mean", "uniform", biases=True),
    "glorot_normal": VarianceScaling(1.0, "mean"),
    "he_uniform": VarianceScaling(2.0, "in", "uniform"),
    "he_normal": VarianceScaling(2.0, "in"),
    "lecun_uniform": VarianceScaling(1.0, "in", "uniform"),
    "lecun_normal": VarianceScaling(1.0, "in"),
    "normal": Normal(),
    "uniform": Uniform(),
    "zeros": Zeros(),
    "orthogonal": Orthogonal(),
}


def get_initializer(init):
    """Return the initializer of a name, or the given object itself where it can `draw`.

    Parameters
    ----------
    init : str or initializer
        An initializer is any object with ``draw(n_in, n_out, rng) -> (W, b)``.

    Raises
    ------
    ValueError
        For an unknown name; the message lists the known ones.

    Examples
    --------
    >>> get_initializer("he_normal")
    VarianceScaling(gain=2.0, fan='in', distribution='normal', biases=False)
    """
    if hasattr(init, "draw"):
        return init
    check_word("init", init, INITIALIZERS, ", auto, an initializer or (coefs, intercepts)")
    return INITIALIZERS[init]
