"""Parts of a table by time, group or a column's word; rows that weigh; labels in few rows."""

import json

import numpy as np
import pytest
from cli_data import is_one_sentence, write_csv
from each import each

from xpmlp import MLPClassifier

QUICK = ["--epochs", 2, "--hidden", 5, "--quiet", "--json"]
HEAD = ["x", "g", "year", "part", "w", "y"]


@pytest.fixture(autouse=True)
def _in_a_folder_of_its_own(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


def cells(n=200):
    """Rows: y by x, ten groups, twenty years, words for the parts, weights of 0, 1 and 2."""
    rng, made = np.random.default_rng(0), []
    for i in range(n):
        x = rng.uniform(0, 9)
        word = ("Train", "training", "VAL", "test", "train")[i % 5]
        label = "high" if x > 4.5 else "low"
        made.append([f"{x:.6f}", "abcdefghij"[rng.integers(10)], 2000 + rng.integers(20), word])
        made[-1] += [rng.integers(3), label]
    return made


@pytest.fixture(name="trained")
def trained_fixture(xpmlp, monkeypatch):
    """Train on rows; returns the JSON, what else was printed, and what `fit` got."""
    got = {}
    fit = MLPClassifier.fit

    def noted(model, X, y, sample_weight=None, **held):
        got.update(held, X=X, y=y, sample_weight=sample_weight)
        return fit(model, X, y, sample_weight, **held)

    monkeypatch.setattr(MLPClassifier, "fit", noted)

    def run(*arguments, rows=None):
        write_csv("t.csv", rows or cells(), HEAD)
        code, out, err = xpmlp("train", "t.csv", *QUICK, *arguments)
        assert code == 0, err
        return json.loads(out), err, got

    return run


def test_the_last_years_are_tested_on_and_the_last_of_the_others_watched(trained):
    found, err, got = trained("--split", "time:year")
    years = [row[2] for row in cells()]
    trained_on = got["X"].column(got["X"].names.index("year"))
    watched = got["X_val"].column(got["X"].names.index("year"))
    assert trained_on.max() < watched.min() <= watched.max() < max(years)
    assert found["n_test"] == sum(year > watched.max() for year in years)
    assert "Split by time" in err


def test_a_year_that_is_no_feature_splits_too(trained):
    _, _, got = trained("--split", "time:year", "--drop", "year,g,part")
    assert got["X"].names == ("x", "w")


def test_groups_stay_whole_and_are_no_feature(trained):
    found, err, got = trained("--split", "group:g")
    assert "g" not in got["X"].names
    assert "'g', which is no feature" in err
    groups = {row[0]: row[1] for row in cells()}  # by x, which differs in each row
    of = lambda X: {groups[f"{x:.6f}"] for x in X.column(0)}
    assert of(got["X"]).isdisjoint(of(got["X_val"]))
    assert 20 < found["n_test"] < 60


def test_a_column_says_the_parts(trained):
    found, err, got = trained("--split", "column:part")
    assert (found["n_train"], len(got["y_val"]), found["n_test"]) == (120, 40, 40)
    assert found["split"] == "column:part"
    assert "'part', which is no feature" in err


def test_without_the_word_validation_a_share_is_watched(trained):
    rows = [[*row[:3], row[3].replace("VAL", "train"), *row[4:]] for row in cells()]
    found, _, got = trained("--split", "column:part", "--validation", 0.25, rows=rows)
    assert (found["n_train"], len(got["y_val"]), found["n_test"]) == (120, 40, 40)


def test_rows_weigh_in_fit_validation_and_scores(trained, xpmlp):
    found, err, got = trained("--sample-weight", "w", "--split", "column:part")
    weights = np.asarray([row[4] for row in cells()], float)
    words = np.asarray([row[3].lower() for row in cells()])
    assert got["sample_weight"].tolist() == weights[np.char.startswith(words, "train")].tolist()
    assert got["sample_weight_val"].tolist() == weights[words == "val"].tolist()
    assert "w" not in got["X"].names
    assert "weighted by 'w'" in err
    tested = [row for row in cells() if row[3] == "test"]
    write_csv("test.csv", tested, HEAD)
    said = xpmlp("evaluate", "t.safetensors", "test.csv", "--json", "--sample-weight", "w")[1]
    again = json.loads(said)
    assert again["metrics"] == pytest.approx(found["metrics"])
    assert (again["sample_weight"], found["sample_weight"]) == ("w", "w")
    heavy = [row for row in tested for _ in range(row[4])]  # a weight of 2 is a row twice
    write_csv("heavy.csv", heavy, HEAD)
    plain = json.loads(xpmlp("evaluate", "t.safetensors", "heavy.csv", "--json")[1])
    assert plain["metrics"] == pytest.approx(found["metrics"])


def test_another_file_to_test_on_weighs_by_its_own_column(trained):
    write_csv("other.csv", cells(60), HEAD)
    found, _, _ = trained("--sample-weight", "w", "--test", "other.csv", "--split", "group:g")
    assert (found["n_test"], found["n_train"] > 160) == (60, True)


def test_a_single_row_of_the_second_label_is_no_reason_to_refuse(trained):
    rows = [[*row[:5], "yes" if i == 7 else "no"] for i, row in enumerate(cells(60))]
    found, err, got = trained(rows=rows)
    assert (sorted({*got["y"]}), found["n_test"]) == (["no", "yes"], 12)


RARE = [*cells(100), ["3", "a", 2001, "train", 1, "rare"]]


def test_a_label_in_one_row_is_trained_on_and_that_is_told(trained):
    found, err, got = trained(rows=RARE)
    assert (found["n_train"], found["n_test"]) == (73, 20)
    assert "rare" in got["y"]
    assert "Note: the label 'rare' has fewer than the 2 rows" in err
    found, err, got = trained("--rare-labels", "drop", rows=RARE)
    assert (found["n_train"], "rare" in got["y"], "1 row left out" in err) == (72, False, True)


def test_a_label_that_only_the_last_year_has_is_left_out_if_that_is_said(trained, xpmlp):
    rows = [*cells(100), *[["3", "a", 2030, "test", 1, "new"]] * 3]
    found, err, _ = trained("--split", "time:year", "--rare-labels", "drop", rows=rows)
    assert "the label 'new' has no rows to train on: 3 rows left out of the test part" in err
    code, _, err = xpmlp("train", "t.csv", *QUICK, "--split", "time:year")
    assert code == 3
    assert "holds the label 'new'" in err
    assert "--rare-labels drop" in err


@pytest.mark.parametrize(
    "options",
    [["--split", "group:g"], ["--split", "time:year"], ["--split", "column:part"],
     ["--sample-weight", "w"]],
)  # fmt: skip
@pytest.mark.parametrize("nothing", ["", "NA"])
def test_rows_without_what_they_are_split_or_weighed_by_can_be_left_out(trained, options, nothing):
    rows = cells()
    place = HEAD.index(options[-1].rpartition(":")[2])
    for i in (7, 40, 41):
        rows[i][place] = nothing
    found, err, _ = trained(*options, "--on-bad-row", "skip", rows=rows)
    assert found["n_left_out"] == 3
    words = " ".join(err.split())
    assert "line 9, column" in words and "expected a value to weigh or to split rows by" in words


ODD = {
    "no such way": (["--split", "place:g"], 2, ["'place:g'", "time:COL", "group:COL"]),
    "no such column": (["--split", "group:gg"], 3, ["no column 'gg'", "'g'"]),
    "the target": (["--split", "group:y"], 3, ["'y' is the target"]),
    "text as time": (["--split", "time:g"], 3, ["'g' holds text such as", "--types g=date"]),
    "one moment": (["--split", "time:one"], 3, ["one moment", "--test"]),
    "one group": (["--split", "group:one"], 3, ["one group"]),
    "a gap": (["--split", "group:gap"], 3, ["line 4", "'gap'", "to split", "--on-bad-row skip"]),
    "another word": (["--split", "column:g"], 3, ["'g', line 2", "train, validation, test"]),
    "no test rows": (["--split", "column:all"], 3, ["'all' says 'test' of no row", "--test"]),
    "test rows and a file": (
        ["--split", "column:part", "--test", "t.csv"],
        3,
        ["says 'test' of rows", "leave --test out"],
    ),
    "validation rows and a share": (
        ["--split", "column:part", "--validation", "0.1"],
        3,
        ["says 'validation' of rows", "leave --validation out"],
    ),
    "weights of text": (["--sample-weight", "g"], 3, ["'g' holds", "numbers of 0 or more"]),
    "weights below 0": (["--sample-weight", "below"], 3, ["line 3", "'below'", "-1"]),
    "weights that lack": (["--sample-weight", "gap"], 3, ["line 4", "'gap'", "to weigh"]),
    "no such weights": (["--sample-weight", "v"], 3, ["no column 'v'"]),
    "weights of 0": (["--sample-weight", "zero"], 3, ["'zero' is 0 in every row"]),
    "test rows that weigh nothing": (
        ["--sample-weight", "tested", "--split", "column:part"],
        3,
        ["every row to test on weighs 0 by 'tested'"],
    ),
    "a label in each row": (
        ["--target", "x", "--task", "classification", "--types", "x=category"],
        3,
        ["labels has fewer than 2 rows", "--target"],
    ),
    "numbers for parts": (
        ["--split", "column:year", "--types", "year=number"],
        3,
        ["'year', line 2", "train, validation"],
    ),
    "few of a label": (["--rare-labels", "error"], 3, ["only 1 row", "rare", "--rare-labels keep"]),
}


@each("arguments, code, words", ODD.values(), ids=ODD, parts=2)
def test_what_cannot_be_is_one_sentence(xpmlp, tmp_path, monkeypatch, arguments, code, words):
    monkeypatch.chdir(tmp_path)
    more = [["1", "train", i if i != 2 else "", (-1) ** i, 0] for i in range(100)]
    rows = [
        [*row[:5], *extra, int(row[3] != "test"), row[5]] for row, extra in zip(RARE[-100:], more)
    ]
    write_csv("t.csv", rows, [*HEAD[:5], "one", "all", "gap", "below", "zero", "tested", "y"])
    found, _, err = xpmlp("train", "t.csv", *QUICK[:5], *arguments)
    errors = [line for line in err.splitlines() if not line.startswith(("Note: ", "Warning: "))]
    assert (found, is_one_sentence("\n".join(errors))) == (code, True)
    assert [word for word in words if word not in errors[-1]] == []


def test_without_its_rare_labels_a_table_may_have_one_label_only(xpmlp):
    rows = [[*row[:5], "yes" if i == 7 else "no"] for i, row in enumerate(cells(60))]
    write_csv("t.csv", rows, HEAD)
    code, _, err = xpmlp("train", "t.csv", *QUICK[:5], "--rare-labels", "drop")
    assert (code, is_one_sentence(err), "--rare-labels keep" in err) == (3, True, True)


def test_arrays_have_no_columns_to_split_by(xpmlp):
    for option in (["--split", "group:g"], ["--sample-weight", "w"]):
        code, _, err = xpmlp("train", "iris", *QUICK, *option)
        assert (code, is_one_sentence(err)) == (2, True)


def test_numbers_have_no_rare_labels(xpmlp):
    err = xpmlp("train", "diabetes", *QUICK, "--rare-labels", "drop")[2]
    assert "Note: --rare-labels changes nothing: this is a regression." in err


@each(
    "option",
    [["--split", "group:g"], ["--split", "time:year"], ["--split", "column:part"]],
    ids=["group", "time", "column"],
)
def test_a_search_divides_as_a_training_does(xpmlp, tmp_path, monkeypatch, option):
    monkeypatch.chdir(tmp_path)
    write_csv("t.csv", cells(), HEAD)
    tried = ["--try", "lr=0.1,0.01", "--epochs", 2, "--hidden", 5]
    code, out, err = xpmlp("tune", "t.csv", *tried, "--sample-weight", "w", *option)
    assert code == 0, err
    n = int(out.split(" that train tests on")[0].split(";")[-1])
    assert ("Split by" in out, "Weights: 'w'" in out) == (True, True)
    code, out, err = xpmlp("train", "--config", "best.toml", *QUICK)
    found = json.loads(out)
    assert (found["n_test"], found["sample_weight"]) == (n, "w")
