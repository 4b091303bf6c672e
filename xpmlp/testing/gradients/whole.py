"""All gradients at once: ours beside the user's, in whose order, and whether they are gradients."""

import numpy as np

from .candidates import hidden_errors, output_errors


def turned(g, turn):
    """Return weights (K, rows, columns) in the other orientation, if `turn`."""
    return g.mT if g is not None and g.ndim == 3 and turn else g


def our_gradients(network):
    """Return our own gradient of each of the user's arrays, in the user's order."""
    s = network.points.structure
    dZ = {len(network.W): next(output_errors(network)).array}
    ours: list = [None] * len(network.points.code.arrays)
    for k in range(len(network.W), 0, -1):
        if k < len(network.W):
            dZ[k] = next(hidden_errors(network, dZ, k)).array
        data = network.a[k - 1].mT @ dZ[k] + 2 * network.l2[k - 1] * network.W[k - 1]
        ours[s.weights[k - 1]] = turned(data, s.turned)
        if s.biases[k - 1] is not None:
            data = np.sum(dZ[k], axis=-2, keepdims=True) + 2 * network.l2_bias * network.b[k - 1]
            ours[s.biases[k - 1]] = data
    return ours


def same(user, own, tolerance=1e-5):
    """Tell whether two gradients hold the same numbers, whatever their shape."""
    if user is None or own is None or user.size != own.size:
        return user is None and own is None
    return np.linalg.norm(user.ravel() - own.ravel()) <= tolerance * np.linalg.norm(own)


def updated_parameters(network, gradients, ours):
    """Tell a backward that returns the parameters after a step of descent."""
    code, rates = network.points.code, []
    for i, (user, own) in enumerate(zip(gradients, ours)):
        if user is None or own is None or user.size != own.size:
            return None
        p = np.stack([a[i] for a in network.points.arrays[: network.FEW]]).ravel()
        step, own = p - user.ravel(), own.ravel()
        rates.append(float(step @ own / (own @ own or 1.0)))
        if not rates[-1] or np.linalg.norm(step - rates[-1] * own) > 1e-6 * np.linalg.norm(step):
            return None
    if max(rates) - min(rates) > 1e-6 * max(rates):
        return None
    text = f"backward returns the updated parameters (rate {rates[0]:.4g}), not their gradients"
    return [("updated_weights", None, text)] if len(code.arrays) == len(rates) else None


def in_order(network, gradients, ours):
    """Put gradients that are returned in another order back, and say so."""
    names = network.points.code.names
    order = list(range(len(gradients)))  # whose gradient stands at i
    for i, user in enumerate(gradients):
        if user is not None and not same(user, ours[i], 1e-6):
            fits = (j for j, own in enumerate(ours) if own is not None and same(user, own, 1e-6))
            order[i] = next(fits, i)
    if sorted(order) != list(range(len(order))) or order == sorted(order):
        return gradients, []
    moved = ", ".join(f"that of {names[j]} for {names[i]}" for i, j in enumerate(order) if i != j)
    text = f"backward returns the gradients in another order: {moved}"
    return [gradients[order.index(i)] for i in range(len(order))], [("swapped", None, text)]
