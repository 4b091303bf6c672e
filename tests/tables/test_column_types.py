"""One column in every type that data frames have for it: the same frame, or refused by name."""

import datetime as dt
from decimal import Decimal
from fractions import Fraction

import numpy as np
import pandas as pd
import pytest
from each import each

from xpmlp import MLPRegressor
from xpmlp.errors import DataError
from xpmlp.tables.frame import frame_of

pl = pytest.importorskip("polars", reason="polars is not installed")
pa = pytest.importorskip("pyarrow", reason="pyarrow is not installed")
NAN, NA = float("nan"), pd.NA
NOON = dt.datetime(2024, 5, 1, 12)
SPARSE = pd.arrays.SparseArray


def typed(values, *dtypes):
    """Return pandas' columns of these types."""
    return {str(dtype): pd.Series(values, dtype=dtype) for dtype in dtypes}


def arrow(values, *types):
    """Return these types of Arrow, as pandas has them and by themselves."""
    for kind in types:
        yield f"pandas {kind}", pd.Series(values, dtype=pd.ArrowDtype(kind))
        yield f"pyarrow {kind}", pa.table({"a": pa.array(values, kind)})


def polars(values, *types):
    return {f"polars {kind}": pl.Series("a", values, dtype=kind) for kind in types}


def objects(*columns):
    return {f"objects {column}": pd.Series(column, dtype=object) for column in columns}


WHOLE = "Int8 Int16 Int32 Int64 UInt8 UInt16 UInt32 UInt64 Float32 Float64".split()
OF_ARROW = pa.int8(), pa.uint8(), pa.int64(), pa.uint64(), pa.float16(), pa.float32(), pa.float64()
OF_POLARS = pl.Int8, pl.UInt8, pl.Int64, pl.UInt64, pl.Int128, pl.Float32, pl.Float64, pl.Decimal
NUMBERS = {  # each is 1, missing, 0
    **typed([1, None, 0], *WHOLE, "f4", "f8", ">f8", "longdouble"),
    **dict(arrow([1, None, 0], *OF_ARROW)),
    **dict(arrow([Decimal(1), None, Decimal(0)], pa.decimal128(9, 2), pa.decimal256(50, 2))),
    **polars([1, None, 0], *OF_POLARS),
    "sparse": pd.Series(SPARSE([1.0, NAN, 0.0])),
    "sparse float32": pd.Series(SPARSE(np.asarray([1, NAN, 0], "f4"), fill_value=0)),
    "polars objects": pl.Series("a", [1, None, Decimal(0)], dtype=pl.Object),
    **objects([1, None, 0], [1.0, NAN, 0], [np.int8(1), NA, Decimal(0)], [Fraction(1), pd.NaT, 0]),
    **objects([Decimal(1), Decimal("nan"), np.float32(0)], [np.longdouble(1), None, np.bool_(0)]),
    # Booleans are 1 and 0.
    **typed([True, None, False], "boolean"),
    **dict(arrow([True, None, False], pa.bool_())),
    **polars([True, None, False], pl.Boolean),
    **objects([True, None, False], [np.True_, NAN, np.False_]),
}
WITHOUT_MISSING = {  # each is 1, 0
    **typed([1, 0], "i1", "u1", "i8", "u8", "f2", "bool", ">i4"),
    **{f"sparse {t}": pd.Series(SPARSE(np.asarray([1, 0], t))) for t in "? i1 i8 u2 f4 f8".split()},
    "sparse filled with 1": pd.Series(SPARSE([1, 0], fill_value=1)),
    "run ends": pa.table({"a": pa.RunEndEncodedArray.from_arrays([1, 2], pa.array([1.0, 0.0]))}),
}
TEXTS = {  # each is "x", missing, "y"
    **typed(["x", None, "y"], "str", "string", "string[python]", "string[pyarrow]", "category"),
    **typed(["x", None, "y"], pd.StringDtype(na_value=NAN), pd.CategoricalDtype(["y", "x", "z"])),
    **dict(arrow(["x", None, "y"], pa.string(), pa.large_string(), pa.string_view())),
    **dict(arrow(["x", None, "y"], pa.dictionary(pa.int8(), pa.string()))),
    **polars(["x", None, "y"], pl.String, pl.Categorical, pl.Enum(["y", "x"])),
    **objects(["x", None, "y"], [np.str_("x"), NA, " y "], ["x", NAN, "y"], ["x", "", "y"]),
    "sparse objects": pd.Series(SPARSE(np.asarray(["x", None, "y"], object), fill_value="x")),
    "StringDType": pd.Series(np.asarray(["x", "", "y"], np.dtypes.StringDType())),
}
DATES = {  # each is NOON, missing
    **typed([NOON, None], "M8[s]", "M8[ms]", "M8[us]", "M8[ns]"),
    **typed(
        [NOON.replace(tzinfo=dt.UTC), None], "datetime64[ns, UTC]", "datetime64[s, Asia/Tokyo]"
    ),
    **dict(arrow([NOON, None], pa.timestamp("s"), pa.timestamp("ns"), pa.timestamp("us", "UTC"))),
    **polars([NOON, None], pl.Datetime, pl.Datetime("ms"), pl.Datetime("us", "UTC")),
    **objects([NOON, None], [pd.Timestamp(NOON), pd.NaT], [np.datetime64(NOON), NAN]),
    **objects([NOON.astimezone(dt.timezone(dt.timedelta(hours=5))), None]),
    "sparse": pd.Series(SPARSE(np.asarray([NOON, "NaT"], "M8[ns]"))),
    "period": pd.Series(pd.PeriodIndex([NOON, None], freq="h")),
}
CATEGORIES = {  # each is its first value, missing; and that value as text
    "of whole numbers": (pd.Categorical([1, None]), "1"),
    "of floats": (pd.Categorical([2.5, None]), "2.5"),
    "of booleans": (pd.Categorical([True, None]), "1"),
    "of decimals": (pd.Categorical([Decimal("1.0"), None]), "1"),
    "of dates": (pd.Categorical([dt.date(2024, 5, 1), None]), "2024-05-01"),
    "of intervals": (pd.cut([1, NAN], [0, 2]), "(0.0, 2.0]"),
    "of an order": (pd.Categorical(["lo", None], ["lo", "hi"], ordered=True), "lo"),
    "of numbers and text": (pd.Series([1, None, "a"], dtype=object)[:3], "1"),
}
REFUSED = {  # and the words that name what is there
    "pandas complex": (pd.Series([1j]), "complex128"),
    "sparse complex": (pd.Series(SPARSE([1j])), r"Sparse\[complex128"),
    "pandas interval": (pd.Series(pd.interval_range(0, 1)), r"interval\[int64"),
    **{
        f"{library} {name}": (column, words)
        for name, value, kind, words in [
            ("list", [1], pa.list_(pa.int64()), "list<"),
            ("struct", {"b": 1}, pa.struct([("b", pa.int64())]), "struct<"),
            ("binary", b"x", pa.binary(), "binary"),
            ("map", [("k", 1)], pa.map_(pa.string(), pa.int64()), "map<"),
        ]
        for library, column in zip(("pandas", "pyarrow"), dict(arrow([value], kind)).values())
    },
    "polars list": (pl.Series("a", [[1]]), r"List\(Int64"),
    "polars array": (pl.Series("a", [[1]], dtype=pl.Array(pl.Int64, 1)), r"Array\(Int64"),
    "polars struct": (pl.Series("a", [{"x": 1}]), "Struct"),
    "polars binary": (pl.Series("a", [b"x"]), "Binary"),
    "polars objects": (pl.Series("a", [{1}], dtype=pl.Object), "of type set"),
    "bytes": (pd.Series([b"x"], dtype=object), "of type bytes"),
    "arrays": (pd.Series([np.ones(2)], dtype=object), "of type ndarray"),
    "dates and text": (pd.Series([NOON, "x"], dtype=object), "mixes .* datetime, str: use one"),
    "dates and numbers": (pd.Series([NOON.date(), 3], dtype=object), "mixes .* date, int: use one"),
    "durations and numbers": (pd.Series([dt.timedelta(1), 3], dtype=object), "of type timedelta"),
    "infinity": (pd.Series([Decimal("inf")], dtype=object), "infinity in row 0"),
    "a number too large": (pd.Series([np.longdouble("1e4000")], dtype=object), "infinity in row 0"),
}


def column_of(given):
    """Return the kind and the values of the one column of what is given."""
    if isinstance(given, pd.Series | pd.Categorical):
        given = pd.DataFrame({"a": given})
    if isinstance(given, pl.Series):
        given = given.to_frame()
    frame = frame_of(given)
    return frame.kinds[0], frame.column(0)


@each("name", NUMBERS)
def test_numbers_and_booleans_of_any_type_are_numbers(name):
    kind, values = column_of(NUMBERS[name])
    assert kind == "number" and values.dtype == np.float64
    np.testing.assert_array_equal(values, [1, NAN, 0])


@each("name", WITHOUT_MISSING)
def test_numbers_of_types_without_missing_values_are_numbers(name):
    kind, values = column_of(WITHOUT_MISSING[name])
    assert (kind, values.tolist()) == ("number", [1, 0])


@each("name", TEXTS)
def test_text_of_any_type_is_text(name):
    kind, values = column_of(TEXTS[name])
    assert (kind, values.tolist()) == ("category", ["x", None, "y"])


@each("name", DATES)
def test_dates_of_any_type_are_dates_in_utc(name):
    kind, values = column_of(DATES[name])
    assert (kind, values.tolist()) == ("date", [NOON, None])


@each("name", CATEGORIES)
def test_categories_of_anything_are_text(name):
    given, text = CATEGORIES[name]
    kind, values = column_of(given)
    assert (kind, values[:2].tolist()) == ("category", [text, None])


@each("name", REFUSED)
def test_what_is_neither_number_text_nor_date_is_refused_by_its_name(name):
    given, words = REFUSED[name]
    with pytest.raises(DataError, match=f"column 'a' .*{words}"):
        column_of(given)


@pytest.mark.filterwarnings("ignore:.*Maximum iterations")
def test_a_model_is_the_same_whatever_the_types_of_its_frame():
    x, c = np.arange(30) % 3 * 1.0, np.asarray(["u", "v", None], object)[np.arange(30) % 3]
    plain = pd.DataFrame({"x": x, "c": c, "m": np.where(x == 1, NAN, x)})
    frames = (
        plain.convert_dtypes(),
        plain.convert_dtypes(dtype_backend="pyarrow"),
        plain.astype({"x": pd.SparseDtype(float, 0), "c": "category", "m": "Sparse[float]"}),
        plain.astype(object),
        pl.from_pandas(plain).cast({"c": pl.Enum(["u", "v"]), "x": pl.Decimal(9, 2)}),
        pa.Table.from_pandas(plain),
    )
    model = MLPRegressor(hidden_layer_sizes=(3,), max_iter=2, random_state=0)
    expected = model.fit(plain, x).predict(plain)
    for frame in frames:
        np.testing.assert_array_equal(model.fit(frame, x).predict(plain), expected)
        np.testing.assert_array_equal(model.predict(frame), expected)
