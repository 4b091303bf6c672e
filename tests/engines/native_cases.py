"""Random steps for the compiled engine: networks, losses, rules, bounds, members, plans."""

from dataclasses import replace

import numpy as np

from xpmlp import nn, optim
from xpmlp.engines import Carry, Plan
from xpmlp.nn import losses
from xpmlp.nn.activations import ACTIVATIONS
from xpmlp.nn.losses import CLASS_LOG_LOSS, LOSSES
from xpmlp.nn.normalization import NORMALIZATIONS
from xpmlp.optim import SGD, init_state
from xpmlp.training import Step, StepOptions
from xpmlp.training.plan import copy_plan, make_plan

# Lion's steps are signs: one that flips by rounding is no error.
RULES = [
    SGD(0.0),
    SGD(0.9, False),
    SGD(0.9),
    *(optim.RULES[name](epsilon=1e-2) for name in ("adam", "nadam", "rmsprop", "adagrad")),
]
WIDTHS = [1, 2, 3, 4, 7, 8, 9, 16, 17, 33]
BOUNDS = {"max_grad_norm": 0.01, "max_norm": 0.5, "ema_decay": 0.9}


def with_rates(layout):
    """The layout with a rate of its own for each leaf: shares of the learning rate."""
    leaves = [
        leaf._replace(group=replace(leaf.group, rate=0.5 / (i + 1)))
        for i, leaf in enumerate(layout.leaves)
    ]
    return nn.Layout(tuple(leaves))


class Case:
    """The step of a seed, with all that a run of it takes.

    K: members, None for a run without that axis; threads: how many may work.
    """

    def __init__(self, seed):
        self.rng = rng = np.random.default_rng(seed)
        self.dtype = self.pick(["float32", "float64"])
        self.threads, self.K = int(rng.integers(1, 5)), self.pick([None, None, 1, 2, 3, 5])
        self.D, self.n = self.pick(WIDTHS), self.pick([1, 2, 5, 23, 60])
        self.batch_size = min(self.n, self.pick([1, 2, 3, 7, 20, 60]))
        self.loss, C = self._loss()
        sizes = self.pick([(), (), (3, 1, 290)])
        front, H = [], self.D
        if sizes:
            front = [nn.Embedding(sizes, int(rng.integers(1, 4)))]
            self.D += len(sizes)
            H += len(sizes) * front[0].n_dim
        body, _ = self._layers(int(rng.integers(0, 4)), H)
        self.network = nn.Network([*front, *body, nn.Dense(C, use_bias=self.chance(0.8))])
        self.x = rng.normal(size=(self.n, self.D)).astype(self.dtype)
        codes = [rng.integers(-1, size + 1, self.n) for size in sizes]
        if sizes:
            self.x[:, -len(sizes) :] = np.stack(codes, axis=1)
        self.y = self._targets(C)
        self.options = {name: value for name, value in BOUNDS.items() if self.chance(0.3)}
        self.alpha, self.weight_decay = self.pick([0.0, 0.5]), self.pick([0.0, 0.1])
        self.rule = self.pick(RULES)

    def pick(self, values):
        return values[self.rng.integers(len(values))]

    def chance(self, p):
        return bool(self.rng.random() < p)

    def _loss(self):
        """Return a loss, and how many outputs it is of."""
        kinds = [*LOSSES.values(), CLASS_LOG_LOSS, losses.huber(0.3), losses.focal(1.5)]
        kinds += [losses.quantile((0.1, 0.5, 0.9)), losses.focal(1.5, binary=True)]
        loss, C = self.pick(kinds), self.pick([1, 2, 3, 10])
        if loss.link == "softmax":
            return loss, max(C, 2)
        return loss, C * len(losses.levels_of(loss) or (1,))

    def _targets(self, C):
        """Return targets that the loss may have."""
        if self.loss.codes:
            return self.rng.integers(-1, C + 1, (self.n, 1)).astype("int32")
        if self.loss.link == "softmax":
            return self.rng.dirichlet(np.ones(C), self.n).astype(self.dtype)
        made = self.rng.integers(1, 4, (self.n, C))
        if self.loss.link == "logistic":
            made = made % 2
        return made.astype(self.dtype)

    def _layers(self, n, D, depth=0):
        """Return n layers for D columns, and the columns of the last one's outputs."""
        kinds, made = "dense dense activation dropout batch layer rms residual".split(), []
        for _ in range(n):
            layer, D = self._layer(self.pick(kinds), D, depth)
            made.append(layer)
        return made, D

    def _layer(self, kind, D, depth):
        """Return a layer of a kind for D columns, and the columns of its outputs."""
        activation = self.pick([*ACTIVATIONS])
        if kind in NORMALIZATIONS:
            return NORMALIZATIONS[kind](), D
        if kind == "activation":
            return nn.Activation(activation), D
        if kind == "dropout":
            return nn.Dropout(self.pick([0.0, 0.1, 0.5])), D
        if kind == "residual" and depth < 3:
            inner, H = self._layers(int(self.rng.integers(1, 4)), D, depth + 1)
            back = [nn.Dense(D, activation)] * (H != D or self.chance(0.5))
            return nn.Residual([*inner, *back]), D
        units = 300 if self.chance(0.1) else self.pick(WIDTHS)
        return nn.Dense(units, activation, use_bias=self.chance(0.7)), units

    def start(self):
        """Return the step, and what it begins with: (carry, data, plan)."""
        rng, K = np.random.default_rng(0), self.K
        every = [self.network.init(self.D, rng)[0] for _ in range(K or 1)]
        layout = nn.Layout.of(self.network, every[0], contiguous=self.n % 2 == 0)
        if self.batch_size % 2:
            layout = with_rates(layout)
        stores = [layout.pack(params, xp=np) for params in every]
        store = {k: self._stacked([s[k] for s in stores]).astype(self.dtype) for k in stores[0]}
        buffers = {
            leaf.name: store.pop(leaf.name) for leaf in layout.leaves if not leaf.group.trained
        }
        step = Step(
            self.network, self.loss, self.rule, layout, self.batch_size, self.dtype,
            penalised=self.alpha > 0, decoupled=self.weight_decay > 0,
            options=StepOptions(**self.options),
        )  # fmt: skip
        state = init_state(step, store, xp=np)
        return step, (Carry(store, buffers, state), (self.x, self.y), self._plan())

    def _stacked(self, arrays):
        """Return the members' arrays as one, or the only one."""
        return arrays[0] if self.K is None else np.stack(arrays)

    def _plan(self):
        """Return a plan of up to twelve steps: more would let rounding grow.

        Rows follow each other in the first ones, and the first weighs nothing. Members differ in
        all numbers: rates, penalties, how many rows there are.
        """
        rng, made = np.random.default_rng(1), []
        for member in range(self.K or 1):
            rows = np.concatenate([np.arange(self.n), rng.permutation(self.n)])
            weights = rng.integers(0, 3, self.n).astype(float)
            weights[: self.batch_size] = 0.0
            weights = weights if self.n % 3 else None
            factor = 1.0 + member
            plan = make_plan(
                self.rule, rows, batch_size=self.batch_size, lr=0.01 * factor, seed=member,
                sample_weight=weights, alpha=self.alpha * factor,
                weight_decay=self.weight_decay / factor,
            )  # fmt: skip
            n_rows = np.maximum(plan.n_rows - member, 1.0)
            real = np.arange(self.batch_size) < n_rows[:, None]
            made.append(plan._replace(n_rows=n_rows, weights=plan.weights * real))
        if self.K is None:
            return self._cut(made[0])
        plan = Plan(*(np.stack(parts, axis=1) for parts in zip(*made)))
        shape = (*plan.n_rows.shape, 1, 1)
        numbers = {name: getattr(plan, name).reshape(shape) for name in ("rate", "decay", "shrink")}
        return self._cut(plan._replace(**numbers))

    def _cut(self, plan):
        steps = sorted({*range(len(plan.rows))[:6], *range(len(plan.rows))[-6:]})
        return copy_plan(Plan(*(a[steps] for a in plan)), self.x, self.dtype)
