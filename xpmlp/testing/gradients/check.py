"""`check_gradients`: is this backward pass the derivative of this forward pass, and if not, why?"""

import inspect
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
from ...training.inputs import checked_inputs, loss_and_targets
from ...training.plan import copy_plan, make_plan
from ...training.step import Step, full_gradient
from ...words import check_word
from ..own_code.adapters import Functions
from ..own_code.calls import DATA
from ..own_code.predictions import fitting
from ..own_code.trees import host_array
from .code import Code
from .differences import Quotients
from .functions import check_functions
from .report import GradientReport
from .verdicts import explain_array

BROUGHT = ("forward", "backward", "params", "X", "y")
LIMIT = 400  # arrays up to this size are checked at every coordinate


def check_gradients(
    subject: Any = None,
    *args: Any,
    dtype: str = "float64",
    loss: Any = None,
    rate: float | None = None,
    **data: Any,
) -> GradientReport:
    """Check a backward pass against differences of its forward pass, and explain what is wrong.

    ``check_gradients(subject, X, y=None)`` takes a layer, an activation, a network, a loss (X are
    then outputs) or an estimator (fitted, or as it would start). ``check_gradients(forward,
    backward, params, X, y=None)`` takes your own functions, plain NumPy included.

    Parameters
    ----------
    subject : Layer, ActivationFunction, Loss, Network, estimator, or callable
        As a callable, ``forward(params, X[, y])`` returns the cost, or (cost, dict of its
        intermediate values), which sharpens the diagnosis; with `loss` it returns predictions or
        all activations. Arguments may stand in another order, or be arrays under their names.
        Without `backward` it returns the cost and the gradients.
    backward : callable
        ``backward(params, X[, y])`` returns the gradients in the form of `params`, or as a tuple,
        or a dict with keys such as dW1; or it updates `params` in place by a `rate`. It may take
        what forward returned (``cache``). It is called right after `forward`.
    params : dict or list of arrays, or array
        Samples may stand in rows or in columns.
    X, y : arrays
        Of any library; what is checked runs there. A few samples are enough. For functions X may
        be a list of pairs (x, y).
    dtype : {"float64", "float32"}, default="float64"
        To compute in. float32 gets wider bounds, which the report states.
    loss : str or callable, default="squared_error"
        For a network with y. For functions that return predictions: "squared_error", "log_loss",
        or their common names; sum or mean, with 1/2 or without, as most gradients have it, which
        a note says ("mse" is a mean, "sse" a sum). Or a function of the predictions and y.
    rate : float, optional
        Of the update in a function that returns no gradients: these are (old - new) / rate.

    Returns
    -------
    GradientReport
        ``report.ok``, ``report.mistakes``; ``print(report)`` explains.

    Raises
    ------
    TypeError, ValueError
        When the arguments are none of these.

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

    A forward that returns predictions, and a backward that returns a tuple:

    >>> def predict(X, W):
    ...     return X @ W
    >>> def gradients(X, y, W):
    ...     return (X.T @ (y - X @ W),)
    >>> params = {"W": np.ones((2, 1))}
    >>> print(check_gradients(predict, gradients, params, X, X[:, :1], loss="sse").mistakes[0].kind)
    sign
    """
    dtype = str(getattr(dtype, "__name__", dtype))
    check_word("dtype", dtype, ("float64", "float32"))
    if others := set(data) - {*BROUGHT}:
        raise TypeError(f"check_gradients takes no argument {', '.join(sorted(others))}.")
    given = {name: value for name, value in data.items() if value is not None}
    if subject is None:
        subject = given.pop("forward", None)
    args = (*(given[name] for name in BROUGHT[:3] if name in given), *args)
    args += tuple(given[name] for name in DATA if name in given)
    if isinstance(subject, ActivationFunction):
        subject = Activation(subject)
    known = isinstance(subject, Layer | Loss) or hasattr(subject, "find_learning_rate")
    if not known and not isinstance(subject, type):
        return _check_own_code(subject, args, dtype, loss, rate)
    if isinstance(subject, type):
        raise TypeError(f"check_gradients got the class {subject.__name__}: make one first.")
    if rate is not None:
        raise ValueError(f"rate={rate!r} is for functions of your own; leave it out.")
    if isinstance(subject, Layer):
        return _check_layer(subject, _data(args, "a layer"), dtype, loss)
    if loss is not None:
        raise ValueError(f"loss={loss!r} is for a layer or network with y; leave it out.")
    if isinstance(subject, Loss):
        return _check_loss(subject, _data(args, "a loss", "X and y"), dtype)
    return _check_estimator(subject, _data(args, "an estimator", "X and y"), dtype)


def _check_own_code(subject, args, dtype, loss, rate):
    """Check functions or an object of somebody's own."""
    if callable(subject) and args and callable(args[0]):
        if not 3 <= len(args) <= 4:
            raise TypeError(
                "check_gradients(forward, backward, params, X, y) takes parameters and data, got "
                f"{len(args) - 1} arguments after backward."
            )
        source = Functions(subject, args[0], args[1], args[2:], loss, rate)
    elif inspect.isroutine(subject) and 2 <= len(args) <= 3:
        source = Functions(subject, None, args[0], args[1:])
    else:
        raise TypeError(
            "check_gradients takes a layer (derived from nn.Layer), loss, network or estimator "
            "with X and y, or forward, backward, params, X and y; got "
            f"{type(subject).__name__}."
        )
    return _check_in_best_scale(source, dtype)


def _check_in_best_scale(source, dtype):
    """Check what was brought; where a word says the cost, in the scale that the gradients have.

    That is the one that fits most of them, and if none fits, the one that leaves fewest mistakes.
    """
    if source.predicted is None or source.predicted.own:
        report = check_functions(source, dtype)
        report.notes += source.notes
        return report
    readings, n_fit = fitting(Code(source, dtype), source)
    reports = []
    for reading in readings[: 1 if n_fit else None]:
        source.reading = reading
        reports.append(check_functions(source, dtype))
        note = f"The cost is {reading}: of what loss={source.predicted.loss!r} may mean, the scale"
        reports[-1].notes += [f"{note} that fits best", *source.notes]
    return min(reports, key=lambda report: len(report.mistakes))


def assert_gradients(subject: Any, *args: Any, **options: Any) -> None:
    """Raise an AssertionError that explains what is wrong, unless the gradients are right.

    Parameters
    ----------
    subject, *args, **options : any
        As in `check_gradients`.

    Raises
    ------
    AssertionError
        Its message is the report of `check_gradients`.

    Examples
    --------
    >>> import numpy as np
    >>> from xpmlp import nn
    >>> assert_gradients(nn.losses.LOSSES["poisson"], np.ones((4, 2)), np.ones((4, 2)))
    """
    report = check_gradients(subject, *args, **options)
    if not report.ok:
        raise AssertionError(str(report))


def _data(args, what, wants="X (and y)"):
    """Return X and y, or say what is missing."""
    if not 1 + (wants == "X and y") <= len(args) <= 2:
        raise TypeError(f"check_gradients of {what} takes {wants}, got {len(args)} arguments.")
    X, y = (*args, None)[:2]
    try:
        if not is_array(X):
            X = np.asarray(X, np.float64)
    except (TypeError, ValueError) as error:
        raise TypeError(f"X must be an array of numbers, got {X!r:.60}.") from error
    return X, y


def _check_layer(layer, data, dtype, loss):
    """Check a layer or network at its initial parameters, all of them moved off zero."""
    X, y = data
    x, rng = checked_inputs(X, dtype), np.random.default_rng(0)
    initial, n_out = layer.init(x.shape[1], stream(0, "init"))
    params: dict = {}
    for path, group, a in walk(layer, initial):
        if group.trained:
            a = np.asarray(a) + 0.1 * rng.normal(size=a.shape)
        put(params, path, from_host(a, x, dtype))
    if y is None:
        cost = _random_cost(rng.normal(size=(x.shape[0], n_out)), x, dtype)
    else:
        loss = loss or "squared_error"
        check_word("loss", loss, LOSSES)
        cost = _cost_of(*loss_and_targets(loss, y, x, n_out))
    report = _check_chain(layer, params, x, cost, dtype)
    where = "the initial parameters, each moved by 0.1 N(0, 1)" if params else "no parameters"
    report.notes.append(f"At {where}")
    return report


def _random_cost(weights, x, dtype):
    """Return the function outputs -> (sum(weights * outputs), its gradient, size of the sum)."""
    gradient = from_host(weights, x, dtype)

    def cost(outputs):
        terms = to_host(outputs).astype(np.float64) * weights
        return float(np.sum(terms)), gradient, float(np.sum(np.abs(terms)))

    return cost


def _cost_of(loss, *data):
    """Return the function outputs -> (loss, its gradient, size of what it sums)."""

    def cost(outputs):
        value, gradient = loss(outputs, *data)
        value = float(to_host(value))
        return value, gradient, abs(value) + float(np.abs(to_host(outputs)).mean())

    return cost


def _check_chain(layer, params, x, cost, dtype):
    """Check dx and every trained parameter of ``cost(layer(x))``."""
    name, n = type(layer).__name__, x.shape[0]
    key = from_host(step_keys(0, np.asarray([1]))[0], x, "int32")
    weights = from_host(np.full(n, 1.0 / n), x, dtype)
    ctx = Ctx(namespace(x), True, weights=weights, n_rows=weights[:1] * n, key=key)
    outputs, cache = layer.forward(params, x, ctx)
    _, gradient, size = cost(outputs)
    passed = layer.backward(params, gradient, cache, ctx)
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
        return cost(layer.forward(moved, from_host(arrays[0], x, dtype), ctx)[0])[0]

    report, arrays = GradientReport(name), [("X", to_host(x), dx, None)]
    if dx is None:
        report.add("zero", None, "backward returns no dx, though ctx.need_dx is True")
    for path, a in trained:
        try:
            gradient = get(updates, path)
        except KeyError:
            text = f"backward returns no gradient of {_parameter(path)}: it is missing in updates."
            report.add("zero", None, text)
            gradient = None
        arrays.append((_parameter(path), to_host(a), gradient, _layer(path)))
    longest = max(max(a.shape) for _, a, _, _ in arrays)
    _compare(report, f, arrays, dtype=dtype, size=size, longest=longest)
    return report


def _compare(report, f, arrays, *, dtype, size, longest):
    """Add a line an array to the report, and what is wrong with the wrong ones.

    arrays: [(name, array, gradient, layer)]; size: of what f sums, `longest` numbers at most.
    """
    eps = float(np.finfo(dtype).eps)
    # A sum of `longest` terms of total size `size` is off by about eps sqrt(longest) size.
    noise = eps * (2 + math.sqrt(longest)) * max(size, 1e-300)
    rtol = max(1e-8, 16 * eps * math.sqrt(longest))
    quotients = Quotients(f, [a for _, a, _, _ in arrays], eps, noise, LIMIT, rtol)
    measured: dict = {}
    for i, (name, a, gradient, layer) in enumerate(arrays):
        if gradient is not None:
            g = host_array(gradient)
            derivatives, check = quotients.compare(i, name, g)
            report.checks.append(check)
            measured[name] = derivatives, a, g, layer, check.ok
    for name, (_, _, _, layer, ok) in measured.items():
        if not ok:
            kind, words = explain_array(name, measured, rtol)
            report.add(kind, layer, f"d{name} {words}")
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
    loss, y = loss_and_targets(loss, y, x, x.shape[1])
    rows = loss.link == "softmax" and not loss.codes
    if rows and np.abs(to_host(y).sum(axis=-1) - 1.0).max() > 1e-6:
        raise ValueError(f"{loss.name} needs targets whose rows sum to one, as one-hot rows do.")
    w = np.linspace(1.0, 2.0, x.shape[0])
    cost = _cost_of(loss, y, from_host(w / w.sum(), x, dtype))
    _, d, size = cost(x)
    f = lambda arrays: cost(from_host(arrays[0], x, dtype))[0]
    report = GradientReport(f"loss {loss.name}")
    longest = x.shape[0] * x.shape[-1]
    arrays = [("outputs", to_host(x), d, None)]
    _compare(report, f, arrays, dtype=dtype, size=size, longest=longest)
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
    rule, penalised = make_rule("sgd"), alpha > 0
    step = Step(network, problem.loss, rule, layout, n, dtype, penalised=penalised, decoupled=False)
    plan = make_plan(rule, np.arange(n), batch_size=n, lr=0.0, seed=0, alpha=alpha)
    hyper = copy_plan(plan, x, dtype).at(0)
    objective = engine.compile(full_gradient(step, xp=xp, kernels=engine.kernels))

    def run(arrays):
        moved = {leaf.name: from_host(a, x, dtype) for leaf, a in zip(trained, arrays[1:])}
        return objective(moved, buffers, Batch(from_host(arrays[0], x, dtype), targets, hyper))

    host = [to_host(x), *(to_host(store[leaf.name]) for leaf in trained)]
    total, _, grads = run(host)
    ctx = Ctx(xp, True, engine.kernels, hyper.weights, hyper.n_rows, hyper.key)
    outputs, caches = network.forward(params, x, ctx)
    d = problem.loss(outputs, targets, hyper.weights)[1]
    arrays = [("X", host[0], network.backward(params, d, caches, ctx)[0], None)]
    for leaf, a in zip(trained, host[1:]):
        path = leaf.slots[0].path
        arrays.append((_parameter(path), a, grads[leaf.name], _layer(path)))
    size = abs(float(to_host(total))) + float(np.abs(to_host(outputs)).mean())
    longest = max(max(a.shape) for a in host)
    report, cost = GradientReport(type(estimator).__name__), lambda a: float(to_host(run(a)[0]))
    _compare(report, cost, arrays, dtype=dtype, size=size, longest=longest)
    weights = "fitted weights" if hasattr(estimator, "coefs_") else "initial weights"
    report.notes.append(f"At the {weights}")
    return report
