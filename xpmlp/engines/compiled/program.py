"""From records to compiled calls: the table of layers, buffers, threads."""

import ctypes
import sys
import threading
from functools import cache

import numpy as np
from numba import typeof

from ...nn import Dense, Embedding
from ...nn.activations import get_activation
from ...randomness import fold_in
from ..base import Plan
from ..chain import chain_of
from . import activations, kernels, steps
from .blas import DTYPES, find_blas
from .team import n_threads, new_gate, run_alone, run_team

WORK = 1_000_000  # multiplications a step for each thread: less does not pay for the waiting
LIGHT = 250_000  # multiplications of a product: up to here OpenBLAS takes one thread by itself
PAUSE = 5_000_000_000  # multiplications, about half a second, after which an interrupt is heeded
NO_GATE = new_gate()  # predictions do not wait for each other
CHUNK = 256  # rows of a prediction at once: the outputs of layers of 1000 units fit the cache


class Table:
    """A chain as `steps` reads it, for one dtype.

    rows: (layers, columns); scales: each layer's, of a dropout 1 / (1 - rate); n_outs, n_pres: the
    elements of its buffers a row of the batch; n_tile: those of the scratch; starts: the first row
    of each column of codes in an Embedding's E, and the one past the last.
    """

    def __init__(self, links, dtype):
        self.links, self.n_outs, self.n_pres, self.n_tile = links, 0, 0, 64
        self.rows = np.full((len(links), len(steps.COLUMNS)), -1)
        self.scales = np.ones(len(links), dtype)
        for i, (link, row) in enumerate(zip(links, self.rows)):
            row[steps.D_IN], row[steps.H_OUT], row[steps.OUT_AT] = (
                link.n_in,
                link.n_out,
                self.n_outs,
            )
            self.n_outs += link.n_out
            if isinstance(link.layer, Embedding):
                sizes, row[steps.DIM] = link.layer.sizes, link.layer.n_dim
                row[steps.KIND], row[steps.N_CODES] = steps.EMBEDDING, len(sizes)
                self.starts = np.cumsum([0, *sizes]).astype(dtype)
                row[steps.W_AT] = link.W.part.start
                self.n_tile = max(self.n_tile, min(sum(sizes), steps.TILE) * link.layer.n_dim)
                continue
            if link.W is None:
                row[steps.KIND], self.scales[i] = steps.DROPOUT, 1.0 / (1.0 - link.layer.rate)
                row[steps.WORD] = int(fold_in(np.zeros((1, 2), np.int32), (i,))[0, 0])
                row[steps.THRESHOLD] = round(link.layer.rate * 2**24)
                continue
            record = get_activation(link.layer.activation)
            row[steps.KIND], row[steps.ACTIVATION] = steps.DENSE, activations.CODES[record]
            row[steps.W_AT] = link.W.part.start
            row[steps.B_AT] = link.b.part.start if link.b else -1
            if record.name in activations.NEED_Z:
                row[steps.Z_AT], self.n_pres = self.n_pres, self.n_pres + link.n_out
            self.n_tile = max(self.n_tile, 64 + min(link.n_in, steps.TILE) * link.n_out)
        dense = (link for link in links if isinstance(link.layer, Dense))
        self.multiplications = sum(link.n_in * link.n_out for link in dense)

    def at(self, store):
        """Return the rows with the addresses of a store's parameters, which must stay alive."""
        rows = self.rows.copy()
        for link, row in zip(self.links, rows):
            row[steps.W] = link.W.of(store).ctypes.data if link.W else 0
            row[steps.B] = link.b.of(store).ctypes.data if link.b else 0
            if row[steps.KIND] == steps.EMBEDDING:
                row[steps.B] = self.starts.ctypes.data
        return rows


def table_of(network, layout, dtype):
    """Return the table of a network, or None where a part of it is not of ours."""
    links = chain_of(network, layout, embeds=True)
    dense = (link.layer for link in links or () if isinstance(link.layer, Dense))
    records = {get_activation(layer.activation) for layer in dense}
    known = dtype.name in DTYPES and records <= activations.CODES.keys()
    return Table(links, dtype) if links and known else None


def compiled_run(step, otherwise):
    """Return the run of a step as compiled code, or None where a part of it is not of ours.

    otherwise: the run for members.
    """
    dtype, N = np.dtype(step.dtype), step.batch_size
    table = table_of(step.network, step.layout, dtype)
    flat = all(leaf.flat for leaf in step.layout.leaves)
    codes = kernels.LOSS_CODES.get(step.loss), kernels.RULE_CODES.get(type(step.rule))
    if table is None or None in codes or not (flat and step.plain):
        return None
    numbers = np.array(kernels.numbers_of(step.rule), dtype)
    D, C = table.links[0].n_in, step.loss.n_targets(table.links[-1].n_out)
    most = max(1, min(N // 8, N * table.multiplications // WORK))
    at_once = max(1, PAUSE // (N * table.multiplications))
    empty = np.empty(0, dtype)

    def run(carry, data, plan):
        if plan.rows.ndim != 2:
            return otherwise(carry, data, plan)
        size, buffer = min(most, n_threads()), lambda *shape: np.empty(shape, dtype)
        stores = [carry.params, *(carry.state[slot] for slot in step.rule.slots)]
        leaves = [
            stores[k][leaf].reshape(-1) if k < len(stores) and leaf in stores[k] else empty
            for leaf in ("weights", "offsets") for k in range(3)
        ]  # fmt: skip
        fixed = (
            find_blas().gemm[step.dtype],
            table.at(carry.params),
            table.scales,
            *codes,
            numbers,
            # Class codes too as floats, exact up to 2^24: other types would compile all anew.
            *(readable(np.asarray(a, dtype)) for a in data),
        )
        buffers = (
            *leaves, buffer(N * table.n_outs), buffer(N * table.n_pres), buffer(N * table.n_outs),
            buffer(N * D), buffer(N * C), buffer(N), np.ones(N, dtype),
            buffer(size, table.n_tile), np.zeros(size),
        )  # fmt: skip
        losses = []
        for start in range(0, len(plan.rows), at_once):
            now = Plan(*(a[start : start + at_once] for a in plan))
            losses.append(np.zeros((2, len(now.rows)), dtype))
            gate = new_gate()
            arguments = (
                gate, *fixed, now.rows, now.weights, now.n_rows, now.key, now.rate, now.decay,
                now.shrink, *buffers, losses[-1],
            )  # fmt: skip
            call(steps.stretch, size, step.dtype, arguments, gate)
        return carry, np.concatenate(losses, axis=1)

    return run


def compiled_outputs(network, layout, dtype):
    """Return (store, n) -> x -> outputs as compiled code; None where a part is not of ours."""
    name, dtype = dtype, np.dtype(dtype)
    table = table_of(network, layout, dtype)
    if table is None:
        return None
    key = np.zeros(2, np.int32)

    def prepared(store, n):
        N, C = min(max(n, 1), CHUNK), table.links[-1].n_out
        size = max(1, min(n_threads(), n // 64, n * table.multiplications // WORK))
        # Whoever predicts holds these arrays, to whose addresses the rows point.
        store = {leaf: np.ascontiguousarray(a) for leaf, a in store.items()}
        run = run_alone if n * table.multiplications <= LIGHT else run_team
        first = find_blas().gemm[name], table.at(store), table.scales
        sizes = N * table.n_outs, N * table.n_pres, table.n_tile
        outs, pres, tile = (np.empty((size, k), dtype) for k in sizes)

        def outputs(x, held=store):
            made = np.empty((n, C), dtype)
            arguments = (*first, readable(x), made, outs, pres, key, N, tile)
            call(steps.predict, size, name, arguments, NO_GATE, run)
            return made

        return outputs

    return prepared


def readable(a):
    """Return rows as a C-contiguous array that numba takes for writable; nobody writes into it."""
    a = np.ascontiguousarray(a)
    if a.flags.writeable:
        return a
    memory = (ctypes.c_byte * a.nbytes).from_address(a.ctypes.data)
    return np.frombuffer(memory, a.dtype).reshape(a.shape)


@cache
def ready(function, dtype):
    """Return a set that is empty until a function is compiled for a dtype."""
    return set()


def call(function, size, dtype, arguments, gate, run=run_team):
    """Call function(rank, size, *arguments) in a team; compile it first, and say so if it takes."""
    if not (done := ready(function, dtype)):
        text = f"xpmlp compiles its {dtype} code for this machine, once: about half a minute."
        notice = threading.Timer(2.0, print, (text,), {"file": sys.stderr, "flush": True})
        notice.start()
        try:
            function.compile(tuple(map(typeof, (0, size, *arguments))))
        finally:
            notice.cancel()
        done.add(True)
    run(lambda rank, size: function(rank, size, *arguments), size, gate)
