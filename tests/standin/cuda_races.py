"""What may run at the same time in the CUDA graphs of a step, by what each launch reads and writes.

The stand-in runs one launch after the other, so that a race would not show in its results.
"""

from itertools import combinations
from typing import NamedTuple

import numpy as np
import pytest
from card import cublaslt_standin, standin_only
from cuda_setting import cupy, kernels
from cuda_training import engine, outcome, training
from emulator import streams
from emulator.kernels import RawKernel

from xpmlp.engines import cupy as engine_module
from xpmlp.engines.cupy import graph, program
from xpmlp.nn import Dense, Dropout, Network
from xpmlp.optim import Adam

pytestmark = standin_only


class Node(NamedTuple):
    """A launch of a graph: the addresses of the elements that it reads and writes."""

    name: str
    before: frozenset  # the nodes that have ended when it begins
    reads: set
    writes: set


def elements(address, shape, strides):
    """Return the addresses of an array's elements."""
    at = np.asarray(address)
    for n, step in zip(shape, strides):
        at = np.add.outer(at, np.arange(n) * step)
    return {*at.ravel().tolist()}


def of_kernel(kernel, grid, block, args, **options):
    """Return what a kernel reads and writes: it declares as const what it only reads."""
    declared = dict(kernels.DECLARED.findall(kernels.source()))[kernel.name].split(",")
    given = {p.split()[-1]: (p, a) for p, a in zip(declared, args, strict=True)}
    reads, writes = set(), set()
    for name, (parameter, a) in given.items():
        if isinstance(a, cupy.ndarray):
            own = elements(a.data.ptr, a.shape, a.strides)
            sums_only = name == "*d" and not isinstance(given["*aux"][1], cupy.ndarray)
            (reads if "const" in parameter or sums_only else writes).update(own)
    return reads, writes


def of_product(handle, desc, alpha, a, A, b, B, beta, c, C, d, D, algo, workspace, size, stream):
    """Return what a product reads and writes, its workspace included."""
    things = cublaslt_standin._things
    op, (A, B, D) = things[desc], (things[x] for x in (A, B, D))

    def matrix(pointer, layout):
        size = np.dtype(cublaslt_standin.STORED[layout["TYPE"]]).itemsize
        steps = layout["STRIDED_BATCH_OFFSET"], layout["LD"], 1
        shape = layout["BATCH_COUNT"], layout["COLS"], layout["ROWS"]
        return elements(pointer, shape, [int(step) * size for step in steps])

    reads, writes = matrix(a, A) | matrix(b, B), matrix(d, D) | {workspace}
    bits, n = op["EPILOGUE"], cublaslt_standin
    bias, aux = int(op["BIAS_POINTER"]), int(op["EPILOGUE_AUX_POINTER"])
    if bits & n.BIAS:
        reads.add(bias)
    elif bias:
        writes.add(bias)
    if aux:
        (reads if bits & (n.DRELU | n.DGELU) else writes).add(aux)
    return reads, writes


@pytest.fixture
def captured(monkeypatch):
    """(training, engine) -> the nodes of a graph of two steps."""
    engine_module.PROGRAMS.items.clear()
    sets, made = [], []

    def noting(f, access):
        def call(*args, **options):
            if streams.capture():
                sets.append(access(*args, **options))
            return f(*args, **options)

        return call

    def capture(ops, steps, f=graph.capture):
        steps = 2  # show all that eight do
        sets.clear()
        g = f(ops, steps)
        made[:] = [Node(name, before, *own) for (name, _, before), own in zip(g.nodes, sets)]
        assert len(sets) == len(g.nodes)
        return g

    monkeypatch.setattr(RawKernel, "__call__", noting(RawKernel.__call__, of_kernel))
    product = noting(cublaslt_standin.cublasLtMatmul, of_product)
    monkeypatch.setattr(cublaslt_standin, "cublasLtMatmul", product)
    monkeypatch.setattr(graph, "capture", capture)

    def run(training, tier):
        outcome(tier, training)
        return made

    return run


NETWORKS = {
    "relu": Network([Dense(16, "relu"), Dense(24, "relu"), Dense(9, "relu"), Dense(3)]),
    "gelu": Network([Dense(16, "gelu_tanh"), Dense(8, "gelu_tanh"), Dense(3)]),
    "dropout": Network([Dropout(0.2), Dense(9, "tanh"), Dropout(0.2), Dense(8, "mish"), Dense(3)]),
}


def assert_no_race(nodes):
    """What is not ordered by the graph shares no address that either writes."""
    overlapping = 0
    for (i, a), (j, b) in combinations(enumerate(nodes), 2):
        if i in b.before or j in a.before:
            continue
        overlapping += 1
        both = (a.writes & (b.reads | b.writes)) | (a.reads & b.writes)
        assert not both, (i, a.name, j, b.name, len(both))
    assert overlapping  # there are branches


@pytest.mark.parametrize("deterministic", [False, True])
@pytest.mark.parametrize("precision", ["highest", "medium"])
@pytest.mark.parametrize("K", [0, 3])
@pytest.mark.parametrize("way", [0, 1], ids=["kernels", "epilogues"])
@pytest.mark.parametrize("network", NETWORKS.values(), ids=NETWORKS)
def test_what_may_run_at_the_same_time_touches_nothing_that_the_other_writes(
    network, way, K, precision, deterministic, captured, monkeypatch
):
    monkeypatch.setattr(program.Part, "_fastest", lambda self, ways, *key: ways[way % len(ways)])
    made = training(network, n=5, D=6, K=K, dtype="float32", loss="log_loss", rule=Adam(), epochs=1)
    nodes = captured(made, engine("graph", precision, deterministic))
    assert len(nodes) % 2 == 0
    assert_no_race(nodes)


@pytest.mark.parametrize("K", [0, 3])
@pytest.mark.parametrize("network", NETWORKS.values(), ids=NETWORKS)
def test_parts_of_a_batch_do_not_touch_what_the_parts_before_still_read(
    network, K, captured, monkeypatch
):
    monkeypatch.setattr(engine_module, "fitting", lambda attempt, n, **options: (attempt(2), 2))
    made = training(network, n=5, D=6, K=K, dtype="float32", loss="log_loss", rule=Adam(), epochs=1)
    nodes = captured(made, engine("graph", "medium"))
    assert [node.name for node in nodes].count("gather") == 2 * 3
    assert_no_race(nodes)
