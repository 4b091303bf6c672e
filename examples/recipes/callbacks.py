"""
Callbacks and logs: a function is enough
========================================

One function stops the training by a rule of its own; `CSVLogger` writes a row an epoch.
"""

from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split

from xpmlp import MLPClassifier
from xpmlp.callbacks import CSVLogger

X, y = load_digits(return_X_y=True)
X, X_val, y, y_val = train_test_split(X / 16, y, random_state=0)


def good_enough(epoch):  # something true ends the training
    return epoch.validation_loss < 0.2 and (epoch.estimator.predict(X_val) == y_val).mean() > 0.95


clf = MLPClassifier((32,), random_state=0, callbacks=[good_enough, CSVLogger("log.csv")])
clf.fit(X, y, X_val=X_val, y_val=y_val)
with open("log.csv") as log:
    print(*[",".join(row.split(",")[:5]) for row in log][-3:], sep="\n")
