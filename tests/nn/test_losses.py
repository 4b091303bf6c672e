import copy
import pickle

import numpy as np
import pytest
from conftest import assert_derivative, dtype_name, relative_error
from each import each
from scipy import special
from sklearn.metrics import mean_gamma_deviance, mean_pinball_loss, mean_poisson_deviance

from xpmlp import MLPRegressor, nn, train
from xpmlp.errors import ShapeError
from xpmlp.nn.loss import LINKS, check_domain, one_hot, softmax
from xpmlp.nn.losses import (
    CLASS_LOG_LOSS,
    LOSSES,
    class_weighted,
    focal,
    huber,
    match_loss,
    quantile,
)

N, C = 6, 4
EVERY = each("name", LOSSES)
TOLERANCE = {"float64": 1e-14, "float32": 1e-6}


def setting(seed=0):
    """Outputs, targets that every loss takes (rows that sum to one), weights that sum to one."""
    rng = np.random.default_rng(seed)
    return 3 * rng.normal(size=(N, C)), rng.dirichlet(np.ones(C), N), rng.dirichlet(np.ones(N))


# name -> the loss of each row, by other formulas, in float64
ORACLES = {
    "squared_error": lambda z, y: ((z - y) ** 2).sum(-1) / 2,
    "log_loss": lambda z, y: -(y * special.log_softmax(z, axis=-1)).sum(-1),
    "binary_log_loss": lambda z, y: (
        -(y * special.log_expit(z) + (1 - y) * special.log_expit(-z)).sum(-1)
    ),
    "poisson": lambda z, y: np.asarray(
        [C * mean_poisson_deviance(b, np.exp(a)) / 2 for a, b in zip(z, y)]
    ),
    "gamma": lambda z, y: np.asarray(
        [C * mean_gamma_deviance(b, np.exp(a)) / 2 for a, b in zip(z, y)]
    ),
    "absolute_error": lambda z, y: np.abs(z - y).sum(-1),
    "huber": lambda z, y: special.huber(1.0, z - y).sum(-1),
    "log_cosh": lambda z, y: np.log(np.cosh(z - y)).sum(-1),
    "quantile": lambda z, y: np.asarray(
        [C * mean_pinball_loss(b, a, alpha=0.5) for a, b in zip(z, y)]
    ),
    "focal": lambda z, y: (
        -(y * (1 - special.softmax(z, -1)) ** 2 * special.log_softmax(z, -1)).sum(-1)
    ),
    "binary_focal": lambda z, y: (
        -y * special.expit(-z) ** 2 * special.log_expit(z)
        - (1 - y) * special.expit(z) ** 2 * special.log_expit(-z)
    ).sum(-1),
}
TORCH = {
    "squared_error": lambda F, z, y: F.mse_loss(z, y, reduction="none").sum(-1) / 2,
    "log_loss": lambda F, z, y: F.cross_entropy(z, y, reduction="none"),
    "binary_log_loss": lambda F, z, y: F.binary_cross_entropy_with_logits(
        z, y, reduction="none"
    ).sum(-1),
    "poisson": lambda F, z, y: (
        F.poisson_nll_loss(z, y, log_input=True, reduction="none") + y * y.log() - y
    ).sum(-1),
    "gamma": lambda F, z, y: (z - y.log() + y / z.exp() - 1).sum(-1),
    "absolute_error": lambda F, z, y: F.l1_loss(z, y, reduction="none").sum(-1),
    "huber": lambda F, z, y: F.huber_loss(z, y, reduction="none").sum(-1),
    "log_cosh": lambda F, z, y: (z - y).cosh().log().sum(-1),
    "quantile": lambda F, z, y: F.l1_loss(z, y, reduction="none").sum(-1) / 2,
    "focal": lambda F, z, y: -(y * (1 - z.softmax(-1)) ** 2 * z.log_softmax(-1)).sum(-1),
    "binary_focal": lambda F, z, y: (
        -y * F.sigmoid(-z) ** 2 * F.logsigmoid(z) - (1 - y) * F.sigmoid(z) ** 2 * F.logsigmoid(-z)
    ).sum(-1),
}


@EVERY
def test_a_value_is_the_weighted_sum_of_the_rows_losses(name):
    z, y, w = setting()
    want = ORACLES[name](z, y)
    assert LOSSES[name](z, y, w)[0] == pytest.approx(w @ want, rel=1e-13)
    assert LOSSES[name](z, y)[0] == pytest.approx(want.mean(), rel=1e-13)


@EVERY
def test_the_gradient_is_the_derivative_of_the_value(name):
    z, y, w = setting()
    loss = LOSSES[name]
    assert_derivative(lambda at: float(loss(at[0], y, w)[0]), [z], [loss(z, y, w)[1]])


@EVERY
def test_value_and_gradient_equal_torchs(name):
    torch = pytest.importorskip("torch", reason="compares with torch")
    z, y, w = (torch.asarray(a) for a in setting())
    z.requires_grad_()
    value = (w * TORCH[name](torch.nn.functional, z, y)).sum()
    value.backward()
    got, d = LOSSES[name](*setting())
    assert got == pytest.approx(value.item(), rel=1e-13)
    assert relative_error(d, z.grad.numpy()) < 1e-13


@EVERY
def test_a_loss_is_the_same_on_every_library_and_stays_in_its_dtype(name, xp64):
    xp, given = xp64, setting()
    value, d = LOSSES[name](*given)
    for dtype in xp.floats:
        made = xp.call(LOSSES[name], *(xp.asarray(a, dtype) for a in given))
        assert [dtype_name(a) for a in made] == [dtype, dtype]
        assert relative_error(xp.host(made[0]), value) < TOLERANCE[dtype]
        assert relative_error(xp.host(made[1]), d) < TOLERANCE[dtype]


@EVERY
@each("K", [3, N, C])
@each("weighted", [False, True])
def test_members_side_by_side_equal_runs_one_by_one(name, K, weighted, xp_eager):
    xp = xp_eager
    alone = [setting(seed)[: 3 if weighted else 2] for seed in range(K)]
    want = [LOSSES[name](*given) for given in alone]
    dtype = xp.floats[0]
    value, d = LOSSES[name](*(xp.asarray(np.stack(part), dtype) for part in zip(*alone)))
    assert relative_error(xp.host(value), np.stack([v for v, _ in want])) < TOLERANCE[dtype]
    assert relative_error(xp.host(d), np.stack([d for _, d in want])) < TOLERANCE[dtype]


@EVERY
def test_no_weights_are_equal_weights(name, xp):
    z, y = (xp.asarray(a, "float32") for a in setting()[:2])
    value, d = xp.call(LOSSES[name], z, y)
    same, d_same = xp.call(LOSSES[name], z, y, xp.asarray(np.full(N, 1 / N), "float32"))
    assert [dtype_name(a) for a in (value, d)] == ["float32", "float32"]
    assert relative_error(xp.host(value), xp.host(same)) < 1e-6
    assert relative_error(xp.host(d), xp.host(d_same)) < 1e-6


@EVERY
def test_a_batch_that_weighs_nothing_has_value_and_gradient_zero(name, xp):
    z, y = (xp.asarray(a, "float32") for a in setting()[:2])
    value, d = xp.call(LOSSES[name], z, y, xp.asarray(np.zeros(N), "float32"))
    assert float(xp.host(value)) == 0.0
    assert not xp.host(d).any()


# exp(1e4), a rate of Poisson and the inverse of one of gamma, no float holds: those are left out.
EXTREMES = [
    ("squared_error", [-1e4, 1e4], [0.0, 1.0], 0.5 * (1e8 + 9999.0**2), [-1e4, 9999.0]),
    ("log_loss", [-1e4, 1e4], [1.0, 0.0], 2e4, [-1.0, 1.0]),
    ("log_loss", [-1e4, 1e4], [0.0, 1.0], 0.0, [0.0, 0.0]),
    ("log_loss", [1e4, 1e4], [0.0, 1.0], np.log(2.0), [0.5, -0.5]),
    ("binary_log_loss", [-1e4, 1e4], [1.0, 0.0], 2e4, [-1.0, 1.0]),
    ("binary_log_loss", [-1e4, 1e4], [0.0, 1.0], 0.0, [0.0, 0.0]),
    ("poisson", [-1e4, -1e4], [0.0, 0.0], 0.0, [0.0, 0.0]),
    ("poisson", [-1e4, -1e4], [0.0, 1.0], 1e4 - 1.0, [0.0, -1.0]),
    ("gamma", [1e4, 1e4], [1.0, 1.0], 2 * 9999.0, [1.0, 1.0]),
    ("absolute_error", [-1e4, 1e4], [0.0, 1.0], 19999.0, [-1.0, 1.0]),
    ("huber", [-1e4, 1e4], [0.0, 1.0], 19998.0, [-1.0, 1.0]),
    ("log_cosh", [-1e4, 1e4], [0.0, 1.0], 19999.0 - 2 * np.log(2.0), [-1.0, 1.0]),
    ("quantile", [-1e4, 1e4], [0.0, 1.0], 19999.0 / 2, [-0.5, 0.5]),
    ("focal", [-1e4, 1e4], [1.0, 0.0], 2e4, [-1.0, 1.0]),
    ("focal", [-1e4, 1e4], [0.0, 1.0], 0.0, [0.0, 0.0]),
    ("binary_focal", [-1e4, 1e4], [1.0, 0.0], 2e4, [-1.0, 1.0]),
    ("binary_focal", [-1e4, 1e4], [0.0, 1.0], 0.0, [0.0, 0.0]),
]


def test_every_loss_has_an_extreme_an_oracle_and_a_torch_twin():
    assert {row[0] for row in EXTREMES} == LOSSES.keys() == ORACLES.keys() == TORCH.keys()


@each("name, z, y, value, d", EXTREMES)
def test_extreme_outputs_in_float32_give_the_limits(name, z, y, value, d, xp):
    got, d_got = xp.call(LOSSES[name], xp.asarray([z], "float32"), xp.asarray([y], "float32"))
    assert float(xp.host(got)) == pytest.approx(value, rel=1e-6, abs=0.0)
    assert xp.host(d_got)[0] == pytest.approx(np.asarray(d), rel=1e-6, abs=0.0)


@EVERY
@each(
    "outputs, y, remedy",
    [
        ((5, 1), (5,), r"did you mean y\[:, None\]"),
        ((5, 1), (1, 5), r"y\.reshape\(5, 1\)"),
        ((5, 3), (15,), r"y\.reshape\(5, 3\)"),
        ((5, 3), (3, 5), r"y\.reshape\(5, 3\)"),
        ((5, 3), (5, 1), r"labels of log_loss, did you mean y\[:, 0\]"),
        ((5, 3), (5, 4), "the last layer needs 4 units, or y 3 columns"),
        ((5, 3), (5,), "a 0/1 column for each of the 3, or integer labels with loss='log_loss'"),
        ((5, 5), (5,), "a 0/1 column for each of the 5, or integer labels with loss='log_loss'"),
        ((5, 3), (1, 3), r"the outputs are \(5, 3\)\."),
        ((5, 3), (), r"the outputs are \(5, 3\)\."),
        ((5, 3), (2, 5, 3), r"the outputs are \(5, 3\)\."),
    ],
)
def test_targets_of_another_shape_are_refused_with_what_was_meant(name, outputs, y, remedy):
    with pytest.raises(ShapeError, match=remedy) as caught:
        LOSSES[name](np.zeros(outputs), np.zeros(y))
    assert str(y) in str(caught.value) and str(outputs) in str(caught.value)


# loss, task -> the loss that is used, and the output activations that go with it
PAIRS = {
    ("log_loss", "binary"): ("binary_log_loss", {"logistic"}),
    ("log_loss", "multilabel"): ("binary_log_loss", {"logistic"}),
    ("log_loss", "multiclass"): ("log_loss", {"softmax"}),
    ("binary_log_loss", "binary"): ("binary_log_loss", {"logistic"}),
    ("binary_log_loss", "multilabel"): ("binary_log_loss", {"logistic"}),
    ("binary_log_loss", "multiclass"): ("binary_log_loss", {"logistic"}),
    ("squared_error", "binary"): ("squared_error", {"logistic"}),
    ("squared_error", "multilabel"): ("squared_error", {"logistic"}),
    ("squared_error", "multiclass"): ("squared_error", {"logistic"}),
    ("focal", "binary"): ("binary_focal", {"logistic"}),
    ("focal", "multilabel"): ("binary_focal", {"logistic"}),
    ("focal", "multiclass"): ("focal", {"softmax"}),
    ("binary_focal", "multiclass"): ("binary_focal", {"logistic"}),
    **{
        (name, "regression"): (name, {"identity", "logistic", "tanh", "relu"})
        for name in ("squared_error", "absolute_error", "huber", "log_cosh", "quantile")
    },
    ("poisson", "regression"): ("poisson", {"exp"}),
    ("gamma", "regression"): ("gamma", {"exp"}),
}


@each("loss, task", PAIRS)
@each("out", ["identity", "logistic", "softmax", "exp", "tanh", "relu"])
def test_a_loss_goes_with_its_output_activations_and_refuses_the_others_in_words(loss, task, out):
    name, allowed = PAIRS[loss, task]
    record, auto = match_loss(loss, task)
    assert record == LOSSES[name] and auto in allowed
    if out in allowed:
        assert match_loss(loss, task, out) == (record, out)
        return
    with pytest.raises(ValueError, match=f"{loss!r} for a {task} task.*got {out!r}"):
        match_loss(loss, task, out)


def test_every_loss_stands_in_the_pairs_and_an_unknown_one_is_refused():
    assert {name for name, _ in PAIRS.values()} == LOSSES.keys()
    with pytest.raises(ValueError, match="squared_error, log_loss.*got 'hinge'"):
        match_loss("hinge", "binary")


@pytest.mark.parametrize("name, words", [("poisson", "y >= 0"), ("gamma", "y > 0")])
def test_targets_outside_a_losss_domain_are_told_with_row_and_value(xp, name, words):
    loss = LOSSES[name]
    check_domain(loss, xp.asarray([[1.0, 2.0], [0.5, 3.0]], "float32"))
    with pytest.raises(ValueError, match=f"{name}.*needs {words}, got -2.5 in row 1: use"):
        check_domain(loss, xp.asarray([[1.0, 2.0], [0.5, -2.5], [-1.0, 1.0]], "float32"))
    bad = -2.5 * np.ones((4, 1))
    for refused in (
        lambda: MLPRegressor(loss=loss).fit(bad, bad[:, 0]),
        lambda: train(nn.Network([nn.Dense(1)]), bad, bad, loss=name),
    ):
        with pytest.raises(ValueError, match=f"{name}.*needs {words}, got -2.5 in row 0"):
            refused()


def test_zero_is_in_the_domain_of_poisson_and_not_of_gamma():
    check_domain(LOSSES["poisson"], np.zeros((2, 1)))
    with pytest.raises(ValueError, match="y > 0, got 0 in row 0"):
        check_domain(LOSSES["gamma"], np.zeros((2, 1)))


# A quantile's gradient jumps at the targets, and a focal loss is least elsewhere.
@each("name", sorted(LOSSES.keys() - {"quantile", "focal", "binary_focal"}))
def test_a_link_inverts_the_loss(name):
    """Where the gradient is zero the link of the outputs is the targets."""
    _, y, _ = setting()
    inverse = {"identity": lambda y: y, "logistic": special.logit, "softmax": np.log, "exp": np.log}
    z = inverse[LOSSES[name].link](y)
    assert relative_error(LINKS[LOSSES[name].link](z, np), y) < 1e-14
    assert np.abs(LOSSES[name](z, y)[1]).max() < 1e-16


def test_softmax_survives_large_logits_and_keeps_its_dtype(xp):
    p = softmax(xp.asarray([[1e4, -1e4, 1e4]], "float32"), xp.xp)
    assert dtype_name(p) == "float32" and xp.host(p).tolist() == [[0.5, 0.0, 0.5]]


def test_one_hot_has_a_one_in_the_column_of_the_code(xp):
    got = one_hot(xp.asarray([[2], [0], [1]], "int32"), 3, xp.asarray([0.0], "float32"))
    assert dtype_name(got) == "float32"
    assert xp.host(got).tolist() == [[0, 0, 1], [1, 0, 0], [0, 1, 0]]


@pytest.mark.parametrize("members", [(), (3,)])
def test_log_loss_of_class_codes_is_to_the_last_bit_that_of_their_rows(members, xp):
    rng = np.random.default_rng(0)
    z, w = 3 * rng.normal(size=(*members, N, C)), rng.dirichlet(np.ones(N), members)
    codes = rng.integers(0, C, (*members, N, 1)).astype("int32")
    outputs, weights = (xp.asarray(a, "float32") for a in (z, w))
    rows = xp.asarray(np.eye(C)[codes[..., 0]], "float32")
    want = xp.call(LOSSES["log_loss"], outputs, rows, weights)
    got = xp.call(CLASS_LOG_LOSS, outputs, xp.asarray(codes, "int32"), weights)
    assert [dtype_name(a) for a in got] == ["float32", "float32"]
    for a, b in zip(got, want):
        np.testing.assert_array_equal(xp.host(a), xp.host(b))
    with pytest.raises(ShapeError, match=f"y is .*{C}"):
        CLASS_LOG_LOSS(outputs, rows, weights)


def test_the_reported_loss_is_a_mean_over_outputs_for_errors_of_values_and_for_no_other():
    factors = {name: loss.reported(4) for name, loss in LOSSES.items()}
    means = {name for name, factor in factors.items() if factor == 0.25}
    assert means == {"squared_error", "absolute_error", "huber", "log_cosh", "quantile"}
    assert {factors[name] for name in factors.keys() - means} == {1.0}


def pinball(F, z, y, levels):
    """The mean over levels, times their number; targets repeat for each level."""
    level = z.new_tensor(levels).repeat(z.shape[-1] // len(levels))
    return F.relu((y - z) * level) + F.relu((z - y) * (1 - level))


# Losses with parameters -> their rows' losses in PyTorch
PARAMETERS = {
    "huber 0.3": (huber(0.3), lambda F, z, y: F.huber_loss(z, y, reduction="none", delta=0.3)),
    "huber 5": (huber(5.0), lambda F, z, y: F.huber_loss(z, y, reduction="none", delta=5.0)),
    "one quantile": (quantile(0.9), lambda F, z, y: pinball(F, z, y, [0.9])),
    "two quantiles": (quantile([0.1, 0.8]), lambda F, z, y: pinball(F, z, y, [0.1, 0.8])),
    "four quantiles": (
        quantile([0.1, 0.2, 0.5, 0.9]),
        lambda F, z, y: pinball(F, z, y, [0.1, 0.2, 0.5, 0.9]),
    ),
    **{
        f"focal {gamma}": (
            focal(gamma),
            lambda F, z, y, g=gamma: -y * (1 - z.softmax(-1)) ** g * z.log_softmax(-1),
        )
        for gamma in (1.0, 1.5, 3.0)
    },
    "binary focal 1.5": (
        focal(1.5, binary=True),
        lambda F, z, y: (
            -y * F.sigmoid(-z) ** 1.5 * F.logsigmoid(z)
            - (1 - y) * F.sigmoid(z) ** 1.5 * F.logsigmoid(-z)
        ),
    ),
    "class weights": (
        class_weighted(LOSSES["binary_log_loss"], [(1.0, 3.0), (1.0, 0.0), (1.0, 1.0), (1.0, 7.0)]),
        lambda F, z, y: F.binary_cross_entropy_with_logits(
            z, y, reduction="none", pos_weight=z.new_tensor([3.0, 0.0, 1.0, 7.0])
        ),
    ),
    "weights of both classes": (
        class_weighted(LOSSES["binary_focal"], [(0.5, 3.0)] * C),
        lambda F, z, y: (
            -3 * y * F.sigmoid(-z) ** 2 * F.logsigmoid(z)
            - 0.5 * (1 - y) * F.sigmoid(z) ** 2 * F.logsigmoid(-z)
        ),
    ),
}


@each("name", PARAMETERS)
def test_a_loss_with_parameters_equals_torchs_and_is_the_same_everywhere(name, xp_eager):
    torch = pytest.importorskip("torch", reason="compares with torch")
    loss, theirs = PARAMETERS[name]
    z, y, w = (torch.asarray(a) for a in setting())
    z.requires_grad_()
    value = (w * theirs(torch.nn.functional, z, y).sum(-1)).sum()
    value.backward()
    for dtype in xp_eager.floats:
        got, d = loss(*(xp_eager.asarray(a, dtype) for a in setting()))
        assert [dtype_name(a) for a in (got, d)] == [dtype, dtype]
        assert relative_error(xp_eager.host(got), value.item()) < 10 * TOLERANCE[dtype]
        assert relative_error(xp_eager.host(d), z.grad.numpy()) < 10 * TOLERANCE[dtype]


@each("made", [loss for loss, _ in PARAMETERS.values()], ids=PARAMETERS)
def test_a_loss_with_parameters_has_members_a_derivative_and_equal_twins(made):
    alone = [setting(seed) for seed in range(C)]
    value, d = made(*map(np.stack, zip(*alone)))
    want = [made(*given) for given in alone]
    assert relative_error(value, np.stack([v for v, _ in want])) < 1e-14
    assert relative_error(d, np.stack([d for _, d in want])) < 1e-14
    assert pickle.loads(pickle.dumps(made)) == made and len({made, copy.deepcopy(made)}) == 1


@each(
    "make",
    [
        lambda: huber(0.0),
        lambda: huber(float("nan")),
        lambda: focal(0.5),
        lambda: quantile([]),
        lambda: quantile(1.0),
        lambda: quantile([0.9, 0.1]),
        lambda: quantile([0.5, 0.5]),
    ],
)
def test_parameters_without_sense_are_refused_in_a_sentence(make):
    with pytest.raises(ValueError, match=r"(needs|must be) .*got .*"):
        make()
