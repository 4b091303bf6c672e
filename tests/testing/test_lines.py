"""Which line of code in many forms gave which value, and what a patch of it does."""

import linecache
import sys
from itertools import product

import numpy as np
import pytest
from each import each

from xpmlp.testing.lines import patched, record
from xpmlp.testing.lines import recording as lines

RNG = np.random.default_rng(0)
X, Y = RNG.normal(size=(6, 3)), RNG.normal(size=(6, 2))
W1, W2 = RNG.normal(size=(3, 4)), RNG.normal(size=(4, 2))
A1 = np.tanh(X @ W1)
D2 = (A1 @ W2 - Y) / 6
D1 = (D2 @ W2.T) * (1 - A1**2)  # the right one
WRONG = D2 @ W2.T
RIGHT_DW1, WRONG_DW1 = X.T @ D1, X.T @ WRONG
PARAMS = {"W1": W1, "W2": W2}

DICT = """
def run(params, X, y):
    W1, W2 = params["W1"], params["W2"]
    a1 = np.tanh(X @ W1)
    d2 = (a1 @ W2 - y) / len(X)
    d1 = d2 @ W2.T
    return {"W1": X.T @ d1, "W2": a1.T @ d2}
"""
TUPLE = """
def run(params, X, y):
    W1, W2 = params["W1"], params["W2"]
    hidden = np.tanh(X.dot(W1)); delta2 = (hidden.dot(W2) - y) / X.shape[0]
    delta1 = (
        delta2.dot(W2.T)  # sent back
    )
    return X.T.dot(delta1), hidden.T.dot(delta2)
"""
INLINE = """
def run(params, X, y):
    a = np.tanh(X @ params["W1"])
    e = (a @ params["W2"] - y) / len(X)
    return {"W1": X.T @ (e @ params["W2"].T), "W2": a.T @ e}
"""
LAMBDA = """
run = lambda p, X, y: (lambda a, e: dict(W1=X.T @ (e @ p["W2"].T), W2=a.T @ e))(
    np.tanh(X @ p["W1"]), (np.tanh(X @ p["W1"]) @ p["W2"] - y) / len(X))
"""
OBJECT = """
class Net:
    def __init__(self):
        self.lr = 0.1
    def forward(self, X):
        self.a1 = np.tanh(X @ self.W1)
        return self.a1 @ self.W2
    def backward(self, X, y):
        self.delta2 = (self.forward(X) - y) / len(X)
        self.delta1 = np.dot(self.delta2, self.W2.T)
        self.dW1 = X.T @ self.delta1
        self.dW2 = self.a1.T @ self.delta2
        return {"W1": self.dW1, "W2": self.dW2}
net = Net()
def run(params, X, y):
    net.W1, net.W2 = params["W1"], params["W2"]
    return net.backward(X, y)
"""
CLOSURE = """
def make(scale):
    def send_back(delta, W):
        return scale * delta @ W.T
    def run(params, X, y):
        def step(delta, a):
            return a.T @ delta
        a1 = np.tanh(X @ params["W1"])
        d2 = (a1 @ params["W2"] - y) / len(X)
        d1 = send_back(d2, params["W2"])
        return {"W1": step(d1, X), "W2": step(d2, a1)}
    return run
run = make(1.0)
"""
COLUMNS = """
def run(params, X, y):
    X, y, W1, W2 = X.T, y.T, params["W1"].T, params["W2"].T
    A1 = np.tanh(W1 @ X)
    dZ2 = (A1.T @ W2.T).T / 6 - y / 6
    dZ1 = np.dot(W2.T, dZ2)
    grads = {"W1": np.dot(dZ1, X.T).T,
             "W2": (dZ2 @ A1.T).T}
    return grads
"""
LAYERS = """
def run(params, X, y):
    weights = [params["W1"], params["W2"]]
    activations, grads = [X], [None, None]
    for W in weights[:-1]:
        activations.append(np.tanh(activations[-1] @ W))
    delta = (activations[-1] @ weights[-1] - y) / len(X)
    grads[-1] = activations[-1].T @ delta
    for l in range(2, len(weights) + 1):
        delta = delta @ weights[-l + 1].T
        grads[-l] = activations[-l].T @ delta
    return {"W1": grads[0], "W2": grads[1]}
"""
KEYS = """
def run(params, X, y):
    cache, grads = {"A0": X, "A1": np.tanh(X @ params["W1"])}, {}
    dZ = (cache["A1"] @ params["W2"] - y) / len(X)
    grads["W2"] = cache["A1"].T @ dZ
    for l in reversed(range(1, 2)):
        dZ = dZ @ params["W" + str(l + 1)].T
        grads["W" + str(l)] = cache["A" + str(l - 1)].T @ dZ
    return grads
"""
SAMPLES = """
def run(params, X, y):
    W1, W2 = params["W1"], params["W2"]
    dW1, dW2 = np.zeros_like(W1), np.zeros_like(W2)
    for x, t in zip(X, y):
        h = np.tanh(x @ W1)
        e = h @ W2 - t
        g = W2 @ e
        dW2 += np.outer(h, e) / len(X)
        dW1 += np.outer(x, g) / len(X)
    return {"W1": dW1, "W2": dW2}
"""
PARTS = """
class Layer:
    def __init__(self, W):
        self.W = W
    def __call__(self, x):
        self.x = x
        return x @ self.W
def run(params, X, y):
    layers = np.empty(2, dtype=object)
    layers[0], layers[1] = Layer(params["W1"]), Layer(params["W2"])
    layers[1](np.tanh(layers[0](X)))
    delta = (layers[1].x @ params["W2"] - y) / len(X)
    return [layers[0].x.T @ np.dot(delta, params["W2"].T), layers[1].x.T @ delta]
"""
INPLACE = """
def run(params, X, y):
    a1 = np.tanh(X @ params["W1"])
    if (d2 := (a1 @ params["W2"] - y) / len(X)) is not None:
        d1 = np.empty_like(a1)
        d1[:] = d2 @ params["W2"].T
        d1 *= 1
    return {"W1": X.T @ d1, "W2": a1.T @ d2}
"""
FORMS = {
    "a dict": DICT,
    "a tuple, several lines, two statements in one": TUPLE,
    "an expression in a return": INLINE,
    "a lambda in a lambda": LAMBDA,
    "an object": OBJECT,
    "closures and a helper": CLOSURE,
    "samples in columns": COLUMNS,
    "a loop that counts from the end": LAYERS,
    "a loop over keys": KEYS,
    "a loop over samples": SAMPLES,
    "in place": INPLACE,
    "layers that are called, in an array": PARTS,
}
MENDED = """
d1 = (d2 @ W2.T) * (1 - a1 ** 2)
delta1 = ( (delta2 @ W2.T) * (1 - hidden ** 2) # sent back )
return {"W1": X.T @ ((e @ params["W2"].T) * (1 - a ** 2)), "W2": a.T @ e}
run = lambda p, X, y: (lambda a, e: dict(W1=X.T @ ((e @ p["W2"].T) * (1 - a ** 2)), W2=a.T @ e))(
self.delta1 = (self.delta2 @ self.W2.T) * (1 - self.a1 ** 2)
d1 = (d2 @ params["W2"].T) * (1 - a1 ** 2)
dZ1 = (W2.T @ dZ2) * (1 - A1 ** 2)
delta = (delta @ weights[-l + 1].T) * (1 - activations[-l + 1] ** 2)
dZ = (dZ @ params["W" + str(l + 1)].T) * (1 - cache["A" + str(l)] ** 2)
g = (e @ W2.T) * (1 - h ** 2)
d1[:] = (d2 @ params["W2"].T) * (1 - a1 ** 2)
return [layers[0].x.T @ ((delta @ params["W2"].T) * (1 - layers[1].x ** 2)), layers[1].x.T @ delta]
""".strip().splitlines()
FACTORS = [D2, W2.T, A1]


def function(text):
    """The function of a text whose lines are known, as those of a notebook's cell are."""
    file = f"<cell {hash(text)}>"
    linecache.cache[file] = len(text), None, text.splitlines(True), file
    space = {"np": np}
    exec(compile(text, file, "exec"), space)
    return space["run"]


def first(found):
    return found["W1"] if isinstance(found, dict) else found[0]


def recorded(run):
    return record(lambda: run(PARAMS, X, Y))


def gives(right):
    """Whether a function gives a gradient of W1; a changed one may give another shape."""

    def tell(run):
        found = first(run(PARAMS, X, Y))
        return found.shape == right.shape and np.allclose(found, right)

    return tell


def repair(run, right, wrong, factors, template="({0} @ {1}) * (1 - {2} ** 2)"):
    """The first statement of the wrong value, and text in the names of the code, that is right."""
    recording = recorded(run)
    for statement in recording.holding(wrong):
        for names in product(*(recording.names_for(a, statement)[:3] for a in factors)):
            text = template.format(*names)
            if right(patched(run, statement, text)):
                return statement, text
    return None


@each("name", FORMS)
def test_the_wrong_line_is_found_and_mended_in_the_names_of_the_code(name):
    run, wrong, factors, template = function(FORMS[name]), WRONG, FACTORS, "({0} @ {1})"
    if FORMS[name] is COLUMNS:
        factors, template = [D2.T, W2, A1.T], "({1} @ {0})"
    if FORMS[name] is SAMPLES:  # 1/n stands in the gradients
        wrong, factors = 6 * WRONG[0], [6 * D2[0], W2.T, A1[0]]
    assert gives(WRONG_DW1)(run)
    found = repair(run, gives(RIGHT_DW1), wrong, factors, template + " * (1 - {2} ** 2)")
    assert found, name
    changed = " ".join(found[0].changed(found[1])[1].split())
    assert changed == MENDED[list(FORMS).index(name)]
    assert gives(RIGHT_DW1)(patched(run, *found))
    assert gives(WRONG_DW1)(run), "the function itself stays as it is"


def test_what_is_printed_and_put_into_the_text_makes_it_right():
    for text in (DICT, TUPLE, LAYERS, KEYS):
        run = function(text)
        statement, new = repair(run, gives(RIGHT_DW1), WRONG, FACTORS)
        assert statement.line in text
        assert gives(RIGHT_DW1)(function(text.replace(statement.line, statement.changed(new)[1])))


def test_a_second_line_is_changed_in_what_the_first_change_left():
    run = function(CLOSURE.replace("return a.T @ delta", "return -(a.T @ delta)"))
    once = patched(run, *repair(run, gives(-RIGHT_DW1), WRONG, FACTORS))

    def right(run):
        found = run(PARAMS, X, Y)
        return np.allclose(found["W1"], RIGHT_DW1) and np.allclose(found["W2"], A1.T @ D2)

    found = repair(once, right, -RIGHT_DW1, [X.T, D1], "{0} @ {1}")
    assert (found[0].function, found[1]) == ("step", "a.T @ delta")
    assert right(patched(once, *found))
    assert gives(-RIGHT_DW1)(once) and gives(-WRONG_DW1)(run), "both stay as they are"


def test_a_callable_object_that_keeps_a_function_is_patched_as_any():
    class Called:
        def __init__(self, function):
            self.function, self.codes = function, {}

        def __call__(self, *arguments):
            return self.function(*arguments)

    run = Called(function(DICT))
    found = repair(run, gives(RIGHT_DW1), WRONG, FACTORS)
    assert found and gives(RIGHT_DW1)(patched(run, *found))


def targets(statements):
    return [(statement.target, statement.lineno) for statement in statements]


def test_every_pass_of_a_loop_is_kept_in_its_order():
    run = function(SAMPLES)
    found = [s for s in recorded(run).statements if s.target == "g"]
    assert [np.allclose(s.value, 6 * row) for s, row in zip(found, WRONG)] == [True] * 6
    assert [s.order for s in found] == sorted(s.order for s in found)
    assert len(found[0].passes) == 6


def test_values_are_found_whatever_their_shape_is():
    recording = recorded(function(COLUMNS))
    assert targets(recording.holding(WRONG)) == [("dZ1", 6)]
    assert targets(recording.holding(WRONG_DW1)) == [("grads['W1']", 7), ("", 7)]
    assert targets(recorded(function(SAMPLES)).holding(6 * WRONG[:1])) == [("g", 8)]


def test_a_line_that_makes_a_value_comes_before_those_that_pass_it_on():
    found = recorded(function(OBJECT)).holding(WRONG_DW1)
    assert targets(found) == [("self.dW1", 11), ("", 13)]
    found = recorded(function(SAMPLES)).holding(WRONG_DW1)
    assert [s.line for s in found] == [
        'return {"W1": dW1, "W2": dW2}',
        "dW1 += np.outer(x, g) / len(X)",
    ]


def test_an_array_is_written_in_the_shape_that_is_asked_for():
    recording = recorded(function(SAMPLES))
    statement = recording.holding(6 * WRONG[:1])[0]
    assert recording.names_for(W2.T, statement) == ["W2.T", 'params["W2"].T']
    assert recording.names_for(A1[:1].T, statement)[:2] == ["h", "h[:, None]"]
    assert recording.names_for(6 * D2[0], statement) == ["e", "(h @ W2 - t)"]
    assert recording.names_for(6 * D2[0], statement, factor=False) == ["e", "h @ W2 - t"]
    assert recording.names_for(np.ones(77), statement) == []


@each("former", [None, lambda *arguments: None], ids=["none", "a debugger's"])
def test_the_trace_function_before_is_put_back_also_if_the_code_raises(former):
    def raises():
        raise ZeroDivisionError

    kept = sys.gettrace()
    sys.settrace(former)
    try:
        with pytest.raises(ZeroDivisionError):
            record(raises)
        assert sys.gettrace() is former
        recorded(function(DICT))
        assert sys.gettrace() is former
    finally:
        sys.settrace(kept)


STATEFUL = """
calls, cache = [0], {}
def forward(X, W):
    print("forward")
    calls[0] += 1
    cache["Z"] = X @ W
    return np.tanh(cache["Z"])
def noise(a):
    return a + np.random.rand()
class Net:
    def __init__(self):
        self.seen = []
net = Net()
def run(params, X, y):
    W1, W2 = params["W1"], params["W2"]
    a1 = forward(X, W1)
    net.seen.append(len(X))
    d2 = (a1 @ W2 - y) / len(X)
    d1 = d2 @ W2.T
    kept = noise(a1)
    return {"W1": X.T @ d1, "W2": a1.T @ d2}
run.state = lambda: (list(calls), {**cache}, list(net.seen))
"""


def test_looking_for_lines_and_names_changes_nothing_and_prints_nothing(capsys):
    state = np.random.get_state  # noqa: NPY002
    run = function(STATEFUL)
    recording = recorded(run)
    before, stream, code = run.state(), state()[1].copy(), run.__code__
    capsys.readouterr()
    for value in (WRONG, A1, WRONG_DW1):
        for statement in recording.holding(value):
            recording.names_for(A1, statement)
            patched(run, statement, "0 * X")
    assert str(run.state()) == str(before) and run.__code__ is code
    assert (state()[1] == stream).all() and capsys.readouterr().out == ""


def test_an_array_that_is_written_into_later_keeps_the_value_that_it_had():
    text = DICT.replace("    return", "    W2 -= 1.0 * W2\n    d1 *= 0\n    return")
    run = function(text)
    recording = record(lambda: run({k: v.copy() for k, v in PARAMS.items()}, X, Y))
    statement = recording.holding(WRONG)[0]
    assert targets([statement]) == [("d1", 6)]
    assert recording.names_for(W2.T, statement)[0] == "W2.T"


def test_code_without_a_text_has_no_statements_and_none_is_patched():
    space = {"np": np}
    exec(DICT, space)  # as typed at a prompt: the file is "<string>"
    recording = recorded(space["run"])
    assert [s for s in recording.statements if s.function == "run"] == []
    unpacked = function(
        "def two(a):\n    return a, -a\ndef run(p, X, y):\n    a, b = two(X)\n    return {'W1': b}"
    )
    statement = next(s for s in recorded(unpacked).statements if s.target == "b")
    assert patched(unpacked, statement, "a") is None


def test_a_long_run_is_followed_only_so_far(monkeypatch):
    monkeypatch.setattr(lines, "MANY", 200)
    text = """
def run(params, X, y):
    s = 0
    for i in range(1000):
        s += i
    return s
"""
    assert len(recorded(function(text)).moments) == 200
