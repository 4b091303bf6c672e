"""Whether a tier of the CuPy engine is right: by the plain text in float64, and by itself.

What says whether the numbers of a tier are right.
"""

import gc
import time
import warnings
from dataclasses import replace
from functools import partial
from importlib import import_module

import numpy as np

from . import needs_cublaslt, needs_xpmlp

TIERS = ("generic", "eager", "graph")
# Norm-wise: tiers have the mathematics in common, not the order of sums.
BOUNDS = {"float64": 1e-12, "float32": 1e-5}
# Of a gradient; TF32 keeps 10 bits of a product's operands, bfloat16 keeps 7.
PRECISIONS = {"high": 4e-3, "medium": 2e-2}
SPIN = """
extern "C" __global__ void spin(long long n) {
    long long t = clock64();
    while (clock64() - t < n);
}
"""


def generic(found, standin):
    """Check the tier that runs the step's own text."""
    _tier("generic", found, standin)


def eager(found, standin):
    """Check the tier that launches fused kernels one by one."""
    _tier("eager", found, standin)


def graph(found, standin):
    """Check the tier that replays CUDA graphs."""
    _tier("graph", found, standin)


def smoke(found, standin):
    """Try a network of the benchmark in each tier before anything takes long."""
    needs_xpmlp()
    from ci.benchmarks.cases import CUDA_KINDS

    from .networks import NETS

    net = list(NETS.values())[0 if standin else -1]
    case = next(case for case in CUDA_KINDS["steps"] if case.name == "medium")
    if standin:
        case = replace(case, sizes=(20, 8, 4), batch=8, rows=64)
    data = case.data()
    for tier in TIERS:
        found.check(f"{tier}: float32 stays near float64 on the host", _smoke, tier, net)
        found.check(f"microseconds a step, {tier}", _speed, tier, case, data)


def pace(found, standin):
    """Check what wants the card for itself."""
    needs_xpmlp()
    found.check("what device='auto' goes by is timed", _paces)  # first, as it times a start
    for tier in TIERS:
        sentence = f"{tier}: the host is back before the card begins"
        found.check(sentence, _ahead, tier, standin)
    found.check("graph: ten captures take no more memory than one", _captures, standin)


def _tier(tier, found, standin):
    needs_xpmlp()
    from .networks import NETS

    for name, net in list(NETS.items())[: -1 if standin else None]:
        for dtype in BOUNDS:
            sentence = f"{name}: {dtype} stays near float64 on the host"
            found.check(sentence, _agrees, tier, net, dtype)
    sentence = "two deterministic trainings are equal to the last bit"
    found.check(sentence, _deterministic, tier)
    found.check("a fit that diverges ends with DivergenceError", _diverges, tier)
    sentence = "NaN shows at an epoch's end, whatever an epilogue makes of it"
    found.check(sentence, _nan, tier)
    if tier == "generic":
        return
    for precision in PRECISIONS:
        sentence = f"a gradient in matmul_precision={precision!r} keeps its bound"
        found.check(sentence, _precision, tier, precision)
    found.check("half the memory: batches are computed in parts, alike", _short, tier)
    if tier == "graph":
        for exact in (True, False):
            how = "deterministic" if exact else "by time"
            found.check(f"replays equal launches one by one, {how}", _replays, exact)
            found.check(f"what buffers hold between runs does not matter, {how}", _poisoned, exact)
            found.check(f"replays write into nothing but their own memory, {how}", _canaries, exact)
    found.note(decisions=_decisions())


def _on(tier, net, dtype="float32", **options):
    """Return a training on the card; a tier that falls back to another warns, which is an error."""
    from xpmlp.engines import Options

    from .networks import training

    if tier == "graph" or options.get("matmul_precision", "highest") != "highest":
        needs_cublaslt()
    like = import_module("cupy").empty(0)
    made = training(net, like, dtype, Options(accelerate=tier, **options))
    assert made.engine.name == f"cupy {tier}", made.engine.name
    return made


def _strictly(check):
    """Run a check with warnings as errors, and without what earlier ones have left."""
    shelf = import_module("xpmlp.engines.cupy").PROGRAMS
    shelf.clear()
    with warnings.catch_warnings(action="error", category=RuntimeWarning):
        return check()


def _agrees(tier, net, dtype):
    from .networks import error, oracle

    got = _strictly(_on(tier, net, dtype).run)
    worst, of = error(got, oracle(net))
    assert worst <= BOUNDS[dtype], f"{of} is off by {worst:.2g}"
    return {"error": worst, "of": of}


def _deterministic(tier):
    from .networks import NETS, differing

    net = next(iter(NETS.values()))
    first, second = (_strictly(_on(tier, net, deterministic=True).run) for _ in range(2))
    assert not differing(second, first), differing(second, first)


def _nan(tier):
    from .networks import NETS

    relu = next(iter(NETS.values()))
    for where in ("data", "weights"):
        made = _on(tier, relu)
        start = made.start()
        (made.data[0] if where == "data" else start.params["weights"])[0, 3] = np.nan
        made.start = lambda start=start: start
        with np.errstate(all="ignore"):  # of the stand-in
            got = _strictly(made.run)
        assert not all(np.isfinite(a).all() for a in got.values()), f"NaN in the {where} is gone"


def _diverges(tier):
    from xpmlp import train
    from xpmlp.errors import DivergenceError
    from xpmlp.nn import Network

    from .networks import NETS

    if tier == "graph":
        needs_cublaslt()
    net = next(iter(NETS.values()))
    X, y = (import_module("cupy").asarray(a.astype(np.float32)) for a in net.data())
    try:
        with np.errstate(all="ignore"):  # of the stand-in
            options = {"learning_rate_init": 1e30, "max_iter": 3, "batch_size": 16}
            options |= {"accelerate": tier}
            train(Network(net.layers), X, y, loss=net.loss, solver="sgd", **options)
    except DivergenceError as error:
        return {"said": str(error)}
    raise AssertionError("it ended as if all were well")


def _precision(tier, precision):
    from .networks import PLAIN, error, oracle

    made = _on(tier, PLAIN, matmul_precision=precision)
    start = {k: a.get().astype(float) for k, a in made.start().params.items()}
    runs = _strictly(partial(made.run, 1)), oracle(PLAIN, 1)
    moved = [{k: run[f"params {k}"] - a for k, a in start.items()} for run in runs]
    worst, of = error(*moved)
    # TF32 is a permission, which a library need not use.
    least = 1e-6 if precision == "medium" else 0.0
    assert least <= worst <= PRECISIONS[precision], f"{of} is off by {worst:.2g}"
    return {"error": worst, "of": of}


def _short(tier):
    """Take memory away until a batch is halved: what it makes stays the same."""
    from xpmlp.nn import Dense
    from xpmlp.transfers import counting

    from .networks import Net, error, oracle

    cupy, shelf = import_module("cupy"), import_module("xpmlp.engines.cupy").PROGRAMS
    # Rows that take more than the parameters.
    net = Net((Dense(40, "relu"), Dense(30, "tanh"), Dense(2)), 5, rows=300, batch=256)
    made, pool = _on(tier, net, "float64"), cupy.get_default_memory_pool()
    made.run(1)
    program, start = shelf.items[-1][1], made.start()
    taken, copies = program.pool.total_bytes(), 4 * (program.theta.nbytes + 512)
    rows = net.batch * 8 * (5 + 40 + 30)
    del program
    made.start = lambda: start
    for less in range(10):
        shelf.clear()
        gc.collect()
        pool.free_all_blocks()
        pool.set_limit(size=pool.total_bytes() + taken + copies - less * rows // 4)
        try:
            with counting() as counts:
                got = made.run()
        finally:
            pool.set_limit(size=0)
        if counts.notes:
            break
    assert any("rows at a time" in note for note in counts.notes), counts.notes
    worst, of = error(got, oracle(net))
    assert worst <= BOUNDS["float64"], f"{of} is off by {worst:.2g}"
    return {"notes": counts.notes, "bytes of a program": taken, "error": worst}


# ---- The first look


def _smoke(tier, net):
    """Compare with float64, also where a fall-back is taken; tell what was captured."""
    from xpmlp.transfers import counting

    from .networks import error, oracle

    made, shelf = _on(tier, net), import_module("xpmlp.engines.cupy").PROGRAMS
    shelf.clear()
    with counting() as counts, warnings.catch_warnings(action="ignore", category=RuntimeWarning):
        got = made.run()
    worst, of = error(got, oracle(net))
    assert worst <= BOUNDS["float32"], f"{of} is off by {worst:.2g}"
    graphs = [sorted(player.made) for _, _, player in shelf.items]
    return {"error": worst, "of": of, "steps in a graph": graphs, "notes": counts.notes}


def _speed(tier, case, data):
    """Return microseconds a step, by the clock and by events, at the precisions it heeds."""
    from ci.benchmarks.peers.own import gathered
    from ci.benchmarks.worker import timed

    if tier == "graph":
        needs_cublaslt()
    found = {}
    for precision in ("highest",) if tier == "generic" else ("highest", "high"):
        ready = gathered(replace(case, precision=precision), data, accelerate=tier)
        timed(ready, 2)
        host, card = min(timed(ready, 1) for _ in range(3))
        found[precision] = {
            "clock": 1e6 * host / ready.units,
            "events": 1e6 * card / ready.units,
            **ready.about(),
        }
    return found


# ---- Graphs


def _program(net, dtype="float32", **options):
    """Return a training, its program and player: what the engine makes when it first meets it."""
    from xpmlp.engines import Options

    made = _on("graph", net, dtype, **options)
    engine, lead = import_module("xpmlp.engines.cupy"), (net.members,) if net.members else ()
    pair = engine._make(made.step, lead, "graph", Options(accelerate="graph", **options))
    return made, *pair


def _play(made, program, player):
    """Run an epoch from the start by a player, and return host arrays."""
    from .networks import outcome

    return outcome(*program.run(made.start(), made.data, made.plans[0], player))


def _graphed(net, exact):
    """Return a training, its program, a player that has captured, and what it gives."""
    made, program, player = _strictly(lambda: _program(net, deterministic=exact))
    _strictly(lambda: _play(made, program, player))  # the first step of this was launched
    assert player.made, "nothing was captured"
    return made, program, player, _play(made, program, player)


def _repeated(got, want, exact):
    """Compare two runs of a program, to the last bit unless epilogues may add in any order."""
    from .networks import differing, error

    if exact:
        assert not differing(got, want), differing(got, want)
    worst, of = error(got, want)
    assert worst <= BOUNDS["float32"], f"{of} is off by {worst:.2g}"


def _replays(exact):
    from .networks import NETS

    graphs, first = import_module("xpmlp.engines.cupy.graph"), next(iter(NETS.values()))
    for net in (first, NETS["gelu_tanh and dropout, squared error, nesterov"]):
        made, program, _, got = _graphed(net, exact)
        _repeated(got, _play(made, program, graphs.Player(program, False)), exact)


def _poisoned(exact):
    from .networks import NETS

    made, program, player, want = _graphed(next(iter(NETS.values())), exact)
    buffers = [program.x, program.grad, *program.outs, *program.aux, *program.ds]
    for a in buffers:
        a.data.memset_async(0xFF, a.nbytes)  # NaN
    _repeated(_play(made, program, player), want, exact)
    return {"buffers": len(buffers)}


def _canaries(exact):
    from .networks import NETS

    cupy = import_module("cupy")
    made, program, player, want = _graphed(next(iter(NETS.values())), exact)
    sizes = [128, 1000, 5000, 20_000, 100_000, 2_000_000]
    birds = [cupy.full(n, 7.25, "float32") for n in sizes for _ in range(3)]
    for _ in range(3):
        _repeated(_play(made, program, player), want, exact)
    dead = [a.size for a in birds if not bool((a == 7.25).all())]
    assert not dead, f"arrays of {dead} numbers were written to"


def _captures(standin):
    from .networks import NETS

    cupy, free = import_module("cupy"), []
    net, engine = next(iter(NETS.values())), import_module("xpmlp.engines.cupy")
    for _ in range(4 if standin else 12):
        made = _graphed(net, False)
        del made
        gc.collect()
        engine.PROGRAMS.clear()
        cupy.get_default_memory_pool().free_all_blocks()
        free.append(cupy.cuda.Device().mem_info[0])
    grown = free[1] - free[-1]  # the first loads what stays
    assert grown <= (0 if standin else 4 << 20), f"{grown:,} bytes in ten captures"
    return {"bytes free after each": free}


# ---- Waiting


def _paces():
    from xpmlp import placing

    return placing.pace_of(placing.CARD, "float32")._asdict()


def _ahead(tier, standin):
    from .networks import NETS

    cupy, made = import_module("cupy"), _on(tier, next(iter(NETS.values())))
    carry = [made.start()]
    one = [type(made.plans[0])(*(a[i : i + 1] for a in made.plans[0])) for i in range(2)]

    def step(i):
        carry[0], _ = made.engine.run(made.step)(carry[0], made.data, one[i])

    for i in (0, 1, 0, 1):
        step(i)  # compiles, fills pools, captures
    if standin:
        with import_module("cupy_standin").recording() as record:
            step(0)
        assert (record.syncs, record.to_host) == ([], []), record
        return {"launches": len(record.launches), "in graphs": len(record.nodes)}
    return ahead_of(cupy, lambda: step(0))


def ahead_of(cupy, step, cycles=100_000_000):
    """Launch a kernel of some 50 ms, then a step, which must return long before it ends."""
    spin, wait = cupy.RawKernel(SPIN, "spin"), cupy.cuda.Device().synchronize
    for n in (1, cycles):  # the first loads it
        wait()
        start = time.perf_counter()
        spin((1,), (1,), (np.int64(n),))
        launched = time.perf_counter()
        step()
        returned = time.perf_counter()
        wait()
        total = time.perf_counter() - start
    took = {"ms of the step": 1e3 * (returned - launched), "ms of the card": 1e3 * total}
    assert returned - launched < min(5e-3, total / 2), took
    return took


def _decisions():
    """Return which of several ways was fastest, and how many kinds of products were chosen for."""
    program = import_module("xpmlp.engines.cupy.program")
    products = import_module("xpmlp.engines.cupy.products")
    return {
        "fastest way, 0 the plain one": {str(k): way for k, way in program.FASTEST.items()},
        "products chosen for": len(products.LtProducts.chosen),
    }
