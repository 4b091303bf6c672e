"""The plan of an epoch: made on the host in float64, copied to the device once."""

import numpy as np

from ..arrays import Array, from_host
from ..engines import Plan
from ..randomness import step_keys, stream


def epoch_order(n: int, *, seed: int, epoch: int, shuffle: bool) -> np.ndarray:
    """Return the rows in the order of an epoch, counted since the weights were initialised."""
    if not shuffle:
        return np.arange(n)
    return stream(seed, "order", epoch).permutation(n)


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
    """Return the plan of one pass over `order` as host arrays.

    Every batch has `batch_size` rows: the last is filled up with the order's first row at weight 0.
    `first_step` counts steps since the weights were made (the dropout keys), `rule_step` since the
    rule's state was (Adam's t).
    """
    n = len(order)
    B = -(-n // batch_size)
    rows = np.full(B * batch_size, order[0], np.int32)
    rows[:n] = order
    weights = np.zeros(B * batch_size)
    weights[:n] = 1.0
    if sample_weight is not None:
        weights *= sample_weight[rows]
    weights = weights.reshape(B, batch_size)
    total = weights.sum(axis=-1)
    share = np.divide(1.0, total, out=np.zeros(B), where=total > 0)  # a batch that weighs nothing
    steps = np.arange(B)
    plan = Plan(
        rows=rows.reshape(B, batch_size),
        weights=weights * share[:, None],
        n_rows=np.minimum(batch_size, n - batch_size * steps).astype(np.float64),
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
    """Copy a plan beside the data: numbers in the compute dtype, rows and keys as int32."""
    return Plan(*(from_host(a, like, "int32" if a.dtype == np.int32 else dtype) for a in plan))
