"""scikit-learn's own tests of its MLP, with our estimators in the place of its own."""

import types
from importlib.util import find_spec, module_from_spec
from unittest import mock

import numpy as np
import pytest
from needs import is_older

import xpmlp

SPEC = find_spec("sklearn.neural_network.tests.test_mlp")
if SPEC is None:
    pytest.skip("this scikit-learn came without its tests", allow_module_level=True)

if is_older("sklearn", "1.9"):
    pytest.skip("of other versions other tests differ", allow_module_level=True)

# test -> what is raised in it, and why it does not hold here; docs/from_scikit_learn.md tells it.
DIFFERENCES = {
    "test_fit": (AttributeError, "sets fitted attributes by hand: ours is init=(coefs, offsets)"),
    "test_gradient": (AttributeError, "calls a private function: ours is testing.check_gradients"),
    "test_mlp_diverging_loss": (
        AssertionError,
        "trains on to NaN: ours ends at the best",
    ),
    "test_verbose_sgd": (AssertionError, "verbose=2 and more has lines of its own, 1 has these"),
}


class Views:
    """Two of scikit-learn's private names for what ours has too, so that their tests count."""

    def __getattr__(self, name):
        if name == "_optimizer":
            return types.SimpleNamespace(learning_rate=self.state_.lr)
        if name == "_no_improvement_count":
            return self.state_.stale
        raise AttributeError(f"{type(self).__name__} has no {name}")


class Classifier(Views, xpmlp.MLPClassifier):
    """Ours with the views."""


class Regressor(Views, xpmlp.MLPRegressor):
    """Ours with the views."""


def _tests():
    """Load the module anew, so that ours are in its decorators too, and return its tests."""
    module = module_from_spec(SPEC)
    ours = {"MLPClassifier": Classifier, "MLPRegressor": Regressor}
    with mock.patch.multiple("sklearn.neural_network", **ours):
        SPEC.loader.exec_module(module)
    found = {k: v for k, v in vars(module).items() if isinstance(v, types.FunctionType)}
    return {k: v for k, v in found.items() if k.startswith("test_")}


TESTS = _tests()
globals().update(TESTS)
pytestmark = pytest.mark.filterwarnings("ignore")  # as scikit-learn runs them


@pytest.fixture
def global_random_seed():
    """scikit-learn's fixture, with its default."""
    return 42


@pytest.fixture(autouse=True)
def _differences(request):
    """Expect the listed differences, so that none stays on the list when it is gone."""
    if request.node.name in DIFFERENCES:
        raised, reason = DIFFERENCES[request.node.name]
        request.node.add_marker(pytest.mark.xfail(raises=raised, reason=reason, strict=True))


def test_scikit_learns_tests_are_all_there_and_each_difference_is_one_of_them():
    assert len(TESTS) >= 40
    assert {name.partition("[")[0] for name in DIFFERENCES} <= TESTS.keys()


def test_scikit_learns_worked_example_of_a_step_holds_from_given_weights():
    coefs = [np.array([[0.1, 0.2], [0.3, 0.1], [0.5, 0]]), np.array([[0.1], [0.2]])]
    offsets = [np.array([0.1, 0.1]), np.array([1.0])]
    options = {"alpha": 0.1, "momentum": 0, "init": (coefs, offsets)}
    clf = xpmlp.MLPClassifier(2, "logistic", solver="sgd", learning_rate_init=0.1, **options)
    clf.partial_fit([[0.6, 0.8, 0.7]], [0], classes=[0, 1])
    # The numbers of its test_fit.
    first = [[0.098, 0.195756], [0.2956664, 0.096008], [0.4939998, -0.002244]]
    np.testing.assert_allclose(clf.coefs_[0], first, atol=1e-3)
    np.testing.assert_allclose(clf.coefs_[1], [[0.04706], [0.154089]], atol=1e-3)
    np.testing.assert_allclose(clf.intercepts_[0], [0.098333, 0.09626], atol=1e-3)
    np.testing.assert_allclose(clf.intercepts_[1], [0.9235], atol=1e-3)
    np.testing.assert_allclose(clf.predict_proba([[0.6, 0.8, 0.7]])[0, 1], 0.739, atol=1e-3)
