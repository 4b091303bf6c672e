"""Whole fits: an estimator on every library, against its own core in a wider float."""

import warnings
from collections.abc import Iterator

import numpy as np

from ...arrays import to_host
from ...estimators import MLPClassifier, MLPRegressor
from ...nn import Layout
from ...nn.layout import put, walk
from ...nn.losses import LINKS
from ...randomness import stream
from ...training import fit_network, network_outputs
from .compare import Bound, Equal, Norm, Operation

OPTIONS = {
    "activation": "tanh", "batch_size": 16, "max_iter": 2, "n_iter_no_change": np.inf,
    "random_state": 0, "dropout": 0.1,
}  # fmt: skip


def estimators() -> Iterator[Operation]:
    """Yield a classifier and a regressor: fit, then predict."""
    rng = stream(5, "data")
    X, W = rng.normal(size=(64, 6)), rng.normal(size=(6, 3))
    labels = np.argmax(X @ W, axis=1).astype(np.int32)
    yield _fit(MLPClassifier, X, labels)
    yield _fit(MLPRegressor, X, X @ W)


def _fit(kind, X, y):
    name, options = kind.__name__, OPTIONS | {"hidden_layer_sizes": (12,)}
    host = kind(**options)._problem(X, y)
    paths, arrays = zip(*((path, a) for path, _, a in walk(host.network, host.params)))

    def fit(place, X, y, *arrays):
        pair = [list(arrays[::2]), [place.xp.reshape(b, (-1,)) for b in arrays[1::2]]]
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # two epochs do not converge
            est = kind(**options, init=pair).fit(X, y)
        made = {"weights": [*est.coefs_, *est.intercepts_], "predict": est.predict(X)}
        return made | ({"predict_proba": est.predict_proba(X)} if name == "MLPClassifier" else {})

    def core(place, X, y, *arrays):
        """The same without the estimator, which computes in float32 and float64 only."""
        est = kind(**options)
        est.seed_, rule, xp = 0, est._rule(), place.xp
        params: dict = {}
        problem = est._problem(X.astype(np.float64), y)
        for path, a in zip(paths, arrays):
            put(params, path, a)
        recipe = est._recipe(len(X), rule, False)
        data = X, xp.astype(problem.targets, X.dtype)
        params, _, _ = fit_network(problem.network, problem.loss, rule, recipe, data, params)
        layout = Layout.of(problem.network, params, contiguous=False)
        outputs = network_outputs(
            problem.network, layout, layout.pack(params, xp=xp), X, place.engine
        )
        trained = [a for _, _, a in walk(problem.network, params)]
        made = {"weights": [*trained[::2], *(b[0, :] for b in trained[1::2])]}
        if name == "MLPRegressor":
            return made | {"predict": outputs}
        codes = to_host(outputs).argmax(axis=1).astype(np.int32)
        return made | {"predict": codes, "predict_proba": LINKS["softmax"](outputs, xp)}

    bound = Norm(16, 4 * 8)  # terms of a batch; products of eight steps
    bounds: dict[str, Bound] = {"weights": bound, "predict": bound}
    if name == "MLPClassifier":
        bounds |= {"predict": Equal(), "predict_proba": bound}
    return Operation(f"estimator {name}", (X, y, *arrays), fit, bounds, traced=False, oracle=core)
