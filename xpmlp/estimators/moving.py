"""Where a fitted model lives, and how it and the rows that it is given come together."""

import warnings
from typing import Any

import numpy as np
from sklearn.utils.validation import check_is_fitted

from ..arrays import (
    HOST,
    array_at,
    copy_to,
    detached,
    float_dtype,
    home,
    is_array,
    is_numpy,
)
from ..errors import DeviceError
from ..placing import check_transfer, destination, moved, why_there
from ..training import like_of, where_it_pays
from .inputs import elsewhere
from .weights import ON_DEVICE, map_arrays, refresh


class Moves:
    """What `BaseMLP` has for its home: the library and device that a fitted model is in."""

    _placed = "auto"  # the string that chose the home, or "auto" where an array did
    _why = ""  # in a sentence, where it was chosen by the work of the fit

    def to(self: Any, device):
        """Move the fitted model to another device or array library.

        Weights and the update rule's state go there, so `partial_fit` and `warm_start` go on
        there too; a `fit` from the start goes where `device=` says. Predictions are the same up
        to rounding.

        Parameters
        ----------
        device : str or array
            "cpu", "cuda" or "cuda:1", which are NumPy and CuPy for a model in one of these, and
            devices of its own library for any other (whose own names do as well, "mps"): NumPy
            rows are then brought to the model, and results return to where the rows were. Or an
            array, for its library and device: rows then have to come from there.

        Returns
        -------
        self

        Raises
        ------
        DeviceError
            When the device does not work; the model is then where it was, as after any error.
        ValueError
            When the string names no device, or the device lacks the model's dtype.

        Examples
        --------
        >>> from sklearn.datasets import load_iris
        >>> from xpmlp import MLPClassifier
        >>> X, y = load_iris(return_X_y=True)
        >>> clf = MLPClassifier((8,), solver="lbfgs", random_state=0).fit(X, y)
        >>> clf.to("cpu").device_
        'cpu'
        """
        check_is_fitted(self)
        if not isinstance(device, str) and not is_array(device):
            raise TypeError(
                "to() takes a device's name, 'cpu' or 'cuda:1', or an array that is there, got a "
                f"{type(device).__name__}."
            )
        try:
            like = device if is_array(device) else array_at(destination(self._home, device))
        except DeviceError as error:
            raise DeviceError(
                f"to({device!r}) does not work, so the model stays on {self.device_}: {error}; "
                "`xpmlp doctor` says what to install."
            ) from error
        float_dtype(like, self._dtype)
        arrays = _arrays_of(self, lambda a: copy_to(a, like))
        vars(self).update(arrays | place_of(like, "auto" if is_array(device) else device))
        return self

    def __sklearn_array_api_convert__(self: Any, converter):
        """Return a copy whose arrays are `converter`'s, for scikit-learn's `move_estimator_to`."""
        twin = object.__new__(type(self))
        vars(twin).update(vars(self))
        if hasattr(self, "coefs_"):
            # A converter may lend the memory of what it is given.
            arrays = _arrays_of(self, lambda a: copy_to(made := converter(a), made))
            like = arrays["coefs_"][0]
            dtype = {"_dtype": str(like.dtype).rpartition(".")[2]}  # it may shorten floats
            vars(twin).update(arrays | dtype | place_of(like, "auto"))
        return twin

    def _where_it_pays(self: Any, x, loss, n_epochs):
        """Return rows x where ``device="auto"`` trains: host arrays on a card, if that pays.

        The model's home goes with them, as if the card had been asked for.
        """
        if self.device != "auto" or self._home != HOST or not n_epochs:
            return x
        network = self._network(self.n_outputs_ * self._n_levels(), loss)
        rule = None if self.solver == "lbfgs" else self._rule()
        batch_size = self._rows_a_step(x.shape[0])
        x, why = where_it_pays(x, network, rule, batch_size, n_epochs, self._options())
        like = like_of(x)
        if home(like) != HOST:
            vars(self).update(place_of(like, home(like).device))
        self._why = why
        return x

    def _reason(self: Any, X):
        """Say in a sentence why a model that was trained on X lives where it does."""
        return self._why or why_there(X, self._placed)

    def _at_home(self: Any, x, method, X):
        """Return the rows x of a user's X where the model lives: brought there, or refused."""
        x, here = detached(x), home(x)
        if here == self._home:
            return x
        pair = {here.library, self._home.library}
        if (
            self.encoder_ is None
            and self._placed == "auto"
            or not (is_numpy(x) or len(pair) == 1 or pair == CARD_AND_HOST)
        ):
            raise ValueError(elsewhere(self, method, X))
        name = type(self).__name__
        check_transfer(x, self._home, "X", f"pass X from there, or move the model: {name}.to(X)")
        return moved(x, array_at(self._home), None if self._standardises else self._dtype)

    def __getstate__(self: Any):
        """Return host arrays in place of the device's."""
        state: Any = super().__getstate__()
        if "coefs_" in state and self._home.library != "numpy":
            state = state | {k: refresh(state[k], np.empty(0)) for k in ON_DEVICE}
        return state

    def __setstate__(self: Any, state):
        """Bring the arrays back home, or say that they stay on the host."""
        if "coefs_" in state and state["_home"].library != "numpy":
            try:
                like = array_at(state["_home"])
                state = state | {k: refresh(state[k], like) for k in ON_DEVICE}
            except DeviceError as error:
                state = state | {"device": "auto"} | place_of(np.empty(0), "auto")
                warnings.warn(f"The model stays in NumPy: {error}", stacklevel=2)
        super().__setstate__(state)  # type: ignore[misc]


CARD_AND_HOST = {"cupy", "numpy"}


def _arrays_of(estimator, f):
    """Return f of every array that lives where the model does, by attribute."""
    return {name: map_arrays(getattr(estimator, name), f) for name in ON_DEVICE}


def place_of(like, placed):
    """Return the attributes that say where a model lives."""
    at = home(like)
    return {"_home": at, "device_": at.device, "_placed": placed, "_why": ""}
