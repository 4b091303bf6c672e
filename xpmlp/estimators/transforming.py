"""Hidden features: what one layer of units puts out."""

from numbers import Integral
from typing import Any

from sklearn.base import ClassNamePrefixFeaturesOutMixin, TransformerMixin
from sklearn.utils._set_output import _get_container_adapter
from sklearn.utils.validation import _generate_get_feature_names_out, check_is_fitted

from ..arrays import to_host
from ..nn import Layout, Network
from .inputs import back, on_its_card


class Transforms(  # type: ignore[call-arg]
    ClassNamePrefixFeaturesOutMixin,
    TransformerMixin,
    auto_wrap_output_keys=None,  # scikit-learn's wrapper does not know a `layer`'s columns
):
    """What `BaseMLP` has as a transformer."""

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.transformer_tags.preserves_dtype = ["float64", "float32"]
        return tags

    def fit_transform(self: Any, X, y=None, *, layer=-2, **fit_params):
        """Fit to X and y, and return ``transform(X, layer)``; `fit_params` go to `fit`."""
        return self.fit(X, y, **fit_params).transform(X, layer=layer)

    @on_its_card
    def transform(self: Any, X, layer=-2):
        """Return hidden features: the outputs of one layer of units, without dropout.

        Parameters
        ----------
        X : array of shape (n_samples, n_features)
        layer : int, default=-2
            Which of the layers of `hidden_layer_sizes` and, last, the output layer: 0 is the first
            hidden layer, -2 the last one, -1 the output layer (its logits, or the values that
            `predict` turns into the targets' units).

        Returns
        -------
        features : array of shape (n_samples, n_units)
            After normalization and activation; in X's library, on its device, unless `set_output`
            asks for a data frame.

        Raises
        ------
        ValueError
            When there is no such layer, or X does not fit the model.

        Examples
        --------
        >>> from sklearn.datasets import load_iris
        >>> from xpmlp import MLPClassifier
        >>> X, y = load_iris(return_X_y=True)
        >>> clf = MLPClassifier((16, 2), solver="lbfgs", max_iter=500, random_state=1).fit(X, y)
        >>> clf.transform(X).shape, clf.transform(X, layer=0).shape
        ((150, 2), (150, 16))
        >>> clf.get_feature_names_out()
        array(['mlpclassifier0', 'mlpclassifier1'], dtype=object)
        """
        check_is_fitted(self)
        features = back(self._outputs(X, "transform", self._prefix(layer)), X)
        adapter = _get_container_adapter("transform", self)
        if adapter is None:
            return features
        names = _generate_get_feature_names_out(self, features.shape[1])
        return adapter.create_container(to_host(features), X, columns=names)

    @property
    def _n_features_out(self: Any):
        """The number of columns of `transform(X)`, for get_feature_names_out."""
        network, _ = self._prefix(-2)
        return network.shapes(self._n_inputs)[1]

    def _prefix(self: Any, layer):
        """Return the network up to a layer of units, and the layout of its parameters."""
        layers = self._network_to_predict().layers
        ends = [*self._ends(), len(layers)]
        if ends[-2:-1] not in ([], [len(layers) - 1]):
            raise ValueError(
                f"the arguments of {type(self).__name__} describe another network than the fitted "
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
        end = ends[layer]
        inside = (leaf for leaf in self._layout.leaves if leaf.slots[0].path[0] < end)
        return Network(layers[:end]), Layout(tuple(inside))
