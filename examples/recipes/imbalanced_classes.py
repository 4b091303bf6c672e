"""
Imbalanced classes: weights, and the focal loss
===============================================

One row of twenty is of the class that matters. Class weights find more of it, and are wrong more
often; the focal loss does a little of both.
"""

from sklearn.datasets import make_classification
from sklearn.metrics import balanced_accuracy_score, precision_score, recall_score
from sklearn.model_selection import train_test_split

from xpmlp import MLPClassifier
from xpmlp.plotting import plot_confusion

X, y = make_classification(6000, 20, n_informative=6, weights=[0.95], random_state=0)
X, X_test, y, y_test = train_test_split(X, y, stratify=y, random_state=0)

print("found  finds right  balanced accuracy")
for options in ({}, {"loss": "focal"}, {"class_weight": {1: 4}}, {"class_weight": "balanced"}):
    clf = MLPClassifier(
        (32,), dropout=0.2, learning_rate="cosine", max_iter=30, random_state=0, **options
    ).fit(X, y)
    y_pred = clf.predict(X_test)
    scores = [f(y_test, y_pred) for f in (recall_score, precision_score, balanced_accuracy_score)]
    print("{:5.0%} {:12.0%} {:18.3f}  ".format(*scores), options)
plot_confusion(y_test, y_pred, path="imbalanced.png")
