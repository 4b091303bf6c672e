"""Callbacks: stop by a rule of one's own, and write a log."""

from sklearn.datasets import load_digits

from xpmlp import MLPClassifier
from xpmlp.callbacks import CSVLogger

X, y = load_digits(return_X_y=True)


def good_enough(epoch):  # called after each epoch; something true ends the training
    return epoch.validation_loss < 0.3 and epoch.estimator.score(X[1500:], y[1500:]) > 0.9


clf = MLPClassifier((32,), random_state=0, callbacks=[good_enough, CSVLogger("log.csv")])
clf.fit(X[:1200], y[:1200], X_val=X[1200:1500], y_val=y[1200:1500])
print(f"stopped after epoch {clf.n_iter_}")
with open("log.csv") as log:
    rows = log.read().splitlines()
print(*rows[:2], "...", rows[-1], sep="\n")
