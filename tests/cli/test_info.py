"""What `xpmlp info` says of a model file, whoever wrote it."""

import csv
import json
import os
import random
import re
import shutil
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import pytest
from cli_data import is_one_sentence

from xpmlp import MLPRegressor, load_model
from xpmlp.container import read_container, write_container

QUICK = ["--quiet", "--epochs", 3, "--hidden", 4]
KEPT = sorted((Path(__file__).parents[1] / "model" / "files").rglob("*.safetensors"))


@pytest.fixture(autouse=True)
def _in_a_folder_of_its_own(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


def people(n=400):
    draw = random.Random(0)
    with open("people.csv", "w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["id", "age", "city", "since", "rich"])
        for i in range(n):
            age, city = draw.randrange(20, 61), draw.choice(["Rome", "Oslo", ""])
            writer.writerow([f"u{i}", age, city, f"20{i % 20:02}-01-31", ["no", "yes"][age > 40]])
    return "people.csv"


@pytest.fixture
def trained(xpmlp):
    """Train on people.csv without ids; return the JSON of the training."""

    def run(*arguments):
        said = ["--drop", "id", *QUICK, "--out", "m", "--json", *arguments]
        code, out, err = xpmlp("train", people(), *said)
        assert code == 0, err
        return json.loads(out)

    return run


def test_a_training_is_told_wholly(trained, xpmlp):
    found = trained("--threshold", 0.25)
    code, out, err = xpmlp("info", "m")
    lines = out.splitlines()
    assert (code, err) == (0, "")
    assert lines[0] == f"Model: m, {os.path.getsize('m'):,} bytes, written by xpmlp 0.1.0."
    assert "classification of rich into 'no', 'yes', the second where" in out
    assert "above 0.25." in out.replace("\n  ", " ")
    assert "on people.csv: 288 rows, 32 to validate, 80 to test, 0" in out.replace("\n  ", " ")
    assert "Options: drop id, hidden 4, epochs 3, threshold 0.25." in lines
    assert "feature-scale robust" in out and "The weights" not in out
    assert "age     number    20 to 60" in lines
    assert "city    category  2 different: Oslo, Rome; also missing" in lines
    assert "since   date      2000-01-31 to 2019-01-31" in lines
    assert any(line.startswith("1 Dense ") for line in lines)
    assert f"accuracy           {found['metrics']['accuracy']:>10.4f}" in out
    assert "Baseline: always " in out and "precision  recall" in out


def test_the_times_of_dates_are_shown(xpmlp):
    cells = [f"{i % 28 + 1:02}/12/2023 03:{i % 28:02} PM,{i * i % 3},{i % 2}" for i in range(60)]
    Path("t.csv").write_text("\n".join(["when,x,y", *cells]))
    code, _, err = xpmlp("train", "t.csv", *QUICK, "--out", "m")
    assert code == 0, err
    assert re.search(
        r"when +date:%d/%m/%Y +2023-12-\d\d 15:\d\d:00 to 2023-12-", xpmlp("info", "m")[1]
    )


def test_the_json_has_all_of_it_for_programs(trained, xpmlp):
    found = trained()
    code, out, _ = xpmlp("info", "m", "--json")
    told = json.loads(out)
    assert code == 0 and told["training"]["scores"]["metrics"] == found["metrics"]
    assert told["training"]["rows"] == {"train": 288, "validation": 32, "test": 80, "left_out": 0}
    age = datetime.now(UTC) - datetime.fromisoformat(told["training"]["date"])
    assert timedelta(0) <= age < timedelta(minutes=2)
    assert told["columns"][0] == {"name": "age", "type": "number", "values": "20 to 60"}
    model = load_model("m")
    n = sum(a.size for a in (*model.coefs_, *model.intercepts_))
    assert (told["n_parameters"], told["classes"], told["target"]) == (n, ["no", "yes"], "rich")
    assert told["settings"]["epochs"] == "3"


def test_the_record_is_there_before_the_scores_are(trained, xpmlp, monkeypatch):
    def failing(*arguments, **options):
        raise MemoryError

    monkeypatch.setattr("xpmlp.cli.train.scored", failing)
    code, _, _ = xpmlp("train", people(), "--drop", "id", *QUICK, "--out", "m")
    assert code == 6
    _, out, _ = xpmlp("info", "m")
    assert "Trained: " in out and "on people.csv" in out and "accuracy" not in out


def test_another_fit_forgets_the_record_and_files_pickles_and_copies_keep_it(trained):
    import pickle

    trained()
    model = load_model("m")
    assert model.training_record_["data"] == "people.csv"
    model.save("again")
    assert load_model("again").training_record_ == model.training_record_
    assert pickle.loads(pickle.dumps(model)).training_record_ == model.training_record_
    assert model.to("cpu").training_record_ == load_model("m").training_record_
    model.set_params(feature_scale=None, n_bins=None).fit([[0.0], [1.0]] * 20, [0, 1] * 20)
    assert model.training_record_ == {}


def test_a_model_of_python_tells_what_it_knows(xpmlp):
    X = np.random.default_rng(0).normal(size=(30, 2))
    model = MLPRegressor(hidden_layer_sizes=(3,), solver="lbfgs", max_iter=500, random_state=0)
    model.fit(X, X).save("est")
    code, out, err = xpmlp("info", "est")
    assert (code, err) == (0, "")
    for text in ("regression, 2 outputs", "which data is not recorded", "arrays of 2 columns"):
        assert text in out
    model.model_.save("bare")
    code, out, err = xpmlp("info", "bare")
    assert code == 0 and "arrays of 2 columns" in out and "holds a model alone" in err
    told = json.loads(xpmlp("info", "bare", "--json")[1])
    assert (told["n_parameters"], told["threshold"]) == (17, None)


@pytest.mark.parametrize("path", KEPT, ids=lambda p: f"{p.parent.name}-{p.stem}")
def test_files_of_before_are_told_of(xpmlp, path):
    for how in ([], ["--json"]):
        code, out, err = xpmlp("info", path, *how)
        assert code == 0 and out, err


def test_what_is_no_model_is_one_sentence(xpmlp):
    people()
    for path in ("nowhere", "people.csv", os.getcwd()):
        code, out, err = xpmlp("info", path)
        assert (code, out, is_one_sentence(err), err.count("\n")) == (4, "", True, 1)


def rewritten(**entries):
    """Write m again with other entries of its record."""
    arrays, meta = read_container("m")
    meta["training"] |= entries
    write_container("m", arrays, {k: v for k, v in meta.items() if k != "format_version"})


@pytest.mark.parametrize(
    "entries",
    [
        {"rows": 5},
        {"rows": {"train": "many"}},
        {"options": ["a"]},
        {"date": "yesterday"},
        {"scores": {}},
        {"scores": {"metrics": 1}},
        {"scores": None},
    ],
    ids=str,
)
def test_a_record_that_makes_no_sense_is_a_damaged_file(trained, xpmlp, entries):
    trained()
    rewritten(**entries)
    for command in (("info", "m"), ("predict", "m", "people.csv")):
        code, _, err = xpmlp(*command)
        assert (code, is_one_sentence(err), err.count("\n")) == (4, True, 1)


@pytest.mark.parametrize("record", [5, "text", [1, 2]])
def test_a_record_that_is_none_is_a_damaged_file_to_all_commands(trained, xpmlp, record):
    trained()
    arrays, meta = read_container("m")
    del meta["format_version"]
    write_container("m", arrays, meta | {"training": record})
    for command in ("info", "predict"):
        code, _, err = xpmlp(command, "m", *["people.csv"] * (command == "predict"))
        assert (code, is_one_sentence(err)) == (4, True)


def test_control_characters_of_a_file_do_not_reach_the_terminal(trained, xpmlp):
    trained()
    rewritten(data="\x1b[2Jpeople.csv", options={"target": "\x1b]0;owned\x07"})
    assert not {"\x1b", "\x07"} & {*xpmlp("info", "m")[1]}


def test_very_many_columns_and_classes_are_cut_to_a_page(xpmlp):
    n, rng = 150, np.random.default_rng(0)
    with open("wide.csv", "w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow([*(f"column {'x' * 60} {i}" for i in range(n)), "y"])
        for i in range(900):
            writer.writerow([*rng.normal(size=n).round(2).tolist(), f"label {i % 45}"])
    assert xpmlp("train", "wide.csv", *QUICK, "--out", "m")[0] == 0
    code, out, _ = xpmlp("info", "m")
    assert code == 0 and "and 110 more columns" in out and "and 25 more" in out
    assert len(out.splitlines()) < 100 and max(map(len, out.splitlines())) < 100


def test_a_copy_under_another_name_is_told_under_that_name(trained, xpmlp):
    trained()
    shutil.copy("m", "copy")
    assert xpmlp("info", "copy")[1].startswith("Model: copy, ")


def test_names_with_commas_stand_in_quotes_among_the_options(xpmlp, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    rows = "".join(f"{i % 7},{i % 5},{i % 3},{i % 2}\n" for i in range(60))
    Path("t.csv").write_text(f'"last, name",b,c,y\n{rows}')
    quick = ["--epochs", 2, "--hidden", 3, "--out", "m"]
    assert xpmlp("train", "t.csv", "--drop", "last, name", "--drop", "b", *quick)[0] == 0
    found = json.loads(xpmlp("info", "m", "--json")[1])
    assert found["training"]["options"]["drop"] == '"last, name",b'
