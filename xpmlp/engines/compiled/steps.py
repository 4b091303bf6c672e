"""Any stretch of training steps as one compiled call that a team of threads makes together.

Each thread takes some of a batch's rows forward and backward; all wait; each then makes the
gradients of some of the weights and updates them; all wait. So products need no threads of their
own, no sum is split between threads but the penalty's, and no gradient is ever whole.

The network is a table, a row a layer, so that one compilation serves all networks. Arrays are flat.
N rows a batch at most, n in this one; D inputs, H outputs of a layer.
"""

from .activations import activate, activate_backward
from .blas import product, product_backward, product_offsets, product_weights
from .kernels import (
    add_bias,
    add_vectors,
    drop,
    embed,
    loss_and_gradient,
    penalise,
    take_rows,
    total,
    update,
)
from .maths import OPTIONS, bare, jit, view
from .team import wait

# The table's columns. W, B: the parameters' addresses, 0 for none; W_AT, B_AT: where they begin in
# their leaf; OUT_AT, Z_AT: where the outputs and pre-activations begin in their buffers,
# in elements a row of the batch, -1 for none; WORD, THRESHOLD: a dropout's; N_CODES, DIM: the
# columns of codes of an embedding, and the length of its vectors, which are W; B: its starts.
COLUMNS = (
    KIND, D_IN, H_OUT, ACTIVATION, W, B, W_AT, B_AT, OUT_AT, Z_AT, WORD, THRESHOLD, N_CODES, DIM,
) = range(14)  # fmt: skip
DENSE, DROPOUT, EMBEDDING = range(3)
TILE = 256  # rows of a weight matrix whose gradient is made, and used up while in the cache


@jit(OPTIONS)
def part(buffer, at, N, columns, start, stop):
    """Return rows start ... stop of a layer's (N, columns) in a buffer of all layers."""
    return buffer[at * N + start * columns : at * N + stop * columns]


@jit(OPTIONS)
def forward(blas, net, scales, x, key, training, outs, pres, N, start, stop, scratch):
    """Put the outputs of all layers for the rows start ... stop into their buffers. x: the rows."""
    a, n = x, stop - start
    for i in range(len(net)):
        layer = net[i]
        D, H = layer[D_IN], layer[H_OUT]
        out = part(outs, layer[OUT_AT], N, H, start, stop)
        if layer[KIND] == DENSE:
            z = part(pres, layer[Z_AT], N, H, start, stop) if layer[Z_AT] >= 0 else out
            product(blas, a, view(layer[W], D * H, x), z, n, D, H)
            if layer[B]:
                add_bias(z, view(layer[B], H, x), n, scratch)
            if layer[Z_AT] >= 0:
                out[:] = z
            activate(layer[ACTIVATION], out)
            a = out
        elif layer[KIND] == EMBEDDING:
            starts = view(layer[B], layer[N_CODES] + 1, x)
            E = view(layer[W], int(starts[-1]) * layer[DIM], x)
            embed(a, E, starts, out, n, D, layer[DIM])
            a = out
        elif training:
            drop(a, out, start * D, key, layer[WORD], layer[THRESHOLD], scales[i])
            a = out
    return a


@jit(OPTIONS)
def backward(blas, net, scales, key, outs, pres, grads, N, start, stop):
    """Turn the last layer's d, which is in grads, into every layer's dz, for these rows."""
    first = 0
    while net[first, KIND] == DROPOUT:
        first += 1
    for i in range(len(net) - 1, first - 1, -1):
        layer = net[i]
        D, H = layer[D_IN], layer[H_OUT]
        d = part(grads, layer[OUT_AT], N, H, start, stop)
        if layer[KIND] == DENSE:
            out = part(outs, layer[OUT_AT], N, H, start, stop)
            z = part(pres, layer[Z_AT], N, H, start, stop) if layer[Z_AT] >= 0 else out
            activate_backward(layer[ACTIVATION], d, z, out)
        if i > first:
            dx = part(grads, net[i - 1, OUT_AT], N, D, start, stop)
            if layer[KIND] == DENSE:
                product_backward(blas, d, view(layer[W], D * H, d), dx, stop - start, D, H)
            else:
                drop(d, dx, start * D, key, layer[WORD], layer[THRESHOLD], scales[i])


@jit(OPTIONS)
def descend(
    rank, size, blas, net, rule, numbers, rate, decay, shrink, x, outs, grads, N, n,
    w, w1, w2, b, b1, b2, ones, tile,
):  # fmt: skip
    """Update this thread's share of every layer's parameters. Returns its share of the penalty."""
    penalty = 0.0
    for i in range(len(net)):
        layer = net[i]
        if layer[KIND] == DROPOUT:
            continue
        D, H = layer[D_IN], layer[H_OUT]
        a = x if i == 0 else part(outs, net[i - 1, OUT_AT], N, D, 0, n)
        d = part(grads, layer[OUT_AT], N, H, 0, n)
        high, columns, starts = D, H, x  # of the weights
        if layer[KIND] == EMBEDDING:
            starts = view(layer[B], layer[N_CODES] + 1, x)
            high, columns = int(starts[-1]), layer[DIM]
        stop = high * (rank + 1) // size
        for start in range(high * rank // size, stop, TILE):
            wide = min(TILE, stop - start)
            at, end = layer[W_AT] + start * columns, layer[W_AT] + (start + wide) * columns
            p, g = w[at:end], tile[: wide * columns]
            if layer[KIND] == DENSE:
                product_weights(blas, a[start:], d, g, n, D, H, wide)
            else:
                add_vectors(a, d, starts, start, g, n, D, columns)
            if decay > 0:
                penalty += penalise(p, g, decay)
            if shrink > 0:
                for j in range(p.size):
                    p[j] -= shrink * p[j]
            update(rule, numbers, p, g, w1[at:end], w2[at:end], rate)
        if layer[KIND] == DENSE and layer[B]:
            start, stop = H * rank // size, H * (rank + 1) // size
            at, end = layer[B_AT] + start, layer[B_AT] + stop
            product_offsets(blas, ones, d, tile, n, H, start, stop)
            update(rule, numbers, b[at:end], tile[: stop - start], b1[at:end], b2[at:end], rate)
    return penalty


@jit(OPTIONS)
def consecutive(rows, n):
    """Tell whether rows follow each other: then they need no gathering."""
    for i in range(1, n):
        if rows[i] != rows[0] + i:
            return False
    return True


@jit(OPTIONS)
def stretch(
    rank, size, gate, blas, net, scales, loss, rule, numbers, x, y,
    rows, weights, n_rows, keys, rates, decays, shrinks,
    w, w1, w2, b, b1, b2, outs, pres, grads, xs, ys, values, ones, tiles, penalties, losses,
):  # fmt: skip
    """Take the steps of a plan; every thread of the team calls this with its rank.

    x: (rows, D), y: (rows, C) or class codes (rows, 1).
    losses (2, steps): each step's data loss and penalty.
    """
    N, D, C, T = rows.shape[1], x.shape[1], net[-1, H_OUT], y.shape[1]
    x, y, rows, weights, keys, net = (
        bare(x),
        bare(y),
        bare(rows),
        bare(weights),
        bare(keys),
        bare(net),
    )
    w, w1, w2, b, b1, b2 = bare(w), bare(w1), bare(w2), bare(b), bare(b1), bare(b2)
    outs, pres, grads, xs, ys = bare(outs), bare(pres), bare(grads), bare(xs), bare(ys)
    values, tile, numbers, gate = bare(values), bare(tiles)[rank], bare(numbers), bare(gate)
    scales, ones = bare(scales), bare(ones)
    all_x, all_y, last = x.reshape(-1), y.reshape(-1), net[-1]
    for i in range(len(rows)):
        n = min(int(n_rows[i]), N)  # a float32 may round it up
        start, stop = n * rank // size, n * (rank + 1) // size
        if consecutive(rows[i], n):
            at = int(rows[i, 0])
            xb, yb = all_x[at * D : (at + n) * D], all_y[at * T : (at + n) * T]
        else:
            xb, yb = xs[: n * D], ys[: n * T]
            take_rows(x, rows[i, start:stop], xb[start * D : stop * D])
            take_rows(y, rows[i, start:stop], yb[start * T : stop * T])
        mine, key = xb[start * D : stop * D], keys[i, 0]
        made = forward(blas, net, scales, mine, key, True, outs, pres, N, start, stop, tile)
        d = part(grads, last[OUT_AT], N, C, start, stop)
        y_mine, mine = yb[start * T : stop * T], values[start:stop]
        loss_and_gradient(loss, made, y_mine, weights[i, start:stop], mine, d)
        backward(blas, net, scales, key, outs, pres, grads, N, start, stop)
        wait(gate, size)
        penalties[rank] = descend(
            rank, size, blas, net, rule, numbers, rates[i], decays[i], shrinks[i], xb, outs, grads,
            N, n, w, w1, w2, b, b1, b2, ones, tile,
        )  # fmt: skip
        if rank == 0:
            losses[0, i] = total(values[:n])
        wait(gate, size)
        if rank == 0:
            losses[1, i] = penalties.sum()


@jit(OPTIONS)
def predict(rank, size, blas, net, scales, x, outputs, outs, pres, key, N, scratch):
    """Put the outputs for x (n, D) into outputs (n, C); each thread takes N rows in turn."""
    D, C, last = x.shape[1], outputs.shape[1], net[-1]
    mine, z, tile = bare(outs)[rank], bare(pres)[rank], bare(scratch)[rank]
    flat, made = bare(x).reshape(-1), bare(outputs).reshape(-1)
    for start in range(rank * N, len(x), size * N):
        stop = min(start + N, len(x))
        rows = flat[start * D : stop * D]
        n = stop - start
        forward(blas, bare(net), bare(scales), rows, key, False, mine, z, N, 0, n, tile)
        made[start * C : stop * C] = part(mine, last[OUT_AT], N, C, 0, n)
