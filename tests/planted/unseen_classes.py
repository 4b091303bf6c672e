"""Forms that bring objects, not looked at while mending: momentum, w_ with its bias, lists."""

from .case import everywhere
from .form import Form

MOMENTUM = Form(
    "a class with velocities, a step of momentum in train",
    """
import numpy as np

rng = np.random.default_rng(71)
X = rng.normal(size=(16, 3))
y = (X[:, [0]] > X[:, [1]]).astype(float)

class Net:
    def __init__(self, hidden=5, lr=0.2, mu=0.9):
        self.lr, self.mu = lr, mu
        self.w_ih = rng.normal(0, 0.7, (3, hidden))
        self.b_h = rng.normal(0, 0.1, (1, hidden))
        self.w_ho = rng.normal(0, 0.7, (hidden, 1))
        self.b_o = rng.normal(0, 0.1, (1, 1))
        self.restart()

    def restart(self):
        self.v = [0.0, 0.0, 0.0, 0.0]

    def predict(self, X):
        self.h = np.tanh(X @ self.w_ih + self.b_h)
        return 1 / (1 + np.exp(-(self.h @ self.w_ho + self.b_o)))

    def cost(self, X, y):
        out = self.predict(X)
        return -np.mean(y * np.log(out) + (1 - y) * np.log(1 - out))

    def train(self, X, y):
        out = self.predict(X)
        d_out = (out - y) / len(X)
        d_h = d_out @ self.w_ho.T * (1 - self.h ** 2)
        self.v[0] = self.mu * self.v[0] - self.lr * X.T @ d_h
        self.v[1] = self.mu * self.v[1] - self.lr * d_h.sum(axis=0, keepdims=True)
        self.v[2] = self.mu * self.v[2] - self.lr * self.h.T @ d_out
        self.v[3] = self.mu * self.v[3] - self.lr * d_out.sum(axis=0, keepdims=True)
        self.w_ih += self.v[0]
        self.b_h += self.v[1]
        self.w_ho += self.v[2]
        self.b_o += self.v[3]

net = Net()
""",
    [
        ("minus the velocity", "self.w_ho += self.v[2] -> self.w_ho -= self.v[2]", "sign@2"),
        ("tanh' as of a sigmoid", "(1 - self.h ** 2) -> self.h * (1 - self.h)",
         "derivative_formula@1"),
        ("the square's error", "d_out = (out - y) / len(X) -> "
         "d_out = (out - y) * out * (1 - out) / len(X)", "other_loss@2"),
        ("no division by the samples", "d_out = (out - y) / len(X) -> d_out = out - y",
         everywhere("missing_mean", 2)),
        ("right, with cosh", "* (1 - self.h ** 2) -> "
         "/ np.cosh(X @ self.w_ih + self.b_h) ** 2", ""),
    ],
    call='check_gradients(net, X, y)',
    by_hand="""
params = {name: getattr(net, name) for name in ("w_ih", "b_h", "w_ho", "b_o")}

def forward(params, X, y):
    net.__dict__.update(params)
    return net.cost(X, y)

def backward(params, X, y):
    net.__dict__.update({name: value.copy() for name, value in params.items()})
    net.restart()
    net.train(X, y)
    return {name: (value - getattr(net, name)) / net.lr for name, value in params.items()}
""",
)  # fmt: skip
ADALINE = Form(
    "w_ with the bias in its first entry, fit that adds eta times the errors",
    """
import numpy as np

rgen = np.random.RandomState(72)
X = rgen.normal(size=(20, 2))
y = np.where(X[:, 0] - X[:, 1] > 0.3, 1, -1)

class AdalineGD:
    def __init__(self, eta=0.01, n_iter=1):
        self.eta = eta
        self.n_iter = n_iter
        self.w_ = rgen.normal(loc=0.0, scale=0.5, size=3)

    def net_input(self, X):
        return np.dot(X, self.w_[1:]) + self.w_[0]

    def activation(self, X):
        return X

    def predict(self, X):
        return np.where(self.activation(self.net_input(X)) >= 0.0, 1, -1)

    def fit(self, X, y):
        for i in range(self.n_iter):
            output = self.activation(self.net_input(X))
            errors = y - output
            self.w_[1:] += self.eta * X.T.dot(errors)
            self.w_[0] += self.eta * errors.sum()
        return self

ada = AdalineGD()
""",
    [
        ("output - y", "errors = y - output -> errors = output - y", "sign@1 | sign"),
        ("the bias takes the mean", "self.eta * errors.sum() -> self.eta * errors.mean()",
         "extra_mean@1 | factor@1"),
        ("squares", "X.T.dot(errors) -> X.T.dot(errors ** 2)",
         "error_formula@1 | squared@1 | other_loss@1"),
    ],
    call='check_gradients(ada, X, y, loss="sse", step="fit")',
    by_hand="""
params = {"w_": ada.w_}

def forward(params, X, y):
    ada.w_ = params["w_"]
    return 0.5 * np.sum((y - ada.net_input(X)) ** 2)

def backward(params, X, y):
    ada.w_ = params["w_"].copy()
    ada.fit(X, y)
    return {"w_": (params["w_"] - ada.w_) / ada.eta}
""",
)  # fmt: skip
HISTORY = Form(
    "a class with lists of weights, self.activations and self.deltas over L layers",
    """
import numpy as np

class MultiLayerPerceptron:
    def __init__(self, layers, seed=73):
        rng = np.random.default_rng(seed)
        self.layers = layers
        self.weights = [rng.normal(0, 1, (layers[i], layers[i + 1])) / np.sqrt(layers[i])
                        for i in range(len(layers) - 1)]
        self.biases = [rng.normal(0, 0.1, layers[i + 1]) for i in range(len(layers) - 1)]

    def sigmoid(self, x):
        return 1 / (1 + np.exp(-x))

    def feed_forward(self, X):
        self.activations = [X]
        for w, b in zip(self.weights, self.biases):
            self.activations.append(self.sigmoid(self.activations[-1] @ w + b))
        return self.activations[-1]

    def compute_loss(self, X, y):
        return np.sum((self.feed_forward(X) - y) ** 2) / (2 * X.shape[0])

    def back_propagate(self, X, y):
        output = self.feed_forward(X)
        self.deltas = [(output - y) * output * (1 - output)]
        for i in range(len(self.weights) - 1, 0, -1):
            a = self.activations[i]
            self.deltas.insert(0, self.deltas[0] @ self.weights[i].T * a * (1 - a))
        n = X.shape[0]
        dW = [self.activations[i].T @ self.deltas[i] / n for i in range(len(self.weights))]
        db = [self.deltas[i].sum(axis=0) / n for i in range(len(self.biases))]
        return dW, db

    def gradient_descent(self, X, y, learning_rate=0.1):
        dW, db = self.back_propagate(X, y)
        for i in range(len(self.weights)):
            self.weights[i] -= learning_rate * dW[i]
            self.biases[i] -= learning_rate * db[i]

mlp = MultiLayerPerceptron([2, 4, 4, 1])
X = np.array([[0, 0], [0, 1], [1, 0], [1, 1], [0.5, 0.2]])
y = np.array([[0], [1], [1], [0], [1]])
""",
    [
        ("z for a", "a = self.activations[i]\n -> a = self.activations[i - 1] @ "
         "self.weights[i - 1] + self.biases[i - 1]\n",
         "derivative_formula@1 derivative_formula@2 | derivative_formula"),
        ("the last delta again", "self.deltas.insert(0, self.deltas[0] @ self.weights[i].T -> "
         "self.deltas.insert(0, self.deltas[-1] @ self.weights[-1].T",
         "layer_skipped@1"),
        ("the mean of means", "self.deltas[i].sum(axis=0) / n -> self.deltas[i].mean(axis=0) / n",
         "extra_mean@1 extra_mean@2 extra_mean@3 | extra_mean"),
        ("a sum in the weights", "self.activations[i].T @ self.deltas[i] / n -> "
         "self.activations[i].T @ self.deltas[i]",
         "missing_mean@1 missing_mean@2 missing_mean@3 | missing_mean"),
        ("the output's slope is forgotten", "[(output - y) * output * (1 - output)] -> "
         "[output - y]", "other_loss@3 | derivative_missing@3"),
        ("right, turned twice", "self.deltas[0] @ self.weights[i].T * a -> "
         "(self.weights[i] @ self.deltas[0].T).T * a", ""),
    ],
    call='check_gradients(mlp, X, y, loss="squared_error", step="gradient_descent", rate=0.1)',
    by_hand="""
params = {"weights": mlp.weights, "biases": mlp.biases}

def forward(params, X, y):
    mlp.weights, mlp.biases = params["weights"], params["biases"]
    return mlp.compute_loss(X, y)

def backward(params, X, y):
    mlp.weights, mlp.biases = params["weights"], params["biases"]
    dW, db = mlp.back_propagate(X, y)
    return {"weights": dW, "biases": db}
""",
)  # fmt: skip
COLUMNS = Form(
    "a class of column samples with two hidden layers, -= in update_params",
    """
import numpy as np

rng = np.random.default_rng(74)
X_train = rng.random((5, 13))
labels = rng.integers(0, 3, 13)
Y_train = np.zeros((3, 13))
Y_train[labels, np.arange(13)] = 1

class DigitNet:
    def __init__(self):
        self.W1, self.b1 = rng.random((6, 5)) - 0.5, rng.random((6, 1)) - 0.5
        self.W2, self.b2 = rng.random((4, 6)) - 0.5, rng.random((4, 1)) - 0.5
        self.W3, self.b3 = rng.random((3, 4)) - 0.5, rng.random((3, 1)) - 0.5

    def forward_prop(self, X):
        self.Z1 = self.W1.dot(X) + self.b1
        self.A1 = np.maximum(self.Z1, 0)
        self.Z2 = self.W2.dot(self.A1) + self.b2
        self.A2 = np.maximum(self.Z2, 0)
        self.Z3 = self.W3.dot(self.A2) + self.b3
        exps = np.exp(self.Z3)
        self.A3 = exps / exps.sum(axis=0)
        return self.A3

    def back_prop(self, X, Y):
        m = X.shape[1]
        dZ3 = self.A3 - Y
        self.dW3 = 1 / m * dZ3.dot(self.A2.T)
        self.db3 = 1 / m * np.sum(dZ3, axis=1, keepdims=True)
        dZ2 = self.W3.T.dot(dZ3) * (self.Z2 > 0)
        self.dW2 = 1 / m * dZ2.dot(self.A1.T)
        self.db2 = 1 / m * np.sum(dZ2, axis=1, keepdims=True)
        dZ1 = self.W2.T.dot(dZ2) * (self.Z1 > 0)
        self.dW1 = 1 / m * dZ1.dot(X.T)
        self.db1 = 1 / m * np.sum(dZ1, axis=1, keepdims=True)

    def update_params(self, alpha=0.1):
        self.W1 -= alpha * self.dW1
        self.b1 -= alpha * self.db1
        self.W2 -= alpha * self.dW2
        self.b2 -= alpha * self.db2
        self.W3 -= alpha * self.dW3
        self.b3 -= alpha * self.db3

    def train_step(self, X, Y):
        self.forward_prop(X)
        self.back_prop(X, Y)
        self.update_params()

net = DigitNet()
""",
    [
        ("one number for all biases", "self.db1 = 1 / m * np.sum(dZ1, axis=1, keepdims=True) -> "
         "self.db1 = 1 / m * np.sum(dZ1)", "wrong_axis@1"),
        ("the error before its slope", "self.db2 = 1 / m * np.sum(dZ2, "
         "axis=1, keepdims=True) -> self.db2 = 1 / m * np.sum(self.W3.T.dot(dZ3), axis=1, "
         "keepdims=True)", "derivative_missing@2 | error_formula@2"),
        ("A1 for X", "self.dW1 = 1 / m * dZ1.dot(X.T) -> "
         "self.dW1 = 1 / m * dZ1.dot(self.A1[:5].T)", "wrong_input@1"),
        ("the mean in the error and again", "dZ3 = self.A3 - Y -> dZ3 = (self.A3 - Y) / m",
         everywhere("extra_mean", 3)),
        ("the slope of the numbers below", "self.W2.T.dot(dZ2) * (self.Z1 > 0) -> "
         "self.W2.T.dot(dZ2) * (self.W2.T.dot(dZ2) > 0)",
         "derivative_formula@1 | activation_on_error@1"),
        ("right, with where", "self.W3.T.dot(dZ3) * (self.Z2 > 0) -> "
         "np.where(self.A2 > 0, self.W3.T.dot(dZ3), 0)", ""),
    ],
    call='check_gradients(net, X_train, Y_train, loss="cross_entropy", step="train_step", '
    "rate=0.1)",
    by_hand="""
X, y, names = X_train, Y_train, ("W1", "b1", "W2", "b2", "W3", "b3")
params = {name: getattr(net, name) for name in names}

def forward(params, X, y):
    net.__dict__.update(params)
    return -np.sum(y * np.log(net.forward_prop(X))) / X.shape[1]

def backward(params, X, y):
    forward(params, X, y)
    net.back_prop(X, y)
    return {name: getattr(net, "d" + name).reshape(-1, 1) * np.ones((len(params[name]), 1))
            if name == "b1" else getattr(net, "d" + name) for name in names}
""",
)  # fmt: skip
FORMS = [MOMENTUM, ADALINE, HISTORY, COLUMNS]
