"""The NumPy engine: what `native` knows is one compiled call for a chunk of steps.

Where that was not built: chains of Dense and Dropout, in buffers that each run makes once.
"""

from functools import cache, lru_cache, partial
from typing import Any

import numpy as np

from ..nn import Ctx
from ..nn.activations import ACTIVATIONS, get_activation
from .base import Plan
from .blas import threads_for
from .chain import chain_of, check_rows, holds
from .generic import generic_engine
from .native import native_outputs, native_run

LEFT_TO_CHECKS: dict = dict.fromkeys(("over", "under", "invalid"), "ignore")  # of what comes out
CHUNK = 256  # rows of a prediction at once: the layers' outputs stay in the cache


@cache
def plain_numpy_engine(xp):
    """Return the engine of NumPy arrays that runs what all libraries run; see `numpy_engine`."""
    generic = generic_engine(xp)

    def run_of(step):
        return threads_for(step.batch_size * step.layout.size)(generic.run(step))

    # Else each epoch would copy the data: rows in C order, aligned.
    resident = partial(np.require, requirements="CA")
    return generic._replace(name="numpy", run=run_of, resident=resident, threads=threads_for)


@cache
def numpy_engine(xp):
    """Return the engine of NumPy arrays; `xp` is their Array API namespace."""
    plain = plain_numpy_engine(xp)

    @lru_cache(maxsize=128)
    def native(step):
        return native_run(step, plain.run(step))

    @lru_cache(maxsize=128)
    def run_of(step):
        if found := native(step):
            return found
        run = plain.run(step)
        if links := chain_of(step.network, step.layout):
            return threads_for(step.batch_size * step.layout.size)(_chain_run(step, links, run))
        return run

    @lru_cache(maxsize=128)
    def outputs_of(network, layout, dtype):
        if made := native_outputs(network, layout, dtype):
            return made
        links = chain_of(network, layout)
        return links and _chain_outputs(links, dtype, layout.size)

    compiled = lambda step: native(step) is not None
    return plain._replace(run=run_of, compiled=compiled, outputs=outputs_of)


def _chain_run(step, links, otherwise):
    """Return the run of a chain; `otherwise` is the run for members."""

    def run(carry, data, plan):
        if plan.rows.ndim != 2:
            return otherwise(carry, data, plan)
        chain = Chain(links, carry.params, step.batch_size)
        grads = {name: np.empty_like(p) for name, p in carry.params.items()}
        dW, db = chain.views(grads)
        losses = np.zeros((2, len(plan.rows)), step.dtype)
        taken = [np.empty((step.batch_size, a.shape[1]), a.dtype) for a in data]
        with np.errstate(over="ignore", under="ignore"):
            for i, hyper in enumerate(map(Plan._make, zip(*plan))):
                n = int(hyper.n_rows)  # the padding of a short batch is left out
                x, y = _gathered(data, hyper.rows[:n], taken)
                outputs = chain.forward(x, hyper.key)
                losses[0, i], d = step.loss.value_and_grad(outputs, y, hyper.weights[:n, None], np)
                chain.backward(d, dW, db)
                losses[1, i] = _descend(step, carry, grads, hyper)
        return carry, losses

    return run


def _chain_outputs(links, dtype, size):
    """Return store -> x -> outputs, for a store of so many numbers, as the links say."""
    D, C = links[0].n_in, links[-1].n_out

    def prepared(store):
        if not holds(links, store, dtype):
            return None
        store = dict(store)  # its owner may put other arrays in

        def outputs(x):
            check_rows(x, D)
            n, made = min(len(x), CHUNK), np.empty((len(x), C), x.dtype)
            with threads_for(n * size), np.errstate(**LEFT_TO_CHECKS):
                if not np.isfinite(x.sum()):
                    return None
                # Buffers of each call's own: a lock could be held by a thread that no fork copies.
                chain = Chain(links, store, n)
                for start in range(0, len(x), CHUNK):
                    made[start : start + CHUNK] = chain.forward(x[start : start + CHUNK])
            return made

        return outputs

    return prepared


def _gathered(data, rows, buffers):
    """Return the rows of each array: views where they follow each other, else in the buffers."""
    first, n = int(rows[0]), len(rows)
    if rows[-1] - first == n - 1 and (n < 3 or (rows[1:] - rows[:-1] == 1).all()):
        return [a[first : first + n] for a in data]
    # Without a mode, take would go through a buffer of its own.
    return [a.take(rows, axis=0, out=b[:n], mode="clip") for a, b in zip(data, buffers)]


def _descend(step, carry, grads, hyper):
    """Penalise and update, in the step's own text and the carry's arrays. Returns the penalty."""
    penalty = 0.0
    if step.penalised:
        penalty, grads = step.penalise(dict(grads), carry.params, hyper, xp=np)
    made, kept = step.update(grads, dict(carry.state), carry.params, hyper, xp=np)
    stores = (carry.params, made), *((carry.state[slot], kept[slot]) for slot in carry.state)
    # A rule of one's own may return other arrays, or one of these in another's place.
    moved = [(a, new[k].copy()) for old, new in stores for k, a in old.items() if new[k] is not a]
    for a, new in moved:
        a[...] = new
    return penalty


class Chain:
    """A chain's forward and backward pass, in buffers of its own. N rows at most, n now."""

    def __init__(self, links, params, N):
        self.links = links
        self.W, self.b = self.views(params)
        dtype = next(iter(params.values())).dtype
        self.ones = np.ones(N, dtype)
        self.first = next(i for i, link in enumerate(links) if link.W)  # nobody reads its dx
        # A Dropout makes arrays of its own.
        dense = [(i, link) for i, link in enumerate(links) if link.W]
        self.outs = {i: np.empty((N, link.n_out), dtype) for i, link in dense}
        self.dxs = {i: np.empty((N, link.n_in), dtype) for i, link in dense if i > self.first}
        self.activations: dict[int, Any] = {i: _activation(link.layer) for i, link in dense}

    def views(self, store):
        """Return each link's W and b in a store, None for none."""
        W = [link.W and link.W.of(store).reshape(-1, link.n_out) for link in self.links]
        return W, [link.b and link.b.of(store) for link in self.links]

    def forward(self, x, key=None):
        """Return the outputs for x (n, D), in a buffer; a training step has a key."""
        a, self.caches = x, []
        for i, link in enumerate(self.links):
            if link.W is None:
                ctx = Ctx(np, key is not None, key=key, place=(i,))
                a, cache = link.layer.forward({}, a, ctx)
            else:
                z = np.matmul(a, self.W[i], out=self.outs[i][: len(x)])
                if link.b:
                    z += self.b[i]
                x_in, a = a, self.activations[i][0](z)
                cache = x_in, z, a
            self.caches.append(cache)
        return a

    def backward(self, d, dW, db):
        """Put the gradients into dW and db; d: the gradient with respect to the outputs."""
        for i in range(len(self.links) - 1, self.first - 1, -1):
            link, cache = self.links[i], self.caches[i]
            if link.W is None:
                d, _ = link.layer.backward({}, d, cache, None)
                continue
            x, z, a = cache
            d = self.activations[i][1](d, z, a)
            np.matmul(x.T, d, out=dW[i])
            if link.b:
                np.matmul(self.ones[: len(d)], d, out=db[i])  # a third of the time of a sum
            if i > self.first:
                # matmul takes a slow way for an inner axis of 1.
                product = np.multiply if link.n_out == 1 else np.matmul
                d = product(d, self.W[i].T, out=self.dxs[i][: len(d)])


def _logistic(z):
    np.negative(z, out=z)
    np.exp(z, out=z)  # infinity for z < -88 in float32, where the result is 0
    z += 1.0
    return np.divide(1.0, z, out=z)


# z -> a in place, for the common activations whose derivative takes a alone.
IN_PLACE = {
    ACTIVATIONS["relu"]: lambda z: np.maximum(z, 0.0, out=z),
    ACTIVATIONS["tanh"]: lambda z: np.tanh(z, out=z),
    ACTIVATIONS["logistic"]: _logistic,
}
RELU = ACTIVATIONS["relu"]


def _activation(layer):
    """Return z -> a and (da, z, a) -> dz, which may write into z, and into a: it is read last."""
    record = get_activation(layer.activation)
    forward = IN_PLACE.get(record, lambda z: record.forward(z, np))
    if record == RELU:
        return forward, lambda d, z, a: np.multiply(d, a > 0, out=a)
    return forward, lambda d, z, a: record.backward(d, z, a, np)
