"""Update rules as NumPy writes them, for texts that are read and pasted.

p: a parameter, dp: its gradient, lr: the learning rate, t: number of the step, from 1; the slots
begin at 0, and the rest are fields of the rule.
"""

from typing import Any

from .rules import SGD, Adagrad, Adam, AdamW, Lion, Nadam, RMSprop

_MEANS = "m = beta_1 * m + (1 - beta_1) * dp", "v = beta_2 * v + (1 - beta_2) * dp**2"
_ADAM = (
    *_MEANS,
    "rate = lr * np.sqrt(1 - beta_2**t) / (1 - beta_1**t)",
    "p = p - rate * m / (np.sqrt(v) + epsilon)",
)
_BY_ROOT = "p = p - lr * dp / (np.sqrt(v) + epsilon)"
LINES = {
    Adam: _ADAM,
    AdamW: _ADAM,  # the decay stands in front, as for any rule
    Nadam: (
        *_MEANS,
        "rate = lr * np.sqrt(1 - beta_2**t) / (1 - beta_1 ** (t + 1))",
        "p = p - rate * (beta_1 * m + (1 - beta_1) * dp) / (np.sqrt(v) + epsilon)",
    ),
    Lion: (
        "p = p - lr * np.sign(beta_1 * m + (1 - beta_1) * dp)",
        "m = beta_2 * m + (1 - beta_2) * dp",
    ),
    RMSprop: ("v = rho * v + (1 - rho) * dp**2", _BY_ROOT),
    Adagrad: ("v = v + dp**2", _BY_ROOT),
}
VELOCITY = "v = momentum * v - lr * dp"


def update_lines(rule: Any) -> tuple[str, ...]:
    """Return the lines of an update by a built-in rule; none of another one, and of None.

    Examples
    --------
    >>> update_lines(SGD(momentum=0.0))
    ('p = p - lr * dp',)
    """
    if type(rule) is not SGD:
        return LINES.get(type(rule), ())
    if not rule.momentum:
        return ("p = p - lr * dp",)
    if rule.nesterovs_momentum:
        return VELOCITY, "p = p + momentum * v - lr * dp"
    return VELOCITY, "p = p + v"
