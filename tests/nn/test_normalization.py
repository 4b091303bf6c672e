"""Normalization layers against PyTorch's, and what rows' weights mean to a batch's statistics."""

import numpy as np
import pytest
from conftest import assert_close, dtype_name, relative_error
from each import each

from xpmlp import MLPClassifier, nn
from xpmlp.engines import generic_engine
from xpmlp.nn import Ctx
from xpmlp.nn.normalization import NORMALIZATIONS

N, D = 8, 3
EVERY = each("kind", NORMALIZATIONS)


def setting(layer, n=N, seed=0):
    """Parameters that are not those of the start, rows and their gradient."""
    rng = np.random.default_rng(seed)
    params = {k: a + 0.3 * rng.random(a.shape) for k, a in layer.init(D, rng)[0].items()}
    return params, 3.0 + 2.0 * rng.normal(size=(n, D)), rng.normal(size=(n, D))


def run(layer, params, x, dy, weights=None, *, training=True, xp=np):
    """Outputs, dx, and the parameters' gradients or next statistics."""
    ctx = Ctx(xp, training, weights=weights)
    y, cache = layer.forward(params, x, ctx)
    dx, updates = layer.backward(params, dy, cache, ctx)
    return {"y": y, "dx": dx, **updates}


def torchs(kind, layer, params):
    import torch

    twin = {
        "batch": lambda: torch.nn.BatchNorm1d(D, layer.epsilon, layer.momentum),
        "layer": lambda: torch.nn.LayerNorm(D, layer.epsilon),
        "rms": lambda: torch.nn.RMSNorm(D, layer.epsilon),
    }[kind]().double()
    names = {"g": "weight", "b": "bias", "mean": "running_mean", "var": "running_var"}
    own = twin.state_dict()
    own.update({names[k]: torch.asarray(a[0]) for k, a in params.items()})
    twin.load_state_dict(own)
    return twin


@EVERY
@each("training", [True, False])
def test_a_normalization_equals_torchs(kind, training):
    torch = pytest.importorskip("torch", reason="compares with torch")
    layer = NORMALIZATIONS[kind]()
    params, x, dy = setting(layer)
    got = run(layer, params, x, dy, training=training)
    twin = torchs(kind, layer, params).train(training)
    at = torch.asarray(x).requires_grad_()
    y = twin(at)
    y.backward(torch.asarray(dy))
    want = {"y": y.detach(), "dx": at.grad, "g": twin.weight.grad[None, :]}
    if kind != "rms":
        want["b"] = twin.bias.grad[None, :]
    if kind == "batch":
        want |= {"mean": twin.running_mean[None, :], "var": twin.running_var[None, :]}
        if training:  # theirs is divided by n - 1
            grown = (twin.running_var - 0.9 * torch.asarray(params["var"][0])) * (N - 1) / N
            want["var"] = (0.9 * torch.asarray(params["var"][0]) + grown)[None, :]
    assert_close(got, {k: a.numpy() for k, a in want.items()}, 1e-12)


@EVERY
@each("K", [2, N])
def test_members_equal_layers_one_by_one_with_weights_of_their_own(kind, K, xp_eager):
    xp = xp_eager
    layer, rng = NORMALIZATIONS[kind](), np.random.default_rng(1)
    alone = [(*setting(layer, seed=k), rng.dirichlet(np.ones(N))) for k in range(K)]
    want = [run(layer, *given) for given in alone]
    params = {
        k: xp.asarray(np.stack([given[0][k] for given in alone]), xp.floats[0]) for k in alone[0][0]
    }
    rest = [xp.asarray(np.stack(part), xp.floats[0]) for part in list(zip(*alone))[1:]]
    got = run(layer, params, *rest, xp=xp.xp)
    assert {dtype_name(a) for a in got.values()} == {xp.floats[0]}
    for k, a in got.items():
        error = relative_error(xp.host(a), np.stack([made[k] for made in want]))
        assert error < (1e-12 if xp.floats[0] == "float64" else 1e-5), k


@EVERY
def test_a_weight_of_two_is_two_rows_and_one_of_zero_is_none(kind):
    layer = NORMALIZATIONS[kind]()
    params, x, dy = setting(layer)
    counts = np.asarray([1, 2, 0, 3, 0, 1, 1, 2])
    rows = np.repeat(np.arange(N), counts)
    w = counts / counts.sum()
    # A loss hands back gradients with the weights in them.
    got = run(layer, params, x, w[:, None] * dy, w)
    want = run(layer, params, x[rows], dy[rows] / len(rows))
    for name in want.keys() - {"y", "dx"}:
        assert relative_error(got[name], want[name]) < 1e-13, name
    assert relative_error(got["y"][rows], want["y"]) < 1e-13
    each = counts[rows][:, None]
    assert relative_error(got["dx"][rows] / each, want["dx"]) < 1e-13
    assert not got["dx"][counts == 0].any()


def test_what_stands_in_the_padding_of_a_batch_changes_nothing():
    layer = nn.BatchNorm()
    params, x, dy = setting(layer)
    w = np.asarray([1.0] * 5 + [0.0] * 3) / 5
    want = run(layer, params, x[:5], w[:5, None] * dy[:5], w[:5])
    for filling in (0.0, 1e6):
        x[5:] = filling
        got = run(layer, params, x, w[:, None] * dy, w)
        for name in ("g", "b", "mean", "var"):
            assert relative_error(got[name], want[name]) < 1e-14, (name, filling)
        assert relative_error(got["dx"][:5], want["dx"]) < 1e-13


def test_a_batch_that_weighs_nothing_leaves_statistics_and_parameters_alone(xp):
    layer = nn.BatchNorm()
    params, x, dy = setting(layer)
    given = {k: xp.asarray(a, "float32") for k, a in params.items()}
    zero = xp.asarray(np.zeros(N), "float32")
    made = xp.call(
        lambda given, x, dy, w: run(layer, given, x, dy, w, xp=xp.xp),
        given,
        xp.asarray(x, "float32"),
        xp.asarray(0 * dy, "float32"),
        zero,
    )
    for name in ("mean", "var"):
        assert np.array_equal(xp.host(made[name]), params[name].astype("float32"))
    for name in ("g", "b", "dx"):
        assert not xp.host(made[name]).any()


@EVERY
def test_the_prediction_for_a_row_is_the_same_whatever_stands_beside_it(kind):
    layer = NORMALIZATIONS[kind]()
    params, x, dy = setting(layer)
    together = run(layer, params, x, dy, np.full(N, 0.5), training=False)["y"]
    for i in range(N):
        alone = run(layer, params, x[i : i + 1], dy[:1], training=False)["y"]
        assert np.array_equal(alone[0], together[i])


def statistics(clf):
    return {k: a for k, a in clf.other_params_.items() if k.endswith(("mean", "var"))}


X = np.random.default_rng(0).normal(size=(50, 4))
Y = np.arange(50) % 2
ARGS = {"hidden_layer_sizes": (6,), "max_iter": 1, "random_state": 0, "normalization": "batch"}


@pytest.mark.filterwarnings("ignore:.*Maximum iterations", "ignore:Got `batch_size`")
@each("engine", ["generic", "numpy"])
def test_running_statistics_of_a_fit_are_the_batches_own_with_a_short_last_one(
    engine, plain, monkeypatch
):
    if engine == "generic":
        monkeypatch.setattr("xpmlp.training.fit.engine_for", lambda *_: generic_engine(plain.xp))
    clf = MLPClassifier(**ARGS, batch_size=30, shuffle=False, learning_rate_init=1e-12).fit(X, Y)
    start = MLPClassifier(**ARGS, batch_size=30, shuffle=False, learning_rate_init=1e-12)
    W = start.partial_fit(X[:2], Y[:2], classes=[0, 1]).coefs_[0]
    mean, var = np.zeros(6), np.ones(6)
    for rows, share in ((slice(0, 30), 0.1), (slice(30, 50), 0.1 * 20 / 30)):
        z = X[rows] @ W
        mean += share * (z.mean(axis=0) - mean)
        var += share * (z.var(axis=0) - var)
    found = {k.rpartition(".")[2]: a for k, a in statistics(clf).items()}
    assert relative_error(found["mean"][0], mean) < 1e-8
    assert relative_error(found["var"][0], var) < 1e-8


@each("make", [
    lambda: nn.BatchNorm(0.0), lambda: nn.BatchNorm(1.5), lambda: nn.BatchNorm(epsilon=-1.0),
    lambda: nn.LayerNorm(-1.0), lambda: nn.RMSNorm(float("nan")),
])  # fmt: skip
def test_numbers_without_sense_are_refused_in_a_sentence(make):
    with pytest.raises(ValueError, match=r"Norm needs .* got "):
        make()
