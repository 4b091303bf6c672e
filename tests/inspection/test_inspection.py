"""Explanations tell the truth about the step that trains; plans about what it will take."""

import re
import shutil
import subprocess
import warnings
from html.parser import HTMLParser

import numpy as np
import pytest
from conftest import assert_derivative, relative_error
from each import each
from small_networks import (
    EVERYTHING,
    LARGE,
    NETWORK,
    ONE,
    Residual,
    Scale,
    data,
    drawn,
    explained,
    lines_of,
    planned,
)

import xpmlp
from xpmlp import MLPClassifier, MLPRegressor, nn
from xpmlp.arrays import location_of
from xpmlp.nn.losses import LOSSES
from xpmlp.optim import RULES


@pytest.mark.parametrize("alpha", [0.0, 3.0])
def test_the_gradients_are_the_derivatives_of_the_loss_and_the_penalty(alpha):
    params, x = drawn(EVERYTHING, 3), data(7, 3)
    y = data(7, 2, seed=1)

    def explained(params):
        return xpmlp.explain(EVERYTHING, x, y, params=params, alpha=alpha)

    def objective(params):
        explanation = explained(params)
        return explanation.loss + explanation.penalty

    found = iter(explained(params).parameters)
    gradients = nn.layout.map_params(lambda _: next(found).gradient, params)
    assert_derivative(objective, params, gradients, tolerance=1e-7)


def test_every_library_tells_the_same(xp):
    dtype = xp.floats[0]
    small = nn.Network([nn.Dropout(0.1), nn.Dense(4, "relu"), Scale(), nn.Dense(2)])
    x, y = data(9, 3).astype(dtype), data(9, 2, seed=1).astype(dtype)
    params = nn.layout.map_params(lambda a: a.astype(dtype), drawn(small, 3))
    there = nn.layout.map_params(xp.asarray, params)
    want = xpmlp.explain(small, x, y, params=params, alpha=0.1)
    got = xpmlp.explain(small, xp.asarray(x), xp.asarray(y), params=there, alpha=0.1)
    tolerance = 1e-10 if dtype == "float64" else 2e-4
    assert [line.formula for line in lines_of(got)] == [line.formula for line in lines_of(want)]
    for a, b in zip(lines_of(got), lines_of(want)):
        assert a.norm == pytest.approx(b.norm, rel=tolerance), a.formula
    for a, b in zip(got.parameters, want.parameters):
        assert relative_error(a.gradient, b.gradient) < tolerance
        assert a.ratio == pytest.approx(b.ratio, rel=1e-2 if dtype == "float32" else 1e-9)
    assert [layer.dead for layer in got.layers] == [layer.dead for layer in want.layers]
    assert got.title != want.title or location_of(xp.asarray(x)).library == "numpy"


def test_layers_of_every_kind_get_sensible_lines():
    explanation = xpmlp.explain(EVERYTHING, data(9, 3))
    formulas = [line.formula for line in lines_of(explanation)]
    for formula in (
        "D1 = X * M1 / 0.9",
        "Z2 = D1 @ W2 + b2",
        "D3 = A2 * M3 / 0.5",
        "Z4.1 = D3 @ W4.1",
        "A4.2 = np.tanh(Z4.1)",
        "H4.3 = Scale(A4.2, s4.3)",
        "dA4.2 = Scale.backward(dH4.3)",
        "ds4.3 = Scale.backward(dH4.3)",
        "dW5.inner.1 = Residual.backward(dH5)",
        "dZ4.1 = dA4.2 * (1 - A4.2**2)",
        "dA2 = dD3 * M3 / 0.5",
        "dW2 = D1.T @ dZ2",
        "H5 = Residual(H4.3)",
        "dH4.3 = Residual.backward(dH5)",
        "dH5 = dZ6 @ W6.T",
    ):
        assert formula in formulas, formula
    left = [formula.partition(" = ")[0] for formula in formulas]
    assert len(set(left)) == len(left)  # one name, one array
    names = [p.name for p in explanation.parameters]
    assert len(set(names)) == len(names) == 10
    assert max(map(len, str(explanation).splitlines())) <= 80


def test_long_names_and_deep_nests_keep_within_a_terminal():
    name = nn.ActivationFunction(
        "a_name_" * 15, lambda z, xp: z * z, lambda da, z, a, xp: 2 * z * da
    )
    deep = nn.Dense(3, name)
    for _ in range(3):
        deep = Residual(nn.Network([nn.Dense(3), deep, nn.Dense(3)]))
    explanation = xpmlp.explain(nn.Network([nn.Dense(3), deep]), data(12345, 3))
    wide = nn.Network([nn.Dense(10**5, name), nn.Dense(10**5, "logistic"), deep])
    plan = xpmlp.plan(wide, np.broadcast_to(np.float32(0), (10**5, 10**5)), batch_size=10**5)
    for text in (str(explanation), str(plan)):
        assert max(map(len, text.splitlines())) <= 80
    assert "2 Dense 100000 -> 100000 logistic" in str(plan) and "10,000,100,000" in str(plan)
    assert len(explanation.parameters) == 2 + 3 * 4 + 2


@pytest.mark.parametrize("solver", RULES)
def test_the_update_is_the_one_that_a_fit_makes(solver):
    x, y = data(), data(40, 1, seed=1)[:, 0]
    options = {"shuffle": False, "random_state": 0, "alpha": 0.5, "learning_rate_init": 0.01}
    options |= {"weight_decay": 0.1, "dropout": 0.2}
    reg = MLPRegressor(hidden_layer_sizes=(4,), solver=solver, batch_size=40, max_iter=1, **options)
    explanation = reg.explain(x, y)
    before = {p.name: p.value for p in explanation.parameters}
    assert not hasattr(reg, "coefs_")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        reg.fit(x, y)
    assert reg.loss_ == pytest.approx(explanation.loss + explanation.penalty, rel=1e-12)
    for i, layer in enumerate((1, 3)):
        for kind, after in (("W", reg.coefs_[i]), ("b", reg.intercepts_[i])):
            (p,) = (p for p in explanation.parameters if p.name == f"{kind}{layer}")
            ratio = np.linalg.norm(after - before[p.name]) / np.linalg.norm(before[p.name])
            assert p.ratio == pytest.approx(ratio, rel=1e-9)


def test_a_fitted_estimator_is_explained_as_it_stands_and_left_as_it_is():
    x = data()
    y = (x[:, 0] > 0).astype(int)
    clf = MLPClassifier((4,), solver="lbfgs", random_state=0, max_iter=200).fit(x, y)
    before = [a.copy() for a in (*clf.coefs_, *clf.intercepts_)]
    state = set(vars(clf))
    explanation = clf.explain(x, y)
    assert explanation.loss + explanation.penalty == pytest.approx(clf.loss_, rel=1e-10)
    assert [p.ratio for p in explanation.parameters] == [None] * 4
    assert set(vars(clf)) == state
    for a, b in zip(before, (*clf.coefs_, *clf.intercepts_)):
        assert np.array_equal(a, b)
    assert "lbfgs" in str(explanation)


def test_units_that_pass_no_gradient_for_any_row_are_counted_as_dead():
    network = nn.Network([nn.Dense(4, "relu"), nn.Activation("hard_tanh"), nn.Dense(1)])
    params = drawn(network, 2)
    params[0]["b"][:] = [[-100.0, 0.0, -100.0, 100.0]]
    explanation = xpmlp.explain(network, data(), params=params)
    assert [layer.units for layer in explanation.layers] == [4, 4, 0]
    assert [layer.dead for layer in explanation.layers] == [2, 1, 0]  # 0 is inside hard_tanh
    assert "2 of 4 units dead" in str(explanation) and "2 of 4" in explanation.to_html()
    gradient = explanation.parameters[0].gradient
    assert (gradient[:, [0, 2]] == 0).all() and (gradient[:, [1, 3]] != 0).any()


def test_norms_of_huge_and_tiny_values_neither_overflow_nor_vanish():
    network = nn.Network([nn.Dense(2)])
    for size in (1e-30, 1e30):
        x = np.full((3, 2), size, np.float32)
        params = {0: {"W": np.ones((2, 2), np.float32), "b": np.zeros((1, 2), np.float32)}}
        line = xpmlp.explain(network, x, 2 * x, params=params).layers[0].forward[0]
        assert line.norm == pytest.approx(2 * size * np.sqrt(6), rel=1e-5)


def test_a_loss_and_an_activation_of_ones_own_stand_in_by_name():
    odd = nn.ActivationFunction(
        "50%_<odd>^{x}\\", lambda z, xp: z * z, lambda da, z, a, xp: 2.0 * z * da
    )
    network, rows = nn.Network([nn.Dense(2, odd), nn.Dense(1)]), LOSSES["squared_error"]
    for name in ("my_loss", "poisson", "affine"):  # whatever it is called
        loss = nn.Loss(name, rows.value_and_grad, "identity")
        explanation = xpmlp.explain(network, data(), loss=loss)
        assert f"L = {name}(Z2, Y)[0] = " in str(explanation)
        assert f"dZ2 = {name}(Z2, Y)[1]" in str(explanation)
    assert "&lt;odd&gt;" in explanation.to_html() and "<odd>" not in explanation.to_html()
    check_latex(explanation)


class Balance(HTMLParser):
    """Counts tags, and finds the ones that are not closed."""

    def __init__(self, text):
        super().__init__()
        self.open, self.seen = [], []
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self.seen.append(tag)
        if tag != "meta":
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.seen.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag


@pytest.mark.parametrize("network", [EVERYTHING, LARGE], ids=["every layer", "large"])
def test_the_page_is_small_and_holds_a_picture_of_each_parameter_and_its_gradient(network):
    explanation = xpmlp.explain(network, data(20, 784))
    for text in (explanation.to_html(), explanation._repr_html_()):
        assert len(text) < 150_000
        found = Balance(text)
        assert found.open == []
        assert found.seen.count("svg") == 2 * len(explanation.parameters)
        assert not {"script", "link", "img"} & set(found.seen)


def test_a_heat_map_shows_the_sign_and_the_place_of_the_largest_cell():
    network = nn.Network([nn.Dense(2)])
    W = np.asarray([[0.0, -8.0], [4.0, 0.0]])
    explanation = xpmlp.explain(network, data(), params={0: {"W": W, "b": np.zeros((1, 2))}})
    svg = explanation.to_html().split("<svg")[1]
    (down,), (up,) = (
        re.findall(rf"class='{kind}' fill-opacity='([\d.]+)' d='([^']+)'", svg)
        for kind in ("down", "up")
    )
    assert float(down[0]) == 2 * float(up[0])
    assert down[1].startswith("M62 0h") and up[1].startswith("M0 22h")


def check_latex(explanation):
    latex = explanation.to_latex(document=True)
    plain = re.sub(r"\\[{}]", "", latex)
    assert plain.count("{") == plain.count("}")
    assert re.search(r"(?<!\\)[%#]", plain) is None  # a comment would swallow what follows
    begun, ended = (re.findall(rf"\\{word}{{(.*?)}}", latex) for word in ("begin", "end"))
    assert sorted(begun) == sorted(ended) and "align*" in begun
    return latex


@pytest.mark.parametrize("orientation", ["rows", "columns"])
def test_the_latex_has_the_shapes_under_the_symbols(orientation):
    latex = check_latex(xpmlp.explain(NETWORK, data(), orientation=orientation))
    product = {
        "rows": r"\underset{(40,2)}{X} \, \underset{(2,4)}{W_{1}}",
        "columns": r"\underset{(4,2)}{W_{1}} \, \underset{(2,40)}{X}",
    }
    assert product[orientation] in latex


def test_the_latex_compiles(tmp_path):
    if shutil.which("pdflatex") is None:
        pytest.skip("there is no pdflatex here")
    (tmp_path / "a.tex").write_text(xpmlp.explain(EVERYTHING, data(9, 3)).to_latex(document=True))
    command = ["pdflatex", "-interaction=nonstopmode", "-halt-on-error", "a.tex"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout[-2000:]
    assert "Overfull" not in done.stdout


def test_the_rule_says_what_its_state_takes():
    x, y = data(), data(40, 1)[:, 0]
    plans = {s: MLPRegressor(solver=s).plan(x, y).memory for s in ("sgd", "adam", "lbfgs")}
    assert plans["adam"]["Adam"] == 2 * plans["sgd"]["SGD"] == 2 * plans["sgd"]["parameters"]
    assert plans["lbfgs"]["L-BFGS on the host"] > 20 * plans["lbfgs"]["parameters"]


def fitted():
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return MLPRegressor(hidden_layer_sizes=(3,), max_iter=1).fit(data(64), np.zeros(64))


X, Y = data(64), data(64)[:, 0]
CODES = np.zeros(64, int)
REG = lambda: MLPRegressor(hidden_layer_sizes=(3,))


@each("method", ["plan", "explain"])
@each(
    "make, x, y, message",
    [
        (lambda: ONE, X, Y, "y is (64,), the outputs are (64, 1); did you mean y[:, None]?"),
        (
            lambda: NETWORK,
            X,
            Y,
            "a 0/1 column for each of the 3, or integer labels with loss='log_loss'",
        ),
        (
            lambda: NETWORK,
            X,
            CODES[:, None],
            "if y holds the labels of log_loss, did you mean y[:, 0",
        ),
        (lambda: ONE, X, X, "y is (64, 2), the outputs are (64, 1): the last layer needs 2 units"),
        (lambda: ONE, X, X[..., None], "y is (64, 2, 1), the outputs are (64, 1)."),
        (REG, X.T, Y[None], "samples seem to stand in columns, did you mean X.T and y.T?"),
        (REG, X.T, Y, "X is (2, 64) and y is (64,): samples seem to stand in columns, did you"),
        (fitted, X.T, Y, "the network takes (n_samples, 2); its samples seem to stand in columns"),
        (fitted, X[:, :1], Y, "X is (64, 1), the network takes (n_samples, 2)."),
        (fitted, X, X, "y has 2 outputs, the model was fitted to 1"),
        (REG, X, Y[None], "y is (1, 64), X has 64 samples; did you mean y[0]?"),
        (REG, X, Y[:60], "y is (60,), X is (64, 2): pass a row of y for each row of X."),
        (REG, X, 3.0, "y is a single number"),
        (REG, X[:, 0], Y, "did you mean X[:, None] (one feature) or X[None, :] (one sample)?"),
        (REG, X[None], Y, "did you mean X.reshape(1, -1)?"),
        (REG, X[:0], Y[:0], "X is (0, 2), expected (n_samples, n_features), 1 or more."),
        (REG, [[1], [2, 3]], Y[:2], "a list of uneven rows"),
        (REG, None, Y, "X is no array, expected (n_samples, n_features)"),
    ],
)
def test_a_shape_that_does_not_fit_is_told_with_what_was_meant(make, x, y, message, method):
    with pytest.raises(ValueError) as error:
        of_network = isinstance(made := make(), nn.Network)
        getattr(xpmlp, method)(made, x, y) if of_network else getattr(made, method)(x, y)
    assert message in str(error.value)


def test_what_can_be_trained_on_but_looks_wrong_is_noted():
    (note,) = REG().plan(X, np.zeros((64, 1))).notes
    assert note == "y is (64, 1), predictions are (64,); did you mean y[:, 0]?"
    assert "pass X.T" in str(xpmlp.plan(ONE, X.T))
    assert REG().plan(X, np.zeros(64)).notes == ()


@each(
    "call, message",
    [
        (lambda: explained(X, orientation="up"), "orientation must be one of rows, columns"),
        (lambda: explained(X * np.nan), "X holds NaN"),
        (
            lambda: explained(np.full((3, 2), "a")),
            "X is a ndarray of <U1, expected an array of numbers",
        ),
        (lambda: explained(X, X[:, :1] * np.inf), "y holds NaN"),
        (lambda: explained(X, loss="no_loss"), "loss must be one of"),
        (lambda: explained(X, solver="no_rule"), "solver must be one of"),
        (lambda: explained(X, alpha=-1), "alpha must be a number of 0 or more"),
        (lambda: explained(X, learning_rate_init="a"), "learning_rate_init must be a number"),
        (lambda: explained(X, random_state=-1), "random_state must be a whole number >= 0"),
        (lambda: explained(X, params={}), r"params lack an array 0\.W, of shape \(2, 1\)"),
        (lambda: explained(X, params={0: {"W": X, "b": X}}), r"0\.W as \(64, 2\), expected"),
        (lambda: xpmlp.explain(nn.Network([nn.Dropout(0.1)]), X), "no parameters"),
        (lambda: xpmlp.plan(nn.Network([]), X), "no parameters"),
        (lambda: explained(X.tolist()), r"X is a list, expected an array: pass np.asarray\(X\)"),
        (lambda: planned(X, loss="no_loss"), "loss must be one of"),
        (
            lambda: MLPClassifier().plan(X, np.c_[CODES, X.round(0)[:, 0]]),
            "several columns that are not 0",
        ),
        (lambda: REG().plan(X, Y[:, None, None]), "Found array with dim 3"),
        (
            lambda: xpmlp.plan(ONE, X, batch_size=0),
            "batch_size must be a whole number of 1 or more",
        ),
        (lambda: REG().plan(X), "plan needs y before fit"),
        (lambda: REG().plan(X * 1j, X[:, 0]), "Complex data"),
        (lambda: MLPClassifier().plan(X, X[:, 0]), "Unknown label type"),
        (lambda: MLPClassifier().plan(X, np.asarray(["a", 1] * 32, object)), "y mixes labels"),
    ],
)
def test_bad_input_is_told_in_one_sentence(call, message):
    with pytest.raises(ValueError, match=message):
        call()
