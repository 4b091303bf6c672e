"""Whole fits on the card, through the estimators: courses, devices, memory, scikit-learn."""

import gc
import os
import pickle
import sys
import tempfile
import warnings
from importlib import import_module
from pathlib import Path

import numpy as np

from . import Skip, needs, needs_cublaslt, needs_xpmlp
from .environment import run

TIERS = ("generic", "eager", "graph")
ARGS = {"hidden_layer_sizes": (32, 16), "max_iter": 3, "batch_size": 64, "random_state": 0}


def fits(found, standin):
    """Check fits in each tier, and the ways to the card and back."""
    needs_xpmlp()
    X, y = _data(400 if standin else 2000)
    for tier in TIERS:
        for sentence, check in {
            "a training with dropout takes NumPy's course": _course,
            "one with every option at once does": _all_options,
            "three fits with one seed give the same bits": _same_bits,
            "X that does not fit the card trains from pinned memory": _pinned,
            "torch's tensors on the card train without a copy, as CuPy's": _torch,
        }.items():
            found.check(f"{tier}: {sentence}", _in_tier, check, tier, X, y)
    sentence = "accelerate='auto' finds the graph equal to plain operations"
    found.check(sentence, _proves_itself, X, y)
    found.check("a file and a pickle give the model back", _round_trips, X, y)
    found.check("host arrays go to the card by device='cuda', and answers come back", _moved, X, y)
    found.check("a model goes to the card and back, and rows only when told to", _travels, X, y)
    found.check("dropout's bits are NumPy's, generic and fused", _bits)
    found.check("xpmlp train uses the card", _command, found, standin)


def _data(n, d=20):
    rng = np.random.default_rng(0)
    return rng.normal(size=(n, d)).astype(np.float32), np.arange(n) % 10


def _fit(X, y, **more):
    from xpmlp import MLPClassifier

    with warnings.catch_warnings(action="ignore"):
        return MLPClassifier(**ARGS | {"n_iter_no_change": 99} | more).fit(X, y)


def _in_tier(check, tier, X, y):
    if tier == "graph":
        needs_cublaslt()
    numbers = check(tier, X, y)
    gc.collect()
    return numbers


def _same(a, b):
    """Tell whether two models on the card are equal to the last bit."""
    pairs = zip([*a.coefs_, *a.intercepts_], [*b.coefs_, *b.intercepts_])
    return all((p.get() == q.get()).all() for p, q in pairs) and a.loss_curve_ == b.loss_curve_


def _course(tier, X, y):
    from xpmlp import MLPClassifier
    from xpmlp.testing import assert_same_trajectory

    model = MLPClassifier(dropout=0.2, accelerate=tier, **ARGS)
    made = assert_same_trajectory(model, X, y, "cupy")
    return {f"{row.operation}, {row.dtype}: {row.unit}": row.error for row in made.rows}


def _all_options(tier, X, y):
    from xpmlp import MLPClassifier
    from xpmlp.testing import assert_same_trajectory

    options = {
        "hidden_layer_sizes": (24, 24), "activation": ["relu", "tanh"], "dropout": [0.1, 0.2, 0.1],
        "normalization": "batch", "residual": True, "label_smoothing": 0.1,
        "class_weight": "balanced", "max_grad_norm": 1.0, "max_norm": 3.0, "ema_decay": 0.9,
        "solver": "nadam", "learning_rate": "cosine", "loss": "focal",
    }  # fmt: skip
    model = MLPClassifier(accelerate=tier, **ARGS | options)
    made = assert_same_trajectory(model, X, y, "cupy")
    return {f"{row.operation}, {row.dtype}: {row.unit}": row.error for row in made.rows}


def _travels(X, y):
    from xpmlp import forbid_transfers
    from xpmlp.errors import TransferError

    cupy = import_module("cupy")
    model = _fit(X, y)
    before = model.predict_proba(X)
    moved = model.to("cuda").predict_proba(cupy.asarray(X)).get()
    x = cupy.asarray(X)
    with forbid_transfers():
        _fit(x, cupy.asarray(y)).predict(x)
        try:
            model.predict(X)
        except TransferError:
            refused = True
    back = model.to("cpu").predict_proba(X)
    assert refused
    assert (before == back).all()
    error = float(np.abs(moved - before).max())
    assert error < 1e-5, error
    return {"largest difference of a probability": error}


def _same_bits(tier, X, y):
    x = import_module("cupy").asarray(X)
    first, *others = (_fit(x, y, accelerate=tier, deterministic=True) for _ in range(3))
    assert all(_same(first, other) for other in others)
    assert not first.fit_report_["notes"], first.fit_report_["notes"]
    return {key: first.fit_report_[key] for key in ("engine", "launches", "host_reads", "seconds")}


def _proves_itself(X, y):
    """Return for each precision the seconds of the proof; a refusal says what differed."""
    needs_cublaslt()
    x, seconds = import_module("cupy").asarray(X), {}
    for precision in ("highest", "high", "medium"):
        for activation in ("relu", "tanh", "gelu_tanh"):
            report = _fit(x, y, activation=activation, matmul_precision=precision).fit_report_
            assert report["engine"] == "cupy graph", (precision, activation, report["notes"])
            seconds[f"{precision}, {activation}"] = report["proof"]["seconds"]
    return {"seconds": seconds}


def _pinned(tier, X, y):
    """Train on the first rows of an X that is larger than what a limit leaves."""
    from xpmlp.arrays import location_of
    from xpmlp.engines import Options
    from xpmlp.placing import to_device
    from xpmlp.transfers import counting

    from .networks import NETS, differing, training

    cupy, net = import_module("cupy"), next(iter(NETS.values()))
    made = training(net, cupy.empty(0), "float32", Options(accelerate=tier, deterministic=True))
    want, pool, n_bytes = made.run(), cupy.get_default_memory_pool(), 128 << 20
    many = np.zeros((n_bytes // 4 // net.n_in, net.n_in), np.float32)
    many[: net.rows] = made.data[0].get()
    gc.collect()
    import_module("xpmlp.engines.cupy").PROGRAMS.clear()
    pool.free_all_blocks()  # CuPy would give them back to make room
    # cuBLASLt's workspaces want some of it.
    pool.set_limit(size=pool.total_bytes() + n_bytes - (1 << 20))
    try:
        with counting() as counts:
            x = to_device(many, "cuda")
            made.data = x, made.data[1]
            got = made.run()
    finally:
        pool.set_limit(size=0)
    assert location_of(x).library == "cupy"
    assert ["pinned host memory" in note for note in counts.notes] == [True], counts.notes
    assert not differing(got, want), differing(got, want)
    return {"note": counts.notes[0]}


def _torch(tier, X, y):
    needs("torch")
    cupy, torch = import_module("cupy"), import_module("torch")
    if not torch.cuda.is_available():
        raise Skip("torch sees no CUDA card")
    t = torch.tensor(X, device="cuda")
    assert cupy.from_dlpack(t).data.ptr == t.data_ptr()
    got = _fit(t, torch.tensor(y, device="cuda"), accelerate=tier, deterministic=True)
    want = _fit(cupy.asarray(X), y, accelerate=tier, deterministic=True)
    apart = [float(abs(a.cpu().numpy() - b.get()).max()) for a, b in zip(got.coefs_, want.coefs_)]
    assert all(a.is_cuda for a in got.coefs_)
    assert max(apart) < 1e-4, apart
    report = got.fit_report_
    return {"apart": apart, **{k: report[k] for k in ("engine", "bytes_to_device", "host_reads")}}


def _round_trips(X, y):
    from xpmlp import load_model

    cupy = import_module("cupy")
    x = cupy.asarray(X)
    model = _fit(x, y)
    wanted = model.predict_proba(x).get()
    with tempfile.TemporaryDirectory() as folder:
        model.save(Path(folder, "model.safetensors"))
        loaded = load_model(Path(folder, "model.safetensors"))
    assert type(loaded.coefs_[0]) is np.ndarray
    assert np.allclose(loaded.predict_proba(X), wanted, atol=1e-5)
    back = pickle.loads(pickle.dumps(model))
    assert type(back.coefs_[0]) is cupy.ndarray
    assert (back.predict_proba(x).get() == wanted).all()


def _moved(X, y):
    from xpmlp.transfers import counting

    with counting() as counts:
        model = _fit(X, y, device="cuda")
    assert counts.bytes_to_device < 2 * X.nbytes, counts
    assert type(model.coefs_[0]) is import_module("cupy").ndarray
    assert type(model.predict(X)) is np.ndarray
    there = import_module("cupy").asarray(X)
    assert np.allclose(model.predict_proba(X), _fit(there, y).predict_proba(there).get(), atol=1e-5)
    return {"report": {k: str(v) for k, v in model.fit_report_.items()}}


def _bits():
    from xpmlp.arrays import namespace
    from xpmlp.engines.cupy.fused import random_bits as fused
    from xpmlp.randomness import random_bits, step_keys

    cupy = import_module("cupy")
    for shape, first in (((3, 1000, 70), 0), ((4096, 300), 0), ((50, 7), 1000)):
        key = step_keys(7, np.arange(shape[0])).reshape(shape[0], 1, 2)
        key = key if len(shape) == 3 else key[0]
        want, card = random_bits(key, shape, xp=np, first=first), cupy.asarray(key)
        for bits in (random_bits, fused):
            got = bits(card, shape, xp=namespace(card), first=first)
            assert (got.get() == want).all(), (bits, shape)


def _command(found, standin):
    if standin:
        raise Skip("it asks for CuPy in a process of its own")
    with tempfile.TemporaryDirectory() as folder:
        options = "--hidden 64 --epochs 3 --device cuda --seed 0".split()
        model = str(Path(folder, "model.safetensors"))
        said = run(
            sys.executable,
            "-m",
            "xpmlp",
            "train",
            "digits",
            *options,
            "--out",
            model,
            seconds=max(5, found.left - 2),
        )
    return {"said": said.splitlines()}


# ---- scikit-learn


def scikit_learn(found, standin):
    """Run scikit-learn's own checks of CuPy's arrays (and torch's), and a search on the card."""
    needs_xpmlp()
    os.environ["SCIPY_ARRAY_API"] = "1"  # before SciPy is imported
    from sklearn.utils.estimator_checks import estimator_checks_generator

    from xpmlp import MLPClassifier, MLPRegressor

    with warnings.catch_warnings(action="ignore"):
        for make in (MLPClassifier, MLPRegressor):
            for est, check in estimator_checks_generator(make(max_iter=5)):
                of = getattr(check, "func", check).__name__
                said = ", ".join(str(v) for v in getattr(check, "keywords", {}).values())
                if "array_api" in of and ("cupy" in said or "cuda" in said):
                    found.check(f"{make.__name__}: {of}({said})", _scikit_check, check, est)
        found.check("a search keeps nothing on the card", _search, standin)


def _scikit_check(check, est):
    from unittest import SkipTest

    try:
        check(est)
    except SkipTest as why:
        raise Skip(str(why)) from why


def _search(standin):
    import sklearn
    from sklearn.model_selection import GridSearchCV
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    from xpmlp import MLPClassifier

    cupy, seen = import_module("cupy"), []
    X, y = map(cupy.asarray, _data(200 if standin else 2000))
    net = MLPClassifier((16,), max_iter=2, random_state=0)
    grid = {"mlpclassifier__alpha": [1e-4, 1e-2]}
    for _ in range(3):
        with sklearn.config_context(array_api_dispatch=True):
            search = GridSearchCV(make_pipeline(StandardScaler(), net), grid, cv=3).fit(X, y)
        assert type(search.best_estimator_[-1].coefs_[0]) is cupy.ndarray
        del search
        gc.collect()
        seen.append(cupy.get_default_memory_pool().used_bytes())
    assert seen[2] - seen[1] <= X.nbytes // 10, seen
    return {"bytes in use after each": seen}
