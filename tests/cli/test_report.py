"""The page that `--report` writes: one file, no scripts, names as text, readable at any width."""

import csv
import os
import random
import re
from html import unescape
from html.parser import HTMLParser
from importlib import import_module
from pathlib import Path

import numpy as np
import pytest
from cli_data import is_one_sentence

pytest.importorskip("matplotlib", reason="draws the pictures")
QUICK = ["--quiet", "--epochs", 3, "--hidden", 4]
EVIL = "<script>alert('1')</script>"


@pytest.fixture(autouse=True)
def _in_a_folder_of_its_own(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


def table(name, head, rows):
    with open(name, "w", newline="") as file:
        csv.writer(file).writerows([head, *rows])
    return name


def people(n=300):
    """Rows with a column of a hostile name, a constant, labels that look like HTML and formulas."""
    draw = random.Random(0)
    rows = [
        [draw.randrange(20, 61), draw.choice(["Rome", "<b>Bern</b>"]), 1, i % 3] for i in range(n)
    ]
    rows = [[*row[:3], ["<i>hi</i>", "$lo$", "mid"][row[3]]] for row in rows]
    rows[7][0] = "old"
    return table("people.csv", [EVIL, "city & co", "same", "label"], rows)


class Page(HTMLParser):
    """The elements of a page, each with its attributes, and whether all are closed in order."""

    def __init__(self, path):
        super().__init__()
        self.found, self.open, self.text = [], [], Path(path).read_text()
        self.feed(self.text)
        assert self.open == []
        self.words = unescape(re.sub("<style>.*?</style>|<[^>]+>", " ", self.text, flags=re.S))

    def handle_starttag(self, tag, attributes):
        self.found.append((tag, dict(attributes)))
        if tag not in ("meta", "img"):
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def all(self, tag):
        """Return the attributes of all elements of a kind."""
        return [attributes for name, attributes in self.found if name == tag]


def reads_nothing_from_elsewhere(page):
    """No element of the page runs anything or is fetched."""
    kinds = {tag for tag, _ in page.found}
    assert not kinds & {"script", "link", "iframe", "object", "embed", "a", "form"}
    for tag, attributes in page.found:
        assert not any(name.startswith("on") for name in attributes), (tag, attributes)
        assert attributes.get("src", "data:image/png;base64,").startswith("data:image/png;base64,")
    assert "http" not in page.text and "url(" not in page.text and "@import" not in page.text
    return True


def test_a_training_is_one_page_without_scripts_and_names_are_text(xpmlp):
    said = ["--on-bad-row", "skip", *QUICK, "--out", "m", "--report", "r.html"]
    code, _, err = xpmlp("train", people(), *said)
    assert code == 0 and err.endswith("Report: r.html\n")
    assert sorted(os.listdir()) == ["m", "people.csv", "r.html"]
    page = Page("r.html")
    assert reads_nothing_from_elsewhere(page)
    assert [len(page.all(tag)) for tag in ("h1", "img", "details")] == [1, 2, 0]
    for text in (
        "m on the test rows",
        "1 row left out of people.csv",
        "line 9",
        "column 'same' holds the same in every row",
        "balanced_accuracy",
        "Baseline: always",
        "precision",
        "<i>hi</i>",
        EVIL,
        "city & co",
        "on people.csv: 215 rows, 24 to validate, 60 to test, 1 left out",
        "on-bad-row skip",
        "feature-scale robust",
        "Dense",
    ):
        assert text in page.words, text


def test_the_scores_of_the_page_are_those_that_are_printed(xpmlp):
    _, out, _ = xpmlp("train", "iris", *QUICK, "--out", "m", "--report", "r.html")
    words = Page("r.html").words.split()
    printed = [line.split() for line in out.splitlines() if line.startswith(("accuracy", "log_"))]
    assert len(printed) == 2
    for name, model, baseline in printed:
        at = words.index(name)
        assert words[at : at + 3] == [name, model, baseline]


def test_folds_stand_where_the_model_comes_from(xpmlp):
    _, out, _ = xpmlp("train", "iris", *QUICK, "--folds", 2, "--out", "m", "--report", "r.html")
    (folds,) = re.findall("2 folds: accuracy [0-9.]+ ± [0-9.]+", " ".join(out.split()))
    words = Page("r.html").words
    assert f"Cross-validated in {folds}" in words
    assert words.index("Where the model comes from") < words.index(folds)


@pytest.mark.parametrize("data, picture", [("iris", "confusion matrix"), ("diabetes", "against")])
def test_an_evaluation_has_a_page_with_the_same_parts(xpmlp, data, picture):
    assert xpmlp("train", data, *QUICK, "--out", "m")[0] == 0
    code, out, err = xpmlp("evaluate", "m", data, "--report", "e.html", "--json")
    assert code == 0 and err == "Report: e.html\n" and out.startswith("{")
    page = Page("e.html")
    assert reads_nothing_from_elsewhere(page)
    assert picture in page.all("img")[0]["alt"] and len(page.all("img")) == 2
    assert f"rows of {data}" in page.words and "to validate" in page.words


def test_a_thousand_columns_and_97_classes_are_folded_and_small(xpmlp):
    n, rng = 1000, np.random.default_rng(0)
    head = [*(f"a column of a long name, number {i}" for i in range(n)), "kind"]
    rows = [[*rng.integers(0, 9, n).tolist(), f"kind {i % 97}"] for i in range(97 * 20)]
    said = [*QUICK, "--bins", "none", "--out", "m", "--report", "r.html"]
    assert xpmlp("train", table("wide.csv", head, rows), *said)[0] == 0
    page = Page("r.html")
    assert os.path.getsize("r.html") < 1_000_000 and len(page.all("details")) == 2
    assert "77 more of 97 classes" in page.words and "960 more columns" in page.words
    assert all(int(image["width"]) < 1280 for image in page.all("img"))


def test_what_cannot_be_written_is_told_before_the_work(xpmlp, monkeypatch):
    people()
    for place in ("people.csv", "m", "nowhere/r.html"):
        code, _, err = xpmlp("train", "people.csv", *QUICK, "--out", "m", "--report", place)
        assert (code, is_one_sentence(err), os.listdir()) == (2, True, ["people.csv"])
    monkeypatch.setattr(import_module("xpmlp.cli.report"), "find_spec", lambda name: None)
    code, _, err = xpmlp("train", "people.csv", *QUICK, "--report", "r.html")
    assert (code, "--report needs matplotlib: pip install" in err) == (2, True)
