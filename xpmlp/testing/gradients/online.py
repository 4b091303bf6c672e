"""A backward pass that updates the weights after each sample: what it would be at fixed weights."""

import numpy as np

from .candidates import Candidate

STEPS = 12  # of Gauss and Newton, for the rate
MOST = 40  # samples


def at_fixed_weights(network, gradients, tolerance):
    """Return (the gradients without the updates in between, the mistake), or None.

    The user's own backward is called with one sample after the other, and the arrays are updated
    at a rate, until the sum of what it returns is a multiple of what it returns for all.
    """
    samples, n = _samples(network), len(gradients)
    if not 1 < len(samples) <= MOST or any(g is None for g in gradients):
        return None
    user = _flat(gradients)
    try:
        fixed = _passed(network, samples, np.zeros(n))
        if _flat(fixed).shape != user.shape or _off(_flat(fixed), user)[0] <= tolerance:
            return None  # nothing moves
        for moves in (np.ones(n), *np.eye(n)):  # all arrays, or one of them
            rate = _rate(lambda r, moves=moves: _flat(_passed(network, samples, r * moves)), user)
            off, q = _off(_flat(_passed(network, samples, rate * moves)), user)
            if off <= tolerance:
                text = "the weights are updated after each sample: this is the sum at moving "
                text += f"weights (rate {rate:.4g}); add up at fixed ones, then update once"
                made = [q * g.reshape(like.shape) for g, like in zip(fixed, gradients)]
                return made, [("updated_weights", None, text)]
    except Exception:  # the user's functions may refuse one sample in any way
        pass
    return None


def _off(total, user):
    """Return how far the user's gradient is from q times a total, and q."""
    q = float(total @ user) / (float(total @ total) or 1.0)
    return float(np.linalg.norm(q * total - user) / np.linalg.norm(user)), q


def _rate(total, user):
    """Return the rate r at which total(r) is nearest to a multiple of the user's gradient."""
    rate, before = 0.0, np.inf
    for _ in range(STEPS):
        here, step = total(rate), 1e-5 * (abs(rate) or 1e-2)
        off, _ = _off(here, user)
        if not off < 0.5 * before:  # it is not found, or found to rounding
            break
        slope = (total(rate + step) - here) / step
        (q, change), *_ = np.linalg.lstsq(np.stack([here, slope], axis=1), user, rcond=None)
        rate, before = rate + change / q, off
    return rate


def _samples(network):
    """Return (X, y) of each sample alone, [] where they do not stand in arrays."""
    data, n = network.data, network.n
    if len(data) < 2 or not all(isinstance(part, np.ndarray) for part in data):
        return []
    X, y = data
    axes = [i for i, size in enumerate(y.shape) if size == n]
    axis = int(network.columns)
    if X.ndim <= axis or X.shape[axis] != n or not axes:
        return []
    of_y = axis if axis in axes else axes[0]
    return [(np.take(X, [i], axis=axis), np.take(y, [i], axis=of_y)) for i in range(n)]


def _passed(network, samples, rates):
    """Return the sum of the user's gradients over the samples (K, ...), updated in between."""
    sums = []
    for arrays in network.arrays:
        arrays, total = [np.array(a) for a in arrays], [np.zeros(np.shape(a)) for a in arrays]
        for sample in samples:
            found = network.code.gradients(arrays, sample)
            total = [t + np.reshape(g, t.shape) for t, g in zip(total, found)]
            arrays = [a - r * np.reshape(g, a.shape) for a, g, r in zip(arrays, found, rates)]
        sums.append(total)
    return [np.stack(parts) for parts in zip(*sums)]


def _flat(gradients):
    return np.concatenate([np.ravel(g) for g in gradients])


def updated_before(search, errors, k):
    """Yield dZ of layer k, sent back through W - rate * dW, the weights already updated."""
    step, W = search.gradient("W", k + 1), search.network.W[k]
    if step is None or step.ndim != 3 or W.shape not in (step.shape, step.mT.shape):
        return
    if step.shape != W.shape:
        step = step.mT
    up, x, name = errors[k + 1], search.network.inputs[k - 1].mT, search.notation.weight(k + 1)
    before, moved = (_sent_through(search.network, k, up, m) for m in (W, step))
    if abs(together := _rate_and_scale(search, k, x, before, moved)) >= 1e7:
        text = f"dZ{k} is sent back through d{name}, the gradient, where {name} belongs"
        yield Candidate(moved, (("wrong_weights", k, text),), 1.0)
        return
    # One sample after the other each moves the weights by its own dW alone.
    own = np.sum(up * up, axis=-1, keepdims=True) * search.network.inputs[k]
    alone = search.network.through(k, own) if own.shape == search.network.a[k].shape else moved
    for array, rate in ((moved, together), (alone, _rate_and_scale(search, k, x, before, alone))):
        if rate > 1e-9:
            text = (
                f"dZ{k} is sent back through weights that are updated already: the old "
                f"{name} belongs there (the update's rate was {rate:.4g})"
            )
            yield Candidate(before - rate * array, (("updated_weights", k, text),), 1.0)


def _rate_and_scale(search, k, x, before, moved):
    """Return the rate at which dZ of layer k is before - rate * moved, 0 where it is not so."""
    sums = [np.sum(dZ, axis=-2, keepdims=True) for dZ in (before, moved)]
    c = search.fit(search.gradient("b", k), *sums)
    c = c or search.fit(search.gradient("W", k), x @ before, x @ moved) or (1.0, 0.0)
    return -c[1] / (c[0] or 1e-300)


def _sent_through(network, k, dZ, W):
    """Return dZ of layer k, sent back through these weights of layer k + 1."""
    return network.through(k, network.sent_back(k, dZ, W))
