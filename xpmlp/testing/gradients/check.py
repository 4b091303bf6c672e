"""`check_gradients`: is this backward pass the derivative of this forward pass, and if not, why?"""

import math
from typing import Any

import numpy as np

from ...arrays import as_float, float_dtype, from_host, is_array, namespace, to_host
from ...engines import Batch, engine_for
from ...nn import Activation, ActivationFunction, Ctx, Layer, Layout, Loss
from ...nn.layout import get, map_params, path_name, put, walk
from ...nn.losses import LOSSES
from ...optim import make_rule
from ...randomness import step_keys, stream
from ...training.inputs import checked_inputs, checked_targets, network_loss
from ...training.plan import make_plan, to_device
from ...training.step import Step, full_gradient
from .differences import Quotients, looked_at
from .functions import check_functions
from .report import ArrayCheck, GradientReport
from .verdicts import explain_array

LIMIT = 400  # arrays up to this size are checked at every coordinate


def check_gradients(subject: Any, *args, dtype="float64", loss: str | None = None, **data):
    """Check a backward pass against differences of its forward pass, and say what is wrong.

    ``check_gradients(subject, X, y=None)`` takes a layer, an activation, a network, a loss (X are
    then outputs) or an estimator (fitted, or as it would start). ``check_gradients(forward,
    backward, params, X, y=None)`` takes anybody's own functions, plain NumPy included.

    Parameters
    ----------
    subject : Layer, ActivationFunction, Loss, Network, estimator, or callable
        As a callable, ``forward(params, X[, y])`` returns the cost, or (cost, dict of its
        intermediate values), which sharpens the diagnosis.
    backward : callable
        ``backward(params, X[, y])`` returns the gradients in the form of `params`. It is called
        right after `forward` on the same arguments.
    params : dict or list of arrays
        Samples may stand in rows or in columns.
    X, y : arrays
        Of any library; what is checked runs there. A few samples are enough.
    dtype : {"float64", "float32"}
        To compute in. float32 gets wider bounds, which the report states.
    loss : str, default="squared_error"
        For a network with y.

    Returns
    -------
    GradientReport
        ``report.ok``, ``report.mistakes``; ``print(report)`` explains.

    References
    ----------
    Press et al. 2007, section 5.7 (central differences); Squire & Trapp 1998 (complex step, for
    functions that take complex numbers; it sees no kinks, so layers and losses do without).

    Examples
    --------
    >>> import numpy as np
    >>> from xpmlp import nn
    >>> X = np.linspace(-1, 1, 12).reshape(6, 2)
    >>> check_gradients(nn.Dense(3, "tanh"), X).ok
    True
    >>> def forward(p, X, y):
    ...     return np.sum((np.tanh(X @ p["W1"] + p["b1"]) @ p["W2"] - y) ** 2)
    >>> def backward(p, X, y):
    ...     a = np.tanh(X @ p["W1"] + p["b1"])
    ...     d2 = 2 * (a @ p["W2"] - y)
    ...     d1 = d2 @ p["W2"].T  # and the derivative of tanh?
    ...     return {"W1": X.T @ d1, "b1": d1.sum(axis=0), "W2": a.T @ d2}
    >>> rng = np.random.default_rng(0)
    >>> p = {"W1": rng.normal(size=(2, 3)), "b1": np.zeros(3), "W2": rng.normal(size=(3, 1))}
    >>> report = check_gradients(forward, backward, p, X, X[:, :1])
    >>> [(mistake.kind, mistake.layer) for mistake in report.mistakes]
    [('derivative_missing', 1)]
    """
    dtype = str(getattr(dtype, "__name__", dtype))
    if dtype not in ("float64", "float32"):
        raise ValueError(f"dtype must be 'float64' or 'float32', got {dtype!r}.")
    if set(data) - {"X", "y"}:
        raise TypeError(f"check_gradients takes no argument {', '.join(set(data) - {'X', 'y'})}.")
    args += tuple(data[name] for name in ("X", "y") if data.get(name) is not None)
    if isinstance(subject, ActivationFunction):
        subject = Activation(subject)
    if isinstance(subject, Layer):
        return _check_layer(subject, _data(args, "a layer"), dtype, loss)
    if loss is not None:
        raise ValueError(f"loss={loss!r} is for a layer or network with y; leave it out.")
    if isinstance(subject, type):
        raise TypeError(f"check_gradients got the class {subject.__name__}: make one first.")
    if isinstance(subject, Loss):
        return _check_loss(subject, _data(args, "a loss", need_y=True), dtype)
    if hasattr(subject, "find_learning_rate"):
        return _check_estimator(subject, _data(args, "an estimator", need_y=True), dtype)
    if callable(subject) and args and callable(args[0]):
        if not 3 <= len(args) <= 4:
            raise TypeError(
                "check_gradients(forward, backward, params, X, y) takes parameters and data, got "
                f"{len(args) - 1} arguments after backward."
            )
        return check_functions(subject, *args, dtype=dtype)
    raise TypeError(
        "check_gradients takes a layer (derived from nn.Layer), loss, network or estimator with X "
        f"and y, or forward, backward, params, X and y; got {type(subject).__name__}."
    )


def assert_gradients(subject: Any, *args, **options) -> None:
    """Raise AssertionError with the report of `check_gradients` unless the gradients are right.

    Examples
    --------
    >>> import numpy as np
    >>> from xpmlp import nn
    >>> assert_gradients(nn.losses.LOSSES["poisson"], np.ones((4, 2)), np.ones((4, 2)))
    """
    report = check_gradients(subject, *args, **options)
    if not report.ok:
        raise AssertionError(str(report))


def _data(args, what, need_y=False):
    """Return X and y, or say what is missing."""
    if not 1 + need_y <= len(args) <= 2:
        wants = "X and y" if need_y else "X (and y)"
        raise TypeError(f"check_gradients of {what} takes {wants}, got {len(args)} arguments.")
    X, y = (*args, None)[:2]
    try:
        X = X if is_array(X) else np.asarray(X, np.float64)
    except (TypeError, ValueError) as error:
        raise TypeError(f"X must be an array of numbers, got {X!r:.60}.") from error
    return X, y


def _check_layer(layer, data, dtype, loss):
    """Check a layer or network at its initial parameters, all of them moved off zero."""
    X, y = data
    x = checked_inputs(X, dtype)
    params, n_out = layer.init(x.shape[1], stream(0, "init"))
    rng = np.random.default_rng(0)
    moved = {
        path: np.asarray(a) + (0.1 * rng.normal(size=a.shape) if group.trained else 0.0)
        for path, group, a in walk(layer, params)
    }
    params = {}
    for path, a in moved.items():
        put(params, path, from_host(a, x, dtype))
    if y is None:
        cotangent = rng.normal(size=(x.shape[0], n_out))
        head: Any = _Cotangent(cotangent, from_host(cotangent, x, dtype))
    else:
        loss = loss or "squared_error"
        if loss not in LOSSES:
            raise ValueError(f"loss must be one of {', '.join(LOSSES)}, got {loss!r}.")
        head = _Head(network_loss(loss, n_out), checked_targets(y, x, n_out, loss))
    name = type(layer).__name__
    where = "the initial parameters, each moved by 0.1 N(0, 1)" if moved else "no parameters"
    return _check_chain(name, layer, params, x, head, dtype, [f"At {where}"])


class _Cotangent:
    """sum(outputs * a random array): every output counts, with a weight of its own."""

    def __init__(self, host, device):
        self.host, self.device = host, device

    def value(self, outputs):
        return float(np.sum(to_host(outputs).astype(np.float64) * self.host))

    def gradient(self, outputs):
        return self.device

    def size(self, outputs):
        return float(np.sum(np.abs(to_host(outputs) * self.host)))


class _Head:
    """A loss with targets."""

    def __init__(self, loss, y):
        self.loss, self.y = loss, y

    def value(self, outputs):
        return float(to_host(self.loss(outputs, self.y)[0]))

    def gradient(self, outputs):
        return self.loss(outputs, self.y)[1]

    def size(self, outputs):
        return abs(self.value(outputs)) + float(np.abs(to_host(outputs)).mean())


def _check_chain(name, layer, params, x, head, dtype, notes):
    """Check dx and every trained parameter of ``head(layer(x))``."""
    n = x.shape[0]
    key = from_host(step_keys(0, np.asarray([1]))[0], x, "int32")
    weights = from_host(np.full(n, 1.0 / n), x, dtype)
    ctx = Ctx(namespace(x), True, weights=weights, n_rows=weights[:1] * n, key=key)
    outputs, cache = layer.forward(params, x, ctx)
    passed = layer.backward(params, head.gradient(outputs), cache, ctx)
    if not (isinstance(passed, tuple) and len(passed) == 2 and isinstance(passed[1], dict)):
        raise TypeError(
            f"{name}.backward must return (dx, a dict of gradients), got {passed!r:.80}."
        )
    dx, updates = passed
    trained = [(path, a) for path, group, a in walk(layer, params) if group.trained]

    def f(arrays):
        moved: dict = {}
        for path, _, a in walk(layer, params):
            put(moved, path, a)
        for (path, _), a in zip(trained, arrays[1:]):
            put(moved, path, from_host(a, x, dtype))
        out, _ = layer.forward(moved, from_host(arrays[0], x, dtype), ctx)
        return head.value(out)

    report = GradientReport(name)
    if dx is None:
        report.add("zero", None, "backward returns no dx, though ctx.need_dx is True")
    names = ["X", *(_parameter(path) for path, _ in trained)]
    gradients = [dx]
    for path, _ in trained:
        try:
            gradients.append(get(updates, path))
        except KeyError:
            text = f"backward returns no gradient of {_parameter(path)}: it is missing in updates."
            report.add("zero", None, text)
            gradients.append(None)
    layers = [None, *(_layer(path) for path, _ in trained)]
    size, longest = head.size(outputs), max([n, *(max(a.shape) for _, a in trained), x.shape[1]])
    arrays = [to_host(x), *(to_host(a) for _, a in trained)]
    measure(report, f, names, arrays, gradients, layers, dtype=dtype, size=size, longest=longest)
    report.notes += notes
    return report


def measure(report, f, names, arrays, gradients, layers, *, dtype, size, longest):
    """Add a line an array to the report, and what is wrong with the wrong ones."""
    eps = float(np.finfo(dtype).eps)
    # A sum of `longest` terms of total size `size` is off by about eps sqrt(longest) size.
    noise = eps * (2 + math.sqrt(longest)) * max(size, 1e-300)
    rtol = max(1e-8, 16 * eps * math.sqrt(longest))
    quotients = Quotients(f, arrays, dtype, noise)
    looked: dict[str, Any] = {}
    for i, (name, a, gradient, layer) in enumerate(zip(names, arrays, gradients, layers)):
        if gradient is None:
            continue
        g = to_host(gradient) if is_array(gradient) else np.asarray(gradient)
        fits = g.shape == a.shape and np.isfinite(g).all()
        found = quotients.look(i, g if fits else np.full(a.shape, np.nan), limit=LIMIT, rtol=rtol)
        error, bound, ok, kinks = found.compare(g if fits else np.zeros(a.shape), rtol)
        looked[name] = (found, a, g, layer)
        where = looked_at(found, a.size)
        report.checks.append(
            ArrayCheck(f"d{name}", ok and fits, g.shape, error if fits else math.nan, bound, where,
                       kinks)
        )  # fmt: skip
    for name, (found, a, g, layer) in looked.items():
        check = next(c for c in report.checks if c.name == f"d{name}")
        if not check.ok:
            others = {k: v[0] for k, v in looked.items() if k != name and v[1].shape == a.shape}
            kind, text = explain_array(name, found, a, g, others, rtol)
            report.add(kind, layer, text)
    report.notes.append(
        f"Checked in {dtype} by central differences; a bound is what rounding allows: values of "
        f"size {size:.2g}, sums of up to {longest} terms, eps {eps:.1e}"
    )


def _parameter(path):
    """Name a parameter: (0, "W") is W1, ("s",) is s."""
    if len(path) == 2 and isinstance(path[0], int):
        return f"{path[1]}{path[0] + 1}"
    return path_name(path)


def _layer(path):
    return path[0] + 1 if isinstance(path[0], int) else None


def _check_loss(loss, data, dtype):
    """Check a loss with respect to its outputs X, the rows weighted unequally."""
    X, y = data
    x = checked_inputs(X, dtype)
    y = checked_targets(y, x, x.shape[1], loss.name)
    if loss.link == "softmax" and np.abs(to_host(y).sum(axis=-1) - 1.0).max() > 1e-6:
        raise ValueError(f"{loss.name} needs targets whose rows sum to one, as one-hot rows do.")
    w = np.linspace(1.0, 2.0, x.shape[0])
    weights = from_host(w / w.sum(), x, dtype)
    value, d = loss(x, y, weights)

    def f(arrays):
        return float(to_host(loss(from_host(arrays[0], x, dtype), y, weights)[0]))

    report = GradientReport(f"loss {loss.name}")
    size = abs(float(to_host(value))) + float(np.abs(to_host(x)).mean())
    measure(report, f, ["outputs"], [to_host(x)], [d], [None], dtype=dtype, size=size,
            longest=x.shape[0] * x.shape[-1])  # fmt: skip
    return report


def _check_estimator(estimator, data, dtype):
    """Check the objective that the estimator minimises, penalty included, through its step."""
    from ...estimators.explaining import present_problem  # scikit-learn, which layers need not

    problem = present_problem(estimator, *data)
    rows, alpha, network = problem.rows, problem.options.alpha, problem.model.network
    x = as_float(rows.x, float_dtype(rows.x, dtype))
    engine, xp, n = engine_for(x), namespace(x), x.shape[0]
    params = map_params(lambda a: as_float(a, dtype), problem.params)
    targets = as_float(rows.targets, dtype)
    layout = Layout.of(network, params, contiguous=False)
    store = layout.pack(params, xp=xp)
    trained = [leaf for leaf in layout.leaves if leaf.group.trained]
    buffers = {k: store[k] for k in store if k not in {leaf.name for leaf in trained}}
    step = Step(
        network, problem.loss, make_rule("sgd"), layout, n, dtype, penalised=alpha > 0,
        decoupled=False,
    )  # fmt: skip
    plan = make_plan(step.rule, np.arange(n), batch_size=n, lr=0.0, seed=0, alpha=alpha)
    hyper = to_device(plan, x, dtype).at(0)
    objective = engine.compile(full_gradient(step, xp=xp, kernels=engine.kernels))

    def run(arrays):
        moved = {leaf.name: from_host(a, x, dtype) for leaf, a in zip(trained, arrays[1:])}
        return objective(moved, buffers, Batch(from_host(arrays[0], x, dtype), targets, hyper))

    arrays = [to_host(x), *(to_host(store[leaf.name]) for leaf in trained)]
    total, _, grads = run(arrays)
    ctx = Ctx(xp, True, engine.kernels, hyper.weights, hyper.n_rows, hyper.key)
    outputs, caches = network.forward(params, x, ctx)
    d = problem.loss(outputs, targets, hyper.weights)[1]
    gradients = [network.backward(params, d, caches, ctx)[0], *(grads[t.name] for t in trained)]
    paths = [leaf.slots[0].path for leaf in trained]
    report = GradientReport(type(estimator).__name__)
    measure(
        report, lambda a: float(to_host(run(a)[0])), ["X", *map(_parameter, paths)], arrays,
        gradients, [None, *map(_layer, paths)], dtype=dtype,
        size=abs(float(to_host(total))) + float(np.abs(to_host(outputs)).mean()),
        longest=max([n, *(max(a.shape) for a in arrays)]),
    )  # fmt: skip
    fitted = hasattr(estimator, "coefs_")
    report.notes.append("At the fitted weights" if fitted else "At the initial weights")
    return report
