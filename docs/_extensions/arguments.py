"""The directive `arguments`: the estimators' arguments, as their docstrings describe them."""

import inspect

from docutils import nodes
from numpydoc.docscrape import NumpyDocString
from sphinx.util.docutils import SphinxDirective

from xpmlp import MLPClassifier, MLPRegressor


def arguments(kind):
    """Return what a class's docstring says of its parameters: (name, type, description) each."""
    found = NumpyDocString(inspect.getdoc(kind))["Parameters"]
    return [(one.name, one.type, "\n".join(one.desc)) for one in found]


class Arguments(SphinxDirective):
    """A definition list of the arguments of MLPClassifier, or of those that the regressor adds."""

    required_arguments = 1

    def run(self):
        """Return the list."""
        kind = {"MLPClassifier": MLPClassifier, "MLPRegressor": MLPRegressor}[self.arguments[0]]
        found = nodes.definition_list()
        for name, type_, description in arguments(kind):
            definition = nodes.definition("", *self.parse_text_to_nodes(description))
            term = nodes.term("", "", nodes.literal("", name), nodes.Text(f" : {type_}"))
            found += nodes.definition_list_item("", term, definition)
        return [found]


def setup(app):
    """Register the directive."""
    app.add_directive("arguments", Arguments)
    return {"parallel_read_safe": True}
