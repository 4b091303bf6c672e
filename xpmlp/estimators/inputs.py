"""Checks of X, y and weights of any library, in scikit-learn's words."""

from collections.abc import Callable
from copy import copy
from dataclasses import replace
from datetime import date, timedelta
from functools import partial, wraps
from numbers import Integral, Real
from typing import Any, TypeVar, cast

import numpy as np
from scipy.sparse import issparse
from sklearn.base import RegressorMixin
from sklearn.utils import assert_all_finite, check_array, check_random_state
from sklearn.utils.validation import (
    _check_sample_weight,
    _check_y,
    _get_feature_names,
    validate_data,
)

from ..arrays import (
    current_card,
    float_dtype,
    is_array,
    is_numpy,
    is_torch,
    location_of,
    to_host,
)
from ..engines import prepare
from ..errors import DataError
from ..model import Inputs, Scaling
from ..placing import rows_to_host, to_device
from ..plain import as_floats, check_has_values, host_array, labels, numbers
from ..randomness import Draws, random_state
from ..tables.frame import collected, is_lazy, is_table
from ..training import SparseRows, like_of
from ..training.inputs import check_total
from ..training.rows import at_once
from ..transfers import note
from .arguments import engine_options
from .fit_result import FitResult
from .tables import check_columns, check_some, known_table, measured_table, table_dtype

NO_SCORE = "compare predict(X) with y on the device, by the library's own operations"
STANDARDISED = "standard", "global"  # values of feature_scale
CENTRING = (
    "the model standardises its inputs, and centring would make a sparse X dense: pass "
    "X.toarray(), a part of the rows at a time."
)
ENCODED = (str, bytes, date, timedelta, np.datetime64, np.timedelta64)  # of a table, not an array
FLOATS = [np.dtype(np.float64), np.dtype(np.float32)]

Method = TypeVar("Method", bound=Callable[..., Any])


def on_its_card(method: Method) -> Method:
    """Run a method(self, X, ...) with the GPU of X, or of the model, as CuPy's current one.

    What the caller's `np.errstate` raises is raised in the caller's own code alone.
    """

    @wraps(method)
    def call(self, X, *args, **kwargs):
        model = getattr(self, "model_", None)
        device = self.device  # which only a fit from the start heeds
        if model is not None and kwargs.get("goes_on", True):
            device = model.inputs.requested
        raises = [error for error, then in np.geterr().items() if then == "raise"]
        own: Any = dict.fromkeys(raises, "warn") | {"under": "ignore"}
        with current_card(X, device), np.errstate(**own):
            return method(self, X, *args, **kwargs)

    return cast(Method, call)


def checked_rows(estimator, X, model=None, method="fit"):
    """Return checked rows of X, encoded, where they are computed, and the `Inputs` that say how.

    model: that the rows are for; None in a fit from the start, which makes its inputs. The rows, an
    array or SparseRows, are not yet standardised.
    """
    if is_lazy(X):
        note(text="the lazy data frame was computed whole, as the rows are trained on in memory")
        X = collected(X)
    if model is None:
        return _rows_to_fit(estimator, X)
    inputs = model.inputs
    if inputs.encoder is None:
        x, _ = _checked_array(estimator, X, model)
    else:
        x = inputs.encoder.encode(known_table(estimator, X, inputs), inputs.dtype)
    with np.errstate(over="ignore"):  # the check for finite numbers says it
        if not issparse(x):
            return inputs.brought(x, f"{type(estimator).__name__}.{method}", X), inputs
        if inputs.standardises:
            raise ValueError(CENTRING)
        return SparseRows(x.astype(inputs.dtype, copy=False), inputs.like), inputs


def _rows_to_fit(estimator, X):
    """Do what `checked_rows` does in a fit from the start."""
    (frame, encoder), columns = measured_table(estimator, X), None
    if encoder is None:
        if type(X) is not np.ndarray:
            columns = _get_feature_names(X)
        x, dtype = _checked_array(estimator, X)
        frame = x
    else:
        dtype = table_dtype(estimator, X)
        x = encoder.encode(frame, dtype)
    kept, device = dtype, estimator.device
    if estimator.feature_scale in STANDARDISED:
        kept = None  # rows that are standardised keep their floats until then
    with np.errstate(over="ignore"):  # the check for finite numbers says it
        if issparse(x):
            x = SparseRows(x.astype(kept, copy=False), to_device(np.empty((0, 1)), device))
        else:
            begin = partial(prepare, dtype=dtype, options=engine_options(estimator))
            x = to_device(x, device, kept, prepare=begin)
    where = location_of(like_of(x))
    inputs = Inputs(frame.shape[1], dtype, where, requested=device, encoder=encoder)
    if columns is None:
        return x, inputs
    return x, replace(inputs, columns=tuple(columns))


def measured_scaling(kind, x, inputs) -> Scaling:
    """Return means and scales of rows: of each column ("standard"), or one of all ("global")."""
    if inputs.encoder is not None:
        raise ValueError(
            f"feature_scale={kind!r} is for arrays of numbers: a table's columns are scaled by "
            "'auto' or 'robust'."
        )
    if isinstance(x, SparseRows):
        raise ValueError(CENTRING)
    host = rows_to_host(x, "X", "standardise X where it is, and leave feature_scale away")
    scaling = Scaling.of(host, shared=kind == "global")
    largest = max(np.abs(scaling.mean).max(), scaling.scale.max())
    if not largest <= np.finfo(inputs.dtype).max:
        assert_all_finite(host, input_name="X")
        raise DataError(f"X holds numbers too large to be standardised in {inputs.dtype}.")
    return scaling


def _checked_array(estimator, X, model=None):
    """Return X as an array or CSR matrix (n_samples, n_features), and the dtype to compute in.

    Device arrays are checked where they are; everything else becomes NumPy, and a SciPy sparse
    matrix CSR, by scikit-learn's rules.
    """
    if is_array(X) and not is_numpy(X):
        _check_shape(estimator, X, model)
        return X, float_dtype(X, estimator.dtype)
    nameless = model is None or not model.inputs.names
    # scikit-learn's checks take longer than a prediction or a small fit.
    if nameless and type(X) is np.ndarray and X.dtype in FLOATS:
        _check_shape(estimator, X, model)
        return X, model.inputs.dtype if model else float_dtype(X, estimator.dtype)
    if hasattr(X, "tocsr") and not issparse(X):
        raise TypeError(
            f"X is a {type(X).__name__} of {type(X).__module__}, expected an array or a SciPy "
            "sparse matrix: pass X.get() where it lies on a GPU."
        )
    if not (issparse(X) or is_table(X)):
        X = host_array(X, "X")
        _refuse_text(X)
    how = {"accept_sparse": "csr", "dtype": FLOATS, "ensure_all_finite": False}
    if model is None:
        with as_floats("X"):
            x = check_array(X, **how, estimator=estimator, input_name="X")
    else:
        twin = copy(estimator)  # whose model no other thread's fit replaces
        twin.result_ = FitResult(model)
        try:
            with as_floats("X"):
                x = validate_data(twin, X, reset=False, **how)
        except ValueError as error:
            if "feature names should match" in str(error):
                error.args = (f"{error}\nPass X[model.feature_names_in_].",)
            raise
    if getattr(X, "dtype", None) == np.float16 and estimator.dtype is None:
        return x, "float32"
    return x, float_dtype(np.empty(0, x.dtype), estimator.dtype)


def _refuse_text(X):
    """Say how text and dates among the objects of an array are encoded."""
    if X.dtype.kind not in "OUS" or X.ndim != 2:
        return
    columns = [i for i, a in enumerate(X.T) if any(isinstance(value, ENCODED) for value in a)]
    if columns:
        first = next(value for value in X[:, columns[0]] if isinstance(value, ENCODED))
        raise ValueError(
            f"could not convert string to float: X holds {str(first)!r} in column {columns[0]}: to "
            f"encode text, name its columns, categorical_features={columns}, or pass a data frame."
        )


def dense_to_look_into(X):
    """Return X as it is, or as an array if it is sparse and small."""
    if not issparse(X):
        return X
    if X.shape[0] > at_once(X.shape[1]):
        raise ValueError(
            f"X is sparse and {X.shape}, too large to be made dense for a look into one step: pass "
            f"rows of it, {at_once(X.shape[1])} at most."
        )
    return X.toarray()


def _check_shape(estimator, X, model):
    """Check a device array as scikit-learn checks a host array, without copying it."""
    check_has_values(X, "X")
    if is_torch(X) and "strided" not in str(X.layout):
        raise TypeError("X is a sparse tensor: pass X.to_dense(), or a sparse matrix of SciPy.")
    if X.ndim != 2:
        raise ValueError(
            f"Expected 2D array, got {X.ndim}D array instead. Reshape your data: X.reshape(-1, 1) "
            "for one feature, X.reshape(1, -1) for one sample."
        )
    check_some(X.shape, type(estimator).__name__)
    if model is not None:
        check_columns(X.shape[1], model.inputs, type(estimator).__name__)


def on_host(a):
    """Return an array of another library in NumPy, anything else as it is."""
    return to_host(a) if is_array(a) and not is_numpy(a) else a


def host_targets(y, n, *, numeric, name):
    """Return y as a checked host array of n rows, (n,) or (n, n_outputs)."""
    if y is None:
        raise ValueError(f"{name} requires y to be passed, but the target y is None")
    if not issparse(y):
        y = numbers(y, "y") if numeric else labels(y, "y")
    if not issparse(y) and y.dtype.kind in "biuf" and y.size and y.ndim in (1, 2):
        assert_all_finite(y, input_name="y")  # all that there is to check
    else:
        y = _check_y(y, multi_output=True, y_numeric=numeric)
    if issparse(y):
        y = y.toarray()
    if y.shape[0] != n:
        raise ValueError(
            f"Found input variables with inconsistent numbers of samples: [{n}, {y.shape[0]}]"
        )
    return y


def check_weights(sample_weight, n):
    """Return sample weights as float64 host array (n,), or None."""
    if sample_weight is None:
        return None
    w = sample_weight
    if not isinstance(w, Real):  # which scikit-learn takes as that of all rows
        w = numbers(w, "sample_weight")
    w = _check_sample_weight(w, np.empty((n, 1)), dtype=np.float64, ensure_non_negative=True)
    check_total(w, "float64", "sample_weight")
    return w


def r2(y, predictions, sample_weight=None) -> float:
    """Return R^2, which no common factor changes: squares of large numbers would overflow."""
    from sklearn.metrics import r2_score

    exponents = np.frexp(np.abs(y).max(axis=0))[1]  # of each column
    factor = np.ldexp(1.0, -np.maximum(exponents, -1000))
    with np.errstate(over="ignore"):  # of predictions far larger than y it is -inf
        made = np.clip(factor * predictions, -1e300, 1e300)
        return float(r2_score(factor * y, made, sample_weight=sample_weight))


def scored(metric, estimator, X, y, sample_weight):
    """Return a metric (y, predictions, sample_weight=) of the predictions for X."""
    made = rows_to_host(estimator.predict(X), "the predictions", NO_SCORE)
    how = {"numeric": isinstance(estimator, RegressorMixin), "name": type(estimator).__name__}
    y = host_targets(y, len(made), **how)
    with np.errstate(invalid="ignore"):  # it casts large floats to whole numbers
        return float(metric(y, made, sample_weight=check_weights(sample_weight, len(made))))


def seed_of(given):
    """Return the integer that names what scikit-learn does not draw; None draws one.

    Of a RandomState it is a hash, which leaves that where it stands.
    """
    if isinstance(given, Integral):
        return int(given)
    if given is None:
        return int(check_random_state(None).randint(2**31 - 1))
    _, words, place, *_ = given.get_state()
    return int(np.random.SeedSequence([place, *words]).generate_state(1)[0] >> 1)


def drawn_from(given, result, *, goes_on, drawn=None):
    """Return the seed of a fit, and its Draws.

    An integer begins it again in each call of fit, a RandomState goes on, as in scikit-learn;
    `partial_fit` (goes_on) goes on in any case, and so does what None drew; drawn: that, of
    another process.
    """
    seed = seed_of(given) if result is None else result.seed
    if drawn is not None:
        seed = drawn
    before = getattr(result and result.state, "draws", None)
    if before is not None and (goes_on or given is None):
        draws = before.copy()
    else:
        draws = Draws(random_state(seed if given is None else seed_of(given)))
    if isinstance(given, np.random.RandomState):
        draws.generator.set_state(given.get_state())
    if not goes_on:
        draws.order = None
    return seed, draws
