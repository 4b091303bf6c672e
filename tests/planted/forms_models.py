"""Forms that bring objects of several methods or parts: stored gradients, layers."""

from .case import everywhere
from .form import Form

STORED = Form(
    "a class that stores self.dW1, and updates in another method",
    """
import numpy as np

rng = np.random.default_rng(61)
X, Y = rng.normal(size=(12, 3)), np.eye(3)[rng.integers(0, 3, 12)]

class MLP:
    def __init__(self, n_in, n_hidden, n_out, learning_rate=0.5):
        self.learning_rate = learning_rate
        self.W1 = rng.normal(0, 0.5, (n_in, n_hidden))
        self.b1 = np.zeros((1, n_hidden)) + 0.1
        self.W2 = rng.normal(0, 0.5, (n_hidden, n_out))
        self.b2 = np.zeros((1, n_out)) - 0.1

    def forward(self, X):
        self.z1 = X @ self.W1 + self.b1
        self.a1 = np.maximum(0, self.z1)
        self.z2 = self.a1 @ self.W2 + self.b2
        e = np.exp(self.z2 - np.max(self.z2, axis=1, keepdims=True))
        self.a2 = e / e.sum(axis=1, keepdims=True)
        return self.a2

    def loss(self, X, Y):
        return -np.mean(np.sum(Y * np.log(self.forward(X)), axis=1))

    def backward(self, X, Y):
        n = X.shape[0]
        dz2 = (self.a2 - Y) / n
        self.dW2 = self.a1.T @ dz2
        self.db2 = dz2.sum(axis=0, keepdims=True)
        da1 = dz2 @ self.W2.T
        dz1 = da1 * (self.z1 > 0)
        self.dW1 = X.T @ dz1
        self.db1 = dz1.sum(axis=0, keepdims=True)

    def step(self):
        for name in ("W1", "b1", "W2", "b2"):
            value = getattr(self, name)
            setattr(self, name, value - self.learning_rate * getattr(self, "d" + name))

    def train_step(self, X, Y):
        loss = self.loss(X, Y)
        self.backward(X, Y)
        self.step()
        return loss

model = MLP(3, 6, 3)
""",
    [
        ("relu' forgotten", "dz1 = da1 * (self.z1 > 0) -> dz1 = da1", "derivative_missing@1"),
        ("softmax' once more", "dz2 = (self.a2 - Y) / n -> dz2 = (self.a2 - Y) * self.a2 * "
         "(1 - self.a2) / n", "other_loss@2"),
        ("no mean", "dz2 = (self.a2 - Y) / n -> dz2 = self.a2 - Y",
         everywhere("missing_mean", 2)),
        ("relu for relu'", "da1 * (self.z1 > 0) -> da1 * self.a1",
         "activation_for_derivative@1 | derivative_formula@1"),
        ("the mean of b2", "self.db2 = dz2.sum(axis=0 -> self.db2 = dz2.mean(axis=0",
         "extra_mean@2"),
    ],
    call='check_gradients(model, X, Y, loss="cross_entropy", step="train_step")',
    by_hand="""
y, names = Y, ("W1", "b1", "W2", "b2")
params = {name: getattr(model, name) for name in names}

def forward(params, X, Y):
    model.__dict__.update(params)
    return model.loss(X, Y)

def backward(params, X, Y):
    forward(params, X, Y)
    model.backward(X, Y)
    return {name: getattr(model, "d" + name) for name in names}
""",
)  # fmt: skip
LAYERS = Form(
    "layers as objects whose backward updates them",
    """
import numpy as np

class Dense:
    def __init__(self, n_in, n_out, seed):
        rng = np.random.default_rng(seed)
        self.weights = rng.normal(0, 0.6, (n_out, n_in))
        self.bias = rng.normal(0, 0.3, (n_out, 1))

    def forward(self, input):
        self.input = input
        return np.dot(self.weights, self.input) + self.bias

    def backward(self, output_gradient, learning_rate):
        weights_gradient = np.dot(output_gradient, self.input.T)
        input_gradient = np.dot(self.weights.T, output_gradient)
        self.weights -= learning_rate * weights_gradient
        self.bias -= learning_rate * output_gradient
        return input_gradient

class Tanh:
    def forward(self, input):
        self.input = input
        return np.tanh(self.input)

    def backward(self, output_gradient, learning_rate):
        return np.multiply(output_gradient, 1 - np.tanh(self.input) ** 2)

def mse(y_true, y_pred):
    return np.mean(np.power(y_true - y_pred, 2))

def mse_prime(y_true, y_pred):
    return 2 * (y_pred - y_true) / np.size(y_true)

class Network:
    def __init__(self):
        self.layers = [Dense(2, 4, 1), Tanh(), Dense(4, 3, 2), Tanh()]

    def predict(self, x):
        for layer in self.layers:
            x = layer.forward(x)
        return x

    def train(self, x, y, learning_rate=0.1):
        output = self.predict(x)
        grad = mse_prime(y, output)
        for layer in reversed(self.layers):
            grad = layer.backward(grad, learning_rate)
        return mse(y, output)

net = Network()
x, y = np.array([[0.5], [-1.2]]), np.array([[0.3], [-0.4], [0.8]])
""",
    [
        ("f' at the activation", "1 - np.tanh(self.input) ** 2 -> "
         "1 - np.tanh(np.tanh(self.input)) ** 2",
         "derivative_at_activation@1 derivative_at_activation@2"),
        ("the sign", "2 * (y_pred - y_true) -> 2 * (y_true - y_pred)", everywhere("sign", 2)),
        ("updated first", "        input_gradient = np.dot(self.weights.T, output_gradient)\n"
         "        self.weights -= learning_rate * weights_gradient -> "
         "        self.weights -= learning_rate * weights_gradient\n"
         "input_gradient = np.dot(self.weights.T, output_gradient)", "updated_weights@1",
         (), ("input_gradient = np.dot(self.weights.T, output_gradient)",
              "self.weights -= learning_rate * weights_gradient")),
        ("the wrong divisor", "/ np.size(y_true) -> / 2", f"{everywhere('factor', 2)}"),
        ("the bias is not trained", "self.bias -= learning_rate * output_gradient -> "
         "self.bias -= learning_rate * 0 * output_gradient", "zero@1 zero@2 | zero"),
    ],
    call='check_gradients(net, x, y, loss="mse", rate=0.1)',
    by_hand="""
X, dense = x, [net.layers[0], net.layers[2]]
params = [(layer.weights, layer.bias) for layer in dense]

def forward(params, X, y):
    for layer, (W, b) in zip(dense, params):
        layer.weights, layer.bias = W, b
    return mse(y, net.predict(X))

def backward(params, X, y):
    for layer, (W, b) in zip(dense, params):
        layer.weights, layer.bias = W.copy(), b.copy()
    net.train(X, y, 1.0)
    return [(W - layer.weights, b - layer.bias) for layer, (W, b) in zip(dense, params)]
""",
)  # fmt: skip
GRADIENTS = Form(
    "a class whose methods return the cost and the gradients",
    """
import numpy as np

rng = np.random.default_rng(62)
X = rng.normal(size=(3, 10))
y = (X.sum(axis=0, keepdims=True) > 0).astype(float)

class Classifier:
    def __init__(self):
        self.params = {"W1": rng.normal(size=(4, 3)), "b1": rng.normal(size=(4, 1)),
                       "W2": rng.normal(size=(1, 4)), "b2": rng.normal(size=(1, 1))}

    def forward(self, X):
        p, c = self.params, {}
        c["A1"] = np.tanh(p["W1"] @ X + p["b1"])
        c["A2"] = 1 / (1 + np.exp(-(p["W2"] @ c["A1"] + p["b2"])))
        return c

    def cost(self, X, y):
        A2 = self.forward(X)["A2"]
        return -np.mean(y * np.log(A2) + (1 - y) * np.log(1 - A2))

    def gradients(self, X, y):
        m, c = X.shape[1], self.forward(X)
        dZ2 = (c["A2"] - y) / m
        dZ1 = (self.params["W2"].T @ dZ2) * (1 - c["A1"] ** 2)
        return {"W1": dZ1 @ X.T, "b1": dZ1.sum(axis=1, keepdims=True), "W2": dZ2 @ c["A1"].T,
                "b2": dZ2.sum(axis=1, keepdims=True)}

clf = Classifier()

def forward(params, X, y):
    clf.params = params
    return clf.cost(X, y)

def backward(params, X, y):
    clf.params = params
    return clf.gradients(X, y)
""",
    [
        ("f' forgotten", '(self.params["W2"].T @ dZ2) * (1 - c["A1"] ** 2) -> '
         'self.params["W2"].T @ dZ2', "derivative_missing@1"),
        ("a square's error", 'dZ2 = (c["A2"] - y) / m -> '
         'dZ2 = (c["A2"] - y) * c["A2"] * (1 - c["A2"]) / m', "other_loss@2"),
        ("no mean", 'dZ2 = (c["A2"] - y) / m -> dZ2 = c["A2"] - y',
         everywhere("missing_mean", 2)),
        ("db1 over all", '"b1": dZ1.sum(axis=1, keepdims=True) -> "b1": dZ1.sum(keepdims=True)',
         "wrong_axis@1 | shape@1"),
    ],
    call="check_gradients(forward, backward, clf.params, X, y)",
    by_hand="params = clf.params",
)  # fmt: skip
FORMS = [STORED, LAYERS, GRADIENTS]
