"""The CuPy engine: a step in plain operations, in fused kernels, or as a CUDA graph.

The tiers of `accelerate`: "generic" runs the step's own text; "eager" launches the kernels of
kernels.cu one by one, for chains of Dense and Dropout; "graph" replays them as a CUDA graph, with
cuBLASLt's products. What one tier cannot do, the one before does. "auto" is "graph" for chains
of which steps were found equal to plain operations (`proof.py`), "generic" for all else.
"""

import threading
from contextlib import contextmanager, nullcontext
from dataclasses import replace
from functools import lru_cache, partial
from math import prod
from typing import Any, NamedTuple

import cupy

from ...arrays import namespace
from ...nn import Kernels
from ...transfers import note
from ..base import DEFAULTS, Carry, Engine, Plan
from ..generic import generic_engine
from ..torch import torch_engine
from .fused import KERNELS, FusedRule
from .graph import Player
from .kernels import compile_ahead
from .out_of_memory import OutOfMemoryError, careful_run, fitting, free_pools, in_parts
from .products import CupyProducts, LtProducts, NoAlgorithm, lt_here
from .program import Program
from .proof import proven_run
from .units import rule_numbers, units_of

IDLE_BYTES = 256 << 20  # of buffers that are kept for the next fit of the same step


@lru_cache(maxsize=128)
def cupy_engine(xp, options=DEFAULTS) -> Engine:
    """Return the engine of CuPy arrays; `xp` is their Array API namespace."""
    tier, kernels = options.accelerate, KERNELS
    if tier in ("auto", "generic"):
        tier, kernels = "generic", Kernels()

    def run_of(step):
        own = step
        if tier != "generic" and rule_numbers(step.rule):
            own = replace(step, rule=FusedRule(step.rule))
        careful = careful_run(own, xp=xp, kernels=kernels)
        chain = options.accelerate != "generic" and units_of(step)
        chosen, notes = partial(_run_plainly, careful, ()), _unheeded(step, tier, options, chain)
        if chain and options.accelerate == "auto":
            plain = partial(_run_plainly, careful, _unheeded(step, tier, options, None))
            program_of = partial(_program, step, "graph", options)
            chosen = proven_run(step, options, plain, program_of, xp=xp)
        elif chain:
            chosen = partial(_run_program, step, tier, options)

        def run(carry, data, plan):
            for text in notes:
                note(text=text)
            with cupy.cuda.Device(plan.rows.device.id):
                return chosen(carry, data, plan)

        return run

    name = f"cupy {tier}"
    engine = generic_engine(xp)._replace(name=name, run=run_of, kernels=kernels, product=None)
    if options.accelerate == "generic":
        return engine
    return engine._replace(resident=_contiguous)


def prepare_card(device: int, dtype: str, options) -> None:
    """Begin to compile the kernels that steps in a dtype launch on a GPU."""
    compile_ahead(dtype, _stored(dtype, options), device)


def _stored(dtype, options):
    """Return the type of stored activations and of what products read."""
    if dtype == "float32" and options.matmul_precision == "medium":
        return "bfloat16"
    return dtype


def _contiguous(a):
    """Return data as kernels read them, where memory holds a copy: else each chunk makes one."""
    try:
        return cupy.ascontiguousarray(a)
    except OutOfMemoryError:
        return a


def _unheeded(step, tier, options, chain):
    """Return sentences on what was asked for and will not happen."""
    notes = []
    if tier != "generic" and not chain:
        notes.append(
            f"accelerate={tier!r} is for chains of Dense and Dropout with built-in activations, "
            "losses and rules: this network runs as plain operations, some of them fused"
        )
    why = ""
    if step.dtype == "float64":
        why = "float64 is never shortened, pass dtype='float32'"
    elif not chain:
        why = "the plain operations compute in float32"
    if why and options.matmul_precision != "highest":
        notes.append(f"matmul_precision={options.matmul_precision!r} changes nothing: {why}")
    return notes


def _run_plainly(plain, notes, carry, data, plan):
    for text in notes:
        note(text=text)
    note(tier="generic")
    return plain(carry, data, plan)


def _run_program(step, tier, options, carry, data, plan):
    lead = tuple(plan.rows.shape[1:-1])
    with _program(step, tier, options, lead, carry) as (program, play):
        return program.run(carry, data, plan, play)


@contextmanager
def _program(step, tier, options, lead, carry):
    """Yield a step's program and its player; an error in the block drops the program."""
    # Another stream's work on an idle program may still be under way.
    place = cupy.cuda.Device().id, cupy.cuda.get_current_stream().ptr
    key = step, lead, tier, options, place
    program, play = PROGRAMS.take(key, carry, lambda: _make(step, lead, tier, options))
    try:
        yield program, play
    except BaseException:
        PROGRAMS.drop(program)
        raise
    note(tier="graph" if play.graphs else "eager")


class Choice(NamedTuple):
    """How a program's products are made: with activations stored as, by what, in graphs or not."""

    stored: str
    products: Any = lambda by_time: CupyProducts()
    graphs: bool = False
    lacks: str = ""  # what was asked for and is not there


def _make(step, lead, tier, options):
    """Return a step's program and its player, for as many rows at once as memory holds."""
    choice = _choice(step, lead, tier, options)
    try:
        program = _built(step, lead, options, choice)
    except NoAlgorithm as error:
        short = f"cuBLASLt has no {choice.stored} product of such shapes on this GPU ({error})"
        choice = _plainly(step, tier, options, short)
        program = _built(step, lead, options, choice)
    program.warns = options.accelerate != "auto"
    if choice.lacks:
        program.remark(choice.lacks)
    return program, Player(program, choice.graphs)


def _built(step, lead, options, choice):
    def attempt(n):
        # Parts of a batch are a way out, not worth the timing; epilogues add in an order of theirs.
        by_time = not options.deterministic and n == step.batch_size
        # What a fit takes beside its program: copies of what it trains.
        room = [cupy.empty(_size(step, lead), step.dtype) for _ in range(2 + len(step.rule.slots))]
        pool = PROGRAMS.pool()
        with cupy.cuda.using_allocator(pool.malloc):
            products, fused = choice.products(by_time=by_time), choice.graphs and by_time
            program = Program(step, lead, n, products, choice.stored, fused=fused, pool=pool)
        del room
        return program

    program, n = fitting(attempt, step.batch_size, free=PROGRAMS.clear)
    if n < step.batch_size:
        program.notes.append(in_parts(n))
    return program


def _size(step, lead):
    """Return the number of parameters, of all members."""
    return prod(lead) * sum(s.size for leaf in step.layout.leaves for s in leaf.slots)


def _choice(step, lead, tier, options):
    """Return how products are made, by what was asked for and what is installed."""
    short = step.dtype == "float32" and options.matmul_precision != "highest"
    if not (short or lead or tier == "graph"):
        return Choice(step.dtype)
    if lt_here() is None:
        return _plainly(step, tier, options, "cuBLASLt does not work here")
    stored, compute = _stored(step.dtype, options), step.dtype
    if short and stored == "float32":
        compute = "tf32"
    return Choice(stored, partial(LtProducts, compute), tier == "graph")


def _plainly(step, tier, options, reason):
    """Return CuPy's own products, and what is lost by them."""
    short = step.dtype == "float32" and options.matmul_precision != "highest"
    lost = [f"products stay in {step.dtype}"] * short
    lost += ["kernels are launched one by one"] * (tier == "graph")
    if not lost:
        return Choice(step.dtype)
    text = f"{reason}, so {' and '.join(lost)}"
    if lt_here() is None:
        text += ': pip install "xpmlp[cuda13]" or "xpmlp[cuda12]", `xpmlp doctor` says which'
    return Choice(step.dtype, lacks=f"{text}.")


class ProgramCache:
    """Programs by step: those at work, and idle ones for the next fit of an equal step."""

    def __init__(self):
        self.items: list[tuple[Any, Program, Player]] = []
        self.lock = threading.Lock()

    def take(self, key, carry, make):
        """Return the program that a carry comes from, else an idle or a new one, and its player."""
        with self.lock:
            found = [(p, play) for k, p, play in self.items if k == key]
            mine = [pair for pair in found if pair[0].owns(carry)]
            usable = mine or [pair for pair in found if pair[0].idle()]
            if usable:
                program, play = usable[-1]
                program.busy()
                return program, play
        program, play = make()
        program.busy()
        with self.lock:
            self._trim(IDLE_BYTES)
            self.items.append((key, program, play))
        return program, play

    def pool(self):
        """Return a memory pool for a program, which may take what the user's limit leaves."""
        made, shared = cupy.cuda.MemoryPool(), cupy.get_default_memory_pool()
        if limit := shared.get_limit():
            with self.lock:
                taken = sum(p.pool.total_bytes() for _, p, _ in self.items)
            made.set_limit(size=max(1, limit - shared.total_bytes() - taken))
        return made

    def _trim(self, most):
        kept, total = [], 0
        for item in reversed(self.items):
            if item[1].idle():
                total += item[1].n_bytes
            if total <= most or not item[1].idle():
                kept.append(item)
        self.items = kept[::-1]

    def drop(self, program):
        """Forget a program, as after an error in it."""
        with self.lock:
            self.items = [item for item in self.items if item[1] is not program]

    def clear(self):
        """Forget the idle programs, and free their memory."""
        with self.lock:
            self._trim(0)
        free_pools()


PROGRAMS = ProgramCache()


class ExternalStream(NamedTuple):
    """Another library's stream, in CUDA's protocol for it."""

    ptr: int

    def __cuda_stream__(self):
        """Return the protocol's version and the stream."""
        return 0, self.ptr


def torch_through_cupy(xp, options) -> Engine:
    """Return the engine of torch's CUDA tensors that runs CuPy's steps, through DLPack.

    Nothing is copied: both libraries see the same memory, on torch's stream.
    """
    import torch

    own = torch_engine(xp, contiguous=True, matmul_precision=options.matmul_precision)
    ours = cupy_engine(namespace(cupy.empty(0)), options)

    @lru_cache(maxsize=128)
    def run_of(step):
        inner = ours.run(step)

        def run(carry, data, plan):
            device = plan.rows.device
            stream = torch.cuda.current_stream(device).cuda_stream
            on_stream: Any = nullcontext()
            if stream:
                on_stream = cupy.cuda.Stream.from_external(ExternalStream(stream))
            with cupy.cuda.Device(device.index), on_stream:
                carry, data, plan = (_mapped(cupy.from_dlpack, v) for v in (carry, data, plan))
                carry, losses = inner(carry, data, plan)
                return _mapped(torch.from_dlpack, carry), torch.from_dlpack(losses)

        return run

    resident = torch.Tensor.contiguous
    return own._replace(name=f"torch, {ours.name}", run=run_of, resident=resident, product=None)


def _mapped(f, value):
    """Return f of every array in a carry, a plan, or what they hold."""
    if isinstance(value, dict):
        return {k: _mapped(f, v) for k, v in value.items()}
    if isinstance(value, Carry | Plan):
        return type(value)(*(_mapped(f, v) for v in value))
    if isinstance(value, tuple):
        return tuple(_mapped(f, v) for v in value)
    return f(value)
