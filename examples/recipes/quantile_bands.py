"""
Quantile bands: a model that says how far off it may be
=======================================================

The noise grows with x. Several quantiles are learnt at once and never cross; targets may have any
scale.
"""

import numpy as np

from xpmlp import MLPRegressor
from xpmlp.plotting import plot_curves

rng, levels = np.random.default_rng(0), [0.05, 0.5, 0.95]
x, x_test = rng.uniform(-3, 3, (2, 2000, 1))
y, y_test = (1000 * (np.sin(2 * a) + (0.2 + a**2) / 15 * rng.normal(size=a.shape))[:, 0]
             for a in (x, x_test))  # fmt: skip

reg = MLPRegressor(
    "quantile", (32, 32), "tanh", quantiles=levels, target_scale="auto",
    learning_rate="one_cycle", learning_rate_init=0.01, max_iter=60, batch_size=50,
    random_state=0,
).fit(x, y)  # fmt: skip
low, middle, high = reg.predict(x_test, quantiles=levels).T
print(f"{np.mean((low < y_test) & (y_test < high)):.1%} of new rows lie between 5 % and 95 %")
ends = np.abs(x_test[:, 0]) > 2.7
print(f"the band is {np.mean((high - low)[ends]):.0f} wide at the ends,", end=" ")
print(f"{np.min(high - low):.0f} where it is narrow")

grid = np.linspace(-3, 3, 200)[:, None]
low, middle, high = reg.predict(grid, quantiles=levels).T
curves = {"1000 sin(2x)": 1000 * np.sin(2 * grid), "median": middle}
axes = plot_curves(grid[:, 0], curves, xlabel="x", ylabel="y").axes[0]
axes.scatter(x_test[:, 0], y_test, s=4, lw=0, color="0.6", zorder=0)
axes.fill_between(grid[:, 0], low, high, alpha=0.25, lw=0, label="5 % to 95 %")
axes.legend(frameon=False)
axes.figure.savefig("quantiles.png", dpi=150)
