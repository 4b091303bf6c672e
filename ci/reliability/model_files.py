"""Model files that are damaged or made to harm: cut, flipped, costly, and changed field by field.

Each is refused in one short line, or gives a model that predicts finite numbers, can be saved, and
fitted on, with no error but those that are told. `XPMLP_SECONDS` says how long fields are changed.
"""

import copy
import json
import os
import random
import tempfile
import time
import traceback
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from xpmlp import MLPClassifier, MLPRegressor, load_model, nn
from xpmlp.container import read_container, write_container
from xpmlp.errors import ModelFileError
from xpmlp.optim import Adam, Cosine
from xpmlp.training import new_history

from . import Figures

CPU, BEYOND = 0.1, 50 << 20  # seconds, and bytes beyond the file's own, that a refusal may take
MEGABYTE, EACH = 1 << 20, 1  # byte that is damaged, or each so manieth
SECONDS = float(os.environ.get("XPMLP_SECONDS", "60"))
X = np.random.default_rng(0).normal(size=(40, 3))
TABLE = pd.DataFrame({"n": X[:, 0], "c": [*"abca"] * 10, "d": pd.date_range("2020", periods=40)})
SMALL: dict = {"hidden_layer_sizes": (4,), "max_iter": 3, "random_state": 0}
LAYERS = [nn.Dense(3), nn.BatchNorm(), nn.Residual([nn.Dense(3, "elu")])]
FITS = [
    (MLPClassifier(**SMALL, feature_scale="standard"), X, np.digitize(X[:, 0], [-0.5, 0.5])),
    (MLPClassifier(**SMALL, early_stopping=True, class_weight={0: 1.0, 1: 2.0}), X, X[:, 0] > 0),
    (MLPClassifier(**SMALL, n_bins=4, dropout=0.1), TABLE, np.where(X[:, 1] > 0, "yes", "no")),
    (MLPClassifier(**SMALL, solver="sgd", learning_rate="cosine"), X, (X > 0).astype(int)),
    (MLPRegressor(**SMALL, target_scale="auto"), TABLE, X[:, 0]),
    (MLPRegressor(**SMALL, loss="quantile", quantiles=[0.1, 0.5, 0.9]), X, X[:, 0]),
    (
        MLPRegressor(hidden_layer_sizes=LAYERS, max_iter=3, solver=Adam(), learning_rate=Cosine()),
        X,
        X[:, :2],
    ),
    (MLPRegressor(**SMALL, solver="lbfgs", loss="poisson"), X, np.exp(X[:, 0])),
]
VALUES: list = [
    *(None, True, 0, 1, -1, 3, -7, 10**6, 2**31, 2**53, 2**63, 10**30, 10**300),
    *(0.0, 0.5, -0.5, 1e-320, 1e-12, 1e300, -1e308, {"float": "nan"}, {"float": "inf"}),
    *("", "a", "auto", "\x1b[31m", "os.system", "relu", "exp", "object", "x" * 5000),
    *([], [1], ["a"], [[1]], {}, {"a": 1}, {"list": [1, 2]}, {"dict": [["a", 1]]}),
    {"record": "Adam", "fields": {"beta_1": 2.0}},
    {"record": "Dropout", "fields": {"rate": 0.5}},
    {"loss": "huber", "fields": {"delta": 1e-300}},
]
NUMBERS = [0.0, -1.0, 1e-320, 1e-162, 1e18, 1e38, -1e38, 1e150, 1e154, -1e154, 1e308]


def run() -> Figures:
    """Try all of it; return the figures."""
    warnings.simplefilter("ignore")
    figures = Figures()
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "model")
        kept = []
        for model, x, y in FITS:
            model.fit(x, y).save(path)
            kept.append((read_container(path), x, y))
        FITS[0][0].save(path)
        _damage(figures, path)
        for name, write in COSTLY.items():
            write(path, *copy.deepcopy(kept[2][0]))
            _cost(figures, name, path)
        end = time.monotonic() + SECONDS
        while time.monotonic() < end:
            (arrays, meta), x, y = random.choice(kept)
            if _changed(path, arrays, meta):
                _try(figures, path, x, y)
        figures.leaked += len([*Path(folder).iterdir()]) - 1
    return figures


def _damage(figures: Figures, path: Path) -> None:
    """Cut the file at each byte, and flip each bit of it: none may load as another model."""
    whole = path.read_bytes()
    for n in range(0, len(whole), EACH):
        for damaged in (whole[:n], *(_flipped(whole, n, bit) for bit in range(8))):
            path.write_bytes(damaged)
            figures.tried += 1
            try:
                made = load_model(path).predict_proba(X)
                if not np.array_equal(made, FITS[0][0].predict_proba(X)):
                    figures.wrong += 1
                    figures.notes.append(f"byte {n} changed the predictions")
            except ModelFileError:
                figures.refused += 1
            except Exception as error:
                _note(figures, f"damage at byte {n}", error)


def _flipped(whole: bytes, n: int, bit: int) -> bytes:
    return whole[:n] + bytes([whole[n] ^ (1 << bit)]) + whole[n + 1 :]


def _note(figures: Figures, what: str, error: Exception) -> None:
    figures.crashed += 1
    figures.notes.append(f"{what}: {error!r:.200}")


# ---- What costs: time and memory, in a process of its own


def _text(arrays: dict, text: str) -> dict:
    made = text.encode() + b" " * (-len(text) % 4)
    return arrays | {"encoder.text": np.frombuffer(made, "<i4")}


def _edit(**changes: Any) -> Callable:
    """Return a writer of a file with other fields of metadata."""

    def write(path, arrays, meta):
        write_container(path, arrays, _without_format(meta) | changes)

    return write


def _table(make: Callable[[dict], str]) -> Callable:
    """Return a writer of a file with another text of the encoder, made of its JSON."""

    def write(path, arrays, meta):
        said = json.loads(arrays["encoder.text"].tobytes())
        write_container(path, _text(arrays, make(said)), _without_format(meta))

    return write


def _without_format(meta: dict) -> dict:
    return {name: value for name, value in meta.items() if name != "format_version"}


def _labels(path: Path, arrays: dict, meta: dict) -> None:
    """Write a thousand short labels and a long one, for as many outputs."""
    values = sorted([f"{i:04}" for i in range(1000)] + ["x" * 400_000])
    layer = {"record": "Dense", "fields": {"n_out": 1001}}
    own = {"n_features": 3, "task": "multiclass", "dtype": "float64", "link": "softmax"}
    about = {"layers": [layer], "model": own | {"quantiles": None}, "feature_names": None}
    about |= {"classes": {"dtype": "<U400000", "values": values}}
    arrays = {"0.W": np.zeros((3, 1001)), "0.b": np.zeros((1, 1001))}
    write_container(path, arrays, _without_format(meta) | about)


def _sparse(path: Path, arrays: dict, meta: dict) -> None:
    with open(path, "wb") as file:
        file.truncate(4 << 30)


def _dropouts(depth: int) -> dict:
    """Return networks in networks, each with many layers that have no arrays."""
    layer: dict = {"record": "Dropout", "fields": {"rate": 0.5}}
    for _ in range(depth):
        layer = {"record": "Network", "fields": {"layers": [layer] + [layer] * (depth == 1) * 9999}}
    return layer


COSTLY: dict[str, Callable] = {
    "wide labels": _labels,
    "a sparse file of 4 GB": _sparse,
    # Of so many a file keeps 979: each 1024th, the first, the best and the last.
    "a million epochs": _edit(
        n_epochs=10**6,
        history={name: {"list": [0.5] * 979} for name in new_history()},
    ),
    "1e15 epochs": _edit(n_epochs=10**15),
    "empty lists in an argument": _edit(params={"alpha": [[]] * 200_000}),
    "objects in an argument": _edit(params={"alpha": [{"a": 0}] * 70_000}),
    "labels of numbers": _edit(classes={"dtype": "<i8", "values": [*range(110_000)]}),
    "names": _edit(feature_names=[f"{i}" for i in range(80_000)]),
    "layers without arrays": _edit(layers=[_dropouts(1)]),
    "layers in 30 networks": _edit(layers=[_dropouts(30)] * 300),
    "units without end": _edit(layers=[{"record": "Dense", "fields": {"n_out": 10**12}}]),
    "normalized features": _edit(
        layers=[{"record": "BatchNorm", "fields": {}}],
        model={"n_features": 10**9, "task": "binary", "dtype": "float64", "link": "logistic"},
    ),
    "columns": _table(lambda said: json.dumps(said | {"columns": said["columns"] * 100_000})),
    "empty columns": _table(lambda said: '{"columns": [' + "[]," * 2_000_000 + "[]]}"),
    "categories": _table(
        lambda said: json.dumps(
            said | {"columns": [["c", "category", False, [f"{i}" for i in range(500_000)]]]}
        )
    ),
    "bins": _table(lambda said: json.dumps(said | {"n_edges": [0] * 1_000_000})),
    "a nested table": _table(lambda said: "[" * 1_000_000),
}


def _cost(figures: Figures, name: str, path: Path) -> None:
    """Read a file in a process of its own; count what takes longer, or more memory, than it may."""
    read, write = os.pipe()
    child = os.fork()
    if child == 0:
        os.write(write, json.dumps(_measured(path)).encode())
        os._exit(0)
    os.waitpid(child, 0)
    os.close(write)
    with open(read, "rb") as pipe:
        error, seconds, grown = json.loads(pipe.read() or '["no answer", 0, 0]')
    figures.tried += 1
    figures.refused += error == "ModelFileError"
    if error not in ("", "ModelFileError"):
        figures.crashed += 1
        figures.notes.append(f"{name}: {error}")
    own = min(path.stat().st_size, 100 * MEGABYTE)
    if seconds > CPU + 0.05 * own / MEGABYTE or grown > BEYOND + own:
        figures.leaked += 1
        grown_mb, own_mb = grown / MEGABYTE, own / MEGABYTE
        figures.notes.append(f"{name}, {own_mb:.1f} MB: {seconds:.3f} s, {grown_mb:.0f} MB")


def _measured(path: Path) -> tuple[str, float, int]:
    """Return the error of reading a file, the seconds, and by how many bytes the process grew."""
    Path("/proc/self/clear_refs").write_text("5")  # its greatest size begins anew
    before, seconds, error = _status("VmRSS"), [], ""
    for _ in range(3):  # others work here, too: the least counts
        start = time.process_time()
        try:
            load_model(path)
        except Exception as raised:
            error = type(raised).__name__
        seconds.append(time.process_time() - start)
    return error, min(seconds), _status("VmHWM") - before


def _status(field: str) -> int:
    lines = Path("/proc/self/status").read_text().splitlines()
    return 1024 * int(next(line for line in lines if line.startswith(field)).split()[1])


# ---- Fields and arrays, one or two of them changed


def _changed(path: Path, arrays: dict, meta: dict) -> bool:
    """Write a file with something changed; return whether it could be written."""
    arrays, meta = copy.deepcopy(arrays), _without_format(copy.deepcopy(meta))
    for _ in range(random.choice((1, 1, 1, 2))):
        kind = random.random()
        if kind < 0.6:
            _change(meta)
        elif kind < 0.8 or "encoder.text" not in arrays:
            name = random.choice([name for name in arrays if name != "encoder.text"])
            arrays[name] = _other_array(arrays[name])
        else:
            said = json.loads(arrays["encoder.text"].tobytes())
            _change(said)
            arrays = _text(arrays, json.dumps(said))
    try:
        write_container(path, arrays, meta)
    except (ValueError, ModelFileError):  # NaN, or too long
        return False
    return True


def _change(document: dict) -> None:
    """Change an entry of a document at random."""
    top = random.choice([*document])
    place = (top, *random.choice([*_places(document[top])]))
    parent: Any = document
    for part in place[:-1]:
        parent = parent[part]
    old, how = parent[place[-1]], random.random()
    if how < 0.05 and isinstance(parent, dict):
        parent["evil"] = random.choice(VALUES)
    elif how < 0.1 and isinstance(parent, dict):
        del parent[place[-1]]
    elif how < 0.2 and isinstance(old, list) and old:
        parent[place[-1]] = random.choice((old[::-1], old[:-1], [*old, old[0]]))
    elif how < 0.3 and type(old) in (int, float) and abs(old) < 1e100:
        parent[place[-1]] = old * random.choice((-1, 2, 10, 1e10, 1e-10))
    else:
        parent[place[-1]] = copy.deepcopy(random.choice(VALUES))


def _places(value: Any, place: tuple = ()) -> Iterator[tuple]:
    """Yield the places of a value and of all in it."""
    yield place
    entries = enumerate(value) if isinstance(value, list) else ()
    for name, entry in value.items() if isinstance(value, dict) else entries:
        yield from _places(entry, (*place, name))


def _other_array(a: np.ndarray) -> np.ndarray:
    """Return another array in the place of one."""
    how, largest = random.random(), float(np.finfo(a.dtype).max)
    value = min(max(random.choice(NUMBERS), -largest), largest)
    if how < 0.1:
        return a[..., :-1].copy()
    if how < 0.2:
        return a.astype(np.float32)
    if how < 0.5 and a.size:
        a.reshape(-1)[random.randrange(a.size)] = value
        return a
    return np.full_like(a, value)


def _try(figures: Figures, path: Path, x: Any, y: Any) -> None:
    """Load a file; what loads has to predict, be saved and be fitted on, or say why not."""
    figures.tried += 1
    try:
        model = load_model(path)
    except ModelFileError as error:
        figures.refused += 1
        if not str(error).isprintable() or len(str(error)) > 1000:
            _note(figures, "a refusal", error)
        return
    except Exception as error:
        _note(figures, "loading", error)
        return
    for what, use in _uses(path.parent / "again").items():
        try:
            if not use(copy.deepcopy(model), x, y):
                figures.wrong += 1
                figures.notes.append(f"{what} of a file that loads is wrong")
        except Exception as error:
            if not _is_told(error):
                _note(figures, what, error)
    (path.parent / "again").unlink(missing_ok=True)


def _uses(again: Path) -> dict[str, Callable]:
    """Return what is done with a model: functions that return whether it went well."""

    def predicted(model, x):
        return getattr(model, "predict_proba", model.predict)(x)

    def saved(model, x, y):
        model.save(again)
        return np.array_equal(predicted(load_model(again), x), predicted(model, x), equal_nan=True)

    return {
        "predict": lambda model, x, y: np.isfinite(predicted(model, x)).all(),
        "save": saved,
        "transform": lambda model, x, y: model.transform(x) is not None,
        "partial_fit": lambda m, x, y: hasattr(m, "partial_fit") < 1 or m.partial_fit(x, y),
        "warm_start": lambda m, x, y: m.set_params(warm_start=True, max_iter=2).fit(x, y),
        "fit": lambda m, x, y: m.set_params(max_iter=2).fit(x, y),
    }


def _is_told(error: Exception) -> bool:
    """Tell whether an error was raised on purpose, by xpmlp or scikit-learn's checks."""
    last = traceback.extract_tb(error.__traceback__)[-1]
    ours = "xpmlp" in last.filename or "sklearn" in last.filename
    return ours and "raise" in (last.line or "")
