"""The rest of a step's elementwise work, each piece one pass over memory, named by number.

N rows, C outputs; arrays are flat. Penalties are summed in float64.
"""

import math

import numpy as np
from numba import uint32

from ... import optim
from ...randomness import WEYL
from ..chain import LOSS_KINDS
from .maths import OPTIONS, exp, jit, like, sigmoid, softplus

LOSS_CODES = {loss: i for i, loss in enumerate(LOSS_KINDS.values())}
_KINDS = optim.SGD, optim.Adam, optim.AdamW, optim.RMSprop, optim.Adagrad
RULE_CODES = {kind: i for i, kind in enumerate(_KINDS)}
# Sums in an order of the compiler's choice, which is the same every time.
SUMS = OPTIONS | {"fastmath": {"contract", "reassoc"}}
SQUARED_ERROR, LOG_LOSS, BINARY_LOG_LOSS, POISSON, CLASS_LOG_LOSS = range(len(LOSS_CODES))
SGD, ADAM, ADAMW, RMSPROP, ADAGRAD = range(len(RULE_CODES))


@jit(OPTIONS)
def add_bias(z, b, rows, pattern):
    """Z += b. z: (rows, b.size); pattern: scratch of at least 64 + b.size elements."""
    # A narrow b is repeated, so that the loop is long enough for vector code. It runs over a slice:
    # an index that might be negative would prevent it.
    repeats = max(1, min(rows, 64 // b.size))
    wide = repeats * b.size
    repeated = pattern[:wide]
    for i in range(repeats):
        for j in range(b.size):
            repeated[i * b.size + j] = b[j]
    for start in range(0, z.size, wide):
        row = z[start : start + wide]
        for j in range(row.size):
            row[j] += repeated[j]


@jit(OPTIONS)
def take_rows(a, rows, out):
    """out = a[rows]. a: (n, D), out: flat."""
    wide = a.shape[1]
    for i in range(rows.size):
        source, target = a[rows[i]], out[i * wide : (i + 1) * wide]
        for j in range(wide):
            target[j] = source[j]


@jit(OPTIONS)
def place(code, start, stop):
    """Return the row of E for a code of the column that has the rows start ... stop, else -1."""
    row = start + np.floor(code + like(code, 0.5))
    return int(row) if start <= row < stop else -1


@jit(OPTIONS)
def embed(x, E, starts, out, n, D, H):
    """Put x (n, D) into out, rows of E (S, H) in the place of the codes in its last columns.

    starts: the first row of each column of codes, and the one past the last.
    """
    k = starts.size - 1
    first, wide = D - k, D - k + k * H
    for i in range(n):
        source, target = x[i * D : (i + 1) * D], out[i * wide : (i + 1) * wide]
        for j in range(first):
            target[j] = source[j]
        for c in range(k):
            row = place(source[first + c], starts[c], starts[c + 1])
            vector = target[first + c * H : first + (c + 1) * H]
            for j in range(vector.size):
                vector[j] = E[row * H + j] if row >= 0 else like(E[0], 0.0)


@jit(OPTIONS)
def add_vectors(x, d, starts, first, g, n, D, H):
    """G = the gradient of the rows of E from `first` on, of `embed`; d: that of its output."""
    k = starts.size - 1
    wide, n_rows = D - k + k * H, g.size // H
    g[:] = like(g, 0.0)
    for c in range(k):
        for i in range(n):
            row = place(x[i * D + D - k + c], starts[c], starts[c + 1]) - first
            if 0 <= row < n_rows:
                at = i * wide + D - k + c * H
                vector, its = g[row * H : (row + 1) * H], d[at : at + H]
                for j in range(vector.size):
                    vector[j] += its[j]


@jit(OPTIONS)
def drop(x, y, first, key, word, threshold, scale):
    """Y = x with elements dropped, as `randomness.random_bits` says. first: the number of x[0].

    key: (2,) int32 of the step; word: of the layer; x and y may be the same array.
    """
    k0, k1 = uint32(key[0] + word), uint32(key[1] + word)
    start = uint32(first)
    for i in range(x.size):
        h = uint32(uint32(start + uint32(i)) * uint32(WEYL) + k0)
        h = uint32(h ^ (h >> uint32(16)))
        h = uint32(h * uint32(0x7FEB352D) + k1)
        h = uint32(h ^ (h >> uint32(15)))
        h = uint32(h * uint32(0x846CA68B))
        h = uint32(h ^ (h >> uint32(16)))
        y[i] = x[i] * (scale if (h >> uint32(8)) >= threshold else like(scale, 0.0))


@jit(OPTIONS)
def loss_and_gradient(code, outputs, y, w, values, d):
    """Values (N,) = each row's weighted loss; d = its gradient. outputs, d: (N, C), w: (N,).

    y: (N, C), or of CLASS_LOG_LOSS the class codes (N,).
    """
    N = w.size
    C = outputs.size // max(N, 1)
    if code == SQUARED_ERROR and C == 1:  # one loop, so that it is turned into vector code
        for i in range(N):
            error = outputs[i] - y[i]
            d[i] = w[i] * error
            values[i] = like(error, 0.5) * (d[i] * error)
    elif code == SQUARED_ERROR:
        for i in range(N):
            total = like(w[0], 0.0)
            for j in range(i * C, (i + 1) * C):
                error = outputs[j] - y[j]
                d[j] = w[i] * error
                total += d[j] * error
            values[i] = like(total, 0.5) * total
    elif code == LOG_LOSS:
        for i in range(N):
            values[i] = w[i] * _softmax(outputs, y, d, i * C, (i + 1) * C, w[i])
    elif code == CLASS_LOG_LOSS:
        for i in range(N):
            values[i] = w[i] * _class_softmax(outputs, int(y[i]), d, i * C, (i + 1) * C, w[i])
    elif code == BINARY_LOG_LOSS:
        for i in range(N):
            total = like(w[0], 0.0)
            for j in range(i * C, (i + 1) * C):
                total += softplus(outputs[j]) - outputs[j] * y[j]
                d[j] = w[i] * (sigmoid(outputs[j]) - y[j])
            values[i] = w[i] * total
    else:
        for i in range(N):
            total = like(w[0], 0.0)
            for j in range(i * C, (i + 1) * C):
                rate, t = exp(outputs[j]), y[j]
                constant = t * math.log(max(t, like(t, 1e-30))) - t
                total += rate - t * outputs[j] + constant
                d[j] = w[i] * (rate - t)
            values[i] = w[i] * total


@jit(OPTIONS)
def _softmax(outputs, y, d, start, stop, w):
    """Return the cross-entropy of one row, start ... stop; d = w (softmax(outputs) - y)."""
    top = _largest(outputs, start, stop)
    total, inner = like(top, 0.0), like(top, 0.0)
    for j in range(start, stop):
        z = outputs[j] - top
        d[j] = exp(z)
        inner += y[j] * z
    for j in range(start, stop):
        total += d[j]
    for j in range(start, stop):
        d[j] = w * (d[j] / total - y[j])
    return math.log(total) - inner


@jit(OPTIONS)
def _class_softmax(outputs, code, d, start, stop, w):
    """The same of a row whose target is a class code."""
    top = _largest(outputs, start, stop)
    zero, one, own = like(top, 0.0), like(top, 1.0), start + code
    total, inner = zero, zero
    for j in range(start, stop):
        d[j] = exp(outputs[j] - top)
    for j in range(start, stop):
        total += d[j]
        # Of infinite outputs NaN, as in the plain text.
        inner += (one if j == own else zero) * (outputs[j] - top)
    true = d[own] / total
    for j in range(start, stop):
        d[j] = w * (d[j] / total)
    d[own] = w * (true - one)
    return math.log(total) - inner


@jit(OPTIONS)
def _largest(a, start, stop):
    """Return the largest of a[start:stop], NaN where one is."""
    top = a[start]
    for j in range(start, stop):
        top = a[j] if a[j] > top or a[j] != a[j] else top
    return top


@jit(SUMS)
def total(a):
    """Return the sum of a."""
    made = like(a[0], 0.0)
    for i in range(a.size):
        made += a[i]
    return made


@jit(SUMS)
def penalise(p, g, decay):
    """G += decay * p. Returns half of decay times the squared p."""
    total = 0.0
    for i in range(p.size):
        shrunk = decay * p[i]
        total += shrunk * p[i]
        g[i] += shrunk
    return 0.5 * total


def numbers_of(rule):
    """Return what `update` reads of a rule, the complements taken in float64 as the rule does."""
    if isinstance(rule, optim.SGD):
        return rule.momentum, float(rule.nesterovs_momentum), 0.0, 0.0, 0.0
    if isinstance(rule, optim.Adam):
        b1, b2 = rule.beta_1, rule.beta_2
        return b1, 1.0 - b1, b2, 1.0 - b2, rule.epsilon
    rho = getattr(rule, "rho", 0.0)
    return rho, 1.0 - rho, 0.0, 0.0, rule.epsilon


@jit(OPTIONS)
def update(code, numbers, p, g, s, t, rate):
    """One step of an update rule on p, with its slots s and t; g: the gradient."""
    n0, n1, n2, n3, epsilon = numbers[0], numbers[1], numbers[2], numbers[3], numbers[4]
    if code == SGD and n0 == 0:
        for i in range(p.size):
            p[i] -= rate * g[i]
    elif code == SGD:  # n0: momentum; n1: 1 for Nesterov's p += mu v - rate g, 0 for p += v
        ahead, behind = n1, like(n1, 1.0) - n1
        for i in range(p.size):
            step = rate * g[i]
            s[i] = n0 * s[i] - step
            p[i] += ahead * (n0 * s[i] - step) + behind * s[i]
    elif code == ADAM or code == ADAMW:
        for i in range(p.size):
            s[i] = n0 * s[i] + n1 * g[i]
            t[i] = n2 * t[i] + n3 * (g[i] * g[i])
            p[i] -= rate * s[i] / (np.sqrt(t[i]) + epsilon)
    elif code == RMSPROP:
        for i in range(p.size):
            s[i] = n0 * s[i] + n1 * (g[i] * g[i])
            p[i] -= rate * g[i] / (np.sqrt(s[i]) + epsilon)
    else:
        for i in range(p.size):
            s[i] += g[i] * g[i]
            p[i] -= rate * g[i] / (np.sqrt(s[i]) + epsilon)
