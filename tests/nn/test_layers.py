from dataclasses import dataclass

import numpy as np
import pytest
from conftest import assert_close, assert_derivative, dtype_name, leaves, map_tree
from each import each

from xpmlp import nn
from xpmlp.errors import ShapeError
from xpmlp.nn import Activation, ActivationFunction, Ctx, Dense, Dropout, Layer, Layout, Network
from xpmlp.nn.activations import ACTIVATIONS
from xpmlp.nn.layers import OFFSETS, WEIGHTS, Group
from xpmlp.nn.layout import put, walk
from xpmlp.nn.losses import LOSSES
from xpmlp.nn.network import LAYERS
from xpmlp.randomness import step_keys

N, D = 5, 3  # rows, inputs
TOLERANCE = {"float64": 1e-13, "float32": 2e-6}


@dataclass(frozen=True)
class Scale(Layer):
    """A user's layer: each input times a trained factor."""

    groups = {"s": WEIGHTS}

    def init(self, n_in, stream, x=None):
        return {"s": 1.0 + 0.1 * stream.normal(size=(1, n_in))}, n_in

    def forward(self, params, x, ctx):
        return x * params["s"], (x,)

    def backward(self, params, dy, cache, ctx):
        (x,) = cache
        return dy * params["s"], {"s": ctx.xp.sum(dy * x, axis=-2, keepdims=True)}


@dataclass(frozen=True)
class Residual(Layer):
    """A user's layer made of a layer: x + inner(x)."""

    inner: Layer

    @property
    def parts(self):
        return {"inner": self.inner}

    def init(self, n_in, stream, x=None):
        return {"inner": self.inner.init(n_in, stream, x)[0]}, n_in

    def forward(self, params, x, ctx):
        y, cache = self.inner.forward(params["inner"], x, ctx.part(0))
        return x + y, cache

    def backward(self, params, dy, cache, ctx):
        dx, updates = self.inner.backward(params["inner"], dy, cache, ctx.part(0))
        return dy + dx, {"inner": updates}


SQUARE = ActivationFunction("square", lambda z, xp: z * z, lambda da, z, a, xp: 2.0 * da * z)
CASES = {
    "Dense": Dense(4, "tanh"),
    "Dense without bias": Dense(4, "tanh", use_bias=False),
    "Dense with an activation of one's own": Dense(4, SQUARE),
    "Activation": Activation("silu"),
    "Dropout": Dropout(0.4),
    "Embedding": nn.Embedding((3, 2), 4),
    "BatchNorm": nn.BatchNorm(momentum=0.3),
    "LayerNorm": nn.LayerNorm(),
    "RMSNorm": nn.RMSNorm(epsilon=0.1),
    "Residual": nn.Residual([Dense(4, use_bias=False), nn.BatchNorm(), Dropout(0.2), Dense(3)]),
    "a user's layer": Scale(),
    "a user's layer of layers": Residual(Dense(3, "tanh")),
    "Network of two": Network([Dense(4, "tanh"), Dense(2)]),
    "Network": Network(
        [Scale(), Dropout(0.3), Network([Dense(4, "gelu"), Dropout(0.2), Dense(2)]), Dense(2)]
    ),
    **{f"Dense {name}": Dense(4, name) for name in ACTIVATIONS},
}
EVERY = each("case", CASES)
KEYS = step_keys(7, np.arange(N))  # (N, 1, 2)


def setting(layer, seed=0):
    """Parameters, x, dy and the key of a step, as float64 host arrays."""
    rng = np.random.default_rng(seed)
    params, n_out = layer.init(D, rng)
    return {
        "params": map_tree(lambda a: a + 0.1 * rng.normal(size=a.shape), params),
        "x": rng.normal(size=(N, D)),
        "dy": rng.normal(size=(N, n_out)),
        "key": KEYS[seed % N],
    }


def placed(at, xp, dtype):
    """A setting on a backend: the key as int32, the others in a float dtype."""
    return map_tree(lambda a: xp.asarray(a, "int32" if a.dtype.kind == "i" else dtype), at)


def run(layer, at, xp, **options):
    """Outputs, dx and updates of one forward and backward pass while training."""
    ctx = Ctx(xp, training=True, key=at["key"], **options)
    y, cache = layer.forward(at["params"], at["x"], ctx)
    dx, updates = layer.backward(at["params"], at["dy"], cache, ctx)
    return {"y": y, "dx": dx, "updates": updates}


def test_every_registered_layer_is_a_case():
    assert set(LAYERS.values()) <= {type(layer) for layer in CASES.values()}


@EVERY
def test_backward_is_the_derivative_of_forward(case):
    layer = CASES[case]
    at = setting(layer)
    ctx = Ctx(np, training=True, key=at["key"])
    made = run(layer, at, np)

    def value(where):
        return float((at["dy"] * layer.forward(where["params"], where["x"], ctx)[0]).sum())

    where, gradients = {"params": at["params"], "x": at["x"]}, {}
    for path, group, a in walk(layer, made["updates"]):  # statistics are not read while training
        put(gradients, path, a if group.trained else np.zeros_like(a))
    assert_derivative(value, where, {"params": gradients, "x": made["dx"]})


@EVERY
def test_a_layer_gives_the_same_on_every_library_in_its_dtype_and_writes_no_argument(case, xp64):
    xp = xp64
    layer = CASES[case]
    at = setting(layer)
    want = run(layer, at, np)
    for dtype in xp.floats:
        given = placed(at, xp, dtype)
        made = xp.call(lambda given: run(layer, given, xp.xp), given)
        assert {dtype_name(a) for _, a in leaves(made)} == {dtype}
        assert_close(map_tree(xp.host, made), want, TOLERANCE[dtype])
        for (path, now), (_, before) in zip(leaves(given), leaves(at)):
            assert np.array_equal(xp.host(now), before.astype(xp.host(now).dtype)), path


@EVERY
@each("K", [3, N])
def test_members_side_by_side_equal_runs_one_by_one(case, K, xp_eager):
    xp = xp_eager
    layer, dtype = CASES[case], xp.floats[0]
    alone = [setting(layer, seed) for seed in range(K)]
    together = placed(stacked(alone), xp, dtype)
    made = run(layer, together, xp.xp)
    assert_close(
        map_tree(xp.host, made), stacked([run(layer, at, np) for at in alone]), TOLERANCE[dtype]
    )


def stacked(trees):
    """Trees of one form -> a tree of arrays with a member axis in front."""
    if isinstance(trees[0], dict):
        return {key: stacked([tree[key] for tree in trees]) for key in trees[0]}
    return np.stack(trees)


@each("case", [case for case in CASES if case != "Activation"])
def test_without_need_for_dx_the_updates_are_the_same(case):
    layer = CASES[case]
    if isinstance(layer, Residual):
        layer = Network([layer])
    at = setting(layer)
    want, got = run(layer, at, np), run(layer, at, np, need_dx=False)
    assert_close(got["updates"], want["updates"], 0.0)


def test_the_first_dense_layer_makes_no_dx_when_nobody_reads_it():
    layer = CASES["Dense"]
    assert run(layer, setting(layer), np, need_dx=False)["dx"] is None
    network = Network([Dropout(0.5), Activation("tanh"), layer])
    assert run(network, setting(network), np, need_dx=False)["dx"] is None
    network = Network([Scale(), layer])  # this first layer makes its dx whether asked or not
    assert run(network, setting(network), np, need_dx=False)["dx"] is None


@each("loss", LOSSES)
@each("weighted", [False, True])
def test_the_gradient_of_a_whole_network_is_the_derivative_of_its_loss(loss, weighted):
    network = Network(
        [
            Dense(6, "tanh"),
            Dropout(0.3),
            Residual(Dense(6, "gelu")),
            Scale(),
            Dense(4, "elu"),
            Dense(3, use_bias=False),
        ]
    )
    at = setting(network, seed=1)
    rng = np.random.default_rng(2)
    y = rng.dirichlet(np.ones(3), size=N)
    w = rng.dirichlet(np.ones(N)) if weighted else None
    ctx = Ctx(np, training=True, key=at["key"])

    def value(where):
        outputs, _ = network.forward(where["params"], where["x"], ctx)
        return float(LOSSES[loss](outputs, y, w)[0])

    outputs, caches = network.forward(at["params"], at["x"], ctx)
    _, d = LOSSES[loss](outputs, y, w)
    dx, grads = network.backward(at["params"], d, caches, ctx)
    where = {"params": at["params"], "x": at["x"]}
    assert_derivative(value, where, {"params": grads, "x": dx})


def test_dense_without_activation_is_the_affine_map():
    params = {"W": np.asarray([[1.0, 2.0], [3.0, 4.0]]), "b": np.asarray([[10.0, 20.0]])}
    y, _ = Dense(2).forward(params, np.asarray([[1.0, 1.0], [2.0, 0.0]]), Ctx(np))
    assert y.tolist() == [[14.0, 26.0], [12.0, 24.0]]


def test_dropout_keeps_the_mean_scales_what_it_keeps_and_rests_in_prediction():
    layer, x = Dropout(0.25), np.ones((400, 300))
    ctx = Ctx(np, training=True, key=KEYS[0])
    y, _ = layer.forward({}, x, ctx)
    assert set(np.unique(y)) == {0.0, 1.0 / 0.75}
    assert abs(y.mean() - 1.0) < 5 * np.sqrt(0.25 / 0.75 / y.size)
    assert layer.forward({}, x, ctx._replace(training=False))[0] is x
    assert np.array_equal(Dropout(0.0).forward({}, x, ctx)[0], x)


def test_two_dropout_layers_of_a_network_drop_different_units():
    network, x = Network([Dropout(0.5), Network([Dropout(0.5)])]), np.ones((100, 50))
    _, caches = network.forward({}, x, Ctx(np, training=True, key=KEYS[0]))
    first, second = caches[0][0] > 0, caches[1][0][0] > 0
    assert abs((first & second).mean() - 0.25) < 0.04


def test_a_batch_of_another_width_is_refused_with_layer_and_shapes():
    network = Network([Dense(4), Dense(2)])
    params, _ = network.init(3, np.random.default_rng(0))
    with pytest.raises(ShapeError, match=r"layer 1 \(Dense 3 -> 4\).*\(7, 5\).*\(n_samples, 3\)"):
        network.forward(params, np.ones((7, 5)), Ctx(np))
    with pytest.raises(ShapeError, match="layer 2"):
        network.forward({**params, 1: {"W": np.ones((5, 2))}}, np.ones((7, 3)), Ctx(np))


@each(
    "make",
    [
        lambda: Dense(0),
        lambda: Dense(2.0),
        lambda: Dense(True),
        lambda: Dense(2, "no such activation"),
        lambda: Dense(2, initializer="no such initializer"),
        lambda: Activation("no such activation"),
        lambda: Dropout(1.0),
        lambda: Dropout(-0.1),
        lambda: Dropout(float("nan")),
    ],
)
def test_a_hyperparameter_that_makes_no_sense_is_refused_when_the_layer_is_made(make):
    with pytest.raises(ValueError, match="got"):
        make()


def test_a_network_refuses_what_is_no_layer_or_cannot_be_hashed():
    @dataclass
    class Mutable(Layer):
        sizes: list

    with pytest.raises(TypeError, match="got 'relu'"):
        Network(["relu"])
    with pytest.raises(TypeError, match="frozen"):
        Network([Mutable([1])])


def test_equal_records_are_one_record_and_layers_start_from_streams_of_their_own():
    make = lambda: Network([Dense(4, "tanh"), Residual(Dense(4)), Dense(4)])
    assert make() == make() and hash(make()) == hash(make())
    params, n_out = make().init(4, np.random.default_rng(0))
    again, _ = make().init(4, np.random.default_rng(0))
    assert n_out == 4
    assert_close(params, again, 0.0)
    assert not np.allclose(params[1]["inner"]["W"], params[2]["W"])


@each("contiguous", [True, False])
@each("members", [(), (3,)])
def test_packing_and_unpacking_a_store_gives_the_parameters_back(contiguous, members, xp_eager):
    xp = xp_eager
    network = Network([*CASES["Network"].layers, Dense(1)])
    host, _ = network.init(D, np.random.default_rng(0))
    numbers = np.random.default_rng(1)
    host = map_tree(lambda a: numbers.normal(size=(*members, *a.shape)), host)
    params = map_tree(lambda a: xp.asarray(a, "float32"), host)
    layout = Layout.of(network, params, contiguous=contiguous)
    store = layout.pack(params, xp=xp.xp)
    sizes = {"weights": D + D * 4 + 4 * 2 + 2 * 2 + 2, "offsets": 4 + 2 + 2 + 1}
    if contiguous:
        assert {k: tuple(a.shape) for k, a in store.items()} == {
            k: (*members, 1, size) for k, size in sizes.items()
        }
    assert {k: group.decay for k, group in layout.groups.items()} == {
        leaf.name: leaf.group.name == "weights" for leaf in layout.leaves
    }
    back = map_tree(xp.host, layout.unpack(store, xp=xp.xp))
    assert_close(back, map_tree(lambda a: a.astype(np.float32), host), 0.0)


def test_groups_of_one_name_that_differ_have_a_leaf_each_with_a_number_behind_the_name():
    groups = [Group("weights", decay=True), Group("weights", rate=0.1), Group("weights", rate=0.5)]
    kinds = [type("Own", (Dense,), {"groups": {"W": group}}) for group in groups]
    network = Network([kind(n) for kind, n in zip(kinds, (2, 4, 3))] + [kinds[1](5)])
    params, _ = network.init(D, np.random.default_rng(0))
    layout = Layout.of(network, params, contiguous=True)
    leaves = {"weights": groups[0], "weights_1": groups[1], "weights_2": groups[2]}
    assert layout.groups == leaves | {"offsets": OFFSETS}
    store = layout.pack(params, xp=np)
    sizes = {"weights": D * 2, "weights_1": 2 * 4 + 3 * 5, "weights_2": 4 * 3, "offsets": 14}
    assert {name: a.shape for name, a in store.items()} == {k: (1, n) for k, n in sizes.items()}
    assert_close(layout.unpack(store, xp=np), params, 0.0)


@EVERY
def test_shapes_are_those_of_the_parameters_that_init_draws(case):
    params, n_out = CASES[case].init(D, np.random.default_rng(0))
    assert CASES[case].shapes(D) == (map_tree(lambda a: a.shape, params), n_out)


WITH_PARAMETERS = [layer for layer in LAYERS.values() if layer not in (Activation, Dropout)]


@pytest.mark.parametrize("layer", [*WITH_PARAMETERS, Network], ids=lambda layer: layer.__name__)
def test_a_layer_of_ours_says_its_shapes_without_drawing(layer, monkeypatch):
    monkeypatch.setattr(layer, "init", None)
    made = [case.shapes(D)[0] for case in CASES.values() if type(case) is layer]
    assert made and all(made)


@pytest.mark.parametrize("n_units", [2**60, 10**300])
def test_a_layer_of_more_weights_than_any_memory_holds_is_refused_in_words(n_units):
    with pytest.raises(ValueError, match="of 9 inputs has more than .* weights, .* fewer units"):
        Dense(n_units).init(9, None)
