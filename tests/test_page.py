"""What shows as HTML can be read on light and on dark pages, whoever chose which."""

import re
from dataclasses import replace

import numpy as np
import pytest
from each import each

import xpmlp
from xpmlp import MLPClassifier, nn, page
from xpmlp.inspection import pictures
from xpmlp.testing import check_gradients
from xpmlp.testing.parity.compare import Row
from xpmlp.testing.parity.report import Report
from xpmlp.training import LearningRates

THEMES = {  # text and paper
    "JupyterLab": ("#212121", "#ffffff"),
    "JupyterLab, dark": ("#ffffff", "#111111"),
    "VS Code": ("#3b3b3b", "#ffffff"),
    "VS Code, dark": ("#cccccc", "#1e1e1e"),
    "Chromium, dark": ("#ffffff", "#121212"),
    "GitHub, dark": ("#e6edf3", "#0d1117"),
}
NETWORK = nn.Network([nn.Dense(3, "relu"), nn.Dense(1)])
X = np.random.default_rng(0).normal(size=(20, 2))


def rgb(text):
    return np.asarray([int(text[i : i + 2], 16) for i in (1, 3, 5)]) / 255


def contrast(a, b):
    """The ratio of WCAG 2.1 between two colours."""
    linear = (np.where(c <= 0.04045, c / 12.92, ((c + 0.055) / 1.055) ** 2.4) for c in (a, b))
    low, high = sorted(float(c @ [0.2126, 0.7152, 0.0722]) for c in linear)
    return (high + 0.05) / (low + 0.05)


def colours(ink, paper):
    """The style's variables as colours on a page."""
    found = {}
    for name, value in re.findall(r"--(\w+): ([^;]+);", page.STYLE):
        mixed = re.fullmatch(r"color-mix\(in srgb, currentColor (\d+)%, (\S+)\)", value)
        if mixed is None:
            found[name] = rgb(value)
            continue
        other = paper if mixed[2] == "transparent" else rgb(mixed[2])
        found[name] = ink * int(mixed[1]) / 100 + other * (1 - int(mixed[1]) / 100)
    return found


@each("theme", THEMES)
def test_text_and_marks_stand_out_in_every_theme(theme):
    ink, paper = map(rgb, THEMES[theme])
    known = colours(ink, paper)
    for name in ("soft", "good", "bad"):
        assert contrast(known[name], paper) >= 4.5, name
    assert contrast(ink, known["card"]) >= 4.5
    for name in ("up", "down"):
        assert contrast(known[name], paper) >= 3, name
        cell = pictures.STRONGEST * known[name] + (1 - pictures.STRONGEST) * known["card"]
        assert contrast(ink, cell) >= 4.5, f"a number on the strongest cell, {name}"


def learning_rates():
    rates = np.geomspace(1e-4, 1.0, 90)
    return LearningRates(rates, 1 + 0 * rates, 2 - np.sin(3 * rates), 0.1)


def gradients():
    forward = lambda p, X: np.sum(X @ p["W"])
    backward = lambda p, X: {"W": X.T @ np.ones((len(X), 2)) + 1}
    return check_gradients(forward, backward, {"W": X[:2]}, X)


SHOWN = {
    "plan": lambda: xpmlp.plan(NETWORK, X),
    "plan that does not fit": lambda: replace(
        xpmlp.plan(NETWORK, X), memory={"data": 8}, free=4, notes=("a <note>",)
    ),
    "learning rates": learning_rates,
    "explanation": lambda: xpmlp.explain(NETWORK, X),
    "gradients": gradients,
    "parity": lambda: Report([Row("tanh", "numpy", "float32", 3.0, 8.0, "ulp")]),
}


@each("name", SHOWN)
def test_what_a_notebook_shows_takes_its_colours_from_the_page(name):
    html = SHOWN[name]()._repr_html_()
    assert type(html) is str and html.startswith('<div class="xpmlp">')
    style = "".join(re.findall("<style>(.*?)</style>", html, re.S))
    body = re.sub("<style>.*?</style>", "", html, flags=re.S)
    assert "prefers-color-scheme" not in html and "color-scheme" not in style
    assert re.sub(r"--\w+: [^;]+;", "", style).count("#") == 0  # a colour has a name, tested above
    assert not re.search("#[0-9a-f]{3,6}[;'\"]|[^s]rgb", body)


def test_a_page_leaves_its_colours_to_the_system():
    html = xpmlp.explain(NETWORK, X).to_html()
    assert ":root { color-scheme: light dark;" in html and "background: #" not in html


def test_a_plan_shows_layers_memory_and_whether_it_fits():
    html = xpmlp.plan(NETWORK, X)._repr_html_()
    for text in ("1 Dense 2 -&gt; 3 relu", "activations", "free: fits.", "class='good'"):
        assert text in html
    assert "X.T" in xpmlp.plan(NETWORK, X.T)._repr_html_()
    html = SHOWN["plan that does not fit"]()._repr_html_()
    assert "class='bad'>Total: 8 B of 4 B free: does not fit by 4 B." in html
    assert "a &lt;note&gt;" in html


def test_learning_rates_print_in_three_lines_and_show_their_curve():
    found = learning_rates()
    assert repr(found).splitlines() == [
        "Suggested learning rate: 0.1.",
        "90 rates from 0.0001 to 1; the smoothed loss falls from 2 to 1.001, at a rate of 0.54.",
        "xpmlp.plotting.plot_learning_rates draws them.",
    ]
    html = found._repr_html_()
    points = re.search("points='([^']+)'", html)[1].split()
    x, y = np.asarray([list(map(float, point.split(","))) for point in points]).T
    assert (x[0], x[-1], len(x)) == (0.0, 400.0, 90) and y.argmax() == found.smoothed.argmin()
    assert "M300.0 0v120" in html  # 0.1 is three of the four decades along


def test_estimators_show_as_scikit_learn_shows_them():
    html = MLPClassifier((7,))._repr_html_()
    assert "sk-estimator" in html and "hidden_layer_sizes" in html


@pytest.mark.parametrize("share, width", [(0.5, "4.00em"), (2.0, "8.00em"), (-1.0, "0.00em")])
def test_a_bar_is_as_wide_as_its_share(share, width):
    assert f"width: {width}" in page.bar(share, "<x>") and "&lt;x&gt;" in page.bar(share, "<x>")
