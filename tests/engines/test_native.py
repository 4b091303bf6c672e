"""The compiled engine's functions of one number against the plain text, and its steps by parts.

Whole trainings and predictions stand in test_numpy_engine.py.
"""

import numpy as np
import pytest
from each import each

from xpmlp import nn, train
from xpmlp.engines import Carry, generic_engine
from xpmlp.engines.native import library, program, table
from xpmlp.nn import losses
from xpmlp.nn.activations import ACTIVATIONS
from xpmlp.nn.losses import LOSSES
from xpmlp.optim import SGD
from xpmlp.training import Step
from xpmlp.training.plan import make_plan, to_device

DTYPES = ["float32", "float64"]
LONG = np.longdouble
WHAT = "exp log log1p expm1 tanh sigmoid softplus activation slope loss".split()
dtypes = each("dtype", DTYPES)

if isinstance(library.library(), str):
    pytest.skip(library.library(), allow_module_level=True)


def eps(dtype):
    return np.finfo(dtype).eps


def applied(name, x, *, kind=0, y=None, c=0.0):
    """A function over an array; of a loss the values and the derivatives."""
    x = np.ascontiguousarray(x)
    out, d = np.empty_like(x), np.empty_like(x)
    y = np.zeros_like(x) if y is None else np.ascontiguousarray(y)
    library.library().xpmlp_elementwise(
        x.dtype == np.float64, WHAT.index(name), kind, x.size, x.ctypes.data, y.ctypes.data, c,
        out.ctypes.data, d.ctypes.data,
    )  # fmt: skip
    return (out, d) if name == "loss" else out


# Elementary functions: in longdouble, whose exp is right to 64 bits, where it is longer.

ELEMENTARY = {  # the exact one, the bound in units in the last place, the range
    "exp": (np.exp, 1.0, (-np.inf, np.inf)),
    "log": (np.log, 1.1, (0.0, np.inf)),
    "log1p": (np.log1p, 1.5, (0.0, 1.0)),
    "expm1": (np.expm1, 4.0, (-np.inf, 1e-30)),
    "sigmoid": (lambda x: 1 / (1 + np.exp(-x)), 2.5, (-np.inf, np.inf)),
    "tanh": (np.tanh, 1.5, (-np.inf, np.inf)),
    "softplus": (lambda x: np.maximum(x, 0) + np.log1p(np.exp(-abs(x))), 2.0, (-np.inf, np.inf)),
}


@dtypes
@each("name", ELEMENTARY)
def test_elementary_functions_are_right_to_a_few_units_in_the_last_place(name, dtype):
    if np.finfo(LONG).eps >= eps(dtype):
        pytest.skip("no longer float than this to compare with")
    f, bound, (low, high) = ELEMENTARY[name]
    info, top = np.finfo(dtype), {"float32": 88.7, "float64": 709.7}[dtype]
    small = np.geomspace(float(info.tiny), top, 20001)
    x = np.concatenate([np.linspace(-top, top, 50001), np.linspace(-3, 3, 50001), small, -small])
    x = x[(x > low) & (x < high)].astype(dtype)
    got, want = applied(name, x).astype(LONG), f(x.astype(LONG))
    # exp is 0 below twice the smallest normal number.
    normal = np.abs(want) > 2.1 * LONG(info.tiny)
    unit = np.spacing(np.abs(want).astype(dtype)).astype(LONG)
    assert (np.abs(got - want) / unit)[normal].max() <= bound
    assert np.abs(got - want)[~normal].max(initial=0) <= 2.1 * LONG(info.tiny)
    assert (~normal).sum() < 30000


@dtypes
def test_elementary_functions_have_the_limits_of_the_exact_ones(dtype):
    info = np.finfo(dtype)
    x = np.asarray([0.0, -0.0, np.inf, -np.inf, np.nan, info.max, -info.max, info.tiny,
                    info.smallest_subnormal, -info.smallest_subnormal], dtype)  # fmt: skip
    for name, want in {
        "exp": [1, 1, np.inf, 0, np.nan, np.inf, 0, 1, 1, 1],
        "sigmoid": [0.5, 0.5, 1, 0, np.nan, 1, 0, 0.5, 0.5, 0.5],
        "tanh": [0, 0, 1, -1, np.nan, 1, -1, *x[7:]],
    }.items():
        np.testing.assert_array_equal(applied(name, x), np.asarray(want, dtype))
    np.testing.assert_array_equal(applied("softplus", x[2:7])[[0, 1, 3, 4]], [np.inf, 0, x[5], 0])
    assert np.isnan(applied("softplus", x[4:5])).all()
    np.testing.assert_array_equal(applied("log", x[[0, 2, 4]]), [-np.inf, np.inf, np.nan])


def numbers(n, dtype, seed=0):
    """Numbers of all sizes from a thousandth to hundreds, without extremes."""
    rng = np.random.default_rng(seed)
    return (rng.normal(size=n) * 10.0 ** rng.integers(-3, 3, n)).astype(dtype)


def slope_of(record, z, a):
    kind = table.ACTIVATION_CODES[record]
    return applied("slope", z if kind in table.NEED_Z else a, kind=kind)


@dtypes
@each("name", ACTIVATIONS)
def test_activations_and_their_derivatives_equal_the_plain_ones(name, dtype):
    z, record = numbers(1000, dtype), ACTIVATIONS[name]
    exact = z.astype(np.float64)
    a = applied("activation", z, kind=table.ACTIVATION_CODES[record])
    want = record.forward(exact, np)
    assert np.all(np.abs(a - want) <= 3 * eps(dtype) * np.maximum(1.0, np.abs(want)))
    d = slope_of(record, z, a)
    # z * (1 - tanh(z)^2) and the like cancel: their error grows with z.
    bound = 6 * eps(dtype) * np.maximum(1.0, np.abs(exact))
    assert np.all(np.abs(d - record.backward(np.ones_like(exact), exact, want, np)) <= bound)


@dtypes
@each("name", "relu leaky_relu elu selu logistic tanh silu softplus softsign hard_tanh".split())
def test_activations_that_do_not_cancel_are_right_relative_to_the_result(name, dtype):
    z = numbers(1000, dtype)
    z = z[np.abs(z) < 50]
    a = applied("activation", z, kind=table.ACTIVATION_NAMES.index(name))
    want = ACTIVATIONS[name].forward(z.astype(np.float64), np)
    assert np.all(np.abs(a - want) <= 4 * eps(dtype) * np.abs(want))


@dtypes
@each("name", ACTIVATIONS)
def test_activations_of_nan_infinity_and_zero_are_those_of_the_plain_ones(name, dtype):
    record, info = ACTIVATIONS[name], np.finfo(dtype)
    z = np.asarray([np.nan, np.inf, -np.inf, 0.0, -0.0, 1e4, -1e4, 1.0, -1.0, info.tiny], dtype)
    a = applied("activation", z, kind=table.ACTIVATION_CODES[record])
    with np.errstate(all="ignore"):
        want = record.forward(z.copy(), np)
        slope = record.backward(np.ones_like(z), z, want, np)
    near = {"rtol": 4 * eps(dtype), "atol": 4 * eps(dtype)}
    np.testing.assert_allclose(a, want, **near)
    np.testing.assert_allclose(slope_of(record, z, a), slope, **near)


ELEMENT_LOSSES = {
    **{name: LOSSES[name] for name in (
        "squared_error", "binary_log_loss", "poisson", "gamma", "absolute_error", "log_cosh",
        "huber", "quantile", "binary_focal",
    )},
    "huber of 0.3": losses.huber(0.3),
    "quantile of 0.9": losses.quantile(0.9),
    "focal of 1.5": losses.focal(1.5, binary=True),
}  # fmt: skip


@dtypes
@each("name", ELEMENT_LOSSES)
def test_losses_of_one_output_and_their_derivatives_equal_the_plain_ones(name, dtype):
    record, rng = ELEMENT_LOSSES[name], np.random.default_rng(0)
    outputs, y = rng.normal(size=500) * 3, rng.poisson(1.0, 500).astype(float)
    if record.name == "gamma":
        y += 0.1
    elif record.name.startswith("binary"):
        y = np.minimum(y, 1.0)
    outputs, y = outputs.astype(dtype), y.astype(dtype)
    code, levels = program.loss_of(record)
    values, d = applied("loss", outputs, kind=code, y=y, c=levels[0] if levels else 0.0)
    one = np.ones((1, 1))
    rows = [record.value_and_grad(a * one, b * one, one, np) for a, b in
            zip(outputs.astype(float), y.astype(float))]  # fmt: skip
    want, slopes = (np.asarray([float(np.squeeze(row[k])) for row in rows]) for k in (0, 1))
    size = np.maximum(1.0, np.abs(outputs)) * np.maximum(1.0, y)
    if record.link == "exp":
        size = size**2 * np.exp(np.abs(outputs))
    bound = 8 * eps(dtype) * size**2
    assert np.all(np.abs(values - want) <= bound)
    assert np.all(np.abs(d - slopes) <= bound)


# Processors: what is compiled for older ones, which this one runs too.


@each("generation", [0, 3])
def test_code_for_older_processors_trains_the_same_to_rounding(generation):
    built = library.library()
    best = built.xpmlp_generation(4)
    if built.xpmlp_generation(generation) != generation:
        pytest.skip(f"this processor is no x86-64-v{generation}")
    x = np.random.default_rng(0).normal(size=(60, 5))
    layers = nn.Dense(70), nn.BatchNorm(), nn.Activation("gelu"), nn.Dropout(0.3), nn.Dense(3)
    fit = lambda: train(nn.Network(layers), x, np.arange(60) % 3, loss="log_loss", max_iter=3)
    try:
        made = fit().outputs(x)
    finally:
        built.xpmlp_generation(best)
    np.testing.assert_allclose(made, fit().outputs(x), rtol=1e-9, atol=1e-11)


def test_codes_that_name_no_class_are_rows_of_zeros_as_in_the_plain_text():
    z = np.random.default_rng(0).normal(size=(4, 3))
    network = nn.Network([nn.Dense(3, use_bias=False)])
    layout = nn.Layout.of(network, {0: {"W": np.eye(3)}}, contiguous=True)
    parts = network, losses.CLASS_LOG_LOSS, SGD(0.0), layout, 4, "float64"
    step = Step(*parts, penalised=False, decoupled=False)
    y = np.asarray([[-1], [3], [2**31 - 1], [0]], np.int32)
    plan = to_device(make_plan(SGD(0.0), np.arange(4), batch_size=4, lr=0.1, seed=0), z, "float64")
    made = [
        run(step)(Carry({"weights": np.eye(3).reshape(1, 9)}, {}, {}), (z, y), plan)
        for run in (lambda step: program.native_run(step, None), generic_engine(np).run)
    ]
    np.testing.assert_allclose(made[0][1], made[1][1], rtol=1e-12)
    np.testing.assert_allclose(made[0][0].params["weights"], made[1][0].params["weights"])
