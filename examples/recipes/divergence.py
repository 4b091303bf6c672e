"""
A training that diverges: where it began, and what to try
=========================================================

A `DivergenceError` names the step, the layer and what helps. The estimator keeps the last finite
weights.
"""

import numpy as np

from xpmlp import MLPRegressor

x = np.random.default_rng(0).uniform(0, 1000, (300, 3)).astype(np.float32)
y = x.sum(axis=1)
reg = MLPRegressor(activation="leaky_relu", solver="sgd", batch_size=20, random_state=0)
try:
    reg.fit(x, y)
except ValueError as error:  # a DivergenceError
    print(error)

reg.set_params(target_scale="auto", learning_rate_init=0.01, max_iter=20, tol=1e-2)
print(f"both standardised: R^2 {reg.fit(x / 1000, y).score(x / 1000, y):.3f}")
