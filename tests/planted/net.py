"""The text of a correct forward and backward pass, in the styles people write them in."""

from dataclasses import dataclass

import numpy as np

from .case import Case, edited

HELPERS = """import numpy as np


def sigmoid(z):
    return 1 / (1 + np.exp(-z))


def d_sigmoid(z):
    return sigmoid(z) * (1 - sigmoid(z))


def tanh(z):
    return np.tanh(z)


def d_tanh(z):
    return 1 - np.tanh(z) ** 2


def relu(z):
    return np.maximum(z, 0)


def d_relu(z):
    return (z > 0).astype(float)


def softplus(z):
    return np.log(1 + np.exp(z))


def d_softplus(z):
    return sigmoid(z)


def softmax(z):
    e = np.exp(z - z.max(axis=UNITS, keepdims=True))
    return e / e.sum(axis=UNITS, keepdims=True)


def d_softmax(a, da):
    return a * (da - (a * da).sum(axis=UNITS, keepdims=True))
"""
# loss: (cost, its derivative before the division, the divisor); A is the last activation
SQUARE, LOGS = "np.sum((A - y) ** 2)", "-np.sum(y * np.log(A) + (1 - y) * np.log(1 - A))"
LOSSES = {
    "sum": (SQUARE, "2 * (A - y)", ""),
    "half": (f"0.5 * {SQUARE}", "(A - y)", ""),
    "half_mean": (f"0.5 * {SQUARE} / n", "(A - y)", "n"),
    "sum_mean": (f"{SQUARE} / n", "2 * (A - y)", "n"),
    "mse": ("np.mean((A - y) ** 2)", "2 * (A - y)", "y.size"),
    "bce": (f"{LOGS} / n", "(A - y)", "n"),
    "bce_sum": (LOGS, "(A - y)", ""),
    "ce": ("-np.sum(y * np.log(A)) / n", "(A - y)", "n"),
    "ce_sum": ("-np.sum(y * np.log(A))", "(A - y)", ""),
    "ce_labels": ("-np.mean(np.log(A[PICK]))", "(A - np.eye(K)[ONE])", "n"),
}
SQUARED = {"sum", "half", "half_mean", "sum_mean", "mse"}
INLINE = {"sigmoid": "a * (1 - a)", "tanh": "(1 - a ** 2)", "relu": "(z > 0)"}
PENALTIES = {  # cost, gradient
    "half": ("0.5 * lam * np.sum(W ** 2)", "lam * W"),
    "full": ("lam * np.sum(W ** 2)", "2 * lam * W"),
    "half_n": ("lam / (2 * n) * np.sum(W ** 2)", "lam / n * W"),
}


@dataclass(frozen=True)
class Net:
    """A network and the style it is written in.

    sizes: "3-4-1"; acts: one word a layer; bias: shape "n", "1n", "n1" or "" for none; io: weights
    are (in, out), else (out, in); form: of the parameters; mean: the 1/n stands in the "error" or
    in the "arrays"; inline: derivatives are written out; fused: one line for loss and last
    activation; shown: forward returns its intermediate values too.
    """

    sizes: str
    acts: str
    loss: str
    rows: bool = True
    io: bool = True
    bias: str = "n"
    form: str = "dict"
    mean: str = "error"
    l2: str = ""
    inline: bool = False
    fused: bool = True
    shown: bool = False
    n: int = 7
    seed: int = 0

    @property
    def widths(self):
        return [int(size) for size in self.sizes.split("-")]

    @property
    def depth(self):
        return len(self.widths) - 1

    @property
    def way(self):
        return "rows" if self.rows else "columns"

    @property
    def axis(self):
        """The axis of the samples."""
        return 0 if self.rows else 1

    @property
    def layers(self):
        return range(1, self.depth + 1)

    def names(self, prefix=""):
        """The parameters' names in the order of the form, flat."""
        kinds = ["W", "b"] if self.bias else ["W"]
        if self.form == "split":
            return [f"{prefix}{kind}{k}" for kind in kinds for k in self.layers]
        return [f"{prefix}{kind}{k}" for k in self.layers for kind in kinds]

    def key(self, name):
        """The key of a parameter in a dict."""
        if self.form != "words":
            return name
        k, letter = int(name[1:]), name[0].lower()
        if k == self.depth:
            return f"{letter}_out"
        return f"{letter}_hidden{k}" if self.depth > 2 else f"{letter}_hidden"

    def gathered(self, names, values):
        """Values in the form of the parameters: of arrays, or (for the text) of names."""
        if self.form in ("dict", "words"):
            return {self.key(name): value for name, value in zip(names, values)}
        if self.form == "pairs" and self.bias:
            return list(zip(values[::2], values[1::2]))
        return list(values)

    # -- text ------------------------------------------------------------------------------------
    def unpacking(self):
        if self.form in ("dict", "words"):
            return [f'{name} = params["{self.key(name)}"]' for name in self.names()]
        if self.form == "pairs" and self.bias:
            return [", ".join(f"(W{k}, b{k})" for k in self.layers) + ", = params"]
        return [", ".join(self.names()) + ", = params"]

    def product(self, k):
        W, a = f"W{k}", self.a(k - 1)
        text = {
            (True, True): f"{a} @ {W}",
            (True, False): f"{a} @ {W}.T",
            (False, False): f"{W} @ {a}",
            (False, True): f"{W}.T @ {a}",
        }[self.rows, self.io]
        turned = {(True, "n1"): ".T", (False, "1n"): ".T", (False, "n"): "[:, None]"}
        if self.bias:
            text += f" + b{k}{turned.get((self.rows, self.bias), '')}"
        return text

    def a(self, k):
        return f"a{k}" if k else "X"

    def act(self, k):
        assert len(self.acts.split()) == self.depth, self
        return self.acts.split()[k - 1]

    def passing(self):
        """The lines of the forward pass."""
        for k in self.layers:
            yield f"z{k} = {self.product(k)}"
            yield f"a{k} = z{k}" if self.act(k) == "linear" else f"a{k} = {self.act(k)}(z{k})"

    def slope(self, k):
        if self.inline:
            return INLINE[self.act(k)].replace("a", f"a{k}").replace("z", f"z{k}")
        return f"d_{self.act(k)}(z{k})"

    def output_error(self):
        """The lines down to the error of the last layer."""
        L, (_, slope, by) = self.depth, LOSSES[self.loss]
        act, tail = self.act(L), f" / {by}" if by and self.mean == "error" else ""
        slope = self.filled(slope)
        if act == "linear" or self.loss not in SQUARED and self.fused:
            return [f"dz{L} = {slope}{tail}"]
        if self.loss in ("bce", "bce_sum"):
            slope = f"((1 - y) / (1 - a{L}) - y / a{L})"
        if act == "softmax":
            return [f"da{L} = {slope}{tail}", f"dz{L} = d_softmax(a{L}, da{L})"]
        return [f"da{L} = {slope}{tail}", f"dz{L} = da{L} * {self.slope(L)}"]

    def array_gradients(self, k):
        """The lines of dW and db."""
        a, dz, by = self.a(k - 1), f"dz{k}", LOSSES[self.loss][2]
        tail = f" / {by}" if by and self.mean == "arrays" else ""
        product = {
            (True, True): f"{a}.T @ {dz}",
            (True, False): f"{dz}.T @ {a}",
            (False, False): f"{dz} @ {a}.T",
            (False, True): f"{a} @ {dz}.T",
        }[self.rows, self.io]
        decay = f" + {PENALTIES[self.l2][1]}".replace("W", f"W{k}") if self.l2 else ""
        yield f"dW{k} = {product}{tail}{decay}"
        if self.bias == "n":
            yield f"db{k} = {dz}.sum(axis={self.axis}){tail}"
        elif self.bias:
            turned = ".T" if self.rows == (self.bias == "n1") else ""
            yield f"db{k} = {dz}.sum(axis={self.axis}, keepdims=True){turned}{tail}"

    def sent_back(self, k):
        """The lines from the error of layer k + 1 to that of layer k."""
        W, dz = f"W{k + 1}", f"dz{k + 1}"
        product = {
            (True, True): f"{dz} @ {W}.T",
            (True, False): f"{dz} @ {W}",
            (False, False): f"{W}.T @ {dz}",
            (False, True): f"{W} @ {dz}",
        }[self.rows, self.io]
        yield f"da{k} = {product}"
        yield f"dz{k} = da{k}" if self.act(k) == "linear" else f"dz{k} = da{k} * {self.slope(k)}"

    def filled(self, text):
        at = ("np.arange(n), y", "y") if self.rows else ("y, np.arange(n)", ":, y")
        text = text.replace("A", f"a{self.depth}").replace("PICK", at[0])
        return text.replace("ONE", at[1]).replace("K", str(self.widths[-1]))

    def source(self):
        start = [*self.unpacking(), f"n = X.shape[{self.axis}]"]
        start += ["lam = 0.3"] if self.l2 else []
        start += list(self.passing())
        cost = self.filled(LOSSES[self.loss][0])
        if self.l2:
            cost += "".join(
                f" + {PENALTIES[self.l2][0]}".replace("W", f"W{k}") for k in self.layers
            )
        values = ", ".join(f'"{v}{k}": {v}{k}' for k in self.layers for v in "za")
        answer = f"return cost, {{{values}}}" if self.shown else "return cost"
        back = self.output_error()
        for k in reversed(self.layers):
            back += [*self.array_gradients(k), *(self.sent_back(k - 1) if k > 1 else ())]
        grads = self.gathered(self.names(), self.names("d"))
        if isinstance(grads, dict):
            text = ", ".join(f'"{name}": {grad}' for name, grad in grads.items())
            text = f"{{{text}}}"
        else:
            text = str(grads).replace("'", "")
        return (
            HELPERS.replace("UNITS", str(1 - self.axis))
            + function("forward", [*start, f"cost = {cost}", answer])
            + function("backward", [*start, *back, f"return {text}"])
        )

    # -- numbers ---------------------------------------------------------------------------------
    def numbers(self):
        """Parameters, X and y: drawn so that nothing is saturated and nothing is alike."""
        rng, values = np.random.default_rng(self.seed), []
        for name in self.names():
            into, out = self.widths[int(name[1:]) - 1 : int(name[1:]) + 1]
            if name[0] == "W":
                values.append(rng.normal(0, 0.7, (into, out) if self.io else (out, into)))
            else:
                shape = {"n": (out,), "1n": (1, out), "n1": (out, 1)}[self.bias]
                values.append(rng.normal(0, 0.4, shape))
        X, n_out = rng.normal(0, 1, (self.n, self.widths[0])), self.widths[-1]
        if self.act(self.depth) == "softmax":
            y = np.arange(self.n) % n_out
            y = y if self.loss == "ce_labels" else np.eye(n_out)[y]
        elif self.act(self.depth) == "sigmoid":
            y = (rng.permutation(self.n * n_out).reshape(self.n, n_out) % 2).astype(float)
        else:
            y = rng.normal(0, 1, (self.n, n_out))
        X, y = (X, y) if self.rows else (X.T.copy(), y.T.copy())
        return self.gathered(self.names(), values), X, y

    def case(self, name, edits=(), truth="", **options):
        """The case of this network with these lines changed."""
        axes = str(self.axis), str(1 - self.axis)
        return Case(name, edited(self.source(), edits, axes), *self.numbers(), truth, **options)


def function(name, lines):
    return f"\n\ndef {name}(params, X, y):\n" + "".join(f"    {line}\n" for line in lines)


STYLES = {
    "rows": {},
    "columns": {"rows": False, "io": False, "bias": "n1"},
    "rows, (out, in), list": {"io": False, "bias": "1n", "form": "list"},
    "columns, (in, out), split list": {"rows": False, "bias": "n1", "form": "split"},
    "rows, words": {"bias": "1n", "form": "words", "mean": "arrays"},
    "columns, pairs": {"rows": False, "io": False, "bias": "n1", "form": "pairs", "inline": True},
    "rows, no bias": {"bias": "", "form": "list", "inline": True},
    "columns, flat bias": {"rows": False, "io": False, "shown": True, "mean": "arrays"},
    "rows, column bias, pairs": {"bias": "n1", "form": "pairs", "shown": True},
    "columns, no bias": {"rows": False, "io": False, "bias": "", "mean": "arrays"},
}
