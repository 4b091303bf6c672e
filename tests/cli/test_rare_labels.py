"""Labels in too few rows: what is said of them, once, with the option that helps."""

from pathlib import Path

import pytest
from cli_data import is_one_sentence

QUICK = ["--quiet", "--epochs", 2, "--hidden", 3, "--out", "m"]


@pytest.fixture(autouse=True)
def _in_a_folder_of_its_own(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


def write(name, labels):
    rows = "".join(f"{i * i % 31},{label}\n" for i, label in enumerate(labels))
    Path(name).write_text(f"x,y\n{rows}")
    return name


def test_a_rare_label_is_told_of_once_though_rows_are_divided_twice(xpmlp):
    code, out, err = xpmlp("train", write("t.csv", [*"ab" * 30, "z"]), "--folds", 3, *QUICK)
    assert code == 0, err
    assert err.count("the label 'z' has fewer") == 1
    code, out, err = xpmlp("train", write("t.csv", [*"ab" * 30, *"qq", "z"]), "--folds", 3, *QUICK)
    assert code == 0 and "the labels 'q', 'z' have fewer than the 3 rows" in " ".join(err.split())


@pytest.mark.parametrize(
    ("options", "remedy"),
    [
        (["--rare-labels", "drop"], "train without --rare-labels drop"),
        ([], "train on rows of every label"),
    ],
)
def test_a_label_that_the_model_has_not_learnt_is_told_with_a_remedy(xpmlp, options, remedy):
    assert xpmlp("train", write("t.csv", "ab" * 30), *options, *QUICK)[0] == 0
    code, out, err = xpmlp("evaluate", "m", write("new.csv", [*"ab" * 9, "z"]))
    assert (code, out, is_one_sentence(err)) == (3, "", True)
    assert "holds the label 'z', the model knows only a, b: leave such rows out, or" in err
    assert remedy in err


def test_an_option_that_would_leave_one_label_is_no_remedy(xpmlp):
    name = write("two.csv", [*"a" * 30, "z"])
    err = xpmlp("train", name, "--rare-labels", "error", *QUICK)[2]
    assert "say --rare-labels keep." in err and "drop" not in err


def test_very_many_labels_are_told_in_words_of_the_command_line(xpmlp):
    name = write("t.csv", [i // 2 for i in range(80)])
    code, out, err = xpmlp("train", name, "--task", "classification", *QUICK)
    err = " ".join(err.split())
    assert code == 0 and "if these are no classes, say --task regression" in err
    assert "unique classes" not in err and "`y`" not in err
