"""What people who wrote backprop by hand mix up is refused in words; `examples/` show the rest."""

import numpy as np
import pytest

from xpmlp import MLPClassifier, nn
from xpmlp.errors import ShapeError
from xpmlp.training import train


@pytest.mark.filterwarnings("ignore:.*Maximum iterations")
def test_the_sine_as_21_classes_and_a_squared_error_refuses_class_labels_in_words():
    x = np.linspace(-np.pi, np.pi, 1000)[:, None]
    labels = np.rint(np.sin(x[:, 0]) * 10).astype(int)
    clf = MLPClassifier((32,), "tanh", solver="lbfgs", max_iter=300, random_state=0).fit(x, labels)
    assert len(clf.classes_) == 21 and clf.score(x, labels) > 0.9
    network = nn.Network([nn.Dense(8, "tanh"), nn.Dense(21)])
    with pytest.raises(ShapeError, match="loss='log_loss', or a 0/1 column for each class"):
        train(network, x, labels + 10, loss="squared_error")
    trained = train(network, x, labels + 10, loss="log_loss", max_iter=20)
    assert trained.outputs(x).shape == (1000, 21)
    with pytest.raises(ShapeError, match=r"y is \(1000,\).*did you mean y\[:, None\]"):
        train(nn.Network([nn.Dense(1)]), x, np.sin(x[:, 0]))
