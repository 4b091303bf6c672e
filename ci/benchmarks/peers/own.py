"""xpmlp: chunks of steps through its engine, fits and predictions through its estimators."""

from functools import partial

import numpy as np

from xpmlp.arrays import Location, array_at, from_host, to_host
from xpmlp.engines import DEFAULTS, Carry, Options, engine_for
from xpmlp.engines.native import program
from xpmlp.estimators import MLPClassifier, MLPRegressor
from xpmlp.nn import Dense, Layout, Network
from xpmlp.nn.losses import LOSSES
from xpmlp.optim import init_state, make_rule
from xpmlp.training import Step
from xpmlp.training.plan import copy_plan, make_plan
from xpmlp.transfers import counting

from .base import Contender, Ready, predicting, quietly, repeated, waited

HOMES = {"cpu": Location("numpy", "cpu"), "cuda": Location("cupy", "cuda:0")}


def _network(case, like):
    """Return the network and its first parameters beside `like`."""
    units, last = case.sizes[1:-1], Dense(case.sizes[-1], case.output)
    network = Network((*(Dense(n, case.activation) for n in units), last))
    params = {
        i: {"W": from_host(W, like), "b": from_host(b[None], like)}
        for i, (W, b) in enumerate(case.weights())
    }
    return network, params


def _chunks(case, data, order, options=DEFAULTS):
    """Return (call, outcome, engine): a call takes the steps of the rows in order."""
    engine, rule = engine_for(data[0], options), make_rule(case.rule, momentum=0.0)
    data = tuple(map(engine.resident, data))
    network, params = _network(case, data[0])
    layout = Layout.of(network, params, contiguous=engine.contiguous)
    store = layout.pack(params, xp=engine.xp)
    loss = LOSSES[case.loss]
    step = Step(
        network, loss, rule, layout, case.batch, "float32", penalised=False, decoupled=False
    )
    plan = make_plan(rule, order, batch_size=case.batch, lr=case.lr, seed=0)
    plan, advance = copy_plan(plan, data[0], "float32"), engine.run(step)
    carry = [Carry(store, {}, init_state(rule, store, xp=engine.xp))]

    def call():
        carry[0], _ = advance(carry[0], data, plan)

    def outcome():
        trained = layout.unpack(carry[0].params, xp=engine.xp)
        return [(to_host(p["W"]), to_host(p["b"])[0]) for _, p in sorted(trained.items())]

    return call, outcome, engine


def steps(case, data, length=None):
    """Prepare chunks of steps on one resident batch, whose rows each step takes in order."""
    length = length or case.stretch
    order = np.tile(np.arange(case.rows), length)
    call, outcome, _ = _chunks(case, data, order)
    return Ready(repeated(call), length, outcome)


def one_step(case, data):
    """Prepare chunks of one step: what a call costs."""
    return steps(case, data, 1)


def by_events(call):
    """Call, wait for the card, and return its seconds between two events."""
    import cupy

    start, end = cupy.cuda.Event(), cupy.cuda.Event()
    start.record()
    call()
    end.record()
    cupy.cuda.Device().synchronize()
    return cupy.cuda.get_elapsed_time(start, end) / 1e3


TIMERS = {"cpu": waited, "cuda": by_events}


def gathered(case, data, device="cuda", accelerate="generic"):
    """Prepare chunks of steps on batches that are gathered on the device."""
    data = [from_host(a, array_at(HOMES[device])) for a in data]
    options = Options(matmul_precision=case.precision, accelerate=accelerate)
    call, outcome, engine = _chunks(case, data, case.order().reshape(-1), options)
    about = {"engine": engine.name}

    def counted():
        with counting() as counts:
            call()
        about.update(launches=counts.launches, notes=counts.notes + _short(case, accelerate))

    return Ready(repeated(counted), case.n_steps, outcome, TIMERS[device], lambda: about)


def _short(case, accelerate):
    exact = case.precision == "highest" or accelerate != "generic"
    return [] if exact else ["its products are float32 whatever is asked for."]


def _estimator(case, **options):
    coefs, intercepts = map(list, zip(*case.weights()))
    return MLPClassifier(
        case.sizes[1:-1],
        case.activation,
        solver=case.rule,
        loss=case.loss,
        alpha=0.0,
        momentum=0.0,
        batch_size=case.batch,
        learning_rate_init=case.lr,
        max_iter=case.epochs,
        n_iter_no_change=case.epochs,
        random_state=0,
        init=(coefs, intercepts),
        **options,
    )


def fit(case, data):
    """Prepare `MLPClassifier.fit`, its checks included."""
    est = _estimator(case, device="cpu")
    run = repeated(quietly(est.fit), data[0], data[1].argmax(axis=1))
    return Ready(run, case.epochs, lambda: list(zip(est.coefs_, est.intercepts_)))


def fit_on_card(case, data, device="cuda", accelerate="generic"):
    """Prepare `MLPClassifier.fit` of arrays on the device, its checks included."""
    like = array_at(HOMES[device])
    x, labels = from_host(data[0], like), from_host(data[1].argmax(axis=1), like)
    est = _estimator(case, matmul_precision=case.precision, accelerate=accelerate)

    def outcome():
        return [(to_host(W), to_host(b)) for W, b in zip(est.coefs_, est.intercepts_)]

    def about():
        return {key: est.fit_report_[key] for key in ("engine", "launches", "notes")}

    run = repeated(quietly(est.fit), x, labels)
    return Ready(run, case.epochs, outcome, TIMERS[device], about)


def _fitted(case):
    """Return an estimator that holds the case's weights."""
    classifies = case.loss == "log_loss"
    make = MLPClassifier if classifies else MLPRegressor
    sizes = {"hidden_layer_sizes": case.sizes[1:-1], "max_iter": 1}
    est = make(**sizes, activation=case.activation, device="cpu")
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


def uncompiled(make, case, data):
    """Make it ready as `make` does, where the compiled engine was not built."""
    program.library = lambda: "left out of this contender"  # type: ignore[assignment]
    return make(case, data)


def _on_card(tier, kind, make):
    make = partial(make, accelerate=tier)
    return Contender(f"xpmlp {tier}", kind, make, ("cupy",), role="own", device="cuda")


CONTENDERS = (
    Contender("xpmlp", "steps", steps, role="own"),
    Contender("xpmlp, one step a call", "steps", one_step, role="shown"),
    Contender("xpmlp, not compiled", "steps", partial(uncompiled, steps), role="shown"),
    Contender("xpmlp", "fits", fit, role="own"),
    Contender("xpmlp, not compiled", "fits", partial(uncompiled, fit), role="shown"),
    Contender("xpmlp", "predict", predict, role="own"),
    Contender("xpmlp predictor", "predict", predictor, role="shown"),
    Contender("xpmlp, not compiled", "predict", partial(uncompiled, predict), role="shown"),
    # The ratios' base is the first that works.
    *(_on_card(tier, "steps", gathered) for tier in ("graph", "eager", "generic")),
    *(_on_card(tier, "fits", fit_on_card) for tier in ("graph", "eager", "generic")),
)
