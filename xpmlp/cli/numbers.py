"""Numbers on the command line: their bounds, and what is said of others."""

import math

import click


class Whole(click.IntRange):
    """Whole numbers, both bounds included."""

    name = "integer"

    def convert(self, value, param, ctx):
        """Return the number."""
        try:
            return super().convert(value, param, ctx)
        except click.BadParameter:
            self.fail(f"{value!r} is not a whole number {_bounds(self)}.", param, ctx)


class Number(click.FloatRange):
    """Numbers between bounds."""

    name = "number"

    def convert(self, value, param, ctx):
        """Return the number."""
        try:
            number = super().convert(value, param, ctx)
        except click.BadParameter:
            number = math.nan
        if math.isnan(number):  # which no bound keeps out
            self.fail(f"{value!r} is not a number {_bounds(self)}.", param, ctx)
        return number


class OrInf(click.ParamType):
    """A number of a type, or inf."""

    def __init__(self, kind):
        self.kind, self.name = kind, f"{kind.name}|inf"

    def convert(self, value, param, ctx):
        """Return the number."""
        if str(value).lower() == "inf":
            return math.inf
        return self.kind.convert(value, param, ctx)


def _bounds(kind):
    """Return the bounds as text: "of 1 or more", "above 0 and below 1", "from 0 to 1"."""
    low, high = kind.min, kind.max
    if kind.min_open:
        below = "" if high is None else f" and below {high}"
        return f"above {low}{below}"
    if high is None:
        return f"of {low} or more"
    return f"from {low} to {'below ' * kind.max_open}{high}"
