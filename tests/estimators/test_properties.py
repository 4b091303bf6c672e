"""Whatever container, dtype, order or byte order X comes in: the same model."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from xpmlp import MLPClassifier, MLPRegressor

pytestmark = pytest.mark.filterwarnings("ignore:.*Maximum iterations")

DTYPES = [
    "float64",
    "float32",
    "float16",
    "int64",
    "int16",
    "uint8",
    "bool",
    "object",
    "longdouble",
]


def _strided(x):
    wide = np.zeros((x.shape[0] * 2, x.shape[1] * 3), x.dtype)
    wide[::2, ::3] = x
    return wide[::2, ::3]


def _negative(x):
    return x[::-1, ::-1].copy()[::-1, ::-1]


def _readonly(x):
    x = x.copy()
    x.flags.writeable = False
    return x


def _swapped(x):
    return x.astype(x.dtype.newbyteorder()) if x.dtype.kind in "iuf" else x


LAYOUTS = [np.ascontiguousarray, np.asfortranarray, _strided, _negative, _readonly, _swapped]
CONTAINERS = [lambda x: x, lambda x: x.tolist(), pd.DataFrame, lambda x: [list(row) for row in x]]


@settings(max_examples=60, deadline=None)
@given(
    kind=st.sampled_from([MLPClassifier, MLPRegressor]),
    dtype=st.sampled_from(DTYPES),
    layout=st.sampled_from(LAYOUTS),
    container=st.sampled_from(CONTAINERS),
    seed=st.integers(0, 2**31 - 1),
    n=st.integers(2, 30),
)
def test_every_form_of_x_gives_the_model_of_the_plain_array(
    kind, dtype, layout, container, seed, n
):
    rng = np.random.default_rng(seed)
    values = rng.integers(0, 2 if dtype == "bool" else 9, (n, 3))
    y = (values[:, 0] > values[:, 0].mean()).astype(int)
    x = container(layout(values.astype(dtype)))
    before = np.array(x, copy=True)
    oracle = kind(hidden_layer_sizes=(4,), max_iter=3, random_state=seed).fit(
        values.astype(float), y
    )
    est = kind(hidden_layer_sizes=(4,), max_iter=3, random_state=seed).fit(x, y)
    np.testing.assert_array_equal(np.asarray(x), before)
    short = str(est.coefs_[0].dtype) == "float32"
    np.testing.assert_allclose(est.loss_curve_, oracle.loss_curve_, rtol=1e-4 if short else 1e-12)
    assert est.predict(x).shape == (n,)


@pytest.mark.filterwarnings("ignore:.*Maximum iterations")
@settings(max_examples=30, deadline=None)
@given(
    bad=st.sampled_from([np.nan, np.inf, -np.inf, 1e39]),
    row=st.integers(0, 9),
    column=st.integers(0, 2),
    frame=st.booleans(),
)
def test_a_value_that_is_not_finite_is_refused_but_for_a_hole_in_a_table(bad, row, column, frame):
    x = np.ones((10, 3))
    x[row, column] = bad
    est = MLPRegressor(hidden_layer_sizes=(2,), dtype="float32", max_iter=1, tol=1.0)
    if frame and np.isnan(bad):  # in a table it is a hole
        est.fit(pd.DataFrame(x), np.ones(10))
        assert est.encoder_.names[-1] == f"{column} missing"
        return
    with np.errstate(over="ignore"), pytest.raises(ValueError, match="NaN|infinity|too large"):
        est.fit(pd.DataFrame(x) if frame else x, np.ones(10))
    assert not hasattr(est, "coefs_")


@settings(max_examples=25, deadline=None)
@given(labels=st.lists(st.integers(-(2**62), 2**62), min_size=1, max_size=6, unique=True))
def test_integer_labels_of_any_size_come_back_exactly(labels):
    y = np.asarray(labels * 4)
    x = np.arange(len(y), dtype=float)[:, None]
    est = MLPClassifier((3,), max_iter=2, random_state=0).fit(x, y)
    assert est.classes_.tolist() == sorted(labels)
    assert set(est.predict(x).tolist()) <= set(labels)


@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 1000), n=st.integers(3, 40))
def test_repeated_rows_equal_whole_weights_in_a_full_batch(seed, n):
    rng = np.random.default_rng(seed)
    x, y, times = rng.normal(size=(n, 3)), rng.normal(size=n), rng.integers(0, 4, n)
    times[0] = 1
    kw = {
        "hidden_layer_sizes": (4,),
        "max_iter": 5,
        "random_state": 0,
        "batch_size": 10**6,
        "tol": 0,
    }
    with pytest.warns(UserWarning, match="clipped"):
        weighted = MLPRegressor(**kw).fit(x, y, sample_weight=times)
        repeated = MLPRegressor(**kw).fit(np.repeat(x, times, axis=0), np.repeat(y, times))
    np.testing.assert_allclose(weighted.loss_curve_, repeated.loss_curve_, rtol=1e-9)
