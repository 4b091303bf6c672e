"""The compiled engine's functions of one number against the plain text, and its steps by parts.

Whole trainings and predictions stand in test_numpy_engine.py.
"""

import os
import subprocess
import sys
from contextlib import nullcontext

import numpy as np
import pytest
from conftest import assert_close, leaves
from each import each
from native_cases import Case

from xpmlp import nn, train
from xpmlp.engines import Carry, generic_engine
from xpmlp.engines.native import library, program, table
from xpmlp.nn import losses
from xpmlp.nn.activations import ACTIVATIONS
from xpmlp.nn.losses import LOSSES
from xpmlp.optim import SGD, init_state
from xpmlp.training import Step
from xpmlp.training.plan import copy_plan, make_plan

DTYPES = ["float32", "float64"]
LONG = np.longdouble
WHAT = "exp log log1p expm1 tanh sigmoid softplus activation slope loss".split()
dtypes = each("dtype", DTYPES)

if isinstance(library.library(), str):
    pytest.skip(library.library(), allow_module_level=True)


sanitized = pytest.mark.skipif(
    "san" in os.environ.get("LD_PRELOAD", ""), reason="a sanitizer takes memory as it likes"
)


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
    "log": (np.log, 1.2, (0.0, np.inf)),
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
    code, levels = program.loss_numbers(record)
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
@each("dtype, tolerance", [("float64", 1e-9), ("float32", 1e-3)])
def test_code_for_older_processors_trains_the_same_to_rounding(generation, dtype, tolerance):
    built = library.library()
    best = built.xpmlp_generation(4)
    if built.xpmlp_generation(generation) != generation:
        pytest.skip(f"this processor is no x86-64-v{generation}")
    x = np.random.default_rng(0).normal(size=(60, 400)).astype(dtype)
    layers = nn.Dense(70), nn.BatchNorm(), nn.Activation("gelu"), nn.Dropout(0.3), nn.Dense(3)
    fit = lambda: train(nn.Network(layers), x, np.arange(60) % 3, loss="log_loss", max_iter=3)
    try:
        made = fit().outputs(x)
    finally:
        built.xpmlp_generation(best)
    np.testing.assert_allclose(made, fit().outputs(x), rtol=tolerance, atol=tolerance / 10)


def test_codes_that_name_no_class_are_rows_of_zeros_as_in_the_plain_text():
    z = np.random.default_rng(0).normal(size=(4, 3))
    network = nn.Network([nn.Dense(3, use_bias=False)])
    layout = nn.Layout.of(network, {0: {"W": np.eye(3)}}, contiguous=True)
    parts = network, losses.CLASS_LOG_LOSS, SGD(0.0), layout, 4, "float64"
    step = Step(*parts, penalised=False, decoupled=False)
    y = np.asarray([[-1], [3], [2**31 - 1], [0]], np.int32)
    plan = copy_plan(make_plan(SGD(0.0), np.arange(4), batch_size=4, lr=0.1, seed=0), z, "float64")
    made = [
        run(step)(Carry({"weights": np.eye(3).reshape(1, 9)}, {}, {}), (z, y), plan)
        for run in (lambda step: program.native_run(step, None), generic_engine(np).run)
    ]
    np.testing.assert_allclose(made[0][1], made[1][1], rtol=1e-12)
    np.testing.assert_allclose(made[0][0].params["weights"], made[1][0].params["weights"])


# Whole runs of random steps.


def run_both(case):
    """What a run leaves, compiled and plain: carry and losses."""
    made = []
    for run in (lambda step: program.native_run(step, None), generic_engine(np).run):
        step, start = case.start()
        with np.errstate(all="ignore"):
            carry, values = run(step)(*start)
        made.append(carry._asdict() | {"losses": values})
    return made


@each("seed", range(150), parts=4)
def test_any_step_on_any_number_of_threads_is_that_of_the_plain_text(seed, monkeypatch):
    case = Case(seed)
    words = f"{case.network} {case.loss.name} {case.rule} {case.dtype} {case.options} "
    words += f"K={case.K} threads={case.threads} n={case.n} batch_size={case.batch_size} D={case.D}"
    print(seed, words, flush=True)  # -s shows the one that crashes
    monkeypatch.setattr(program, "team", lambda wanted: nullcontext(case.threads))
    monkeypatch.setattr(program, "LIGHT", 0)
    monkeypatch.setattr(program, "CHUNK", 7)
    got, want = run_both(case)
    if not all(np.isfinite(a).all() for _, a in leaves(want)):
        return
    tolerance = {"float32": 1e-3, "float64": 1e-11}[case.dtype]
    try:
        for (path, a), (_, b) in zip(leaves(got), leaves(want), strict=True):
            # A gradient that is zero but for its rounding, as in front of a BatchNorm, has none.
            size = max(np.linalg.norm(b), 0.1)
            assert np.linalg.norm(a - b) <= tolerance * size, path
        if case.K is None:
            step, (carry, (x, _), _) = case.start()
            store = carry.params | carry.buffers
            outputs = program.native_outputs(case.network, step.layout, case.dtype)
            plain, _ = case.network.forward(step.layout.unpack(store, xp=np), x, nn.Ctx(np))
            assert_close(outputs(store)(x), plain, {"float32": 1e-5}.get(case.dtype, 1e-12))
    except AssertionError as error:
        error.add_note(words)
        raise


# What compiled code must not be handed: it reads and writes without looking.

CHAIN = nn.Network([nn.Dense(4, "tanh"), nn.BatchNorm(), nn.Dense(3)])


def plain_run(carry, data, plan):
    return "plain"


def started(loss=LOSSES["squared_error"], C=3, network=CHAIN):
    """A run that says "plain" where the compiled engine stands back, and what it takes."""
    x = np.random.default_rng(0).normal(size=(20, 5))
    store = network.init(5, np.random.default_rng(0))[0]
    layout = nn.Layout.of(network, store, contiguous=True)
    rule = SGD(0.9)
    step = Step(network, loss, rule, layout, 5, "float64", penalised=False, decoupled=False)
    store = layout.pack(store, xp=np)
    buffers = {leaf.name: store.pop(leaf.name) for leaf in layout.leaves if not leaf.group.trained}
    carry = Carry(store, buffers, init_state(rule, store, xp=np))
    plan = copy_plan(make_plan(rule, np.arange(20), batch_size=5, lr=0.1, seed=0), x, "float64")
    return program.native_run(step, plain_run), carry, (x, x[:, :C]), plan


def changed(carry, data, plan, what):
    """What a run takes, changed so that it does not fit."""
    (x, y), rows = data, plan.rows.copy()
    weights = carry.params["weights"]
    readonly = weights.copy()
    readonly.flags.writeable = False
    rows[1, 2] = {"a row behind the last": 20, "a row before the first": -1}.get(what, 0)
    return {
        "targets of too few columns": (carry, (x, y[:, :2]), plan),
        "targets of too few rows": (carry, (x, y[:9]), plan),
        "flat targets": (carry, (x, y[:, 0]), plan),
        "rows of another width": (carry, (x[:, :4], y), plan),
        "targets of another dtype": (carry, (x, y.astype("float32")), plan),
        "a plan of another dtype": (carry, data, plan._replace(rate=plan.rate.astype("float32"))),
        "a plan without some weights": (carry, data, plan._replace(weights=plan.weights[:, :4])),
        "a plan of fewer steps": (carry, data, plan._replace(key=plan.key[:3])),
        "parameters to read only": (carry._replace(params=carry.params | {"weights": readonly}),
                                    data, plan),
        "statistics of another width": (
            carry._replace(buffers={k: a[:, :2].copy() for k, a in carry.buffers.items()}),
            data, plan),
    }.get(what, (carry, data, plan._replace(rows=rows)))  # fmt: skip


@each(
    "what",
    [
        "targets of too few columns", "targets of too few rows", "flat targets",
        "rows of another width", "targets of another dtype", "a plan of another dtype",
        "a plan without some weights", "a plan of fewer steps", "parameters to read only",
        "statistics of another width", "a row behind the last", "a row before the first",
    ],
)  # fmt: skip
def test_arrays_that_do_not_fit_are_left_to_the_plain_text(what):
    run, *parts = started()
    assert run(*changed(*parts, what)) == "plain"
    assert run(*parts) != "plain"


def test_losses_of_ones_own_with_a_built_in_name_are_left_to_the_plain_text():
    own = lambda outputs, y, w, xp: losses.CLASS_LOG_LOSS.value_and_grad(outputs, y, w, xp)
    formula = LOSSES["squared_error"].value_and_grad
    for loss in (
        losses.Loss("log_loss", own, "softmax", codes=True),
        losses.Loss("squared_error", own, "identity"),
        losses.Loss("squared_error", formula, "identity", codes=True),
        losses.Loss("focal", losses.focal().value_and_grad, "softmax", codes=True),
        losses.Loss("huber", formula, "identity"),
    ):
        assert program.loss_numbers(loss) is None


def test_quantiles_that_are_not_the_same_for_each_target_are_left_to_the_plain_text():
    assert started(losses.quantile((0.1, 0.5, 0.9)))[0] is not None
    assert started(losses.quantile((0.1, 0.9)))[0] is None


def test_statistics_that_are_not_as_wide_as_their_layer_predict_by_the_plain_text():
    params, _ = CHAIN.init(5, np.random.default_rng(0))
    params[1]["mean"] = np.zeros((1, 2))
    layout = nn.Layout.of(CHAIN, params, contiguous=True)
    assert program.native_outputs(CHAIN, layout, "float64") is None


def test_rows_of_another_dtype_or_unaligned_are_predicted_as_they_are():
    params, _ = CHAIN.init(5, np.random.default_rng(0))
    layout = nn.Layout.of(CHAIN, params, contiguous=True)
    store, x = layout.pack(params, xp=np), np.random.default_rng(0).normal(size=(9, 5))
    outputs = program.native_outputs(CHAIN, layout, "float64")(store)
    unaligned = np.zeros(x.nbytes + 1, np.uint8)[1:].view(x.dtype).reshape(x.shape)
    unaligned[...] = x
    np.testing.assert_array_equal(outputs(unaligned), outputs(x))
    narrow = x.astype("float32")
    np.testing.assert_array_equal(outputs(narrow), outputs(narrow.astype("float64")))


@sanitized
@each("threads", [1, 3])
def test_buffers_for_which_there_is_no_memory_are_a_memory_error(threads, monkeypatch):
    params, _ = CHAIN.init(5, np.random.default_rng(0))
    layout = nn.Layout.of(CHAIN, params, contiguous=True)
    monkeypatch.setattr(table.table_of(CHAIN, layout), "width", 2**50)
    monkeypatch.setattr(program, "LIGHT", 0)
    monkeypatch.setattr(program, "team", lambda wanted: nullcontext(threads))
    outputs = program.native_outputs(CHAIN, layout, "float64")(layout.pack(params, xp=np))
    with pytest.raises(MemoryError, match="buffers"):
        outputs(np.zeros((600, 5)))


def test_a_library_of_another_version_is_refused(monkeypatch):
    monkeypatch.setattr(library, "version", lambda: 0)
    assert "another version" in library.library.__wrapped__()


# 4 MB more than it has: less than the stack of a thread.
NO_THREADS = """
import resource
import numpy as np
from xpmlp import nn, train
from xpmlp.engines.native import program

x = np.random.default_rng(0).normal(size=(300, 4))
fit = lambda: train(nn.Network([nn.Dense(9, "tanh"), nn.Dense(1)]), x, x[:, :1], max_iter=3)
program.n_threads = lambda: 1
want = fit().outputs(x)
program.WORK, program.n_threads = 1, lambda: 3
taken = int(open("/proc/self/statm").read().split()[0]) * resource.getpagesize()
resource.setrlimit(resource.RLIMIT_AS, (taken + 2**22, resource.RLIM_INFINITY))
np.testing.assert_allclose(fit().outputs(x), want)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="asks Linux for the memory it takes")
@sanitized
def test_a_team_that_gets_no_threads_works_with_those_that_it_has():
    command = [sys.executable, "-W", "ignore", "-c", NO_THREADS]
    assert subprocess.run(command, timeout=120, check=False).returncode == 0


def test_a_plans_decay_acts_only_in_steps_that_are_said_to_have_one():
    network = nn.Network([nn.Dense(1, use_bias=False)])
    layout = nn.Layout.of(network, {0: {"W": np.ones((3, 1))}}, contiguous=True)
    parts = network, LOSSES["squared_error"], SGD(0.0), layout, 4, "float64"
    step = Step(*parts, penalised=False, decoupled=False)
    x = np.random.default_rng(0).normal(size=(4, 3))
    plan = make_plan(
        SGD(0.0), np.arange(4), batch_size=4, lr=0.1, seed=0, alpha=0.5, weight_decay=0.3
    )
    made = [
        run(step)(
            Carry({"weights": np.ones((1, 3))}, {}, {}),
            (x, x[:, :1]),
            copy_plan(plan, x, "float64"),
        )
        for run in (lambda step: program.native_run(step, None), generic_engine(np).run)
    ]
    np.testing.assert_allclose(made[0][1], made[1][1], rtol=1e-12)
    weights = [carry.params["weights"] for carry, _ in made]
    np.testing.assert_allclose(*weights, rtol=1e-12)
