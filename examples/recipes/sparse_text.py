"""
Sparse text: tens of thousands of words
=======================================

Which module is a line of documentation from? A few batches are dense at a time, never the whole.
"""

from sklearn import cluster, linear_model, metrics
from sklearn.feature_extraction.text import HashingVectorizer
from sklearn.model_selection import train_test_split

from xpmlp import MLPClassifier

lines, y = [], []
for module in (cluster, linear_model, metrics):
    texts = (getattr(module, name).__doc__ or "" for name in module.__all__)
    found = sorted({line.strip() for text in texts for line in text.splitlines() if len(line) > 50})
    lines, y = lines + found, y + [module.__name__] * len(found)

X = HashingVectorizer(n_features=2**15, norm=None).transform(lines)
X, X_test, y, y_test = train_test_split(X, y, stratify=y, random_state=0)
clf = MLPClassifier((16,), learning_rate="cosine", max_iter=5, batch_size=64, random_state=0)
clf.fit(X, y)
print(f"{X.shape[0]} x {X.shape[1]}: {(X.data.nbytes + X.indices.nbytes) / 1e6:.1f} MB", end=", ")
print(f"dense {8 * X.shape[0] * X.shape[1] / 1e6:.0f} MB")
print(f"{clf.score(X_test, y_test):.0%} of {len(y_test)} new lines right")
