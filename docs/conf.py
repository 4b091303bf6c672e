"""How Sphinx builds the site: `ci/docs` runs it, with warnings as errors."""

import sys
from pathlib import Path

import xpmlp

sys.path.insert(0, str(Path(__file__).parent / "_extensions"))

project = "xpmlp"
author = copyright = "The xpmlp developers"
version = release = xpmlp.__version__
extensions = [
    "sphinx.ext.autodoc",
    "sphinx.ext.autosummary",
    "numpydoc",
    "myst_parser",
    "arguments",
]
exclude_patterns = ["_build", "_templates", "_extensions"]
templates_path = ["_templates"]
nitpicky = True

myst_enable_extensions = ["colon_fence", "dollarmath"]
myst_heading_anchors = 3  # [text](page.md#a-heading) is a link, and a wrong one a warning

autosummary_generate = True
autodoc_typehints = "none"  # the docstrings say the types in words
autodoc_member_order = "bysource"
numpydoc_show_class_members = False

html_theme = "furo"
html_title = f"xpmlp {release}"
