"""Bounds: on the norm of all gradients together, and on the norm of each unit's weights."""

from typing import Any

from ..arrays import Array


def clip_gradients(grads: dict[str, Array], limit: float | Array, *, xp: Any) -> dict[str, Array]:
    """Return gradients scaled down to a norm of `limit`, of all arrays together, by member.

    Parameters
    ----------
    grads : dict of arrays (..., 1, P)
    limit : float or array
        Bound of the global L2 norm, above 0.
    xp : namespace

    References
    ----------
    Pascanu et al. 2013, algorithm 1.

    Examples
    --------
    >>> import numpy as np
    >>> clip_gradients({"weights": np.asarray([[3.0, 4.0]])}, 1.0, xp=np)
    {'weights': array([[0.6, 0.8]])}
    """
    squares = [xp.sum(g * g, axis=(-2, -1), keepdims=True) for g in grads.values()]
    norm = xp.sqrt(sum(squares[1:], squares[0]))
    share = limit / xp.maximum(norm, limit)  # exactly 1 where nothing is clipped
    return {name: g * share for name, g in grads.items()}


def bound_weights(W: Array, limit: float | Array, *, xp: Any) -> Array:
    """Return W with each column, a unit's incoming weights, scaled down to a norm of `limit`.

    Parameters
    ----------
    W : array (..., D, H)
    limit : float
        Bound of the L2 norm of a column, above 0.
    xp : namespace

    References
    ----------
    Srivastava et al. 2014, section 5.1.

    Examples
    --------
    >>> import numpy as np
    >>> bound_weights(np.asarray([[3.0, 0.3], [4.0, 0.4]]), 1.0, xp=np).round(6).tolist()
    [[0.6, 0.3], [0.8, 0.4]]
    """
    norm = xp.sqrt(xp.sum(W * W, axis=-2, keepdims=True))
    return W * (limit / xp.maximum(norm, limit))
