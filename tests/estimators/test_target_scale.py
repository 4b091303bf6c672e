"""Regression targets of any scale, and quantiles."""

import pickle

import numpy as np
import pytest
from conftest import relative_error
from each import each
from sklearn.base import clone
from sklearn.metrics import mean_pinball_loss

from xpmlp import MLPRegressor, load_model, nn

pytestmark = pytest.mark.filterwarnings("ignore:.*Maximum iterations")
rng = np.random.default_rng(0)
X = rng.uniform(-2, 2, size=(120, 2))
Y = np.sin(X[:, 0]) + 0.3 * X[:, 1]
ARGS = {"hidden_layer_sizes": (16,), "max_iter": 40, "random_state": 0, "learning_rate_init": 0.02}
SCALED = MLPRegressor(**ARGS, target_scale="auto")


def test_targets_of_any_scale_and_offset_are_fitted_as_standardised_ones_in_their_units():
    z = (Y - Y.mean()) / Y.std()
    want = MLPRegressor(**ARGS).fit(X, z)
    assert want.score(X, z) > 0.95
    for scale, offset in ((1e8, -3e9), (1e-7, 0.0), (1e150, 0.0)):
        got = clone(SCALED).fit(X, scale * Y + offset)
        assert relative_error(got.coefs_[0], want.coefs_[0]) < 1e-8
        assert got.score(X, scale * Y + offset) == pytest.approx(want.score(X, z), rel=1e-9)
        back = (got.predict(X) - offset - scale * Y.mean()) / (scale * Y.std())
        assert relative_error(back, want.predict(X)) < 1e-7
    assert MLPRegressor(**ARGS).fit(X, 1e8 * Y - 3e9).score(X, 1e8 * Y - 3e9) < 0.5


def test_outputs_are_standardised_one_by_one_and_a_constant_one_is_centred():
    y = np.stack([1e6 * Y, 1e-6 * Y + 5.0, np.full(120, 7.0)], axis=1)
    reg = clone(SCALED).set_params(max_iter=2 * SCALED.max_iter).fit(X, y)
    assert reg.scaling_.y_scale[0] == pytest.approx([1e6 * Y.std(), 1e-6 * Y.std(), 1.0])
    assert np.abs(reg.predict(X)[:, 2] - 7.0).max() < 0.2
    residual = reg.predict(X)[:, :2] - y[:, :2]
    assert (residual.std(axis=0) < 0.3 * y[:, :2].std(axis=0)).all()


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_what_float32_cannot_square_or_hold_is_fitted_in_it(dtype):
    y = 1e30 * Y
    reg = clone(SCALED).fit(X.astype(dtype), y)
    made = reg.predict(X.astype(dtype))
    assert made.dtype == dtype and np.isfinite(made).all()
    assert np.abs(made - y).mean() < 0.3 * y.std()
    with pytest.raises(ValueError, match="too large for float32: set target_scale='auto'"):
        MLPRegressor(**ARGS).fit(X.astype("float32"), 1e39 * Y)


@pytest.mark.parametrize("loss", ["poisson", "gamma"])
def test_rates_are_divided_by_their_mean_and_stay_positive(loss):
    y = 1e6 * np.exp(Y)
    reg = MLPRegressor(**ARGS, loss=loss, target_scale="auto").fit(X, y)
    assert (reg.scaling_.y_mean, reg.scaling_.y_scale) == (0.0, pytest.approx(y.mean()))
    assert (reg.predict(X) > 0).all() and reg.score(X, y) > 0.8


def test_the_scale_goes_with_the_model_and_stays_in_later_calls(tmp_path):
    y = 1e8 * Y + 1e9
    reg = clone(SCALED).fit(X, y)
    reg.save(tmp_path / "m")
    for twin in (load_model(tmp_path / "m"), pickle.loads(pickle.dumps(reg))):
        assert np.array_equal(twin.predict(X), reg.predict(X))
    scaling = reg.scaling_
    reg.partial_fit(X[:10], y[:10])
    assert all(np.array_equal(a, b) for a, b in zip(reg.scaling_[2:], scaling[2:]))
    assert reg.score(X, y) > 0.9
    assert clone(reg).get_params()["target_scale"] == "auto"


def test_scaled_targets_and_a_bounded_output_are_not_both_had():
    for out in ("tanh", "logistic", "relu"):
        with pytest.raises(ValueError, match="leave one of them out"):
            clone(SCALED).set_params(out_activation=out).fit(X, Y)


def test_validation_scores_are_those_of_predictions_in_units():
    y = 1e8 * Y + 1e9
    reg = clone(SCALED).set_params(scoring="neg_mean_absolute_error").fit(X, y, X_val=X, y_val=y)
    assert reg.history_["validation_score"][-1] == pytest.approx(-np.abs(reg.predict(X) - y).mean())
    own = clone(SCALED).fit(X, y, X_val=X, y_val=y)
    assert own.history_["validation_score"][-1] == pytest.approx(own.score(X, y), rel=1e-9)


# Quantiles

LEVELS = [0.05, 0.25, 0.5, 0.75, 0.95]
BANDS = {"loss": "quantile", "quantiles": LEVELS}


@pytest.fixture(scope="module")
def noisy():
    draw = np.random.default_rng(1)
    x = draw.uniform(-2, 2, size=(1500, 1))
    return x, 1e4 * (x[:, 0] + (0.2 + 0.2 * np.abs(x[:, 0])) * draw.normal(size=1500))


@pytest.fixture(scope="module")
def bands(noisy):
    args = ARGS | {"max_iter": 60, "hidden_layer_sizes": (16,)}
    return MLPRegressor(**args, **BANDS, target_scale="auto").fit(*noisy)


def test_bands_hold_the_share_of_targets_that_they_promise(bands, noisy):
    x, y = noisy
    made = bands.predict(x, quantiles=LEVELS)
    assert made.shape == (1500, 5)
    assert (np.diff(made, axis=1) >= 0).all()
    shares = (y[:, None] <= made).mean(axis=0)
    assert np.abs(shares - LEVELS).max() < 0.05
    wide = np.abs(x[:, 0]) > 1.5  # where the noise is larger
    width = made[:, -1] - made[:, 0]
    assert width[wide].mean() > 1.5 * width[np.abs(x[:, 0]) < 0.5].mean()
    constant = np.quantile(y, LEVELS)
    for i, level in enumerate(LEVELS):
        assert mean_pinball_loss(y, made[:, i], alpha=level) < 0.6 * mean_pinball_loss(
            y, np.full(1500, constant[i]), alpha=level
        )


def test_any_of_the_learnt_quantiles_are_had_in_any_order(bands, noisy):
    x = noisy[0][:20]
    every = bands.predict(x, quantiles=LEVELS)
    assert np.array_equal(bands.predict(x, quantiles=[0.95, 0.25]), every[:, [4, 1]])
    assert np.array_equal(bands.predict(x, quantiles=0.75), every[:, 3])
    assert np.array_equal(bands.predict(x), every[:, 2])
    with pytest.raises(ValueError, match=r"quantiles=\[0.3\] are not there: the model has learnt"):
        bands.predict(x, quantiles=[0.3])


def test_crossing_quantiles_are_sorted():
    reg = MLPRegressor(hidden_layer_sizes=(), **BANDS, max_iter=1, random_state=0).fit(X, Y)
    reg.coefs_[0][...] = 0.0
    reg.intercepts_[0][...] = [3.0, 1.0, 2.0, 5.0, 4.0]
    assert reg.predict(X[:1], quantiles=LEVELS).tolist() == [[1.0, 2.0, 3.0, 4.0, 5.0]]
    assert reg.predict(X[:1]).tolist() == [3.0]


def test_several_targets_have_an_axis_of_quantiles_each():
    y = np.stack([Y, 100.0 - 50.0 * Y], axis=1)
    reg = MLPRegressor(**ARGS, loss="quantile", quantiles=[0.2, 0.8], target_scale="auto").fit(X, y)
    made = reg.predict(X, quantiles=[0.2, 0.8])
    assert made.shape == (120, 2, 2) and reg.predict(X).shape == (120, 2)
    assert reg.predict(X, quantiles=0.8).shape == (120, 2)
    assert np.array_equal(reg.predict(X), made[..., 0])  # 0.2 and 0.8 are as near to 0.5
    assert np.abs(made[:, 1].mean() - y[:, 1].mean()) < 20
    alone = MLPRegressor("quantile", (), quantiles=[0.2, 0.8], max_iter=1, random_state=0)
    alone.fit(X, y)
    alone.coefs_[0][...], alone.intercepts_[0][...] = 0.0, [1.0, 2.0, 30.0, 40.0]
    assert alone.predict(X[:1], quantiles=[0.2, 0.8]).tolist() == [[[1.0, 2.0], [30.0, 40.0]]]


def test_a_quantile_loss_of_ones_own_is_as_good_as_its_name():
    args = ARGS | {"max_iter": 3}
    own = MLPRegressor(**args, loss=nn.losses.quantile([0.2, 0.8])).fit(X, Y)
    named = MLPRegressor(**args, loss="quantile", quantiles=[0.2, 0.8]).fit(X, Y)
    for levels in (None, [0.2, 0.8], 0.8):
        assert np.array_equal(own.predict(X, levels), named.predict(X, levels))
    assert own.loss_curve_ == named.loss_curve_


@each(
    "options, said",
    [
        ({"quantiles": [0.5]}, "quantiles go with loss='quantile'"),
        ({"loss": "quantile", "quantiles": [0.9, 0.1]}, "in rising order between 0 and 1"),
        ({"loss": "quantile", "quantiles": [0.1, 1.0]}, "in rising order between 0 and 1"),
        ({"loss": "quantile", "quantiles": []}, "quantiles must be"),
        ({"loss": "quantile", "quantiles": 1.0}, "'quantiles' parameter"),
        ({"target_scale": "standard"}, "'target_scale' parameter"),
    ],
)
def test_arguments_without_sense_are_refused_in_a_sentence(options, said):
    reg = MLPRegressor(**ARGS, **options)
    with pytest.raises(ValueError, match=said):
        reg.fit(X, Y)
    assert not hasattr(reg, "coefs_")


def test_a_model_without_quantiles_says_so(bands):
    with pytest.raises(ValueError, match="has learnt no quantiles"):
        MLPRegressor(max_iter=1).fit(X, Y).predict(X, quantiles=[0.5])


@each("dtype", ["float32", "float64"])
@each("offset", [1e3, -1e10, 1e15, 1e16, -2e16, 1e20, -1e100, 1e300])
def test_an_offset_is_refused_where_it_takes_the_variation_of_y_and_a_constant_is_none(
    dtype, offset
):
    reg, limits = clone(SCALED).set_params(dtype=dtype), np.finfo(dtype)
    if abs(offset) > float(limits.max):
        with pytest.raises(ValueError, match="too large for float32"):
            reg.fit(X, offset + 0.1 * offset * Y)
        return
    for constant in (np.full(120, offset), np.where(Y > 0, offset, np.nextafter(offset, 0.0))):
        assert reg.fit(X, constant).predict(X) == pytest.approx(offset, rel=1e-2)
    assert reg.fit(X, offset + 0.1 * offset * Y).score(X, offset + 0.1 * offset * Y) > 0.9
    for deviation in (1.0, 3.0, 1e-15 * abs(offset)):
        y = offset + deviation * (Y - Y.mean()) / Y.std()
        seen = np.ptp(y) > np.spacing(abs(offset))  # else it is a constant by now
        if seen and limits.eps * abs(offset) > 2e-3 * deviation:
            with pytest.raises(ValueError, match=f"{dtype} cannot tell apart: .*subtract the mean"):
                reg.fit(X, y)
