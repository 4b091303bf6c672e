"""L-BFGS: SciPy's, on the packed store and the whole data as one batch."""

import time
from contextlib import closing

import numpy as np

from ..arrays import from_host, in_host, location_of, to_host
from ..transfers import note
from .divergence import NON_FINITE, divergence, ranges, too_large
from .interrupts import interruptible
from .loop import validate
from .plan import make_plan
from .progress import Progress
from .rows import SparseRows, batches_of
from .state import append_epoch
from .step import full_gradient


def run_lbfgs(
    step, engine, data, options, state, *, sample_weight=None, validation=None, on_epoch=None
):
    """Minimise the objective on all rows; `state` holds the outcome.

    SciPy keeps its vectors on the host, so they travel at each evaluation; a note counts that.
    Returns "converged", "max_iter", "stopped" (by on_epoch, called after each iteration),
    "interrupted", "preempted" or a DivergenceError.

    References
    ----------
    Liu & Nocedal 1989; Byrd et al. 1995 (SciPy's L-BFGS-B).
    """
    from scipy.optimize import minimize

    idle = options.steps.given
    if options.weight_decay:
        idle = ["weight_decay", *idle]
    if idle:
        raise ValueError(
            f"solver='lbfgs' makes no steps that {' and '.join(idle)} could act on: leave that "
            "out, or take 'adam'."
        )
    plan = make_plan(
        step.rule,
        np.arange(data[0].shape[0]),
        batch_size=step.batch_size,
        lr=0.0,
        seed=options.seed,
        alpha=options.alpha,
        sample_weight=sample_weight,
    )
    batches = batches_of(data, plan, step.dtype, xp=engine.xp)
    objective = engine.compile(full_gradient(step, xp=engine.xp, kernels=engine.kernels))
    params, buffers = state.carry.params, state.carry.buffers
    if buffers and isinstance(data[0], SparseRows) and len(data[0].cuts(step.batch_size)) > 1:
        raise ValueError(
            "solver='lbfgs' makes a sparse X dense a part at a time, and a layer such as batch "
            "normalization needs all rows at once: take 'adam', or pass X.toarray()."
        )
    extra = step.loss.reported(data[1].shape[-1]) - 1.0

    def unpack(vector):
        sizes = np.cumsum([int(np.prod(p.shape)) for p in params.values()])[:-1]
        parts = zip(params.items(), np.split(vector, sizes))
        return {k: from_host(v.reshape(tuple(p.shape)), p, step.dtype) for (k, p), v in parts}

    def flat(store):
        return np.concatenate([to_host(store[k]).ravel() for k in params]).astype(np.float64)

    def fun(vector):
        quiet = np.errstate(over="ignore", invalid="ignore")  # which ends in a DivergenceError
        with quiet, engine.threads(step.batch_size * step.layout.size):
            total, value, grads = _summed(objective, unpack(vector), buffers, batches())
        return float(to_host(total)) + extra * float(to_host(value)), flat(grads)

    start, state.n_iter, ended = time.perf_counter(), 0, ""
    show = Progress(options.verbose, options.max_iter, state.history, "iteration")
    with closing(show), interruptible() as requests:

        def after(intermediate_result):
            nonlocal ended, start
            state.best_loss = float(intermediate_result.fun)
            append_epoch(state.history, loss=state.best_loss, seconds=time.perf_counter() - start)
            start = time.perf_counter()
            if validation is not None or on_epoch is not None:
                state.carry = state.carry._replace(params=unpack(intermediate_result.x))
            validate(step, engine, state, validation)
            state.n_iter += 1
            show.epoch(state.n_iter, state.history, early_stopping=False)
            try:
                if on_epoch is not None and on_epoch(state, None):
                    ended = "stopped"
            except StopIteration as error:  # which the solver would take for an end
                raise RuntimeError("a callback raised StopIteration") from error
            if ended or requests.reason():
                raise StopIteration

        found = minimize(
            fun,
            flat(params),
            method="L-BFGS-B",
            jac=True,
            callback=after,
            options={"maxfun": options.max_fun, "maxiter": options.max_iter, "gtol": options.tol},
        )
        ended = ended or requests.reason() or ""
    what = NON_FINITE
    if np.isfinite(found.x).all() and np.isfinite(found.fun):
        what = too_large("loss", abs(found.fun), step.dtype)
    if what:
        state.n_iter = 0
        what = f"{what} It happened in iteration {found.nit} of L-BFGS."
        return divergence(what, *ranges(step, data))
    state.carry = state.carry._replace(params=unpack(found.x))
    state.n_iter, state.best_loss = found.nit, float(found.fun)
    state.epoch += found.nit
    state.best_epoch = state.epoch
    if not in_host(location_of(data[1])):
        note(
            text=f"L-BFGS keeps its vectors on the host: each of its {found.nfev} evaluations "
            f"copied {found.x.size:,} parameters to the device and as many gradients back"
        )
    return ended or ("max_iter" if found.status == 1 else "converged")


def _summed(objective, params, buffers, batches):
    """Return the objective, the data loss and the gradient of all rows."""
    sums = None
    for batch in batches:
        made = objective(params, buffers, batch)
        del batch  # before the next chunk of rows is made dense
        if sums is not None:
            (total, value, grads), (T, V, G) = sums, made
            made = total + T, value + V, {name: g + G[name] for name, g in grads.items()}
        sums = made
    return sums
