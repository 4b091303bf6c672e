"""All gradients of a network at once: the right ones, their order, updates taken for gradients."""

import re

import numpy as np

from .candidates import our_errors
from .verdicts import proportional


def our_gradients(network):
    """Return our own gradient of each of the user's arrays (K, ...), None where it is not known."""
    return gradients_of(network, our_errors(network))


def gradients_of(network, errors):
    """Return the gradient of each of the user's arrays (K, ...) that these dZ by layer give."""
    ours: list = [None] * len(network.code.arrays)
    for k, dZ in errors.items():
        of = {
            "W": network.inputs[k - 1].mT @ dZ
            + 2 * network.l2[k - 1] * network.penalised["W"][k - 1]
        }
        of["b"] = np.sum(dZ, axis=-2, keepdims=True) + 2 * network.l2_bias[k - 1] * network.b[k - 1]
        for kind, gradient in of.items():
            part = network.layers[k - 1].part(kind)
            if part is not None:
                if ours[part.array] is None:
                    ours[part.array] = np.zeros((len(gradient), *part.shape))
                part.put(gradient, ours[part.array])
    for i, gradient in network.others.items():
        ours[i] = gradient(errors)
    return ours


def judge_others(network, gradients, errors):
    """Return mistakes in the gradients of what no layer holds alone, given the dZ assumed."""
    found = []
    expected = gradients_of(network, errors)
    for i in (*network.shared, *network.others):
        user, name = gradients[i], network.code.names[i]
        layers = [k for k, layer in enumerate(network.layers, 1) if i in layer.arrays]
        if user is None or same(user, expected[i]):
            continue
        text = f"d{name} is wrong, though the errors that it is made of are right"
        number = re.fullmatch(r"\D+(\d+)", name)
        layer = int(number[1]) if number else next(iter(layers), None)
        kinds = [("unknown", layer, text)]
        turned = user.ndim == 3 and user.shape[:0:-1] == expected[i].shape[1:]
        if turned and same(user.mT, expected[i]):
            kinds = [("transposed", layer, f"d{name} is the transpose of the true gradient")]
        elif user.shape == expected[i].shape and (r := proportional(user, expected[i])):
            kinds = [
                (kind, layer, f"d{name} {words}")
                for kind, words in network.notation.describe_ratio(r)
            ]
        for k in layers:
            if len(layers) > 1 and same(user, gradients_of(network, {k: errors[k]})[i]):
                both = " and ".join(map(str, layers))
                text = f"d{name} holds the share of layer {k} alone: {name} is used in layers "
                kinds = [("shared_missing", k, f"{text}{both}, add all shares")]
        found += kinds
    return found


def same(user, own, tolerance=1e-5):
    """Tell whether two gradients hold the same numbers, whatever their shape."""
    if user is None or own is None or user.size != own.size:
        return user is None and own is None
    return np.linalg.norm(user.ravel() - own.ravel()) <= tolerance * np.linalg.norm(own)


def updated_parameters(network, gradients, ours):
    """Return the gradients, and a mistake if they are parameters after a step of descent.

    The gradients in those are made from the steps, so that other mistakes in them can be found.
    """
    parameters = [np.stack(arrays) for arrays in zip(*network.arrays)]
    rates: list[float] = []
    for p, user, own in zip(parameters, gradients, ours):
        if user is None or own is None or user.shape != p.shape:
            continue
        step, own = (p - user).ravel(), own.ravel()
        rate = float(step @ own / (own @ own or 1.0))
        if rate and np.linalg.norm(step - rate * own) <= 1e-6 * np.linalg.norm(step):
            rates.append(rate)
    # Other mistakes take arrays out, or change their rate: the most usual one is the rate.
    alike = [sum(abs(r - other) < 1e-6 * abs(r) for other in rates) for r in rates]
    _, rate = max(zip(alike, rates), default=(0, 0.0))
    if not rate or (rate < 0 and len(rates) == 1):
        return gradients, []
    text = f"backward returns the updated parameters (rate {rate:.4g}), not their gradients"
    made = [
        user if user is None or user.shape != p.shape else (p - user) / rate
        for p, user in zip(parameters, gradients)
    ]
    return made, [("updated_weights", None, text)]


def in_order(network, gradients, ours):
    """Put gradients that are returned in another order back; return them and that mistake."""
    names = network.code.names
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
