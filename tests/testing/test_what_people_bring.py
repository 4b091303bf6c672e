"""`check_gradients` of code as people bring it: arguments, gradients, losses, data of any form."""

import numpy as np
import pytest
from each import each
from small_gradients import kinds

from xpmlp.testing import check_gradients

rng = np.random.default_rng(3)
X = rng.normal(size=(6, 3))
Y = (rng.random((6, 1)) > 0.5) * 1.0
P = {"W1": rng.normal(size=(3, 4)), "b1": rng.normal(size=4)}
P |= {"W2": rng.normal(size=(4, 1)), "b2": rng.normal(size=1)}


def sigmoid(z):
    return 1 / (1 + np.exp(-z))


def predict(p, X):
    a1 = sigmoid(X @ p["W1"] + p["b1"])
    return a1, sigmoid(a1 @ p["W2"] + p["b2"])


def cost(p, X, y):
    return np.sum((predict(p, X)[1] - y) ** 2) / 2


def slopes(p, X, y, wrong=1.0):
    a1, a2 = predict(p, X)
    d2 = (a2 - y) * a2 * (1 - a2)
    d1 = d2 @ p["W2"].T * a1 * (1 - a1)
    return wrong * X.T @ d1, d1.sum(0), a1.T @ d2, d2.sum(0)


def check(forward, backward, *args, **options):
    """The kinds of mistakes; the report of a backward whose first array has the wrong sign."""
    return kinds(check_gradients(forward, backward, *args, **options))


FORMS = {
    "a tuple": lambda *g: g,
    "pairs": lambda *g: [(g[0], g[1]), (g[2], g[3])],
    "by kind": lambda *g: ([g[0], g[2]], [g[1], g[3]]),
    "backwards": lambda *g: (g[3], g[2], g[1], g[0]),
    "dJdW1": lambda *g: dict(zip(("dJdW1", "dJdb1", "dJdW2", "dJdb2"), g)),
    "dJ_dW1": lambda *g: dict(zip(("dJ_dW1", "dJ_db1", "dJ_dW2", "dJ_db2"), g)),
    "W1_grad": lambda *g: dict(zip(("W2_grad", "b2_grad", "W1_grad", "b1_grad"), (*g[2:], *g[:2]))),
    "grad_w1": lambda *g: dict(zip(("grad_w1", "grad_b1", "grad_w2", "grad_b2"), g)),
    "delta_W1": lambda *g: dict(zip(("delta_W1", "delta_b1", "delta_W2", "delta_b2"), g)),
    "nested": lambda *g: {"grads": dict(zip(("dW1", "db1", "dW2", "db2"), g)), "cost": 3.0},
    "1, 2": lambda *g: dict(zip("1234", g)),
}


@each("form", FORMS, parts=3)
def test_gradients_are_found_in_any_form_and_spelling(form):
    right = lambda p, X, y: FORMS[form](*slopes(p, X, y))  # noqa: E731
    wrong = lambda p, X, y: FORMS[form](*slopes(p, X, y, -1.0))  # noqa: E731
    if form == "by kind":  # nothing tells dW1, dW2 | db1, db2 from dW1, db1 | dW2, db2 but shapes
        wrong = right
    assert check_gradients(cost, right, P, X, Y).ok
    assert form == "by kind" or check(cost, wrong, P, X, Y) == ["sign"]


def test_a_tuple_is_read_by_the_names_in_its_return():
    square = {"A": rng.normal(size=(3, 3)), "B": rng.normal(size=(3, 3))}

    def forward(p, X):
        return np.sum((np.tanh(X @ p["A"]) @ p["B"]) ** 2)

    def backward(p, X):
        h = np.tanh(X @ p["A"])
        e = 2 * h @ p["B"]
        dB = h.T @ e
        dA = X.T @ (e @ p["B"].T * (1 - h**2))
        return dB, dA

    assert check_gradients(forward, backward, square, X).ok


def f_reversed(X, params):
    return predict(params, X)


def f_unpacked(X, W1, b1, W2, b2):
    return predict({"W1": W1, "b1": b1, "W2": W2, "b2": b2}, X)[1]


def f_only_predictions(p, X):
    return predict(p, X)[1]


def f_with_cache(X, parameters):
    a1, a2 = predict(parameters, X)
    return a2, {"A1": a1, "A2": a2}


def f_in_a_dict(p, X):
    return dict(zip(("a1", "a2"), predict(p, X)))


def b_with_cache(parameters, cache, X, Y):
    a1, a2 = cache["A1"], cache["A2"]
    d2 = (a2 - Y) * a2 * (1 - a2)
    d1 = d2 @ parameters["W2"].T * a1 * (1 - a1)
    return {"dW1": X.T @ d1, "db1": d1.sum(0), "dW2": a1.T @ d2, "db2": d2.sum(0)}


def b_unpacked(X, y, W1, b1, W2, b2):
    return slopes({"W1": W1, "b1": b1, "W2": W2, "b2": b2}, X, y)


def b_of_output(X, y, a2, p):
    a1, _ = predict(p, X)
    d2 = (a2 - y) * a2 * (1 - a2)
    d1 = d2 @ p["W2"].T * a1 * (1 - a1)
    return X.T @ d1, d1.sum(0), a1.T @ d2, d2.sum(0)


@each("forward", [f_reversed, f_unpacked, f_only_predictions, f_with_cache, f_in_a_dict])
@each("backward", [slopes, b_unpacked])
def test_predictions_with_a_loss_and_arguments_in_any_order(forward, backward):
    report = check_gradients(forward, backward, P, X, Y, loss="squared_error")
    assert report.ok, report
    assert "np.sum((A - y) ** 2) / 2" in str(report)


def test_backward_takes_what_forward_returned():
    assert check_gradients(f_with_cache, b_with_cache, P, X, Y, loss="sse").ok
    assert check_gradients(f_in_a_dict, b_of_output, P, X, Y, loss="sse").ok


@each("scale, loss", [(1.0, "squared_error"), (2.0, "sse"), (1 / 6, "mse"), (1.0, "MSE")])
def test_the_scale_of_a_loss_is_that_of_the_gradients(scale, loss):
    scaled = lambda p, X, y: [scale * g for g in slopes(p, X, y)]  # noqa: E731
    assert check_gradients(f_in_a_dict, scaled, P, X, Y, loss=loss).ok


def test_one_wrong_array_does_not_change_the_scale():
    wrong = lambda p, X, y: slopes(p, X, y, 0.5)  # noqa: E731
    assert check(f_in_a_dict, wrong, P, X, Y, loss="squared_error") == ["factor"]


def test_where_no_array_tells_the_scale_the_fewest_mistakes_do():
    def backward(p, X, y):
        a1, a2 = predict(p, X)
        d2 = (a2 - y) / len(X)  # and the derivative of the sigmoid?
        d1 = d2 @ p["W2"].T * a1 * (1 - a1)
        return X.T @ d1, d1.sum(0), a1.T @ d2, d2.sum(0)

    report = check_gradients(f_in_a_dict, backward, P, X, Y, loss="squared_error")
    assert len(report.mistakes) == 1 and report.mistakes[0].layer == 2


@each("labels", [False, True])
@each("columns", [False, True])
@each("logits", [False, True])
def test_cross_entropies_take_labels_and_logits_in_rows_and_columns(labels, columns, logits):
    classes = np.arange(6) % 3
    W, turn = {"W": rng.normal(size=(3, 3))}, (lambda a: a.T) if columns else (lambda a: a)

    def both(W, X):
        z = turn(X) @ W["W"]
        e = np.exp(z - z.max(axis=1, keepdims=True))
        return z, e / e.sum(axis=1, keepdims=True)

    forward = lambda W, X: turn(both(W, X)[1 - logits])  # noqa: E731
    backward = lambda W, X, y: {  # noqa: E731
        "W": turn(X).T @ (both(W, X)[1] - np.eye(3)[classes]) / 6
    }
    y = classes if labels else turn(np.eye(3)[classes])
    assert check_gradients(forward, backward, W, turn(X), y, loss="cross_entropy").ok


def test_a_loss_of_the_askers_own():
    def compute_cost(A2, Y):
        return np.sum((A2 - Y) ** 4)

    def backward(p, X, y):
        a1, a2 = predict(p, X)
        d2 = 4 * (a2 - y) ** 3 * a2 * (1 - a2)
        d1 = d2 @ p["W2"].T * a1 * (1 - a1)
        return X.T @ d1, d1.sum(0), a1.T @ d2, d2.sum(0)

    assert check_gradients(f_with_cache, backward, P, X, Y, loss=compute_cost).ok
    assert not check_gradients(f_with_cache, slopes, P, X, Y, loss=compute_cost).ok


def test_an_update_in_place_is_measured():
    def update(p, X, y, lr=0.5):
        for name, g in zip(P, slopes(p, X, y)):
            p[name] -= lr * g

    report = check_gradients(cost, update, P, X, Y)
    assert report.ok and "(old - new) / 0.5" in str(report)

    def added(p, X, y):
        for name, g in zip(P, slopes(p, X, y)):
            p[name] += 0.1 * g

    assert set(check(cost, added, P, X, Y, rate=0.1)) == {"sign"}
    with pytest.raises(TypeError, match="add rate=, its learning rate"):
        check_gradients(cost, added, P, X, Y)


def test_one_function_returns_the_cost_and_the_gradients():
    def of_theta(theta, X, y):
        error = X @ theta[:3, None] + theta[3] - y
        return np.sum(error**2) / 2, np.append(X.T @ error, error.sum())

    assert check_gradients(of_theta, rng.normal(size=4), X, Y).ok
    both = lambda p, X, y: (cost(p, X, y), dict(zip(P, slopes(p, X, y, -1.0))))  # noqa: E731
    assert kinds(check_gradients(both, P, X, Y)) == ["sign"]


@each("whole", [False, True])
def test_a_list_of_pairs_is_taken_as_a_whole_or_pair_by_pair(whole):
    pairs = [(x[:, None], y[:, None]) for x, y in zip(X, Y)]
    params = [P["W1"].T, P["b1"][:, None], P["W2"].T, P["b2"][:, None]]

    def one(params, x, y):
        W1, b1, W2, b2 = params
        a1 = sigmoid(W1 @ x + b1)
        a2 = sigmoid(W2 @ a1 + b2)
        d2 = (a2 - y) * a2 * (1 - a2)
        d1 = W2.T @ d2 * a1 * (1 - a1)
        return np.sum((a2 - y) ** 2) / 2, [d1 @ x.T, d1, d2 @ a1.T, d2]

    if whole:
        forward = lambda p, pairs: sum(one(p, x, y)[0] for x, y in pairs)  # noqa: E731
        backward = lambda p, pairs: [  # noqa: E731
            sum(gs) for gs in zip(*(one(p, x, y)[1] for x, y in pairs))
        ]
    else:
        forward = lambda p, x, y: one(p, x, y)[0]  # noqa: E731
        backward = lambda p, x, y: one(p, x, y)[1]  # noqa: E731
    assert check_gradients(forward, backward, params, pairs).ok
    negative = lambda *args: [-g for g in backward(*args)]  # noqa: E731
    assert set(check(forward, negative, params, pairs)) == {"sign"}


def test_lists_of_lists_are_data():
    assert check_gradients(cost, slopes, P, X.tolist(), Y.tolist()).ok


def test_everything_may_be_named():
    report = check_gradients(forward=cost, backward=slopes, params=P, X=X, y=Y)
    assert report.ok and report.subject == "cost and slopes"


def test_what_is_no_parameter_stays_beside_the_parameters():
    layers = np.empty(3, dtype=object)
    layers[1], layers[2] = P["W1"], P["W2"]
    params = {"w": layers, "b": [None, P["b1"], P["b2"]], "rate": 0.1, "seed": 3, "name": "net"}
    params |= {"decay": 0.01, "unused": np.full(3, np.nan), "sizes": np.asarray([3, 4, 1])}

    def unpacked(p):
        assert p["seed"] == 3 and p["name"] == "net" and p["w"][0] is None
        return {"W1": p["w"][1], "b1": p["b"][1], "W2": p["w"][2], "b2": p["b"][2]}

    def forward(p, X, y):
        return cost(unpacked(p), X, y) + p["decay"] * np.sum(p["w"][1] ** 2)

    def backward(p, X, y, wrong=1.0):
        dW1, db1, dW2, db2 = slopes(unpacked(p), X, y)
        dW1 = wrong * (dW1 + 2 * p["decay"] * p["w"][1])
        return {"w": [None, dW1, dW2], "b": [None, db1, db2]}

    report = check_gradients(forward, backward, params, X, Y)
    assert report.ok, report
    assert [c.name for c in report.checks] == ["dw[1]", "dw[2]", "db[1]", "db[2]"]
    halved = check_gradients(forward, lambda *a: backward(*a, 0.5), params, X, Y)
    assert kinds(halved) == ["factor"] and "Recognised: 3 -> 4 -> 1" in str(halved)


def test_a_backward_that_raises_is_told_with_its_line_where_forward_predicts_too():
    def backward(p, X, y):
        return {"W1": X @ p["b1"]}

    report = check_gradients(f_in_a_dict, backward, P, X, Y, loss="squared_error")
    assert set(kinds(report)) == {"raised"} and 'X @ p["b1"]' in str(report)


def test_a_loss_without_predictions_is_refused_with_the_next_step():
    with pytest.raises(TypeError, match="pass y too"):
        check_gradients(f_only_predictions, slopes, P, X, loss="mse")
    with pytest.raises(TypeError, match="return the predictions in the shape of y"):
        check_gradients(lambda p, X: X, slopes, P, X, Y, loss="mse")
    with pytest.raises(ValueError, match="did you mean 'squared_error'"):
        check_gradients(f_only_predictions, slopes, P, X, Y, loss="squared_eror")


class Net:
    """A network of the usual kind; what a subclass adds is how it makes gradients."""

    def __init__(self):
        self.W1, self.b1, self.W2, self.b2 = (P[name].copy() for name in P)
        self.lr, self.epochs, self.seed, self.history = 0.1, 1000, 3, [1.0, 2.0]

    def forward(self, X):
        self.a1 = sigmoid(X @ self.W1 + self.b1)
        self.a2 = sigmoid(self.a1 @ self.W2 + self.b2)
        return self.a2

    def slopes(self, X, y):
        d2 = (self.a2 - y) * self.a2 * (1 - self.a2)
        d1 = d2 @ self.W2.T * self.a1 * (1 - self.a1)
        return {"W1": X.T @ d1, "b1": d1.sum(0), "W2": self.a1.T @ d2, "b2": d2.sum(0)}

    def apply(self, gradients, rate):
        for name, g in gradients.items():
            setattr(self, name, getattr(self, name) - rate * g)


class Trained(Net):
    def train(self, X, y):
        for epoch in range(self.epochs):
            self.forward(X)
            self.apply(self.slopes(X, y), self.lr)
            print(epoch)


class TrainedByArguments(Net):
    def fit(self, X, y, epochs=500, learning_rate=0.2):
        for _ in range(epochs):
            self.forward(X)
            self.apply(self.slopes(X, y), learning_rate)


class TrainedInPlace(Net):
    def backward(self, X, y, out):
        for name, g in self.slopes(X, y).items():
            getattr(self, name)[...] += g * -1.0


class Returning(Net):
    def backprop(self, X, y):
        return tuple(self.slopes(X, y).values())


class Storing(Net):
    def backward(self, X, y):
        for name, g in self.slopes(X, y).items():
            setattr(self, f"d{name}", g)

    def step(self):
        for name in P:
            setattr(self, name, getattr(self, name) - self.lr * getattr(self, f"d{name}"))


class StoringInADict(Net):
    def backward(self, X, y):
        self.grads = {f"d{name}": g for name, g in self.slopes(X, y).items()}


class SampleBySample(Net):
    def train(self, X, y):
        for x, t in zip(X, y):
            self.forward(x[None])
            self.apply(self.slopes(x[None], t[None]), self.lr)


class OneSample(Net):
    def forward(self, x):
        assert x.ndim == 1
        return super().forward(x)

    def learn(self, x, t, eta):
        self.forward(x)
        d2 = (self.a2 - t) * self.a2 * (1 - self.a2)
        d1 = self.W2 @ d2 * self.a1 * (1 - self.a1)
        self.apply({"W1": np.outer(x, d1), "b1": d1, "W2": np.outer(self.a1, d2), "b2": d2}, eta)


class WithData(Net):
    def __init__(self):
        super().__init__()
        self.input, self.y, self.output = X, Y, np.zeros(Y.shape)

    def feedforward(self):
        self.output = self.forward(self.input)
        return self.output

    forward_pass = property(lambda self: 1 / 0)

    def backprop(self):
        for name, g in self.slopes(self.input, self.y).items():
            setattr(self, name, getattr(self, name) - g)


OBJECTS = [Trained, TrainedByArguments, TrainedInPlace, Returning, Storing, StoringInADict]
OBJECTS += [SampleBySample, OneSample, WithData]


@each("kind", OBJECTS, ids=lambda kind: kind.__name__, parts=3)
def test_an_object_is_checked_as_it_is_and_stays_so(kind):
    net = kind()
    before = {name: np.copy(value) for name, value in vars(net).items()}
    report = check_gradients(net, X, Y, loss="mse")
    assert report.ok, report
    assert [c.name for c in report.checks] == ["dW1", "db1", "dW2", "db2"]
    assert before.keys() == vars(net).keys()
    assert all(np.array_equal(before[name], value) for name, value in vars(net).items())


@each("kind", OBJECTS, ids=lambda kind: kind.__name__, parts=3)
def test_a_mistake_in_an_object_is_named(kind):
    class Wrong(kind):
        def apply(self, gradients, rate):
            super().apply(gradients | {"W1": -gradients["W1"]}, rate)

        def slopes(self, X, y):
            found = super().slopes(X, y)
            return found if kind in (Trained, SampleBySample) else found | {"W1": -found["W1"]}

    right = Wrong.slopes
    if kind in (TrainedByArguments, WithData):
        Wrong.apply = kind.apply
    assert right and kinds(check_gradients(Wrong(), X, Y, loss="squared_error")) == ["sign"]


def test_lists_dicts_tuples_and_objects_hold_arrays():
    class Layer:
        def __init__(self, W, b):
            self.W, self.b = W, b

    class Nested(Net):
        def __init__(self):
            self.layers = [Layer(P["W1"], P["b1"]), Layer(P["W2"], P["b2"])]

        W1, b1 = (property(lambda self, k=k: getattr(self.layers[0], k)) for k in "Wb")
        W2, b2 = (property(lambda self, k=k: getattr(self.layers[1], k)) for k in "Wb")

        def update(self, X, y, lr):
            g = self.slopes(X, y)
            for i, layer in enumerate(self.layers, 1):
                layer.W = layer.W - lr * g[f"W{i}"]
                layer.b = layer.b - lr * g[f"b{i}"]

    class Listed(Nested):
        def __init__(self):
            self.weights, self.params = [P["W1"], P["W2"]], {"b": (P["b1"], P["b2"])}

        W1, W2 = (property(lambda self, i=i: self.weights[i]) for i in (0, 1))
        b1, b2 = (property(lambda self, i=i: self.params["b"][i]) for i in (0, 1))

        def update(self, X, y, lr):
            g = self.slopes(X, y)
            self.weights = [self.W1 - lr * g["W1"], self.W2 - lr * g["W2"]]
            self.params = {"b": (self.b1 - lr * g["b1"], self.b2 - lr * g["b2"])}

    report = check_gradients(Nested(), X, Y, loss="mse")
    assert report.ok and [c.name for c in report.checks] == ["dW1", "db1", "dW2", "db2"]
    report = check_gradients(Listed(), X, Y, loss="mse")
    names = ["dweights[0]", "dweights[1]", "db[0]", "db[1]"]
    assert report.ok and [c.name for c in report.checks] == names


def test_an_objects_own_cost_says_the_scale():
    class Costed(Returning):
        def compute_loss(self, X, y):
            return np.mean((self.forward(X) - y) ** 2) / 2

    for loss in (None, "mse"):
        assert kinds(check_gradients(Costed(), X, Y, loss=loss)) == ["missing_mean"]


def test_names_and_step_choose():
    class Several(Returning):
        def backward(self, X, y):
            return {name: -g for name, g in self.slopes(X, y).items()}

    assert check_gradients(Several(), X, Y, loss="mse", step="backprop").ok
    assert not check_gradients(Several(), X, Y, loss="mse", step="backward").ok
    report = check_gradients(Several(), X, Y, loss="mse", step="backprop", names=["W1", "W2"])
    assert report.ok and [c.name for c in report.checks] == ["dW1", "dW2"]


def test_an_object_without_the_methods_is_refused_with_the_next_step():
    with pytest.raises(TypeError, match="add step=, the name of one"):
        check_gradients(Net(), X, Y, loss="mse")
    with pytest.raises(TypeError, match="no method that returns predictions"):
        check_gradients(object.__new__(type("Empty", (), {})), X, Y, loss="mse")
    with pytest.raises(TypeError, match="no method of Returning"):
        check_gradients(Returning(), X, Y, loss="mse", step="learn")
    with pytest.raises(TypeError, match="add names="):
        check_gradients(Returning(), X, Y, loss="mse", names=["V"])


def test_an_update_that_adds_the_error_of_the_asker_is_right():
    class Adding(Net):
        def train(self, X, y):
            out = self.forward(X)
            d2 = (y - out) * out * (1 - out)
            d1 = d2 @ self.W2.T * self.a1 * (1 - self.a1)
            self.W2 += self.lr * self.a1.T @ d2
            self.W1 += self.lr * X.T @ d1

    report = check_gradients(Adding(), X, Y, loss="mse", names=["W1", "W2"])
    assert report.ok and "(old - new) / 0.1, of an update by train" in str(report)


def test_methods_may_be_private_and_predict_may_be_of_classes():
    class Private(Net):
        forward = None

        def _forward(self, X):
            return Net.forward(self, X)

        def predict(self, X):
            return (self._forward(X) > 0.5).astype(int)

        def _backward(self, X, y, y_hat):
            return self.slopes(X, y)

    report = check_gradients(Private(), X, Y, loss="mse")
    assert report.ok and report.subject == "Private._backward"


def test_a_method_may_return_the_cost_and_the_gradients():
    class Whole:
        def __init__(self):
            self.params = dict(P)

        def loss(self, X, y, wrong=1.0):
            gradients = dict(zip(P, slopes(self.params, X, y, wrong)))
            return cost(self.params, X, y), gradients

    assert check_gradients(Whole(), X, Y).ok
    Whole.loss.__defaults__ = (-1.0,)
    assert kinds(check_gradients(Whole(), X, Y)) == ["sign"]


def test_an_update_that_makes_the_arrays_again_is_told():
    class Again(Trained):
        def train(self, X, y):
            self.W1, self.b1, self.W2, self.b2 = (np.zeros_like(P[name]) for name in P)
            super().train(X, y)

    with pytest.raises(TypeError, match="train: it makes the arrays again, which __init__ should"):
        check_gradients(Again(), X, Y, loss="mse")


def test_parts_of_several_shapes_are_refused_with_the_next_step():
    with pytest.raises(TypeError, match="pass arrays X and y, or a list of pairs"):
        check_gradients(cost, slopes, P, (X, Y))


class Mazur(Net):
    """The rate stands in the text, and arguments have long names."""

    def think(self, training_set_inputs):
        return super().forward(training_set_inputs)

    forward = None

    def train(self, training_set_inputs, training_set_outputs, number_of_training_iterations):
        for _ in range(number_of_training_iterations):
            self.think(training_set_inputs)
            self.apply(self.slopes(training_set_inputs, training_set_outputs), 0.03)


def test_a_rate_that_stands_in_the_text_is_the_one_that_fits():
    report = check_gradients(Mazur(), X, Y)
    assert report.ok and "that rate fits them best, none was found" in str(report)
    assert "no loss was given, it fits the gradients best" in str(report)

    class Wrong(Mazur):
        def slopes(self, X, y):
            found = super().slopes(X, y)
            return found | {"W1": -found["W1"]}

    assert kinds(check_gradients(Wrong(), X, Y, loss="mse")) == ["sign"]

    class Noise(Mazur):
        def slopes(self, X, y):
            return {
                name: np.cos(np.arange(1.0 + g.size))[1:].reshape(g.shape) for name, g in P.items()
            }

    with pytest.raises(TypeError, match="No loss was given, and neither"):
        check_gradients(Noise(), X, Y)


def test_samples_in_random_order_are_no_state_and_draws_leave_no_trace():
    class Shuffled(SampleBySample):
        def train(self, X, y):
            order = np.random.permutation(len(X))  # noqa: NPY002
            super().train(X[order], y[order])

    np.random.seed(3)  # noqa: NPY002
    before = np.random.get_state()[1].copy()  # noqa: NPY002
    report = check_gradients(Shuffled(), X, Y, loss="mse")
    assert report.ok and "It updates sample by sample" in str(report)

    def dropout(p, X, y):
        mask = np.random.random(4) < 0.5  # noqa: NPY002
        return np.sum((sigmoid(X @ p["W1"]) * mask @ p["W2"] - y) ** 2)

    report = check_gradients(dropout, slopes, P, X, Y)
    assert kinds(report) == ["state"] and "draws random numbers without a seed" in str(report)
    assert np.array_equal(before, np.random.get_state()[1])  # noqa: NPY002


def test_gradients_of_the_opposite_sign_are_right_where_the_update_adds():
    negative = lambda p, X, y: [-g for g in slopes(p, X, y)]  # noqa: E731
    assert "right if your update adds it" in str(check_gradients(cost, negative, P, X, Y))

    class Climbing(Trained):
        def apply(self, gradients, rate):
            super().apply(gradients, -rate)

    assert "the update goes up the slope" in str(check_gradients(Climbing(), X, Y, loss="mse"))
    half = lambda p, X, y: slopes(p, X, y, -1.0)  # noqa: E731
    assert "right if" not in str(check_gradients(cost, half, P, X, Y))
