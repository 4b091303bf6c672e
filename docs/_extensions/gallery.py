"""The gallery: how sphinx-gallery runs the scripts of examples/, and shows what they draw."""

import os
import shutil
from importlib.util import find_spec
from pathlib import Path

import sklearn
from sphinx_gallery.scrapers import figure_rst

DOCS = Path(__file__).parents[1]
WORK = DOCS / "_build" / "examples"  # a copy to run: the scripts draw beside themselves
LEFT_OUT = shutil.ignore_patterns("*.md", "*.png", "*.html", "people.*")
NOT_RUN = {"mnist_by_hand"}  # wants MNIST, which is not in the package
if find_spec("torch") is None:
    NOT_RUN |= {"moving", "search_on_tensors"}


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


def configuration():
    """Copy the scripts, and return sphinx-gallery's configuration."""
    os.environ.setdefault("SCIPY_ARRAY_API", "1")  # before SciPy is imported: of search_on_tensors
    shutil.rmtree(WORK, ignore_errors=True)
    shutil.copytree(DOCS.parent / "examples", WORK, ignore=LEFT_OUT)
    run = "|".join(sorted(p.stem for p in WORK.rglob("*.py") if p.stem not in NOT_RUN))
    return {
        "examples_dirs": [str(WORK)],
        "gallery_dirs": ["gallery"],
        "filename_pattern": rf"/({run})\.py$",
        "within_subsection_order": "gallery.position",
        "image_scrapers": ("gallery.pictures",),
        "reset_modules": ("gallery.forget_settings",),
        "capture_repr": (),  # what is printed is shown
        "download_all_examples": False,
        "show_memory": False,
        "min_reported_time": 1e9,
    }
