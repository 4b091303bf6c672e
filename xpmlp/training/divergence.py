"""Divergence: the step and layer where a training was no longer finite, ranges of its data."""

import numpy as np

from ..arrays import namespace, to_host
from ..engines import copy_carry
from ..errors import DivergenceError
from ..nn import Ctx
from ..nn.layout import walk
from ..nn.network import describe
from .rows import batch_of, value_range

NON_FINITE = (
    "Solver produced non-finite parameter weights. The input data may contain large values and "
    "need to be preprocessed."
)


def divergence(where, x_range, y_range, rate=None):
    """Return the error: where it happened, what the data are like, and what to try in turn."""
    fixes = ["standardise X", "raise alpha", "take solver='adam'"]  # of L-BFGS, without a rate
    if rate:
        rule = f"lower learning_rate_init (the rate was {rate:.3g})"
        fixes = ["standardise X", rule, "set max_grad_norm=1.0"]
    if _large(x_range):
        fixes[0] += " (StandardScaler)"
    if _large(y_range):
        fixes.insert(0, "standardise y (target_scale='auto')")
        fixes = fixes[:3]
    return DivergenceError(
        f"{NON_FINITE} {where}. X lies in {_text(x_range)}, y in {_text(y_range)}. "
        f"Try: {'; '.join(fixes)}."
    )


def diverged(step, engine, data, run, chunk, epoch):
    """Return the error for a chunk of one epoch that did not stay finite, by running it again.

    run: (carry, host plan) -> (carry, losses); epoch: its number.
    """
    carry, plan, (lr,) = chunk.before, chunk.plan, chunk.rates
    with np.errstate(all="ignore"):
        at, first = _first_step(run, carry, plan, engine.xp)
        batch = batch_of(data, plan.part(first, first + 1), step.dtype, xp=engine.xp)
        place, gradient = _first_place(step, at, batch, engine)
        when = "there"
        if not gradient and first:  # none there: of the epoch's first step
            batch, when = batch_of(data, plan.part(0, 1), step.dtype, xp=engine.xp), "before"
            gradient = _first_place(step, carry, batch, engine)[1]
    where = f"In epoch {epoch}, step {first + 1}, {place} went non-finite first"
    if gradient:
        where += f"; the largest gradient {when} was {gradient:.3g}"
    return divergence(where, *ranges(step, data), rate=float(lr[first]))


def ranges(step, data) -> tuple[tuple[float, float], tuple[float, float]]:
    """Return the ranges of X and of the targets; class codes stand for rows of 0 and 1."""
    x, y = data
    return value_range(x), (0.0, 1.0) if step.loss.codes else value_range(y)


def _large(ends):
    return max(map(abs, ends)) > 100.0


def _text(ends):
    return f"[{ends[0]:.3g}, {ends[1]:.3g}]"


def _first_step(run, carry, plan, xp):
    """Return the carry before the first step whose result is not finite, and that step.

    Halves the plan, so that all halves together are one epoch.
    """
    first = 0
    while len(plan.rows) > 1:
        half = len(plan.rows) // 2
        made, losses = run(copy_carry(carry, xp=xp), plan.part(0, half))
        if _finite(losses) and all(map(_finite, made.params.values())):
            carry, plan, first = copy_carry(made, xp=xp), plan.part(half, None), first + half
        else:
            plan = plan.part(0, half)
    return carry, first


def _first_place(step, carry, batch, engine):
    """Return a text on what is not finite first in one step, and the largest gradient found."""
    xp, hyper = engine.xp, batch.hyper
    ctx = Ctx(xp, True, engine.kernels, hyper.weights, hyper.n_rows, hyper.key, need_dx=False)
    params = step.layout.unpack(carry.params | carry.buffers, xp=xp)
    layers, x = getattr(step.network, "layers", (step.network,)), batch.x
    own = params if hasattr(step.network, "layers") else {0: params}
    caches, names = [], []
    for i, layer in enumerate(layers):
        names.append(f"layer {i + 1} ({describe(layer, x.shape[-1])})")
        x, cache = layer.forward(own.get(i, {}), x, ctx.part(i))
        caches.append(cache)
        if not _finite(x):
            return f"the outputs of {names[i]}", 0.0
    value, d = step.loss(x, batch.y, hyper.weights, xp=xp)
    found, largest = None, 0.0
    if not _finite(value) or not _finite(d):
        found = f"the loss, of outputs in {_text(value_range(x))},"
    if not _finite(d):
        return found, largest
    for i in reversed(range(len(layers))):
        d, updates = layers[i].backward(own.get(i, {}), d, caches[i], ctx.part(i, need_dx=True))
        for path, group, g in walk(layers[i], updates):
            if not group.trained:
                continue
            if not _finite(g):
                return found or f"the gradient of {path[-1]} in {names[i]}", largest
            largest = max(largest, float(to_host(xp.max(xp.abs(g)))))
    return found or "the update of the parameters", largest


def _finite(a):
    xp = namespace(a)
    return bool(to_host(xp.all(xp.isfinite(a))))
