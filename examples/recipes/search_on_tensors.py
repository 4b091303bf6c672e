"""
A pipeline and a search on tensors
==================================

Their rows stay tensors of PyTorch (``pip install "xpmlp[torch]"``). SciPy wants the environment
variable SCIPY_ARRAY_API=1 for it.
"""

import sklearn
import torch
from sklearn.datasets import load_digits
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from xpmlp import MLPClassifier

sklearn.set_config(array_api_dispatch=True)
X, y = load_digits(return_X_y=True)
X, y = torch.asarray(X, dtype=torch.float32), torch.asarray(y)  # on a GPU: device="cuda"

mlp = MLPClassifier((32,), learning_rate="cosine", max_iter=20, random_state=0)
grid = {"mlpclassifier__learning_rate_init": [0.001, 0.01], "mlpclassifier__dropout": [0.0, 0.2]}
search = GridSearchCV(make_pipeline(StandardScaler(), mlp), grid, cv=3).fit(X, y)
print(search.best_params_)
print(f"{search.best_score_:.3f} right;", type(search.predict(X)), X.device)
