"""A validation score: the loss, a scorer's name, a function; and the best weights of each."""

import numpy as np
import pytest
from conftest import relative_error
from each import each
from sklearn.metrics import (
    f1_score,
    get_scorer,
    make_scorer,
    mean_absolute_error,
    precision_score,
)

from xpmlp import MLPClassifier, MLPRegressor

rng = np.random.default_rng(0)
X, XV = rng.normal(size=(60, 4)), rng.normal(size=(30, 4))
Z = lambda x: x @ np.asarray([[1.0, -1.0, 0.5], [0, 1, 1], [1, 1, 0], [-1, 0, 1]])
NOISE = np.random.default_rng(1).normal(size=(60, 3))
CLASSES, CLASSES_V = (Z(X) + NOISE).argmax(axis=1), Z(XV).argmax(axis=1)
LABELS, LABELS_V = (Z(X) + NOISE > 0).astype(int), (Z(XV) > 0).astype(int)
VALUES, VALUES_V = (Z(X) + NOISE)[:, 0], Z(XV)[:, 0]
ARGS = {
    "hidden_layer_sizes": (8,), "max_iter": 40, "random_state": 0, "learning_rate_init": 0.1,
    "early_stopping": True, "n_iter_no_change": 4, "batch_size": 20, "tol": 0.0,
}  # fmt: skip


def by_hand(estimator, X, y):
    """A user's own scorer: y and predictions have one shape."""
    assert np.shape(y) == np.shape(estimator.predict(X))
    return -float(np.mean((estimator.predict(X) - y) ** 2))


def confidence(estimator, X, y):
    return float(estimator.predict_proba(X).max(axis=1).mean())


def first_feature(estimator, X, y):
    """A scorer that reads X and the fitted attributes too, and predicts for rows of its own."""
    assert X.shape[1] == estimator.n_features_in_
    return float(np.mean(estimator.predict(X[:10]) == y[:10])) + 1e-9 * len(estimator.coefs_)


KINDS = {
    "default, classes": (MLPClassifier, {}, CLASSES, CLASSES_V, "accuracy"),
    "default, labels": (MLPClassifier, {}, LABELS, LABELS_V, "accuracy"),
    "default, values": (MLPRegressor, {}, VALUES, VALUES_V, "r2"),
    "balanced_accuracy": (
        MLPClassifier, {"scoring": "balanced_accuracy"}, CLASSES, CLASSES_V, "balanced_accuracy"
    ),
    "neg_log_loss": (
        MLPClassifier, {"scoring": "neg_log_loss"}, CLASSES, CLASSES_V, "neg_log_loss"
    ),
    "roc_auc": (
        MLPClassifier, {"scoring": "roc_auc"}, CLASSES == 1, CLASSES_V == 1, "roc_auc"
    ),
    "f1_micro, labels": (MLPClassifier, {"scoring": "f1_micro"}, LABELS, LABELS_V, "f1_micro"),
    "neg_median_absolute_error": (
        MLPRegressor, {"scoring": "neg_median_absolute_error"}, VALUES, VALUES_V,
        "neg_median_absolute_error",
    ),
    "max_error, several": (
        MLPRegressor, {"scoring": "neg_mean_absolute_error", "normalization": "batch"},
        np.stack([VALUES, -VALUES], axis=1), np.stack([VALUES_V, -VALUES_V], axis=1),
        "neg_mean_absolute_error",
    ),
    "a scorer made": (
        MLPRegressor, {"scoring": make_scorer(mean_absolute_error, greater_is_better=False)},
        VALUES, VALUES_V, "neg_mean_absolute_error",
    ),
    "a function of values": (MLPRegressor, {"scoring": by_hand}, VALUES, VALUES_V, by_hand),
    "a function of text": (
        MLPClassifier, {"scoring": first_feature}, np.asarray(["a", "b", "c"])[CLASSES],
        np.asarray(["a", "b", "c"])[CLASSES_V], first_feature,
    ),
    "a function of probabilities": (
        MLPClassifier, {"scoring": confidence, "ema_decay": 0.5}, CLASSES, CLASSES_V, confidence
    ),
    "poisson": (
        MLPRegressor, {"scoring": "neg_mean_poisson_deviance", "loss": "poisson"},
        np.exp(VALUES / 3), np.exp(VALUES_V / 3), "neg_mean_poisson_deviance",
    ),
}  # fmt: skip


@each("name", KINDS)
@pytest.mark.filterwarnings("ignore:.*Maximum iterations")
def test_a_score_is_the_scorers_and_the_best_epochs_weights_are_restored(name):
    kind, options, y, yv, scorer = KINDS[name]
    scorer = get_scorer(scorer) if isinstance(scorer, str) else scorer
    every = []
    look = lambda epoch: every.append(scorer(epoch.estimator, XV, yv))
    model = kind(**ARGS, **options, callbacks=look).fit(X, y, X_val=XV, y_val=yv)
    assert model.history_["validation_score"] == pytest.approx(every, rel=1e-12)
    assert model.best_validation_score_ == max(model.history_["validation_score"])
    assert scorer(model, XV, yv) == pytest.approx(max(every), rel=1e-12)
    best = int(np.argmax(every)) + 1
    args = ARGS | {"max_iter": best, "early_stopping": False}
    there = kind(**args, **options).fit(X, y)
    for a, b in zip([*model.coefs_, *model.intercepts_], [*there.coefs_, *there.intercepts_]):
        assert np.array_equal(a, b)
    assert model.validation_scores_ == model.history_["validation_score"]


@pytest.mark.parametrize(
    "kind, y, yv", [(MLPClassifier, CLASSES, CLASSES_V), (MLPRegressor, VALUES, VALUES_V)]
)
@pytest.mark.filterwarnings("ignore:.*Maximum iterations")
def test_the_score_of_the_loss_is_its_negative(kind, y, yv):
    model = kind(**ARGS, scoring="loss").fit(X, y, X_val=XV, y_val=yv)
    losses = model.history_["validation_loss"]
    assert model.history_["validation_score"] == [-loss for loss in losses]
    assert model.best_validation_score_ == -min(losses)


@pytest.mark.filterwarnings("ignore:.*Maximum iterations")
@pytest.mark.parametrize("xp64", ["strict", "torch", "jax-x64"], indirect=True)
@pytest.mark.parametrize("scoring", [None, "loss", "balanced_accuracy", "neg_log_loss"])
def test_scores_are_the_same_on_every_library(scoring, xp64):
    args = ARGS | {"max_iter": 3, "scoring": scoring}
    want = MLPClassifier(**args).fit(X, CLASSES, X_val=XV, y_val=CLASSES_V)
    got = MLPClassifier(**args).fit(
        xp64.asarray(X), CLASSES, X_val=xp64.asarray(XV), y_val=CLASSES_V
    )
    for which in ("validation_loss", "validation_score"):
        assert relative_error(got.history_[which], want.history_[which]) < 1e-9


@each("labels", [("no", "yes"), (0, 1), (1, 2), (False, True)])
@pytest.mark.filterwarnings("ignore:.*Maximum iterations")
def test_the_score_of_one_class_is_of_the_second_whatever_the_labels(labels):
    y, yv = (np.asarray(labels)[(a > 0) * 1] for a in (CLASSES, CLASSES_V))
    for scoring, metric in (("f1", f1_score), ("precision", precision_score)):
        model = MLPClassifier(**ARGS, scoring=scoring).fit(X, y, X_val=XV, y_val=yv)
        want = metric(yv, model.predict(XV), pos_label=labels[1])
        assert model.best_validation_score_ == want


def test_no_scorer_is_refused_in_a_sentence_and_nothing_is_left():
    for scoring, said in (("accurate", "accurate"), (3, "'scoring' parameter")):
        model = MLPClassifier(**ARGS, scoring=scoring)
        with pytest.raises(ValueError, match=said):
            model.fit(X, CLASSES)
        assert not hasattr(model, "coefs_")


@each("name", [name for name in KINDS if name.startswith("default")])
@pytest.mark.filterwarnings("ignore:.*Maximum iterations")
def test_validation_rows_count_by_their_weights_in_the_default_scores(name):
    kind, _, y, yv, _ = KINDS[name]
    w = np.random.default_rng(2).integers(0, 4, len(yv)) * 1.0
    model = kind(**ARGS | {"max_iter": 1})
    model.fit(X, y, X_val=XV, y_val=yv, sample_weight_val=w)
    (score,) = model.validation_scores_
    assert score == pytest.approx(model.score(XV, yv, w), rel=1e-12)
    assert score != pytest.approx(model.score(XV, yv), rel=1e-3)
