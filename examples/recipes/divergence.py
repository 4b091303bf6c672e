"""What is said of a training that leaves the finite numbers."""

import numpy as np

from xpmlp import MLPRegressor

x = np.random.default_rng(0).uniform(0, 1000, (300, 3)).astype(np.float32)
y = x.sum(axis=1)
reg = MLPRegressor(
    "squared_error", (20,), "leaky_relu", solver="sgd", batch_size=20, random_state=0
)
try:
    reg.fit(x, y)
except ValueError as error:  # a DivergenceError
    print(error)

reg.set_params(target_scale="auto", learning_rate="cosine", max_iter=30).fit(x / 1000, y)
print(
    f"standardised: R^2 {reg.score(x / 1000, y):.3f}, predictions of {reg.predict(x / 1000).mean():.0f}"
)
