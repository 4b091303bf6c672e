"""From the arguments of an estimator to its network: a block of layers for each hidden layer."""

from itertools import accumulate
from numbers import Integral, Real

from ..nn import Activation, Dense, Dropout, Layer, Network, Residual
from ..nn.activations import ActivationFunction, get_activation
from ..nn.initializers import get_initializer
from ..nn.network import shapes_of
from ..nn.normalization import NORMALIZATIONS

MOST_UNITS = 2**31  # of a layer, whose weights take 16 GB for each of its inputs


def network_of(estimator, inputs, n_outputs: int, last: str) -> Network:
    """Return the network that an estimator's arguments describe.

    inputs: how rows become its inputs; n_outputs, last: units and activation of the last layer.
    """
    blocks = _blocks(estimator, inputs)
    rule = _initializer(estimator.init, _activations(estimator)[-1])
    return Network((*sum(blocks, []), Dense(n_outputs, last, initializer=rule)))


def end_of_layer(estimator, model, layer) -> int:
    """Return the number of the network's layers up to the end of a layer of units."""
    blocks = _blocks(estimator, model.inputs)
    ends = [*accumulate(map(len, blocks))][1:] + [len(model.predicting.layers)]
    if ends[-2:-1] not in ([], [ends[-1] - 1]):
        raise ValueError(
            f"the arguments of {type(estimator).__name__} describe another network than the fitted "
            "one: call fit before transform."
        )
    if len(ends) == 1 and layer == -2:
        raise ValueError(
            "there is no hidden layer: transform(X, layer=-1) gives the output layer's outputs."
        )
    n, whole = len(ends), isinstance(layer, Integral) and not isinstance(layer, bool)
    if not whole or not -n <= layer < n:
        raise ValueError(
            f"layer must be a whole number from {-n} to {n - 1} (0 is the first hidden layer, "
            f"-1 the output layer), got {layer!r}."
        )
    return ends[layer]


def _blocks(estimator, inputs) -> list[list[Layer]]:
    """Return the layers before the first hidden layer, and those of each hidden layer."""
    sizes = _hidden(estimator)
    activations, (rate, *rates) = _activations(estimator), _dropouts(estimator)
    width, embedding = inputs.width, inputs.encoder and inputs.encoder.layer()
    blocks: list[list[Layer]] = [_dropout(rate)]
    if embedding:
        blocks[0].insert(0, embedding)
        width = embedding.shapes(width)[1]
    for entry, activation, rate in zip(sizes, activations, rates):
        if isinstance(entry, Layer):
            blocks.append([entry])
            width = shapes_of(entry, width)[1]
            continue
        layers = _hidden_layer(estimator, int(entry), activation) + _dropout(rate)
        if estimator.residual and width == entry:
            layers = [Residual(tuple(layers))]
        blocks.append(layers)
        width = entry
    return blocks


def _dropout(rate) -> list[Layer]:
    """Return the layer that drops a share of its inputs, none where nothing is dropped."""
    if not rate:
        return []
    return [Dropout(rate)]


def _hidden_layer(estimator, size, activation) -> list[Layer]:
    """Return one hidden layer's: of units, of normalization, of the activation."""
    rule, kind = _initializer(estimator.init, activation), estimator.normalization
    if kind is None:
        return [Dense(size, activation, initializer=rule)]
    # Where the normalization has an offset of its own, another would do nothing.
    dense = Dense(size, use_bias=kind == "rms", initializer=rule)
    return [dense, NORMALIZATIONS[kind](), Activation(activation)]


def _hidden(estimator):
    """Return hidden_layer_sizes as a list of whole numbers and layers."""
    given = estimator.hidden_layer_sizes
    if isinstance(given, Layer) or not hasattr(given, "__iter__"):
        given = (given,)
    given = [*given]
    for size in given:
        whole = isinstance(size, Integral) and 0 < int(size) < MOST_UNITS
        if not (whole or isinstance(size, Layer)):
            raise ValueError(
                f"hidden_layer_sizes must be > 0, whole numbers below 2**31 or layers, got {given}."
            )
    return given


def _activations(estimator):
    """Return the activation of each hidden layer; if there is none, the argument's."""
    given, n = estimator.activation, len(_hidden(estimator))
    if hasattr(given, "__iter__") and not isinstance(given, str | ActivationFunction):
        given = [*given]
        if len(given) != n:
            raise ValueError(
                f"activation must be one, or a list of {n}, one for each hidden layer, got "
                f"{len(given)}."
            )
        activations = given or ["identity"]
    else:
        activations = [given] * max(n, 1)
    for activation in activations:
        get_activation(activation)
    return activations


def _dropouts(estimator):
    """Return the dropout rate of the input, and of each hidden layer."""
    given, n = estimator.dropout, len(_hidden(estimator))
    if isinstance(given, Real):
        return [0.0] + [float(given)] * n
    rates = [*given]
    if len(rates) not in (n, n + 1) or not all(
        isinstance(rate, Real) and 0 <= float(rate) < 1 for rate in rates
    ):
        raise ValueError(
            f"dropout must be a number of 0 or more and below 1, or a list of {n} (one for "
            f"each hidden layer) or {n + 1} (the input first), got {given!r}."
        )
    return [0.0] * (n + 1 - len(rates)) + [float(rate) for rate in rates]


def _initializer(init, activation):
    """Return the initializer of a layer with an activation."""
    auto = (isinstance(init, str) and init == "auto") or is_pair(init)
    if auto:
        init = get_activation(activation).init
    get_initializer(init)
    return init


def is_pair(init):
    """Return whether `init` is (coefs, intercepts)."""
    lists = tuple | list
    return isinstance(init, lists) and len(init) == 2 and all(isinstance(a, lists) for a in init)


def has_layer(layer, kinds):
    """Return whether a layer, or a part of it, is of one of these kinds."""
    parts = getattr(layer, "parts", {}).values()
    return isinstance(layer, kinds) or any(has_layer(part, kinds) for part in parts)
