"""The directive `arguments`: what the estimators' docstrings say of each argument.

A description there ends with "Source: where it comes from. Why: the reason of its default."
"""

import inspect
import re
from typing import NamedTuple

from docutils import nodes
from numpydoc.docscrape import NumpyDocString
from sphinx.util.docutils import SphinxDirective

import xpmlp


class Argument(NamedTuple):
    """One argument, in the words of a docstring."""

    name: str
    kind: str
    default: str
    what: str
    source: str
    why: str


def arguments_of(estimator):
    """Return the arguments that the docstring of a class describes."""
    found = []
    for name, kind, lines in NumpyDocString(inspect.getdoc(estimator))["Parameters"]:
        kind, default = re.fullmatch(r"(.*), default=(.*)", kind).groups()
        text = re.fullmatch(r"(.*) Source: (.*)\. Why: (.*)\.", " ".join(lines))
        found.append(Argument(name, kind, default, *text.groups()))
    return found


class Arguments(SphinxDirective):
    """The names of an estimator's arguments, as links, and what its docstring says of each."""

    required_arguments = 1

    def run(self):
        """Return a paragraph of names, and a list with an anchor for each argument."""
        estimator = getattr(xpmlp, self.arguments[0])
        self.env.note_dependency(inspect.getfile(estimator))
        names, items = nodes.paragraph(), nodes.definition_list()
        for argument in arguments_of(estimator):
            anchor = f"{self.arguments[0]}-{argument.name}".lower()
            link = nodes.reference("", "", nodes.literal("", argument.name), refid=anchor)
            names += [link, nodes.Text(" ")]
            items += self.item(argument, anchor)
        return [names, items]

    def item(self, argument, anchor):
        """Return one argument with its kinds and its default; what it is, source and reason."""
        term = nodes.term("", "", nodes.strong("", "", nodes.literal("", argument.name)))
        term["ids"].append(anchor)
        text = (
            f"{argument.kind}; default ``{argument.default}``\n\n{argument.what}\n\n"
            f"*Source:* {argument.source}. *Why this default:* {argument.why}."
        )
        body = nodes.definition("", *self.parse_text_to_nodes(text))
        return nodes.definition_list_item("", term, body)


def setup(app):
    """Register the directive."""
    app.add_directive("arguments", Arguments)
    return {"parallel_read_safe": True}
