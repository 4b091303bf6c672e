"""The kernels of kernels.cu one by one, on the stand-in, against NumPy and the generic text.

K members, N rows a batch, n of them from `first` on, D inputs, H units, C outputs.
"""

import numpy as np
import pytest
from conftest import relative_error
from cuda_setting import (
    EPS,
    KINDS,
    PLACE,
    Chunk,
    cupy,
    dropping,
    from_card,
    in_both_orders,
    launch,
    of_card,
    rounded,
    seeded,
    to_card,
)

from xpmlp.engines.chain import LOSS_KINDS
from xpmlp.engines.cupy.kernels import blocks_of, grid_of
from xpmlp.engines.cupy.units import ACTIVATIONS, OF_Z
from xpmlp.nn.activations import ACTIVATIONS as RECORDS
from xpmlp.nn.losses import LOSSES
from xpmlp.randomness import fold_in, random_bits, step_keys

DROPOUTS = {"none": 0.0, "a third": 0.3}


# ---- Random bits and dropout


@pytest.mark.parametrize("K", [1, 3])
@pytest.mark.parametrize(("n", "d", "first"), [(1, 1, 0), (7, 33, 0), (5, 100, 64), (2, 3, 10**8)])
def test_random_bits_are_those_of_the_plain_text(K, n, d, first):
    key = step_keys(5, np.arange(K))
    want = random_bits(key, (K, n, d), xp=np, first=first)
    for grid in (blocks_of(n * d, K), (1, 1, K), (9, 1, K)):
        bits = cupy.empty((K, n, d), np.int32)
        own = {"bits": bits, "key": cupy.asarray(key), "n": n * d, "first": first * d}
        launch("random_bits", grid, "float32", **own)
        np.testing.assert_array_equal(bits.get(), want)


# ---- Gather


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("K", [1, 3])
@pytest.mark.parametrize("rate", DROPOUTS.values(), ids=DROPOUTS)
@pytest.mark.parametrize(
    ("N", "n", "first", "D"), [(5, 5, 0, 7), (20, 6, 8, 64), (9, 9, 0, 1), (17, 17, 0, 65)]
)
def test_gather_takes_the_steps_rows_casts_and_drops_them(kind, K, rate, N, n, first, D):
    rng = seeded(kind, K, N)
    x = rng.normal(size=(50, D))
    rows = rng.integers(0, 50, (3, K, N)).astype(np.int32)
    s = Chunk(kind, K=K, N=N, x=x, rows=rows)
    master, more = KINDS[kind][0], 11  # elements behind the rows, which nobody may touch
    out = to_card(np.full(K * n * D + more, 8.0), kind)
    launch(
        "gather", grid_of(n, K), kind, s=s.card, x=out, N=N, n=n, first=first, D=D, **dropping(rate)
    )
    part = rows[1][:, first : first + n]
    kept = np.stack([s.kept(rate, k, (n, D), first) for k in range(K)]).astype(master)
    want = rounded((x.astype(master)[part] * kept).ravel(), kind)
    np.testing.assert_array_equal(from_card(out, kind)[:-more], want)
    np.testing.assert_array_equal(from_card(out, kind)[-more:], 8.0)


def test_an_element_whose_bits_are_the_limit_is_kept_as_in_the_plain_text():
    s, x = Chunk("float64", N=1, x=np.ones((1, 40))), cupy.zeros(40)
    bits = random_bits(fold_in(s.key[1, 0], PLACE), (1, 40), xp=np)
    for limit in bits[0]:
        own = dropping(0.5) | {"limit": int(limit)}
        launch("gather", (1, 1, 1), "float64", s=s.card, x=x, N=1, n=1, first=0, D=40, **own)
        np.testing.assert_array_equal(x.get() != 0, bits[0] >= limit)


# ---- Activations, forward and backward

EXTREME = [0.0, -0.0, 1e-30, -1e-30, 0.5, -0.5, 1.0, -1.0, 3.0, -3.0, 20.0, -20.0, 90.0, -90.0,
           720.0, -720.0, 1e4, -1e4, 1e30, -1e30, np.inf, -np.inf, np.nan]  # fmt: skip


def assert_as_plain(got, want, kind, *, size, most=8.0):
    """Equal, NaN and infinities in the same places, to `most` units in the last place.

    size: of the terms that a result is made of, below which its own size says nothing.
    """
    finite = np.isfinite(rounded(want, kind))
    np.testing.assert_array_equal(got[~finite], rounded(want, kind)[~finite])
    got, want, size = got[finite], want[finite], np.broadcast_to(size, want.shape)[finite]
    worst = np.max(np.abs(got - want) / np.maximum(np.abs(want), size)) / EPS[kind]
    # Of halves no more than one rounding shows.
    assert worst <= (most if KINDS[kind][0] == kind else 0.51)


def bias_act(kind, name, z, b, *, K, n, H, apart, rate=0.0, grid=None, s=None, first=0):
    """Return what bias_act leaves in z and puts out (K, n, H), as float64."""
    z = to_card(z, kind)
    out = to_card(np.full(z.shape, 8.0), kind) if apart else z
    launch(
        "bias_act",
        grid or grid_of(n, K, 1),
        kind,
        s=s.card if s else None,
        z=z,
        out=out,
        b=None if b is None else of_card(b, kind),
        stride=0 if b is None else b.shape[-1],
        act=ACTIVATIONS.index(name),
        keep_z=name in OF_Z,
        n=n,
        first=first,
        H=H,
        **dropping(rate),
    )
    return from_card(z, kind), from_card(out, kind)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("name", ACTIVATIONS)
@pytest.mark.parametrize("apart", [False, True])
def test_activations_are_the_plain_ones_at_any_z_and_keep_what_their_slope_takes(kind, name, apart):
    values = np.concatenate([EXTREME, seeded(name).normal(size=90) * 3])[None, :, None]
    with np.errstate(all="ignore"):
        z = rounded(values, kind).astype(KINDS[kind][0])
        want = RECORDS[name].forward(z, np).astype(np.float64)
        kept, out = bias_act(kind, name, z, None, K=1, n=z.size, H=1, apart=apart)
    # In gelu's 1 + tanh the digits of a small result are lost, in the plain text as well.
    size = np.maximum(np.abs(z), 1e-3) if name in ("gelu", "gelu_tanh") else 1e-3
    assert_as_plain(out, want, kind, size=size)
    if apart and name in OF_Z:
        np.testing.assert_array_equal(kept, z)
    elif apart:
        np.testing.assert_array_equal(kept, out)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("K", [1, 3])
@pytest.mark.parametrize("rate", DROPOUTS.values(), ids=DROPOUTS)
@pytest.mark.parametrize(
    ("n", "H", "grid"),
    [(3, 5, None), (20, 100, (3, 1)), (20, 100, (3, 2)), (9, 257, (4, 7)), (1, 31, None)],
)
def test_bias_and_dropout_are_each_members_own_whatever_the_grid(kind, K, rate, n, H, grid):
    rng, s = seeded(kind, n, H), Chunk(kind, K=K)
    # Sums of small integers have no rounding, and dropout's scale is no power of two.
    z, b = rng.integers(-4, 5, (K, n, H)), rng.integers(-4, 5, (K, H))
    grid, first = (*grid, K) if grid else None, 3
    for bias in (b, None):
        kept, out = bias_act(
            kind, "relu", z, bias, K=K, n=n, H=H, apart=True, rate=rate, grid=grid, s=s, first=first
        )
        a = np.maximum(z + (0 if bias is None else b[:, None]), 0)
        factor = np.stack([s.kept(rate, k, (n, H), first) for k in range(K)])
        master = KINDS[kind][0]
        np.testing.assert_array_equal(kept, a)
        want = rounded(a.astype(master) * factor.astype(master), kind)
        np.testing.assert_array_equal(out, want)


def dact_colsum(kind, d, aux, name, *, db, first=0, splits=1, rate=0.0, s=None):
    """Return d before the activation (K, n, H), as float64, and db (K, more than H) behind it."""
    K, n, H = d.shape
    d, tiles = to_card(d, kind), -(-H // 32)
    counters = cupy.zeros(K * tiles, np.uint32)
    to = None if db is None else of_card(db, kind)
    launch(
        "dact_colsum",
        (tiles, splits, K),
        kind,
        s=s.card if s else None,
        d=d,
        aux=None if aux is None else to_card(aux, kind),
        db=to,
        stride=0 if db is None else db.shape[-1],
        partial=of_card(np.full(K * splits * H, np.nan), kind),
        counters=counters,
        act=ACTIVATIONS.index(name),
        n=n,
        first=first,
        H=H,
        **dropping(rate),
    )
    assert not counters.get().any()  # so that the same launch may come again
    return from_card(d, kind), None if db is None else to.get()


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("name", ACTIVATIONS)
def test_slopes_are_those_of_the_plain_text_at_any_z(kind, name):
    with np.errstate(all="ignore"):
        values = np.concatenate([EXTREME, seeded(name).normal(size=90) * 3])
        z = rounded(values, kind).astype(KINDS[kind][0])
        a = RECORDS[name].forward(z, np)
        if name not in OF_Z:
            a = rounded(a, kind).astype(z.dtype)  # it is taken from what was stored
        d = np.full(z.shape, 1.5, z.dtype)
        want = RECORDS[name].backward(d, z, a, np).astype(np.float64)
        aux = z if name in OF_Z else a
        got, _ = dact_colsum(kind, d[None, :, None], aux[None, :, None], name, db=None)
    assert_as_plain(got.ravel(), want, kind, size=1.0, most=32.0)


@pytest.mark.parametrize("name", ACTIVATIONS)
def test_slopes_are_the_derivatives_of_the_activations(name):
    z = np.linspace(-4.03, 4.07, 200)[None, :, None]
    ahead, behind = (
        bias_act("float64", name, z + h, None, K=1, n=200, H=1, apart=True)[1]
        for h in (1e-6, -1e-6)
    )
    kept, _ = bias_act("float64", name, z, None, K=1, n=200, H=1, apart=True)
    slope, _ = dact_colsum("float64", np.ones(z.shape), kept, name, db=None)
    # A card's functions are good to two units in the last place.
    np.testing.assert_allclose(slope, (ahead - behind) / 2e-6, atol=1e-8)


SHAPES = [(1, 1, 1), (7, 31, 1), (200, 33, 3), (64, 257, 2), (33, 1, 4), (9, 32, 20)]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("K", [1, 3])
@pytest.mark.parametrize("rate", DROPOUTS.values(), ids=DROPOUTS)
@pytest.mark.parametrize(("n", "H", "splits"), SHAPES)
def test_column_sums_are_exact_where_sums_of_integers_are(kind, K, rate, n, H, splits):
    rng, s = seeded(kind, n, H), Chunk(kind, K=K)
    # A rate of a half doubles what it keeps, so that nothing is rounded.
    rate, first = rate and 0.5, 2
    d, aux = rng.integers(-2, 3, (K, n, H)), rng.integers(-1, 2, (K, n, H))
    before = rng.integers(-9, 9, (K, H + 5)).astype(float)
    made = lambda: dact_colsum(
        kind, d, aux, "relu", db=before, first=first, splits=splits, rate=rate, s=s
    )
    got, db = in_both_orders(made)
    factor = np.stack([s.kept(rate, k, (n, H), first) for k in range(K)])
    want = d * factor * (aux > 0)
    np.testing.assert_array_equal(got, want)
    np.testing.assert_array_equal(db[:, :H], before[:, :H] + want.sum(axis=1))  # first > 0: added
    np.testing.assert_array_equal(db[:, H:], before[:, H:])


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(("n", "H", "splits"), SHAPES)
def test_column_sums_alone_leave_d_and_overwrite_db(kind, n, H, splits):
    d = rounded(seeded(kind, n).normal(size=(2, n, H)), kind)
    made = lambda: dact_colsum(kind, d, None, "tanh", db=np.full((2, H), np.nan), splits=splits)
    got, db = in_both_orders(made)
    np.testing.assert_array_equal(got, d)
    bound = n * EPS[KINDS[kind][0]] * np.abs(d).sum(axis=1)
    assert (np.abs(db - d.sum(axis=1)) <= bound).all()


# ---- Packs of numbers: loaded at once, or one by one where they are not aligned


def apart_by(a, kind, offset):
    """Return numbers on the card, so many elements behind an aligned place."""
    return to_card(np.concatenate([np.zeros(offset), np.ravel(a)]), kind)[offset:]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("H", [64, 66, 67])
def test_where_arrays_begin_changes_no_bit(kind, H):
    rng, n, s = seeded(kind, H), 21, Chunk(kind)
    z, b, d = rng.normal(size=(n, H)), rng.normal(size=H), rng.normal(size=(n, H))
    launches = {"grid": grid_of(n, 1, H), "tiles": (-(-H // 32), 2, 1)}
    drop, found = dropping(0.3), []
    for offset in (0, 1, 2, 3):
        own = lambda a: apart_by(a, kind, offset)  # noqa: B023, it is called here
        own_z, out, own_d, db = own(z), own(z), own(d), of_card(np.zeros(H), kind)
        bias = of_card(np.concatenate([np.zeros(offset), b]), kind)[offset:]
        options = {"b": bias, "stride": H, "act": ACTIVATIONS.index("tanh"), "keep_z": False}
        options |= {"n": n, "first": 0, "H": H}
        launch("bias_act", launches["grid"], kind, s=s.card, z=own_z, out=out, **options, **drop)
        launch(
            "dact_colsum",
            launches["tiles"],
            kind,
            s=s.card,
            d=own_d,
            aux=own_z,
            db=db,
            stride=H,
            partial=of_card(np.zeros(2 * H), kind),
            counters=cupy.zeros(9, np.uint32),
            act=ACTIVATIONS.index("tanh"),
            n=n,
            first=0,
            H=H,
            **drop,
        )
        found.append([from_card(a, kind) for a in (own_z, out, own_d)] + [db.get()])
    for other in found[1:]:
        for a, first in zip(other, found[0], strict=True):
            np.testing.assert_array_equal(a, first)


# ---- Losses


def loss_grad(kind, name, z, y, s, *, act="identity", b=None, N=None, first=0):
    """Return z's gradient (K, n, C) and the chunk's losses."""
    K, n, C = z.shape
    z, grid = to_card(z, kind), grid_of(n, K)
    s.put_targets(y, first)
    counters = cupy.zeros(K, np.uint32)
    launch(
        "loss_grad",
        grid,
        kind,
        s=s.card,
        z=z,
        b=None if b is None else of_card(b, kind),
        stride=0 if b is None else C,
        partial=of_card(np.full(grid[0] * K, np.nan), kind),
        counters=counters,
        kind=[*LOSS_KINDS].index(name),
        act=ACTIVATIONS.index(act),
        keep_z=act in OF_Z,
        N=N or n,
        n=n,
        first=first,
        C=C,
    )
    assert not counters.get().any()
    return from_card(z, kind), s.losses


def loss_targets(name, shape, rng):
    if name == "class_log_loss":
        return rng.integers(0, shape[-1], (*shape[:-1], 1)).astype(np.int32)
    if name == "log_loss":
        return rng.dirichlet(np.ones(shape[-1]), shape[:-1])
    return rng.integers(0, 2 if name == "binary_log_loss" else 4, shape).astype(float)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("K", [1, 3])
@pytest.mark.parametrize("name", LOSS_KINDS)
@pytest.mark.parametrize(("n", "C"), [(1, 1), (5, 2), (20, 10), (17, 33), (9, 1000)])
def test_losses_and_their_gradients_are_those_of_the_plain_text(kind, K, name, n, C):
    rng, s = seeded(kind, name, n), Chunk(kind, K=K, N=n, seed=n)
    z, b, y = (
        rng.normal(size=(K, n, C)),
        rng.normal(size=(K, C)),
        loss_targets(name, (K, n, C), rng),
    )
    z, b = rounded(z, kind), of_card(b, kind).get().astype(np.float64)
    if name != "class_log_loss":
        y = of_card(y, kind).get().astype(np.float64)
    got, losses = in_both_orders(
        lambda: loss_grad(kind, name, z, y, Chunk(kind, K=K, N=n, seed=n), b=b)
    )
    value, d = LOSS_KINDS[name](z + b[:, None], y, s.numbers("weights"), xp=np)
    assert relative_error(losses[0, 1], value) <= 8 * EPS[KINDS[kind][0]]
    assert relative_error(got, d) <= 8 * EPS[KINDS[kind][0]] + 0.6 * EPS[kind]
    assert np.isnan(losses[0, ::2]).all() and np.isnan(losses[1]).all()  # the other steps'


@pytest.mark.parametrize("act", ACTIVATIONS)
def test_squared_error_is_taken_of_activated_outputs(act):
    rng, s = seeded(act), Chunk("float64", N=6)
    z, b, y = rng.normal(size=(1, 6, 5)), rng.normal(size=(1, 5)), rng.normal(size=(1, 6, 5))
    record, sums = RECORDS[act], z + b[:, None]
    a = record.forward(sums, np)
    value, d = LOSSES["squared_error"](a, y, s.numbers("weights"), xp=np)
    got, losses = loss_grad("float64", "squared_error", z, y, s, act=act, b=b)
    assert relative_error(got, record.backward(d, sums, a, np)) <= 4e-15
    assert relative_error(losses[0, 1], value) <= 4e-15


LOGITS = {
    "log_loss": [[1e4, -1e4, 0.0], [-700.0, 700.0, 1.0], [50.0, 50.0, 50.0], [-1e4, -1e4, -1e4]],
    "binary_log_loss": [[1e4, -1e4, 0.0], [-700.0, 700.0, 1.0], [50.0, -50.0, 0.0]],
    "poisson": [[80.0, -1e4, 0.0], [-700.0, 5.0, 1.0]],
    "squared_error": [[1e9, -1e9, 0.0]],
}


def first_class(name, shape):
    """Targets that are the first class in every row."""
    if name == "class_log_loss":
        return np.zeros((*shape[:-1], 1), np.int32)
    return np.broadcast_to(np.eye(shape[-1])[0], shape)


@pytest.mark.parametrize("kind", ["float64", "float32"])
@pytest.mark.parametrize("name", LOSS_KINDS)
def test_extreme_logits_give_the_plain_texts_numbers_without_overflow(kind, name):
    z = np.asarray([LOGITS[name.removeprefix("class_")]])
    y = first_class(name, z.shape)
    s = Chunk(kind, N=z.shape[1])
    value, d = LOSS_KINDS[name](z, y, s.numbers("weights"), xp=np)
    got, losses = loss_grad(kind, name, z, y, s)
    assert np.isfinite(got).all()
    assert relative_error(losses[0, 1], value) <= 8 * EPS[kind]
    assert relative_error(got, d) <= 8 * EPS[kind]


@pytest.mark.parametrize("name", LOSS_KINDS)
@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_what_is_not_finite_in_the_outputs_reaches_the_loss(name, bad):
    z, y = np.zeros((1, 40, 3)), first_class(name, (1, 40, 3))
    z[0, 37, 1] = bad
    got, losses = loss_grad("float32", name, z, y, Chunk("float32", N=40))
    assert not np.isfinite(losses[0, 1]).any()
    assert np.isfinite(got[0, :37]).all()


@pytest.mark.parametrize("name", LOSS_KINDS)
def test_a_batch_that_weighs_nothing_has_loss_and_gradient_0(name):
    z, y = np.full((1, 9, 3), 5.0), first_class(name, (1, 9, 3))
    got, losses = loss_grad(
        "float64", name, z, y, Chunk("float64", N=9, weights=np.zeros((3, 1, 9)))
    )
    assert not got.any()
    assert not losses[0, 1].any()


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("name", LOSS_KINDS)
def test_a_batch_in_parts_has_the_sum_of_its_losses(kind, name):
    rng, K, n, C = seeded(name), 2, 21, 4
    z, y = rounded(rng.normal(size=(K, n, C)), kind), loss_targets(name, (K, n, C), rng)
    whole, parts = Chunk(kind, K=K, N=n), Chunk(kind, K=K, N=n)
    d, losses = loss_grad(kind, name, z, y, whole)
    got = [
        loss_grad(kind, name, z[:, i : i + 8], y[:, i : i + 8], parts, N=n, first=i)
        for i in range(0, n, 8)
    ]
    np.testing.assert_array_equal(np.concatenate([g for g, _ in got], axis=1), d)
    assert relative_error(got[-1][1][0, 1], losses[0, 1]) <= 8 * EPS[KINDS[kind][0]]
