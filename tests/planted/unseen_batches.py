"""Forms of plain networks of two layers, not looked at while mending: a batch at once."""

from .case import everywhere
from .form import Form

SCALED = Form(
    "a hidden layer of relu, grad_h, loss as a plain sum of squares",
    """
import numpy as np

np.random.seed(41)
x = np.random.randn(12, 7)
y = np.random.randn(12, 3)
w1 = np.random.randn(7, 5) * 0.5
w2 = np.random.randn(5, 3) * 0.5

def loss(params, x, y):
    w1, w2 = params
    y_pred = np.maximum(x.dot(w1), 0).dot(w2)
    return np.square(y_pred - y).sum()

def grad(params, x, y):
    w1, w2 = params
    h = x.dot(w1)
    h_relu = np.maximum(h, 0)
    y_pred = h_relu.dot(w2)
    grad_y_pred = 2.0 * (y_pred - y)
    grad_w2 = h_relu.T.dot(grad_y_pred)
    grad_h_relu = grad_y_pred.dot(w2.T)
    grad_h = grad_h_relu.copy()
    grad_h[h < 0] = 0
    grad_w1 = x.T.dot(grad_h)
    return grad_w1, grad_w2
""",
    [
        ("the relu is never below 0", "grad_h[h < 0] = 0 -> grad_h[h_relu < 0] = 0",
         "derivative_missing@1"),
        ("the gradient is cut", "grad_h[h < 0] = 0 -> grad_h[grad_h < 0] = 0",
         "derivative_formula@1 | activation_on_error@1"),
        ("h for h_relu", "grad_w2 = h_relu.T -> grad_w2 = h.T", "wrong_input@2"),
        ("the copy has no zeros", "grad_w1 = x.T.dot(grad_h) -> grad_w1 = x.T.dot(grad_h_relu)",
         "derivative_missing@1"),
        ("the mean of a sum", "grad_y_pred = 2.0 * (y_pred - y) -> "
         "grad_y_pred = 2.0 * (y_pred - y) / len(x)", everywhere("extra_mean", 2)),
        ("right, a product", "grad_h[h < 0] = 0 -> grad_h *= h_relu > 0", ""),
        ("two: h for h_relu and no zeros", ["grad_w2 = h_relu.T -> grad_w2 = h.T",
         "    grad_h[h < 0] = 0\n -> "], "wrong_input@2 & derivative_missing@1", (),
         ("grad_h = grad_h_relu.copy()", "grad_w1 = x.T.dot(grad_h)")),
    ],
    call="check_gradients(loss, grad, (w1, w2), x, y)",
    by_hand="params, X, forward, backward = (w1, w2), x, loss, grad",
)  # fmt: skip
OUTPUT_FIRST = Form(
    "who and wih with biases, a batch of columns, np.multiply",
    """
import numpy as np

rng = np.random.default_rng(51)
inputs = rng.random((4, 9))
targets = np.eye(3)[rng.integers(0, 3, 9)].T
model = {"wih": rng.normal(0, 0.5, (5, 4)), "bih": rng.normal(0, 0.2, (5, 1)),
         "who": rng.normal(0, 0.5, (3, 5)), "bho": rng.normal(0, 0.2, (3, 1))}

def logistic(x):
    return 1 / (1 + np.exp(-x))

def run(model, inputs):
    h_layer = logistic(np.dot(model["wih"], inputs) + model["bih"])
    return h_layer, logistic(np.dot(model["who"], h_layer) + model["bho"])

def mean_squared_error(model, inputs, targets):
    return np.mean(np.square(targets - run(model, inputs)[1]))

def gradients(model, inputs, targets):
    h_layer, final_outputs = run(model, inputs)
    d_predicted_output = 2 * (final_outputs - targets) / targets.size
    output_gradient = np.multiply(d_predicted_output, final_outputs * (1 - final_outputs))
    hidden_errors = np.dot(model["who"].T, output_gradient)
    hidden_gradient = np.multiply(hidden_errors, np.multiply(h_layer, 1 - h_layer))
    return {"wih": np.dot(hidden_gradient, inputs.T),
            "bih": np.sum(hidden_gradient, axis=1, keepdims=True),
            "who": np.dot(output_gradient, h_layer.T),
            "bho": np.sum(output_gradient, axis=1, keepdims=True)}
""",
    [
        ("the error before f' goes back", 'np.dot(model["who"].T, output_gradient) -> '
         'np.dot(model["who"].T, d_predicted_output)',
         "derivative_missing@2 | derivative_missing@1"),
        ("the minus in the product", "np.multiply(h_layer, 1 - h_layer) -> "
         "np.multiply(h_layer, h_layer - 1)", "sign@1 | derivative_formula@1"),
        ("the mean of a bias", '"bho": np.sum(output_gradient, axis=1, keepdims=True) -> '
         '"bho": np.mean(output_gradient, axis=1, keepdims=True)', "extra_mean@2"),
        ("from the targets", "np.multiply(d_predicted_output, final_outputs * (1 - final_outputs))"
         " -> np.multiply(d_predicted_output, d_predicted_output * (1 - d_predicted_output))",
         "derivative_formula@2 | error_formula@2"),
        ("right, with einsum", "np.dot(hidden_gradient, inputs.T) -> "
         'np.einsum("is,js->ij", hidden_gradient, inputs)', ""),
        ("two: a sign and a mean", ["np.multiply(h_layer, 1 - h_layer) -> "
         "np.multiply(h_layer, h_layer - 1)", '"bho": np.sum( -> "bho": np.mean('],
         "sign@1 | derivative_formula@1 & extra_mean@2"),
    ],
    call="check_gradients(mean_squared_error, gradients, model, inputs, targets)",
    by_hand="""
params, X, y, forward, backward = model, inputs, targets, mean_squared_error, gradients
""",
)  # fmt: skip
FORMS = [SCALED, OUTPUT_FIRST]
