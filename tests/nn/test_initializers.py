import numpy as np
import pytest
from each import each
from sklearn.neural_network import MLPClassifier as SklearnClassifier

from xpmlp.nn import Dense
from xpmlp.nn.activations import ACTIVATIONS
from xpmlp.nn.initializers import INITIALIZERS, Normal, Orthogonal, Uniform, get_initializer

N_IN, N_OUT = 300, 500
# name -> variance, half-width of a uniform draw or None, and whether biases are drawn
FORMULAS = {
    "glorot_uniform": (2 / 800, (6 / 800) ** 0.5, True),
    "glorot_logistic": (2 / 800 / 3, (2 / 800) ** 0.5, True),
    "glorot_normal": (2 / 800, None, False),
    "he_uniform": (2 / 300, (6 / 300) ** 0.5, False),
    "he_normal": (2 / 300, None, False),
    "lecun_uniform": (1 / 300, (3 / 300) ** 0.5, False),
    "lecun_normal": (1 / 300, None, False),
    "normal": (1.0, None, True),
    "uniform": (0.05**2 / 3, 0.05, True),
    "zeros": (0.0, None, False),
    "orthogonal": (1 / 500, None, False),
}
EVERY = each("name", INITIALIZERS)


def draw(name, n_in=N_IN, n_out=N_OUT, seed=0):
    return INITIALIZERS[name].draw(n_in, n_out, np.random.default_rng(seed))


def test_every_initializer_has_its_formula_here():
    assert FORMULAS.keys() == INITIALIZERS.keys()


@EVERY
def test_weights_have_the_variance_and_bounds_of_the_formula(name):
    variance, bound, _ = FORMULAS[name]
    W, b = draw(name)
    assert W.shape == (N_IN, N_OUT) and b.shape == (1, N_OUT)
    assert W.dtype == b.dtype == np.float64
    # 150 000 draws: five standard errors of a variance are 2 %, of a mean 1.3 % of std.
    assert W.var() == pytest.approx(variance, rel=0.02)
    assert abs(W.mean()) <= 0.013 * variance**0.5
    if bound:
        assert 0.999 * bound < np.abs(W).max() <= bound
    elif variance and name != "orthogonal":
        kurtosis = (W**4).mean() / variance**2
        assert kurtosis == pytest.approx(3.0, rel=0.05)


@EVERY
def test_biases_are_drawn_like_the_weights_or_are_zero(name):
    variance, bound, drawn = FORMULAS[name]
    _, b = draw(name)
    if drawn:
        assert b.var() == pytest.approx(variance, rel=0.3)
        assert bound is None or np.abs(b).max() <= bound
    else:
        assert not b.any()


@EVERY
def test_one_seed_gives_one_draw_and_two_seeds_two(name):
    first, again, other = (draw(name, 30, 20, seed) for seed in (0, 0, 1))
    assert all(np.array_equal(a, b) for a, b in zip(first, again))
    assert name == "zeros" or not np.array_equal(first[0], other[0])


@each("shape", [(8, 5), (5, 8), (6, 6), (1, 1)])
def test_orthogonal_weights_are_orthonormal_along_the_shorter_axis(shape):
    W, _ = Orthogonal(gain=2.0).draw(*shape, np.random.default_rng(3))
    gram = W.T @ W if shape[0] >= shape[1] else W @ W.T
    assert W.shape == shape
    assert np.abs(gram - 4.0 * np.eye(min(shape))).max() < 1e-14


def test_orthogonal_draws_have_no_preferred_direction():
    rng = np.random.default_rng(0)
    firsts = np.asarray([Orthogonal().draw(3, 3, rng)[0][0, 0] for _ in range(500)])
    assert abs(firsts.mean()) < 5 * (1 / 3 / 500) ** 0.5  # always negative without Mezzadri's sign


@each("activation", ["identity", "logistic", "tanh", "relu"])
def test_the_automatic_start_has_scikit_learns_bounds(activation):
    bounds = []

    class Recorder:
        def uniform(self, low, high, size):
            bounds.append((low, high))
            return np.zeros(size)

    theirs = SklearnClassifier(activation=activation)
    theirs._random_state = Recorder()
    theirs._init_coef(N_IN, N_OUT, np.float64)
    _, high = bounds[0]
    params, n_out = Dense(N_OUT, activation).init(N_IN, np.random.default_rng(0))
    assert n_out == N_OUT
    assert bounds == [(-high, high)] * 2
    for a in params.values():
        assert 0.98 * high < np.abs(a).max() <= high


@each("activation", ACTIVATIONS)
def test_the_automatic_start_keeps_the_scale_of_the_signal_through_five_layers(activation):
    rng = np.random.default_rng(1)
    x = rng.normal(size=(200, 200))
    record = ACTIVATIONS[activation]
    for _ in range(5):
        params, _ = Dense(200, activation).init(200, rng)
        x = record.forward(x @ params["W"] + params["b"], np)
    assert 0.02 < np.sqrt((x**2).mean()) < 10
    assert record.init in INITIALIZERS


@EVERY
def test_a_layer_takes_an_initializer_by_name_or_as_an_object(name):
    by_name, _ = Dense(3, initializer=name).init(4, np.random.default_rng(0))
    by_object, _ = Dense(3, initializer=INITIALIZERS[name]).init(4, np.random.default_rng(0))
    W, b = draw(name, 4, 3)
    for params in (by_name, by_object):
        assert np.array_equal(params["W"], W) and np.array_equal(params["b"], b)


def test_normal_and_uniform_leave_the_biases_alone_when_told():
    rng = np.random.default_rng(0)
    for rule in (Normal(0.1, biases=False), Uniform(-1.0, 3.0, biases=False)):
        assert not rule.draw(5, 4, rng)[1].any()
    W, _ = Uniform(1.0, 3.0).draw(50, 40, rng)
    assert 1.0 <= W.min() < 1.1 and 2.9 < W.max() <= 3.0
    W, _ = Normal(0.1).draw(50, 40, rng)
    assert W.std() == pytest.approx(0.1, rel=0.1)


def test_an_unknown_initializer_is_refused_with_the_known_ones():
    with pytest.raises(ValueError, match="glorot_uniform.*got 'xavier'"):
        get_initializer("xavier")
    with pytest.raises(ValueError, match="got 3"):
        get_initializer(3)
