"""The proof that a program computes what plain operations do, before a fit relies on it.

No GPU, driver or library is taken at its word. Steps run plainly and as the program, one at a
time, from one state: a first, then the last step of the long graph from where replays of the short
one end. The gradients are compared, and the updates by one and the same gradient.

The step, its shapes and the GPU are the fit's; parameters, rows, targets and the numbers of the
plan are drawn by chance, always the same. So what is concluded cannot depend on a user's numbers
(which may overflow), nor on which fit of a process comes first, and no fit's state is touched.

How far two right results may be apart depends on the network: a sum that is almost 0 switches a
ReLU, a gradient that is almost 0 an update of Adam. So where they differ by more than TOLERANCE,
the plain step runs again with parameters, activations, weights and targets moved by a few
roundings, and as far as that moves its results, the program's may be off too.
"""

import threading
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from time import perf_counter
from typing import Any, NamedTuple

import cupy
import numpy as np

from ...arrays import all_finite, to_host
from ...nn import Kernels
from ...nn.layout import map_params
from ...transfers import counting, note
from ..base import Carry, Options, copy_carry, copy_store
from .graph import UNROLLED
from .out_of_memory import fitting, gradient_in_parts
from .proof_data import Signs, drawn

# Of products, by matmul_precision, else by dtype: the unit of rounding, and the tests' bounds of
# the engine, of the norm.
ROUNDING = {"float64": 2.0**-53, "float32": 2.0**-24, "high": 2.0**-11, "medium": 2.0**-8}
TOLERANCE = {"float64": 1e-12, "float32": 5e-6, "high": 1.5e-3, "medium": 1.2e-2}
# By how many roundings numbers are moved. A sum in float32 has many, an operand of a shortened
# product one.
MOVED = {"float64": 64, "float32": 64, "high": 4, "medium": 4}
LEEWAY = 2.0  # how much further than moved plain steps the program may be off
# Of what is moved up, what down, as long as needed: one may miss a switch that rounding threw.
DRAWS = 16
# Of the parameters' norm, how far about each step moves them: so that one which does not wait for
# the other is seen in every precision. The smaller where such steps overflow.
STRIDES = 1 / 32, 1 / 1024
EQUAL = "equal to plain operations"
REPORT = "please report it to the authors of xpmlp, with what `xpmlp doctor` prints"


class Subject(NamedTuple):
    """What is proven once a process."""

    step: Any
    lead: tuple  # () or (K,)
    options: Options
    device: int


PROVEN: dict = {}  # subject -> the numbers of rows that its programs compute at once
REFUSED: dict = {}  # subject -> why it runs plainly
LOCK = threading.Lock()  # one proof at a time


class Refused(Exception):
    """A program that differs from plain operations: in what."""


class NotFinite(Exception):
    """The plain steps overflow, so that nothing can be compared."""


def proven_run(step, options, plain, program_of, *, xp):
    """Return the run of one fit: by a program that has proven itself, else by plain operations.

    plain: a run; program_of(lead, carry): a context with a program and its player. A fit that runs
    plainly once does so to its end. An error in a later chunk is raised: the state is lost then.
    """
    why = ""  # plain operations are taken

    def run(carry, data, plan):
        nonlocal why
        subject = Subject(step, tuple(plan.rows.shape[1:-1]), options, cupy.cuda.Device().id)
        start, took, touched = perf_counter(), 0.0, False
        why = why or REFUSED.get(subject, "")
        if not why:
            try:
                with program_of(subject.lead, carry) as (program, play):
                    took = _seconds_of_proof(subject, program, play, plain, xp)
                    touched = program.owns(carry)  # from an earlier chunk, and overwritten now
                    made = program.run(carry, data, plan, play)
                note(proof={"result": EQUAL, "seconds": took})
                return made
            except Exception as error:  # whatever a GPU, a driver or a library does
                if touched:
                    raise
                why, took = _why(error), perf_counter() - start
                # Memory comes and goes, and what was equal once is not at fault.
                if not isinstance(error, MemoryError) and subject not in PROVEN:
                    REFUSED[subject] = why
        note(proof={"result": why, "seconds": took})
        note(text=f"accelerate='auto' takes plain operations here: {why}")
        return plain(carry, data, plan)

    return run


def _seconds_of_proof(subject, program, play, plain, xp):
    """Prove a program unless it has been. Raises Refused where it makes anything else."""
    start = perf_counter()
    with LOCK, counting():
        if program.n in PROVEN.get(subject, ()):
            return 0.0
        step = subject.step
        precision = subject.options.matmul_precision
        if precision == "highest" or step.dtype == "float64":
            precision = step.dtype
        carry, data, plan = drawn(program, subject.lead, xp=xp)
        found = Proof(step, program, play, plain, data, xp, precision).differences(carry, plan)
        if found:
            raise Refused(found)
        PROVEN.setdefault(subject, set()).add(program.n)
    return perf_counter() - start


def _why(error):
    """Say why a program is not used."""
    reason = " ".join(str(error).split()).rstrip(".")
    if isinstance(error, NotFinite):
        return "its steps overflow on the numbers of the proof, so that nothing could be compared"
    if isinstance(error, Refused):
        return f"in first steps as a CUDA graph {reason}: {REPORT}"
    if isinstance(error, MemoryError):
        return f"the GPU's memory is too small for a CUDA graph and its proof ({reason})"
    return f"the CUDA graph failed ({type(error).__name__}: {reason}): {REPORT}"


@dataclass(frozen=True)
class Proof:
    """A program beside plain operations. `plain` is a run; data: (X, y)."""

    step: Any
    program: Any
    play: Any
    plain: Any
    data: tuple
    xp: Any
    precision: str  # a key of TOLERANCE

    def differences(self, carry, plan):
        """Return a text on what the program computes differently, or "". Copies the carry."""
        for stride in STRIDES:
            with suppress(NotFinite):
                return self._differences(carry, self._striding(carry, plan, stride))
        raise NotFinite

    def _differences(self, carry, plan):
        alone, many = plan.part(UNROLLED, None), plan.part(0, UNROLLED)
        after, losses = self._replayed(carry, alone)
        found = self._of_step(carry, alone, after, losses, carry)
        if found:
            return found
        # All but the last by replays of the short graph, then all by the long one: what its last
        # step makes is held against plain operations from where the others ended.
        before, some = self._replayed(carry, many.part(0, -1))
        before = copy_carry(before, xp=self.xp)
        if not _finite(before) and _finite(self._plainly(carry, many.part(0, -1))):
            return "a parameter is not finite"
        after, losses = self._replayed(carry, many)
        found = self._of_step(before, many.part(-1, None), after, losses[:, -1:], carry)
        got, want = ({"the loss": a[0].T, "the penalty": a[1].T} for a in (losses[:, :-1], some))
        return found or self._apart(got, want, self._floors(carry, carry), self.precision)

    def _plainly(self, carry, plan):
        """Return the carry after plain steps."""
        return self.plain(copy_carry(carry, xp=self.xp), self.data, plan)[0]

    def _striding(self, carry, plan, stride):
        """Return the plan at rates by which its first step moves the parameters so far."""
        after = self._plainly(carry, plan.part(0, 1))
        stores = carry.params, {k: a - carry.params[k] for k, a in after.params.items()}
        size, move = (
            np.linalg.norm(norms((a[..., 0, :] for a in s.values()), xp=self.xp)) for s in stores
        )
        if not move:
            return plan
        return plan._replace(rate=plan.rate * float(stride * size / move))

    def _replayed(self, carry, plan):
        """Return what the program makes of steps. What no kernel writes of the losses is NaN."""
        shape = 2, plan.rows.shape[0], self.program.K
        losses = cupy.full(shape, np.nan, self.step.dtype)
        return self.program.run(carry, self.data, plan, self.play, losses)

    def _of_step(self, carry, plan, after, losses, start):
        """Return what differs in one step: its gradient, then the update by one gradient.

        plan: of that step; after, losses (2, 1[, K]): what the program has made of it; start: the
        carry that its steps began with.
        """
        grads = copy_store(self.program.grads, xp=self.xp)

        def moved(signs):
            own = carry._replace(params=self._moved(carry.params, signs))
            hyper = plan._replace(weights=signs.of(plan.weights))
            x, y = self.data
            if not self.step.loss.codes:  # which are whole numbers
                y = signs.of(y)
            return self._gradient(own, (x, y), hyper, Kernels(dense_forward=signs.dense_forward))

        got = self._named("the gradient of {}", grads) | {"the loss": losses[0].T}
        want = self._gradient(carry, self.data, plan, Kernels())
        floors = self._floors(carry, start)
        found = self._apart(got, want, floors, self.precision, moved)
        # Of one gradient the update is the same but for its own rounding.
        return found or self._of_update(carry, plan, grads, after, losses[1], floors)

    def _gradient(self, carry, data, plan, kernels):
        """Return by name the plain gradient of the plan's one step, and its loss."""
        attempt = partial(
            gradient_in_parts, self.step, carry, data, plan.at(0), xp=self.xp, kernels=kernels
        )
        (value, made, _), _ = fitting(attempt, self.step.batch_size)
        return self._named("the gradient of {}", made) | {"the loss": value[..., None]}

    def _of_update(self, carry, plan, grads, after, penalty, floors):
        """Return what differs in an update by a gradient."""
        step, xp, hyper = self.step, self.xp, plan.at(0)

        def plainly(grads, state):
            params = copy_store(carry.params, xp=xp)
            penalty, grads = step.penalise(grads, params, hyper, xp=xp)
            params, state = step.update(grads, state, params, hyper, xp=xp)
            made = self._made(carry, Carry(params, {}, state))
            if penalty is None:
                return made
            return {"the penalty": penalty[..., None]} | made

        def moved(signs):  # slots too: sums in any order make others of the same steps
            state = {slot: self._moved(store, signs) for slot, store in carry.state.items()}
            return plainly(self._moved(grads, signs), state)

        if not self.program.reads_parameters():
            return "what products read of the parameters is not what the update wrote"
        got = {"the penalty": penalty.T} | self._made(carry, after)
        want = plainly(copy_store(grads, xp=xp), copy_carry(carry, xp=xp).state)
        return self._apart(got, want, floors, step.dtype, moved)

    # ---- What is compared

    def _made(self, before, after):
        """Return by name what an update has made: changes of parameters, slots."""
        moves = {name: a - before.params[name] for name, a in after.params.items()}
        made = self._named("the change of {}", moves)
        for slot, store in after.state.items():
            made |= self._named(slot + " of {}", store)
        return made

    def _named(self, text, store):
        """Return the parameters of a store by name, (..., n) each, as views."""
        named = {}
        for leaf in self.step.layout.leaves:
            stop = 0
            for slot in leaf.slots:
                start, stop = stop, stop + slot.size
                layer, name = slot.path[0] + 1, slot.path[-1]
                part = store[leaf.name][..., 0, start:stop]
                named[text.format(f"{name} in layer {layer}")] = part
        return named

    def _floors(self, carry, start):
        """Return what rounding changes where a change is small beside what it changes.

        The same steps end elsewhere where sums are taken in any order, by a share of their way.
        """
        unit, tolerance = ROUNDING[self.step.dtype], TOLERANCE[self.step.dtype]
        ways = {name: a - start.params[name] for name, a in carry.params.items()}
        sizes, ways = (self._named("the change of {}", s) for s in (carry.params, ways))
        size, way = (norms(s.values(), xp=self.xp) for s in (sizes, ways))
        floors = dict(zip(sizes, 4 * unit * size + tolerance * way))
        return floors | dict.fromkeys(("the loss", "the penalty"), 16 * unit)

    def _moved(self, store, signs):
        """Return a store whose numbers are off by a few roundings."""
        layout = self.step.layout
        return layout.pack(map_params(signs.of, layout.unpack(store, xp=self.xp)), xp=self.xp)

    def _apart(self, got, want, floors, precision, moved=None):
        """Return a text on what differs by more than rounding explains, or "".

        moved(signs) -> what plain operations make of numbers that are moved.
        """
        size = norms(want.values(), xp=self.xp)
        if not np.isfinite(size).all():
            raise NotFinite
        error = norms((got[name] - a for name, a in want.items()), xp=self.xp)
        floor = np.stack([np.broadcast_to(floors.get(name, 0.0), size[0].shape) for name in want])
        allowed = TOLERANCE[precision] * size + floor
        for draw in range(DRAWS):
            if moved is None or (error <= allowed).all():
                break
            again = moved(Signs(MOVED[precision] * ROUNDING[precision], draw))
            off = norms((again[name] - a for name, a in want.items()), xp=self.xp)
            off = TOLERANCE[precision] * size + floor + LEEWAY * np.nan_to_num(off, nan=np.inf)
            allowed = np.maximum(allowed, off)
        bad = ~(error <= allowed)
        if not bad.any():
            return ""
        with np.errstate(divide="ignore", invalid="ignore"):
            share = np.where(bad, np.nan_to_num(error / size, nan=np.inf), -1.0).max(axis=-1)
        name = [*want][int(np.argmax(share))]
        return f"{name} is off by {share.max():.1e} of its norm"


def _finite(carry):
    return all(map(all_finite, carry.params.values()))


def norms(arrays, *, xp):
    """Return the norm of each array ([K,] n), of each member: (arrays, K or 1) on the host."""
    squares = []
    for a in arrays:
        wide = xp.astype(a, xp.float64)
        squares.append(xp.reshape(xp.sum(wide * wide, axis=-1), (-1,)))
    return np.sqrt(to_host(xp.stack(squares)))
