"""How short products may be: torch's settings and JAX's, while ours computes and not longer."""

from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np
import pytest
from conftest import find, relative_error

from xpmlp import MLPClassifier, MLPRegressor, load_model, nn, train
from xpmlp.container import read_container, write_container
from xpmlp.engines import MATMUL_PRECISIONS, Options, engine_for
from xpmlp.training.precision import note_unheeded
from xpmlp.transfers import counting

RNG = np.random.default_rng(0)
X = RNG.normal(size=(256, 96)).astype(np.float32)
Y = np.sin(X @ RNG.normal(size=(96, 3))).astype(np.float32)
OPTIONS = {"max_iter": 2, "batch_size": 128, "random_state": 0}
NETWORK = nn.Network([nn.Dense(128, "relu"), nn.Dense(3)])


def library(name):
    pytest.importorskip(name)
    return find(f"{name}:cpu")


def weights(backend, precision, *, dtype="float32", network=NETWORK, **options):
    """All weights after a training, and the outputs, on the host."""
    x, y = backend.asarray(X, dtype), backend.asarray(Y, dtype)
    trained = train(network, x, y, matmul_precision=precision, **OPTIONS | options)
    arrays = [trained.params[i]["W"] for i in trained.params if trained.params[i]]
    assert {str(a.dtype).rpartition(".")[2] for a in arrays} == {dtype}
    return [backend.host(a) for a in (*arrays, trained.outputs(x))]


def equal(some, others):
    return all(np.array_equal(a, b) for a, b in zip(some, others, strict=True))


@pytest.mark.parametrize("precision", ["tf32", "float16", None, 1, "Highest"])
def test_an_unknown_precision_is_refused_in_one_sentence_that_names_the_known(precision):
    with pytest.raises(ValueError, match="matmul_precision must be one of highest, high, medium"):
        train(NETWORK, X, Y, matmul_precision=precision, **OPTIONS)
    for kind in (MLPClassifier, MLPRegressor):
        with pytest.raises(ValueError, match="'matmul_precision' parameter .* must be a str among"):
            kind(matmul_precision=precision).fit(X, X[:, 0] > 0)


@pytest.mark.parametrize("name", ["numpy", "array_api_strict"])
def test_libraries_without_shorter_products_compute_in_full(name):
    backend = find(name)
    full = weights(backend, "highest")
    assert all(equal(weights(backend, precision), full) for precision in MATMUL_PRECISIONS)


def test_float64_is_never_shortened():
    made = [weights(library("torch"), p, dtype="float64") for p in ("highest", "medium")]
    assert equal(*made)


def shortens(torch):
    """Whether torch's products are shorter here where bfloat16 is allowed: units, not flags."""
    a = torch.asarray(RNG.normal(size=(512, 512)))
    with users_choice("torch"):
        product = a.to(torch.float32) @ a.to(torch.float32)
    return relative_error(product.numpy(), (a @ a).numpy()) > 1e-4


@pytest.mark.parametrize("solver", ["adam", "lbfgs"])
def test_medium_on_torch_changes_results_by_the_rounding_of_bfloat16_or_not_at_all(solver):
    backend = library("torch")
    full, medium = (weights(backend, p, solver=solver) for p in ("highest", "medium"))
    errors = [relative_error(a, b) for a, b in zip(medium, full)]
    if not shortens(pytest.importorskip("torch")):
        assert max(errors) < 1e-4
        return
    # Products are off by sqrt(2) of bfloat16's 2^-9; weights by their share in two epochs, or, of a
    # layer whose narrow products a library computes in full, by what the other layers' errors do.
    assert 1e-6 < min(errors) and max(errors) < 0.05
    assert 5e-4 < errors[-1]


NOTHING = "changes nothing: {} on cpu computes products as exactly as float32 here"


@pytest.mark.parametrize("solver", ["adam", "lbfgs"])
def test_the_report_says_where_a_permission_changes_nothing(solver):
    torch = pytest.importorskip("torch")
    expected = [] if shortens(torch) else [f"matmul_precision='medium' {NOTHING.format('torch')}"]
    arguments = {"matmul_precision": "medium", "solver": solver, **OPTIONS}
    for dtype, notes in (
        (torch.float32, expected),
        (
            torch.float64,
            [
                "matmul_precision='medium' changes nothing: float64 is never shortened, "
                "pass dtype='float32'"
            ],
        ),
    ):
        report = train(NETWORK, *(torch.asarray(a).to(dtype) for a in (X, Y)), **arguments).report
        assert report["notes"] == notes
    report = train(NETWORK, X, Y, **arguments).report
    assert report["notes"] == [f"matmul_precision='medium' {NOTHING.format('numpy')}"]
    assert train(NETWORK, X, Y, **OPTIONS).report["notes"] == []


@pytest.mark.parametrize("bits", [7, 10])  # of bfloat16 and TF32
def test_products_of_fewer_bits_are_found_and_those_of_float32_are_not(bits):
    def shorter(a, b):
        keep = np.uint32(0xFFFFFFFF << (23 - bits) & 0xFFFFFFFF)
        return np.matmul(*((m.view(np.uint32) & keep).view(np.float32) for m in (a, b)))

    at, engine = np.empty(0, np.float32), engine_for(np.empty(0))
    for product, found in (
        (shorter, 0),
        (lambda a, b: np.flip(a, 1) @ np.flip(b, 0), 1),
        (None, 0),
    ):
        with counting() as counts:
            note_unheeded(engine._replace(product=product), Options(matmul_precision="high"), at)
        assert len(counts.notes) == found


@dataclass(frozen=True)
class Looking(nn.Layer):
    """Notes what precision holds when it runs, and what is asked of it fails."""

    name: str
    fails: bool = False

    def init(self, n_in, stream, x=None):
        return {}, n_in

    def forward(self, params, x, ctx):
        SEEN.append(precision_now(self.name))
        if self.fails:
            raise RuntimeError("a layer of the user's failed")
        return x, ()

    def backward(self, params, dy, cache, ctx):
        return dy, {}


SEEN: list = []


def precision_now(name):
    if name == "jax":
        return __import__("jax").config.jax_default_matmul_precision
    backends = __import__("torch").backends
    return backends.mkldnn.matmul.fp32_precision, backends.cuda.matmul.fp32_precision


@contextmanager
def users_choice(name):
    """A user who allows anything for programs of their own."""
    if name == "jax":
        with __import__("jax").default_matmul_precision("bfloat16"):
            yield
        return
    backends = __import__("torch").backends
    places = backends.mkldnn.matmul, backends.cuda.matmul
    before = precision_now(name)
    try:
        for place, precision in zip(places, ("bf16", "tf32")):
            place.fp32_precision = precision
        yield
    finally:
        for place, precision in zip(places, before):
            place.fp32_precision = precision


WANTED = {
    "torch": {"highest": ("ieee", "ieee"), "high": ("tf32", "tf32"), "medium": ("bf16", "tf32")},
    "jax": {"highest": "highest", "high": "high", "medium": "default"},
}
looking = lambda name, fails=False: nn.Network([nn.Dense(2), Looking(name, fails), nn.Dense(3)])


@pytest.mark.parametrize("precision", MATMUL_PRECISIONS)
@pytest.mark.parametrize("name", WANTED)
def test_our_precision_holds_in_training_and_prediction_and_the_users_before_and_after(
    name, precision
):
    backend = library(name)
    x, y = backend.asarray(X), backend.asarray(Y)
    with users_choice(name):
        users = precision_now(name)
        for solver in ("sgd", "lbfgs"):
            SEEN.clear()
            made = train(looking(name), x, y, matmul_precision=precision, solver=solver, **OPTIONS)
            in_training = set(SEEN)
            SEEN.clear()
            made.outputs(x)
            assert in_training == {WANTED[name][precision]}
            assert set(SEEN) <= in_training  # JAX has compiled it in the first of the two
            assert precision_now(name) == users
        with pytest.raises(RuntimeError, match="user's failed"):
            train(looking(name, True), x, y, matmul_precision=precision, **OPTIONS)
        assert precision_now(name) == users


def test_highest_is_bit_for_bit_what_it_is_without_the_users_choice():
    full = weights(library("torch"), "highest")
    with users_choice("torch"):
        assert equal(weights(library("torch"), "highest"), full)


@pytest.mark.parametrize("precision", MATMUL_PRECISIONS)
def test_a_torch_of_before_2_9_is_set_by_its_older_function(precision, monkeypatch):
    torch = pytest.importorskip("torch")
    monkeypatch.delattr(type(torch.backends.mkldnn), "matmul")
    seen, network = [], nn.Network([nn.Dense(2), nn.Dense(3)])
    forward = nn.Dense.forward
    note = lambda *a: (seen.append(torch.get_float32_matmul_precision()), forward(*a))[1]
    monkeypatch.setattr(nn.Dense, "forward", note)
    train(network, torch.asarray(X), torch.asarray(Y), matmul_precision=precision, **OPTIONS)
    assert set(seen) == {precision} and torch.get_float32_matmul_precision() == "highest"


def test_an_estimators_predictions_take_its_precision_as_it_is_then():
    x = library("torch").asarray(X)
    layers = (nn.Dense(4, "relu"), Looking("torch"))
    est = MLPRegressor(hidden_layer_sizes=layers, matmul_precision="medium", **OPTIONS)
    SEEN.clear()
    with pytest.warns(UserWarning, match="Maximum iterations"):
        est.fit(x, Y)
    assert set(SEEN) == {("bf16", "tf32")}
    SEEN.clear()
    est.set_params(matmul_precision="high").predict(x)
    assert set(SEEN) == {("tf32", "tf32")}


def test_a_model_file_records_it_and_one_without_it_loads_as_highest(tmp_path):
    est = MLPRegressor(hidden_layer_sizes=(4,), matmul_precision="medium", **OPTIONS)
    with pytest.warns(UserWarning, match="Maximum iterations"):
        est.fit(X, Y)
    est.save(tmp_path / "new.safetensors")
    assert load_model(tmp_path / "new.safetensors").matmul_precision == "medium"
    arrays, meta = read_container(tmp_path / "new.safetensors")
    del meta["params"]["matmul_precision"]
    write_container(tmp_path / "old.safetensors", arrays, meta)
    old = load_model(tmp_path / "old.safetensors")
    assert old.matmul_precision == "highest" and "matmul_precision" not in repr(old)
    assert np.array_equal(old.predict(X), est.predict(X))
