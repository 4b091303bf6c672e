"""scikit-learn: `partial_fit` on one batch, `fit`, `predict`.

Its regressor has no logistic output, so where ours has one it does the same products with less
elementwise work.
"""

import numpy as np

from .base import Contender, Ready, predicting, quietly, repeated


def _estimator(case, **options):
    from sklearn.neural_network import MLPClassifier, MLPRegressor

    make = MLPClassifier if case.loss == "log_loss" else MLPRegressor
    return make(
        hidden_layer_sizes=case.sizes[1:-1],
        activation=case.activation,
        solver=case.rule,
        alpha=0.0,
        momentum=0.0,
        nesterovs_momentum=False,
        learning_rate_init=case.lr,
        batch_size=min(case.batch, case.rows),
        random_state=0,
        **options,
    )


def _targets(case, y):
    """Return labels for a classifier, columns for a regressor."""
    return y.argmax(axis=1) if case.loss == "log_loss" else y[:, 0] if y.shape[1] == 1 else y


def _trained(est):
    return list(zip(est.coefs_, est.intercepts_))


def _started(case, x, y):
    """Return an estimator that holds the case's weights."""
    est = _estimator(case, shuffle=False)
    known = {"classes": range(case.sizes[-1])} if case.loss == "log_loss" else {}
    est.partial_fit(x[: case.batch], y[: case.batch], **known)  # makes the arrays to replace
    for i, (W, b) in enumerate(case.weights()):
        est.coefs_[i], est.intercepts_[i] = W, b
    del est._optimizer  # holds the replaced arrays; the next call makes another
    return est


def steps(case, data, length=1):
    """Prepare `partial_fit` on one batch, which is one step."""
    x, y = data[0], _targets(case, data[1])
    est = _started(case, x, y)
    rows = np.tile(np.arange(len(x)), length)
    return Ready(repeated(est.partial_fit, x[rows], y[rows]), length, lambda: _trained(est))


def chunks(case, data):
    """Prepare `partial_fit` on up to 100 copies of the batch: its checks are made once for all."""
    return steps(case, data, min(case.stretch, 100))


def fit(case, data):
    """Prepare `fit`."""
    est = _estimator(case, max_iter=case.epochs, n_iter_no_change=case.epochs)
    run = repeated(quietly(est.fit), data[0], _targets(case, data[1]))
    return Ready(run, case.epochs, lambda: _trained(est))


def predict(case, data):
    """Prepare `predict`."""
    return predicting(_started(case, data[0], _targets(case, data[1])).predict, data[0])


CONTENDERS = (
    Contender("scikit-learn", "steps", steps),
    Contender("scikit-learn, chunks", "steps", chunks),
    Contender("scikit-learn", "fits", fit),
    Contender("scikit-learn", "predict", predict),
)
