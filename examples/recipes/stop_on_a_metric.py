"""
Early stopping on a metric
==========================

Stop when the F1 score of rows held out no longer rises, and keep the best weights. Any scorer of
scikit-learn will do, or the loss.
"""

from sklearn.datasets import load_digits
from sklearn.metrics import f1_score
from sklearn.model_selection import train_test_split

from xpmlp import MLPClassifier
from xpmlp.plotting import plot_history

X, y = load_digits(return_X_y=True)
X, X_test, y, y_test = train_test_split(X / 16, y, stratify=y, random_state=0)

clf = MLPClassifier(
    (64,), scoring="f1_macro", early_stopping=True, n_iter_no_change=15, max_iter=500,
    learning_rate_init=0.003, batch_size=32, dropout=0.3, random_state=0,
).fit(X, y)  # fmt: skip
best, epoch = clf.best_validation_score_, clf.best_epoch_  # whose weights are kept
print(f"{clf.n_iter_} epochs; F1 was best after epoch {epoch}: {best:.4f}")
print(f"F1 of rows never seen: {f1_score(y_test, clf.predict(X_test), average='macro'):.4f}")
plot_history(clf, path="stop.png")
