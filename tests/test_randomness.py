import numpy as np
import pytest
from each import each
from scipy import stats
from sklearn.utils import shuffle

from xpmlp.nn import Dense, Dropout, Network
from xpmlp.randomness import (
    PURPOSES,
    WEYL,
    Draws,
    InitialStream,
    fold_in,
    random_bits,
    random_state,
    step_keys,
    stream,
)
from xpmlp.training.plan import make_plan

KEYS = step_keys(3, np.arange(4))  # (4, 1, 2)
PINNED = [[14797868, 14489420, 478070], [16041746, 11763002, 4382687]]
PINNED_ORDER = [4, 0, 7, 3, 5, 2, 1, 6]


def hashed(x, word=0):
    """lowbias32 with a word in the middle, in Python's integers."""
    x &= 0xFFFFFFFF
    x ^= x >> 16
    x = (x * 0x7FEB352D + word) & 0xFFFFFFFF
    x ^= x >> 15
    x = (x * 0x846CA68B) & 0xFFFFFFFF
    return x ^ (x >> 16)


def bits_of(key, shape):
    """The bits by the definition, element by element."""
    first, second = (int(word) for word in key[0])
    numbers = [hashed(i * WEYL + first, second) >> 8 for i in range(shape[0] * shape[1])]
    return np.reshape(numbers, shape)


@each("shape", [(5, 7), (1, 1), (33, 2)])
def test_the_bits_are_those_of_the_definition_on_every_library_and_compiled(shape, xp):
    key = xp.asarray(KEYS[1], "int32")
    got = xp.call(lambda key: random_bits(key, shape, xp=xp.xp), key)
    assert str(got.dtype).endswith("int32")
    assert np.array_equal(xp.host(got), bits_of(KEYS[1], shape))


def test_bits_have_the_same_values_compiled_and_not():
    jax = pytest.importorskip("jax", reason="compares jax.jit with NumPy")
    f = lambda key: random_bits(fold_in(key, (2, 1)), (9, 11), xp=jax.numpy)
    key = jax.numpy.asarray(KEYS[2])
    want = random_bits(fold_in(KEYS[2], (2, 1)), (9, 11), xp=np)
    for got in (f(key), jax.jit(f)(key)):
        assert np.array_equal(np.asarray(got), want)


def test_bits_of_today_are_bits_of_tomorrow():
    """Fixed numbers: a change of them would change what a checkpoint resumes to."""
    assert random_bits(step_keys(0, np.asarray([0]))[0], (2, 3), xp=np).tolist() == PINNED
    assert stream(0, "order", 0).permutation(8).tolist() == PINNED_ORDER


@each("K", [3, 5])
def test_members_have_the_bits_of_their_own_keys(K, xp):
    keys = step_keys(1, np.arange(K))
    got = xp.host(random_bits(xp.asarray(keys, "int32"), (5, 4), xp=xp.xp))
    assert np.array_equal(got, np.stack([bits_of(key, (5, 4)) for key in keys]))


def test_keys_differ_by_seed_step_and_place():
    steps = np.concatenate([step_keys(seed, np.arange(2000)) for seed in (0, 1, 2**31)])
    assert len(np.unique(steps.reshape(-1, 2), axis=0)) == len(steps)
    places = [(), *((i,) for i in range(40)), *((i, j) for i in range(40) for j in range(40))]
    keys = [tuple(fold_in(KEYS[0], place)[0]) for place in places]
    assert len(set(keys)) == len(places)


@pytest.mark.parametrize("first", [2**31 - 3, 2**32 - 3, 2**40])
def test_steps_past_the_range_of_int32_wrap_and_do_not_raise(first):
    keys = step_keys(0, first + np.arange(6))
    assert keys.dtype == np.int32 and keys.shape == (6, 1, 2)
    assert len(np.unique(keys[:, 0, 0])) == 6
    rule = type("R", (), {"rates": lambda self, lr, steps: np.full(len(steps), lr)})()
    plan = make_plan(rule, np.arange(12), batch_size=2, lr=0.1, seed=0, first_step=first)
    assert np.array_equal(plan.key, keys)


def chi_squared(counts):
    """The probability of a table as uneven as this one, or more."""
    return stats.chisquare(counts.ravel()).pvalue


# What each looks at: neighbours in a row, rows below each other, and the same place in the
# next step, layer and member.
def fields(n=2**9):
    bits = lambda key: random_bits(key, (n, n), xp=np)
    one = bits(KEYS[0])
    return {
        "right": (one[:, :-1], one[:, 1:]),
        "below": (one[:-1], one[1:]),
        "two to the right": (one[:, :-2], one[:, 2:]),
        "next step": (one, bits(KEYS[1])),
        "next layer": (bits(fold_in(KEYS[0], (0,))), bits(fold_in(KEYS[0], (1,)))),
        "part of a layer": (bits(fold_in(KEYS[0], (1,))), bits(fold_in(KEYS[0], (1, 0)))),
        "next seed": (one, bits(step_keys(4, np.arange(1))[0])),
    }


@each("pair", fields(2))
def test_pairs_of_bits_are_uniform_and_uncorrelated(pair):
    a, b = fields()[pair]
    top = np.zeros((16, 16), int)
    np.add.at(top, (a >> 20, b >> 20), 1)
    low = np.zeros((16, 16), int)
    np.add.at(low, (a & 15, b & 15), 1)
    assert 1e-5 < chi_squared(top) < 1 - 1e-5
    assert 1e-5 < chi_squared(low) < 1 - 1e-5
    r = np.corrcoef(a.ravel(), b.ravel())[0, 1]
    assert abs(r) < 5 / np.sqrt(a.size)


@each("rate", [0.1, 0.5, 0.9])
def test_masks_drop_at_their_rate_in_every_step_row_and_column(rate):
    keys = step_keys(11, np.arange(200))
    dropped = random_bits(keys, (30, 40), xp=np) < round(rate * 2**24)
    for axes in ((1, 2), (0, 2), (0, 1)):
        n = dropped.size // np.prod([dropped.shape[i] for i in {0, 1, 2} - set(axes)])
        z = (dropped.mean(axis=axes) - rate) / np.sqrt(rate * (1 - rate) / n)
        assert 1e-5 < stats.chi2.sf((z**2).sum(), z.size) < 1 - 1e-5


def test_streams_are_reproducible_and_distinct():
    places = [
        (seed, purpose, *path)
        for seed in (0, 1, 2**40)
        for purpose in PURPOSES
        for path in ((), (0,), (1,), (0, 0), (0, 1))
    ]
    draws = [tuple(stream(*place).integers(2**62, size=4)) for place in places]
    assert len(set(draws)) == len(places)
    assert draws == [tuple(stream(*place).integers(2**62, size=4)) for place in places]


@each("seed", [0, 3, 2**32 - 1, 2**32, 2**70 + 3])
def test_orders_are_scikit_learns_shuffles_one_after_the_other(seed):
    theirs, rows, ours = random_state(seed), np.arange(9), Draws(random_state(seed))
    for n_epochs in (1, 3, 2):  # chunks, which no order may depend on
        place = ours.place()
        ours.orders(9, 4)
        for order in ours.go_to(place).orders(9, n_epochs):
            rows = shuffle(rows, random_state=theirs)
            assert order.tolist() == rows.tolist()
    other = ours.copy().orders(4, 1)[0]  # other rows: their order begins again
    assert ours.copy().generator.random_sample() == theirs.random_sample()
    assert other.tolist() == shuffle(np.arange(4), random_state=ours.generator).tolist()


def test_what_scikit_learn_does_not_draw_takes_nothing_from_its_stream():
    shared, untouched = random_state(5), random_state(5)
    layers = (Dropout(0.5), Dense(3, initializer="he_uniform"), Dense(2, initializer="orthogonal"))
    Network(layers).init(4, InitialStream.of(5, shared))
    assert shared.random_sample() == untouched.random_sample()
    one, two = (
        Network((Dense(3, initializer=rule), Dense(2, "tanh"))).init(4, InitialStream.of(5, each))[
            0
        ]
        for rule, each in (("he_normal", random_state(5)), ("zeros", random_state(5)))
    )
    assert np.array_equal(one[1]["W"], two[1]["W"])
    bound = np.sqrt(6 / 5)
    assert np.array_equal(two[1]["W"], random_state(5).uniform(-bound, bound, (3, 2)))


def test_layers_have_streams_of_their_own_beside_the_shared_one():
    layers = Dense(3, initializer="normal"), Dense(3, initializer="normal")
    params, _ = Network(layers).init(3, InitialStream.of(0, random_state(0)))
    assert not np.array_equal(params[0]["W"], params[1]["W"])
