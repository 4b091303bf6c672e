import numpy as np
import pytest
from conftest import assert_derivative, dtype_name, relative_error, ulps
from each import each
from scipy import special

from xpmlp.nn import ActivationFunction
from xpmlp.nn.activations import ACTIVATIONS, GELU_C, get_activation

SCALE, ALPHA = 1.0507009873554804934193349852946, 1.6732632423543772848170429916717


def logsum(z):
    return np.logaddexp(0.0, z)


def elu(z):
    return np.where(z > 0, z, np.expm1(np.minimum(z, 0.0)))


# name -> value in float64 by other formulas, slope at -1e4, at 0 and at 1e4
ORACLES = {
    "identity": (lambda z: z, 1.0, 1.0, 1.0),
    "logistic": (special.expit, 0.0, 0.25, 0.0),
    "tanh": (np.tanh, 0.0, 1.0, 0.0),
    "relu": (lambda z: np.where(z > 0, z, 0.0), 0.0, 0.0, 1.0),
    "leaky_relu": (lambda z: np.where(z > 0, z, 0.01 * z), 0.01, 0.01, 1.0),
    "elu": (elu, 0.0, 1.0, 1.0),
    "selu": (lambda z: SCALE * np.where(z > 0, z, ALPHA * elu(z)), 0.0, SCALE * ALPHA, SCALE),
    "gelu": (lambda z: z * special.ndtr(z), 0.0, 0.5, 1.0),
    "gelu_tanh": (lambda z: z * special.expit(2 * GELU_C * (z + 0.044715 * z**3)), 0.0, 0.5, 1.0),
    "silu": (lambda z: z * special.expit(z), 0.0, 0.5, 1.0),
    "mish": (lambda z: z * np.tanh(logsum(z)), 0.0, 0.6, 1.0),
    "softplus": (logsum, 0.0, 0.5, 1.0),
    "softsign": (lambda z: z / (1 + np.abs(z)), 1 / 10001**2, 1.0, 1 / 10001**2),
    "hard_tanh": (lambda z: np.clip(z, -1.0, 1.0), 0.0, 1.0, 0.0),
}
TORCH = {
    "identity": lambda F: lambda z: z * 1.0,
    "logistic": lambda F: F.sigmoid,
    "tanh": lambda F: F.tanh,
    "leaky_relu": lambda F: lambda z: F.leaky_relu(z, 0.01),
    "gelu_tanh": lambda F: lambda z: F.gelu(z, approximate="tanh"),
    "softplus": lambda F: lambda z: F.softplus(z, threshold=1e3),
    "hard_tanh": lambda F: F.hardtanh,
}
EVERY = each("name", ACTIVATIONS)
Z = np.concatenate([np.linspace(-30, 30, 1201), [-1e-3, 0.0, 1e-3, -1e4, 1e4]])


def slope(record, z, xp):
    return record.backward(xp.ones_like(z), z, record.forward(z, xp), xp)


def both(backend, record, z, dtype):
    """Value and slope at z on a backend, as host arrays; the dtype must stay."""
    # One shape in all tests, so that JAX compiles each operation once and not each activation.
    x = backend.asarray(np.resize(z, (1, len(Z))), dtype)
    made = record.forward(x, backend.xp), slope(record, x, backend.xp)
    assert [dtype_name(a) for a in made] == [dtype, dtype]
    return [backend.host(a)[0, : len(z)] for a in made]


def test_every_activation_has_an_oracle():
    assert ORACLES.keys() == ACTIVATIONS.keys()


@EVERY
def test_a_value_equals_another_formula_for_it_on_every_library(name, xp64):
    xp = xp64
    with np.errstate(over="ignore"):
        want = ORACLES[name][0](Z)
    for dtype in xp.floats:
        got, _ = both(xp, ACTIVATIONS[name], Z, dtype)
        # Near a zero of a sum, what counts is the size of its terms: those are 1 or |z|.
        assert ulps(got, want, size=np.maximum(np.abs(Z), 1.0)) <= 16


@EVERY
def test_a_slope_is_the_same_on_every_library(name, xp64, plain):
    xp = xp64
    _, want = both(plain, ACTIVATIONS[name], Z, "float64")
    for dtype in xp.floats:
        _, got = both(xp, ACTIVATIONS[name], Z, dtype)
        assert ulps(got, want, size=1.0) <= 256  # 1 - tanh(z)^2 cancels, and is multiplied by z^3


@EVERY
def test_large_inputs_give_the_limits_and_zero_the_right_value(name, xp):
    oracle, *slopes = ORACLES[name]
    z = np.asarray([-1e4, 0.0, 1e4])
    with np.errstate(over="ignore"):
        want = oracle(z)
    value, got_slopes = both(xp, ACTIVATIONS[name], z, "float32")
    assert ulps(value, want, size=1.0) <= 1
    assert ulps(got_slopes, np.asarray(slopes), size=1.0) <= 2


@EVERY
def test_nan_stays_nan(name, xp):
    value, _ = both(xp, ACTIVATIONS[name], np.asarray([1.0, np.nan, -1.0]), "float32")
    assert np.isnan(value).tolist() == [False, True, False]


@EVERY
def test_backward_is_the_derivative_of_forward(name):
    record = ACTIVATIONS[name]
    rng = np.random.default_rng(3)
    z, da = rng.normal(0.0, 2.0, (2, 7, 9))
    assert min(abs(np.abs(z) - kink).min() for kink in (0.0, 1.0)) > 1e-4
    dz = record.backward(da, z, record.forward(z, np), np)
    assert_derivative(lambda at: float((da * record.forward(at[0], np)).sum()), [z], [dz])


@EVERY
def test_values_and_slopes_equal_torchs(name, plain):
    torch = pytest.importorskip("torch", reason="compares with torch")
    F = torch.nn.functional
    f = TORCH[name](F) if name in TORCH else getattr(F, name)
    z = torch.asarray(Z[:-2], dtype=torch.float64, requires_grad=True)
    f(z).sum().backward()
    value, dz = both(plain, ACTIVATIONS[name], Z[:-2], "float64")
    assert relative_error(value, f(z).detach().numpy()) < 1e-15
    assert relative_error(dz, z.grad.numpy()) < 1e-14


def test_gelu_is_the_exact_one_and_not_its_approximation():
    z = np.linspace(-4, 4, 81)
    exact = z * special.ndtr(z)
    assert np.abs(ACTIVATIONS["gelu"].forward(z, np) - exact).max() < 1e-15
    assert np.abs(ACTIVATIONS["gelu_tanh"].forward(z, np) - exact).max() > 1e-4


def test_an_activation_of_ones_own_stands_where_a_name_may_stand(xp):
    square = ActivationFunction("square", lambda z, xp: z * z, lambda da, z, a, xp: 2.0 * da * z)
    assert get_activation(square) is square
    value, dz = both(xp, square, np.asarray([1.0, -3.0]), "float32")
    assert value.tolist() == [1.0, 9.0] and dz.tolist() == [2.0, -6.0]


def test_an_unknown_name_is_refused_with_the_known_ones():
    with pytest.raises(ValueError, match="identity, logistic.*got 'sigmoidal'"):
        get_activation("sigmoidal")
