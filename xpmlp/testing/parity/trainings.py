"""Whole trainings: an estimator's fit on every library, against its own core in a wider float."""

import warnings
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import numpy as np
from sklearn.base import clone, is_classifier

from ... import nn
from ...arrays import dtype_name, from_host, is_numpy
from ...engines import gather
from ...estimators import MLPClassifier, MLPRegressor
from ...estimators.problem import Problem, problem_of
from ...estimators.validation import split
from ...nn.layout import put, walk
from ...randomness import stream
from ...training import network_outputs
from ...training.plan import copy_plan, epoch_order, make_plan
from ..backends import FLOATS
from .compare import EQUAL, Bound, Operation, in_floats, norm


def trainings() -> Iterator[Operation]:
    """Yield a few steps of a classifier and a regressor, and what they then predict."""
    rng = stream(5, "data")
    X, W = rng.normal(size=(64, 6)), rng.normal(size=(6, 3))
    options: dict[str, Any] = {"hidden_layer_sizes": (12,), "activation": "tanh", "dropout": 0.1}
    options |= {"batch_size": 16, "max_iter": 2, "n_iter_no_change": np.inf, "random_state": 0}
    labels, bound = np.argmax(X @ W, axis=1), norm(16, 32)
    yield training(MLPClassifier(**options), X, labels, predict_proba=bound, predict=EQUAL)
    yield training(MLPRegressor(**options), X, X @ W, predict=bound)
    both = options | {"hidden_layer_sizes": (12, 12), "dropout": [0.1, 0.0, 0.2], "residual": True}
    both |= {"max_grad_norm": 0.5, "max_norm": 1.5, "ema_decay": 0.8, "learning_rate": "cosine"}
    everything = MLPClassifier(
        **both, normalization="batch", label_smoothing=0.1, class_weight="balanced", solver="nadam"
    )
    yield training(everything, X, labels, "with every option", predict_proba=bound, predict=EQUAL)
    both |= {"loss": "quantile", "quantiles": [0.1, 0.5, 0.9], "target_scale": "auto"}
    bands = MLPRegressor(**both, normalization="layer")
    yield training(bands, X, 1e4 * (X @ W[:, 0]), "of quantiles", predict=bound)


def training(est, X, y, what: str = "", **predictions: Bound) -> Operation:
    """Return the fit of an estimator as an operation: what it draws, and where it ends."""
    if est.solver == "lbfgs":
        raise ValueError("solver='lbfgs' draws neither batches nor masks: take another, as 'adam'.")
    dtypes = () if est.dtype is None else (np.dtype(est.dtype).name,)
    est = clone(est).set_params(device="auto", dtype=None)  # X says where and in what
    if is_classifier(est) and y.ndim == 1:  # as numbers: a library has no text
        y = np.unique(y, return_inverse=True)[1].astype(np.int32)
    problem = _problem(est, np.asarray(X, np.float64), y)
    paths, arrays = flat(problem.model.network, problem.params)

    def outputs(place, problem, end, curve, predict):
        """Return what is compared: of the problem, of its last parameters, of predictions."""
        network = problem.model.network
        return {
            "initial weights": flat(network, problem.params)[1],
            **_draws(place, problem, len(curve)),
            "loss curve": from_host(np.asarray(curve), place.like, place.dtype),
            "weights": flat(network, end)[1],
            **{method: predict(method) for method in predictions},
        }

    def fitted(place, X, y, *_):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # that it has not converged
            where = "cpu" if is_numpy(X) else "auto"  # NumPy's arrays would go where it pays
            own = clone(est).set_params(device=where)
            own.set_params(accelerate=place.accelerate or est.accelerate)
            fit = own.fit(X, y)
        predict = lambda method: getattr(fit, method)(X)  # which heeds `accelerate`
        return outputs(place, _problem(est, X, y), fit.model_.params(X), fit.loss_curve_, predict)

    def core(place, X, y, *given):
        """The same by `fit_network`, as the estimators know float32 and float64 only."""
        problem = replace(_problem(est, X, y), params=unflat(paths, given))
        end, state, _ = problem.trained()
        model = problem.model
        store = model.layout.pack(end, xp=place.xp)
        z = network_outputs(model.predicting, model.layout, store, X, place.engine)
        predict = lambda method: getattr(model.targets, method)(z, X)
        return outputs(place, problem, end, state.history["loss"], predict)

    options, n = problem.options, problem.rows.x.shape[0]
    steps = options.max_iter * -(-n // options.batch_size)
    longest = max(options.batch_size, *(n for a in arrays for n in a.shape))
    bound = norm(longest, len(arrays) * steps)  # a product or a sum for each, forward or backward
    drawn = dict.fromkeys(("initial weights", "rows of the batches", "dropout masks"), EQUAL)
    bounds = drawn | {"loss curve": bound, "weights": bound} | predictions
    name = f"{type(est).__name__}{' ' * bool(what)}{what}, {steps} steps"
    inputs = X, y, *arrays
    return Operation(
        name, inputs, fitted, bounds, traced=False, oracle=core, dtypes=dtypes, by_engine=True
    )


def _problem(est, X, y) -> Problem:
    """Return what a fit in plain operations starts from, in the dtype of X, however wide."""
    own, wide = clone(est).set_params(accelerate="generic"), lambda a: in_floats(a, X.dtype)
    like = X if dtype_name(X) in FLOATS else X.astype(np.float64)
    problem = split(own, problem_of(own, like, y), (None, None, None))
    if like is X:
        return problem
    rows, held_out = problem.rows, problem.held_out
    rows = rows._replace(x=wide(rows.x), targets=wide(rows.targets))
    if held_out is not None:
        held_out = replace(held_out, x=wide(held_out.x), y=wide(held_out.y))
    return replace(problem, rows=rows, held_out=held_out)


def _draws(place, problem, n_epochs):
    """Return what a training draws: the rows of its batches, the bits of its dropout masks."""
    network, options, data = problem.model.network, problem.options, problem.rows[:2]

    def bits(params, data, plan):
        """All batches of an epoch at once, along the member axis."""
        masks: list = []

        def random_bits(*args, **options):
            masks.append(place.engine.kernels.random_bits(*args, **options))
            return masks[-1]

        x, _, hyper = gather(data, plan, xp=place.xp)
        kernels = place.engine.kernels._replace(random_bits=random_bits)
        ctx = nn.Ctx(place.xp, True, kernels, hyper.weights, hyper.n_rows, hyper.key)
        network.forward(params, x, ctx)
        return masks

    rows, masks, n, compiled = [], [], data[0].shape[0], place.engine.compile(bits)
    seed, size, lr = options.seed, options.batch_size, options.learning_rate
    for epoch in range(n_epochs):
        order = epoch_order(n, seed=seed, epoch=epoch, shuffle=options.shuffle)
        at = {"seed": seed, "first_step": epoch * -(-n // size)}
        plan = make_plan(problem.rule, order, batch_size=size, lr=lr, **at)
        plan = copy_plan(plan, place.like, place.dtype)
        rows.append(plan.rows)
        masks += compiled(problem.params, data, plan)
    return {"rows of the batches": rows, "dropout masks": masks}


def flat(layer, params):
    """Return the paths and the arrays of nested dicts of parameters."""
    found = [(path, a) for path, _, a in walk(layer, params)]
    return [path for path, _ in found], [a for _, a in found]


def unflat(paths, arrays):
    """Return nested dicts of parameters."""
    params: dict = {}
    for path, a in zip(paths, arrays):
        put(params, path, a)
    return params
