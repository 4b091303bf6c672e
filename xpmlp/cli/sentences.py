"""What the estimators say, in the words of the command line."""

import re

from .options import OPTIONS

NAMES = "|".join(name for name in OPTIONS if "_" in name)  # no word of English
ARGUMENT = re.compile(rf"\b(?:([a-z]\w*)=('[^']*'|\w+\.?\d*)|({NAMES})\b)")


def in_options(text):
    """Return a message in which arguments of the estimators are options.

    Examples
    --------
    >>> in_options("which float32 cannot tell apart: pass dtype='float64'.")
    'which float32 cannot tell apart: pass --dtype float64.'
    >>> in_options("lower learning_rate_init (the rate was 10)")
    'lower --lr (the rate was 10)'
    """
    return ARGUMENT.sub(_option, text)


def _option(match):
    """Return an argument, with its value or without, as an option; others stay as they are."""
    name, value, alone = match.groups()
    option = OPTIONS.get(name or alone)
    if option is None:
        return match[0]
    if value in ("True", "False"):
        return "--" + "no-" * (value == "False") + option
    value = (value or "").strip("'").replace("None", "none")
    return f"--{option} {value}".rstrip()
