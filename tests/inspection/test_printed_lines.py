"""What `explain` prints is NumPy that runs as it stands, and computes what the step computed."""

import re

import numpy as np
import pytest
import scipy.special
from conftest import relative_error
from each import each
from small_networks import data, drawn, lines_of

import xpmlp
from xpmlp import nn
from xpmlp.nn.activations import ACTIVATIONS
from xpmlp.nn.losses import LOSSES
from xpmlp.optim import RULES, SGD
from xpmlp.optim.formulas import update_lines

UNWRITTEN = {"huber", "quantile", "focal", "binary_focal"}


class Reader:
    """Runs the equations as they are printed."""

    def __init__(self, x, y, parameters, columns, **more):
        turn = (lambda a: a.T) if columns else (lambda a: a)
        self.known = {p.name: p.value for p in parameters}
        self.known |= {"X": turn(x), "Y": turn(y), "n": len(x), "np": np, "scipy": scipy}
        self.known |= more

    def run(self, line):
        exec(line.formula, self.known)
        return self.known[str(line.left)]


@each("alpha", [0.0, 0.3])
@each("orientation", ["rows", "columns"])
@each("name", ACTIVATIONS)
def test_every_printed_line_runs_and_is_true(name, orientation, alpha):
    network = nn.Network([nn.Dense(4, name), nn.Dense(5, name), nn.Dense(3, name)])
    x, y = data(), data(40, 3, seed=1)
    options = {"params": drawn(network, 2), "orientation": orientation, "alpha": alpha}
    explanation = xpmlp.explain(network, x, y, loss="squared_error", **options)
    columns = orientation == "columns"
    reader = Reader(x, y, explanation.parameters, columns, alpha=alpha)
    for line in lines_of(explanation):
        found = reader.run(line)
        assert np.shape(found) == line.left.shape
        assert np.linalg.norm(found) == pytest.approx(line.norm, rel=1e-9), line.formula
    assert explanation.loss == pytest.approx(reader.known["L"], rel=1e-12)
    if alpha:
        assert explanation.penalty == pytest.approx(reader.known["R"], rel=1e-12)
    for p in explanation.parameters:
        assert relative_error(reader.known[f"d{p.name}"], p.gradient) < 1e-12


@each("orientation", ["rows", "columns"])
@each("loss", LOSSES)
def test_every_printed_loss_runs_and_is_true(loss, orientation):
    network = nn.Network([nn.Dense(4, "tanh"), nn.Dense(5, "relu"), nn.Dense(3)])
    x, y = data(), np.eye(3)[np.arange(40) % 3]
    y = y + 0.5 if loss == "gamma" else y
    options = {"loss": nn.losses.LOSSES[loss], "orientation": orientation}
    explanation = xpmlp.explain(network, x, y, params=drawn(network, 2), **options)
    lines = list(lines_of(explanation))
    assert "dX" not in {str(line.left) for line in lines}  # nobody reads it
    n_lines = {"identity": 2, "softmax": 4}.get(LOSSES[loss].link, 3)
    assert len(lines) == 5 + n_lines + 3 * 2 + 4
    own = {}
    if loss in UNWRITTEN and orientation == "rows":
        own = {loss: LOSSES[loss]}  # the line calls it
    elif loss in UNWRITTEN:  # it takes rows
        own = {loss: lambda p, y: [np.asarray(a).T for a in LOSSES[loss](p.T, y.T)]}
    reader = Reader(x, y, explanation.parameters, orientation == "columns", **own)
    for line in lines:
        found = reader.run(line)
        assert np.shape(found) == line.left.shape
        assert np.linalg.norm(found) == pytest.approx(line.norm, rel=1e-9), line.formula
        shapes = re.findall(r"\([\d,]+\)", line.shapes)
        assert not shapes or shapes[-1] == str(line.left.shape).replace(" ", "")
    assert explanation.loss == pytest.approx(reader.known["L"], rel=1e-12)
    for p in explanation.parameters:
        assert relative_error(reader.known[f"d{p.name}"], p.gradient) < 1e-12


@each("rule", [*(kind() for kind in RULES.values()), SGD(0.5, False), SGD(0.0)])
def test_the_printed_update_runs_and_is_the_rules(rule):
    rng = np.random.default_rng(0)
    p = rng.normal(size=(3, 4))
    kept = {name: np.zeros((3, 4)) for name in rule.slots}
    own, slots = {"p": p, "lr": 0.1, "np": np, **vars(rule), **kept}, list(kept.values())
    for t, rate in enumerate(rule.rates(0.1, [1, 2, 3]), 1):
        g = rng.normal(size=(3, 4))
        exec("\n".join(update_lines(rule)), own | {"t": t, "dp": g}, own)
        p, *slots = rule.apply(p.copy(), g.copy(), rate, *(a.copy() for a in slots), xp=np)
        assert own["p"] == pytest.approx(p, rel=1e-12)


def test_the_update_is_printed_with_its_numbers_and_what_decays():
    options = {"learning_rate_init": 0.2, "solver": SGD(0.0)}
    explanation = xpmlp.explain(nn.Network([nn.Dense(1)]), data(), **options)
    heading = "update of a parameter p by its gradient dp, lr 0.2"
    for text in (str(explanation), explanation.to_html(), explanation.to_latex()):
        assert heading in text
    assert "  p = p - lr * dp\n" in str(explanation)
    assert r"p &= p - \eta \, \mathrm{d}p" in explanation.to_latex()
    adamw = xpmlp.explain(nn.Network([nn.Dense(1)]), data(), solver="adamw")
    assert "weight_decay 0.01" in adamw.update.heading and "of weights" in adamw.update.heading
    assert adamw.update.lines[0] == "p = p - lr * weight_decay * p"


def test_one_row_is_no_rows():
    assert "on 1 row of 1 feature," in str(xpmlp.explain(nn.Network([nn.Dense(1)]), data(1, 1)))


def test_a_loss_is_known_by_the_names_that_it_has_elsewhere():
    network = nn.Network([nn.Dense(3)])
    found = (xpmlp.explain(network, data(), loss=loss) for loss in ("mse", "cross_entropy"))
    assert [e.loss_lines[-2].formula[:9] for e in found] == ["L = np.su", "L = -np.s"]
