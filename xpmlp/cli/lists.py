"""Lists of names and of types, whose items may hold commas: quoted, repeated, or a file's own."""

import csv
import re

import click

KINDS = "number|boolean|category|date|time|duration"
TYPED = re.compile(rf"(.+)=((?:{KINDS})(?::.*)?)", re.DOTALL)  # a name may hold = too


class FileValue(click.ParamType):
    """A type of option that takes lists and tables of a TOML file as they are."""


class Names(FileValue):
    """Names such as ``a,b``, those with a comma in double quotes; a list of a file as it is."""

    name = "col,..."

    def convert(self, value, param, ctx):
        """Return the text as it was written, or a tuple of names."""
        if isinstance(value, str):
            return value
        if not (isinstance(value, list | tuple) and all(isinstance(v, str | int) for v in value)):
            self.fail(f"{value!r} is no list of names.", param, ctx)
        return tuple(str(item).strip() for item in value)


def names_of(values, columns=()):
    """Return the names in all values of a repeated option; one that is a column is no list."""
    names = []
    for value in values:
        if isinstance(value, str) and value.strip() not in columns:
            value = next(csv.reader([value], skipinitialspace=True), [])
        elif isinstance(value, str):
            value = [value]
        names += [name.strip() for name in value if name.strip()]
    return tuple(names)


class Types(FileValue):
    """Columns with a type each, COL=TYPE,...; a table of a file as it is."""

    name = "col=type,..."

    def convert(self, value, param, ctx):
        """Return a dict."""
        if isinstance(value, dict):
            return {str(name): str(kind) for name, kind in value.items()}
        if isinstance(value, list) and value:
            return {k: v for part in value for k, v in self.convert(part, param, ctx).items()}
        if not isinstance(value, str):
            self.fail(f"{value!r} is no list such as city=category,joined=date.", param, ctx)
        found, begun = {}, ""
        # What follows a comma is of the same format or name, unless it is COL= again.
        for part in re.split(r",(?=[^,=]+=)", value):
            begun += part
            if "=" not in part:
                begun += ","
                continue
            name, kind = self._pair(begun.strip(), param, ctx)
            found[name], begun = kind, ""
        if begun or not found:
            self.fail(f"{value!r} is no list such as city=category,joined=date.", param, ctx)
        return found

    def _pair(self, text, param, ctx):
        """Return the name and the type in a text such as "city=category"."""
        typed = TYPED.fullmatch(text)
        name, _, kind = text.rpartition("=")
        if typed:
            name, kind = typed.groups()
        if not name.strip() or not kind.strip():
            self.fail(f"{text!r} is no type of a column such as city=category.", param, ctx)
        return name.strip(), kind.strip()
