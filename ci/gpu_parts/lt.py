"""cuBLASLt in a CuPy capture: which algorithms it has for our products, and what epilogues save.

Each product is timed in a graph, with every algorithm that cuBLASLt recommends, beside the plain
product with the kernel that does the epilogue's work. Whether they are right the tiers check.
"""

from importlib import import_module

import numpy as np

from . import captured, microseconds, needs_cublaslt, needs_xpmlp

# Compute type and stored type.
PRECISIONS = {
    "float32": ("float32", "float32"),
    "tf32": ("tf32", "float32"),
    "bfloat16": ("float32", "bfloat16"),
}
# Forward, backward, and what a row of the auxiliary matrix is filled up to: bits, or numbers.
EPILOGUES = {
    "relu": ("RELU_AUX_BIAS", "DRELU_BGRAD", 128),
    "gelu_tanh": ("GELU_AUX_BIAS", "DGELU_BGRAD", 8),
}


def lt(found, standin):
    """Time the products of the benchmark's networks."""
    needs_xpmlp()
    needs_cublaslt()
    cells = import_module("ci.benchmarks.cases").CUDA_KINDS["steps"]
    nets = {(20, 16, 24, 1): 12} if standin else {c.sizes: c.batch for c in cells if c.goal}
    for sizes, batch in nets.items():
        for precision in PRECISIONS:
            name = f"{'-'.join(map(str, sizes))}, batch {batch}, {precision}"
            found.check(name, _products, sizes, batch, precision)
    found.check("what RELU_AUX_BIAS makes of NaN", _relu_of_nan)


def _by_algorithm(compute):
    """Return products that are made by the i-th algorithm of cuBLASLt's list, `n` long."""
    products = import_module("xpmlp.engines.cupy.products")

    class ByAlgorithm(products.LtProducts):
        i, n = 0, 1

        def _algorithms(self, *args):
            found = super()._algorithms(*args)
            self.n = len(found)
            return found[self.i : self.i + 1]

    return ByAlgorithm(compute, by_time=False)  # so that none is timed by it


class Numbers:
    """The arrays of a network (1, rows, columns), views of flat buffers as the engine's are."""

    def __init__(self, sizes, batch, stored):
        self.cupy, self.own = import_module("cupy"), import_module("xpmlp.engines.cupy.kernels")
        self.kinds, self.batch = import_module("xpmlp.engines.cupy.units").ACTIVATIONS, batch
        self.bind, self.stored = self.own.launcher("float32", stored), self.own.STORED[stored]
        weights, rows = list(zip(sizes, sizes[1:])), [(batch, size) for size in sizes]
        params = [*weights, *((1, H) for _, H in weights)]
        self.x, self.d = (self._random(rows)[1] for _ in range(2))
        wide, short = self._random(params)
        n = len(weights)
        self.W, self.short_b, self.b = short[:n], short[n:], wide[n:]
        grads = [self.cupy.empty_like(a) for a in wide]
        self.dW, self.db = grads[:n], grads[n:]

    def _random(self, shapes):
        """Return random arrays in one buffer, in float32 and as products read them."""
        cupy, ends = self.cupy, np.cumsum([0, *(rows * columns for rows, columns in shapes)])
        host = np.random.default_rng(0).standard_normal(1 << 16, np.float32)
        wide = cupy.asarray(np.resize(host * np.float32(0.1), int(ends[-1])))
        short = wide if self.stored == "float32" else cupy.empty(wide.size, self.stored)
        if short is not wide:
            self.bind("cast", self.own.blocks_of(wide.size), short, wide, wide.size)()
        return [
            [a[i:j].reshape(1, *shape) for i, j, shape in zip(ends, ends[1:], shapes)]
            for a in (wide, short)
        ]

    def bias_act(self, i, act):
        """Return the launch that a forward epilogue saves."""
        H = self.b[i].size
        return self.bind(
            "bias_act",
            self.own.grid_of(self.batch, 1, H),
            None,
            self.x[i + 1],
            self.x[i + 1],
            self.b[i],
            H,
            self.kinds.index(act),
            False,
            self.batch,
            0,
            H,
            0,
            0,
            1.0,
        )

    def colsum(self, i, act=None):
        """Return the launch that a backward epilogue saves."""
        H, cupy = self.b[i].size, self.cupy
        tiles = -(-H // 32)
        splits = self.own.splits_of(self.batch, tiles)
        return self.bind(
            "dact_colsum",
            (tiles, splits, 1),
            None,
            self.d[i + 1],
            act and self.x[i + 1],
            self.db[i],
            H,
            cupy.empty(splits * H, "float32"),
            cupy.zeros(tiles, np.uint32),
            self.kinds.index(act or "identity"),
            self.batch,
            0,
            H,
            0,
            0,
            1.0,
        )

    def aux(self, i, fill):
        """Return an auxiliary matrix, and the numbers of its rows."""
        ld = -(-self.b[i].size // fill) * fill
        size, dtype = (ld // 8, np.uint8) if fill == 128 else (ld, self.stored)
        return self.cupy.zeros(self.batch * size, dtype), ld


def _products(sizes, batch, precision):
    p = import_module("xpmlp.engines.cupy.products")
    compute, stored = PRECISIONS[precision]
    made, net, found = _by_algorithm(compute), Numbers(sizes, batch, stored), {}
    last = len(sizes) - 2
    for i in range(last):
        for act, (forward, backward, fill) in EPILOGUES.items():
            aux = net.aux(i, fill)
            # Of a short output the bias gradient is short too, which the engine does not want.
            db = net.db[i] if stored == "float32" else net.cupy.empty_like(net.short_b[i])
            found[f"layer {i + 1}: {forward}"] = _compared(
                made,
                (p.Matrix(net.x[i]), p.Matrix(net.W[i]), net.x[i + 1]),
                p.Epilogue(forward, net.short_b[i], *aux),
                net.bias_act(i, act),
            )
            found[f"layer {i + 1}: {backward}"] = _compared(
                made,
                (p.Matrix(net.d[i + 2]), p.Matrix(net.W[i + 1], True), net.d[i + 1]),
                p.Epilogue(backward, db, *aux),
                net.colsum(i, act),
            )
    found[f"layer {last + 1}: BGRADA"] = _compared(
        made,
        (p.Matrix(net.x[last], True), p.Matrix(net.d[last + 1]), net.dW[last]),
        p.Epilogue("BGRADA", net.db[last]),
        net.colsum(last),
    )
    assert not any(row["plain"] == [] for row in found.values()), "a plain product has no algorithm"
    return found


def _compared(made, operands, epilogue, kernel):
    """Return the microseconds of each algorithm, plain and fused, and of our kernel."""
    plain, fused = (_each(made, operands, each) for each in (None, epilogue))
    row = {"plain": plain, "kernel": _in_graph(kernel), "fused": fused}
    best = [min(filter(None, took), default=None) for took in (plain, fused)]
    if all(best):
        row["fused over plain"] = round(best[1] / (best[0] + row["kernel"]), 3)
    return row


def _each(made, operands, epilogue=None):
    """Return the microseconds of a product by each algorithm; null for one that fails."""
    products, took = import_module("xpmlp.engines.cupy.products"), []
    made.i, made.n = 0, 1
    while made.i < made.n:
        made.chosen = {}
        try:
            took.append(_in_graph(made.bind(*operands, epilogue=epilogue)))
        except products.NoAlgorithm:
            break
        except import_module("xpmlp.engines.cupy.cublaslt").CublasLtError:
            took.append(None)
        made.i += 1
    return took


def _in_graph(launch):
    """Return the microseconds of a launch, some of them in a graph."""
    one = microseconds(launch, most=1)["card"]
    n = max(1, min(20, int(1000 / max(one, 1.0))))
    graph = captured(*[launch] * n)
    return round(microseconds(graph.launch, seconds=2e-3)["card"] / n, 3)


def _relu_of_nan():
    p = import_module("xpmlp.engines.cupy.products")
    made, net = _by_algorithm("float32"), Numbers((8, 8, 8), 8, "float32")
    net.x[0][0, 0, 0] = np.nan
    ways = {"plain": None, "fused": p.Epilogue("RELU_AUX_BIAS", net.b[0], *net.aux(0, 128))}
    found = {}
    for name, epilogue in ways.items():
        made.chosen = {}
        made.bind(p.Matrix(net.x[0]), p.Matrix(net.W[0]), net.x[1], epilogue=epilogue)()
        found[f"first row, {name}"] = str(net.x[1][0, 0].tolist())
    return found
