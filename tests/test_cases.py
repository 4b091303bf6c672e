"""The four networks that the package grew out of: each trains here."""

from pathlib import Path

import numpy as np
import pytest

from xpmlp import MLPClassifier, MLPRegressor, nn
from xpmlp.errors import ShapeError
from xpmlp.files.datasets import load_dataset
from xpmlp.training import train

pytestmark = pytest.mark.filterwarnings("ignore:.*Maximum iterations")
MNIST = Path(__file__).parents[2] / "shared" / "data" / "mnist"


@pytest.mark.parametrize("batch_size", [1, 25, 400])
def test_3_5_5_1_trains_at_every_batch_size_and_noise_stays_noise(batch_size):
    rng = np.random.default_rng(0)
    X, y = rng.integers(1, 5, (500, 3)).astype(float), rng.integers(0, 2, 500)
    clf = MLPClassifier(
        (5, 5), "logistic", loss="squared_error", solver="sgd", momentum=0.0,
        learning_rate_init=0.1, batch_size=batch_size, max_iter=10 + batch_size, alpha=0.0,
        random_state=0,
    ).fit(X[:400], y[:400])  # fmt: skip
    assert [c.shape for c in clf.coefs_] == [(3, 5), (5, 5), (5, 1)]
    assert clf.best_loss_ < 0.13  # 0.125: chance
    assert 0.35 < clf.score(X[400:], y[400:]) < 0.65


def test_2_4_1_on_the_flower_has_the_courses_costs_to_six_digits():
    table = load_dataset("flower")
    rng = np.random.RandomState(2)  # noqa: NPY002 - the course's own draws
    W1, W2 = 0.01 * rng.randn(4, 2), 0.01 * rng.randn(1, 4)
    clf = MLPClassifier(
        (4,), "tanh", solver="sgd", momentum=0.0, learning_rate_init=1.2, alpha=0.0, max_iter=7001,
        batch_size=400, tol=0, n_iter_no_change=np.inf, shuffle=False,
        init=([W1.T, W2.T], [np.zeros(4), np.zeros(1)]),
    ).fit(table.X, table.y)  # fmt: skip
    course = [0.693048, 0.288083, 0.254385, 0.233864, 0.226792, 0.222644, 0.219731, 0.217504]
    np.testing.assert_allclose(clf.loss_curve_[::1000], course, atol=5e-7)
    assert clf.score(table.X, table.y) >= 0.9


@pytest.mark.skipif(not MNIST.is_dir(), reason="MNIST does not lie beside the checkout")
def test_784_30_10_learns_mnist_from_5000_images():
    table = load_dataset(MNIST)
    clf = MLPClassifier(
        (30,), "logistic", loss="squared_error", solver="sgd", momentum=0.0, learning_rate_init=3.0,
        init="normal", batch_size=10, max_iter=10, alpha=0.0, random_state=0,
    ).fit(table.X[:5000], table.y[:5000])  # fmt: skip
    assert clf.score(table.X_test, table.y_test) > 0.86


@pytest.mark.parametrize("seed", range(3))
def test_1_3_1_learns_the_sign_with_biases(seed):
    table = load_dataset("sign")
    clf = MLPClassifier(
        (3,), "logistic", loss="squared_error", solver="sgd", momentum=0.0, learning_rate_init=0.1,
        init="normal", batch_size=1, max_iter=10, alpha=0.0, random_state=seed,
    ).fit(table.X, table.y)  # fmt: skip
    assert clf.score(table.X, table.y) == 1.0


def test_1_8_1_learns_the_sine_to_two_hundredths():
    table = load_dataset("sine")
    reg = MLPRegressor(
        hidden_layer_sizes=(8,), activation="tanh", solver="lbfgs", alpha=0, max_iter=2000,
        tol=1e-7, random_state=0,
    ).fit(table.X, table.y)  # fmt: skip
    assert np.sqrt(np.mean((reg.predict(table.X) - table.y) ** 2)) < 0.02


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
    with pytest.raises(ShapeError, match=r"targets have shape \(1000,\).*y.reshape\(1000, 1\)"):
        train(nn.Network([nn.Dense(1)]), x, np.sin(x[:, 0]))
