"""Activations: each a forward and a backward pass, written once for every array library.

z: pre-activations, a = forward(z), da: gradient of the loss with respect to a; all (..., N, H).

==========  =========================================  ===================================
name        a                                          source
==========  =========================================  ===================================
identity    z
logistic    1 / (1 + exp(-z))                          the sigmoid
tanh        tanh(z)
relu        max(z, 0)                                  Nair & Hinton 2010
leaky_relu  max(z, 0.01 z)                             Maas et al. 2013
elu         z; exp(z) - 1 below 0                      Clevert et al. 2016, alpha = 1
selu        1.0507 z; 1.7581 (exp(z) - 1) below 0      Klambauer et al. 2017, eq. 14
gelu        z (1 + erf(z / sqrt 2)) / 2                Hendrycks & Gimpel 2016
gelu_tanh   z (1 + tanh(c (z + 0.044715 z^3))) / 2     the same; c = sqrt(2 / pi)
silu        z logistic(z)                              Elfwing et al. 2018; also called swish
mish        z tanh(softplus(z))                        Misra 2019
softplus    log(1 + exp(z))                            Dugas et al. 2001
softsign    z / (1 + abs(z))                           Bergstra et al. 2009
hard_tanh   min(max(z, -1), 1)                         Collobert 2004
==========  =========================================  ===================================
"""

import math
from collections.abc import Callable
from typing import Any, NamedTuple

from ..arrays import Array, erf
from ..words import check_word


class ActivationFunction(NamedTuple):
    """Name, forward and backward pass of an activation; pass your own where a name may stand.

    Parameters
    ----------
    name : str
    forward : callable
        ``forward(z, xp) -> a``, both arrays (..., N, H); xp is their namespace. It writes into no
        argument.
    backward : callable
        ``backward(da, z, a, xp) -> dz``, arrays likewise.
    init : str, default="glorot_uniform"
        The initializer that ``init="auto"`` takes for layers with this activation.

    Examples
    --------
    >>> import numpy as np
    >>> square = ActivationFunction(
    ...     "square", lambda z, xp: z * z, lambda da, z, a, xp: 2.0 * da * z)
    >>> square.forward(np.asarray([1.0, -3.0]), np)
    array([1., 9.])
    """

    name: str
    forward: Callable[..., Array]
    backward: Callable[..., Array]
    init: str = "glorot_uniform"


def sigmoid(z: Array, xp: Any) -> Array:
    """Return 1 / (1 + exp(-z)) for an array z, without overflow and exact in both tails."""
    # exp(min(z, 0)) / (1 + exp(-|z|)): `where` costs ten times an exp on the CPU.
    s = xp.exp(xp.minimum(z, 0.0))
    return s / (1.0 + xp.exp(-xp.abs(z)))


def softplus(z: Array, xp: Any) -> Array:
    """Return log(1 + exp(z)) for an array z, without overflow."""
    return xp.maximum(z, 0.0) + xp.log1p(xp.exp(-xp.abs(z)))


def _mask(condition, like, xp):
    return xp.astype(condition, like.dtype)


def _elu_backward(da, z, a, xp):
    return da * (xp.minimum(a, 0.0) + 1.0)


SELU_SCALE, SELU_ALPHA = 1.0507009873554805, 1.6732632423543772  # Klambauer et al. 2017, eq. 14


def _selu(z, xp):
    return SELU_SCALE * (xp.maximum(z, 0.0) + SELU_ALPHA * xp.expm1(xp.minimum(z, 0.0)))


def _selu_backward(da, z, a, xp):
    rise = _mask(z > 0, da, xp)
    return da * (SELU_SCALE * rise + (xp.minimum(a, 0.0) + SELU_SCALE * SELU_ALPHA) * (1.0 - rise))


def _normal_cdf(z, xp):
    return 0.5 * (1.0 + erf(z * math.sqrt(0.5), xp))


def _gelu_backward(da, z, a, xp):
    density = xp.exp(-0.5 * (z * z)) * (1.0 / math.sqrt(2.0 * math.pi))
    return da * (_normal_cdf(z, xp) + z * density)


GELU_C = math.sqrt(2.0 / math.pi)


def _gelu_tanh(z, xp):
    return 0.5 * z * (1.0 + xp.tanh(GELU_C * (z + 0.044715 * (z * z * z))))


def _gelu_tanh_backward(da, z, a, xp):
    t = xp.tanh(GELU_C * (z + 0.044715 * (z * z * z)))
    slope = GELU_C * (1.0 + 3 * 0.044715 * (z * z))
    return da * (0.5 * (1.0 + t) + 0.5 * z * (1.0 - t * t) * slope)


def _silu_backward(da, z, a, xp):
    s = sigmoid(z, xp)
    return da * (s + a * (1.0 - s))


def _mish_backward(da, z, a, xp):
    t = xp.tanh(softplus(z, xp))
    return da * (t + z * sigmoid(z, xp) * (1.0 - t * t))


def _softsign_backward(da, z, a, xp):
    slope = 1.0 / (1.0 + xp.abs(z))
    return da * (slope * slope)


LEAK = 0.01  # Maas et al. 2013

_ROWS = (
    ActivationFunction("identity", lambda z, xp: z, lambda da, z, a, xp: da),
    ActivationFunction(
        "logistic", sigmoid, lambda da, z, a, xp: da * (a * (1.0 - a)), "glorot_logistic"
    ),
    ActivationFunction("tanh", lambda z, xp: xp.tanh(z), lambda da, z, a, xp: da * (1.0 - a * a)),
    ActivationFunction(
        "relu", lambda z, xp: xp.maximum(z, 0.0), lambda da, z, a, xp: da * _mask(a > 0, da, xp)
    ),
    ActivationFunction(
        "leaky_relu",
        lambda z, xp: xp.maximum(z, LEAK * z),
        lambda da, z, a, xp: da * (LEAK + (1.0 - LEAK) * _mask(z > 0, da, xp)),
        "he_normal",
    ),
    ActivationFunction(  # Clevert et al. 2016, alpha = 1
        "elu",
        lambda z, xp: xp.maximum(z, 0.0) + xp.expm1(xp.minimum(z, 0.0)),
        _elu_backward,
        "he_normal",
    ),
    ActivationFunction("selu", _selu, _selu_backward, "lecun_normal"),
    ActivationFunction(  # Hendrycks & Gimpel 2016
        "gelu", lambda z, xp: z * _normal_cdf(z, xp), _gelu_backward, "he_normal"
    ),
    ActivationFunction("gelu_tanh", _gelu_tanh, _gelu_tanh_backward, "he_normal"),
    ActivationFunction(  # Elfwing et al. 2018, also called swish
        "silu", lambda z, xp: z * sigmoid(z, xp), _silu_backward, "he_normal"
    ),
    ActivationFunction(  # Misra 2019
        "mish", lambda z, xp: z * xp.tanh(softplus(z, xp)), _mish_backward, "he_normal"
    ),
    ActivationFunction("softplus", softplus, lambda da, z, a, xp: da * sigmoid(z, xp)),
    ActivationFunction("softsign", lambda z, xp: z / (1.0 + xp.abs(z)), _softsign_backward),
    ActivationFunction(
        "hard_tanh",
        lambda z, xp: xp.minimum(xp.maximum(z, -1.0), 1.0),
        lambda da, z, a, xp: da * _mask(xp.abs(z) < 1.0, da, xp),
    ),
)
ACTIVATIONS = {row.name: row for row in _ROWS}


def get_activation(activation: str | ActivationFunction) -> ActivationFunction:
    """Return the activation of a name, or the given ActivationFunction itself.

    Parameters
    ----------
    activation : str or ActivationFunction

    Raises
    ------
    ValueError
        For an unknown name; the message lists the known ones.

    Examples
    --------
    >>> get_activation("leaky_relu").init
    'he_normal'
    """
    if isinstance(activation, ActivationFunction):
        return activation
    check_word("activation", activation, ACTIVATIONS, " or an ActivationFunction")
    return ACTIVATIONS[activation]
