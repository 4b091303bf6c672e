"""The parity suite must find what is wrong with a library, and name it: faults are planted."""

import json
from dataclasses import dataclass

import numpy as np
import pytest
from parity_suites import STRICT, plant_kernel, rolled, then

from xpmlp import nn
from xpmlp.arrays import location_of
from xpmlp.errors import DeviceError
from xpmlp.nn.activations import ACTIVATIONS
from xpmlp.nn.initializers import INITIALIZERS
from xpmlp.nn.losses import LOSSES
from xpmlp.nn.network import LAYERS
from xpmlp.optim import RULES
from xpmlp.testing import check_parity
from xpmlp.testing.backends import choose, find
from xpmlp.testing.parity import run_operation, run_parity
from xpmlp.testing.parity.compare import EQUAL, Operation, norm, ulp
from xpmlp.testing.parity.operations import operations

pytest_plugins = ["pytester"]
OPERATIONS = list(operations())
TOLD = "raised {} (on NumPy in longdouble, to compare with): "


def first(dtype, library=STRICT):
    """The first failure: (operation, problem)."""
    backend = find(library)
    rows = (row for op in OPERATIONS for row in run_operation(op, backend, dtype))
    return next(((row.operation, row.problem) for row in rows if row.problem), None)


# ---- What it runs


def test_every_row_of_every_registry_is_an_operation():
    names = [op.name for op in OPERATIONS]
    kinds = {
        "activation": ACTIVATIONS,
        "loss": LOSSES,
        "layer": LAYERS,
        "initializer": INITIALIZERS,
        "update rule": RULES,
    }
    rows = {f"{kind} {name}" for kind, rows in kinds.items() for name in rows}
    others = {"random bits", "MLPClassifier, 8 steps", "MLPRegressor, 8 steps"}
    assert rows | others <= set(names) and len(names) == len(set(names))


@pytest.mark.parametrize("name", ["numpy", STRICT, "array_api_strict:no_float64"])
def test_these_libraries_pass(name):
    made = run_parity(name)
    assert made.ok, str(made)
    assert len(made.rows) > 80 * len(find(name).floats)


@pytest.mark.parametrize("xp", ["torch", "cupy"], indirect=True)
def test_other_libraries_that_are_installed_pass(xp):
    made = run_parity(xp.name)
    assert made.ok, str(made)


# ---- Planted faults: found, and named


def rounded(bits):
    """Factors of products in fewer bits, as a matrix unit takes them."""

    def shorter(x):
        significand, exponent = np.frexp(x._array)
        a = np.ldexp(np.round(significand * 2.0 ** (bits + 1)) / 2.0 ** (bits + 1), exponent)
        return like(x, a.astype(x._array.dtype))

    return lambda product: lambda a, b: product(shorter(a), shorter(b))


def like(x, a):
    return type(x)._new(a, device=x.device)


def single(x):
    return like(x, x._array.astype(np.float32).astype(x._array.dtype))


def cpu(x):
    return x.to_device(type(x.device)("CPU_DEVICE"))


def off_by_one(take):
    return lambda x, rows, axis: take(x, (rows + 1) % x.shape[axis], axis=axis)


# of array_api_strict: function -> what takes its place, dtype, the operation named, what is said
FAULTS = {
    "matmul in TF32": (
        "@", rounded(10), "float32",
        "product of 128 x 128: precision", "products keep 10 of 23 bits, as TF32 does",
    ),
    "matmul in bfloat16": (
        "@", rounded(7), "float32",
        "product of 128 x 128: precision", "products keep 7 of 23 bits, as bfloat16 does",
    ),
    "matmul in float32": (
        "@", rounded(23), "float64",
        "product of 128 x 128: precision", "products keep 23 of 52 bits, as float32 does",
    ),
    "sum in float32": (
        "sum", then(single), "float64", "sum of 300 terms: sum", "as large as float32's rounding",
    ),
    "exp by float32": (
        "exp", then(single), "float64",
        "activation logistic: forward", "as large as float32's rounding",
    ),
    "sign of tanh": (
        "tanh", then(lambda x: -x), "float64",
        "activation tanh: forward", "bound 8: the sign is flipped",
    ),
    "tanh is poor": (
        "tanh", then(lambda x: x * (1 + 1e-13)), "float64",
        "activation tanh: forward", "ulp, bound 8",
    ),
    "NaN": (
        "maximum", then(lambda x: x * float("nan")), "float32",
        "activation relu: forward", "holds NaN or infinity",
    ),
    "rows off by one": (
        "take", off_by_one, "float32", "rows of a batch: rows", "960 of its numbers differ",
    ),
    "store in another order": (
        "concat", lambda f: lambda parts, axis: f(parts[::-1], axis=axis), "float32",
        "parameters side by side: store", "56 of its numbers differ",
    ),
    "root": (
        "sqrt", then(lambda x: x * (1 + 1e-12)), "float64",
        "layer BatchNorm: forward", "eps, bound",
    ),
    "labels": (
        "argmax", then(lambda x: x * 0), "float32",
        "MLPClassifier, 8 steps: predict", "of its numbers differ",
    ),
}  # fmt: skip


@pytest.mark.parametrize("fault", FAULTS)
def test_a_faulty_function_of_a_library_is_found_and_the_operation_named(fault, monkeypatch):
    import array_api_strict as xs

    name, faulty, dtype, operation, said = FAULTS[fault]
    owner, name = (type(xs.ones(1)), "__matmul__") if name == "@" else (xs, name)
    monkeypatch.setattr(owner, name, faulty(getattr(owner, name)))
    found, problem = first(dtype)
    assert found == operation and said in problem
    assert ("float32's rounding" in problem) == ("float32's rounding" in said)


MISPLACED = {
    "device is CPU_DEVICE, expected device1": cpu,
    "dtype is float64, expected float32": lambda x: like(x, x._array.astype(np.float64)),
    "shape is (24, 1), expected (24, 40)": lambda x: x[:, :1],
    "library is numpy, expected array_api_strict; device is cpu, expected device1": (
        lambda x: x._array
    ),
}


@pytest.mark.parametrize("said", MISPLACED)
def test_a_result_in_another_library_place_dtype_or_shape_is_told(said):
    change = lambda x: MISPLACED[said](x) if location_of(x).library == "array_api_strict" else x
    own = nn.ActivationFunction(
        "own", lambda z, xp: change(xp.tanh(z)), lambda da, z, a, xp: 1.0 * da
    )
    row = check_parity(own, STRICT).failures[-1]
    assert row[0] == "activation own: forward" and row.dtype == "float32" and row.problem == said


def test_a_wrong_sign_in_one_librarys_kernel_is_named(monkeypatch):
    plant_kernel(monkeypatch, "dense_backward", then(lambda made: (made[0], -made[1], made[2])))
    assert first("float32")[0] == "layer Dense: updates"
    assert first("float32", "numpy") is None


def test_a_dropout_mask_off_by_one_is_named(monkeypatch):
    plant_kernel(monkeypatch, "random_bits", rolled)
    assert first("float32")[0] == "random bits: bits"


# ---- The bounds


def test_bounds_are_in_units_that_do_not_depend_on_the_dtype():
    for dtype in ("float32", "float64"):
        info = np.finfo(dtype)
        want = np.asarray([1.0, 2.0], np.longdouble)
        got = want + np.asarray([3.0, 0.0], np.longdouble) * info.eps
        assert ulp(4.0).error(got, want, info) == 3.0
        assert norm(4).error(got, want, info) == pytest.approx(3.0 / 5.0**0.5)
        assert EQUAL.error(want.astype(dtype), want, info) == 0
    assert norm(9, passes=4).bound == 10.0


def test_the_oracle_is_wider_than_what_it_judges():
    seen = []
    note = lambda place, x: seen.append(str(x.dtype)) or {"y": x}
    op = Operation("op", (np.ones(2),), note, {"y": EQUAL})
    for dtype in ("float32", "float64"):
        run_operation(op, find("numpy"), dtype)
    assert seen == ["float64", "float32", str(np.dtype("longdouble")), "float64"]


# ---- Libraries by name


@pytest.mark.parametrize(
    "name",
    ["no_such_library", "os", "torch:no_such_device", "numpy:cuda", "numpy:", "", "../x", "a b", 3],
)
def test_a_library_that_does_not_work_is_refused_in_one_sentence(name):
    with pytest.raises(
        DeviceError, match="does not work|no NVIDIA GPU is seen|a library is named as numpy, or"
    ) as caught:
        find(name)
    assert "\n" not in str(caught.value)


def test_a_named_library_that_does_not_work_fails_and_one_that_is_only_installed_does_not(
    monkeypatch,
):
    asked = run_parity("no_such_library", OPERATIONS[:1])
    assert not asked.ok and asked.failures[0].operation == "library works"
    monkeypatch.setattr("xpmlp.testing.backends.LIBRARIES", ("numpy", "os"))
    working, broken, left_out = choose()
    assert [b.name for b in working] == ["numpy"] and not broken and [*left_out] == ["os"]
    assert [*choose(required=["os"])[1]] == ["os"]
    monkeypatch.setenv("XPMLP_BACKENDS", "numpy, os")
    working, broken, left_out = choose()
    assert [*broken] == ["os"] and not left_out


def test_float64_on_a_device_without_it_is_refused_with_what_there_is():
    with pytest.raises(ValueError, match="has no float64: use float32"):
        find("array_api_strict:no_float64").asarray([1.0])


# ---- A layer or an activation of one's own


@dataclass(frozen=True)
class Scale(nn.Layer):
    fault: str = ""

    def init(self, n_in, stream, x=None):
        params = {"s": stream.normal(size=(1, n_in))}
        return params if self.fault == "init" else (params, n_in)

    def forward(self, params, x, ctx):
        if self.fault == "writes":
            x *= 2.0
        y = x * params["s"]
        faulty = {"alone": y, "number": (1.0, (x,)), "nan": (y * float("nan"), (x,))}
        return faulty.get(self.fault, (y, (x,)))

    def backward(self, params, dy, cache, ctx):
        (x,) = cache
        if self.fault == "method":
            return dy * params["s"], {"s": (dy * x).sum(axis=-2, keepdims=True)}
        ds = ctx.xp.sum(dy * x, axis=-2, keepdims=True)
        return dy * params["s"], {} if self.fault == "missing" else {"s": ds}


def test_a_layer_of_ones_own_is_checked_and_its_fault_said():
    assert check_parity(Scale(), ["numpy", STRICT]).ok
    made = check_parity(Scale("method"), ["numpy", STRICT])
    assert {row.library for row in made.failures} == {STRICT}
    assert "has no attribute 'sum'" in str(made) and "layer Scale" in made._repr_html_()
    assert "(in backward: return dy * params" in str(made)


@pytest.mark.parametrize(
    ("fault", "said"),
    [
        ("writes", TOLD.format("ValueError") + "output array is read-only (in forward: x *= 2.0)"),
        ("alone", TOLD.format("TypeError") + "forward must return (y, cache), got a ndarray"),
        ("missing", TOLD.format("ValueError") + "backward returned updates of [], expected ['s']"),
        ("number", "is a float, expected an array"),
        ("nan", "holds NaN or infinity, or NumPy's result does"),
    ],
)
def test_a_layer_that_breaks_the_contract_is_told_what_it_did(fault, said):
    made = check_parity(Scale(fault), "numpy")
    assert made.failures[0].operation == "layer Scale: forward"
    assert made.failures[0].problem.replace(str(np.dtype("longdouble")), "longdouble") == said
    assert json.loads(made.json())["rows"][0]["error"] is None  # JSON has neither NaN nor infinity


def test_an_activation_a_loss_and_a_network_of_ones_own_are_checked():
    square = nn.ActivationFunction("square", lambda z, xp: z * z, lambda da, z, a, xp: 2.0 * da * z)
    network = nn.Network([Scale(), nn.Dense(3, square)])
    for subject in (square, nn.losses.LOSSES["poisson"], network):
        made = check_parity(subject, ["numpy", STRICT])
        assert made.ok, str(made)


@pytest.mark.skipif(np.finfo(np.longdouble).nmant == 52, reason="longdouble is float64 here")
def test_code_that_cannot_be_measured_in_a_wider_float_is_told_from_a_library_that_fails():
    from scipy.special import ndtr

    own = nn.ActivationFunction("cdf", lambda z, xp: ndtr(z), lambda da, z, a, xp: da)
    said = [row.problem for row in check_parity(own, "numpy").failures]
    assert all(TOLD.format("TypeError") in text for text in said)
    assert len(said) == 2 and "(in <lambda>:" in said[0]


def test_what_is_no_layer_is_refused():
    with pytest.raises(TypeError, match="check_parity takes a layer.*got 'relu'"):
        check_parity("relu")
    with pytest.raises(TypeError, match="init must return .params, n_out., got a dict"):
        check_parity(Scale("init"))
