"""The compiled kernels against the plain text: nn.activations, nn.losses, optim.rules, randomness.

N rows, D inputs, H or C outputs. A kernel's arrays are flat.
"""

import sys
from types import SimpleNamespace

import numpy as np
import pytest
from each import each

from xpmlp.engines.chain import LOSS_KINDS
from xpmlp.nn import Ctx, Dropout
from xpmlp.nn.activations import ACTIVATIONS
from xpmlp.optim import SGD, Adam, AdamW
from xpmlp.randomness import fold_in, step_keys

maths = pytest.importorskip("xpmlp.engines.compiled.maths", reason="compiled code needs numba")
from numba import njit  # noqa: E402

from xpmlp.engines.compiled import activations, blas, kernels, steps, team  # noqa: E402

DTYPES = ["float32", "float64"]
SIZES = [0, 1, 7, 1000]
LONG = np.longdouble
dtypes = each("dtype", DTYPES)


def eps(dtype):
    return np.finfo(dtype).eps


# Elementary functions: in longdouble, whose exp is right to 64 bits, where it is longer.

ELEMENTARY = {
    "exp": (np.exp, 1.0),
    "sigmoid": (lambda x: 1 / (1 + np.exp(-x)), 2.5),
    "tanh": (np.tanh, 1.5),
    "softplus": (lambda x: np.maximum(x, 0) + np.log1p(np.exp(-abs(x))), 2.0),
}


def applied(name, x):
    """An elementary function over an array, in a loop as the kernels have it."""
    f = getattr(maths, name)

    @njit(error_model="numpy", fastmath={"contract"})
    def loop(x, out):
        for i in range(x.size):
            out[i] = f(x[i])

    out = np.empty_like(x)
    loop(x, out)
    return out


@pytest.mark.parametrize("dtype", DTYPES)
@each("name", ELEMENTARY)
def test_elementary_functions_are_right_to_a_few_units_in_the_last_place(name, dtype):
    if np.finfo(LONG).eps >= eps(dtype):
        pytest.skip("no longer float than this to compare with")
    f, bound = ELEMENTARY[name]
    info, top = np.finfo(dtype), {"float32": 88.7, "float64": 709.7}[dtype]
    small = np.geomspace(float(info.tiny), top, 20001)
    x = np.concatenate([np.linspace(-top, top, 50001), np.linspace(-3, 3, 50001), small, -small])
    x = x.astype(dtype)
    got, want = applied(name, x).astype(LONG), f(x.astype(LONG))
    # exp is 0 below twice the smallest normal number.
    normal = np.abs(want) > 2.1 * LONG(info.tiny)
    if name == "tanh":
        normal[:] = True
    unit = np.spacing(np.abs(want).astype(dtype)).astype(LONG)
    assert (np.abs(got - want) / unit)[normal].max() <= bound
    assert np.abs(got - want)[~normal].max(initial=0) <= 2.1 * LONG(info.tiny)
    assert (~normal).sum() < 30000


@dtypes
def test_elementary_functions_have_the_limits_of_the_exact_ones(dtype):
    info = np.finfo(dtype)
    x = np.asarray(
        [
            0.0,
            -0.0,
            np.inf,
            -np.inf,
            np.nan,
            info.max,
            -info.max,
            info.tiny,
            info.smallest_subnormal,
            -info.smallest_subnormal,
        ],
        dtype,
    )
    for name, want in {
        "exp": [1, 1, np.inf, 0, np.nan, np.inf, 0, 1, 1, 1],
        "sigmoid": [0.5, 0.5, 1, 0, np.nan, 1, 0, 0.5, 0.5, 0.5],
        "tanh": [0, 0, 1, -1, np.nan, 1, -1, *x[7:]],
    }.items():
        np.testing.assert_array_equal(applied(name, x), np.asarray(want, dtype))
    np.testing.assert_array_equal(applied("softplus", x[2:7])[[0, 1, 3, 4]], [np.inf, 0, x[5], 0])
    assert np.isnan(applied("softplus", x[4:5])).all()


# Activations: against the plain text in float64.


def numbers(n, dtype, seed=0):
    """Numbers of all sizes from a thousandth to hundreds, without extremes."""
    rng = np.random.default_rng(seed)
    return (rng.normal(size=n) * 10.0 ** rng.integers(-3, 3, n)).astype(dtype)


@dtypes
@each("size", SIZES)
@each("record", activations.CODES, ids=lambda record: record.name)
def test_activations_and_their_derivatives_equal_the_plain_ones(record, size, dtype):
    z = numbers(size, dtype)
    exact = z.astype(np.float64)
    a, code = z.copy(), activations.CODES[record]
    activations.activate(code, a)
    want = record.forward(exact, np)
    assert np.all(np.abs(a - want) <= 3 * eps(dtype) * np.maximum(1.0, np.abs(want)))
    d = numbers(size, dtype, seed=1)
    want = record.backward(d.astype(np.float64), exact, want, np)
    # z * (1 - tanh(z)^2) and the like cancel: their error grows with z.
    bound = 6 * eps(dtype) * np.maximum(1.0, np.abs(exact)) * np.maximum(np.abs(d), 1e-3)
    activations.activate_backward(code, d, z if record.name in activations.NEED_Z else a, a)
    assert a.dtype == d.dtype == dtype
    assert np.all(np.abs(d - want) <= bound)


@each("name", ["relu", "leaky_relu", "elu", "selu", "logistic", "tanh", "silu",
                                  "softplus", "softsign", "hard_tanh"])  # fmt: skip
@dtypes
def test_activations_that_do_not_cancel_are_right_relative_to_the_result(name, dtype):
    z = numbers(1000, dtype)
    z = z[np.abs(z) < 50]
    a = z.copy()
    activations.activate(activations.CODES[ACTIVATIONS[name]], a)
    want = ACTIVATIONS[name].forward(z.astype(np.float64), np)
    assert np.all(np.abs(a - want) <= 4 * eps(dtype) * np.abs(want))


@dtypes
@each("record", activations.CODES, ids=lambda record: record.name)
def test_activations_of_nan_infinity_and_zero_are_those_of_the_plain_ones(record, dtype):
    info = np.finfo(dtype)
    z = np.asarray([np.nan, np.inf, -np.inf, 0.0, -0.0, 1e4, -1e4, 1.0, -1.0, info.tiny], dtype)
    a, d, code = z.copy(), np.full_like(z, 2.0), activations.CODES[record]
    activations.activate(code, a)
    with np.errstate(all="ignore"):
        want = record.forward(z.copy(), np)
        slope = record.backward(d.copy(), z, want, np)
    activations.activate_backward(code, d, z, a)
    near = {"rtol": 4 * eps(dtype), "atol": 4 * eps(dtype)}
    np.testing.assert_allclose(a, want, **near)
    np.testing.assert_allclose(d, slope, **near)


# Losses: row by row against the plain text.


def targets(name, n, C, rng):
    """Targets that a loss may have."""
    if name == "class_log_loss":
        return rng.integers(0, C, (n, 1))
    if name == "log_loss":
        return rng.dirichlet(np.ones(C), n) if C > 1 else np.ones((n, 1))
    if name == "binary_log_loss":
        return rng.integers(0, 2, (n, C)).astype(np.float64)
    return rng.poisson(1.0, (n, C)).astype(np.float64)


def losses(record, outputs, y, w):
    """Each row's value and the gradient: compiled, then plain."""
    values, d = np.full(len(w), np.nan, outputs.dtype), np.full(outputs.size, np.nan, outputs.dtype)
    code = kernels.LOSS_CODES[record]
    flat = y.ravel().astype(outputs.dtype)
    kernels.loss_and_gradient(code, outputs.ravel(), flat, w, values, d)
    with np.errstate(all="ignore"):
        rows = [
            record.value_and_grad(outputs[i : i + 1], y[i : i + 1], w[i : i + 1, None], np)
            for i in range(len(w))
        ]
    plain = np.asarray([row[0] for row in rows], outputs.dtype)
    slopes = np.concatenate([outputs[:0], *(row[1] for row in rows)])
    return (values, d.reshape(outputs.shape)), (plain, slopes)


@dtypes
@each("C", [1, 3, 10])
@each("n", [0, 1, 7, 100])
@each("name", LOSS_KINDS)
def test_losses_and_their_gradients_equal_the_plain_ones_row_by_row(name, n, C, dtype):
    rng = np.random.default_rng(C)
    outputs, y = rng.normal(size=(n, C)) * 3, targets(name, n, C, rng)
    w = rng.random(n) * (np.arange(n) % 3 > 0)  # each third row weighs nothing
    (values, d), (want, slopes) = losses(
        LOSS_KINDS[name], *(a.astype(dtype) for a in (outputs, y, w))
    )
    size = np.maximum(1.0, np.abs(outputs).max(axis=-1)) * np.maximum(1.0, y.max(axis=-1))
    size = C * size**2 * np.exp(outputs.max(axis=-1)) if name == "poisson" else C * size**2
    assert np.all(np.abs(values - want) <= 4 * eps(dtype) * w * size)
    assert np.all(np.abs(d - slopes) <= 4 * eps(dtype) * (w * size)[:, None])
    assert not values[::3].any() and not d[::3].any()


@dtypes
@each("C", [1, 3])
@each("name", LOSS_KINDS)
def test_losses_of_enormous_and_missing_numbers_are_those_of_the_plain_ones(name, C, dtype):
    rng = np.random.default_rng(0)
    extremes = [0.0, 1e4, -1e4, np.inf, -np.inf, np.nan, 1e30]
    outputs = np.zeros((len(extremes) * C * 2, C), dtype)
    for i, (value, j) in enumerate((v, j) for v in extremes for j in range(C)):
        outputs[i, j] = value
    outputs[len(outputs) // 2 :] = outputs[: len(outputs) // 2]
    y = targets(name, len(outputs), C, rng).astype(dtype)
    w = np.full(len(outputs), 0.25, dtype)
    w[len(w) // 2 :] = 0.0  # 0 times NaN is NaN here and there
    got, want = losses(LOSS_KINDS[name], outputs, y, w)
    for a, b in zip(got, want):
        np.testing.assert_allclose(a, b, rtol=8 * eps(dtype), atol=8 * eps(dtype))


# Update rules and the penalty.

RULE_CASES = [
    SGD(0.0),
    SGD(0.9, nesterovs_momentum=False),
    SGD(0.9, nesterovs_momentum=True),
    SGD(0.5),
    *(kind() for kind in kernels.RULE_CODES if kind is not SGD),
    Adam(0.0, 0.5, 1e-3),
    AdamW(0.7),
]


@dtypes
@each("size", SIZES)
@each("rule", RULE_CASES)
def test_update_rules_equal_the_plain_ones_over_steps(rule, size, dtype):
    rng = np.random.default_rng(size)
    p = rng.normal(size=size).astype(dtype)
    slots = [np.zeros_like(p) for _ in rule.slots]
    plain, plain_slots = p.copy(), [s.copy() for s in slots]
    constants = np.asarray(kernels.numbers_of(rule), dtype)
    padded = [*slots, np.empty(0, dtype), np.empty(0, dtype)]
    for rate in rule.rates(0.01, np.arange(1, 6)).astype(dtype):
        g = rng.normal(size=size).astype(dtype)
        code = kernels.RULE_CODES[type(rule)]
        kernels.update(code, constants, p, g.copy(), *padded[:2], rate)
        plain, *plain_slots = rule.apply(plain, g, rate, *plain_slots, xp=np)
    for got, want in zip([p, *slots], [plain, *plain_slots]):
        np.testing.assert_allclose(got, want, rtol=16 * eps(dtype), atol=4 * eps(dtype))


@dtypes
def test_a_nan_in_the_gradient_reaches_the_parameter_under_every_rule(dtype):
    for rule in RULE_CASES:
        p, g, s, t = (np.ones(3, dtype) for _ in range(4))
        g[1] = np.nan
        constants = np.asarray(kernels.numbers_of(rule), dtype)
        code = kernels.RULE_CODES[type(rule)]
        kernels.update(code, constants, p, g, s, t, p.dtype.type(0.1))
        assert np.isnan(p).tolist() == [False, True, False], rule


@dtypes
@each("size", SIZES)
def test_the_penalty_is_half_the_decayed_squares_and_its_gradient_is_added(size, dtype):
    rng = np.random.default_rng(0)
    p, g = rng.normal(size=(2, size)).astype(dtype)
    decay, before = p.dtype.type(0.3), g.copy()
    penalty = kernels.penalise(p, g, decay)
    exact = 0.5 * float(decay) * (p.astype(np.float64) ** 2).sum()
    assert penalty == pytest.approx(exact, rel=float(8 * eps(dtype)))
    np.testing.assert_allclose(g, before + decay * p, rtol=0, atol=4 * eps(dtype))


# Rows, offsets, dropout: bit by bit.


@dtypes
@each("rows", [0, 1, 5, 100])
@each("H", [1, 3, 64, 65, 200])
def test_offsets_are_added_to_every_row_exactly(rows, H, dtype):
    rng = np.random.default_rng(0)
    z, b = rng.normal(size=(rows, H)).astype(dtype), rng.normal(size=H).astype(dtype)
    flat = z.flatten()
    kernels.add_bias(flat, b, rows, np.full(64 + H, np.nan, dtype))
    np.testing.assert_array_equal(flat.reshape(z.shape), z + b)


@dtypes
@each("rate", [0.0, 0.25, 0.999])
@each("n", [0, 1, 37])
def test_dropout_drops_what_the_layer_drops_whichever_row_it_begins_with(n, rate, dtype):
    layer, D, place = Dropout(rate), 5, (2,)
    x = np.random.default_rng(0).normal(size=(n, D)).astype(dtype)
    for key in step_keys(7, np.arange(3)):
        want, _ = layer.forward({}, x, Ctx(np, True, key=key, place=place))
        word = int(fold_in(np.zeros((1, 2), np.int32), place)[0, 0])
        scale = x.dtype.type(1.0 / (1.0 - rate))
        threshold = round(rate * 2**24)
        for first in {0, n // 3}:
            part, out = x[first:].ravel(), np.full(x[first:].size, np.nan, dtype)
            kernels.drop(part, out, first * D, key[0], word, threshold, scale)
            np.testing.assert_array_equal(out, want[first:].ravel())
            kernels.drop(part.copy(), out, first * D, key[0], word, threshold, scale)
            np.testing.assert_array_equal(out, want[first:].ravel())


@dtypes
def test_rows_are_taken_in_any_order_and_more_than_once(dtype):
    a = np.random.default_rng(0).normal(size=(9, 4)).astype(dtype)
    rows = np.asarray([3, 3, 8, 0], np.int32)
    out = np.full(rows.size * 4, np.nan, dtype)
    kernels.take_rows(a, rows, out)
    np.testing.assert_array_equal(out.reshape(-1, 4), a[rows])
    kernels.take_rows(a, rows[:0], out[:0])


# Products, with every BLAS that is here.


@pytest.fixture(params=["the first found", "NumPy's", "SciPy's"])
def gemm(request, monkeypatch, tmp_path):
    """dtype -> address."""
    if request.param != "the first found":
        monkeypatch.setattr(sys, "prefix", str(tmp_path))  # no MKL
    if request.param == "SciPy's":
        none = lambda: SimpleNamespace(lib_controllers=[])
        monkeypatch.setattr(blas, "ThreadpoolController", none)
    return blas.find_blas.__wrapped__().gemm


SHAPES = [
    (0, 3, 4), (1, 1, 1), (1, 5, 3), (2, 3, 4), (7, 9, 6), (7, 9, 7), (13, 17, 19), (128, 33, 5),
    (1, 500, 1), (1, 401, 3), (65, 1, 40),
]  # fmt: skip


@dtypes
@each("shape", SHAPES)
def test_products_equal_exact_ones_to_the_rounding_of_their_sums(shape, dtype, gemm):
    rows, inner, columns = shape
    rng = np.random.default_rng(0)
    x, W, d = (
        rng.normal(size=s).astype(dtype) for s in ((rows, inner), (inner, columns), (rows, columns))
    )
    empty = lambda *shape: np.full(shape, np.nan, dtype)  # as memory may be: nothing may be added

    def check(got, a, b):
        exact = a.astype(np.float64), b.astype(np.float64)
        bound = (a.shape[1] + 1) * eps(dtype) * (np.abs(exact[0]) @ np.abs(exact[1]))
        assert np.all(np.abs(got - exact[0] @ exact[1]) <= bound)

    address, X, V, E = gemm[dtype], x.ravel(), W.ravel(), d.ravel()
    z, dx, dW = empty(rows, columns), empty(rows, inner), empty(inner, columns)
    blas.product(address, X, V, z.reshape(-1), *shape)
    check(z, x, W)
    blas.product_backward(address, E, V, dx.reshape(-1), *shape)
    check(dx, d, W.T)
    blas.product_weights(address, X, E, dW.reshape(-1), *shape, inner)
    check(dW, x.T, d)
    start, ones = inner // 3, np.ones(rows, dtype)
    part = empty(inner - start, columns)  # some rows of the gradient
    blas.product_weights(address, X[start:], E, part.reshape(-1), *shape, inner - start)
    check(part, x[:, start:].T, d)
    start = columns // 3
    db = empty(columns - start)
    blas.product_offsets(address, ones, E, db, rows, columns, start, columns)
    check(db[None], ones[None], d[:, start:])


@dtypes
@each("shape", [(3, 4, 5), (30, 40, 50)])
def test_a_nan_stays_in_the_row_of_a_product_where_it_came(shape, dtype, gemm):
    rows, inner, columns = shape
    x, W = np.ones((rows, inner), dtype), np.ones(inner * columns, dtype)
    out = np.ones((rows, columns), dtype)
    x[1, 2] = np.nan
    blas.product(gemm[dtype], x.ravel(), W, out.reshape(-1), *shape)
    assert np.isnan(out[1]).all() and np.isfinite(np.delete(out, 1, axis=0)).all()


def test_compiled_code_is_kept_by_a_name_that_changes_with_any_file_it_is_made_of():
    """numba itself notices changes of the file that defines a function, not of what it calls."""
    modules = (activations, blas, kernels, maths, steps, team)
    made = {f for module in modules for f in vars(module).values() if hasattr(f, "py_func")}
    assert len(made) > 15
    assert all(f.py_func.__qualname__.endswith(maths._DIGEST) for f in made)
