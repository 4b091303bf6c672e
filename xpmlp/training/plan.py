"""The plan of one epoch or several: made on the host in float64, copied to the device once."""

import numpy as np

from ..arrays import Array, from_host, is_numpy
from ..engines import Plan
from ..randomness import Draws, random_state, step_keys


def epoch_orders(draws: Draws, n: int, n_epochs: int, *, shuffle=True) -> np.ndarray:
    """Return the rows in the order of each of the next epochs (E, n)."""
    if shuffle:
        return draws.orders(n, n_epochs)
    return np.tile(np.arange(n), (n_epochs, 1))


def epoch_order(n: int, *, seed: int, epoch: int, shuffle: bool) -> np.ndarray:
    """Return the rows in the order of one epoch, counted from 0, of a training of its own."""
    return epoch_orders(Draws(random_state(seed)), n, epoch + 1, shuffle=shuffle)[epoch]


def make_plan(
    rule,
    order,
    *,
    batch_size,
    lr,
    seed,
    first_step=0,
    rule_step=0,
    alpha=0.0,
    weight_decay=0.0,
    sample_weight=None,
) -> Plan:
    """Return the plan of a pass over `order` (n,), or one after another (E, n), as host arrays.

    Every batch has `batch_size` rows: a pass's last is filled up with its first row at weight 0.
    `first_step` counts steps since the weights were made (the dropout keys), `rule_step` since the
    rule's state was (Adam's t).
    """
    order = np.atleast_2d(order)
    E, n = order.shape
    B = -(-n // batch_size)
    rows = np.empty((E, B * batch_size), np.int32)
    rows[:, :n], rows[:, n:] = order, order[:, :1]
    weights: np.ndarray = np.zeros(rows.shape)
    weights[:, :n] = 1.0
    if sample_weight is not None:
        weights *= sample_weight[rows]
    weights = weights.reshape(E * B, batch_size)
    total = weights.sum(axis=-1)
    share = np.zeros(E * B)
    np.divide(1.0, total, out=share, where=total > 0)  # a batch may weigh nothing
    weights *= share[:, None]
    steps = np.arange(E * B)
    plan = Plan(
        rows=rows.reshape(E * B, batch_size),
        weights=weights,
        n_rows=np.minimum(batch_size, n - batch_size * (steps % B)).astype(np.float64),
        key=step_keys(seed, first_step + steps),
        rate=steps,
        decay=alpha * share,
        shrink=steps,
    )
    return at_rate(plan, rule, lr, rule_step=rule_step, weight_decay=weight_decay)


def at_rate(plan, rule, lr, *, rule_step=0, weight_decay=0.0) -> Plan:
    """Return a host plan with another learning rate, one or one a step."""
    B = len(plan.rows)
    rates = rule.rates(lr, rule_step + 1 + np.arange(B))
    return plan._replace(rate=rates, shrink=np.full(B, weight_decay) * lr)


def copy_plan(plan: Plan, like: Array, dtype: str) -> Plan:
    """Copy a plan beside the data: numbers in the compute dtype, rows and keys as int32.

    Beside NumPy's arrays what is right is not copied: engines only read it.
    """
    dtypes = ["int32" if a.dtype == np.int32 else dtype for a in plan]
    if is_numpy(like):
        return Plan(*(a.astype(dtype, copy=False) for a, dtype in zip(plan, dtypes)))
    return Plan(*(from_host(a, like, dtype) for a, dtype in zip(plan, dtypes)))
