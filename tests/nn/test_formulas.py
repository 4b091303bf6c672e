"""What is printed of activations is what they compute."""

import numpy as np
import pytest
import scipy.special
from each import each

from xpmlp.nn.activations import ACTIVATIONS
from xpmlp.nn.formulas import FORMULAS, as_factor

Z = np.concatenate([np.linspace(-9.0, 9.0, 61), [-300.0, 300.0]])


def evaluated(expression, **arrays):
    return eval(expression.format(**{k: k for k in arrays}), {"np": np, "scipy": scipy}, arrays)


@each("name", ACTIVATIONS)
def test_a_formula_is_the_activation_and_its_derivative(name):
    row, formula = ACTIVATIONS[name], FORMULAS[name]
    a, da = row.forward(Z, np), np.cos(Z)
    assert evaluated(formula.value, z=Z) == pytest.approx(a, rel=1e-13, abs=1e-15)
    dz = row.backward(da, Z, a, np)
    slope = evaluated(formula.slope, z=Z, a=a) * da
    assert slope == pytest.approx(dz, rel=1e-12, abs=1e-13)
    # As it stands in a product, where a sum needs parentheses.
    product = evaluated("{da} * " + as_factor(formula.slope.format(z="z", a="a")), da=da, z=Z, a=a)
    assert product == pytest.approx(dz, rel=1e-12, abs=1e-13)
