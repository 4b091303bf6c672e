"""The documentation: what it names is there, its links lead somewhere, its pages fit a phone."""

import html
import importlib
import inspect
import json
import os
import re
import shutil
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path
from urllib.parse import urlsplit

import pytest

import xpmlp

ROOT = Path(__file__).parents[1]
NEEDED = ("sphinx", "myst_parser", "numpydoc", "sphinx_gallery", "furo", "matplotlib")
MISSING = [name for name in NEEDED if find_spec(name) is None]
NAMES = ("chromium", "chromium-browser", "google-chrome")
CHROMIUM = next(filter(None, map(shutil.which, NAMES)), None)
WIDTHS = (390, 1280)

# Shows each page in frames of each width, and writes what it measures into its own text.
MEASURE = """<!doctype html><pre id="found">nothing</pre>%s<script>
onload = () => {
  const found = [...document.querySelectorAll("iframe")].map(frame => {
    const inside = frame.contentDocument;
    const broken = [...inside.images].filter(image => image.naturalWidth === 0);
    // Furo lets the text of a narrow page scroll by itself, which is as bad.
    const parts = [inside.documentElement, ...inside.querySelectorAll(".content")];
    return {
      page: frame.dataset.page,
      width: Number(frame.width),
      wide: parts.filter(part => part.scrollWidth > part.clientWidth).length,
      pictures: inside.images.length,
      broken: broken.map(image => image.src),
    };
  });
  document.getElementById("found").textContent = JSON.stringify(found);
};
</script>"""
FAULTY = '<!doctype html><img src="missing.png"><p style="width: 2000px">wide</p>'

MODULES = ("xpmlp", "nn", "optim", "callbacks", "plotting", "model", "testing")
BESIDE = [*ROOT.glob("*.md"), ROOT / "examples/README.md"]  # what Sphinx does not read
PAGES = [*BESIDE, *(page for page in ROOT.glob("docs/**/*.md") if "_build" not in page.parts)]


@pytest.mark.parametrize("name", MODULES)
def test_the_reference_names_all_that_is_public(name):
    module = importlib.import_module("xpmlp" if name == "xpmlp" else f"xpmlp.{name}")
    offered = getattr(module, "__all__", None) or [
        word
        for word, value in vars(module).items()
        if word[0] != "_" and getattr(value, "__module__", "") == module.__name__
    ]
    wanted = {word for word in offered if not inspect.ismodule(getattr(module, word))}
    page = (ROOT / f"docs/api/{name}.md").read_text()
    assert wanted <= {*re.findall(r"^(?:   |.. data:: )(\w+)$", page, flags=re.M)}


def links(page):
    """Return where the links and pictures of a page lead, those in code left out."""
    text = re.sub(r"^(```|~~~).*?^\1|`[^`\n]*`", "", page.read_text(), flags=re.S | re.M)
    return re.findall(r"\]\(([^)\s]+)\)", text)


def anchors(page):
    """Return the anchors of a page's headings, as GitHub names them."""
    heads = re.findall(r"^#+ (.*)$", re.sub(r"\]\([^)]*\)", "", page.read_text()), flags=re.M)
    return {re.sub(r"[^\w\- ]", "", head.lower()).replace(" ", "-") for head in heads}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_lead_to_files_and_headings_or_are_whole_addresses(page):
    for link in links(page):
        if "://" in link:
            address = urlsplit(link)
            assert address.scheme == "https" and "." in address.netloc, link
        elif page in BESIDE:
            path, _, anchor = link.partition("#")
            aim = (page.parent / path) if path else page
            assert aim.exists(), link
            assert not anchor or anchor in anchors(aim), link


def test_each_recipe_stands_in_the_table_of_the_examples():
    told = [link for link in links(ROOT / "examples/README.md") if link.endswith(".py")]
    there = ROOT.glob("examples/recipes/*.py")
    assert {f"recipes/{script.name}" for script in there} <= {*told}


def build(folder):
    """Build the site from a copy of its sources; return its folder."""
    left_out = shutil.ignore_patterns("_build", "generated", "gallery", "__pycache__")
    for name in ("docs", "examples"):
        shutil.copytree(ROOT / name, folder / name, ignore=left_out)
    path = os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")])
    command = [sys.executable, "-m", "sphinx", "-q", "-W", "--keep-going", "-j", "auto"]
    made = subprocess.run(
        [*command, "docs", "site"],
        cwd=folder,
        env=os.environ | {"PYTHONPATH": path},
        capture_output=True,
        text=True,
        timeout=580,
    )
    assert made.returncode == 0, made.stdout[-3000:] + made.stderr[-3000:]
    return folder / "site"


def measured(site, pages):
    """Return what Chromium says of pages at each width: parts too wide, pictures, broken ones."""
    frames = [
        f'<iframe data-page="{page}" src="{page}" width="{width}" height="900"></iframe>'
        for page in pages
        for width in WIDTHS
    ]
    (site / "measure.html").write_text(MEASURE % "\n".join(frames))
    offline = "--disable-background-networking --disable-component-update --disable-sync"
    made = subprocess.run(
        [
            CHROMIUM, "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic",
            "--no-first-run", *offline.split(), f"--user-data-dir={site / 'profile'}",
            "--hide-scrollbars", "--allow-file-access-from-files", "--virtual-time-budget=20000",
            "--dump-dom", (site / "measure.html").as_uri(),
        ],
        capture_output=True, text=True, timeout=300,
    )  # fmt: skip
    (found,) = re.findall(r'<pre id="found">(.*?)</pre>', made.stdout, flags=re.S)
    return json.loads(html.unescape(found))


@pytest.mark.skipif(bool(MISSING), reason=f"not installed: {', '.join(MISSING)}")
def test_the_site_is_built_without_a_warning_and_its_pages_fit_a_phone(tmp_path):
    site = build(tmp_path)
    assert len([*(site / "_images").glob("*.png")]) > 20  # of the gallery, and its thumbnails
    arguments = (site / "arguments.html").read_text()
    for name in inspect.signature(xpmlp.MLPClassifier).parameters:
        assert f'id="mlpclassifier-{name}"' in arguments
    if CHROMIUM is None:
        pytest.skip("the site is built; there is no Chromium to look at it")
    (site / "faulty.html").write_text(FAULTY)
    pages = [str(page.relative_to(site)) for page in site.rglob("*.html")]
    pages = [page for page in pages if not page.startswith("api/generated")]
    assert {"index.html", "guide/tables.html", "gallery/flower.html"} <= {*pages}
    found = measured(site, pages)
    wrong = [one for one in found if one["broken"] or one["wide"]]
    assert [one["page"] for one in wrong] == ["faulty.html"] * 2, wrong  # which shows that it looks
    assert {one["pictures"] for one in found if one["page"] == "gallery/flower.html"} == {2}
