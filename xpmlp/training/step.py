"""One training step, as every engine computes it."""

import math
from dataclasses import KW_ONLY, dataclass, field, fields
from functools import lru_cache
from typing import Any

from ..engines import Carry
from ..nn import Ctx, Layer, Layout, Loss
from ..nn.layout import map_params
from ..optim import bound_weights, clip_gradients, update


def _option(text, below=None):
    """Return the field of an option: a number above 0, and below another, or None."""
    return field(default=None, metadata={"range": (0, below), "help": text})


@dataclass(frozen=True, kw_only=True)
class StepOptions:
    """What a step does beside its rule; None leaves it out.

    A field is the row of an option: its name, its range, both ends excluded, and its help. The
    estimators' constraints, the arguments of `train`, the options of the command line and the
    checks follow from it; what it does stands in `Step`.
    """

    max_norm: float | None = _option("Bound of the norm of a unit's incoming weights.")
    max_grad_norm: float | None = _option("Bound of the norm of all gradients.")
    ema_decay: float | None = _option("Predict with a moving average of the weights.", below=1)

    def __post_init__(self):
        for name in self.given:
            (low, high), value = STEP_OPTIONS[name]["range"], getattr(self, name)
            if not low < value < (high or math.inf):
                raise ValueError(
                    f"{name} must be None or a number above {low} and below {high or 'infinity'}, "
                    f"got {value!r}."
                )

    @property
    def given(self):
        """The names of those that are not None."""
        return [name for name in STEP_OPTIONS if getattr(self, name) is not None]

    @classmethod
    def of(cls, estimator):
        """Return an estimator's arguments of these names."""
        return cls(**{name: getattr(estimator, name) for name in STEP_OPTIONS})


STEP_OPTIONS = {row.name: row.metadata for row in fields(StepOptions)}


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
    _: KW_ONLY
    penalised: bool  # alpha > 0
    decoupled: bool  # weight_decay > 0
    options: StepOptions = StepOptions()

    @property
    def slots(self):
        """The stores of the carry's state."""
        if self.options.ema_decay is None:
            return self.rule.slots
        return (*self.rule.slots, "ema")

    @property
    def plain(self):
        """Whether the update is the rule's alone: what engines may have kernels for."""
        return not self.options.given

    def __call__(self, carry, batch, *, xp, kernels):
        """Return the carry after one step, and its data loss and penalty.  Donates carry."""
        params, buffers, state = carry
        value, grads, buffers = self.gradient(params, buffers, batch, xp=xp, kernels=kernels)
        penalty, grads = self.penalise(grads, params, batch.hyper, xp=xp)
        params, state = self.update(grads, state, params, batch.hyper, xp=xp)
        if penalty is None:
            penalty = xp.zeros_like(value)
        return Carry(params, buffers, state), (value, penalty)

    def gradient(self, params, buffers, batch, *, xp, kernels):
        """Return the data loss, its gradient as a store, and the next buffers."""
        hyper = batch.hyper
        ctx = Ctx(xp, True, kernels, hyper.weights, hyper.n_rows, hyper.key, need_dx=False)
        p = self.layout.unpack(params | buffers, xp=xp)
        outputs, caches = self.network.forward(p, batch.x, ctx)
        value, d_outputs = self.loss(outputs, batch.y, hyper.weights, xp=xp)
        _, updates = self.network.backward(p, d_outputs, caches, ctx)
        grads = self.layout.pack(updates, xp=xp)
        return value, grads, {name: grads.pop(name) for name in buffers}

    def penalise(self, grads, params, hyper, *, xp):
        """Return the L2 penalty (None without alpha) and the gradients with it.  Donates grads.

        0.5 alpha ||W||^2 / (sum of the batch's raw weights), offsets excluded, as scikit-learn.
        """
        penalty = None
        for name in params:
            if self.penalised and self.layout.groups[name].decay:
                shrunk = hyper.decay * params[name]
                own = 0.5 * xp.sum(shrunk * params[name], axis=(-2, -1))
                penalty = own if penalty is None else penalty + own
                grads[name] += shrunk
        return penalty, grads

    def update(self, grads, state, params, hyper, *, xp):
        """Return params and state after the rule.  Donates all three."""
        options = self.options
        if options.max_grad_norm is not None:  # of all gradients together, the penalty's included
            grads = clip_gradients(grads, options.max_grad_norm, xp=xp)
        shrink = hyper.shrink if self.decoupled else None
        groups, average = self.layout.groups, state.get("ema")
        params, state = update(self.rule, grads, state, params, hyper.rate, shrink, groups, xp=xp)
        if options.max_norm is not None:  # of each unit's incoming weights
            weights = self.layout.decayed
            tree = map_params(
                lambda W: bound_weights(W, options.max_norm, xp=xp), weights.unpack(params, xp=xp)
            )
            params = params | weights.pack(tree, xp=xp)
        if options.ema_decay is not None:
            state["ema"] = {}
            for name, a in average.items():
                a *= options.ema_decay
                a += (1.0 - options.ema_decay) * params[name]
                state["ema"][name] = a
        return params, state

    def predicting(self, carry, n_steps, *, xp):
        """Return the store that predictions are made with: the average, where there is one.

        The average began at 0; n_steps, those that are in it, say what it lacks, as in Adam
        (Kingma & Ba 2015, section 7.2).
        """
        if self.options.ema_decay is None or not n_steps:
            return carry.params
        whole = 1.0 / (1.0 - self.options.ema_decay**n_steps)
        return {name: a * whole for name, a in carry.state["ema"].items()}


@lru_cache(maxsize=128)
def full_gradient(step, *, xp, kernels):
    """Return (params, buffers, batch) -> (objective, data loss, gradient), for L-BFGS."""

    def objective(params, buffers, batch):
        value, grads, _ = step.gradient(params, buffers, batch, xp=xp, kernels=kernels)
        penalty, grads = step.penalise(grads, params, batch.hyper, xp=xp)
        return (value if penalty is None else value + penalty), value, grads

    return objective
