"""
Hidden features: digits in the plane of two units
=================================================

`transform` returns what a hidden layer puts out, here that of two units, as a step of a pipeline or
to look at.
"""

from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split
from sklearn.neighbors import KNeighborsClassifier

from xpmlp import MLPClassifier
from xpmlp.plotting import plot_boundary

X, y = load_digits(return_X_y=True)
X, X_test, y, y_test = train_test_split(X / 16, y, random_state=0)

clf = MLPClassifier(
    (128, 64, 2), ["relu", "relu", "identity"], learning_rate="one_cycle",
    learning_rate_init=0.01, max_iter=60, random_state=0,
).fit(X, y)  # fmt: skip
Z, Z_test = clf.transform(X), clf.transform(X_test)  # the last hidden layer's outputs
print(f"{X_test.shape} -> {Z_test.shape}: {', '.join(clf.get_feature_names_out())}")
right = KNeighborsClassifier().fit(Z, y).score(Z_test, y_test)
print(f"neighbours in the plane: {right:.1%} right")


def output_layer(Z):
    return (Z @ clf.coefs_[-1] + clf.intercepts_[-1]).argmax(axis=1)


names = ["hidden unit 1", "hidden unit 2"]
plot_boundary(output_layer, Z_test, y_test, feature_names=names, path="hidden.png")
