"""A training step of a chain as a fixed list of launches, on buffers that are made once.

No launch has an argument that changes: what differs between steps lies on the GPU, so that the
same list is a step of the eager tier, and, captured into a CUDA graph, one of the graph tier.

K members, N rows a batch, n of them computed at once (fewer than N where memory is short).
"""

import warnings
import weakref
from contextlib import suppress
from typing import Any, NamedTuple

import cupy
import numpy as np

from ...arrays import to_host
from ...transfers import note
from ..base import Carry
from ..chain import LOSS_KINDS
from .kernels import STORED, blocks_of, grid_of, launcher, splits_of
from .products import Epilogue, Matrix, NoAlgorithm, seconds
from .units import OF_Z, code_of, rule_numbers, units_of

# An activation in cuBLASLt's epilogues: forward, backward, whether `aux` is a mask of bits, and
# what a row of it is filled up to.
EPILOGUES = {
    "relu": ("RELU_AUX_BIAS", "DRELU", True, 128),
    "gelu_tanh": ("GELU_AUX_BIAS", "DGELU", False, 8),
}
FASTEST: dict = {}  # which of several ways was faster, by what was asked


class Op(NamedTuple):
    """A launch; those of branch 1 may overlap with what follows, up to a launch that joins."""

    launch: Any
    branch: int = 0
    joins: bool = False


class Program:
    """A step's launches and buffers. What `run` returns are its own buffers, until its next run.

    lead: () or (K,); stored: the dtype of activations; fused: whether products may take epilogues,
    where that is faster (of whole batches only: a bias gradient is written, never added); pool: of
    memory, kept as long as the program.
    """

    def __init__(self, step, lead, n, products, stored, *, fused, pool):
        self.step, self.products, self.fused, self.pool = step, products, fused, pool
        self.K, self.N, self.n = (lead or (1,))[0], step.batch_size, n
        self.stored = stored
        self.bind = launcher(step.dtype, stored)
        self.returned: list = []
        self.running, self.warns = False, True
        self.notes: list = []
        self.kept: dict = {}
        self.drop, self.units = units_of(step)
        sizes = {leaf.name: sum(s.size for s in leaf.slots) for leaf in step.layout.leaves}
        self.weights = next((leaf.name for leaf in step.layout.leaves if leaf.group.decay), None)
        self.sizes = dict(sorted(sizes.items(), key=lambda item: item[0] != self.weights))
        self._make_buffers(lead)
        self.ops = self._step()
        self.n_bytes = pool.total_bytes()

    # ---- Buffers

    def _make_buffers(self, lead):
        T, P = self.step.dtype, self.K * sum(self.sizes.values())
        slots = self.step.rule.slots
        self.theta, self.grad, *self.slots = (cupy.zeros(P, T) for _ in range(2 + len(slots)))
        # Where products read a shorter type, the parameters in that type: `update` writes both.
        self.short, self.shadow = None, self.theta
        if self.stored != T:
            self.short = self.shadow = cupy.zeros(P, STORED[self.stored])
        self.params, self.grads = self._store(self.theta, lead), self._store(self.grad, lead)
        self.read = self._store(self.shadow, lead)  # what products read
        self.state = {name: self._store(a, lead) for name, a in zip(slots, self.slots)}
        self.chunk = cupy.zeros(11, np.uint64)  # kernels.cu's struct: nine addresses, B, t

    def _store(self, flat, lead):
        views, stop = {}, 0
        for name, size in self.sizes.items():
            start, stop = stop, stop + self.K * size
            views[name] = flat[start:stop].reshape(*lead, 1, size)
        return views

    def _of(self, store, place, rows, columns):
        """Return a parameter (K, rows, columns) as a view, None for none."""
        if place is None:
            return None
        leaf = store[place.leaf].reshape(self.K, -1)
        return leaf[:, place.part].reshape(self.K, rows, columns)

    def _rows(self, width):
        return cupy.empty(self.K * self.n * width, STORED[self.stored])

    def scratch(self, key, n_partial, n_counters):
        """Return room for partial sums and counters, which the parts of a batch share."""
        if key not in self.kept:
            partial = cupy.empty(n_partial, self.step.dtype)
            self.kept[key] = partial, cupy.zeros(n_counters, np.uint32)
        return self.kept[key]

    # ---- Launches

    def _step(self):
        self.outs = [self._rows(u.link.n_out) for u in self.units]
        self.aux = list(self.outs)  # what a layer's backward pass takes: often what it puts out
        for i, unit in enumerate(self.units):
            if self._keeps(unit):
                self.aux[i] = self._rows(unit.link.n_out)
        # The loss's kernel writes its gradient over the last outputs, which nobody else reads.
        self.ds = [self._rows(u.link.n_out) for u in self.units[:-1]] + [self.outs[-1]]
        self.x = self._rows(self.units[0].link.n_in)
        ops = []
        for start in range(0, self.N, self.n):
            ops += Part(self, start, min(self.n, self.N - start)).ops
        return [*ops, self._update()]

    def _keeps(self, unit):
        """Tell whether a unit's backward pass takes another array than its output."""
        return unit is not self.units[-1] and (unit.act in OF_Z or unit.drop[1] > 0)

    def _update(self):
        Pw = self.sizes.get(self.weights, 0)
        Pb = sum(self.sizes.values()) - Pw
        grid = blocks_of(Pw + Pb, self.K)
        partial, counter = self.scratch("update", grid[0] * self.K, self.K + 1)
        u, v = (*self.slots, None, None)[:2]
        arrays = self.chunk, self.theta, self.grad, u, v, self.short, partial, counter
        kind, *factors = rule_numbers(self.step.rule)
        flags = self.step.penalised, self.step.decoupled
        return Op(self.bind("update", grid, *arrays, Pw, Pb, kind, *flags, *factors), joins=True)

    # ---- Running

    def reads_parameters(self):
        """Tell whether what products read are the parameters."""
        if self.short is None:
            return True
        right, P = cupy.empty_like(self.short), self.theta.size
        self.bind("cast", blocks_of(P), right, self.theta, P)()
        return not to_host(cupy.sum((right != self.short).astype(np.float32)))

    def owns(self, carry):
        """Tell whether a carry's arrays are these buffers: the next chunk of the same fit."""
        return all(a.data.ptr == mine.data.ptr for mine, a in self._beside(carry))

    def _beside(self, carry):
        """Yield the buffers of parameters and slots, each with the array of a carry."""
        own = self.params, *self.state.values()
        for mine, theirs in zip(own, (carry.params, *carry.state.values())):
            for name, a in theirs.items():
                yield mine[name], a

    def idle(self):
        """Tell whether the arrays of the last run are no longer used, and no run is going on."""
        return not self.running and all(ref() is None for ref in self.returned)

    def busy(self):
        """Mark the beginning of a run; its end is marked by what it returns."""
        self.returned, self.running = [], True

    def remark(self, text):
        """Note in the report of each fit what does not run as asked for, and warn of it once."""
        if self.warns:
            warnings.warn(text, RuntimeWarning)
        self.notes.append(text)

    def run(self, carry, data, plan, play, losses=None):
        """Run a chunk: play(n) runs n steps. Returns the carry and the losses (2, B[, K]).

        losses: (2, B, K), where to write them.
        """
        if not self.owns(carry):
            self._copy_in(carry)
        B = plan.rows.shape[0]
        if losses is None:
            losses = cupy.empty((2, B, self.K), self.step.dtype)
        numbers = plan.rows, plan.weights, plan.key, plan.rate, plan.decay, plan.shrink
        arrays = [cupy.ascontiguousarray(a) for a in (*data, *numbers)] + [losses]
        pointers = [a.data.ptr for a in arrays]
        self.chunk.set(np.array([*pointers, B, 0], np.uint64))
        play(B)
        fresh = lambda store: {name: a[...] for name, a in store.items()}
        params, state = fresh(self.params), {k: fresh(s) for k, s in self.state.items()}
        stores = (params, *state.values())
        self.returned = [weakref.ref(a) for store in stores for a in store.values()]
        self.running = False
        for text in self.notes:
            note(text=text)
        if plan.rows.ndim == 2:  # no members
            losses = losses[..., 0]
        return Carry(params, carry.buffers, state), losses

    def _copy_in(self, carry):
        for mine, a in self._beside(carry):
            mine[:] = a
        if self.short is not None:
            P = self.theta.size
            self.bind("cast", blocks_of(P), self.short, self.theta, P)()


class Part:
    """The launches of some rows of a batch: `rows` from `start` on."""

    def __init__(self, program, start, rows):
        self.p, self.start, self.rows = program, start, rows
        self.fused = program.fused and program.K == 1
        units, forward = program.units, []
        backward: list[list] = [[]]  # from unit i back to the one before it; of the first none
        x = self._view(program.x, units[0].link.n_in)
        for i in range(len(units) - 1):
            there, back = self._hidden(i, x)
            forward += there
            backward.append(back)
            x = self._view(program.outs[i], units[i].link.n_out)
        ops = [self._gather(), *map(Op, forward), *self._last(x)]
        for i in range(len(units) - 1, -1, -1):
            # Nobody waits for the gradients of weights, so they may overlap with the way back,
            # but for the first unit's, after which there is no more of it.
            ops += [Op(launch, _branch(i)) for launch in self._dW(i)]
            ops += map(Op, backward[i])
        self.ops = ops

    def _view(self, flat, width):
        K, rows = self.p.K, self.rows
        return flat[: K * rows * width].reshape(K, rows, width)

    def _product(self, a, b, out, **more):
        return self.p.products.bind(a, b, out, **more)

    def _gather(self):
        p = self.p
        D = p.units[0].link.n_in
        numbers = p.N, self.rows, self.start, D, *p.drop
        return Op(p.bind("gather", grid_of(self.rows, p.K, D), p.chunk, p.x, *numbers), joins=True)

    def _W(self, i):
        link = self.p.units[i].link
        return self.p._of(self.p.read, link.W, link.n_in, link.n_out)

    def _b(self, i, store):
        """Return a bias or its gradient (K, 1, H), and the stride from member to member."""
        link = self.p.units[i].link
        if link.b is None:
            return None, 0
        b = self.p._of(store, link.b, 1, link.n_out)
        return b, b.strides[0] // b.itemsize

    def _hidden(self, i, x):
        """Return the launches of a hidden unit, forward, and of the gradient back to its sums."""
        ways = [self._plain(i, x)]
        unit = self.p.units[i]
        if self.fused and unit.act in EPILOGUES and unit.link.b and not unit.drop[1]:
            with suppress(NoAlgorithm):  # the plain way is there
                ways.append(self._with_epilogue(i, x))
        return self._fastest(ways, "hidden", unit.act, self._shape(i), self._shape(i + 1))

    def _plain(self, i, x):
        p, unit = self.p, self.p.units[i]
        H, drop = unit.link.n_out, unit.drop
        z, out = (self._view(a, H) for a in (p.aux[i], p.outs[i]))
        b, stride = self._b(i, p.params)
        numbers = stride, *code_of(unit.act), self.rows, self.start, H, *drop
        activate = p.bind("bias_act", grid_of(self.rows, p.K, H), p.chunk, z, out, b, *numbers)
        there = [self._product(Matrix(x), Matrix(self._W(i)), z), activate]
        d = self._view(p.ds[i], H)
        back = [self._dx(i, d), self._colsum(i, d, z)]
        return there, back

    def _dx(self, i, d, **more):
        """Return the product that takes the gradient of unit i + 1 back to the outputs of i."""
        above = self._view(self.p.ds[i + 1], self.p.units[i + 1].link.n_out)
        return self._product(Matrix(above), Matrix(self._W(i + 1), True), d, **more)

    def _colsum(self, i, d, aux):
        """Return the launch of the derivative (None for aux: of none) and the bias gradient."""
        p, unit = self.p, self.p.units[i]
        H, tiles = unit.link.n_out, -(-unit.link.n_out // 32)
        splits = splits_of(self.rows, tiles * p.K)
        partial, counters = p.scratch(i, p.K * splits * H, p.K * tiles)
        db, stride = self._b(i, p.grads)
        arrays = p.chunk, d, aux, db, stride, partial, counters
        numbers = code_of(unit.act)[0], self.rows, self.start, H, *unit.drop
        return p.bind("dact_colsum", (tiles, splits, p.K), *arrays, *numbers)

    def _with_epilogue(self, i, x):
        """Bias and activation in the product, and the way back of both in the next."""
        p, unit = self.p, self.p.units[i]
        forward, backward, bits, step = EPILOGUES[unit.act]
        H = unit.link.n_out
        ld = -(-H // step) * step
        aux = p.aux[i]
        if bits:
            aux = cupy.empty(self.rows * ld // 8, np.uint8)
        elif ld != H:
            raise NoAlgorithm(f"{H} units are no multiple of {step}")
        out, d = self._view(p.outs[i], H), self._view(p.ds[i], H)
        there = Epilogue(forward, self._b(i, p.read)[0], aux, ld)
        launches = [self._product(Matrix(x), Matrix(self._W(i)), out, epilogue=there)]
        if p.short is None:
            back = Epilogue(backward + "_BGRAD", self._b(i, p.grads)[0], aux, ld)
            return launches, [self._dx(i, d, epilogue=back)]
        # The bias gradient would come in the dtype of what is written, which is short.
        back = Epilogue(backward, None, aux, ld)
        return launches, [self._dx(i, d, epilogue=back), self._colsum(i, d, None)]

    def _last(self, x):
        """Return the launches of the last unit and the loss."""
        p, unit = self.p, self.p.units[-1]
        C, i = unit.link.n_out, len(p.units) - 1
        z = self._view(p.outs[i], C)
        b, stride = self._b(i, p.params)
        grid = grid_of(self.rows, p.K)
        partial, counter = p.scratch("loss", grid[0] * p.K, p.K)
        kinds = [*LOSS_KINDS.values()].index(p.step.loss), *code_of(unit.act)
        arrays = p.chunk, z, b, stride, partial, counter
        loss = p.bind("loss_grad", grid, *arrays, *kinds, p.N, self.rows, self.start, C)
        return map(Op, [self._product(Matrix(x), Matrix(self._W(i)), z), loss])

    def _dW(self, i):
        """Return the launches of a unit's gradients, the last unit's bias gradient among them."""
        p, link = self.p, self.p.units[i].link
        d = self._view(p.ds[i], link.n_out)
        x = self._view([p.x, *p.outs][i], link.n_in)
        dW = p._of(p.grads, link.W, link.n_in, link.n_out)
        operands, branch = (Matrix(x, True), Matrix(d), dW), _branch(i)
        product = self._product(*operands, accumulate=self.start > 0, branch=branch)
        if i < len(p.units) - 1 or link.b is None:
            return [product]
        ways = [[product, self._colsum(i, d, None)]]
        if self.fused:
            epilogue = Epilogue("BGRADA", self._b(i, p.grads)[0])
            with suppress(NoAlgorithm):  # the plain way is there
                ways.append([self._product(*operands, epilogue=epilogue, branch=branch)])
        return self._fastest([(way, []) for way in ways], "dW", self._shape(i))[0]

    def _shape(self, i):
        link = self.p.units[i].link
        return self.rows, link.n_in, link.n_out, self.p.stored, self.p.products.compute

    def _fastest(self, ways, *key):
        """Return the way whose launches together take least, timed once."""
        if len(ways) == 1:
            return ways[0]
        key = cupy.cuda.Device().id, *key
        if key not in FASTEST:
            took = [seconds(lambda way=way: [f() for part in way for f in part]) for way in ways]
            FASTEST[key] = int(np.argmin(took))
        return ways[FASTEST[key]]


def _branch(i):
    """Return the branch of the graph for the gradients of unit i's weights."""
    return int(i > 0)
