"""scikit-learn's own tests of its MLP, with our estimators in the place of its own."""

import types
from importlib.util import find_spec, module_from_spec
from unittest import mock

import pytest

import xpmlp

SPEC = find_spec("sklearn.neural_network.tests.test_mlp")
if SPEC is None:
    pytest.skip("this scikit-learn came without its tests", allow_module_level=True)

# test -> what is raised there, and why it does not hold here
DIFFERENCES: dict = {}


def _tests():
    """Load the module anew, so that ours are in its decorators too, and return its tests."""
    module = module_from_spec(SPEC)
    ours = {name: getattr(xpmlp, name) for name in ("MLPClassifier", "MLPRegressor")}
    with mock.patch.multiple("sklearn.neural_network", **ours):
        SPEC.loader.exec_module(module)
    found = {k: v for k, v in vars(module).items() if isinstance(v, types.FunctionType)}
    return {k: v for k, v in found.items() if k.startswith("test_")}


globals().update(_tests())
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
