"""The activations of `nn.activations` as compiled loops, named by their row's number.

z: pre-activations, a: outputs, d: the gradient with respect to a, overwritten by that with respect
to z; all flat.
"""

import math

from numba.extending import register_jitable

from ...nn.activations import ACTIVATIONS, GELU_C, LEAK, SELU_ALPHA, SELU_SCALE
from .maths import CALLED, exp, jit, like, sigmoid, softplus, tanh

NAMES = (
    "identity", "logistic", "tanh", "relu", "leaky_relu", "elu", "selu", "gelu", "gelu_tanh",
    "silu", "mish", "softplus", "softsign", "hard_tanh",
)  # fmt: skip
CODES = {ACTIVATIONS[name]: i for i, name in enumerate(NAMES)}
# Their derivatives are functions of z; the others' are of a, which so may overwrite z.
NEED_Z = {"gelu", "gelu_tanh", "silu", "mish", "softplus", "softsign"}
(
    IDENTITY, LOGISTIC, TANH, RELU, LEAKY_RELU, ELU, SELU, GELU, GELU_TANH, SILU, MISH, SOFTPLUS,
    SOFTSIGN, HARD_TANH,
) = range(len(CODES))  # fmt: skip


@register_jitable
def _expm1(x):
    t = tanh(like(x, 0.5) * x)  # exact near 0, where exp(x) - 1 cancels
    return (t + t) / (like(x, 1.0) - t)


@register_jitable
def _relu(z):
    return like(z, 0.0) if z <= 0 else z  # a NaN stays


@register_jitable
def _leaky_relu(z):
    return like(z, LEAK) * z if z <= 0 else z


@register_jitable
def _elu(z):
    return _expm1(z) if z <= 0 else z


@register_jitable
def _selu(z):
    return like(z, SELU_SCALE) * (like(z, SELU_ALPHA) * _expm1(z) if z <= 0 else z)


@register_jitable
def _normal_cdf(z):
    return like(z, 0.5) * (like(z, 1.0) + math.erf(z * like(z, math.sqrt(0.5))))


@register_jitable
def _gelu(z):
    return z * _normal_cdf(z)


@register_jitable
def _inner_tanh(z):
    return tanh(like(z, GELU_C) * (z + like(z, 0.044715) * (z * z * z)))


@register_jitable
def _gelu_tanh(z):
    return like(z, 0.5) * z * (like(z, 1.0) + _inner_tanh(z))


@register_jitable
def _silu(z):
    return z * sigmoid(z)


@register_jitable
def _mish(z):
    return z * tanh(softplus(z))


@register_jitable
def _softsign(z):
    return z / (like(z, 1.0) + abs(z))


@register_jitable
def _hard_tanh(z):
    z = like(z, -1.0) if z < -1 else z
    return like(z, 1.0) if z > 1 else z


@register_jitable
def _each(f, a):
    for i in range(a.size):
        a[i] = f(a[i])


@jit(CALLED)
def activate(code, a):
    """Turn z into a, in place: two arrays that may be the same are not turned into vector code."""
    if code == LOGISTIC:
        _each(sigmoid, a)
    elif code == TANH:
        _each(tanh, a)
    elif code == RELU:
        _each(_relu, a)
    elif code == LEAKY_RELU:
        _each(_leaky_relu, a)
    elif code == ELU:
        _each(_elu, a)
    elif code == SELU:
        _each(_selu, a)
    elif code == GELU:
        _each(_gelu, a)
    elif code == GELU_TANH:
        _each(_gelu_tanh, a)
    elif code == SILU:
        _each(_silu, a)
    elif code == MISH:
        _each(_mish, a)
    elif code == SOFTPLUS:
        _each(softplus, a)
    elif code == SOFTSIGN:
        _each(_softsign, a)
    elif code == HARD_TANH:
        _each(_hard_tanh, a)


@register_jitable
def _logistic_slope(z, a):
    return a * (like(a, 1.0) - a)


@register_jitable
def _tanh_slope(z, a):
    return like(a, 1.0) - a * a


@register_jitable
def _relu_slope(z, a):
    return like(a, 1.0) if a > 0 else like(a, 0.0)


@register_jitable
def _leaky_relu_slope(z, a):
    return like(a, 1.0) if a > 0 else like(a, LEAK)


@register_jitable
def _elu_slope(z, a):
    return like(a, 1.0) if a > 0 else a + like(a, 1.0)


@register_jitable
def _selu_slope(z, a):
    return like(a, SELU_SCALE) if a > 0 else a + like(a, SELU_SCALE * SELU_ALPHA)


@register_jitable
def _gelu_slope(z, a):
    density = exp(like(z, -0.5) * (z * z)) * like(z, 1.0 / math.sqrt(2.0 * math.pi))
    return _normal_cdf(z) + z * density


@register_jitable
def _gelu_tanh_slope(z, a):
    one, half, t = like(z, 1.0), like(z, 0.5), _inner_tanh(z)
    slope = like(z, GELU_C) * (one + like(z, 3 * 0.044715) * (z * z))
    return half * (one + t) + half * z * (one - t * t) * slope


@register_jitable
def _silu_slope(z, a):
    s = sigmoid(z)
    return s + a * (like(z, 1.0) - s)


@register_jitable
def _mish_slope(z, a):
    t = tanh(softplus(z))
    return t + z * sigmoid(z) * (like(z, 1.0) - t * t)


@register_jitable
def _softplus_slope(z, a):
    return sigmoid(z)


@register_jitable
def _softsign_slope(z, a):
    slope = like(z, 1.0) / (like(z, 1.0) + abs(z))
    return slope * slope


@register_jitable
def _hard_tanh_slope(z, a):
    return like(a, 1.0) if abs(a) < 1 else like(a, 0.0)


@register_jitable
def _times(slope, d, z, a):
    for i in range(d.size):
        d[i] *= slope(z[i], a[i])


@jit(CALLED)
def activate_backward(code, d, z, a):
    """d *= activation'(z). z is read for the rows of NEED_Z only."""
    if code == LOGISTIC:
        _times(_logistic_slope, d, z, a)
    elif code == TANH:
        _times(_tanh_slope, d, z, a)
    elif code == RELU:
        _times(_relu_slope, d, z, a)
    elif code == LEAKY_RELU:
        _times(_leaky_relu_slope, d, z, a)
    elif code == ELU:
        _times(_elu_slope, d, z, a)
    elif code == SELU:
        _times(_selu_slope, d, z, a)
    elif code == GELU:
        _times(_gelu_slope, d, z, a)
    elif code == GELU_TANH:
        _times(_gelu_tanh_slope, d, z, a)
    elif code == SILU:
        _times(_silu_slope, d, z, a)
    elif code == MISH:
        _times(_mish_slope, d, z, a)
    elif code == SOFTPLUS:
        _times(_softplus_slope, d, z, a)
    elif code == SOFTSIGN:
        _times(_softsign_slope, d, z, a)
    elif code == HARD_TANH:
        _times(_hard_tanh_slope, d, z, a)
