"""One training step, in the text that every engine runs."""

from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from ..engines import Carry
from ..nn import Ctx, Layer, Layout, Loss
from ..optim import update


@dataclass(frozen=True)
class Step:
    """A step: network, loss and rule, with all that is fixed while training.

    Equal records are the same step: an engine compiles each once. Its two halves stay apart, for
    what sits between them: sums over processes, micro-batches, L-BFGS.
    """

    network: Layer
    loss: Loss
    rule: Any
    layout: Layout
    batch_size: int
    dtype: str
    penalised: bool  # alpha > 0
    decoupled: bool  # weight_decay > 0

    def __call__(self, carry, batch, *, xp, kernels):
        """Return the carry after one step, and its data loss and penalty.  Donates carry."""
        value, grads, buffers = self.gradient(
            carry.params, carry.buffers, batch, xp=xp, kernels=kernels
        )
        penalty, grads = self.penalise(grads, carry.params, batch.now, xp=xp)
        params, state = self.update(grads, carry.state, carry.params, batch.now, xp=xp)
        return Carry(params, buffers, state), (
            value,
            xp.zeros_like(value) if penalty is None else penalty,
        )

    def gradient(self, params, buffers, batch, *, xp, kernels):
        """Return the data loss, its gradient as a store, and the next buffers."""
        now = batch.now
        ctx = Ctx(xp, True, kernels, now.weights, now.n_rows, now.key, need_dx=False)
        p = self.layout.unpack(params | buffers, xp=xp)
        outputs, caches = self.network.forward(p, batch.x, ctx)
        value, d_outputs = self.loss(outputs, batch.y, now.weights, xp=xp)
        _, updates = self.network.backward(p, d_outputs, caches, ctx)
        grads = self.layout.pack(updates, xp=xp)
        return value, grads, {name: grads.pop(name) for name in buffers}

    def penalise(self, grads, params, now, *, xp):
        """Return the L2 penalty (None without alpha) and the gradients with it.  Donates grads.

        0.5 alpha ||W||^2 / (sum of the batch's raw weights), offsets excluded, as scikit-learn.
        """
        penalty = None
        for name in params:
            if self.penalised and self.layout.groups[name].decay:
                shrunk = now.decay * params[name]
                own = 0.5 * xp.sum(shrunk * params[name], axis=(-2, -1))
                penalty = own if penalty is None else penalty + own
                grads[name] += shrunk
        return penalty, grads

    def update(self, grads, state, params, now, *, xp):
        """Return params and state after the rule.  Donates all three."""
        shrink = now.shrink if self.decoupled else None
        groups = self.layout.groups
        return update(self.rule, grads, state, params, now.rate, shrink, groups, xp=xp)


@lru_cache(maxsize=128)
def full_gradient(step, *, xp, kernels):
    """Return (params, buffers, batch) -> (objective, data loss, gradient), for L-BFGS."""

    def objective(params, buffers, batch):
        value, grads, _ = step.gradient(params, buffers, batch, xp=xp, kernels=kernels)
        penalty, grads = step.penalise(grads, params, batch.now, xp=xp)
        return (value if penalty is None else value + penalty), value, grads

    return objective
