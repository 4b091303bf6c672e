"""How Sphinx builds the site: `ci/docs` runs it, with warnings as errors."""

import sys
from pathlib import Path

import xpmlp

sys.path.insert(0, str(Path(__file__).parent / "_extensions"))
import gallery  # noqa: E402

project = "xpmlp"
author = copyright = "The xpmlp developers"
version = release = xpmlp.__version__
extensions = [
    "sphinx.ext.autodoc",
    "sphinx.ext.autosummary",
    "numpydoc",
    "myst_parser",
    "sphinx_gallery.gen_gallery",
    "arguments",
    "gallery",
]
exclude_patterns = ["_build", "_templates", "_extensions"]
templates_path = ["_templates"]
default_role = "py:obj"  # `fit` in a docstring: a link where there is such a name, else code
nitpicky = True
nitpick_ignore_regex = [("py:obj", ".*")]

myst_enable_extensions = ["colon_fence"]
myst_heading_anchors = 3  # [text](page.md#a-heading) is a link, and a wrong one a warning

autosummary_generate = True
autodoc_typehints = "none"  # the docstrings say the types in words
autodoc_member_order = "bysource"
numpydoc_show_class_members = False

sphinx_gallery_conf = gallery.configuration()

smartquotes = False  # f'(z) and "auto" stay as they are written
highlight_language = "none"  # of blocks that name none, as equations in docstrings
pygments_dark_style = "github-dark"
html_theme = "furo"
html_title = f"xpmlp {release}"
html_theme_options = {"top_of_page_buttons": []}  # no link to a source file: there is no address
html_static_path = ["_static"]
html_css_files = ["site.css"]


def is_left_out(app, what, name, obj, skip, options):
    """Leave out what scikit-learn documents, and fields that say only which number they have."""
    from_sklearn = (getattr(obj, "__module__", None) or "").startswith("sklearn.")
    numbered = (obj.__doc__ or "").startswith("Alias for field number")
    return True if from_sklearn or numbered else None


def setup(app):
    """Tell autodoc what to leave out."""
    app.connect("autodoc-skip-member", is_left_out)
