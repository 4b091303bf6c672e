"""The parts of ci/gpu.py that compute: rules of CuPy, a checklist of fits, latencies, timings.

Each takes `standin` (small sizes, no card) and returns a dict; "checks" in it maps a sentence to
"ok" or to what was found instead.
"""

import os
import pickle
import sys
import tempfile
import time
import traceback
import warnings
from functools import partial
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from types import SimpleNamespace
from typing import NamedTuple

import numpy as np


def conformance(standin):
    """Whether CuPy keeps the rules that tests/cupy_standin.py mirrors."""
    refused = {f"{name} is refused": _refuses(*rule) for name, rule in _refusals().items()}
    given = {name: _gives(*rule) for rules in (_values(), _views()) for name, rule in rules.items()}
    return {"checks": refused | given}


def _refuses(action, errors):
    try:
        got = action()
    except errors:
        return "ok"
    except Exception as error:
        return f"raised {type(error).__name__}: {error}"
    return f"gave {got!r}"


def _gives(action, expected):
    try:
        got = action()
    except Exception as error:
        return f"raised {type(error).__name__}: {error}"
    return "ok" if got == expected else f"gave {got!r}, expected {expected!r}"


def _refusals():
    """What raises, and what it raises."""
    cupy = import_module("cupy")
    x, i = cupy.ones((2, 3), dtype="float32"), cupy.asarray(1)
    h = np.ones((2, 3), np.float32)
    dlpack = (BufferError, RuntimeError, TypeError, ValueError)
    return {
        "np.asarray(x)": (lambda: np.asarray(x), TypeError),
        "x + host array": (lambda: x + h, TypeError),
        "host array + x": (lambda: h + x, TypeError),
        "x += host array": (lambda: x.__iadd__(h), TypeError),
        "x + list": (lambda: x + [1.0, 1.0, 1.0], TypeError),
        "maximum(x, host array)": (lambda: cupy.maximum(x, h), TypeError),
        "where(c, host array, x)": (lambda: cupy.where(x > 0, h, x), TypeError),
        "x[...] = host array": (lambda: x.__setitem__(..., h), TypeError),
        "concatenate of host arrays": (lambda: cupy.concatenate([h, h]), TypeError),
        "hash(device)": (lambda: hash(x.device), TypeError),
        "hash(array)": (lambda: hash(x), TypeError),
        "range(0-d array)": (lambda: range(i), TypeError),
        "list[0-d array]": (lambda: [1, 2][i], TypeError),
        "text": (lambda: cupy.asarray(np.asarray(["a"])), ValueError),
        "np.from_dlpack(x)": (lambda: np.from_dlpack(x), dlpack),
        "a missing card": (lambda: cupy.cuda.Device(99).__enter__(), RuntimeError),
    }


def _values():
    """Attributes, dtypes, indices, extreme values."""
    cupy = import_module("cupy")
    x = cupy.arange(6, dtype="float32").reshape(2, 3)
    inf = float("inf")
    is_0d = lambda a: isinstance(a, cupy.ndarray) and a.ndim == 0
    return {
        **{
            f"an array has no {name}": (lambda name=name: hasattr(x, name), False)
            for name in ("__array_namespace__", "to_device", "__index__", "__imatmul__")
        },
        **{
            f"cupy has no {name}": (lambda name=name: hasattr(cupy, name), False)
            for name in ("__array_namespace_info__", "vecdot", "unstack")
        },
        "float32 * np.float64(2) is float64": (lambda: (x * np.float64(2)).dtype, np.float64),
        "float32 * 2.0 is float32": (lambda: (x * 2.0).dtype, np.float32),
        "float32 * 0-d float64 array is float64": (lambda: (x * cupy.ones(())).dtype, np.float64),
        "float32 += float64 stays float32": (
            lambda: x.copy().__iadd__(cupy.ones((2, 3))).dtype, np.float32,
        ),
        "a sum is a 0-d array": (lambda: is_0d(x.sum()), True),
        "an element is a 0-d array": (lambda: is_0d(x[0, 0]), True),
        "take out of bounds wraps": (
            lambda: cupy.take(x, cupy.asarray([4, -1]), axis=1).tolist(), [[1, 2], [4, 5]],
        ),
        "a host index array is taken": (lambda: x[np.asarray([1])].tolist(), [[3, 4, 5]]),
        "a slice may end out of bounds": (lambda: x[1:9].shape, (1, 3)),
        "argmax ignores -inf": (lambda: int(cupy.argmax(cupy.asarray([-inf, -inf, -1.0]))), 2),
        "argmax of only -inf is the first": (lambda: int(cupy.argmax(cupy.asarray([-inf] * 3))), 0),
        "max of only -inf is -inf": (lambda: float(cupy.max(cupy.asarray([-inf] * 3))), -inf),
        "max along an axis sees inf": (
            lambda: cupy.max(cupy.asarray([[-inf, inf], [-inf, 0.0]]), axis=1).tolist(), [inf, 0.0],
        ),
    }  # fmt: skip


def _views():
    """What is a view, what a copy, what runs where."""
    cupy = import_module("cupy")
    x = cupy.arange(6, dtype="float32")
    pointer_of = lambda a: a.data.ptr if hasattr(a, "data") else a._data.ctypes.data

    def written(view_of):
        flat = cupy.zeros(6, dtype="float32")
        view = view_of(flat)
        view -= 1
        return float(flat.sum()) == -view.size

    return {
        "a slice of a flat buffer is a view": (lambda: written(lambda a: a[2:5]), True),
        "a reshaped slice is a view": (lambda: written(lambda a: a[2:6].reshape(2, 2)), True),
        "its mT is a view": (lambda: written(lambda a: a.reshape(2, 3).mT), True),
        "x[..., 0, 1:3] is a view": (lambda: written(lambda a: a.reshape(1, 6)[..., 0, 1:3]), True),
        "an update of the buffer is seen by an old view": (lambda: _seen_by_view(cupy), [1.0, 1.0]),
        "astype(copy=False) of that dtype is the array": (
            lambda: x.astype("float32", copy=False) is x, True,
        ),
        "asarray of an array is the array": (lambda: cupy.asarray(x) is x, True),
        "array of an array is a copy": (lambda: pointer_of(cupy.array(x)) == pointer_of(x), False),
        "np.exp(x) runs on the card": (lambda: type(np.exp(x)) is cupy.ndarray, True),
        "np.float32(2) * x does too": (lambda: type(np.float32(2) * x) is cupy.ndarray, True),
        "a pickle holds a host array": (lambda: type(x.__reduce__()[1][0]) is np.ndarray, True),
        "np.from_dlpack(x, device='cpu') copies": (
            lambda: np.from_dlpack(x, device="cpu", copy=True).tolist(), list(range(6)),
        ),
        "f'{x:.1f}' of a number reads it": (lambda: f"{x[1]:.1f}", "1.0"),
    }  # fmt: skip


def _seen_by_view(cupy):
    flat = cupy.zeros(4)
    view = flat[1:3].reshape(1, 2)
    flat += 1
    return view[0].tolist()


class Workload(NamedTuple):
    """A fit to time: n rows of d features in 10 classes."""

    n: int
    d: int
    args: dict

    def data(self, n=None):
        """Random rows and labels, the same on every call."""
        rng = np.random.default_rng(0)
        n = n or self.n
        return rng.normal(size=(n, self.d)).astype(np.float32), np.arange(n) % 10


WORKLOADS = {
    "digits 64-64-10 relu adam, batch 200": Workload(
        1797, 64, {"hidden_layer_sizes": (64,), "batch_size": 200}
    ),
    "mnist 784-30-10 logistic sgd, batch 20": Workload(
        60000, 784,
        {"hidden_layer_sizes": (30,), "activation": "logistic", "solver": "sgd", "momentum": 0.0,
         "batch_size": 20},
    ),
    "mnist 784-256-128-10 relu adam, batch 128": Workload(
        60000, 784, {"hidden_layer_sizes": (256, 128), "batch_size": 128}
    ),
}  # fmt: skip


def fit(X, y, **args):
    """Fit a classifier for exactly `max_iter` epochs."""
    from xpmlp import MLPClassifier

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return MLPClassifier(random_state=0, n_iter_no_change=np.inf, **args).fit(X, y)


def checklist(standin):
    """Whether fits on the card are right: the list at the end of the Array API notes."""
    cupy = import_module("cupy")
    X, y = Workload(400 if standin else 2000, 20, {}).data()
    x, args = cupy.asarray(X), {"hidden_layer_sizes": (32, 16), "max_iter": 3, "batch_size": 64}
    case = SimpleNamespace(cupy=cupy, X=X, y=y, x=x, args=args, standin=standin)
    case.card, case.host = fit(x, y, **args), fit(X, y, **args)
    checks, numbers = {}, {}
    for check in (
        _same_as_numpy, _deterministic, _round_trips, _moved_by_device, _no_waiting,
    ):  # fmt: skip
        name = check.__doc__.rstrip(".")
        try:
            numbers |= check(case) or {}
            checks[name] = "ok"
        except Exception:
            checks[name] = traceback.format_exc()
    return {"checks": checks, "numbers": numbers}


def _same_as_numpy(case):
    """A training with dropout on the card takes NumPy's course, in both dtypes."""
    from xpmlp import MLPClassifier
    from xpmlp.testing import assert_same_trajectory

    model = MLPClassifier(random_state=0, dropout=0.2, **case.args)
    made = assert_same_trajectory(model, case.X, case.y, "cupy")
    return {f"{row.operation}, {row.dtype}: {row.unit}": row.error for row in made.rows}


def _deterministic(case):
    """Three fits with one seed give the same bits."""
    for _ in range(2):
        again = fit(case.x, case.y, **case.args)
        assert all((a.get() == b.get()).all() for a, b in zip(again.coefs_, case.card.coefs_))
        assert again.loss_curve_ == case.card.loss_curve_


def _round_trips(case):
    """A file and a pickle give the model back."""
    from xpmlp import load_model

    wanted = case.card.predict_proba(case.x).get()
    with tempfile.TemporaryDirectory() as folder:
        case.card.save(Path(folder, "model.safetensors"))
        loaded = load_model(Path(folder, "model.safetensors"))
    assert type(loaded.coefs_[0]) is np.ndarray
    assert np.allclose(loaded.predict_proba(case.X), wanted, atol=1e-5)
    back = pickle.loads(pickle.dumps(case.card))
    assert type(back.coefs_[0]) is case.cupy.ndarray
    assert (back.predict_proba(case.x).get() == wanted).all()


def _moved_by_device(case):
    """Host arrays go to the card by device="cuda", and answers come back."""
    model = fit(case.X, case.y, device="cuda", **case.args)
    assert type(model.coefs_[0]) is case.cupy.ndarray
    assert type(model.predict(case.X)) is np.ndarray
    assert np.allclose(model.predict_proba(case.X), case.host.predict_proba(case.X), atol=1e-3)


SPIN = """
extern "C" __global__ void spin(long long n) {
    long long t = clock64();
    while (clock64() - t < n);
}
"""


def _no_waiting(case):
    """A stretch of training steps does not wait for the card."""
    run = steps_on(case.x, case.cupy.asarray(np.eye(10, dtype=np.float32)[case.y]), n_steps=5)
    run()  # compiles the kernels, fills the memory pool
    if case.standin:
        with import_module("cupy_standin").recording() as record:
            run()
        assert (record.syncs, record.to_host, record.to_device) == ([], [], []), record
        return {"launches a step": len(record.launches) / 5}
    spin, wait = case.cupy.RawKernel(SPIN, "spin"), case.cupy.cuda.Device().synchronize
    for cycles in (1, 500_000_000):  # the second takes some 0.3 s; the first compiles it
        wait()
        start = time.perf_counter()
        spin((1,), (1,), (np.int64(cycles),))
        run()
        returned = time.perf_counter() - start
        wait()
        total = time.perf_counter() - start
    assert returned < total / 2, f"the steps came back after {returned:.3f} s of {total:.3f} s"
    return {"steps returned after, s": returned, "card was done after, s": total}


def steps_on(x, y, n_steps, batch_size=64):
    """Return a function that runs some Adam steps of a 32-16 network on resident data."""
    from xpmlp import nn
    from xpmlp.arrays import from_host, namespace
    from xpmlp.engines import Carry, engine_for
    from xpmlp.nn.layout import map_params
    from xpmlp.nn.losses import LOSSES
    from xpmlp.optim import init_state, make_rule
    from xpmlp.training.plan import epoch_order, make_plan, to_device
    from xpmlp.training.step import Step

    xp, engine, rule = namespace(x), engine_for(x), make_rule("adam")
    network = nn.Network([nn.Dense(32, "relu"), nn.Dense(16, "relu"), nn.Dense(y.shape[1])])
    params, _ = network.init(x.shape[1], np.random.default_rng(0))
    params = map_params(lambda a: from_host(a, x, "float32"), params)
    layout = nn.Layout.of(network, params, contiguous=engine.contiguous)
    store = layout.pack(params, xp=xp)
    step = Step(network, LOSSES["log_loss"], rule, layout, batch_size, "float32", True, False)
    order = epoch_order(n_steps * batch_size, seed=0, epoch=0, shuffle=True)
    plan = make_plan(rule, order, batch_size=batch_size, lr=1e-3, seed=0, alpha=1e-4)
    plan = to_device(plan, x, "float32")
    carry = [Carry(store, {}, init_state(rule, store, xp=xp))]

    def run():
        carry[0], _ = engine.run(step)(carry[0], (x, y), plan)

    return run


def latency(standin):
    """Microseconds of the host for one small operation, and with the card's work."""
    cupy = import_module("cupy")
    a, n = cupy.ones((32, 32), dtype="float32"), 20 if standin else 5000
    rows, wait = cupy.arange(32, dtype="int32"), cupy.cuda.Device().synchronize
    operations = {
        "a + b": lambda: a + a,
        "a @ b": lambda: a @ a,
        "a *= 1.0": lambda: a.__imul__(1.0),
        "sum(a)": lambda: a.sum(),
        "take(a, rows)": lambda: cupy.take(a, rows, axis=0),
        "a[3, ...]": lambda: a[3, ...],
    }
    microseconds = {}
    for name, operation in operations.items():
        for _ in range(10):
            operation()
        wait()
        start = time.perf_counter()
        for _ in range(n):
            operation()
        host = time.perf_counter() - start
        wait()
        total = time.perf_counter() - start
        microseconds[name] = {"host": 1e6 * host / n, "with the card": 1e6 * total / n}
    return {"microseconds": microseconds}


def parity(standin):
    """Whether every operation on each library that sees the card keeps its bound."""
    from xpmlp.testing.backends import choose
    from xpmlp.testing.parity import run_parity

    os.environ.setdefault("JAX_DEFAULT_MATMUL_PRECISION", "highest")  # else TF32, which fails
    others = [] if standin else choose(("torch:cuda", "jax:cuda"))[0]
    report = run_parity(["cupy", *(backend.name for backend in others)])
    print(report, file=sys.stderr, flush=True)
    rows = [[*row] for row in report.rows]
    outcome = {"every operation keeps its bound": "ok" if report.ok else str(report)}
    return {"checks": outcome, "libraries": report.libraries, "rows": rows}


def placements(standin):
    """Yield (name, function from a host array to that library's), or (name, why it is left out)."""
    yield "numpy", lambda a: a
    yield "cupy", import_module("cupy").asarray
    for name in ("torch", "jax"):
        if standin or find_spec(name) is None:
            yield name, "not with --standin" if standin else f"{name} is not installed"
        elif name == "jax":
            jax = import_module("jax")
            yield f"jax on {jax.default_backend()}", jax.numpy.asarray
        elif not import_module("torch").cuda.is_available():
            yield name, "torch sees no CUDA card"
        else:
            yield name, partial(import_module("torch").tensor, device="cuda")


def timings(standin, limit=140):
    """Seconds of one epoch, after an epoch that warms up; float32, random data."""
    checks, rows, end = {}, [], time.monotonic() + limit
    for name, work in list(WORKLOADS.items())[: 1 if standin else None]:
        X, y = work.data(2 * work.args["batch_size"] if standin else None)
        n_steps, base = -(-len(X) // work.args["batch_size"]), None
        for library, place in placements(standin):
            row = {"workload": name, "library": library}
            rows.append(row)
            if isinstance(place, str) or time.monotonic() > end:
                row["left_out"] = place if isinstance(place, str) else "no time left"
                continue
            try:
                model = fit(place(X), y, max_iter=2, **work.args)
            except Exception:
                checks[f"{name} on {library}"] = traceback.format_exc()
                continue
            warm, seconds = model.history_["seconds"]
            base = base or seconds
            row |= {"seconds_per_epoch": seconds, "microseconds_per_step": 1e6 * seconds / n_steps}
            row |= {"warm_up_seconds": warm, "numpy_over_this": base / seconds}
            row["loss"] = model.loss_curve_
            text = f"  {name}: {library} {seconds:.3f} s an epoch, {base / seconds:.2f} x NumPy"
            print(text, file=sys.stderr, flush=True)
    return {"checks": checks, "rows": rows}
