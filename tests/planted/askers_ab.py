"""The first two askers: 3-5-5-1 one sample at a time, and 2-4-1 on the planar flower."""

import numpy as np

from .case import Case, edited, elementwise, everywhere, misordered

SIGMOID = """import numpy as np

def sigmoid(x):
    return 1 / (1 + np.exp(-x))

def sigmoid_prime(x):
    return sigmoid(x) * (1 - sigmoid(x))
"""

# -- A: 3-5-5-1, sum of squared errors, mini-batches of 25 and single samples ---------------------
A_ROWS = (
    SIGMOID
    + """
def forward(params, X, y):
    a = X
    for W, b in params:
        a = sigmoid(np.dot(a, W) + b)
    return 0.5 * np.sum((a - y) ** 2)

def backward(params, X, y):
    activations, zs = [X], []
    for W, b in params:
        zs.append(np.dot(activations[-1], W) + b)
        activations.append(sigmoid(zs[-1]))
    grads = [None] * len(params)
    error = (activations[-1] - y) * sigmoid_prime(zs[-1])
    dW = np.dot(activations[-2].T, error)
    grads[-1] = (dW, error.sum(axis=0))
    for l in range(2, len(params) + 1):
        W = params[-l + 1][0]
        delta = np.dot(error, W.T)
        error = delta * sigmoid_prime(zs[-l])
        dW_l = np.dot(activations[-l - 1].T, error)
        grads[-l] = (dW_l, error.sum(axis=0))
    return grads
"""
)
A_ROWS_UNROLLED = (
    SIGMOID
    + """
def forward(params, X, y):
    a1 = sigmoid(X.dot(params["W1"]) + params["b1"])
    a2 = sigmoid(a1.dot(params["W2"]) + params["b2"])
    a3 = sigmoid(a2.dot(params["W3"]) + params["b3"])
    return ((a3 - y) ** 2).sum() / 2

def backward(params, X, y):
    W2, W3 = params["W2"], params["W3"]
    z1 = X.dot(params["W1"]) + params["b1"]
    z2 = sigmoid(z1).dot(W2) + params["b2"]
    z3 = sigmoid(z2).dot(W3) + params["b3"]
    delta3 = (sigmoid(z3) - y) * sigmoid_prime(z3)
    dW3 = sigmoid(z2).T.dot(delta3)
    delta2 = delta3.dot(W3.T) * sigmoid_prime(z2)
    dW2 = sigmoid(z1).T.dot(delta2)
    delta1 = delta2.dot(W2.T) * sigmoid_prime(z1)
    dW1 = X.T.dot(delta1)
    return {"W1": dW1, "b1": delta1.sum(0), "W2": dW2, "b2": delta2.sum(0),
            "W3": dW3, "b3": delta3.sum(0)}
"""
)
A_COLUMNS = (
    SIGMOID
    + """
def forward(params, X, y):
    a = X
    for W, b in params:
        a = sigmoid(np.dot(W, a) + b)
    return 0.5 * np.sum((a - y) ** 2)

def backward(params, X, y):
    activations, zs = [X], []
    for W, b in params:
        zs.append(np.dot(W, activations[-1]) + b)
        activations.append(sigmoid(zs[-1]))
    grads = [None] * len(params)
    error = (activations[-1] - y) * sigmoid_prime(zs[-1])
    dW = np.dot(error, activations[-2].T)
    grads[-1] = (dW, error.sum(axis=1, keepdims=True))
    for l in range(2, len(params) + 1):
        W = params[-l + 1][0]
        delta = np.dot(W.T, error)
        error = delta * sigmoid_prime(zs[-l])
        dW_l = np.dot(error, activations[-l - 1].T)
        grads[-l] = (dW_l, error.sum(axis=1, keepdims=True))
    return grads
"""
)


def data_a(n, rows):
    rng = np.random.default_rng(n)
    sizes = [3, 5, 5, 1]
    X = rng.integers(1, 5, (n, 3)).astype(float)
    y = (np.arange(n) % 2).astype(float)[:, None]
    Ws = [rng.normal(0, 0.6, shape) for shape in zip(sizes, sizes[1:])]
    bs = [rng.normal(0, 0.6, size) for size in sizes[1:]]
    if rows:
        return list(zip(Ws, bs)), X, y
    return [(W.T.copy(), b[:, None]) for W, b in zip(Ws, bs)], X.T.copy(), y.T.copy()


def dict_a(n):
    params, X, y = data_a(n, rows=True)
    return {f"{s}{k}": v for k, pair in enumerate(params, 1) for s, v in zip("Wb", pair)}, X, y


def cases_a():
    for n in (25, 1):
        batch = f"a batch of {n}" if n > 1 else "one sample"
        rows, columns, named = data_a(n, True), data_a(n, False), dict_a(n)
        yield Case(f"A right: rows, {batch}", A_ROWS, *rows)
        yield Case(f"A right: rows, unrolled, {batch}", A_ROWS_UNROLLED, *named)
        yield Case(f"A right: columns, {batch}", A_COLUMNS, *columns)
        one, five = rf"\({n}, ?1\)", r"\(1, ?5\)"
        in_rows = [  # the column formulas on row samples: shapes (1,5) and (n,1) not aligned
            ("delta: (error, W.T) -> (W.T, error)", "raised@2", (five, one)),
            ("dW = np.dot(error, activations[-2].T)", "raised@3", (one,)),
        ]
        unrolled = [
            ("delta2: delta3.dot(W3.T) -> W3.T.dot(delta3)", "raised@2", (five, one)),
            ("delta2: W3.T -> W3", "raised@2", (r"\(5, ?1\)", one)),
            ("dW3 = delta3.dot(sigmoid(z2).T)", "raised@3", (one,)),
            ("dW1 = X.dot(delta1)", "raised@1", (rf"\({n}, ?5\)",)),
        ]
        in_columns = [  # the row formulas on column samples
            ("delta: (W.T, error) -> (error, W.T)", "raised@2", (rf"\(1, ?{n}\)", r"\(5, ?1\)")),
            ("dW = np.dot(activations[-2].T, error)", "raised@3", ()),
        ]
        for way, source, data, changes in [
            ("rows", A_ROWS, rows, in_rows),
            ("rows", A_ROWS_UNROLLED, named, unrolled),
            ("columns", A_COLUMNS, columns, in_columns),
        ]:
            for edit, truth, says in changes:
                name = f"A {edit}: {way}, {batch}"
                yield Case(name, edited(source, [edit]), *data, truth, says=says)
        for way, source, data in [("rows", A_ROWS, rows), ("columns", A_COLUMNS, columns)]:
            name, whole = f"A cost without the half: {way}, {batch}", source.replace("0.5 * ", "")
            yield Case(name, whole, *data, everywhere("factor", 3))


# -- B: 2-4-1 on the flower, all points at once ---------------------------------------------------
B_COLUMNS = (
    SIGMOID
    + """
def forward(params, X, Y):
    A1 = sigmoid(np.dot(params["W1"], X) + params["b1"])
    A2 = sigmoid(np.dot(params["W2"], A1) + params["b2"])
    return np.mean((A2 - Y) ** 2)

def backward(params, X, Y):
    m = X.shape[1]
    W2 = params["W2"]
    Z1 = np.dot(params["W1"], X) + params["b1"]
    A1 = sigmoid(Z1)
    Z2 = np.dot(W2, A1) + params["b2"]
    A2 = sigmoid(Z2)
    dA2 = 2 * (A2 - Y)
    dZ2 = dA2 * sigmoid_prime(Z2)
    dW2 = np.dot(dZ2, A1.T) / m
    db2 = np.sum(dZ2, axis=1, keepdims=True) / m
    dZ1 = np.dot(W2.T, dZ2) * sigmoid_prime(Z1)
    dW1 = np.dot(dZ1, X.T) / m
    db1 = np.sum(dZ1, axis=1, keepdims=True) / m
    return {"W1": dW1, "b1": db1, "W2": dW2, "b2": db2}
"""
)
B_ROWS = (
    SIGMOID
    + """
def forward(params, X, Y):
    A1 = sigmoid(np.dot(X, params["W1"]) + params["b1"])
    A2 = sigmoid(np.dot(A1, params["W2"]) + params["b2"])
    return np.mean((A2 - Y) ** 2)

def backward(params, X, Y):
    m = X.shape[0]
    W2 = params["W2"]
    Z1 = np.dot(X, params["W1"]) + params["b1"]
    A1 = sigmoid(Z1)
    Z2 = np.dot(A1, W2) + params["b2"]
    A2 = sigmoid(Z2)
    dA2 = 2 * (A2 - Y)
    dZ2 = dA2 * sigmoid_prime(Z2)
    dW2 = np.dot(A1.T, dZ2) / m
    db2 = np.sum(dZ2, axis=0, keepdims=True) / m
    dZ1 = np.dot(dZ2, W2.T) * sigmoid_prime(Z1)
    dW1 = np.dot(X.T, dZ1) / m
    db1 = np.sum(dZ1, axis=0, keepdims=True) / m
    return {"W1": dW1, "b1": db1, "W2": dW2, "b2": db2}
"""
)
ABSOLUTE = "dA2 = 2 * abs(A2 - Y)"
# sigmoid' as a factor of a matrix product: an outer product, then the factors in the wrong order
MATRIX = {
    False: [
        "dW2 = np.dot(A1, np.dot(dA2.T, sigmoid_prime(Z2))) / m",  # (4, 400)
        "dW1 = np.dot(X, np.dot(sigmoid_prime(Z1).T, W2.T) * dZ2.T) / m",  # (2, 1)
    ],
    True: [
        "dW2 = np.dot(np.dot(sigmoid_prime(Z2), dA2.T), A1) / m",
        "dW1 = np.dot((np.dot(W2.T, sigmoid_prime(Z1).T) * dZ2.T), X) / m",
    ],
}


# Equally true names of those two. In dW1 the elementwise and the matrix product changed places.
DW2 = "matmul_for_elementwise@2 wrong_order@2 | matmul_for_elementwise@2 | wrong_order@2"
DW1 = DW2.replace("@2", "@1") + " | matmul_for_elementwise@1 elementwise_for_matmul@1"
DB1 = "missing_mean@1 not_summed@1 | not_summed@1"
THREE = f"absolute@2 & missing_mean@2 & {misordered(1)}"


def flower(rows, scale, m=400):
    rng = np.random.default_rng(1)
    y = np.repeat([0.0, 1.0], m // 2)
    t = np.tile(np.linspace(0, 3.12, m // 2), 2) + 3.12 * y + rng.normal(0, 0.2, m)
    r = 4 * np.sin(4 * t) + rng.normal(0, 0.2, m)
    X = np.stack([r * np.sin(t), r * np.cos(t)])
    params = {"W1": rng.normal(0, scale, (4, 2)), "b1": np.zeros((4, 1))}
    params |= {"W2": rng.normal(0, scale, (1, 4)), "b2": np.zeros((1, 1))}
    if rows:
        return {name: value.T.copy() for name, value in params.items()}, X.T.copy(), y[:, None]
    return params, X, y[None]


def cases_b():
    for rows, source in [(False, B_COLUMNS), (True, B_ROWS)]:
        way, s = ("rows", 0) if rows else ("columns", 1)
        turned2, turned1 = ("dZ2.T, A1", "dZ1.T, X") if rows else ("A1, dZ2.T", "X, dZ1.T")
        m2, m1 = MATRIX[rows]
        for scale in (0.01, 1):
            data = flower(rows, scale)
            start = f"{way}, weights of {scale}"
            yield Case(f"B right: {start}", source, *data)
            lost = edited(source, [ABSOLUTE])
            yield Case(f"B sign lost: {start}", lost, *data, "absolute@2", says=("sign|absolute",))
            edits = [ABSOLUTE, m2, f"db2 = np.sum(dZ2, axis={s}, keepdims=True)", m1, "db1 = dZ1"]
            truth = f"absolute@2 & {DW2} & missing_mean@2 & {DW1} & {DB1}"
            yield Case(f"B all at once: {start}", edited(source, edits), *data, truth)
        data, some = flower(rows, 1), ["dW1:  / m -> ", "db2:  / m -> "]
        whole = [f"d{v}:  / m -> " for v in ("W1", "b1", "W2", "b2")]
        order2, order1 = f"dW2 = np.dot({turned2}) / m", f"dW1 = np.dot({turned1}) / m"
        three = [ABSOLUTE, "dW2:  / m -> ", order1]
        for what, edits, truth, says in [
            ("sigmoid' in a matrix product, dW2 for each sample", [m2], DW2, ()),
            ("sigmoid' in a matrix product, dW1 of one unit", [m1], DW1, ()),
            ("dW2 elementwise", ["dW2 = A1 * dZ2 / m"], elementwise(2), ()),
            ("dW2 in the wrong order", [order2], misordered(2), ("transpose|order",)),
            ("dW1 in the wrong order", [order1], misordered(1), ("transpose|order",)),
            ("1/m on some, not on dW1 and db2", some, "missing_mean@1 missing_mean@2", ("400",)),
            ("1/m on none", whole, everywhere("missing_mean", 2), ("400",)),
            ("db1 for each sample", ["db1 = dZ1 / m"], "not_summed@1", ("400",)),
            ("sign lost, 1/m missing in dW2, dW1 transposed", three, THREE, ()),
        ]:
            name = f"B {what}: {way}"
            yield Case(name, edited(source, edits), *data, truth, says=says)


CASES = [*cases_a(), *cases_b()]
