"""What a launch costs, by itself and in a graph, and how fast kernels read and write memory."""

from functools import partial
from importlib import import_module
from importlib.util import find_spec

import numpy as np

from . import captured, microseconds, needs_cublaslt, needs_xpmlp

NODE = 'extern "C" __global__ void node(float *x) { if (threadIdx.x == 0) x[0] += 1.0f; }'


def speeds(found, standin):
    """Time nodes of graphs, launches, and each launch of a large step."""
    for n in (1, 8, 32, 128):
        found.check(f"a graph of {n} kernels in a row", _chain, n)
    found.check("a graph of 32 kernels, half of them on a branch", _forked, 32)
    found.check("launches one by one", _launches)
    for stored in ("float32", "bfloat16"):
        found.check(f"each launch of a large step, {stored}", _launches_of_a_step, stored, standin)
    found.check("NumPy's ways on the card, on 4096 x 4096", _plain, 64 if standin else 4096)


def _node():
    cupy = import_module("cupy")
    x, kernel = cupy.zeros(1, dtype="float32"), cupy.RawKernel(NODE, "node")
    launch = partial(kernel, (1,), (32,), (x,))
    launch()
    return x, launch


def _chain(n):
    """Time a graph's launch, and check that every node ran."""
    x, launch = _node()
    graph = captured(*[launch] * n)
    graph.launch()
    assert float(x[0]) == n + 1
    took = microseconds(graph.launch)
    return took | {"a node": took["card"] / n}


def _forked(n):
    """The same with a branch, as products that overlap others have."""
    cuda = import_module("cupy").cuda
    (x, launch), (y, other) = _node(), _node()
    main, side = (cuda.Stream(non_blocking=True) for _ in range(2))
    main.begin_capture()
    for _ in range(n // 2):
        side.wait_event(main.record())
        with side:
            other()
        with main:
            launch()
        main.wait_event(side.record())
    graph = main.end_capture()
    graph.launch()
    assert float(x[0]) == float(y[0]) == n // 2 + 1
    took = microseconds(graph.launch)
    return took | {"a node": took["card"] / n}


def _launches():
    """Time CuPy's calls on 32 x 32 numbers: what the host takes, and with the card's work."""
    cupy = import_module("cupy")
    a, rows = cupy.ones((32, 32), dtype="float32"), cupy.arange(32, dtype="int32")
    out, host, event = cupy.empty_like(a), np.zeros(11, np.uint64), cupy.cuda.Event()
    numbers, wait = cupy.zeros(11, dtype="uint64"), cupy.cuda.Device().synchronize
    calls = {
        "a + b": lambda: a + a,
        "a *= 1.0": lambda: a.__imul__(1.0),
        "a @ b": lambda: a @ a,
        "matmul(a, b, out=c)": lambda: cupy.matmul(a, a, out=out),
        "sum(a)": lambda: a.sum(),
        "take(a, rows)": lambda: cupy.take(a, rows, axis=0),
        "a[3, ...]": lambda: a[3, ...],
        "empty": lambda: cupy.empty((32, 32), dtype="float32"),
        "a kernel of RawKernel's": _node()[1],
        "88 bytes from the host": lambda: numbers.set(host),
        "an event recorded": lambda: event.record(),
        "synchronize": wait,
        "minimum(maximum(a))": lambda: cupy.minimum(cupy.maximum(a, 0.0), 1.0),
    }
    if find_spec("array_api_compat"):
        compat = import_module("array_api_compat.cupy")
        calls["array_api_compat's clip"] = lambda: compat.clip(a, 0.0, 1.0)
    return {name: microseconds(call) for name, call in calls.items()}


def _plain(n):
    """Time CuPy's own ways for what our kernels do, with the bytes that they must move."""
    cupy = import_module("cupy")
    a, b = (cupy.ones((n, n), dtype="float32") for _ in range(2))
    ways = {
        "copy": (lambda: cupy.copyto(b, a), 8),
        "sum(axis=0)": (lambda: a.sum(axis=0), 4),
        "maximum(a, 0)": (lambda: cupy.maximum(a, 0.0, out=b), 8),
        "a += row": (lambda: b.__iadd__(a[0]), 8),
    }
    return {name: _rate(launch, each * n * n) for name, (launch, each) in ways.items()}


def _rate(launch, n_bytes):
    took = microseconds(launch, most=50)
    known = n_bytes and took["card"]
    return took | ({"GB/s": round(n_bytes / 1e3 / took["card"], 1)} if known else {})


def _launches_of_a_step(stored, standin):
    """Time each launch of the eager step of the largest network, and the memory speed reached.

    The bytes are those that a kernel must read and write, each once; a dact_colsum of the last
    layer reads fewer.
    """
    needs_xpmlp()
    from .networks import Net, training

    if stored != "float32":
        needs_cublaslt()
    Dense, Options = import_module("xpmlp.nn").Dense, import_module("xpmlp.engines").Options
    D, H, C, batch = (20, 32, 5, 16) if standin else (1024, 4096, 1000, 4096)
    layers = (Dense(H, "tanh"), Dense(H, "relu"), Dense(C))
    net = Net(layers, D, alpha=0.0, rows=4 * batch, batch=batch)
    precision = "medium" if stored == "bfloat16" else "highest"
    options = Options(matmul_precision=precision, accelerate="eager")
    made = training(net, import_module("cupy").empty(0), "float32", options)
    engine = import_module("xpmlp.engines.cupy")
    program, _ = engine._make(made.step, (), "eager", options)
    s, found = 4 if stored == "float32" else 2, []
    P = program.theta.size
    kernels = {
        "gather": batch * D * (4 + s),
        "bias_act": 2 * batch * H * s,
        "loss_grad": batch * C * (2 * s + 4),
        "dact_colsum": 3 * batch * H * s,
        "update": P * (28 if s == 4 else 30),
    }

    def play(B):
        for op in program.ops:
            name = getattr(getattr(op.launch, "func", None), "name", "product")
            # A step's number may not pass the last one's: it is set back between the launches.
            launch = partial(_first_step, program, op) if name == "update" else op.launch
            found.append({"launch": name, **_rate(launch, kernels.get(name))})

    program.run(made.start(), made.data, made.plans[0], play)
    return {"launches": found, "bytes of update": kernels["update"], "parameters": P}


def _first_step(program, op):
    program.chunk[10:] = 0
    op.launch()
