"""`xpmlp.train`: a bare network on arrays of any library, and what it refuses."""

import numpy as np
import pytest
from each import each

from xpmlp import nn, train
from xpmlp.errors import ShapeError
from xpmlp.nn import Group, Layout

X = np.random.default_rng(0).normal(size=(40, 3))
CODES = (X[:, 0] > 0).astype(int)
NETWORK = nn.Network([nn.Dense(5, "tanh"), nn.Dense(2)])
ONE = nn.Network([nn.Dense(1)])


@each(
    "network, y, kw, words",
    [
        (NETWORK, CODES - 1, {"loss": "log_loss"}, r"labels outside 0 \.\.\. 1"),
        (NETWORK, CODES + 1, {"loss": "log_loss"}, r"labels outside 0 \.\.\. 1"),
        (NETWORK, CODES, {}, "integer class labels.*log_loss"),
        (ONE, X[:, 0], {}, r"y is \(40,\), the outputs are \(40, 1\); did you mean y\[:, None"),
        (ONE, X[:, :1], {"sample_weight": np.ones(100)}, r"sample_weight of shape \(100,\)"),
        (ONE, X[:, :1], {"sample_weight": -np.ones(40)}, "0 or more"),
        (ONE, X[:, :1] * np.nan, {}, "y holds NaN"),
        (ONE, X[:, :1], {"batch_size": -5}, "batch_size must be 1 or more"),
        (nn.Network([nn.Dropout(0.5)]), X, {}, "no parameters"),
        (ONE, X[:, :1], {"solver": "nonsense"}, "solver must be one of"),
        (ONE, X[:, :1], {"params": {}}, r"params lack an array 0\.W, of shape \(3, 1\)"),
        (ONE, X[:, :1], {"params": {0: {"W": [[1], [2], [3]]}}}, r"lack an array 0\.W"),
        (ONE, X[:, :1], {"params": {0: {"W": X, "b": X}}}, r"0\.W as \(40, 3\), expected \(3, 1"),
    ],
)
def test_train_refuses_in_words(network, y, kw, words):
    with pytest.raises(ValueError, match=words):
        train(network, X, y, **kw)


@pytest.mark.parametrize(
    "bad",
    [
        X[0], X[:0], X.tolist(), X * np.inf, np.full((2, 3), "a"), X.astype(object),
        np.zeros((2, 3), "M8[s]"), np.ma.masked_array(X, X > 0),
    ],
)  # fmt: skip
def test_train_refuses_inputs_that_are_no_rows_of_numbers(bad):
    with np.errstate(all="ignore"), pytest.raises((ShapeError, ValueError), match="X"):
        train(ONE, bad, X[:, :1])


def test_integer_labels_train_one_output_or_one_each(xp):
    x = xp.asarray(X.astype(np.float32))
    for network in (NETWORK, nn.Network([nn.Dense(1)])):
        trained = train(network, x, CODES, loss="log_loss", max_iter=60, learning_rate_init=0.05)
        z = xp.host(trained.outputs(x))
        found = z.argmax(1) if z.shape[1] == 2 else z[:, 0] > 0
        assert np.mean(found == CODES) > 0.9


class Scale(nn.Layer):
    """A factor a feature, in a group of the name of Dense's but with a rate of its own."""

    groups = {"s": Group("weights", decay=False, rate=0.1)}  # noqa: RUF012

    def init(self, n_in, stream, x=None):
        return {"s": np.ones((1, n_in))}, n_in

    def forward(self, params, x, ctx):
        return x * params["s"], (x,)

    def backward(self, params, dy, cache, ctx):
        return dy * params["s"], {"s": ctx.xp.sum(dy * cache[0], axis=-2, keepdims=True)}

    def __hash__(self):
        return 1

    def __eq__(self, other):
        return isinstance(other, Scale)


def test_groups_of_one_name_and_different_rates_stay_apart():
    network = nn.Network([Scale(), nn.Dense(2)])
    params, _ = network.init(3, np.random.default_rng(0))
    layout = Layout.of(network, params, contiguous=True)
    found = layout.unpack(layout.pack(params, xp=np), xp=np)
    np.testing.assert_array_equal(found[0]["s"], params[0]["s"])
    np.testing.assert_array_equal(found[1]["W"], params[1]["W"])
    options = {"momentum": 0.0, "learning_rate_init": 1.0, "batch_size": 40, "params": params}
    trained = train(network, X, CODES, loss="log_loss", max_iter=1, solver="sgd", **options)
    moved = trained.params[0]["s"] - params[0]["s"]
    y = np.eye(2)[CODES]
    z = X @ params[1]["W"] + params[1]["b"]
    p = np.exp(z) / np.exp(z).sum(1, keepdims=True)
    true = ((p - y) / 40 @ params[1]["W"].T * X).sum(0)
    np.testing.assert_allclose(moved[0], -0.1 * true)


def test_a_device_by_its_name_takes_x_and_y_there_and_gives_back_what_it_trained():
    strict = pytest.importorskip("array_api_strict", reason="its devices stand for a card")
    x, y = strict.asarray(X), strict.asarray(X[:, :1])
    here, there = (train(ONE, x, y, max_iter=2, device=name) for name in ("auto", "device1"))
    assert (here.report["device"], there.report["device"]) == ("CPU_DEVICE", "device1")
    assert there.report["why"] == "device='device1' was asked for."
    assert there.params[0]["W"].device == x.device
    np.testing.assert_array_equal(*(np.asarray(t.params[0]["W"]) for t in (here, there)))
    with pytest.raises(ValueError, match="device must be 'cpu', 'cuda'"):
        train(ONE, X, X[:, :1], device="nonsense")


def test_a_device_is_given_by_its_name():
    x = np.ones((4, 2))
    with pytest.raises(TypeError, match=r"a name such as 'cpu' or 'cuda:1', got a ndarray"):
        train(nn.Network([nn.Dense(1)]), x, x[:, :1], device=np.ones(3))


@each("max_iter", [1.5, "a", -1, 10**310])
def test_a_number_of_epochs_that_is_none_is_refused_in_words(max_iter):
    with pytest.raises((TypeError, ValueError), match="^max_iter must be a "):
        train(nn.Network([nn.Dense(1)]), X, X[:, :1], max_iter=max_iter, learning_rate="cosine")
