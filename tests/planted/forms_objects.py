"""Forms that bring objects: classes with their arrays, and updates in place."""

from .case import everywhere
from .form import Form

NIELSEN = Form(
    "a class with lists, column vectors, nablas and a list of pairs",
    """
import numpy as np

class Network:
    def __init__(self, sizes):
        rng = np.random.default_rng(1)
        self.sizes = sizes
        self.num_layers = len(sizes)
        self.biases = [rng.normal(size=(n, 1)) for n in sizes[1:]]
        self.weights = [rng.normal(size=(n, m)) for m, n in zip(sizes, sizes[1:])]

    def feedforward(self, a):
        for b, w in zip(self.biases, self.weights):
            a = sigmoid(np.dot(w, a) + b)
        return a

    def update_mini_batch(self, batch, eta):
        sum_b = [np.zeros(b.shape) for b in self.biases]
        sum_w = [np.zeros(w.shape) for w in self.weights]
        for x, y in batch:
            one_b, one_w = self.backprop(x, y)
            sum_b = [s + d for s, d in zip(sum_b, one_b)]
            sum_w = [s + d for s, d in zip(sum_w, one_w)]
        self.weights = [w - eta / len(batch) * s for w, s in zip(self.weights, sum_w)]
        self.biases = [b - eta / len(batch) * s for b, s in zip(self.biases, sum_b)]

    def backprop(self, x, y):
        nabla_b = [np.zeros(b.shape) for b in self.biases]
        nabla_w = [np.zeros(w.shape) for w in self.weights]
        a, activations, zs = x, [x], []
        for b, w in zip(self.biases, self.weights):
            z = np.dot(w, a) + b
            zs.append(z)
            a = sigmoid(z)
            activations.append(a)
        delta = self.cost_derivative(activations[-1], y) * sigmoid_prime(zs[-1])
        nabla_b[-1] = delta
        nabla_w[-1] = np.dot(delta, activations[-2].T)
        for l in range(2, self.num_layers):
            delta = np.dot(self.weights[-l + 1].T, delta) * sigmoid_prime(zs[-l])
            nabla_b[-l] = delta
            nabla_w[-l] = np.dot(delta, activations[-l - 1].T)
        return nabla_b, nabla_w

    def cost_derivative(self, output, y):
        return output - y

def sigmoid(z):
    return 1.0 / (1.0 + np.exp(-z))

def sigmoid_prime(z):
    return sigmoid(z) * (1 - sigmoid(z))

rng = np.random.default_rng(6)
data = [(rng.normal(size=(3, 1)), np.eye(2)[:, [i % 2]]) for i in range(6)]
net = Network([3, 5, 4, 2])
""",
    [
        ("the mean forgotten", "[w - eta / len(batch) * s for -> [w - eta * s for",
         "missing_mean@1 missing_mean@2 missing_mean@3 | missing_mean"),
        ("sigmoid twice", "* sigmoid_prime(zs[-l]) -> * sigmoid_prime(activations[-l])",
         "derivative_at_activation@1 derivative_at_activation@2"),
        ("the activation itself", "activations[-1], y) * sigmoid_prime(zs[-1]) -> "
         "activations[-1], y) * sigmoid(zs[-1])", "derivative_formula@3"),
        ("y - a", "return output - y -> return y - output", everywhere("sign", 3)),
        ("sigmoid' without minus", "sigmoid(z) * (1 - sigmoid(z)) -> sigmoid(z) * (1 + sigmoid(z))",
         "derivative_formula@1 derivative_formula@2 derivative_formula@3 | derivative_formula@3"
         " | derivative_formula"),
    ],
    call="check_gradients(net, data, loss='squared_error', rate=3.0, step='update_mini_batch')",
    by_hand="""
params = {"weights": net.weights, "biases": net.biases}
X = np.hstack([x for x, _ in data]).T
y = np.hstack([y for _, y in data]).T

def forward(params, X, y):
    net.weights, net.biases = params["weights"], params["biases"]
    return 0.5 * np.sum((net.feedforward(X.T).T - y) ** 2) / len(X)

def backward(params, X, y):
    net.weights, net.biases = params["weights"], params["biases"]
    net.update_mini_batch([(a[:, None], t[:, None]) for a, t in zip(X, y)], 1.0)
    return {"weights": [w - v for w, v in zip(params["weights"], net.weights)],
            "biases": [w - v for w, v in zip(params["biases"], net.biases)]}
""",
)  # fmt: skip
IN_PLACE = Form(
    "a class that updates itself sample by sample",
    """
import numpy as np

def sigmoid(x):
    return 1 / (1 + np.exp(-x))

class NeuralNetwork:
    def __init__(self):
        rng = np.random.default_rng(11)
        self.lr = 0.05
        self.wih = rng.normal(0, 0.6, (4, 3))
        self.who = rng.normal(0, 0.6, (2, 4))

    def query(self, inputs):
        return sigmoid(self.who @ sigmoid(self.wih @ inputs))

    def train(self, inputs_list, targets_list):
        inputs = np.array(inputs_list, ndmin=2).T
        targets = np.array(targets_list, ndmin=2).T
        hidden_outputs = sigmoid(np.dot(self.wih, inputs))
        final_outputs = sigmoid(np.dot(self.who, hidden_outputs))
        output_errors = targets - final_outputs
        output_delta = output_errors * final_outputs * (1.0 - final_outputs)
        hidden_errors = np.dot(self.who.T, output_delta)
        hidden_delta = hidden_errors * hidden_outputs * (1.0 - hidden_outputs)
        self.who += self.lr * np.dot(output_delta, hidden_outputs.T)
        self.wih += self.lr * np.dot(hidden_delta, inputs.T)

net = NeuralNetwork()
x, target = [0.9, 0.1, -0.4], [0.01, 0.99]
""",
    [
        ("the errors go back without f'", "np.dot(self.who.T, output_delta) -> "
         "np.dot(self.who.T, output_errors)", "derivative_missing@2 | derivative_missing@1"),
        ("updated first", """        hidden_errors = np.dot(self.who.T, output_delta)
        hidden_delta = hidden_errors * hidden_outputs * (1.0 - hidden_outputs)
        self.who += self.lr * np.dot(output_delta, hidden_outputs.T) -> """
         """        self.who += self.lr * np.dot(output_delta, hidden_outputs.T)
hidden_errors = np.dot(self.who.T, output_delta)
hidden_delta = hidden_errors * hidden_outputs * (1.0 - hidden_outputs)""",
         "updated_weights@1", (), ("self.who += self.lr *", "hidden_errors = np.dot(self.who.T")),
        ("minus", "self.wih += self.lr -> self.wih -= self.lr", "sign@1"),
        ("f' of the hidden layer forgotten", "hidden_errors * hidden_outputs * "
         "(1.0 - hidden_outputs) -> hidden_errors", "derivative_missing@1"),
    ],
    call="check_gradients(net, x, target, loss='sse')",
    by_hand="""
params, X, y = {"wih": net.wih, "who": net.who}, np.array([x]), np.array([target])

def forward(params, X, y):
    net.__dict__.update(params)
    return 0.5 * np.sum((net.query(X.T).T - y) ** 2)

def backward(params, X, y):
    net.__dict__.update({name: value.copy() for name, value in params.items()})
    net.train(X[0], y[0])
    return {name: (value - getattr(net, name)) / net.lr for name, value in params.items()}
""",
)  # fmt: skip
CLASSIC = Form(
    "a class with forward, backward(X, y, o) and train",
    """
import numpy as np

X = np.array([[2, 9], [1, 5], [3, 6], [5, 4]], dtype=float)
y = np.array([[92], [86], [89], [70]], dtype=float)
X, y = X / X.max(axis=0), y / 100

class Neural_Network:
    def __init__(self):
        rng = np.random.default_rng(7)
        self.inputSize, self.hiddenSize, self.outputSize = 2, 3, 1
        self.W1 = rng.normal(size=(self.inputSize, self.hiddenSize))
        self.W2 = rng.normal(size=(self.hiddenSize, self.outputSize))

    def sigmoid(self, s):
        return 1 / (1 + np.exp(-s))

    def sigmoidPrime(self, s):
        return s * (1 - s)

    def forward(self, X):
        self.z = np.dot(X, self.W1)
        self.z2 = self.sigmoid(self.z)
        self.z3 = np.dot(self.z2, self.W2)
        return self.sigmoid(self.z3)

    def backward(self, X, y, o):
        self.o_error = y - o
        self.o_delta = self.o_error * self.sigmoidPrime(o)
        self.z2_error = self.o_delta.dot(self.W2.T)
        self.z2_delta = self.z2_error * self.sigmoidPrime(self.z2)
        self.W1 += X.T.dot(self.z2_delta)
        self.W2 += self.z2.T.dot(self.o_delta)

    def train(self, X, y):
        o = self.forward(X)
        self.backward(X, y, o)

NN = Neural_Network()
""",
    [
        ("f' of z", "self.sigmoidPrime(self.z2) -> self.sigmoidPrime(self.z)",
         "derivative_formula@1"),
        ("o - y is added", "self.o_error = y - o -> self.o_error = o - y",
         f"{everywhere('sign', 2)} | absolute@2"),
        ("the error for the delta", "self.o_delta.dot(self.W2.T) -> self.o_error.dot(self.W2.T)",
         "derivative_missing@2 | derivative_missing@1"),
        ("updated first", ["\n        self.W2 += self.z2.T.dot(self.o_delta) -> ",
         "self.sigmoidPrime(o)\n -> self.sigmoidPrime(o)\n"
         "self.W2 += self.z2.T.dot(self.o_delta)\n"],
         "updated_weights@1", (), ("self.z2_error = self.o_delta.dot(self.W2.T)",)),
        ("from z", "self.z2.T.dot(self.o_delta) -> self.z.T.dot(self.o_delta)", "wrong_input@2"),
    ],
    call='check_gradients(NN, X, y, loss="mse", rate=1)',
    by_hand="""
params = {"W1": NN.W1, "W2": NN.W2}

def forward(params, X, y):
    NN.W1, NN.W2 = params["W1"], params["W2"]
    return 0.5 * np.sum((NN.forward(X) - y) ** 2)

def backward(params, X, y):
    NN.W1, NN.W2 = params["W1"].copy(), params["W2"].copy()
    NN.train(X, y)
    return {"W1": params["W1"] - NN.W1, "W2": params["W2"] - NN.W2}
""",
)  # fmt: skip
FORMS = [NIELSEN, IN_PLACE, CLASSIC]
