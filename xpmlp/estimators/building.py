"""From the arguments of an estimator to its network: a block of layers for each hidden layer."""

from itertools import accumulate
from numbers import Integral, Real
from typing import Any

from ..arrays import from_host
from ..nn import Activation, Dense, Dropout, Layer, Layout, Network, Residual
from ..nn.activations import ActivationFunction, get_activation
from ..nn.initializers import get_initializer
from ..nn.layout import map_params
from ..nn.network import shapes_of
from ..nn.normalization import NORMALIZATIONS
from ..randomness import stream
from .weights import collect, nested


class Builds:
    """What `BaseMLP` has for making its network and the parameters to start from."""

    def _network(self: Any, n_outputs, loss):
        """Return the network that the arguments describe; n_outputs: units of the last layer."""
        blocks = self._blocks()
        last = self.out_activation_ if loss.link == "identity" else "identity"
        rule = self._initializer(self._activations()[-1])
        return Network((*sum(blocks, []), Dense(n_outputs, last, initializer=rule)))

    def _blocks(self: Any) -> list[list[Layer]]:
        """Return the layers before the first hidden layer, and those of each hidden layer."""
        given = self._hidden()
        activations, (rate, *rates) = self._activations(), self._dropouts()
        width, embedding = self._n_inputs, self.encoder_ and self.encoder_.layer()
        blocks: list[list[Layer]] = [[embedding] if embedding else []]
        if embedding:
            width = embedding.shapes(width)[1]
        blocks[0] += [Dropout(rate)] if rate else []
        for entry, activation, rate in zip(given, activations, rates):
            if isinstance(entry, Layer):
                blocks.append([entry])
                width = shapes_of(entry, width)[1]
                continue
            layers = self._layers(int(entry), activation) + ([Dropout(rate)] if rate else [])
            skips = self.residual and width == entry
            blocks.append([Residual(tuple(layers))] if skips else layers)
            width = entry
        return blocks

    def _layers(self: Any, size, activation) -> list[Layer]:
        """Return one hidden layer's: of units, of normalization, of the activation."""
        rule, kind = self._initializer(activation), self.normalization
        if kind is None:
            return [Dense(size, activation, initializer=rule)]
        # Where the normalization has an offset of its own, another would do nothing.
        dense = Dense(size, use_bias=kind == "rms", initializer=rule)
        return [dense, NORMALIZATIONS[kind](), Activation(activation)]

    def _ends(self: Any) -> list[int]:
        """Return the number of the network's layers up to the end of each hidden layer."""
        return list(accumulate(map(len, self._blocks())))[1:]

    def _hidden(self: Any):
        """Return hidden_layer_sizes as a list of whole numbers and layers."""
        given = self.hidden_layer_sizes
        given = [given] if isinstance(given, Layer) or not hasattr(given, "__iter__") else [*given]
        for size in given:
            whole = isinstance(size, Integral) and int(size) > 0
            if not (whole or isinstance(size, Layer)):
                raise ValueError(
                    f"hidden_layer_sizes must be > 0, whole numbers or layers, got {given}."
                )
        return given

    def _activations(self: Any):
        """Return the activation of each hidden layer; if there is none, the argument's."""
        given, n = self.activation, len(self._hidden())
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

    def _dropouts(self: Any):
        """Return the dropout rate of the input, and of each hidden layer."""
        given, n = self.dropout, len(self._hidden())
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

    def _initializer(self: Any, activation):
        """Return the initializer of a layer with an activation."""
        auto = (isinstance(self.init, str) and self.init == "auto") or is_pair(self.init)
        rule = get_activation(activation).init if auto else self.init
        get_initializer(rule)
        return rule

    def _initial(self: Any, x, n_outputs, loss):
        """Make the network and draw its parameters. Returns them as nested dicts beside x."""
        self.network_ = self._network(n_outputs, loss)
        host, _ = self.network_.init(self._n_inputs, stream(self.seed_, "init"))
        params = map_params(lambda a: from_host(a, x, self._dtype), host)
        self._layout = Layout.of(self.network_, params, contiguous=False)
        collect(self, params)
        if is_pair(self.init):
            self.coefs_, self.intercepts_ = map(list, self.init)
            params = nested(self, x)
        return params


def is_pair(init):
    """Tell whether `init` is (coefs, intercepts)."""
    lists = tuple | list
    return isinstance(init, lists) and len(init) == 2 and all(isinstance(a, lists) for a in init)


def has_layer(layer, kinds):
    """Tell whether a layer, or a part of it, is of one of these kinds."""
    parts = getattr(layer, "parts", {}).values()
    return isinstance(layer, kinds) or any(has_layer(part, kinds) for part in parts)
