"""Training steps and predictions as calls of the compiled engine."""

import ctypes
import math
import threading
from contextlib import contextmanager
from functools import partial

import numpy as np

from ...nn.losses import LOSSES
from ...optim import SGD, Adagrad, Adam, AdamW, Lion, Nadam, RMSprop
from ..base import Plan
from ..chain import check_rows
from .library import DTYPES, Training, find_blas, library, n_threads
from .table import table_of

# In the order of the enumerations in elementwise.h.
LOSS_NAMES = (
    "squared_error log_loss binary_log_loss poisson gamma absolute_error log_cosh huber quantile "
    "focal binary_focal"
).split()
GAMMA = dict.fromkeys(("focal", "binary_focal"), "gamma")
LOSS_PARAMETERS = {"huber": "delta", "quantile": "levels", **GAMMA}
RULE_NAMES = "sgd momentum nesterov adam nadam lion rmsprop adagrad".split()
STEP_OPTIONS = {"max_grad_norm", "max_norm", "ema_decay"}

WORK = 1_000_000  # multiplications a step for each thread: less does not pay for the waiting
LIGHT = 250_000  # multiplications of a product: up to here OpenBLAS takes one thread by itself
PAUSE = 5_000_000_000  # multiplications, about half a second, after which an interrupt is heeded
CHUNK = 256  # rows of a prediction at once: the outputs of layers of 1000 units fit the cache
ONE_TEAM = threading.Lock()  # who comes while a team works goes alone: two would fight for cores


def native_run(step, otherwise):
    """Return the run of a step as compiled code, or None where a part of it is not known here.

    otherwise: the run where arrays are of another form than the layout says.
    """
    built, fixed, table = library(), training_of(step), table_of(step.network, step.layout)
    if isinstance(built, str) or fixed is None or table is None or step.dtype not in DTYPES:
        return None
    dtype = np.dtype(step.dtype)
    of_targets = np.dtype("int32") if step.loss.codes else dtype
    train = partial(built.xpmlp_train, step.dtype == "float64", find_blas().gemm[step.dtype])

    def run(carry, data, plan):
        (x, y), K = data, math.prod(plan.rows.shape[1:-1])
        stores = carry.params, carry.buffers, *carry.state.values()
        fits = x.shape[-1] == table.D and (x.dtype, y.dtype) == (dtype, of_targets)
        if not fits or not table.holds(stores, K, dtype):
            return otherwise(carry, data, plan)
        t = Training.from_buffer_copy(fixed)
        t.N, t.K = plan.rows.shape[-1], K
        if not step.loss.codes:
            t.y_columns = y.shape[-1]
        x, y = (np.require(a, requirements=["C", "A"]) for a in (x, y))
        t.x, t.y = x.ctypes.data, y.ctypes.data
        plan = Plan(*(np.ascontiguousarray(a) for a in plan))
        losses = np.zeros((2, *plan.n_rows.shape), dtype)
        slots = [carry.state[slot] for slot in step.rule.slots]
        net = table.network(carry.params, carry.buffers, slots, carry.state.get("ema"))
        work = t.N * table.multiplications
        wanted = min(t.N // 8, work // WORK) if K == 1 else K  # members have a thread each
        with team(wanted) as size:
            pause = max(1, PAUSE // max(1, K * work))
            for start in range(0, len(plan.rows), pause):
                part = plan.part(start, start + pause)
                made = losses[:, start : start + pause].copy()
                t.B, t.losses = len(part.rows), made.ctypes.data
                for field, a in zip(Plan._fields, part):
                    setattr(t, field, a.ctypes.data)
                train(ctypes.byref(net), ctypes.byref(t), size)
                losses[:, start : start + pause] = made
        return carry, losses

    return run


@contextmanager
def team(wanted):
    """Yield how many threads may work, with BLAS told to take one in each.

    There is one team at a time: two would fight for the cores, and wait for each other.
    """
    size = max(1, min(wanted, n_threads()))
    if size > 1 and not ONE_TEAM.acquire(blocking=False):
        size = 1
    blas = find_blas()
    before = blas.threads()
    if before > 1:
        blas.set_threads(1)
    try:
        yield size
    finally:
        if before > 1:
            blas.set_threads(before)
        if size > 1:
            ONE_TEAM.release()


def training_of(step):
    """Return what is fixed of a step as step.h reads it, or None where it is not known here."""
    loss, rule = loss_of(step.loss), rule_of(step.rule)
    if loss is None or rule is None or {*step.options.given} - STEP_OPTIONS:
        return None
    (code, levels), own = loss, step.options
    kept = (ctypes.c_double * max(1, len(levels)))(*levels)
    bounds = {name: getattr(own, name) for name in own.given}
    numbers = {"loss": code, "levels": ctypes.addressof(kept), "n_levels": len(levels)}
    made = Training(**numbers, **rule, **bounds)
    made.kept = kept
    return made


def loss_of(loss):
    """Return the number of a built-in loss and its parameters, or None of another."""
    if loss.name not in LOSS_NAMES:
        return None
    made = loss.value_and_grad
    field = LOSS_PARAMETERS.get(loss.name)
    if field is None:
        known = loss.codes or made == LOSSES[loss.name].value_and_grad
        return (LOSS_NAMES.index(loss.name), ()) if known else None
    if type(made) is not type(LOSSES[loss.name].value_and_grad):
        return None
    return LOSS_NAMES.index(loss.name), tuple(np.atleast_1d(getattr(made, field)))


def rule_of(rule):
    """Return the number of a built-in rule and its factors, or None of another."""
    kind = type(rule)
    if kind is SGD:
        name = ("momentum", "nesterov")[rule.nesterovs_momentum] if rule.momentum else "sgd"
        c, d, epsilon = rule.momentum, 0.0, 0.0
    elif kind in (Adam, AdamW, Nadam, Lion):
        name = {Nadam: "nadam", Lion: "lion"}.get(kind, "adam")
        c, d, epsilon = rule.beta_1, rule.beta_2, getattr(rule, "epsilon", 0.0)
    elif kind in (RMSprop, Adagrad):
        name, c, d, epsilon = kind.__name__.lower(), getattr(rule, "rho", 0.0), 0.0, rule.epsilon
    else:
        return None
    numbers = {"c": c, "c1": 1.0 - c, "d": d, "d1": 1.0 - d, "epsilon": epsilon}
    return {"rule": RULE_NAMES.index(name), **numbers}


def native_outputs(network, layout, dtype):
    """Return (store, n) -> x -> outputs as compiled code; None where a part is not known here."""
    built, table = library(), table_of(network, layout)
    if isinstance(built, str) or table is None or dtype not in DTYPES:
        return None

    def prepared(store, n):
        # Whoever predicts holds these arrays, to whose addresses the structure points.
        store = {name: np.ascontiguousarray(a) for name, a in store.items()}
        if not table.holds([store], 1, dtype):
            return None
        net = table.network(store, store)
        work, rows = n * table.multiplications, min(max(n, 1), CHUNK)
        wanted = min(n // 64, work // WORK)
        call = partial(
            built.xpmlp_predict, dtype == "float64", find_blas().gemm[dtype], ctypes.byref(net)
        )

        def outputs(x):
            check_rows(x, n, table.D)
            x = np.require(x, requirements=["C", "A"])
            made = np.empty((n, table.C), x.dtype)
            addresses = x.ctypes.data, 0, made.ctypes.data
            if work <= LIGHT:  # products so small that no BLAS takes threads for them
                call(*addresses, n, 1, rows, 1)
            else:
                with team(wanted) as size:
                    call(*addresses, n, 1, rows, size)
            return made

        return outputs

    return prepared
