"""The gallery: how sphinx-gallery runs the scripts of examples/, and shows what they draw."""

import os
import re
import shutil
from importlib.util import find_spec
from pathlib import Path

import sklearn
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from sphinx_gallery.scrapers import figure_rst

DOCS = Path(__file__).parents[1]
EXAMPLES = DOCS.parent / "examples"
WORK = DOCS / "_build" / "examples"  # a copy to run: the scripts draw beside themselves
LEFT_OUT = shutil.ignore_patterns("*.md", "*.png", "*.html", "people.*")
WANT_TORCH = {"moving", "search_on_tensors"} if find_spec("torch") is None else set()
NOT_RUN = {"mnist_by_hand"} | WANT_TORCH  # MNIST is not in the package
NOTE = """
.. note:: Its output is not here: PyTorch is missing where this site was built.
"""


def pictures(block, block_vars, gallery_conf):
    """Return the pictures that a script has saved, in the order in which it names them."""
    script = Path(block_vars["src_file"])
    text = script.read_text()
    drawn = [picture for picture in script.parent.glob("*.png") if picture.name in text]
    drawn.sort(key=lambda picture: text.index(picture.name))
    shown = []
    for picture, target in zip(drawn, block_vars["image_path_iterator"]):
        shutil.move(picture, target)
        shown.append(target)
    return figure_rst(shown, gallery_conf["src_dir"])


# Networks by hand; the recipes come behind them, by name.
ORDER = ["three_five_five_one", "flower", "mnist_by_hand", "sign", "sine"]


def position(filename):
    """Return what the scripts of a folder are sorted by."""
    name = Path(filename).stem
    return (ORDER.index(name) if name in ORDER else len(ORDER), name)


def forget_settings(gallery_conf, script):
    """Set scikit-learn's options back, for the next script."""
    sklearn.set_config(array_api_dispatch=False)


def _draw_text(path):
    """Draw the thumbnail of what prints and draws nothing: lines on a terminal."""
    figure = Figure((4, 2.8), facecolor="#f2f2f2")
    for y, width in ((0.75, 0.5), (0.58, 0.65), (0.41, 0.4), (0.24, 0.55)):
        figure.add_artist(Rectangle((0.2, y), width, 0.06, color="#c4c4c4"))
    figure.text(0.07, 0.74, ">", family="monospace", size=22, color="#2f6db3")
    figure.savefig(path, dpi=100)


def configuration():
    """Copy the scripts, and return sphinx-gallery's configuration."""
    os.environ.setdefault("SCIPY_ARRAY_API", "1")  # before SciPy is imported: of search_on_tensors
    shutil.rmtree(WORK, ignore_errors=True)
    shutil.copytree(EXAMPLES, WORK, ignore=LEFT_OUT)
    shutil.copy(EXAMPLES / "mnist_by_hand.png", WORK)  # shown, not drawn again
    _draw_text(WORK / "text.png")
    run = "|".join(sorted(p.stem for p in WORK.rglob("*.py") if p.stem not in NOT_RUN))
    return {
        "examples_dirs": [str(WORK)],
        "gallery_dirs": ["gallery"],
        "filename_pattern": rf"{re.escape(os.sep)}({run})\.py$",
        "within_subsection_order": "gallery.position",
        "image_scrapers": ("gallery.pictures",),
        "reset_modules": ("gallery.forget_settings",),
        "default_thumb_file": str(WORK / "text.png"),
        "capture_repr": (),  # what is printed is shown
        "notebook_extensions": set(),  # scripts with arguments are no notebooks
        "download_all_examples": False,
        "write_computation_times": False,
        "show_signature": False,
        "remove_config_comments": True,
        "doc_module": ("xpmlp",),
        "backreferences_dir": "gallery/uses",
        "reference_url": {"xpmlp": None},  # names in the code are links to the reference
        "parallel": True,
    }


def edit_page(app, docname, source):
    """Name a script by its place in the repository; say where one was not run, and why."""
    if docname.startswith("gallery/"):
        source[0] = source[0].replace(f"{WORK}{os.sep}", f"examples{os.sep}")
        if docname.rpartition("/")[2] in WANT_TORCH:
            source[0] += NOTE


def setup(app):
    """Register what is done with the pages that sphinx-gallery has written."""
    app.connect("source-read", edit_page)
    return {"parallel_read_safe": True}
