"""scikit-learn: `partial_fit` on one batch, `fit`, `predict`.

Its regressor has no logistic output, so where ours has one it does the same products with less
elementwise work.
"""

from .base import Contender, Ready, repeated


def _estimator(case, **options):
    from sklearn.neural_network import MLPClassifier, MLPRegressor

    make = MLPClassifier if case.loss == "log_loss" else MLPRegressor
    return make(
        hidden_layer_sizes=case.sizes[1:-1], activation=case.activation, solver=case.rule,
        alpha=0.0, momentum=0.0, nesterovs_momentum=False, learning_rate_init=case.lr,
        batch_size=min(case.batch, case.rows), random_state=0, **options,
    )  # fmt: skip


def _targets(case, y):
    """Return labels for a classifier, columns for a regressor."""
    return y.argmax(axis=1) if case.loss == "log_loss" else y[:, 0] if y.shape[1] == 1 else y


def _trained(est):
    return list(zip(est.coefs_, est.intercepts_))


def steps(case, data):
    """Prepare `partial_fit` on one batch, which is one step."""
    x, y = data[0], _targets(case, data[1])
    est = _estimator(case, shuffle=False)
    known = {"classes": range(case.sizes[-1])} if case.loss == "log_loss" else {}
    est.partial_fit(x, y, **known)  # makes the arrays, which then take our weights
    for i, (W, b) in enumerate(case.weights()):
        est.coefs_[i], est.intercepts_[i] = W, b
    del est._optimizer  # holds the replaced arrays; the next call makes another
    return Ready(repeated(est.partial_fit, x, y), 1, lambda: _trained(est))


CONTENDERS = (Contender("scikit-learn", "steps", steps),)
