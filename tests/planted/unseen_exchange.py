"""Forms of question posts, not looked at while mending: entries, numbers, last columns."""

from .case import everywhere
from .form import Form


def returned(truth):
    """What is true of a step that returns new parameters; to say that it does so is no lie."""
    return f"{truth} | " + " | ".join(f"{name} updated_weights" for name in truth.split(" | "))


ENTRIES = Form(
    "XOR with every weight's derivative written out",
    """
import numpy as np

X = np.array([[1, 1], [1, 0], [0, 1], [0, 0]])
y = np.array([0, 1, 1, 0])
weights = {"w0": np.array([[0.9, 0.1], [0.3, 0.5]]), "w1": np.array([0.8, -0.7])}

def sig(v):
    return 1 / (1 + np.exp(-v))

def hidden(w0, x):
    h0 = sig(w0[0, 0] * x[0] + w0[1, 0] * x[1])
    h1 = sig(w0[0, 1] * x[0] + w0[1, 1] * x[1])
    return h0, h1

def error(weights, X, y):
    total = 0
    for i in range(len(X)):
        h0, h1 = hidden(weights["w0"], X[i])
        total += 0.5 * (y[i] - sig(weights["w1"][0] * h0 + weights["w1"][1] * h1)) ** 2
    return total

def backprop(weights, X, y):
    w0, w1 = weights["w0"], weights["w1"]
    deW0, deW1 = np.zeros((2, 2)), np.zeros(2)
    for i in range(X.shape[0]):
        h0, h1 = hidden(w0, X[i])
        y0 = sig(w1[0] * h0 + w1[1] * h1)
        dey0 = -(y[i] - y0)
        deW0[0, 0] += dey0 * y0 * (1 - y0) * w1[0] * h0 * (1 - h0) * X[i][0]
        deW0[0, 1] += dey0 * y0 * (1 - y0) * w1[1] * h1 * (1 - h1) * X[i][0]
        deW0[1, 0] += dey0 * y0 * (1 - y0) * w1[0] * h0 * (1 - h0) * X[i][1]
        deW0[1, 1] += dey0 * y0 * (1 - y0) * w1[1] * h1 * (1 - h1) * X[i][1]
        deW1[0] += dey0 * y0 * (1 - y0) * h0
        deW1[1] += dey0 * y0 * (1 - y0) * h1
    return {"w0": deW0, "w1": deW1}
""",
    [
        ("the output's f' only on the way back",
         ["deW1[0] += dey0 * y0 * (1 - y0) * h0 -> deW1[0] += dey0 * h0",
          "deW1[1] += dey0 * y0 * (1 - y0) * h1 -> deW1[1] += dey0 * h1"],
         "derivative_missing@2 | error_formula@2 | other_loss@2"),
        ("the last sample only", ["deW1[0] += -> deW1[0] =", "deW1[1] += -> deW1[1] ="],
         "not_summed@2"),
        ("the first input twice",
         ["w1[0] * h0 * (1 - h0) * X[i][1] -> w1[0] * h0 * (1 - h0) * X[i][0]",
          "w1[1] * h1 * (1 - h1) * X[i][1] -> w1[1] * h1 * (1 - h1) * X[i][0]"],
         "wrong_input@1"),
        ("y - y0", "dey0 = -(y[i] - y0) -> dey0 = y[i] - y0", everywhere("sign", 2)),
        ("right, y0 - y", "dey0 = -(y[i] - y0) -> dey0 = y0 - y[i]", ""),
    ],
    call="check_gradients(error, backprop, weights, X, y)",
    by_hand="params, forward, backward = weights, error, backprop",
)  # fmt: skip
NEURON = Form(
    "one neuron in each layer, four numbers in a list",
    """
import math

q_set = [0.1, 0.2, 0.3, 0.4, 0.5, 0.6]
a_set = [0.0, 1.0, 0.0, 1.0, 0.0, 1.0]
start = [0.4, -0.7, 0.1, 0.2]

def sigmoid(x):
    return 1 / (1 + math.exp(-x))

def der_sigmoid(x):
    return x * (1 - x)

def der_cost(x):
    return 2 * x

def feedforward(x, w1, w2, b1, b2):
    h = sigmoid(x * w1 + b1)
    return h, sigmoid(h * w2 + b2)

def cost(weights, q_set, a_set):
    return sum((feedforward(q, *weights)[1] - a) ** 2 for q, a in zip(q_set, a_set))

def backprop(weights, q_set, a_set):
    w1, w2, b1, b2 = weights
    delta_w1 = delta_w2 = delta_b1 = delta_b2 = 0
    for q, a in zip(q_set, a_set):
        h, yHat = feedforward(q, w1, w2, b1, b2)
        gradient_y = der_cost(yHat - a)
        gradient_h = gradient_y * der_sigmoid(yHat) * w2
        delta_w2 += gradient_y * der_sigmoid(yHat) * h
        delta_w1 += gradient_h * der_sigmoid(h) * q
        delta_b2 += gradient_y * der_sigmoid(yHat)
        delta_b1 += gradient_h * der_sigmoid(h)
    return [delta_w1, delta_w2, delta_b1, delta_b2]
""",
    [
        ("the weight for its input", "delta_w2 += gradient_y * der_sigmoid(yHat) * h -> "
         "delta_w2 += gradient_y * der_sigmoid(yHat) * w2", "wrong_input@2"),
        ("the error of the hidden neuron without f'", "gradient_y * der_sigmoid(yHat) * w2 -> "
         "gradient_y * w2", "derivative_missing@2 | derivative_missing@1"),
        ("der_sigmoid of the sum", "return x * (1 - x) -> return sigmoid(x) * (1 - sigmoid(x))",
         "derivative_at_activation@1 derivative_at_activation@2 | derivative_at_activation"),
        ("the cost, not its derivative", "return 2 * x -> return x * x",
         "error_formula@2 | derivative_formula@2 | squared@2 | other_loss@2"),
        ("right, x + x", "return 2 * x -> return x + x", ""),
    ],
    call="check_gradients(cost, backprop, start, q_set, a_set)",
    by_hand="params, X, y, forward, backward = start, q_set, a_set, cost, backprop",
)  # fmt: skip
SYNAPSES = Form(
    "synapses that are returned after the step",
    """
import numpy as np

def nonlin(x, deriv=False):
    if deriv == True:
        return x * (1 - x)
    return 1 / (1 + np.exp(-x))

training_inputs = np.array([[0, 0, 1], [1, 1, 1], [1, 0, 1], [0, 1, 1], [1, 1, 0]])
training_outputs = np.array([[0, 1, 1, 0, 1]]).T
np.random.seed(3)
synaptic_weights = [2 * np.random.random((3, 5)) - 1, 2 * np.random.random((5, 1)) - 1]
alpha = 0.5

def loss(synaptic_weights, X, y):
    synapse_0, synapse_1 = synaptic_weights
    layer_1 = nonlin(np.dot(X, synapse_0))
    layer_2 = nonlin(np.dot(layer_1, synapse_1))
    return np.mean((layer_2 - y) ** 2) / 2

def train_once(synaptic_weights, X, y):
    synapse_0, synapse_1 = synaptic_weights
    layer_0 = X
    layer_1 = nonlin(np.dot(layer_0, synapse_0))
    layer_2 = nonlin(np.dot(layer_1, synapse_1))
    layer_2_error = layer_2 - y
    layer_2_delta = layer_2_error * nonlin(layer_2, True) / len(X)
    layer_1_error = layer_2_delta.dot(synapse_1.T)
    layer_1_delta = layer_1_error * nonlin(layer_1, True)
    synapse_1 = synapse_1 - alpha * layer_1.T.dot(layer_2_delta)
    synapse_0 = synapse_0 - alpha * layer_0.T.dot(layer_1_delta)
    return [synapse_0, synapse_1]
""",
    [
        ("plus", "synapse_0 = synapse_0 - alpha -> synapse_0 = synapse_0 + alpha",
         returned("sign@1")),
        ("the flag forgotten", "layer_1_error * nonlin(layer_1, True) -> "
         "layer_1_error * nonlin(layer_1)", returned("derivative_formula@1")),
        ("the error for the delta", "layer_1.T.dot(layer_2_delta) -> "
         "layer_1.T.dot(layer_2_error / len(X))",
         returned("derivative_missing@2 | error_formula@2 | other_loss@2")),
        ("the second synapse first", [
            "    synapse_1 = synapse_1 - alpha * layer_1.T.dot(layer_2_delta)\n -> ",
            "/ len(X)\n    layer_1_error -> / len(X)\n"
            "synapse_1 = synapse_1 - alpha * layer_1.T.dot(layer_2_delta)\nlayer_1_error"],
         returned("updated_weights@1"), (), ("layer_1_error = layer_2_delta.dot(synapse_1.T)",)),
    ],
    call="check_gradients(loss, train_once, synaptic_weights, training_inputs, training_outputs, "
    "rate=0.5)",
    by_hand="""
params, X, y, forward = synaptic_weights, training_inputs, training_outputs, loss
backward = lambda p, X, y: [(w - v) / alpha for w, v in zip(p, train_once(p, X, y))]
""",
)  # fmt: skip
LAST_COLUMN = Form(
    "a bias in the last column, one input vector, np.append and np.delete",
    """
import numpy as np

np.random.seed(21)
layers = [np.random.uniform(-0.6, 0.6, (5, 4)), np.random.uniform(-0.6, 0.6, (3, 6))]
input_vector, target = np.array([0.2, 0.8, -0.4]), np.array([0.0, 0.0, 1.0])

def activation(x):
    return 1.0 / (1.0 + np.exp(-x))

def feed_forward(layers, input_vector):
    outputs = [input_vector]
    for layer in layers:
        outputs.append(activation(np.dot(layer, np.append(outputs[-1], 1))))
    return outputs

def error(layers, input_vector, target):
    return 0.5 * np.sum((feed_forward(layers, input_vector)[-1] - target) ** 2)

def backpropagate(layers, input_vector, target):
    _, hidden_outputs, outputs = feed_forward(layers, input_vector)
    output_deltas = outputs * (1 - outputs) * (outputs - target)
    hidden_deltas = hidden_outputs * (1 - hidden_outputs) * \\
        np.dot(np.delete(layers[-1], 5, 1).T, output_deltas)
    return [np.outer(hidden_deltas, np.append(input_vector, 1)),
            np.outer(output_deltas, np.append(hidden_outputs, 1))]
""",
    [
        ("the bias first", "np.delete(layers[-1], 5, 1) -> np.delete(layers[-1], 0, 1)",
         "wrong_weights@1"),
        ("f' of the output forgotten",
         "outputs * (1 - outputs) * (outputs - target) -> outputs - target",
         "other_loss@2 | derivative_missing@2"),
        ("the bias of nothing", "np.outer(output_deltas, np.append(hidden_outputs, 1)) -> "
         "np.outer(output_deltas, np.append(hidden_outputs, 0))", "zero@2 | wrong_input@2"),
        ("1 + h", "hidden_outputs * (1 - hidden_outputs) * \\ -> "
         "hidden_outputs * (1 + hidden_outputs) * \\", "derivative_formula@1"),
        ("the target's outputs", "output_deltas = outputs * (1 - outputs) * (outputs - target) -> "
         "output_deltas = target * (1 - target) * (outputs - target)",
         f"{everywhere('zero', 2)} | derivative_formula@2 | error_formula@2"),
        ("right, by a slice", "np.delete(layers[-1], 5, 1) -> layers[-1][:, :-1]", ""),
    ],
    call="check_gradients(error, backpropagate, layers, input_vector, target)",
    by_hand="params, X, y, forward, backward = layers, input_vector, target, error, backpropagate",
)  # fmt: skip
MATRIX = Form(
    "logistic regression with np.matrix, where * is the matrix product",
    """
import numpy as np

rng = np.random.default_rng(31)
dataMatrix = np.matrix(np.column_stack([np.ones(12), rng.normal(size=(12, 2))]))
labelMat = np.matrix((rng.random((12, 1)) > 0.5).astype(float))
weights = np.matrix([[0.3], [-0.5], [0.8]])

def sigmoid(inX):
    return 1.0 / (1 + np.exp(-inX))

def costFunction(weights, dataMatrix, labelMat):
    h = sigmoid(dataMatrix * weights)
    m = dataMatrix.shape[0]
    first = np.multiply(-labelMat, np.log(h))
    second = np.multiply(1 - labelMat, np.log(1 - h))
    return np.sum(first - second) / m

def gradient(weights, dataMatrix, labelMat):
    m = dataMatrix.shape[0]
    h = sigmoid(dataMatrix * weights)
    error = h - labelMat
    return dataMatrix.transpose() * error / m
""",
    [
        ("labels less h", "error = h - labelMat -> error = labelMat - h",
         "sign@1 | sign"),
        ("no mean", "dataMatrix.transpose() * error / m -> dataMatrix.transpose() * error",
         "missing_mean@1 | missing_mean"),
        ("sigmoid' as well", "error = h - labelMat -> "
         "error = np.multiply(h - labelMat, np.multiply(h, 1 - h))", "other_loss@1"),
        ("right, with dot", "dataMatrix.transpose() * error / m -> "
         "dataMatrix.T.dot(error) / m", ""),
    ],
    call="check_gradients(costFunction, gradient, weights, dataMatrix, labelMat)",
    by_hand="""
params, X, y = np.asarray(weights), dataMatrix, labelMat
matrix = costFunction, gradient
forward = lambda w, X, y: matrix[0](np.matrix(w), np.matrix(X), np.matrix(y))
backward = lambda w, X, y: np.asarray(matrix[1](np.matrix(w), np.matrix(X), np.matrix(y)))
""",
)  # fmt: skip
DICTS = Form(
    "a dict for each neuron in a list for each layer",
    """
from math import exp

network = [[{"weights": [0.13, 0.85, 0.76]}, {"weights": [-0.5, 0.3, 0.2]}],
           [{"weights": [0.26, 0.49, -0.4]}, {"weights": [0.45, -0.7, 0.1]}]]
dataset = [[2.7, 2.5], [1.4, 2.3], [3.3, -1.4], [-0.6, 1.1]]
expected = [[1, 0], [1, 0], [0, 1], [0, 1]]

def activate(weights, inputs):
    activation = weights[-1]
    for i in range(len(weights) - 1):
        activation += weights[i] * inputs[i]
    return 1.0 / (1.0 + exp(-activation))

def forward_propagate(network, row):
    outputs = [row]
    for layer in network:
        outputs.append([activate(neuron["weights"], outputs[-1]) for neuron in layer])
    return outputs

def sum_error(network, dataset, expected):
    total = 0
    for row, wanted in zip(dataset, expected):
        out = forward_propagate(network, row)[-1]
        total += 0.5 * sum((out[j] - wanted[j]) ** 2 for j in range(len(out)))
    return total

def gradients(network, dataset, expected):
    grads = [[{"weights": [0.0] * len(n["weights"])} for n in layer] for layer in network]
    for row, wanted in zip(dataset, expected):
        outputs = forward_propagate(network, row)
        deltas = [None] * len(network)
        for i in reversed(range(len(network))):
            errors = []
            for j in range(len(network[i])):
                if i == len(network) - 1:
                    errors.append(outputs[-1][j] - wanted[j])
                else:
                    errors.append(sum(neuron["weights"][j] * d
                                      for neuron, d in zip(network[i + 1], deltas[i + 1])))
            deltas[i] = [e * o * (1.0 - o) for e, o in zip(errors, outputs[i + 1])]
            for j in range(len(network[i])):
                for k in range(len(outputs[i])):
                    grads[i][j]["weights"][k] += deltas[i][j] * outputs[i][k]
                grads[i][j]["weights"][-1] += deltas[i][j]
    return grads
""",
    [
        ("expected less the output", "outputs[-1][j] - wanted[j] -> wanted[j] - outputs[-1][j]",
         everywhere("sign", 2)),
        ("the derivative of the input", "zip(errors, outputs[i + 1])] -> zip(errors, outputs[i])]",
         "derivative_wrong_layer@1 derivative_wrong_layer@2 | derivative_wrong_layer"
         " | derivative_formula@1 derivative_wrong_layer@2"),
        ("the own weights", "zip(network[i + 1], deltas[i + 1]) -> "
         "zip(network[i], deltas[i + 1])", "wrong_weights@1"),
        ("the bias is set", 'grads[i][j]["weights"][-1] += -> grads[i][j]["weights"][-1] =',
         "not_summed@1 not_summed@2 | not_summed"),
        ("right, o less its square", "e * o * (1.0 - o) for -> (o - o ** 2) * e for", ""),
    ],
    call="check_gradients(sum_error, gradients, network, dataset, expected)",
    by_hand="""
params, X, y = network, dataset, expected
plain = lambda p: [[{"weights": [float(w) for w in n["weights"]]} for n in layer] for layer in p]
forward = lambda p, X, y: sum_error(plain(p), X, y)
backward = lambda p, X, y: gradients(plain(p), X, y)
""",
)  # fmt: skip
FORMS = [ENTRIES, NEURON, SYNAPSES, LAST_COLUMN, MATRIX, DICTS]
