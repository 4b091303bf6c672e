"""Where to look: what the right and the wrong gradients say by themselves about the errors dZ.

A right dW or db follows from a right dZ, and that from the right dZ of all layers behind it.
"""

import math
import re
from typing import NamedTuple

import numpy as np


class Place(NamedTuple):
    """The names of a layer's parameters: those with a right gradient, those with a wrong one."""

    right: list
    wrong: list


def where_to_look(names, arrays, wrong):
    """Return a sentence on where the mistakes of wrong gradients (their names) lie, "" if none."""
    layers = [
        Place([x for x in layer if x not in wrong], [x for x in layer if x in wrong])
        for layer in _layers(names, arrays)
    ]
    if not any(layer.wrong for layer in layers):
        return ""
    last, first = len(layers), next((k for k, x in enumerate(layers, 1) if x.right), None)
    if first is None:
        follow = ", from which the others follow" * (last > 1)
        return f"no gradient is right: begin at dZ{last}, the error at the output{follow}"
    found = []
    for k in range(last, first - 1, -1):
        if wrong_here := layers[k - 1].wrong:
            below = next(j for j in range(k, 0, -1) if layers[j - 1].right)
            found.append(f"{_right(layers[below - 1], k)}: look at the line of {_d(wrong_here)}")
    if first > 1:
        wrong_here = layers[first - 2].wrong
        text = f"{_right(layers[first - 1], first)}: look at dZ{first - 1}, how the error is sent "
        text += f"back to {_d(wrong_here)}" + " (and at its own line)" * (len(wrong_here) == 1)
        found.append(text + ", from which the layers before follow" * (first > 2))
    return "; ".join(found)


def _right(layer, k):
    """Say that dZ of layer k is right, as gradients that follow from it are."""
    verb = "are" if len(layer.right) > 1 else "is"
    so = "should be" if layer.wrong else "is"  # a wrong dZ may have a right sum over the samples
    return f"{_d(layer.right)} {verb} right, so dZ{k} {so}"


def _d(names):
    return " and ".join(f"d{name}" for name in names)


def _layers(names, arrays):
    """Return the names of each layer's parameters, from the first to the last; [] if unknown."""
    listed = all(re.fullmatch(r"params\[\d+\]", name) for name in names)
    numbers = [int(digits) for name in names for digits in re.findall(r"\d+", name)[:1]]
    if len(numbers) == len(names) and not listed:
        by_number: dict[int, list] = {}
        for name, number in zip(names, numbers):
            by_number.setdefault(number, []).append(name)
        layers = [by_number[number] for number in sorted(by_number)]
        return layers if max(map(len, layers)) <= 2 else []  # scales and shifts are no chain
    biases = [i for i, name in enumerate(names) if re.match(r"(?i)b|.*bias", name)]
    if listed:
        biases = _listed_biases([np.shape(a) for a in arrays])
    weights = [i for i in range(len(names)) if i not in biases]
    if len(biases) == len(weights):
        return [[names[i], names[j]] for i, j in zip(weights, biases)]
    return [] if biases else [[names[i]] for i in weights]


def _listed_biases(shapes):
    """Return which arrays of a list are biases: each after its weights, or all after all."""
    half = len(shapes) // 2
    for biases in (range(1, len(shapes), 2), range(half, len(shapes))):
        weights = [i for i in range(len(shapes)) if i not in biases]
        fit = (math.prod(shapes[j]) in shapes[i] for i, j in zip(weights, biases))
        if len(biases) == len(weights) and all(fit):
            return list(biases)
    return []
