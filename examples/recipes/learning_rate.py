"""
Which learning rate? A range test
=================================

Let it rise from step to step, and see where the loss falls fastest.
"""

from sklearn.datasets import load_digits

from xpmlp import MLPClassifier
from xpmlp.plotting import plot_learning_rates

X, y = load_digits(return_X_y=True)
clf = MLPClassifier((64,), batch_size=64, learning_rate="cosine", max_iter=20, random_state=0)

found = clf.find_learning_rate(X / 16, y)
plot_learning_rates(found, path="rates.png")
for rate in (0.001, found.suggestion, 1.0):
    loss = clf.set_params(learning_rate_init=rate).fit(X / 16, y).loss_
    print(f"learning_rate_init={rate:.2g}: loss {loss:.4f} after {clf.n_iter_} epochs")
