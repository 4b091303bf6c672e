"""
Moving a model, and forbidding hidden copies
============================================

A model goes to a library, to a device, or nowhere without being told. It needs PyTorch
(``pip install "xpmlp[torch]"``) and array-api-strict.
"""

import numpy as np
import torch
from array_api_strict import Device, zeros

from xpmlp import MLPClassifier, forbid_transfers

X = np.random.default_rng(0).normal(size=(200, 3))
clf = MLPClassifier((8,), solver="lbfgs", random_state=0).fit(X, X[:, 0] > 0)

clf.to(torch.zeros(0))  # to the library and device of an array
print(clf.device_, clf.predict(torch.asarray(X[:3])))

clf.to(zeros(0, device=Device("CPU_DEVICE"))).to("device1")  # a pretended GPU: think "cuda"
print(clf.device_, clf.predict(X[:3]))  # NumPy rows are brought to it

with forbid_transfers():  # hidden copies are errors
    try:
        clf.predict(X)
    except RuntimeError as error:  # a TransferError
        print(error)
