"""Forms of courses and blogs, not looked at while mending: checks, graphs, masks, columns."""

from .form import Form

CHECKED = Form(
    "three layers of a course's gradient check, 1./m in each line",
    """
import numpy as np

np.random.seed(61)
X = np.random.randn(4, 15)
Y = np.array([[1, 1, 0, 0, 1, 0, 1, 0, 0, 1, 1, 0, 1, 0, 1]])
parameters = {"W1": np.random.randn(5, 4), "b1": np.random.randn(5, 1) * 0.3,
              "W2": np.random.randn(3, 5), "b2": np.random.randn(3, 1) * 0.3,
              "W3": np.random.randn(1, 3), "b3": np.random.randn(1, 1) * 0.3}

def relu(x):
    return np.maximum(0, x)

def forward_propagation_n(X, Y, parameters):
    m = X.shape[1]
    Z1 = np.dot(parameters["W1"], X) + parameters["b1"]
    A1 = relu(Z1)
    Z2 = np.dot(parameters["W2"], A1) + parameters["b2"]
    A2 = relu(Z2)
    Z3 = np.dot(parameters["W3"], A2) + parameters["b3"]
    A3 = 1 / (1 + np.exp(-Z3))
    logprobs = np.multiply(-np.log(A3), Y) + np.multiply(-np.log(1 - A3), 1 - Y)
    return 1. / m * np.sum(logprobs), (Z1, A1, Z2, A2, Z3, A3)

def backward_propagation_n(X, Y, parameters, cache):
    m = X.shape[1]
    Z1, A1, Z2, A2, Z3, A3 = cache
    W2, W3 = parameters["W2"], parameters["W3"]
    dZ3 = A3 - Y
    dW3 = 1. / m * np.dot(dZ3, A2.T)
    db3 = 1. / m * np.sum(dZ3, axis=1, keepdims=True)
    dA2 = np.dot(W3.T, dZ3)
    dZ2 = np.multiply(dA2, np.int64(A2 > 0))
    dW2 = 1. / m * np.dot(dZ2, A1.T)
    db2 = 1. / m * np.sum(dZ2, axis=1, keepdims=True)
    dA1 = np.dot(W2.T, dZ2)
    dZ1 = np.multiply(dA1, np.int64(A1 > 0))
    dW1 = 1. / m * np.dot(dZ1, X.T)
    db1 = 1. / m * np.sum(dZ1, axis=1, keepdims=True)
    return {"dW1": dW1, "db1": db1, "dW2": dW2, "db2": db2, "dW3": dW3, "db3": db3}

forward = lambda parameters, X, Y: forward_propagation_n(X, Y, parameters)[0]

def backward(parameters, X, Y):
    return backward_propagation_n(X, Y, parameters, forward_propagation_n(X, Y, parameters)[1])
""",
    [
        ("the planted 2 and 4", ["dW2 = 1. / m * np.dot(dZ2, A1.T) -> "
         "dW2 = 1. / m * np.dot(dZ2, A1.T) * 2",
         "db1 = 1. / m * np.sum(dZ1 -> db1 = 4. / m * np.sum(dZ1"], "factor@1 & factor@2"),
        ("the mean in the error of the middle too", "dZ2 = np.multiply(dA2, np.int64(A2 > 0)) -> "
         "dZ2 = 1. / m * np.multiply(dA2, np.int64(A2 > 0))",
         "extra_mean@2 | extra_mean@1 extra_mean@2"),
        ("the slope of the layer below", "dZ2 = np.multiply(dA2, np.int64(A2 > 0)) -> "
         "dZ2 = np.multiply(dA2, np.int64(W2.dot(A1) > 0))", "derivative_formula@2"),
        ("the numbers, not their slope", "np.int64(A1 > 0) -> A1",
         "activation_for_derivative@1 | derivative_formula@1"),
        ("right, with >=", "np.int64(A1 > 0) -> Z1 >= 0", ""),
        ("two: a square's error and no relu'", ["dZ3 = A3 - Y -> dZ3 = (A3 - Y) * A3 * (1 - A3)",
         "dZ1 = np.multiply(dA1, np.int64(A1 > 0)) -> dZ1 = dA1"],
         "other_loss@3 & derivative_missing@1"),
    ],
    call="check_gradients(forward, backward, parameters, X, Y)",
    by_hand="""
params, y, unordered = parameters, Y, backward
backward = lambda p, X, Y: {name: unordered(p, X, Y)["d" + name] for name in p}
""",
)  # fmt: skip
IRIS = Form(
    "softmax behind a tanh layer, one-hot rows, lambd / m on the weights",
    """
import numpy as np

rng = np.random.RandomState(62)
features = rng.randn(21, 4)
one_hot = np.eye(3)[rng.randint(0, 3, 21)]
theta = {"theta1": 0.4 * rng.randn(4, 6), "bias1": 0.1 * rng.randn(1, 6),
         "theta2": 0.4 * rng.randn(6, 3), "bias2": 0.1 * rng.randn(1, 3)}
lambd = 0.8

def softmax(x):
    exps = np.exp(x - x.max(axis=1, keepdims=True))
    return exps / exps.sum(axis=1, keepdims=True)

def predict(theta, X):
    hidden = np.tanh(X @ theta["theta1"] + theta["bias1"])
    return hidden, softmax(hidden @ theta["theta2"] + theta["bias2"])

def J(theta, X, T):
    m = X.shape[0]
    cross = -np.sum(T * np.log(predict(theta, X)[1])) / m
    l2 = np.sum(np.square(theta["theta1"])) + np.sum(np.square(theta["theta2"]))
    return cross + lambd / (2 * m) * l2

def dJ(theta, X, T):
    m = X.shape[0]
    hidden, probs = predict(theta, X)
    delta2 = probs - T
    grad2 = hidden.T @ delta2 / m + lambd / m * theta["theta2"]
    gbias2 = delta2.sum(axis=0, keepdims=True) / m
    delta1 = delta2 @ theta["theta2"].T * (1 - hidden ** 2)
    grad1 = X.T @ delta1 / m + lambd / m * theta["theta1"]
    gbias1 = delta1.sum(axis=0, keepdims=True) / m
    return {"theta1": grad1, "bias1": gbias1, "theta2": grad2, "bias2": gbias2}
""",
    [
        ("the penalty without 1/m", 'm + lambd / m * theta["theta1"] -> '
         'm + lambd * theta["theta1"]',
         "regularisation_factor@1"),
        ("the penalty of the other layer", 'hidden.T @ delta2 / m + lambd / m * theta["theta2"] -> '
         "hidden.T @ delta2 / m", "regularisation_missing@2"),
        ("no mean beside the penalty", 'X.T @ delta1 / m + lambd -> X.T @ delta1 + lambd',
         "missing_mean@1"),
        ("a sign in the slope", "(1 - hidden ** 2) -> (hidden ** 2 - 1)",
         "sign@1 | derivative_formula@1"),
        ("right, a mean", "delta2.sum(axis=0, keepdims=True) / m -> "
         "delta2.mean(axis=0, keepdims=True)", ""),
        ("two: no slope, no penalty", ['delta1 = delta2 @ theta["theta2"].T * (1 - hidden ** 2) -> '
         'delta1 = delta2 @ theta["theta2"].T', "hidden.T @ delta2 / m + lambd / m * "
         'theta["theta2"] -> hidden.T @ delta2 / m'],
         "derivative_missing@1 & regularisation_missing@2"),
    ],
    call="check_gradients(J, dJ, theta, features, one_hot)",
    by_hand="params, X, y, forward, backward = theta, features, one_hot, J, dJ",
)  # fmt: skip
GRAPH = Form(
    "batch normalization, step by step through its graph",
    """
import numpy as np

rng = np.random.default_rng(63)
x = rng.normal(2, 3, (9, 4))
t = rng.normal(size=(9, 2))
params = {"w1": rng.normal(size=(4, 5)), "gamma": rng.normal(1, 0.3, 5),
          "beta": rng.normal(0, 0.3, 5), "w2": rng.normal(size=(5, 2)), "b2": rng.normal(size=2)}
eps = 1e-4

def batchnorm_forward(x, gamma, beta):
    mu = np.mean(x, axis=0)
    xmu = x - mu
    var = np.mean(xmu ** 2, axis=0)
    sqrtvar = np.sqrt(var + eps)
    ivar = 1. / sqrtvar
    xhat = xmu * ivar
    return gamma * xhat + beta, (xhat, gamma, xmu, ivar, sqrtvar, var)

def batchnorm_backward(dout, cache):
    xhat, gamma, xmu, ivar, sqrtvar, var = cache
    N, D = dout.shape
    dbeta = np.sum(dout, axis=0)
    dgamma = np.sum(dout * xhat, axis=0)
    dxhat = dout * gamma
    divar = np.sum(dxhat * xmu, axis=0)
    dxmu1 = dxhat * ivar
    dsqrtvar = -1. / (sqrtvar ** 2) * divar
    dvar = 0.5 * 1. / np.sqrt(var + eps) * dsqrtvar
    dsq = 1. / N * np.ones((N, D)) * dvar
    dxmu2 = 2 * xmu * dsq
    dx1 = dxmu1 + dxmu2
    dmu = -1 * np.sum(dx1, axis=0)
    dx2 = 1. / N * np.ones((N, D)) * dmu
    return dx1 + dx2, dgamma, dbeta

def forward(params, x, t):
    out, _ = batchnorm_forward(x @ params["w1"], params["gamma"], params["beta"])
    return 0.5 * np.sum((np.maximum(out, 0) @ params["w2"] + params["b2"] - t) ** 2)

def backward(params, x, t):
    out, cache = batchnorm_forward(x @ params["w1"], params["gamma"], params["beta"])
    h = np.maximum(out, 0)
    dscores = h @ params["w2"] + params["b2"] - t
    dh = dscores @ params["w2"].T
    dout = dh * (out > 0)
    dx, dgamma, dbeta = batchnorm_backward(dout, cache)
    return {"w1": x.T @ dx, "gamma": dgamma, "beta": dbeta, "w2": h.T @ dscores,
            "b2": np.sum(dscores, axis=0)}
""",
    [
        ("not through the mean", "return dx1 + dx2, dgamma, dbeta -> return dx1, dgamma, dbeta",
         "derivative_formula@1 | path_missing@1 | derivative_missing@1 | term_missing@1"),
        ("the sum without the N", "dsq = 1. / N * np.ones((N, D)) -> dsq = np.ones((N, D))",
         "derivative_formula@1 | error_formula@1"),
        ("relu' forgotten", "dout = dh * (out > 0) -> dout = dh", "derivative_missing@1"),
        ("gamma and beta in the other order", "return dx1 + dx2, dgamma, dbeta -> "
         "return dx1 + dx2, dbeta, dgamma", "swapped | swapped@1"),
        ("right, for what adds up to nothing", "dmu = -1 * np.sum(dx1, axis=0) -> "
         "dmu = -np.sum(dxmu1, axis=0)", ""),
    ],
    call="check_gradients(forward, backward, params, x, t)",
    by_hand="X, y = x, t",
)  # fmt: skip
KEEP = Form(
    "dropout with masks D1, D2 of the global scope, keep_prob",
    """
import numpy as np

np.random.seed(64)
X = np.random.randn(3, 11)
Y = (np.random.rand(1, 11) > 0.5).astype(int)
W1, b1 = np.random.randn(6, 3), np.random.randn(6, 1) * 0.1
W2, b2 = np.random.randn(4, 6) * 0.6, np.random.randn(4, 1) * 0.1
W3, b3 = np.random.randn(1, 4), np.zeros((1, 1))
keep_prob = 0.75
D1 = np.random.rand(6, 11) < keep_prob
D2 = np.random.rand(4, 11) < keep_prob

def forward_with_dropout(params):
    W1, b1, W2, b2, W3, b3 = params
    Z1 = W1 @ X + b1
    A1 = np.tanh(Z1) * D1 / keep_prob
    Z2 = W2 @ A1 + b2
    A2 = np.tanh(Z2) * D2 / keep_prob
    A3 = 1 / (1 + np.exp(-(W3 @ A2 + b3)))
    return Z1, A1, Z2, A2, A3

def cost(params, X, Y):
    A3 = forward_with_dropout(params)[-1]
    return -np.mean(Y * np.log(A3) + (1 - Y) * np.log(1 - A3))

def grads(params, X, Y):
    W1, b1, W2, b2, W3, b3 = params
    m = X.shape[1]
    Z1, A1, Z2, A2, A3 = forward_with_dropout(params)
    dZ3 = (A3 - Y) / m
    dA2 = W3.T @ dZ3
    dA2 = dA2 * D2
    dA2 = dA2 / keep_prob
    dZ2 = dA2 * (1 - np.tanh(Z2) ** 2)
    dA1 = W2.T @ dZ2
    dA1 = dA1 * D1
    dA1 = dA1 / keep_prob
    dZ1 = dA1 * (1 - np.tanh(Z1) ** 2)
    return (dZ1 @ X.T, dZ1.sum(axis=1, keepdims=True), dZ2 @ A1.T,
            dZ2.sum(axis=1, keepdims=True), dZ3 @ A2.T, dZ3.sum(axis=1, keepdims=True))
""",
    [
        ("a mask forgotten", "    dA1 = dA1 * D1\n -> ", "mask_missing@1 | derivative_missing@1"
         " | derivative_formula@1", (), ("dA1 = W2.T @ dZ2", "dA1 = dA1 / keep_prob")),
        ("a division forgotten", "    dA2 = dA2 / keep_prob\n -> ",
         "factor@2 | factor@1 factor@2", (), ("dA2 = dA2 * D2", "dA2 = W3.T @ dZ3")),
        ("the slope at the dropped values", "(1 - np.tanh(Z1) ** 2) -> (1 - A1 ** 2)",
         "derivative_formula@1 | derivative_at_activation@1"),
        ("the other mask's shares", "dA2 = dA2 * D2 -> dA2 = dA2 * keep_prob",
         "mask_missing@2 | derivative_missing@2 | derivative_formula@2"),
        ("right, by what is kept", "(1 - np.tanh(Z1) ** 2) -> (1 - (A1 * keep_prob) ** 2)", ""),
    ],
    call="check_gradients(cost, grads, (W1, b1, W2, b2, W3, b3), X, Y)",
    by_hand="params, y, forward, backward = (W1, b1, W2, b2, W3, b3), Y, cost, grads",
)  # fmt: skip
RESIDUAL = Form(
    "a block x + V relu(W x), then a linear output, samples in columns",
    """
import numpy as np

rng = np.random.default_rng(65)
x = rng.normal(size=(4, 10))
y = rng.normal(size=(2, 10))
p = {"W": rng.normal(0, 0.6, (6, 4)), "c": rng.normal(0, 0.3, (6, 1)),
     "V": rng.normal(0, 0.6, (4, 6)), "U": rng.normal(0, 0.6, (2, 4))}

def loss(p, x, y):
    r = np.maximum(0, p["W"] @ x + p["c"])
    h = x + p["V"] @ r
    return np.mean(0.5 * np.sum((p["U"] @ h - y) ** 2, axis=0))

def gradient(p, x, y):
    s = p["W"] @ x + p["c"]
    r = np.maximum(0, s)
    h = x + p["V"] @ r
    e = (p["U"] @ h - y) / x.shape[1]
    gU = e @ h.T
    gh = p["U"].T @ e
    gV = gh @ r.T
    gr = p["V"].T @ gh
    gs = gr * (s > 0)
    gW = gs @ x.T
    gc = gs.sum(axis=1, keepdims=True)
    return {"W": gW, "c": gc, "V": gV, "U": gU}
""",
    [
        ("U from the branch alone", "gU = e @ h.T -> gU = e @ (p['V'] @ r).T", "wrong_input@3"),
        ("the shortcut on the wrong way back", "gr = p[\"V\"].T @ gh -> "
         "gr = p[\"V\"].T @ (gh + p['U'].T @ e)", "factor@1 | accumulated@1"),
        ("relu' forgotten", "gs = gr * (s > 0) -> gs = gr", "derivative_missing@1"),
        ("V from s", "gV = gh @ r.T -> gV = gh @ s.T", "wrong_input@2"),
        ("right, with sign", "gs = gr * (s > 0) -> gs = gr * np.sign(r)", ""),
    ],
    call="check_gradients(loss, gradient, p, x, y)",
    by_hand="params, X, forward, backward = p, x, loss, gradient",
)  # fmt: skip
LEAKY = Form(
    "leaky relu with np.ones_like, weights and biases by index in one list",
    """
import numpy as np

rng = np.random.default_rng(66)
X = rng.uniform(-1, 1, (14, 2))
y = np.sin(3 * X[:, :1]) + X[:, 1:]
alpha = 0.1
nn = [{"W": rng.normal(0, 0.7, (2, 5)), "b": rng.normal(0, 0.2, (5,))},
      {"W": rng.normal(0, 0.7, (5, 5)), "b": rng.normal(0, 0.2, (5,))},
      {"W": rng.normal(0, 0.7, (5, 1)), "b": rng.normal(0, 0.2, (1,))}]

def leaky_relu(x):
    return np.where(x > 0, x, alpha * x)

def d_leaky_relu(x):
    dx = np.ones_like(x)
    dx[x < 0] = alpha
    return dx

def outputs(nn, X):
    zs, acts = [], [X]
    for i, layer in enumerate(nn):
        zs.append(acts[-1].dot(layer["W"]) + layer["b"])
        acts.append(leaky_relu(zs[-1]) if i < 2 else zs[-1])
    return zs, acts

def mse(nn, X, y):
    return ((outputs(nn, X)[1][-1] - y) ** 2).sum() / X.shape[0]

def mse_grad(nn, X, y):
    zs, acts = outputs(nn, X)
    grads = [{}, {}, {}]
    delta = 2 * (acts[-1] - y) / X.shape[0]
    for i in range(2, -1, -1):
        grads[i]["W"] = acts[i].T.dot(delta)
        grads[i]["b"] = delta.sum(axis=0)
        if i > 0:
            delta = delta.dot(nn[i]["W"].T) * d_leaky_relu(zs[i - 1])
    return grads
""",
    [
        ("the z above", "d_leaky_relu(zs[i - 1]) -> d_leaky_relu(zs[i])",
         "derivative_wrong_layer@1 derivative_wrong_layer@2 | derivative_wrong_layer"),
        ("relu' instead", "dx[x < 0] = alpha -> dx[x < 0] = 0",
         "derivative_formula@1 derivative_formula@2 | derivative_formula"),
        ("minus alpha", "dx[x < 0] = alpha -> dx[x < 0] = -alpha",
         "derivative_formula@1 derivative_formula@2 | derivative_formula"),
        ("a mean of biases", "delta.sum(axis=0) -> delta.mean(axis=0)",
         "extra_mean@1 extra_mean@2 extra_mean@3 | extra_mean"),
        ("right, at the activations", "d_leaky_relu(zs[i - 1]) -> d_leaky_relu(acts[i])", ""),
    ],
    call="check_gradients(mse, mse_grad, nn, X, y)",
    by_hand="params, forward, backward = nn, mse, mse_grad",
)  # fmt: skip
FORMS = [CHECKED, IRIS, GRAPH, KEEP, RESIDUAL, LEAKY]
