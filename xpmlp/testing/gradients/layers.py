"""Gradient checks of layers, losses and estimators of xpmlp, and of those written for it."""

import math

import numpy as np

from ...arrays import as_float, float_dtype, from_host, namespace, to_host
from ...engines import Batch, engine_for
from ...nn import Ctx, Layout
from ...nn.layout import get, map_params, path_name, put, walk
from ...nn.losses import LOSSES
from ...optim import make_rule
from ...randomness import step_keys, stream
from ...training.inputs import checked_inputs, loss_and_targets
from ...training.plan import copy_plan, make_plan
from ...training.step import Step, full_gradient
from ...words import check_word
from ..own_code.trees import host_array
from .differences import Quotients
from .report import GradientReport
from .verdicts import explain_array

LIMIT = 400  # arrays up to this size are checked at every coordinate


def check_layer(layer, data, dtype, loss):
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


def check_loss(loss, data, dtype):
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


def check_estimator(estimator, data, dtype):
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
