"""Whole trainings: an estimator's fit on every library, against its own core in a wider float."""

import warnings
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import numpy as np
from sklearn.base import clone, is_classifier

from ... import nn
from ...arrays import from_host, is_numpy
from ...engines import gather
from ...estimators import MLPClassifier, MLPRegressor
from ...estimators.validation import split_rows
from ...nn.layout import put, walk
from ...randomness import stream
from ...training import fit_network, network_outputs
from ...training.plan import epoch_order, make_plan, to_device
from ..backends import FLOATS, dtype_name
from .compare import EQUAL, Bound, Operation, norm


def trainings() -> Iterator[Operation]:
    """Yield a few steps of a classifier and a regressor, and what they then predict."""
    rng = stream(5, "data")
    X, W = rng.normal(size=(64, 6)), rng.normal(size=(6, 3))
    options = {
        "hidden_layer_sizes": (12,), "activation": "tanh", "batch_size": 16, "max_iter": 2,
        "n_iter_no_change": np.inf, "random_state": 0, "dropout": 0.1,
    }  # fmt: skip
    labels, bound = np.argmax(X @ W, axis=1), norm(16, 32)
    yield training(MLPClassifier(**options), X, labels, predict_proba=bound, predict=EQUAL)
    yield training(MLPRegressor(**options), X, X @ W, predict=bound)
    both = options | {
        "hidden_layer_sizes": (12, 12), "dropout": [0.1, 0.0, 0.2], "residual": True,
        "max_grad_norm": 0.5, "max_norm": 1.5, "ema_decay": 0.8, "learning_rate": "cosine",
    }  # fmt: skip
    everything = MLPClassifier(
        **both, normalization="batch", label_smoothing=0.1, class_weight="balanced", solver="nadam"
    )
    yield training(everything, X, labels, "with every option", predict_proba=bound, predict=EQUAL)
    bands = MLPRegressor(
        **both, normalization="layer", loss="quantile", quantiles=[0.1, 0.5, 0.9],
        target_scale="auto",
    )  # fmt: skip
    yield training(bands, X, 1e4 * (X @ W[:, 0]), "of quantiles", predict=bound)


def training(est, X, y, what: str = "", **predictions: Bound) -> Operation:
    """Return the fit of an estimator as an operation: what it draws, and where it ends."""
    if est.solver == "lbfgs":
        raise ValueError("solver='lbfgs' draws neither batches nor masks: take another, as 'adam'.")
    dtypes = () if est.dtype is None else (np.dtype(est.dtype).name,)
    est = clone(est).set_params(device="auto", dtype=None)  # X says where and in what
    if is_classifier(est) and y.ndim == 1:  # as numbers: a library has no text
        y = np.unique(y, return_inverse=True)[1].astype(np.int32)
    _, (network, _, _, recipe, data), params, _ = _posed(est, np.asarray(X, np.float64), y)
    paths, arrays = flat(network, params)

    def told(place, X, problem, start, end, curve, model):
        return {
            "initial weights": flat(network, start)[1],
            **_draws(place, problem, start, len(curve)),
            "loss curve": from_host(np.asarray(curve), place.like, place.dtype),
            "weights": flat(network, end)[1],
            **{method: getattr(model, method)(X) for method in predictions},
        }

    def fitted(place, X, y, *_):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # that it has not converged
            where = "cpu" if is_numpy(X) else "auto"  # NumPy's arrays would go where it pays
            model = clone(est).set_params(device=where).fit(X, y)
        _, problem, start, _ = _posed(est, X, y)
        end = model.model_.params(X)
        return told(place, X, problem, start, end, model.loss_curve_, model)

    def core(place, X, y, *given):
        """The same by `fit_network`, as the estimators know float32 and float64 only."""
        model, problem, _, more = _posed(est, X, y)
        start = unflat(paths, given)
        end, state, _ = fit_network(*(*problem, start), **more)
        layout = nn.Layout.of(network, end, contiguous=False)
        store = layout.pack(end, xp=place.xp)
        outputs = network_outputs(network, layout, store, X, place.engine)
        est_of_core = clone(est)
        est_of_core._model = replace(model.with_params(end), known=(X, outputs))
        return told(place, X, problem, start, end, state.history["loss"], est_of_core)

    steps = recipe.max_iter * -(-len(data[0]) // recipe.batch_size)
    longest = max(recipe.batch_size, *(n for a in arrays for n in a.shape))
    bound = norm(longest, len(arrays) * steps)  # a product or a sum for each, forward or backward
    drawn = dict.fromkeys(("initial weights", "rows of the batches", "dropout masks"), EQUAL)
    bounds = drawn | {"loss curve": bound, "weights": bound} | predictions
    name = f"{type(est).__name__}{' ' * bool(what)}{what}, {steps} steps"
    inputs = X, y, *arrays
    return Operation(name, inputs, fitted, bounds, traced=False, oracle=core, dtypes=dtypes)


def _posed(est, X, y) -> tuple[Any, tuple, dict, Any]:
    """Return what a fit has before its first step, in the dtype of X, however wide.

    A model at its initial weights; the first arguments of `fit_network`; parameters; the options.
    """
    own, wide = clone(est), dtype_name(X) not in FLOATS
    rows, loss, params, model = own._prepared(X.astype(np.float64) if wide else X, y)
    if wide:
        rows = rows._replace(x=rows.x.astype(X.dtype), targets=rows.targets.astype(X.dtype))
    rows, validation = split_rows(own, rows, model, (None,) * 3)
    data, rule = (rows.x, rows.targets), own._rule()
    recipe = own._recipe(rows.x.shape[0], rule, False)
    more = {"sample_weight": rows.weights, "validation": validation}  # the weights of classes
    return model, (model.network, loss, rule, recipe, data), params, more


def _draws(place, problem, params, n_epochs):
    """Return what a training draws: the rows of its batches, the bits of its dropout masks."""
    network, _, rule, recipe, data = problem

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
    for epoch in range(n_epochs):
        order = epoch_order(n, seed=recipe.seed, epoch=epoch, shuffle=recipe.shuffle)
        plan = make_plan(
            rule, order, batch_size=recipe.batch_size, lr=recipe.lr, seed=recipe.seed,
            first_step=epoch * -(-n // recipe.batch_size),
        )  # fmt: skip
        plan = to_device(plan, place.like, place.dtype)
        rows.append(plan.rows)
        masks += compiled(params, data, plan)
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
