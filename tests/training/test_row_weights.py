"""Weights of rows in whole fits: 1 is none, a whole number repeats the row, 0 leaves it out."""

import numpy as np
import pytest
from conftest import relative_error
from each import each
from sklearn.metrics import accuracy_score, f1_score, log_loss, mean_absolute_error, r2_score
from sklearn.utils.class_weight import compute_sample_weight

from xpmlp import MLPClassifier, MLPRegressor, nn

pytestmark = pytest.mark.filterwarnings("ignore:.*Maximum iterations", "ignore:.*lbfgs failed")
rng = np.random.default_rng(0)
N = 40
X = rng.normal(size=(N, 4))
Z = X @ rng.normal(size=(4, 3)) + 0.3 * rng.normal(size=(N, 3))
CLASSES, LABELS = Z.argmax(axis=1), (Z > 0).astype(int)
VALUES, RATES = Z[:, :2], np.exp(0.3 * Z[:, 0])
COUNTS = rng.integers(0, 4, N).astype(float)
ROWS = np.repeat(np.arange(N), COUNTS.astype(int))
# One full batch: the rows' order and number then change nothing but the rounding.
ARGS = {
    "hidden_layer_sizes": (7,), "batch_size": 200, "max_iter": 6, "random_state": 0,
    "solver": "sgd", "learning_rate_init": 0.05, "n_iter_no_change": 999, "alpha": 0.1,
}  # fmt: skip
CLASS_WEIGHTS = [{0: 1.0, 1: 3.0}, "balanced", {1: 0.2}]


def clf(**options):
    return lambda: MLPClassifier(**ARGS | options)


def reg(**options):
    return lambda: MLPRegressor(**ARGS | options)


def both(kind, y, **options):
    return kind(**options), y


FITS = {
    "log_loss": both(clf, CLASSES),
    "log_loss, two classes": both(clf, CLASSES == 1),
    "log_loss, several labels": both(clf, LABELS),
    "binary_log_loss": both(clf, CLASSES, loss="binary_log_loss"),
    "squared_error, classes": both(clf, CLASSES, loss="squared_error"),
    "focal": both(clf, CLASSES, loss="focal"),
    "focal, two classes": both(clf, CLASSES == 1, loss="focal"),
    "focal, several labels": both(clf, LABELS, loss="focal"),
    "label smoothing": both(clf, CLASSES, label_smoothing=0.2),
    "label smoothing, several labels": both(clf, LABELS, label_smoothing=0.2),
    "class weights": both(clf, CLASSES, class_weight={0: 2.0, 2: 0.5}),
    "balanced": both(clf, CLASSES, class_weight="balanced"),
    "class weights, several labels": both(
        clf, LABELS, class_weight=CLASS_WEIGHTS, label_smoothing=0.1
    ),
    "a loss of one's own": both(clf, CLASSES, loss=nn.losses.focal(1.5)),
    **{
        name: both(reg, VALUES, loss=name)
        for name in ("squared_error", "absolute_error", "huber", "log_cosh")
    },
    "poisson": both(reg, RATES.round(), loss="poisson"),
    "gamma": both(reg, RATES, loss="gamma"),
    "quantile": both(reg, VALUES, loss="quantile", quantiles=[0.1, 0.6]),
    "target_scale": both(reg, 1e6 * VALUES + 5e6, target_scale="auto"),
    "target_scale of rates": both(reg, 1e6 * RATES, target_scale="auto", loss="gamma"),
    **{
        f"{kind} normalization": both(clf, CLASSES, normalization=kind)
        for kind in ("batch", "layer", "rms")
    },
    "bounds": both(clf, CLASSES, max_grad_norm=0.1, max_norm=0.8, ema_decay=0.5, residual=True),
    "lbfgs": both(reg, VALUES, solver="lbfgs", loss="huber", normalization="layer", max_iter=3),
}
EVERY = each("name", FITS)


def fitted(name, rows=slice(None), weights=None):
    make, y = FITS[name]
    with np.errstate(all="ignore"):
        model = make().fit(X[rows], y[rows], weights)
    return [*model.coefs_, *model.intercepts_, *model.other_params_.values()], model


def assert_same(got, want, tolerance=1e-10):
    for a, b in zip(got, want, strict=True):
        assert relative_error(a, b) < tolerance


@pytest.fixture(autouse=True)
def no_warning_of_the_batch(recwarn):
    import warnings

    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Got `batch_size`")
        yield


@EVERY
def test_a_weight_of_a_whole_number_repeats_the_row(name):
    (got, model), (want, other) = fitted(name, weights=COUNTS), fitted(name, ROWS)
    assert_same(got, want)
    start = fitted(name, weights=None)[0]
    assert relative_error(got[0], start[0]) > 1e-6  # the weights matter
    if name != "lbfgs":  # of the sum of weights the penalty is a share, and of batches the loss
        assert model.loss_curve_ == pytest.approx(other.loss_curve_, rel=1e-9)


@EVERY
def test_a_row_of_weight_zero_is_as_if_it_were_not_there(name):
    keep = np.flatnonzero(np.arange(N) % 4 > 0)
    weights = (np.arange(N) % 4 > 0).astype(float)
    assert_same(fitted(name, weights=weights)[0], fitted(name, keep)[0])


@EVERY
def test_a_weight_of_one_is_none_to_the_last_bit(name):
    (got, model), (want, other) = fitted(name, weights=np.ones(N)), fitted(name)
    for a, b in zip(got, want, strict=True):
        assert np.array_equal(a, b)
    assert model.loss_curve_ == other.loss_curve_


def test_what_a_target_of_weight_zero_says_changes_no_scale():
    y, weights = 1e3 * VALUES[:, 0], np.ones(N)
    wild = y.copy()
    wild[3], weights[3] = 1e200, 0.0
    keep = np.arange(N) != 3
    got = MLPRegressor(**ARGS, target_scale="auto").fit(X, np.where(keep, y, 0.0), weights)
    want = MLPRegressor(**ARGS, target_scale="auto").fit(X[keep], y[keep])
    assert_same(got.coefs_, want.coefs_)
    much = MLPRegressor(**ARGS, target_scale="auto").fit(X, wild, weights).scaling_
    assert much.y_scale == pytest.approx(want.scaling_.y_scale, rel=1e-12)


# Classes


@each("y", [CLASSES, CLASSES == 1, np.asarray(["a", "b", "c"])[CLASSES]])
def test_balanced_is_what_scikit_learn_computes(y):
    given = compute_sample_weight("balanced", y)
    got = MLPClassifier(**ARGS, class_weight="balanced").fit(X, y)
    assert_same(got.coefs_, MLPClassifier(**ARGS).fit(X, y, given).coefs_)


@each("class_weight", ["balanced", CLASS_WEIGHTS, {0: 0.5, 1: 4.0}])
def test_several_labels_have_a_weight_for_each_column(class_weight):
    """The gradient at the start, column by column, of a network that is one layer."""
    args = ARGS | {"hidden_layer_sizes": (), "max_iter": 1, "momentum": 0.0, "alpha": 0.0}
    got = MLPClassifier(**args, class_weight=class_weight).fit(X, LABELS).coefs_[0]
    each = class_weight if isinstance(class_weight, list) else [class_weight] * 3
    start = MLPClassifier(**args | {"learning_rate_init": 1e-300}).fit(X, LABELS)
    for i, given in enumerate(each):
        y = LABELS[:, i]
        w = compute_sample_weight(given, y)
        p = 1 / (1 + np.exp(-X @ start.coefs_[0][:, i] - start.intercepts_[0][i]))
        want = start.coefs_[0][:, i] - 0.05 * X.T @ (w * (p - y)) / N
        assert relative_error(got[:, i], want) < 1e-12


@pytest.mark.parametrize(
    ("given", "y", "said"),
    [
        ({0: 1.0, 9: 2.0}, CLASSES, "numbers of 0 or more"),
        ({0: -1.0}, CLASSES, "numbers of 0 or more"),
        ({0: "a"}, CLASSES, "numbers of 0 or more"),
        ([{0: 1.0}], CLASSES, "a list as class_weight is for several labels"),
        ([{0: 1.0}], LABELS, "1 entries, y has 3 columns"),
        (["even"] * 3, LABELS, "'balanced' or a dict, got 'even'"),
    ],
)
def test_class_weights_that_fit_no_class_are_refused_in_a_sentence(given, y, said):
    model = MLPClassifier(**ARGS, class_weight=given)
    with pytest.raises(ValueError, match=said):
        model.fit(X, y)
    assert not hasattr(model, "coefs_")


def test_partial_fit_takes_class_weights_as_a_dict_only():
    with pytest.raises(ValueError, match="pass the weights as a dict"):
        MLPClassifier(**ARGS, class_weight="balanced").partial_fit(X, CLASSES, classes=[0, 1, 2])
    own = MLPClassifier(**ARGS, class_weight={0: 3.0}).partial_fit(X, CLASSES, classes=[0, 1, 2])
    given = np.where(CLASSES == 0, 3.0, 1.0)
    want = MLPClassifier(**ARGS).partial_fit(X, CLASSES, given, classes=[0, 1, 2])
    assert_same(own.coefs_, want.coefs_)


# Validation rows

XV = rng.normal(size=(30, 4))
WV = rng.integers(0, 3, 30).astype(float)
REPEATED = np.repeat(np.arange(30), WV.astype(int))
SCORES = {
    "accuracy, several labels": (clf(), LABELS, LABELS[:30]),
    "accuracy": (clf(), CLASSES, CLASSES[:30]),
    "R^2": (reg(), VALUES, VALUES[:30]),
    "loss": (clf(scoring="loss", loss="focal"), CLASSES, CLASSES[:30]),
    "loss, with class weights": (clf(scoring="loss", class_weight={0: 4.0}), CLASSES, CLASSES[:30]),
    "balanced, several labels": (clf(scoring="loss", class_weight="balanced"), LABELS, LABELS[:30]),
    "the loss of quantiles": (reg(loss="quantile", quantiles=[0.2, 0.8]), VALUES, VALUES[:30]),
    "neg_log_loss": (clf(scoring="neg_log_loss"), CLASSES, CLASSES[:30]),
    "f1_macro": (clf(scoring="f1_macro"), CLASSES, CLASSES[:30]),
    "neg_mean_absolute_error": (
        reg(scoring="neg_mean_absolute_error", target_scale="auto"),
        VALUES,
        VALUES[:30],
    ),
}


@each("name", SCORES)
@pytest.mark.filterwarnings("ignore:.*ill-defined")
def test_weights_of_validation_rows_repeat_them_in_loss_and_score(name):
    make, y, yv = SCORES[name]
    got = make().fit(X, y, X_val=XV, y_val=yv, sample_weight_val=WV).history_
    want = make().fit(X, y, X_val=XV[REPEATED], y_val=yv[REPEATED]).history_
    plain = make().fit(X, y, X_val=XV, y_val=yv).history_
    for which in ("validation_loss", "validation_score"):
        assert got[which] == pytest.approx(want[which], rel=1e-12)
        assert got[which] != pytest.approx(plain[which], rel=1e-6)
    ones = make().fit(X, y, X_val=XV, y_val=yv, sample_weight_val=np.ones(30)).history_
    assert ones["validation_score"] == pytest.approx(plain["validation_score"], rel=1e-14)


@pytest.mark.parametrize(
    ("make", "y", "by_hand"),
    [
        (clf(), CLASSES, lambda m, y: accuracy_score(y, m.predict(XV), sample_weight=WV)),
        (clf(scoring="neg_log_loss"), CLASSES,
         lambda m, y: -log_loss(y, m.predict_proba(XV), sample_weight=WV)),
        (clf(scoring="f1_macro"), CLASSES,
         lambda m, y: f1_score(y, m.predict(XV), sample_weight=WV, average="macro")),
        (reg(), VALUES, lambda m, y: r2_score(y, m.predict(XV), sample_weight=WV)),
        (reg(scoring="neg_mean_absolute_error", target_scale="auto"), VALUES,
         lambda m, y: -mean_absolute_error(y, m.predict(XV), sample_weight=WV)),
    ],
)  # fmt: skip
def test_a_weighted_score_is_the_metrics_own(make, y, by_hand):
    yv = y[:30]
    model = make().fit(X, y, X_val=XV, y_val=yv, sample_weight_val=WV)
    assert model.history_["validation_score"][-1] == pytest.approx(by_hand(model, yv), rel=1e-12)


def test_classes_weigh_alike_in_training_and_validation():
    args = ARGS | {"class_weight": "balanced", "scoring": "loss", "alpha": 0.0}
    given = compute_sample_weight("balanced", CLASSES)
    rows = np.flatnonzero(CLASSES > 0)  # a class is not there
    rows = np.concatenate([rows, rows[CLASSES[rows] == 1]])  # and the others in other shares
    model = MLPClassifier(**args).fit(X, CLASSES, X_val=X[rows], y_val=CLASSES[rows])
    p = model.predict_proba(X[rows])
    want = log_loss(CLASSES[rows], p, sample_weight=given[rows], labels=[0, 1, 2])
    assert model.history_["validation_loss"][-1] == pytest.approx(want, rel=1e-12)


def test_validation_data_that_lack_a_part_or_weigh_nothing_are_refused_in_a_sentence():
    model = MLPClassifier(**ARGS)
    for options in ({"X_val": XV}, {"y_val": CLASSES[:30]}, {"sample_weight_val": WV}):
        with pytest.raises(ValueError, match="X_val, y_val and sample_weight_val go together"):
            model.fit(X, CLASSES, **options)
    with pytest.raises(ValueError, match="at least one non-zero"):
        model.fit(X, CLASSES, X_val=XV, y_val=CLASSES[:30], sample_weight_val=np.zeros(30))
    assert not hasattr(model, "coefs_")
