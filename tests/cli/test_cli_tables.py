"""Raw tables on the command line: text, dates and holes in, predictions out, every mistake told."""

import csv
import io
import json
import os
from datetime import date, timedelta
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from cli_data import is_one_sentence
from each import each

from xpmlp import MLPClassifier, load_model
from xpmlp.cli import data as cli_data

HEAD = ("age", "city", "since", "zip", "income")
QUICK = ["--quiet", "--epochs", 3, "--hidden", 5]


@pytest.fixture(autouse=True)
def _in_a_folder_of_its_own(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


def people(n=120):
    """Rows of text: incomes are high of the old in Rome; every tenth age and city is missing."""
    rng = np.random.default_rng(0)
    made = []
    for i in range(n):
        age, city = int(rng.integers(20, 60)), ("Rome", "Oslo", "Bern")[rng.integers(3)]
        since = date(2000, 1, 1) + timedelta(days=int(rng.integers(8000)))
        label = "high" if age > 35 and city != "Oslo" else "low"
        age, city = ("?" if i % 10 == 3 else age), ("" if i % 10 == 7 else city)
        made.append([age, city, since.isoformat(), f"0{rng.integers(10, 15)}", label])
    return made


def write(name, rows, head=HEAD):
    with open(name, "w", newline="") as file:
        csv.writer(file).writerows([head, *rows])
    return name


def table_of(out):
    return list(csv.DictReader(io.StringIO(out)))


@pytest.fixture
def trained(xpmlp):
    """Train on people.csv; returns the JSON and what else was printed: to standard error."""

    def run(*arguments, data="people.csv"):
        if not os.path.exists(data):
            write(data, people())
        code, out, err = xpmlp("train", data, *QUICK, "--json", "--out", "m", *arguments)
        assert code == 0, err
        return json.loads(out), err

    return run


def test_a_raw_table_trains_and_its_types_are_shown_and_kept(trained):
    found, out = trained("--epochs", 60, "--lr", 0.01)
    assert (found["n_left_out"], found["n_train"] + found["n_test"]) == (0, 110)
    assert found["metrics"]["accuracy"] > 0.7
    for name, kind in zip(HEAD, ("number", "category", "date", "category", "(target)")):
        assert any(line.split()[:2] == [name, kind] for line in out.splitlines()), name
    assert "Settings: hidden 5" in out and "feature-scale robust" in out
    model = load_model("m")
    assert model.table_types_ == dict(zip(HEAD[:-1], ("number", "category", "date", "category")))
    assert (model.target_name_, model.classes_.tolist()) == ("income", ["high", "low"])
    assert [(c.name, c.missing) for c in model.encoder_.columns][:2] == [
        ("age", True),
        ("city", True),
    ]


def test_predictions_are_those_of_the_model_whatever_the_order_of_the_columns(trained, xpmlp):
    trained()
    rows = [[*row[::-1], "more"] for row in people(30)]
    write("new.csv", [row[1:] for row in rows], (*HEAD[::-1][1:], "extra"))
    code, out, err = xpmlp("predict", "m", "new.csv", "--proba")
    assert (code, err) == (0, "")
    found = table_of(out)
    import pandas as pd

    frame = pd.read_csv("new.csv", dtype={"zip": str}, na_values="?", parse_dates=["since"])
    expected = load_model("m").predict_proba(frame[list(HEAD[:-1])])
    np.testing.assert_allclose(
        [[float(r["high"]), float(r["low"])] for r in found], expected, rtol=1e-5
    )
    assert list(found[0]) == ["prediction", "high", "low"]


def test_a_file_is_predicted_block_by_block_to_the_same(trained, xpmlp, monkeypatch):
    trained()
    whole = xpmlp("predict", "m", "people.csv", "--proba")
    scores = xpmlp("evaluate", "m", "people.csv", "--json")[1]
    monkeypatch.setattr("xpmlp.tables.frame.BLOCK", 7)
    sizes, plain = [], MLPClassifier.predict
    monkeypatch.setattr(
        MLPClassifier, "predict", lambda m, X: (sizes.append(len(X)), plain(m, X))[1]
    )
    blocks = xpmlp("predict", "m", "people.csv", "--proba")
    for row, expected in zip(table_of(blocks[1]), table_of(whole[1]), strict=True):
        assert row["prediction"] == expected["prediction"]
        assert float(row["low"]) == pytest.approx(float(expected["low"]), rel=1e-5)
    assert sizes == [7] * 17 + [1]
    again = xpmlp("evaluate", "m", "people.csv", "--json")[1]
    assert json.loads(again)["metrics"] == pytest.approx(json.loads(scores)["metrics"])


def test_a_test_file_is_evaluated_to_the_metrics_of_the_training(trained, xpmlp):
    write("test.csv", [row[::-1] for row in people(40)], HEAD[::-1])
    found, _ = trained("--test", "test.csv", "--validation", "test.csv")
    assert (found["n_train"], found["n_test"]) == (120, 40)
    again = json.loads(xpmlp("evaluate", "m", "test.csv", "--json")[1])
    assert again["metrics"] == found["metrics"]
    assert xpmlp("explain", "m", "people.csv", "--rows", 9)[0] == 0
    assert "FLOP" in xpmlp("explain", "m", "people.csv", "--plan")[1]


def broken():
    """people.csv with a short row on line 4, a long one on 6, and no age on 9."""
    rows = people()
    rows[2], rows[4] = rows[2][:3], [*rows[4], "more"]
    rows[7][0] = "old"
    return write("people.csv", rows)


def test_bad_rows_are_an_error_or_skipped_or_kept_apart(trained, xpmlp):
    broken()
    code, out, err = xpmlp("train", "people.csv", *QUICK, "--out", "m")
    assert (code, is_one_sentence(err), "line 4" in err, os.listdir()) == (
        3,
        True,
        True,
        ["people.csv"],
    )
    found, err = trained("--on-bad-row", "skip")
    assert (found["n_left_out"], "3 left out" in err) == (3, True)
    assert [
        word for word in ("line 4", "line 6", "line 9", "'old'", "'age'") if word not in err
    ] == []
    assert sorted(os.listdir()) == ["m", "people.csv"]
    trained("--on-bad-row", "quarantine", "--max-bad-rows", 0.05)
    apart = table_of(Path("people.csv.bad.csv").read_text())
    assert [row["line"] for row in apart] == ["4", "6", "9"]
    write("test.csv", [*people(20), ["x", "Rome", "", "", "low"]])
    more = ["--quarantine", "q.csv", "--max-bad-rows", 3, "--test", "test.csv"]
    trained("--on-bad-row", "quarantine", *more)
    assert [row["line"] for row in table_of(Path("test.csv.bad.csv").read_text())] == ["22"]
    assert Path("q.csv").read_text() == Path("people.csv.bad.csv").read_text()


@pytest.mark.parametrize("place", ["people.csv", "m", "nowhere/q.csv"])
def test_bad_rows_are_not_written_over_the_data_or_the_model_or_nowhere(xpmlp, place):
    before = Path(broken()).read_text()
    apart = ["--on-bad-row", "quarantine", "--quarantine", place, "--out", "m"]
    code, _, err = xpmlp("train", "people.csv", *QUICK, *apart)
    assert (code, is_one_sentence(err), os.listdir()) == (2, True, ["people.csv"])
    assert (Path("people.csv").read_text(), place in err) == (before, True)


@pytest.mark.parametrize("limit", [2, 0.01])
def test_too_many_bad_rows_are_an_error_and_leave_no_file(xpmlp, limit):
    broken()
    limits = ["--on-bad-row", "quarantine", "--max-bad-rows", limit]
    code, _, err = xpmlp("train", "people.csv", *QUICK, *limits)
    assert (code, is_one_sentence(err), os.listdir()) == (3, True, ["people.csv"])
    assert "3 of 120 rows" in err and "--max-bad-rows" in err


def test_a_training_that_fails_leaves_no_file_of_bad_rows(xpmlp):
    broken()
    code, _, _ = xpmlp("train", "people.csv", *QUICK, "--on-bad-row", "quarantine", "--lr", "1e30")
    assert (code, os.listdir()) == (5, ["people.csv"])


def test_predictions_say_which_lines_they_are_of_where_rows_are_left_out(
    trained, xpmlp, monkeypatch
):
    trained()
    monkeypatch.setattr("xpmlp.tables.frame.BLOCK", 2)
    Path("new.csv").write_text(
        "age,city,since,zip\n30,Rome,2001-02-03,011\nx,,,\n40,,?,012\n40,Oslo,soon,012\n"
        "41,Oslo,2002-01-01,\n"
    )
    before = sorted(os.listdir())
    code, out, err = xpmlp("predict", "m", "new.csv", "--out", "p.csv")
    assert (code, out, is_one_sentence(err), sorted(os.listdir())) == (3, "", True, before)
    assert "line 3" in err and "'x'" in err
    code, out, err = xpmlp("predict", "m", "new.csv", "--on-bad-row", "skip")
    assert (code, [row["line"] for row in table_of(out)]) == (0, ["2", "4", "6"])
    assert "line 3" in err and "line 5" in err and "'soon'" in err
    code, out, err = xpmlp(
        "predict", "m", "new.csv", "--on-bad-row", "quarantine", "--out", "p.csv"
    )
    assert (code, out, "3 predictions" in err) == (0, "", True)
    assert [row["line"] for row in table_of(Path("new.csv.bad.csv").read_text())] == ["3", "5"]


def test_the_target_to_compare_with_is_none_of_the_features(trained, xpmlp):
    trained()
    code, _, err = xpmlp("evaluate", "m", "people.csv", "--target", "city")
    assert (code, is_one_sentence(err), "city" in err) == (2, True, True)


def test_categories_that_the_model_does_not_know_are_counted(trained, xpmlp):
    trained()
    rows = people(40)
    for row in rows[:9]:
        row[1] = "Paris"
    write("new.csv", rows)
    for command in ("predict", "evaluate"):
        code, _, err = xpmlp(command, "m", "new.csv")
        assert (code, err.count("\n")) == (0, 1)
        assert "'city'" in err and "'Paris'" in err and " 9 rows" in err


def test_columns_unlike_those_of_training_are_told_once_each(trained, xpmlp):
    trained()
    rows = people(40)
    for row in rows:
        row[0] = row[0] if row[0] == "?" else 1000 * row[0]
        row[1] = ""
    write("new.csv", rows)
    for command in ("predict", "evaluate"):
        code, _, err = xpmlp(command, "m", "new.csv")
        assert (code, err.count("Note: ")) == (0, 2)
        assert "'age' holds 20,000 to 57,000, in 36 of 40 rows outside" in " ".join(err.split())
        assert "'city' is missing in all 40 rows" in err


def test_a_mistyped_type_is_told_with_the_one_that_is_meant(xpmlp):
    write("people.csv", people())
    code, _, err = xpmlp("train", "people.csv", *QUICK, "--types", "age=nmber")
    assert code == 3 and err.endswith("date:%d/%m/%Y: did you mean 'number'?\n")


def test_columns_are_what_the_options_say(trained, xpmlp):
    write("people.csv", [[a, c, f"{d[8:]}/{d[5:7]}/{d[:4]}", z, y] for a, c, d, z, y in people()])
    what = ["--types", "since=date:%d/%m/%Y", "--categorical", "zip,age", "--drop", "city"]
    trained(*what, "--types", "zip=number,age=category")
    kinds = {"age": "category", "since": "date:%d/%m/%Y", "zip": "category"}
    assert load_model("m").table_types_ == kinds
    assert xpmlp("evaluate", "m", "people.csv")[0] == 0
    trained("--types", "since=category,zip=category", "--target", "zip", "--task", "classification")
    assert load_model("m").classes_.tolist() == ["010", "011", "012", "013", "014"]
    assert xpmlp("evaluate", "m", "people.csv")[0] == 0


def test_the_summary_of_a_network_with_learnt_vectors_begins_with_the_encoded_columns(xpmlp):
    lines = [f"k{i % 90},{i % 7},{i % 2}\n" for i in range(720)]
    Path("keys.csv").write_text("key,n,y\n" + "".join(lines))
    code, out, err = xpmlp("train", "keys.csv", "--bins", "none", *QUICK)
    assert (code, err) == (0, "")
    found = " ".join(out.split())
    assert "1 Embedding(sizes=(91,), n_dim=8) (n, 9) 728" in found
    assert "2 Dense 9 -> 5 selu (n, 5) 50" in found


def test_many_columns_of_numbers_have_few_bins_each_unless_the_user_says_how_many(xpmlp):
    rng = np.random.default_rng(0)
    names = ",".join(f"c{i}" for i in range(100))
    rows = [",".join(f"{v:.3f}" for v in row) for row in rng.normal(size=(60, 100))]
    lines = [f"{row},{i % 2}" for i, row in enumerate(rows)]
    Path("wide.csv").write_text("\n".join([f"{names},y", *lines, ""]))
    for options, bins in (([], 40), (["--bins", 50], 50), (["--bins", "none"], None)):
        assert xpmlp("train", "wide.csv", *QUICK, *options)[0] == 0
        assert load_model("wide.safetensors").n_bins == bins


@pytest.mark.parametrize(
    "arguments, place",
    [
        (["predict", "t.safetensors", "t.csv"], "t.safetensors"),
        (["train", "t.csv", "--test", "other.csv"], "other.csv"),
        (["train", "t.csv", "--validation", "other.csv"], "other.csv"),
        (["train", "t.csv", "--config", "run.toml"], "run.toml"),
    ],
    ids=lambda v: " ".join(v) if isinstance(v, list) else v,
)
def test_no_file_that_a_command_reads_is_written_over(xpmlp, arguments, place):
    lines = [f"{i},{i % 2}" for i in range(60)]
    for name in ("t.csv", "other.csv"):
        Path(name).write_text("\n".join(["a,y", *lines, "odd,1", ""]))
    Path("run.toml").write_text("epochs = 3\n")
    keep = ["--on-bad-row", "skip"]
    assert xpmlp("train", "t.csv", *QUICK, *keep)[0] == 0
    before = Path(place).read_bytes()
    quarantine = ["--on-bad-row", "quarantine", "--quarantine", place]
    for options in (quarantine, [*keep, "--out", place]):
        code, _, err = xpmlp(*arguments, *options)
        assert code == 2 and is_one_sentence(err) and f"would overwrite {place}" in err
        assert Path(place).read_bytes() == before


def test_each_quantile_that_was_learnt_is_a_column_of_the_predictions(xpmlp):
    Path("q.csv").write_text("a,y\n" + "".join(f"{i},{i * i}\n" for i in range(60)))
    wanted = ["--loss", "quantile", "--quantiles", "0.1,0.5,0.9"]
    assert xpmlp("train", "q.csv", *QUICK, *wanted)[0] == 0
    code, out, err = xpmlp("predict", "q.safetensors", "q.csv")
    head, *lines = csv.reader(io.StringIO(out))
    assert (code, err) == (0, "")
    assert head == ["prediction", "quantile 0.1", "quantile 0.5", "quantile 0.9"]
    middle, low, same, high = np.asarray(lines, float).T
    assert (
        len(lines) == 60 and (middle == same).all() and (low <= same).all() and (same <= high).all()
    )


def test_a_parquet_file_is_a_table_too(trained, xpmlp):
    import duckdb

    write("people.csv", people())
    types = "{'zip': 'VARCHAR', 'age': 'INTEGER'}"
    read = f"FROM read_csv('people.csv', nullstr=['', '?'], types={types})"
    duckdb.sql(f"COPY ({read}) TO 'people.parquet'")
    found, out = trained("--test", "people.parquet", data="people.parquet")
    assert found["n_train"] == 108 and "since" in out
    csv_too = json.loads(xpmlp("evaluate", "m", "people.csv", "--json")[1])
    assert csv_too["metrics"] == found["metrics"]
    infinite = "SELECT * REPLACE (if(age = 30, 'inf'::DOUBLE, age) AS age)"
    duckdb.sql(f"COPY ({infinite} {read}) TO 'bad.parquet'")
    code, _, err = xpmlp("predict", "m", "bad.parquet")
    assert (code, is_one_sentence(err), "row " in err and "'age'" in err) == (3, True, True)


def test_a_model_leaves_as_onnx(trained, xpmlp):
    pytest.importorskip("onnx", reason="export needs it")
    trained()
    code, out, err = xpmlp("export", "m", "--out", "people.onnx")
    assert (code, out) == (0, "ONNX: people.onnx\n")
    assert "since: days since 1970-01-01 UTC, where the table has date" in err
    assert Path("people.onnx").stat().st_size > 1000
    for place in ("m", "nowhere/m.onnx"):
        code, _, err = xpmlp("export", "m", "--out", place)
        assert (code, is_one_sentence(err), load_model("m").n_iter_) == (2, True, 3)


def test_a_model_of_an_array_takes_tables_of_its_names(xpmlp):
    from sklearn.datasets import load_wine

    wine = load_wine()
    names = [*wine.feature_names, "target"]
    rows = np.column_stack([wine.data, wine.target]).tolist()
    write("all.csv", [row[::-1] for row in rows], names[::-1])
    write("one.csv", rows[:3], names)  # one label
    train = ["train", "wine", "--test", "all.csv", "--validation", "one.csv", *QUICK, "--json"]
    code, out, err = xpmlp(*train)
    assert code == 0, err
    metrics = json.loads(xpmlp("evaluate", "wine.safetensors", "all.csv", "--json")[1])["metrics"]
    assert metrics == json.loads(out)["metrics"]
    assert "one.csv: 3 rows" in xpmlp("evaluate", "wine.safetensors", "one.csv")[1]
    write("bad.csv", [*rows[:3], ["x", *rows[3][1:]], ["", *rows[4][1:]]], names)
    code, _, err = xpmlp("predict", "wine.safetensors", "bad.csv", "--on-bad-row", "skip")
    assert (code, "line 6" in err, "'alcohol'" in err) == (3, True, True)  # holes are not encoded
    write("bad.csv", [*rows[:3], ["x", *rows[3][1:]], rows[4]], names)
    code, out, _ = xpmlp("predict", "wine.safetensors", "bad.csv", "--on-bad-row", "skip")
    assert (code, [row["line"] for row in table_of(out)]) == (0, ["2", "3", "4", "6"])


def test_lbfgs_trains_on_a_table_without_what_it_has_no_steps_for(trained):
    trained("--solver", "lbfgs")
    assert load_model("m").dropout == 0


def test_numbers_as_labels_and_as_quantities_follow_the_task(trained):
    write("people.csv", [[*row[:4], i % 3] for i, row in enumerate(people())])
    assert trained()[0]["task"] == "classification"
    assert trained("--task", "regression", "--loss", "poisson")[0]["metrics"].keys() == {
        "rmse",
        "mae",
        "r2",
    }


def test_a_model_trained_on_a_data_frame_predicts_a_file(xpmlp):
    import pandas as pd

    write("people.csv", people())
    frame = pd.read_csv("people.csv", dtype={"zip": str}, na_values="?", parse_dates=["since"])
    y = frame.pop("income")
    model = MLPClassifier((5,), max_iter=20, tol=1.0, random_state=0).fit(frame, y)
    model.save("m")
    code, out, err = xpmlp("predict", "m", "people.csv")
    assert (code, err) == (0, "")
    assert [row["prediction"] for row in table_of(out)] == model.predict(frame).tolist()
    code, _, err = xpmlp("evaluate", "m", "people.csv")
    assert (code, is_one_sentence(err), "--target" in err) == (2, True, True)
    assert xpmlp("evaluate", "m", "people.csv", "--target", "income")[0] == 0


def test_a_network_of_a_large_scale_column_needs_no_unit(xpmlp):
    write(
        "d.csv",
        [[a * 1e39, b] for a, b in np.random.default_rng(0).normal(size=(60, 2))],
        ("a", "y"),
    )
    assert xpmlp("train", "d.csv", *QUICK)[0] == 0


def one_label():
    return write("d.csv", [[*row[:4], "high"] for row in people()])


def rare_label():
    return write("d.csv", [*people(), [30, "Rome", "2001-01-01", "012", "medium"]])


BAD = {
    "one label": (one_label, [], ["d.csv", "'income'", "high"]),
    "one number": (lambda: write("d.csv", [[i, 3] for i in range(50)], "ay"), [], ["'y'", "3"]),
    "rare label": (rare_label, ["--rare-labels", "error"], ["d.csv", "only 1 row", "--rare-l"]),
    "no such target": (one_label, ["--target", "incom"], ["'incom'", "'income'"]),
    "no such column": (one_label, ["--types", "citty=category"], ["'citty'", "'city'"]),
    "no such type": (one_label, ["--types", "city=kategory"], ["'city'", "kategory"]),
    "no such dropped": (one_label, ["--drop", "citty"], ["'citty'", "'city'"]),
    "all dropped": (lambda: write("d.csv", people()), ["--drop", ",".join(HEAD[:-1])], ["--drop"]),
    "text for a regression": (lambda: write("d.csv", people()), ["--task", "regression"], ["low"]),
    "a test file without a column": (
        lambda: write("d.csv", people()), ["--test", "other.csv"], ["other.csv", "'city'"],
    ),
    "a validation file without a column": (
        lambda: write("d.csv", people()), ["--validation", "other.csv"], ["other.csv", "'city'"],
    ),
    "a test file with a date that is none": (
        lambda: write("d.csv", people()), ["--test", "late.csv"], ["late.csv line 3", "'soon'"],
    ),
    "a test file with another label": (
        lambda: write("d.csv", people()), ["--test", "label.csv"], ["label.csv", "'rich'"],
    ),
    "an array to test": (lambda: write("d.csv", people()), ["--test", "iris"], ["iris", "columns"]),
    "all rows bad": (
        lambda: write("d.csv", [row[:4] for row in people()]), ["--on-bad-row", "skip"], ["d.csv"],
    ),
}  # fmt: skip


@each("make, arguments, words", BAD.values(), ids=BAD, parts=4)
def test_a_table_that_cannot_be_trained_on_gets_one_sentence_and_no_file(
    xpmlp, make, arguments, words
):
    data = make()
    write("other.csv", [[row[0], *row[2:]] for row in people()], (HEAD[0], *HEAD[2:]))
    write("late.csv", [people(1)[0], ["30", "Rome", "soon", "011", "low"]])
    write("label.csv", [["30", "Rome", "2001-01-01", "011", "rich"], *people(3)])
    before = sorted(os.listdir())
    code, _, err = xpmlp("train", data, *QUICK, *arguments)
    assert (code, is_one_sentence(err), sorted(os.listdir())) == (3, True, before)
    assert [word for word in words if word not in err.splitlines()[-1]] == []


def test_rows_beyond_memory_and_disk_are_told_before_the_training(xpmlp, monkeypatch):
    write("people.csv", people())
    monkeypatch.setattr("xpmlp.arrays.free_memory", lambda x: 100)
    monkeypatch.setattr(cli_data.shutil, "disk_usage", lambda path: SimpleNamespace(free=50))
    code, _, err = xpmlp("train", "people.csv", *QUICK, "--max-memory", "1GB")
    assert (code, is_one_sentence(err), os.listdir()) == (6, True, ["people.csv"])
    assert "people.csv" in err and "--rows" in err


def test_data_beyond_the_memory_that_is_said_end_each_command_in_a_sentence(xpmlp):
    write("people.csv", people())
    assert xpmlp("train", "people.csv", *QUICK, "--out", "m.safetensors")[0] == 0
    model = ("m.safetensors", "people.csv")
    for command in (
        ("train", model[1]),
        ("tune", model[1]),
        ("predict", *model),
        ("evaluate", *model),
    ):
        code, _, err = xpmlp(*command, "--max-memory", "9kB")
        assert (code, is_one_sentence(err)) == (6, True) and "9.0 kB are allowed" in err
    code, _, err = xpmlp("predict", *model, "--max-memory", "much")
    assert code == 2 and "expected one such as 4GB" in err


def test_doubtful_columns_are_warned_of_also_when_quiet(xpmlp):
    rows = [[i, *row] for i, row in enumerate(people())]
    write("people.csv", rows, ("id", *HEAD))
    code, out, err = xpmlp("train", "people.csv", *QUICK)
    assert (code, err.count("\n")) == (0, 1)
    assert err.startswith("Warning: column 'id' counts the rows")
    assert err.endswith("leave it out by --drop id.\n")
    assert xpmlp("train", "people.csv", *QUICK, "--drop", "id")[2] == ""
    code, out, err = xpmlp("tune", "people.csv", "--epochs", 1, "--try", "lr=0.1,0.2")
    assert code == 0
    assert "--drop id" in err


def prices(written, n=200):
    """Rows of a price, written so, and whether it is high."""
    values = np.random.default_rng(0).uniform(100, 9000, n)
    return [[written(x), i % 7, ("low", "high")[int(x > 4500)]] for i, x in enumerate(values)]


def test_prices_as_people_write_them_are_numbers_to_train_on_and_to_predict_from(xpmlp):
    head = ("price", "k", "y")
    write("prices.csv", prices(lambda x: f"${x:,.2f}"), head)
    code, out, err = xpmlp("train", "prices.csv", "--epochs", 8, "--out", "m")
    assert (code, err) == (0, "") and "number:$" in out
    write("new.csv", [["$9,000", 1], ["($5.00)", 1]], head[:2])
    code, out, _ = xpmlp("predict", "m", "new.csv")
    assert (code, [row["prediction"] for row in table_of(out)]) == (0, ["high", "low"])
    write("new.csv", [["9.000,00 €", 1]], head[:2])
    code, _, err = xpmlp("predict", "m", "new.csv")
    assert code == 3 and is_one_sentence(err) and "expected a number such as $1,234.5" in err


def test_a_column_of_nearly_numbers_is_warned_of_once(xpmlp):
    rows = prices(lambda x: f"${x:.2f}" if x > 2000 else f"€{x:.2f}")
    write("prices.csv", rows, ("price", "k", "y"))
    code, _, err = xpmlp("train", "prices.csv", *QUICK)
    assert code == 0 and err.count("Warning") == 1
    assert "its cells are numbers, written as" in " ".join(err.split())
