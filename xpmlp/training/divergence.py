"""Divergence: when a training has diverged, where it was no longer finite, ranges of its data."""

import numpy as np

from ..arrays import from_host, namespace, to_host
from ..engines import copy_carry
from ..errors import DivergenceError
from ..nn import Ctx
from ..nn.layout import walk
from ..nn.network import describe, shapes_of
from .rows import CHUNK, batch_of, value_range

NON_FINITE = (
    "Solver produced non-finite parameter weights. The input data may contain large values and "
    "need to be preprocessed."
)
# Of 1 500 random trainings none came back from an epoch that ended above 5e3 times its reference;
# too large a rate multiplies without end.
GROWTH = 1e6  # of a loss: the training has diverged
# What seldom is sane: the loss at an epoch's end is computed then, as no step has seen the weights.
LARGE = 100.0  # growth of a loss
JUMP = 10.0  # of the sum of weights, in an epoch


def excess(chunks, chunk, state) -> str:
    """Return in words that the finite numbers of a chunk of epochs are too large, or "".

    The loss is measured against the state's reference, the larger of the first loss and that of
    outputs of 0, which is computed where the first is not enough: after weights that fitted well
    almost any loss is large against it. It is 1 at least, for targets of 0.
    """
    if not state.reference:
        state.reference = _first_loss(chunks, chunk)
    loss = np.max(chunk.losses)
    if np.isfinite(loss) and (_is_large(loss, chunks, state) or _jumped(chunks, chunk)):
        end = chunks.loss_at(state.carry, chunk)
        if len(chunk.losses) > 1:
            end = np.maximum(loss, end)
        loss = end  # of one epoch its end decides: exponential losses may leap, and come back
        _is_large(loss, chunks, state)
    text = _loss_too_large(loss, state.reference, chunks.step.dtype)
    text = text or _weights_too_large(chunk, state.carry, chunks.step.dtype)
    if not text:
        chunks.sums = chunk.sums
    return text


def too_large(name, number, dtype) -> str:
    """Return in words that squares of a number overflow in a compute dtype, or ""."""
    if number <= _root(dtype):
        return ""
    return (
        f"Training diverged: the {name} reached {number:.3g}, over {_root(dtype):.3g}, the square "
        f"root of {dtype}'s largest number."
    )


def divergence(what, x_range, y_range, rate=None):
    """Return the error: what happened, what the data are like, and what to try in turn."""
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
        f"{what} X lies in {_text(x_range)}, y in {_text(y_range)}. Try: {'; '.join(fixes)}."
    )


def diverged(chunks, chunk, epoch, text):
    """Return the error for a chunk of one epoch; epoch: its number.

    text: of `excess`; without one it did not stay finite, and runs again to see where.
    """
    step, engine, data, run = chunks.step, chunks.engine, chunks.data, chunks.run_plan
    carry, plan, (lr,) = chunk.before, chunk.plan, chunk.rates
    if text:
        what = f"{text} It happened in epoch {epoch}."
        return divergence(what, *ranges(step, data), rate=float(lr[-1]))
    with np.errstate(all="ignore"):
        at, first = _first_step(run, carry, plan, engine.xp)
        batch = batch_of(data, plan.part(first, first + 1), step.dtype, xp=engine.xp)
        place, gradient = _first_place(step, at, batch, engine)
        when = "there"
        if not gradient and first:  # none there: of the epoch's first step
            batch, when = batch_of(data, plan.part(0, 1), step.dtype, xp=engine.xp), "before"
            gradient = _first_place(step, carry, batch, engine)[1]
    what = f"{NON_FINITE} In epoch {epoch}, step {first + 1}, {place} went non-finite first"
    if gradient:
        what += f"; the largest gradient {when} was {gradient:.3g}"
    return divergence(f"{what}.", *ranges(step, data), rate=float(lr[first]))


def ranges(step, data) -> tuple[tuple[float, float], tuple[float, float]]:
    """Return the ranges of X and of the targets; class codes stand for rows of 0 and 1."""
    x, y = data
    return value_range(x), (0.0, 1.0) if step.loss.codes else value_range(y)


def _is_large(loss, chunks, state):
    """Return whether a loss is large, once the reference is that of outputs of 0, too."""
    if loss <= LARGE * state.reference:
        return False
    state.reference = max(1.0, state.reference, _loss_of_zeros(chunks))
    return not loss <= LARGE * state.reference


def _loss_too_large(loss, reference, dtype):
    """Return in words that a loss is too large, or ""."""
    if loss <= GROWTH * reference:
        return too_large("loss", loss, dtype)
    return (
        f"Training diverged: the loss grew to {loss:.3g}, over {GROWTH:,.0f} times the "
        f"{reference:.3g} that it began at or that outputs of 0 have."
    )


def _weights_too_large(chunk, carry, dtype):
    """Return in words that a weight grew too large in a chunk, or ""."""
    if (np.abs(chunk.sums) <= _root(dtype)).all():  # sums of leaves
        return ""
    after, before = _largest_weight(carry), _largest_weight(chunk.before)
    if before > _root(dtype):  # as it was given
        return ""
    return too_large("largest weight", after, dtype)


def _root(dtype):
    """Return the square root of a compute dtype's largest number."""
    if dtype != "float64":  # the few bits of others are for checks alone
        dtype = "float32"
    return float(np.finfo(dtype).max) ** 0.5


def _first_loss(chunks, chunk):
    """Return the size of the loss that a training began at, of the chunk with its first epoch."""
    first = abs(chunk.first)
    if chunk.losses[0] <= LARGE * first:
        return max(first, chunk.losses[0])
    # The first batch was no sample of all, or the first steps have left it already.
    return float(np.fmax(first, chunks.loss_at(chunk.before, chunk)))


def _loss_of_zeros(chunks):
    """Return the size of the loss that outputs of 0 have on all rows, 0 where that is no number."""
    step, (x, y), total = chunks.step, chunks.data, 0.0
    n, n_outputs = x.shape[0], shapes_of(step.network, x.shape[1])[1]
    weights = chunks.sample_weight
    if weights is None:
        weights = np.ones(n)
    weights = weights / weights.sum()
    n_rows = max(1, CHUNK // n_outputs)
    for start in range(0, n, n_rows):
        rows = slice(start, min(start + n_rows, n))
        outputs = from_host(np.zeros((rows.stop - start, n_outputs)), y, step.dtype)
        w = from_host(weights[rows], y, step.dtype)
        with np.errstate(all="ignore"):
            total += float(to_host(step.loss(outputs, y[rows, ...], w)[0]))
    total = abs(total) * step.loss.reported(y.shape[-1])
    return total if np.isfinite(total) else 0.0


def _jumped(chunks, chunk):
    """Return whether the sum of some weights has grown in a chunk so that the loss may have."""
    params = chunk.before.params.values()
    after = np.abs(chunk.sums[: len(params)])
    if not (after > JUMP).any():
        return False
    if chunks.sums is None:
        chunks.sums = np.asarray([float(to_host(namespace(a).sum(a))) for a in params])
    before = np.fmax(1.0, np.abs(chunks.sums[: len(params)]))
    return (after > JUMP * before).any()


def _largest_weight(carry):
    arrays = carry.params.values()
    return max(float(to_host(namespace(a).max(namespace(a).abs(a)))) for a in arrays)


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
