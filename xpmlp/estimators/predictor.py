"""Predictions: of any number of rows in bounded memory, and of a few rows many times."""

from copy import copy
from dataclasses import replace
from numbers import Integral
from threading import Lock
from typing import Any

import numpy as np
from sklearn.utils.validation import check_is_fitted

from ..arrays import array_at, is_numpy
from ..engines import Options, engine_for
from ..errors import ShapeError
from ..nn import Network
from ..training import like_of, network_outputs
from .weights import nested, refresh

PART = 2**19  # elements of X that are converted at once: 2 MB of float32
METHODS = "predict", "predict_proba", "predict_log_proba", "decision_function"


class Predicts:
    """What `BaseMLP` has for predictions; its `_predict` and so on make results of outputs."""

    def predictor(self: Any, n_rows=1, *, method="predict"):
        """Return a function that predicts so many rows a call, without what each call repeats.

        Parameters
        ----------
        n_rows : int, default=1
        method : {"predict", "predict_proba", "predict_log_proba", "decision_function"}
            Of a regressor: "predict".

        Returns
        -------
        callable
            Takes x of shape (n_rows, n_features), returns what the method does. It is quick for
            C-contiguous NumPy arrays in the model's dtype; what else the method takes, it takes
            too. A later fit or change of `coefs_` does not change it. Threads that share it take
            turns; it is not pickled.

        Raises
        ------
        ValueError
            When an argument is none of these; later when x has another shape (ShapeError), holds
            NaN or infinity, or lives elsewhere than the model.

        Examples
        --------
        >>> import numpy as np
        >>> from xpmlp import MLPRegressor
        >>> x = np.linspace(-1, 1, 50, dtype=np.float32)[:, None]
        >>> reg = MLPRegressor(solver="lbfgs", random_state=0).fit(x, 2 * x[:, 0])
        >>> predict = reg.predictor()
        >>> predict(np.asarray([[0.5]], np.float32)).round(1).tolist()
        [1.0]
        """
        check_is_fitted(self)
        if not isinstance(n_rows, Integral) or n_rows < 1:
            raise ValueError(f"n_rows must be a whole number > 0, got {n_rows!r}.")
        known = [name for name in METHODS if hasattr(self, name)]
        if method not in known:
            raise ValueError(f"method must be one of {', '.join(known)}, got {method!r}.")
        twin, like = copy(self), array_at(self._home)
        for name in ("coefs_", "intercepts_", "other_params_"):
            setattr(twin, name, refresh(getattr(self, name), like))
        twin._state = None
        return _repeated(twin, (int(n_rows), self.n_features_in_), method)

    def _network_to_predict(self: Any):
        """Return the network whose outputs predictions are made of: a classifier's logits."""
        *hidden, last = self.network_.layers
        if self._task == "regression" or last.activation == "identity":
            return self.network_
        return Network((*hidden, replace(last, activation="identity")))

    def _options(self: Any):
        """Return how steps and predictions run, as an engine takes it."""
        return Options(self.matmul_precision, self.accelerate, bool(self.deterministic))

    def _outputs(self: Any, X, method, prefix=None):
        """Return outputs for X, at home: of `_network_to_predict`, or of (network, layout)."""
        if not hasattr(self, "coefs_"):
            check_is_fitted(self)
        x = self._checked(X, method=method)
        like = like_of(x)
        network, layout = prefix or (self._network_to_predict(), self._layout)
        engine = engine_for(like, self._options())
        store = layout.pack(nested(self, like), xp=engine.xp)
        made = [
            network_outputs(network, layout, store, self._computed(part), engine)
            for part in self._parts(x)
        ]
        return made[0] if len(made) == 1 else engine.xp.concat(made)

    def _parts(self: Any, x):
        """Cut host rows that have to be converted, so that they are never copied as a whole."""
        fit = is_numpy(x) and x.dtype == self._dtype and x.flags.c_contiguous
        if not is_numpy(x) or (fit and not self._standardises):
            yield x
            return
        rows = max(1, PART // x.shape[1])
        for start in range(0, x.shape[0], rows):
            yield np.ascontiguousarray(x[start : start + rows])


def _repeated(model, shape, method):
    """Return x of that shape -> the method's result; the model is nobody else's."""
    full, finish, scaling = getattr(model, method), getattr(model, "_" + method), model.scaling_
    outputs, lock, dtype = _prepared(model, shape[0]), Lock(), np.dtype(model._dtype)
    zeros = np.zeros(shape[0] * shape[1], dtype)

    def predict(x):
        if type(x) is not np.ndarray or x.shape != shape:
            got = tuple(x.shape if hasattr(x, "shape") else np.shape(x))
            if got != shape:
                raise ShapeError(f"x is {got}, the predictor was made for {shape}.")
        elif outputs and x.dtype == dtype and x.flags.c_contiguous:
            x_in = x if scaling is None else scaling.inputs(x)
            # 0 times NaN or infinity is NaN; isfinite would take twice as long, dot would warn.
            if np.vdot(x_in, zeros) == 0.0:
                with lock:
                    made = outputs(x_in)
                return finish(made, x)
        return full(x)

    return predict


def _prepared(model, n_rows):
    """Return x -> outputs with all that can be made ahead, or None where nothing can."""
    if model._home.library != "numpy" or model.encoder_ is not None:
        return None
    like = np.empty(0)
    own = engine_for(like).outputs(model._network_to_predict(), model._layout, model._dtype)
    return own and own(model._layout.pack(nested(model, like), xp=np), n_rows)
