"""What CONTRIBUTING.md says of adding to the package: a row is enough, nothing else knows of it."""

import inspect
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from xpmlp import MLPClassifier, MLPRegressor
from xpmlp.nn.activations import ACTIVATIONS
from xpmlp.nn.losses import loss_names
from xpmlp.optim import SCHEDULES
from xpmlp.optim.rules import SOLVERS

ROOT = Path(__file__).parents[1]
LOSS = """
        Loss("doubled", _doubled, "identity", tasks=REGRESSION, domain="positive"),
"""
DOUBLED = """
def _doubled(outputs, y, w, xp):
    return tuple(2.0 * a for a in _squared_error(outputs, y, w, xp))


"""
ACTIVATION = """
    ActivationFunction("twice", lambda z, xp: 2.0 * z, lambda da, z, a, xp: 2.0 * da),
"""
RULE = """
@dataclass(frozen=True)
class Half(Rule):
    epsilon: float = 1e-8
    arguments = ("epsilon",)

    def apply(self, p, g, rate, *, xp):
        p -= 0.5 * rate * g
        return (p,)


"""
SCHEDULE = """
@dataclass(frozen=True)
class Fading(Constant):
    power_t: float = 0.5
    arguments = ("power_t",)


"""
OPTION = """
    max_change: float | None = _option("Bound of a change.", below=3)
"""
SIGNATURE = [
    ("        ema_decay: float | None = None,\n", "        max_change: float | None = None,\n"),
    ("        self.ema_decay = ema_decay", "\n        self.max_change = max_change"),
]
PLACES = {  # file -> what is written after a text that stands there once
    "nn/losses.py": [
        ("# Half the Poisson deviance, of a rate exp(output).", LOSS),
        ("    return 0.5 * xp.sum(d * error, axis=(-2, -1)), d\n\n", DOUBLED),
    ],
    "nn/activations.py": [("_ROWS = (", ACTIVATION)],
    "optim/rules.py": [("        return p, m\n\n", RULE), ("RMSprop, Adagrad", ", Half")],
    "optim/schedules.py": [
        ("        return lr * self.factor\n\n    after_divergence = on_plateau\n\n", SCHEDULE),
        ('"step": StepDecay,', '"fading": Fading,'),
    ],
    "training/step.py": [('"Bound of the norm of all gradients.")', OPTION)],
    "estimators/classifier.py": SIGNATURE,
    "estimators/regressor.py": SIGNATURE,
}
CODE = """
import warnings
import numpy as np
from click.testing import CliRunner
from xpmlp import MLPClassifier, MLPRegressor, nn, train
from xpmlp.cli import cli

def refused(call, *words):
    try:
        call()
    except ValueError as error:
        assert all(word in str(error) for word in words), error
    else:
        raise AssertionError(words)

warnings.simplefilter("ignore")
X = np.random.default_rng(0).normal(size=(30, 2))
y = np.exp(X[:, 0])
new = dict(loss="doubled", activation="twice", solver="half", learning_rate="fading")
reg = MLPRegressor(**new, max_iter=2, max_change=2, random_state=0).fit(X, y)
assert reg.loss_ > 0 and reg.state_.rule.epsilon == reg.epsilon
y[2] = -1
refused(lambda: reg.fit(X, y), "loss='doubled' needs y > 0, got -1 in row 2")
refused(lambda: MLPClassifier(loss="doubled").fit(X, y > 1), "'loss' parameter")
refused(lambda: MLPRegressor(max_change=3).fit(X, y), "'max_change' parameter", "(0.0, 3.0)")
refused(lambda: MLPRegressor(max_change=1, solver="lbfgs").fit(X, y), "no steps that max_change")
refused(lambda: train(nn.Network([nn.Dense(1)]), X, X[:, :1], max_change=3), "above 0 and below 3")
text = CliRunner().invoke(cli, ["train", "--help"], terminal_width=1000).output
for word in ("doubled|", "twice,", "|half|", "|fading]", "--max-change", "Bound of a change.",
             "adagrad, half.", "For invscaling, fading."):
    assert word in text, word
"""


@pytest.mark.parametrize("kind", [MLPClassifier, MLPRegressor])
def test_the_docstrings_name_what_the_registries_hold(kind):
    names = {"loss": loss_names("regression")}
    if kind is MLPClassifier:  # which describes what they share
        names = {
            "loss": loss_names("classification"),
            "activation": ACTIVATIONS,
            "solver": SOLVERS,
            "learning_rate": SCHEDULES,
        }
    for argument, expected in names.items():
        (text,) = re.findall(rf"^{argument} : (.*?)^\w", inspect.getdoc(kind), flags=re.S | re.M)
        assert [name for name in expected if name not in text] == [], argument


def test_a_row_is_enough_for_estimators_train_and_command_line(tmp_path):
    package = tmp_path / "xpmlp"
    shutil.copytree(ROOT / "xpmlp", package, ignore=shutil.ignore_patterns("__pycache__"))
    for name, places in PLACES.items():
        text = (package / name).read_text()
        for before, added in places:
            assert text.count(before) == 1, (name, before)
            text = text.replace(before, before + added)
        (package / name).write_text(text)
    options = {"env": {"PATH": "", "PYTHONPATH": str(tmp_path)}, "capture_output": True}
    options |= {"text": True, "timeout": 120, "check": False}
    made = subprocess.run([sys.executable, "-c", CODE], cwd=tmp_path, **options)
    assert made.returncode == 0, made.stderr
