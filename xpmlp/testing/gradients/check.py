"""`check_gradients`: is this backward pass the derivative of this forward pass, and if not, why?"""

import inspect
from typing import Any

import numpy as np

from ...arrays import is_array
from ...nn import Activation, ActivationFunction, Layer, Loss
from ...words import check_word
from ..own_code.adapters import Functions, same_draws
from ..own_code.calls import DATA
from ..own_code.objects import Net
from ..own_code.predictions import fitting
from .code import Code
from .functions import check_functions
from .layers import check_estimator, check_layer, check_loss
from .report import GradientReport

BROUGHT = ("forward", "backward", "params", "X", "y")


def check_gradients(
    subject: Any = None,
    *args: Any,
    dtype: str = "float64",
    loss: Any = None,
    rate: float | None = None,
    names: Any = None,
    step: str | None = None,
    **data: Any,
) -> GradientReport:
    """Check a backward pass against differences of its forward pass, and explain what is wrong.

    ``check_gradients(subject, X, y=None)`` takes a layer, an activation, a network, a loss (X are
    then outputs) or an estimator (fitted, or as it would start). ``check_gradients(forward,
    backward, params, X, y=None)`` takes your own functions, plain NumPy included, and
    ``check_gradients(net, X, y, loss=...)`` an object of yours.

    Parameters
    ----------
    subject : Layer, ActivationFunction, Loss, Network, estimator, callable, or object
        As a callable, ``forward(params, X[, y])`` returns the cost, or (cost, dict of its
        intermediate values), which sharpens the diagnosis; with `loss` it returns predictions or
        all activations. Arguments may stand in another order, or be arrays under their names.
        Without `backward` it returns the cost and the gradients. An object has arrays in its
        attributes (or in lists, dicts and objects there), a method such as ``forward`` or
        ``predict``, and one that returns gradients, stores them (``self.dW1``), or updates.
    backward : callable
        ``backward(params, X[, y])`` returns the gradients in the form of `params`, or as a tuple,
        or a dict with keys such as dW1; or it updates `params` in place by a `rate`. It may take
        what forward returned (``cache``). It is called right after `forward`.
    params : dict or list of arrays, or array
        Samples may stand in rows or in columns.
    X, y : arrays
        Of any library; what is checked runs there. A few samples are enough. For functions X may
        be a list of pairs (x, y).
    dtype : {"float64", "float32"}, default="float64"
        To compute in. float32 gets wider bounds, which the report states.
    loss : str or callable, default="squared_error"
        For a network with y. For functions that return predictions: "squared_error", "log_loss",
        or their common names; sum or mean, with 1/2 or without, as most gradients have it, which
        a note says. Or a function of the predictions and y. An object's method ``loss`` or
        ``cost`` says it, too.
    rate : float, optional
        Of an update by a function or method without gradients: these are (old - new) / rate. By
        default an argument or attribute such as ``learning_rate`` tells it.
    names : list of str, optional
        The attributes of an object that hold its parameters, by default all arrays on which its
        forward depends.
    step : str, optional
        The method of an object that makes gradients, by default one called like ``backward`` or
        ``train``.

    Returns
    -------
    GradientReport
        ``report.ok``, ``report.mistakes``; ``print(report)`` explains.

    Raises
    ------
    TypeError, ValueError
        When the arguments are none of these.

    References
    ----------
    Press et al. 2007, section 5.7 (central differences); Squire & Trapp 1998 (complex step, for
    functions that take complex numbers; it sees no kinks, so layers and losses do without).

    Examples
    --------
    >>> import numpy as np
    >>> from xpmlp import nn
    >>> X = np.linspace(-1, 1, 12).reshape(6, 2)
    >>> check_gradients(nn.Dense(3, "tanh"), X).ok
    True
    >>> def forward(p, X, y):
    ...     return np.sum((np.tanh(X @ p["W1"] + p["b1"]) @ p["W2"] - y) ** 2)
    >>> def backward(p, X, y):
    ...     a = np.tanh(X @ p["W1"] + p["b1"])
    ...     d2 = 2 * (a @ p["W2"] - y)
    ...     d1 = d2 @ p["W2"].T  # and the derivative of tanh?
    ...     return {"W1": X.T @ d1, "b1": d1.sum(axis=0), "W2": a.T @ d2}
    >>> rng = np.random.default_rng(0)
    >>> p = {"W1": rng.normal(size=(2, 3)), "b1": np.zeros(3), "W2": rng.normal(size=(3, 1))}
    >>> report = check_gradients(forward, backward, p, X, X[:, :1])
    >>> [(mistake.kind, mistake.layer) for mistake in report.mistakes]
    [('derivative_missing', 1)]

    A forward that returns predictions, and a backward that returns a tuple:

    >>> def predict(X, W):
    ...     return X @ W
    >>> def gradients(X, y, W):
    ...     return (X.T @ (y - X @ W),)
    >>> params = {"W": np.ones((2, 1))}
    >>> print(check_gradients(predict, gradients, params, X, X[:, :1], loss="sse").mistakes[0].kind)
    sign

    An object that updates itself:

    >>> class Net:
    ...     def __init__(self):
    ...         self.W = np.ones((2, 1))
    ...     def forward(self, X):
    ...         return X @ self.W
    ...     def train(self, X, y, rate=0.1):
    ...         self.W -= rate * 2 * X.T @ (self.forward(X) - y)
    >>> check_gradients(Net(), X, X[:, :1], loss="mse").ok
    True
    """
    dtype = str(getattr(dtype, "__name__", dtype))
    check_word("dtype", dtype, ("float64", "float32"))
    if others := set(data) - {*BROUGHT}:
        raise TypeError(f"check_gradients takes no argument {', '.join(sorted(others))}.")
    given = {name: value for name, value in data.items() if value is not None}
    if subject is None:
        subject = given.pop("forward", None)
    pieces = [given[name] for name in ("backward",) if name in given] + list(args)
    if "params" in given:
        pieces.insert(int(callable((*pieces, None)[0])), given["params"])
    args = (*pieces, *(given[name] for name in DATA if name in given))
    own = {"rate": rate, "names": names, "step": step}
    if isinstance(subject, ActivationFunction):
        subject = Activation(subject)
    known = isinstance(subject, Layer | Loss) or hasattr(subject, "find_learning_rate")
    if not known and not isinstance(subject, type):
        with same_draws():
            return _check_own_code(subject, args, dtype, loss, own)
    if isinstance(subject, type):
        raise TypeError(f"check_gradients got the class {subject.__name__}: make one first.")
    if any(value is not None for value in own.values()):
        raise ValueError("rate=, names= and step= are for code of your own; leave them out.")
    if isinstance(subject, Layer):
        return check_layer(subject, _data(args, "a layer"), dtype, loss)
    if loss is not None:
        raise ValueError(f"loss={loss!r} is for a layer or network with y; leave it out.")
    if isinstance(subject, Loss):
        return check_loss(subject, _data(args, "a loss", "X and y"), dtype)
    return check_estimator(subject, _data(args, "an estimator", "X and y"), dtype)


def _check_own_code(subject, args, dtype, loss, own):
    """Check functions or an object of somebody's own."""
    if callable(subject) and args and callable(args[0]):
        if not 3 <= len(args) <= 4:
            raise TypeError(
                "check_gradients(forward, backward, params, X, y) takes parameters and data, got "
                f"{len(args) - 1} arguments after backward."
            )
        source = Functions(subject, args[0], args[1], args[2:], loss, own["rate"])
    elif inspect.isroutine(subject) and 2 <= len(args) <= 3:
        source = Functions(subject, None, args[0], args[1:])
    elif hasattr(subject, "__dict__") and not inspect.isroutine(subject) and 1 <= len(args) <= 2:
        source = Net(subject, args, loss, **own)
    else:
        raise TypeError(
            "check_gradients takes a layer (derived from nn.Layer), loss, network or estimator "
            "with X and y, or forward, backward, params, X and y; got "
            f"{type(subject).__name__}."
        )
    return _check_in_best_scale(source, dtype)


def _check_in_best_scale(source, dtype):
    """Check what was brought; where a word says the cost, in the scale that the gradients have.

    That is the one that fits most of them, and if none fits, the one that leaves fewest mistakes.
    """
    predicted, readings, n_fit = source.predicted, [source.reading], 1
    if predicted is not None and not (predicted.own and source.rate_known):
        readings, n_fit = fitting(Code(source, dtype), source)
    if predicted is not None and predicted.loss is None and not n_fit:
        raise TypeError(
            "No loss was given, and neither a squared error nor a cross-entropy fits any gradient: "
            'add loss="squared_error", "log_loss" or a function of the predictions and y.'
        )
    reports = []
    for source.reading in readings[: 1 if n_fit else None]:
        reports.append(check_functions(source, dtype))
        reports[-1].notes += [*_on_the_cost(predicted, source.reading), *source.remarks()]
    return min(reports, key=lambda report: len(report.mistakes))


def _on_the_cost(predicted, reading):
    """Yield a note on what a word, or none, was taken for."""
    if predicted is None or predicted.own:
        return
    given = f"of what loss={predicted.loss!r} may mean, the scale that fits best"
    if predicted.loss is None:
        given = "no loss was given, it fits the gradients best"
    yield f"The cost is {reading}: {given}"


def assert_gradients(subject: Any, *args: Any, **options: Any) -> None:
    """Raise an AssertionError that explains what is wrong, unless the gradients are right.

    Parameters
    ----------
    subject, *args, **options : any
        As in `check_gradients`.

    Raises
    ------
    AssertionError
        Its message is the report of `check_gradients`.

    Examples
    --------
    >>> import numpy as np
    >>> from xpmlp import nn
    >>> assert_gradients(nn.losses.LOSSES["poisson"], np.ones((4, 2)), np.ones((4, 2)))
    """
    report = check_gradients(subject, *args, **options)
    if not report.ok:
        raise AssertionError(str(report))


def _data(args, what, wants="X (and y)"):
    """Return X and y, or say what is missing."""
    if not 1 + (wants == "X and y") <= len(args) <= 2:
        raise TypeError(f"check_gradients of {what} takes {wants}, got {len(args)} arguments.")
    X, y = (*args, None)[:2]
    try:
        if not is_array(X):
            X = np.asarray(X, np.float64)
    except (TypeError, ValueError) as error:
        raise TypeError(f"X must be an array of numbers, got {X!r:.60}.") from error
    return X, y
