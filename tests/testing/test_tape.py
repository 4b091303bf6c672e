"""Recorded NumPy functions: the same values to the last bit, and the derivatives of differences."""

import copy
import math
import pickle
import sys

import numpy as np
import pytest
from each import each
from scipy.special import expit, logsumexp, softmax

from xpmlp.testing.tape import Traced, ancestors, plain, pull, recording

R = np.random.default_rng(0)
A, B, V, W = R.normal(size=(4, 3)), R.normal(size=(3, 5)), R.normal(size=3), R.normal(size=4)
P = np.abs(A) + 0.1
LABELS = np.array([0, 2, 1, 2])


def a_loop_over_samples(X, W, b):
    out = np.zeros((len(X), W.shape[1]))
    for i, x in enumerate(X):
        for j in range(W.shape[1]):
            out[i][j] = 1 / (1 + math.exp(-(x @ W[:, j] + b[j])))
    return out


def softmax_cross_entropy(X, W, b):
    z = X @ W + b
    p = np.exp(z - z.max(axis=1, keepdims=True))
    p /= p.sum(axis=1, keepdims=True)
    return -np.mean(np.log(p[np.arange(len(p)), LABELS] + 1e-12))


def batch_norm(X, gamma):
    mean, var = X.mean(axis=0), X.var(axis=0)
    return gamma * (X - mean) / np.sqrt(var + 1e-5)


def written_in_place(a):
    out = a * 2.0
    out[1:3] -= a[0]
    row = out[0]
    row *= a[1]
    out[:, 1][out[:, 1] > 0] = 0.5
    out.T[2] += 1.0
    return np.exp(out)


def written_at_indices(a):
    out = a + 0.0
    out[[0, 0, 1], [0, 0, 2]] = a[1]
    np.fill_diagonal(out, a[0, 0] ** 2)
    out[3] = [a[0, 0], a[0, 1], 2.0]
    np.add.at(out, [1, 1], a[2])
    out[2].sort()
    out[0].fill(a[0, 1])
    out.shape = 2, 6
    return out * 2


def numbers_in_lists(v, w):
    hidden = []
    for j in range(3):
        z = 0
        for i in range(4):
            z += v[j] * w[i]
        hidden.append(1.0 / (1.0 + math.exp(-z)))
    return np.dot(hidden, v) + v @ hidden + np.sum(np.exp(hidden)) + max(hidden)


def recurrent(X, w):
    h = np.zeros((5, 3))
    for t in range(1, 5):
        h[t] = np.tanh(h[t - 1] * w + X[t - 1])
    return h


class Layer:
    def __init__(self, W):
        self.W = W

    def forward(self, X):
        self.z = X @ self.W
        return np.maximum(self.z, 0.01 * self.z)


def added_up(a):
    total, kept = 0.0, None
    for x in a:
        total += x**2
        kept = total if kept is None else kept
    return total * kept


FUNCTIONS = {
    "@": (lambda a, b: a @ b, A, B),
    "@ in columns": (lambda a, b: b.T @ a.T, A, B),
    "dot": (np.dot, A, B),
    ".dot of a vector": (lambda a, v: a.dot(v), A, V),
    "dot of 3 axes": (lambda a, b: np.dot(a.reshape(2, 2, 3), b), A, B),
    "outer": (np.outer, V, W),
    "inner": (lambda a: np.inner(a, a + 1), A),
    "inner of vectors": (lambda a: np.inner(a, a**2), V),
    "vdot": (lambda a: np.vdot(a, a), V),
    "einsum": (lambda a, b: np.einsum("ij,jk->ik", a, b), A, B),
    "einsum that sums": (lambda a, b: np.einsum("ij, jk -> k", a, b), A, B),
    "einsum's own result": (lambda a, b: np.einsum("ij,kj", a, b.T), A, B),
    "einsum of a trace": (lambda a: np.einsum("ii->", a[:3]), A),
    "tensordot": (lambda a, b: np.tensordot(a, b, 1), A, B),
    "tensordot of axes": (lambda a: np.tensordot(a, a + 1, ([0], [0])), A),
    "batched @": (lambda a, b: a.reshape(2, 2, 3) @ b, A, B),
    "multiply.outer": (lambda v, w: np.multiply.outer(v, w), V, W),
    "kron": (np.kron, V, W),
    "sum": (lambda a: np.sum(a, 0) * a.sum(), A),
    "sum of a list": (lambda a: np.sum([row @ row for row in a]), A),
    "mean": (lambda a: a.mean(axis=1, keepdims=True) * np.mean(a), A),
    "add.reduce": (np.add.reduce, A),
    "var": (lambda a: np.var(a, axis=0) + a.var(), A),
    "std": (lambda a: a.std(axis=1, keepdims=True), A),
    "average": (lambda a: np.average(a, axis=0, weights=W), A),
    "max": (lambda a: np.max(a, axis=1) * a.max(), A),
    "amin": (lambda a: np.amin(a, axis=0, keepdims=True), A),
    "prod": (lambda v: np.prod(v) + np.prod(v - v[0]), V),
    "cumsum": (lambda a: np.cumsum(a) + a.cumsum(axis=0).ravel(), A),
    "median": (np.median, V),
    "quantiles": (lambda v: np.percentile(v, [20, 60]), V),
    "norm": (lambda a: np.linalg.norm(a) + np.linalg.norm(a, axis=1), A),
    "norm 1": (lambda a: np.linalg.norm(a, 1), A),
    "inverse": (lambda a: np.linalg.inv(a[:3]), A),
    "trace": (lambda a: np.trace(a[:3]), A),
    "arithmetic": (lambda a: (1 - a) / (2 + a * a) - 3 * -a + a / 7, A),
    "powers": (lambda p: p**3 + 2**p + p**p + np.power(p, -0.5), P),
    "logarithms": (lambda p: np.log(p) + np.log1p(p) + np.log2(p) + np.log10(p) + p**0.5, P),
    "exponentials": (lambda a: np.exp(a) + np.expm1(a) + np.exp2(a) + np.sqrt(1 + a**2), A),
    "trigonometry": (lambda a: np.sin(a) * np.cos(a) + np.arctan(a) + np.tan(a), A),
    "hyperbolic": (lambda a: np.tanh(a) + np.sinh(a) * np.cosh(a) + np.arcsinh(a), A),
    "maximum": (lambda a: np.maximum(0, a) + np.minimum(a, 0.1 * a), A),
    "where": (lambda a: np.where(a > 0, a, 0.01 * a), A),
    "einsum of lists": (lambda a, b: np.einsum(a, [0, 1], b, [1, 2], [0, 2]), A, B),
    "logaddexp.reduce": (lambda a: np.logaddexp.reduce(a, axis=1), A),
    "add.reduceat": (lambda v: np.add.reduceat(v, [0, 2]), V),
    "a root that does not count": (lambda p: np.where(p > 1, np.sqrt(np.maximum(p - 1, 0)), 0), P),
    "a mask": (lambda a: a * (a > 0), A),
    "clip": (lambda a: np.clip(a, -0.5, 0.5) + a.clip(min=0), A),
    "abs and sign": (lambda a: np.abs(a) * np.sign(a) + abs(a) + np.heaviside(a, 0), A),
    "logaddexp": (lambda a: np.logaddexp(0, a), A),
    "ufunc where": (lambda a: np.log(a, out=np.zeros((4, 3)), where=a > 0), A),
    "expit": (expit, A),
    "SciPy's softmax": (lambda a: softmax(a, axis=1), A),
    "logsumexp": (lambda a: logsumexp(a, axis=1), A),
    "vectorize": (lambda a: np.vectorize(lambda z: max(z, 0.0) ** 2)(a), A),
    "list comprehension": (lambda a: np.array([[math.tanh(x) for x in row] for row in a]), A),
    "apply_along_axis": (lambda a: np.apply_along_axis(np.sum, 1, a), A),
    "transpose": (lambda a: a.T.copy() + np.swapaxes(a, 0, 1) + a.transpose(1, 0), A),
    "reshape": (lambda a: a.reshape(2, 6).T.ravel() + a.flatten() + np.reshape(a, -1), A),
    "newaxis": (lambda v: (v[:, None] * v)[None].squeeze(), V),
    "indices": (lambda a: a[LABELS] * a[np.arange(4), LABELS][:, None], A),
    "boolean indices": (lambda a: a[a > 0] ** 2, A),
    "broadcast_to": (lambda v: np.broadcast_to(v, (4, 3)) * A, V),
    "repeat and tile": (lambda v: np.repeat(v, 2) + np.tile(v, 2), V),
    "c_": (lambda a: np.c_[np.ones(4), a], A),
    "r_": (lambda a: np.r_[a, a * a], A),
    "append": (lambda v: np.append(v, 1.0), V),
    "insert": (lambda a: np.insert(a, 0, 1, axis=1), A),
    "pad": (lambda a: np.pad(a, ((0, 0), (1, 0)), constant_values=1), A),
    "stacks": (lambda a: np.hstack([a, a * 2]) * np.concatenate((a, a), axis=1), A),
    "vstack": (lambda v: np.vstack((v, v * v)) + np.stack([v, v]), V),
    "column_stack": (lambda v: np.column_stack([v, np.ones(3)]), V),
    "split": (lambda a: np.split(a, 2)[1] * np.array_split(a, 2)[0], A),
    "diag": (lambda v: np.diag(v) + np.triu(np.outer(v, v)), V),
    "out": (lambda a: np.multiply(a, a, out=np.empty((4, 3))), A),
    "asarray": (lambda a: np.asarray(a, dtype=float) * np.array(a), A),
    "in place": (written_in_place, A),
    "at indices": (written_at_indices, A),
    "numbers in lists": (numbers_in_lists, V, W),
    "a recurrence": (recurrent, A, V),
    "an object": (lambda X, W: copy.deepcopy(Layer(W)).forward(X).sum(), A, B),
    "piecewise": (lambda a: np.piecewise(a, [a < 0, a >= 0], [np.tanh, np.square]), A),
    "select": (lambda a: np.select([a < 0, a > 1], [a * 2, a * a], default=0.0), A),
    "frompyfunc": (lambda a: np.frompyfunc(lambda z: z * z, 1, 1)(a).astype(float), A),
    "nan_to_num": (lambda p: np.nan_to_num(-p * np.log(p)), P),
    "sinc": (np.sinc, A),
    "bincount": (lambda w: np.bincount(LABELS, weights=w), W),
    "cov": (lambda a: np.cov(a.T), A),
    "scalars in place": (added_up, V),
    "a loop": (a_loop_over_samples, A, B, R.normal(size=5)),
    "softmax cross-entropy": (softmax_cross_entropy, A, B, R.normal(size=5)),
    "batch norm": (batch_norm, A, V),
}


def record(f, arguments):
    """The tape and the result of a function of arrays."""
    with recording(f) as tape:
        return tape, f(*[tape.leaf(a, f"x{i}") for i, a in enumerate(arguments)])


def differences(f, arguments, dy):
    """The derivative of sum(f * dy) by each argument, by central differences."""
    found = []
    for i, a in enumerate(arguments):
        g = np.zeros(np.shape(a))
        for at in np.ndindex(g.shape):
            ends = []
            for step in (1e-6, -1e-6):
                moved = [np.array(x) for x in arguments]
                moved[i][at] += step
                ends.append(np.sum(dy * f(*moved)))
            g[at] = (ends[0] - ends[1]) / 2e-6
        found.append(g)
    return found


@each("name", list(FUNCTIONS))
def test_a_recorded_function_gives_the_same_bits_and_its_derivative(name):
    f, *arguments = FUNCTIONS[name]
    expected = f(*[np.array(a) for a in arguments])
    before = [np.array(a) for a in arguments]
    tape, result = record(f, arguments)
    np.testing.assert_array_equal(plain(result), expected)
    np.testing.assert_array_equal(result.node.value, expected)
    dy = np.random.default_rng(1).normal(size=np.shape(expected))
    leaves = [node for node in tape.nodes if node.name]
    for g, wanted in zip(pull(result.node, leaves, dy), differences(f, before, dy)):
        np.testing.assert_allclose(g, wanted, rtol=2e-6, atol=2e-8)
    for a, b in zip(arguments, before):
        np.testing.assert_array_equal(a, b)


@each(
    "f, operation",
    [
        (lambda a, b: a.dot(b), "matmul"),
        (np.dot, "matmul"),
        (lambda a, b: a.T, "transpose"),
        (lambda a, b: a[:, None], "reshape"),
        (lambda a, b: a.ravel(), "reshape"),
        (lambda a, b: a[0], "getitem"),
        (lambda a, b: np.c_[np.ones(4), a], "concatenate"),
        (lambda a, b: np.add.reduce(a), "sum"),
        (lambda a, b: np.inner(a[0], b[:, 0]), "matmul"),
        (lambda a, b: a / 2, "divide"),
    ],
)
def test_an_operation_has_one_name_however_it_is_written(f, operation):
    assert record(f, (A, B))[1].node.operation == operation


def test_what_is_written_in_place_leaves_the_values_and_derivatives_before():
    seen = []

    def f(a):
        z = a * 3.0
        seen.append(z.node)
        z[0] = 7.0
        seen.append(z.node)
        z[1] = 5.0
        z += 1.0
        seen.append(z.node)
        return np.sum(z)

    tape, total = record(f, (V,))
    np.testing.assert_array_equal(seen[0].value, V * 3)
    np.testing.assert_array_equal(seen[1].value, [7, *(V[1:] * 3)])
    np.testing.assert_array_equal(seen[2].value, [8, 6, V[2] * 3 + 1])
    for g, wanted in zip(pull(total.node, seen, 1.0), ([0, 0, 1], [1, 0, 1], [1, 1, 1])):
        np.testing.assert_array_equal(g, wanted)


def test_intermediate_values_have_their_derivatives():
    z, a = [], []

    def f(x, w):
        z.append((x @ w).node)
        hidden = np.tanh(x @ w)
        a.append(hidden.node)
        return np.sum(hidden**2)

    tape, cost = record(f, (A, B))
    (da,) = pull(cost.node, a, 1.0)
    np.testing.assert_allclose(da, 2 * np.tanh(A @ B))
    (dz,) = pull(cost.node, a[0].inputs[:1], 1.0)
    np.testing.assert_allclose(dz, da * (1 - np.tanh(A @ B) ** 2))
    np.testing.assert_array_equal(pull(cost.node, z, 1.0)[0], np.zeros((4, 5)))


def test_numpy_is_as_before_after_a_recording_that_fails():
    before = {name: vars(np)[name] for name in dir(np)}, np.vectorize.__call__, math.exp

    def fails(a):
        raise KeyError("as the user's function does")

    with pytest.raises(KeyError):
        record(fails, (A,))
    assert before == ({name: vars(np)[name] for name in dir(np)}, np.vectorize.__call__, math.exp)
    assert "float" not in globals()


def test_a_module_that_is_imported_meanwhile_gets_numpys_own(tmp_path, monkeypatch):
    (tmp_path / "lazily_imported.py").write_text("from numpy import exp, zeros\n")
    monkeypatch.syspath_prepend(tmp_path)

    def f(a):
        import lazily_imported

        return lazily_imported.exp(a)

    _, result = record(f, (V,))
    assert result.node.operation == "exp"
    module = sys.modules.pop("lazily_imported")
    assert module.exp is np.exp and module.zeros is np.zeros


def test_arrays_that_a_function_has_kept_compute_as_plain_ones_afterwards():
    kept = []
    record(lambda a: kept.extend([a * 2, np.zeros(3)]), (V,))
    assert all(isinstance(k, Traced) for k in kept)
    for result in (kept[0] @ kept[0], np.concatenate(kept), kept[1] + 1, np.sum(kept[0])):
        assert not isinstance(result, Traced)
    kept[1][0] = 4.0
    kept[1] += 1.0
    assert kept[1].tolist() == [5, 1, 1]
    assert type(pickle.loads(pickle.dumps(kept[1]))) is np.ndarray


def test_a_global_array_and_a_method_of_it_are_followed():
    tape, result = record(lambda w: np.sum(A.dot(w)), (V,))
    assert isinstance(result, Traced)
    (g,) = pull(result.node, tape.nodes[:1], 1.0)
    np.testing.assert_allclose(g, A.sum(axis=0))
    assert type(A) is np.ndarray


def test_a_float_of_a_traced_number_keeps_it_and_is_a_float():
    def f(a):
        cost = float(np.squeeze(np.sum(a**2)))
        assert isinstance(cost, float) and isinstance(2.0, float) and not isinstance(1, float)
        assert np.zeros(2, dtype=float).dtype == a.astype(float).dtype == np.float64
        return float("2.5") * cost + round(cost, 1) * 0

    _, result = record(f, (V,))
    (g,) = pull(result.node, [n for n in ancestors([result.node]) if n.name], 1.0)
    np.testing.assert_allclose(g, 5 * V)


def test_what_numpy_refuses_raises_the_same():
    for f in (
        lambda a: a @ np.ones(7),
        lambda a: np.concatenate([a, np.ones((1, 9))]),
        lambda a: a.__iadd__(np.ones(9)),
        lambda a: np.sum(a, axis=5),
        lambda a: a[99],
        lambda a: np.add(a, 0.5, out=np.zeros((4, 3), int)),
        lambda a: np.where(),
    ):
        with pytest.raises(Exception) as plain_error:
            f(A.copy())
        with pytest.raises(Exception) as error:
            record(f, (A,))
        assert isinstance(plain_error.value, error.type)  # NumPy's own for ufuncs is more special
