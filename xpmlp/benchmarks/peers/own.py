"""xpmlp: stretches of steps through its engine, fits and predictions through its estimators."""

import numpy as np

from ...engines import Carry, engine_for
from ...estimators import MLPClassifier, MLPRegressor
from ...nn import Dense, Layout, Network
from ...nn.losses import LOSSES
from ...optim import init_state, make_rule
from ...training import Step
from ...training.plan import make_plan, to_device
from .base import Contender, Ready, predicting, quietly, repeated


def _network(case, weights):
    units, last = case.sizes[1:-1], Dense(case.sizes[-1], case.output)
    network = Network((*(Dense(n, case.activation) for n in units), last))
    return network, {i: {"W": W.copy(), "b": b[None].copy()} for i, (W, b) in enumerate(weights)}


def steps(case, data, length=None):
    """Prepare stretches of steps on one resident batch, whose rows each step takes in order."""
    x, _ = data
    length = length or case.stretch
    engine, rule = engine_for(x), make_rule(case.rule, momentum=0.0)
    network, params = _network(case, case.weights())
    layout = Layout.of(network, params, contiguous=engine.contiguous)
    store = layout.pack(params, xp=engine.xp)
    step = Step(
        network, LOSSES[case.loss], rule, layout, case.batch, "float32", penalised=False,
        decoupled=False,
    )  # fmt: skip
    order = np.tile(np.arange(len(x)), length)
    plan = make_plan(rule, order, batch_size=case.batch, lr=case.lr, seed=0)
    plan, advance = to_device(plan, x, "float32"), engine.run(step)
    carry = [Carry(store, {}, init_state(rule, store, xp=engine.xp))]

    def call():
        carry[0], _ = advance(carry[0], data, plan)

    def outcome():
        trained = layout.unpack(carry[0].params, xp=engine.xp)
        return [(p["W"], p["b"][0]) for _, p in sorted(trained.items())]

    return Ready(repeated(call), length, outcome)


def one_step(case, data):
    """Prepare stretches of one step: what a call costs."""
    return steps(case, data, 1)


def fit(case, data):
    """Prepare `MLPClassifier.fit`, its checks included."""
    x, labels = data[0], data[1].argmax(axis=1)
    coefs, intercepts = map(list, zip(*case.weights()))
    est = MLPClassifier(
        case.sizes[1:-1], case.activation, solver=case.rule, loss=case.loss, alpha=0.0,
        momentum=0.0, batch_size=case.batch, learning_rate_init=case.lr, max_iter=case.epochs,
        n_iter_no_change=case.epochs, random_state=0, init=(coefs, intercepts),
    )  # fmt: skip
    run = repeated(quietly(est.fit), x, labels)
    return Ready(run, case.epochs, lambda: list(zip(est.coefs_, est.intercepts_)))


def _fitted(case):
    """Return an estimator that holds the case's weights."""
    classifies = case.loss == "log_loss"
    make = MLPClassifier if classifies else MLPRegressor
    est = make(hidden_layer_sizes=case.sizes[1:-1], activation=case.activation, max_iter=1)
    y = np.arange(case.sizes[-1]) if classifies else np.zeros(1, np.float32)
    quietly(est.fit)(np.zeros((len(y), case.sizes[0]), np.float32), y)
    est.coefs_, est.intercepts_ = map(list, zip(*case.weights()))
    return est


def predict(case, data):
    """Prepare `predict`."""
    return predicting(_fitted(case).predict, data[0])


def predictor(case, data):
    """Prepare `predictor`, which is made for a number of rows."""
    return predicting(_fitted(case).predictor(n_rows=case.rows), data[0])


CONTENDERS = (
    Contender("xpmlp", "steps", steps, role="own"),
    Contender("xpmlp, one step a call", "steps", one_step, role="shown"),
    Contender("xpmlp without numba", "steps", steps, role="shown", without=("numba",)),
    Contender("xpmlp", "fits", fit, role="own"),
    Contender("xpmlp without numba", "fits", fit, role="shown", without=("numba",)),
    Contender("xpmlp", "predict", predict, role="own"),
    Contender("xpmlp predictor", "predict", predictor, role="shown"),
    Contender("xpmlp without numba", "predict", predict, role="shown", without=("numba",)),
)
