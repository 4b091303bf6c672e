"""Training steps and predictions as calls of the compiled engine."""

import ctypes
import math
import threading
from contextlib import contextmanager
from functools import partial

import numpy as np

from ...nn.losses import CLASS_LOG_LOSS, LOSSES
from ...optim import SGD, Adagrad, Adam, AdamW, Lion, Nadam, RMSprop
from ...transfers import note
from ..base import Plan
from ..blas import DTYPES, find_blas, n_threads, one_thread
from ..chain import check_rows
from .library import Training, library
from .table import table_of

# In the order of the enumerations in elementwise.h.
LOSS_NAMES = (
    "squared_error log_loss binary_log_loss poisson class_log_loss gamma absolute_error log_cosh "
    "huber quantile focal binary_focal"
).split()
FORMULAS = {name: LOSSES[name].value_and_grad for name in LOSS_NAMES if name in LOSSES}
GAMMA = dict.fromkeys(("focal", "binary_focal"), "gamma")
LOSS_PARAMETERS = {"huber": "delta", "quantile": "levels", **GAMMA}
RULE_NAMES = "sgd momentum nesterov adam rmsprop adagrad nadam lion".split()
STEP_OPTIONS = {"max_grad_norm", "max_norm", "ema_decay"}

WORK = 1_000_000  # multiplications a step for each thread: less does not pay for the waiting
LIGHT = 250_000  # multiplications of a product: up to here OpenBLAS takes one thread by itself
PAUSE = 5_000_000_000  # multiplications, about half a second, after which an interrupt is heeded
# Multiplications in the time that a step takes for each column of a row, and by itself.
COLUMN, STEP = 8, 3000
CHUNK = 256  # rows of a prediction at once: the outputs of layers of 1000 units fit the cache
INT32 = np.dtype("int32")
ONE_TEAM = threading.Lock()  # a second run meanwhile takes one thread: two would fight for cores


def native_run(step, otherwise):
    """Return the run of a step as compiled code, or None where a part of it is not known here.

    otherwise: the run where arrays are of another form than the layout says.
    """
    built, fixed, table = library(), training_of(step), table_of(step.network, step.layout)
    if isinstance(built, str) or fixed is None or table is None or step.dtype not in DTYPES:
        return None
    if table.C % max(1, fixed.n_levels):
        return None  # quantiles that are not the same for each target
    train = partial(built.xpmlp_train, step.dtype == "float64", find_blas().gemm[step.dtype])

    def run(carry, data, plan):
        if not _fits(step, table, carry, data, plan):
            return otherwise(carry, data, plan)
        note(tier="compiled")
        (x, y), K = data, math.prod(plan.rows.shape[1:-1])
        t = Training.from_buffer_copy(fixed)
        t.N, t.K = plan.rows.shape[-1], K
        if not step.loss.codes:
            t.y_columns = y.shape[-1]
        x, y = (np.require(a, requirements=["C", "A"]) for a in (x, y))
        t.x, t.y = x.ctypes.data, y.ctypes.data
        # As in the generic code, a plan's decay acts in steps that are said to have one.
        plan = plan._replace(decay=plan.decay * step.penalised, shrink=plan.shrink * step.decoupled)
        plan = Plan(*(np.ascontiguousarray(a) for a in plan))
        losses = np.zeros((2, *plan.n_rows.shape), step.dtype)
        state = {slot: carry.state[slot] for slot in step.slots}
        slots = [state[slot] for slot in step.rule.slots]
        net = table.network(carry.params, carry.buffers, slots, state.get("ema"))
        work = t.N * table.multiplications
        wanted = min(t.N // 8, work // WORK) if K == 1 else K  # members have a thread each
        with team(wanted) as size:
            pause = max(1, PAUSE // (K * (work + t.N * table.width * COLUMN + STEP)))
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


def _fits(step, table, carry, data, plan):
    """Tell whether arrays are as compiled code takes them: it reads and writes unchecked."""
    (x, y), dtype = data, np.dtype(step.dtype)
    codes, K = step.loss.codes, math.prod(plan.rows.shape[1:-1])
    of_targets, columns = (INT32, 1) if codes else (dtype, table.C)
    stores = carry.params, carry.buffers, *carry.state.values()
    return (
        (x.ndim, x.shape[-1], x.dtype) == (2, table.D, dtype)
        and (y.ndim, y.shape[-1], y.dtype) == (2, columns, of_targets)
        and table.holds(stores, K, dtype)
        # In C order, aligned, and not to read only.
        and all(a.flags.carray for store in stores for a in store.values())
        and _plan_fits(plan, dtype, min(len(x), len(y)))
    )


def _plan_fits(plan, dtype, n):
    """Tell whether a plan's arrays are of the right form, and its rows among n."""
    rows, weights, n_rows, key, *rates = plan
    return (
        rows.shape == weights.shape == (*n_rows.shape, rows.shape[-1])
        and key.size == 2 * n_rows.size
        and all(a.size == n_rows.size for a in rates)
        and rows.dtype == key.dtype == INT32
        and all(a.dtype == dtype for a in (weights, n_rows, *rates))
        and rows.shape[-1] > 0
        and rows.view(np.uint32).max(initial=0) < n  # read so, a negative one is too large
    )


@contextmanager
def team(wanted):
    """Yield how many threads may work, with BLAS told to take one in each.

    One run at a time has several: two would fight for the cores, and wait for each other.
    """
    size = max(1, min(wanted, n_threads()))
    leads = False
    try:
        leads = size > 1 and ONE_TEAM.acquire(blocking=False)
        with one_thread(find_blas()):
            yield size if leads else 1
    finally:
        if leads:
            ONE_TEAM.release()


def training_of(step):
    """Return what is fixed of a step as step.h reads it, or None where it is not known here."""
    loss, rule = loss_numbers(step.loss), rule_fields(step.rule)
    if loss is None or rule is None or {*step.options.given} - STEP_OPTIONS:
        return None
    (code, levels), own = loss, step.options
    kept = (ctypes.c_double * max(1, len(levels)))(*levels)
    bounds = {name: getattr(own, name) for name in own.given}
    numbers = {"loss": code, "levels": ctypes.addressof(kept), "n_levels": len(levels)}
    made = Training(**numbers, **rule, **bounds)
    made.kept = kept
    return made


def loss_numbers(loss):
    """Return the number of a built-in loss and its parameters, or None of another."""
    if loss.name not in FORMULAS:
        return None
    code, made, formula = LOSS_NAMES.index(loss.name), loss.value_and_grad, FORMULAS[loss.name]
    if loss.codes:
        known = (loss.name, made) == (CLASS_LOG_LOSS.name, CLASS_LOG_LOSS.value_and_grad)
        return (code, ()) if known else None
    field = LOSS_PARAMETERS.get(loss.name)
    if field is None:
        return (code, ()) if made == formula else None
    if type(made) is not type(formula):
        return None
    return code, tuple(np.atleast_1d(getattr(made, field)))


def rule_fields(rule):
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
    """Return store -> x -> outputs as compiled code; None where a part is not known here."""
    built, table = library(), table_of(network, layout)
    if isinstance(built, str) or table is None or dtype not in DTYPES:
        return None
    form, D, C = np.dtype(dtype), table.D, table.C
    predict = partial(built.xpmlp_predict, dtype == "float64", find_blas().gemm[dtype])

    def prepared(store):
        # Whoever predicts holds these arrays, to whose addresses the structure points.
        store = {name: np.require(a, requirements=["C", "A"]) for name, a in store.items()}
        if not table.holds([store], 1, dtype):
            return None
        call = partial(predict, ctypes.byref(table.network(store, store)))

        def outputs(x):
            check_rows(x, D)
            if x.dtype != form or not (x.flags.c_contiguous and x.flags.aligned):
                x = np.require(x, form, ["C", "A"])
            n, made = len(x), np.empty((len(x), C), form)
            arguments = x.ctypes.data, 0, made.ctypes.data, n, 1
            work = n * table.multiplications
            if work <= LIGHT:  # products so small that no BLAS takes threads for them
                code = call(*arguments, min(max(n, 1), CHUNK), 1)
            else:
                with team(min(n // 64, work // WORK)) as size:
                    code = call(*arguments, min(-(-n // size), CHUNK), size)
            return None if code else made

        return outputs

    return prepared
