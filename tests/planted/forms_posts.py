"""Forms of exercises: one vector of Thetas, loops over classes, hinge loss, sparse autoencoder."""

from .case import everywhere
from .form import Form

EXERCISE = Form(
    "nn_params, a loop over samples that adds up Delta1 and Delta2",
    """
import numpy as np

rng = np.random.default_rng(101)
sizes = 4, 5, 3
X = rng.normal(size=(7, 4))
y = rng.integers(1, 4, size=(7, 1))
nn_params = rng.uniform(-0.5, 0.5, 5 * 5 + 3 * 6)
Lambda = 0.7

def sigmoid(z):
    return 1.0 / (1.0 + np.exp(-z))

def sigmoidGradient(z):
    return sigmoid(z) * (1 - sigmoid(z))

def nnCostFunction(nn_params, X, y):
    Theta1 = nn_params[: sizes[1] * (sizes[0] + 1)].reshape(sizes[1], sizes[0] + 1)
    Theta2 = nn_params[sizes[1] * (sizes[0] + 1):].reshape(sizes[2], sizes[1] + 1)
    m = X.shape[0]
    J = 0
    Delta1, Delta2 = np.zeros(Theta1.shape), np.zeros(Theta2.shape)
    for t in range(m):
        a1 = np.concatenate(([1], X[t]))
        z2 = Theta1.dot(a1)
        a2 = np.concatenate(([1], sigmoid(z2)))
        z3 = Theta2.dot(a2)
        a3 = sigmoid(z3)
        yt = (np.arange(1, sizes[2] + 1) == y[t, 0]).astype(int)
        J += np.sum(-yt * np.log(a3) - (1 - yt) * np.log(1 - a3))
        delta3 = a3 - yt
        delta2 = Theta2.T.dot(delta3)[1:] * sigmoidGradient(z2)
        Delta1 += np.outer(delta2, a1)
        Delta2 += np.outer(delta3, a2)
    J = J / m + Lambda / (2 * m) * (np.sum(Theta1[:, 1:] ** 2) + np.sum(Theta2[:, 1:] ** 2))
    Theta1_grad = Delta1 / m
    Theta2_grad = Delta2 / m
    Theta1_grad[:, 1:] += Lambda / m * Theta1[:, 1:]
    Theta2_grad[:, 1:] += Lambda / m * Theta2[:, 1:]
    return J, np.concatenate((Theta1_grad.ravel(), Theta2_grad.ravel()))
""",
    [
        ("sigmoid' of a2", "* sigmoidGradient(z2) -> * sigmoidGradient(a2[1:])",
         "derivative_at_activation@1"),
        ("sigmoid' at the output", "delta3 = a3 - yt -> delta3 = (a3 - yt) * sigmoidGradient(z3)",
         "other_loss@2"),
        ("the bias is penalised", "Theta1_grad[:, 1:] += Lambda / m * Theta1[:, 1:] -> "
         "Theta1_grad += Lambda / m * Theta1", "regularisation_on_bias@1"),
        ("the last unit left out", "Theta2.T.dot(delta3)[1:] -> Theta2.T.dot(delta3)[:-1]",
         "wrong_weights@1"),
        ("1/m forgotten", "Theta2_grad = Delta2 / m -> Theta2_grad = Delta2", "missing_mean@2"),
        ("the penalty without 1/m", "Theta1_grad[:, 1:] += Lambda / m -> "
         "Theta1_grad[:, 1:] += Lambda", "regularisation_factor@1"),
    ],
    call="check_gradients(nnCostFunction, nn_params, X, y)",
    by_hand="""
params = nn_params
forward = lambda p, X, y: nnCostFunction(p, X, y)[0]
backward = lambda p, X, y: nnCostFunction(p, X, y)[1]
""",
)  # fmt: skip
CLASSES = Form(
    "softmax regression by loops over samples and classes",
    """
import numpy as np

rng = np.random.default_rng(102)
X = rng.normal(size=(8, 5))
y = rng.integers(0, 3, 8)
W = rng.normal(0, 0.3, (5, 3))
reg = 0.1

def softmax_loss(W, X, y):
    loss, dW = 0.0, np.zeros_like(W)
    num_train, num_classes = X.shape[0], W.shape[1]
    for i in range(num_train):
        scores = X[i].dot(W)
        scores = scores - np.max(scores)
        p = np.exp(scores) / np.sum(np.exp(scores))
        loss += -np.log(p[y[i]])
        for j in range(num_classes):
            if j == y[i]:
                dW[:, j] += (p[j] - 1) * X[i]
            else:
                dW[:, j] += p[j] * X[i]
    loss = loss / num_train + reg * np.sum(W * W)
    dW = dW / num_train + 2 * reg * W
    return loss, dW
""",
    [
        ("the right class like the others", "(p[j] - 1) * X[i] -> p[j] * X[i]", "other_loss@1"
         " | error_formula@1"),
        ("the 2 of the penalty", "+ 2 * reg * W -> + reg * W", "regularisation_factor@1"),
        ("only the penalty is right", "dW = dW / num_train + -> dW = dW +",
         "missing_mean@1"),
        ("1 - p", "(p[j] - 1) * X[i] -> (1 - p[j]) * X[i]", "absolute@1 | other_loss@1"),
    ],
    call="check_gradients(softmax_loss, W, X, y)",
    by_hand="""
params = W
forward = lambda p, X, y: softmax_loss(p, X, y)[0]
backward = lambda p, X, y: softmax_loss(p, X, y)[1]
""",
)  # fmt: skip
HINGE = Form(
    "own loss: a hinge with margins over a hidden layer",
    """
import numpy as np

rng = np.random.default_rng(103)
X = rng.normal(size=(9, 4))
y = rng.integers(0, 3, 9)
params = {"W1": rng.normal(0, 0.5, (4, 6)), "b1": rng.normal(0, 0.1, 6),
          "W2": rng.normal(0, 0.5, (6, 3)), "b2": rng.normal(0, 0.1, 3)}

def svm(scores, y):
    N = len(y)
    correct = scores[np.arange(N), y][:, None]
    margins = np.maximum(0, scores - correct + 1.0)
    margins[np.arange(N), y] = 0
    mask = (margins > 0).astype(float)
    mask[np.arange(N), y] = -mask.sum(axis=1)
    return margins.sum() / N, mask / N

def forward(params, X, y):
    hidden = np.maximum(X @ params["W1"] + params["b1"], 0)
    return svm(hidden @ params["W2"] + params["b2"], y)[0]

def backward(params, X, y):
    hidden = np.maximum(X @ params["W1"] + params["b1"], 0)
    dscores = svm(hidden @ params["W2"] + params["b2"], y)[1]
    dhidden = dscores @ params["W2"].T
    dhidden[hidden == 0] = 0
    return {"W1": X.T @ dhidden, "b1": dhidden.sum(0), "W2": hidden.T @ dscores,
            "b2": dscores.sum(0)}
""",
    [
        ("relu' forgotten", "    dhidden[hidden == 0] = 0\n -> ", "derivative_missing@1", (),
         ('dhidden = dscores @ params["W2"].T',)),
        ("the right class forgotten", "    mask[np.arange(N), y] = -mask.sum(axis=1)\n -> ",
         "other_loss@2 | error_formula@2", (),
         ("mask = (margins > 0).astype(float)",)),
        ("the mean forgotten", "margins.sum() / N, mask / N -> margins.sum() / N, mask",
         everywhere("missing_mean", 2)),
        ("W2 from X", '"W2": hidden.T @ dscores -> "W2": (X @ params["W1"]).T @ dscores',
         "wrong_input@2"),
    ],
)  # fmt: skip
REGRESSION = Form(
    "linear regression with theta and a column of ones",
    """
import numpy as np

rng = np.random.default_rng(104)
x = rng.uniform(0, 2, 25)
y = 3 + 2 * x + rng.normal(0, 0.3, 25)
X = np.column_stack([np.ones_like(x), x, x ** 2])
theta = np.array([0.5, -0.3, 0.2])

def cost(theta, X, y):
    m = len(y)
    return np.sum((X.dot(theta) - y) ** 2) / (2 * m)

def gradient(theta, X, y):
    m = len(y)
    error = X.dot(theta) - y
    return X.T.dot(error) / m
""",
    [
        ("2/m", "X.T.dot(error) / m -> 2 * X.T.dot(error) / m", "factor@1 | factor"),
        ("1/m forgotten", "X.T.dot(error) / m -> X.T.dot(error)", "missing_mean@1"),
        ("y - h", "error = X.dot(theta) - y -> error = y - X.dot(theta)", "sign@1 | sign"),
        ("absolute", "error = X.dot(theta) - y -> error = np.abs(X.dot(theta) - y)",
         "absolute@1 | sign@1 | sign"),
        ("squares", "X.T.dot(error) / m -> X.T.dot(error ** 2) / m",
         "other_loss@1 | error_formula@1"),
    ],
    call="check_gradients(cost, gradient, theta, X, y)",
    by_hand="params, forward, backward = theta, cost, gradient",
)  # fmt: skip
SPARSE = Form(
    "a sparse autoencoder with a KL term, columns",
    """
import numpy as np

rng = np.random.default_rng(105)
data = rng.uniform(0.1, 0.9, (6, 12))
params = [rng.normal(0, 0.4, (4, 6)), rng.normal(0, 0.1, (4, 1)), rng.normal(0, 0.4, (6, 4)),
          rng.normal(0, 0.1, (6, 1))]
lam, beta, rho = 0.01, 0.5, 0.1

def sigmoid(z):
    return 1 / (1 + np.exp(-z))

def forward(params, data):
    W1, b1, W2, b2 = params
    m = data.shape[1]
    a2 = sigmoid(W1 @ data + b1)
    a3 = sigmoid(W2 @ a2 + b2)
    r = np.mean(a2, axis=1)
    KL = np.sum(rho * np.log(rho / r) + (1 - rho) * np.log((1 - rho) / (1 - r)))
    decay = lam / 2 * (np.sum(W1 ** 2) + np.sum(W2 ** 2))
    return 0.5 * np.sum((a3 - data) ** 2) / m + decay + beta * KL

def backward(params, data):
    W1, b1, W2, b2 = params
    m = data.shape[1]
    a2 = sigmoid(W1 @ data + b1)
    a3 = sigmoid(W2 @ a2 + b2)
    r = np.mean(a2, axis=1, keepdims=True)
    delta3 = (a3 - data) * a3 * (1 - a3)
    sparsity = beta * (-rho / r + (1 - rho) / (1 - r))
    delta2 = (W2.T @ delta3 + sparsity) * a2 * (1 - a2)
    return [delta2 @ data.T / m + lam * W1, np.mean(delta2, axis=1, keepdims=True),
            delta3 @ a2.T / m + lam * W2, np.mean(delta3, axis=1, keepdims=True)]
""",
    [
        ("sparsity forgotten", "(W2.T @ delta3 + sparsity) -> (W2.T @ delta3)",
         "path_missing@1 | term_missing@1"),
        ("f' forgotten on sparsity", "delta2 = (W2.T @ delta3 + sparsity) * a2 * (1 - a2) -> "
         "delta2 = W2.T @ delta3 * a2 * (1 - a2) + sparsity",
         "derivative_missing@1 | term_missing@1"),
        ("no penalty", "delta3 @ a2.T / m + lam * W2 -> delta3 @ a2.T / m",
         "regularisation_missing@2"),
        ("f' of the output forgotten", "delta3 = (a3 - data) * a3 * (1 - a3) -> "
         "delta3 = a3 - data", "other_loss@2 | derivative_missing@2"),
    ],
    call="check_gradients(forward, backward, params, data)",
    by_hand="X = data\nwithout_y = forward, backward\ny = 0.0\n"
    "forward = lambda p, X, y: without_y[0](p, X)\nbackward = lambda p, X, y: without_y[1](p, X)",
)  # fmt: skip
FORMS = [EXERCISE, CLASSES, HINGE, REGRESSION, SPARSE]
