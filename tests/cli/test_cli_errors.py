"""Errors of train, predict and evaluate: a sentence, an exit code, and no file."""

import errno
import os
import pickle
from pathlib import Path

import pytest
from cli_data import is_one_sentence, rows, write_csv
from cli_files import (
    BAD_DATA,
    QUICK,
    bad,
    code,
    label,
    npz,
    train_fixture,  # noqa: F401 - fixtures among them
)
from each import each


@pytest.fixture(autouse=True)
def _in_a_folder_of_its_own(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


@each("write, words", BAD_DATA.values(), ids=BAD_DATA.keys(), parts=4)
@each("old", [False, True], ids=["", "old-model-kept"])
def test_bad_data_get_one_sentence_with_the_place_and_leave_no_file(
    xpmlp, tmp_path, monkeypatch, write, words, old
):
    monkeypatch.chdir(tmp_path)
    data = write()
    if old:
        bad("m", b"the old model")
    before = sorted(os.listdir())
    exit_code, out, err = xpmlp("train", data, *QUICK, "--out", "m")
    assert (exit_code, is_one_sentence(err)) == (3, True)
    assert [word for word in words if word not in err] == []
    assert err.count("\n") == 1
    assert sorted(os.listdir()) == before
    assert not old or Path("m").read_bytes() == b"the old model"


@each(
    "arguments, words",
    [
        (["d.csv", "--target", "nope"], ["d.csv", "no column 'nope'"]),
        (["iris", "--target", "nope"], ["iris"]),
        (["d.csv", "--test", "missing.csv"], ["missing.csv"]),
        (["d.csv", "--test", "other.csv"], ["other.csv", "'b'", "'c'"]),
        (["d.csv", "--test", "iris"], ["iris has other columns"]),
        (["d.csv", "--test", "unseen.csv"], ["unseen.csv", "'maybe'", "no, yes"]),
        (["d.csv", "--test", "numbers.csv"], ["numbers.csv holds the label"]),
        (["numbers.csv", "--test", "d.csv"], ["d.csv: the target is text"]),
        (["iris", "--rows", "1", "--validation", "0"], ["the test part of iris holds the label"]),
    ],
)
def test_a_target_or_test_file_that_does_not_fit_is_bad_data(xpmlp, arguments, words):
    write_csv("d.csv", rows(target=label))
    write_csv("numbers.csv", rows())
    write_csv("other.csv", rows(target=label), ("a", "c", "y"))
    write_csv("unseen.csv", [*rows(target=label), (1, 2, "maybe")])
    exit_code, _, err = xpmlp("train", *arguments, *QUICK, "--out", "m")
    assert (exit_code, is_one_sentence(err), os.path.exists("m")) == (3, True, False)
    assert [word for word in words if word not in err] == []
    assert "np." not in err


@each(
    "arguments, words",
    [
        (["--hidden", "a,b"], "'a,b'"),
        (["--hidden", "0"], "'--hidden'"),
        (["--hidden", "5,-1"], "'--hidden'"),
        (["--activation", "nonsense"], "'nonsense'"),
        (["--solver", "nonsense"], "'nonsense'"),
        (["--loss", "poisson"], "'poisson'"),
        (["--loss", "nonsense"], "'nonsense'"),
        (["--learning-rate", "nonsense"], "'nonsense'"),
        (["--init", "nonsense"], "'nonsense'"),
        (["--dropout", "1.5"], "1.5"),
        (["--dropout", "0.5", "--solver", "lbfgs"], "dropout"),
        (["--lr", "-1"], "-1"),
        (["--lr", "nan"], "nan"),
        (["--momentum", "2"], "2"),
        (["--alpha", "-1"], "-1"),
        (["--weight-decay", "nan"], "nan"),
        (["--device", "nonsense"], "'nonsense'"),
        (["--device", "cuda:99"], "cuda:99"),
        (["--dtype", "float16"], "'float16'"),
        (["--validation", "2"], "'2'"),
        (["--validation", "nan"], "'nan'"),
        (["--rows", "0"], "--rows"),
        (["--rows", "-5"], "--rows"),
        (["--batch-size", "0"], "--batch-size"),
        (["--epochs", "0"], "--epochs"),
        (["--patience", "0"], "--patience"),
        (["--seed", "-1"], "--seed"),
        (["--seed", "4294967296"], "--seed"),
        (["--out", "nowhere/m"], "nowhere"),
        (["--nonsense"], "--nonsense"),
    ],
)
def test_a_bad_option_is_told_and_nothing_is_written(xpmlp, arguments, words):
    exit_code, _, err = xpmlp("train", "iris", *QUICK, *arguments)
    assert (exit_code, is_one_sentence(err)) == (2, True)
    assert words in err.splitlines()[-1]
    assert os.listdir() == []


def test_the_model_does_not_overwrite_its_data(xpmlp):
    data = write_csv("d.csv", rows())
    before = Path(data).read_bytes()
    exit_code, _, err = xpmlp("train", data, *QUICK, "--out", "./d.csv")
    assert (exit_code, is_one_sentence(err), Path(data).read_bytes()) == (2, True, before)


@pytest.mark.parametrize("solver", ["sgd", "adam"])
@pytest.mark.parametrize("data", ["iris", "diabetes"])
def test_divergence_has_its_own_exit_code_and_no_model(xpmlp, solver, data):
    exit_code, _, err = xpmlp("train", data, *QUICK, "--solver", solver, "--lr", "1e30")
    assert (exit_code, is_one_sentence(err), os.listdir()) == (5, True, [])
    assert "1e+30" in err


def test_a_network_beyond_the_memory_has_its_own_exit_code(xpmlp):
    exit_code, _, err = xpmlp("train", "iris", *QUICK, "--hidden", "1000000,200000000")
    assert (exit_code, is_one_sentence(err), os.listdir()) == (6, True, [])


@pytest.mark.parametrize("failure", [errno.ENOSPC, errno.EDQUOT, errno.EIO])
def test_a_failing_disk_has_its_own_exit_code_and_keeps_the_old_model(xpmlp, monkeypatch, failure):
    bad("m", b"the old model")

    def fail(descriptor):
        raise OSError(failure, os.strerror(failure))

    monkeypatch.setattr(os, "fsync", fail)
    exit_code, _, err = xpmlp("train", "iris", *QUICK, "--out", "m")
    assert (exit_code, is_one_sentence(err), os.listdir()) == (7, True, ["m"])
    assert os.strerror(failure) in err and "Error: m: " in err
    assert Path("m").read_bytes() == b"the old model"


@pytest.mark.parametrize(
    "content, words",
    [
        (None, "does not exist"),
        (b"", "0 bytes"),
        (pickle.dumps({"a": 1}), "pickle"),
        (b"PK\x03\x04" + bytes(60), "zip"),
        ("cut", "model file 'm'"),
        ("flipped", "model file 'm'"),
        (b"a,b,y\n1,2,3\n4,5,6\n", "saved by xpmlp"),
    ],
    ids="missing empty pickle zip cut flipped csv".split(),
)
@pytest.mark.parametrize("command", ["predict", "evaluate"])
def test_what_is_no_model_file_has_its_own_exit_code(train, xpmlp, content, words, command):
    if isinstance(content, str):
        whole = Path(train("iris", "--out", "m")["model"]).read_bytes()
        content = whole[:-5] if content == "cut" else whole[:-1] + bytes((whole[-1] ^ 1,))
    if content is not None:
        bad("m", content)
    exit_code, out, err = xpmlp(command, "m", "iris")
    assert (exit_code, out, is_one_sentence(err), err.count("\n")) == (4, "", True, 1)
    assert words in err


@pytest.fixture
def three_models(train):
    """Write the models n (of an npz), c (a classifier) and r, and files that do not fit them."""
    write_csv("x.csv", [(a, b) for a, b, _ in rows()], ("a", "q"))
    write_csv("z.csv", [(a, b) for a, b, _ in rows()], ("a", "b"))
    train(npz("huge.npz", rows(target=code)), "--out", "n")
    npz("huge.npz", [(1e39, b, 1) for _, b, _ in rows()])
    train(write_csv("c.csv", rows(target=label)), "--out", "c")
    train(write_csv("r.csv", rows()), "--out", "r")


@each(
    "command, arguments, exit_code, words",
    [
        ("predict", ["c", "x.csv"], 3, "lacks the model's 'b'"),
        ("predict", ["c", "iris"], 3, "expected the model's 2"),
        ("predict", ["n", "huge.npz"], 3, "too large"),
        ("predict", ["c", "missing.csv"], 3, "missing.csv does not exist"),
        ("predict", ["r", "c.csv", "--proba"], 2, "--proba needs a classifier"),
        ("predict", ["c", "c.csv", "--out", "nowhere/p.csv"], 2, "nowhere/p.csv"),
        ("predict", ["c", "c.csv", "--out", "./c.csv"], 2, "overwrite c.csv"),
        ("predict", ["c", "c.csv", "--out", "c"], 2, "overwrite c"),
        ("evaluate", ["c", "x.csv"], 3, "lacks the model's 'b'"),
        ("evaluate", ["c", "z.csv"], 3, "no column 'y'"),
        ("evaluate", ["c", "r.csv"], 3, "r.csv holds the label"),
        ("evaluate", ["r", "c.csv"], 3, "c.csv: the target is text"),
        ("evaluate", ["c", "c.csv", "--target", "nope"], 3, "no column 'nope'"),
        ("evaluate", ["c", "moons"], 3, "moons holds the label 0"),
    ],
)
@pytest.mark.usefixtures("three_models")
def test_data_that_do_not_fit_the_model_are_told(xpmlp, command, arguments, exit_code, words):
    before = sorted(os.listdir())
    found, out, err = xpmlp(command, *arguments)
    assert (found, out, is_one_sentence(err)) == (exit_code, "", True)
    assert words in err and sorted(os.listdir()) == before


LONG = "x" * 50_000 + "\n\x1b[2J\u202e"


@pytest.mark.parametrize(
    "name, text, options",
    [
        ("d.csv", f'a,"{LONG}",y\n1,2,3\n', ["--target", "z"]),
        ("d.csv", f'"{LONG}","{LONG}",y\n1,2,3\n', []),
        ("d.json", f'[{{"a": 1, "{LONG[:-5]}": 2}}]', ["--target", "z"]),
        ("o.toml", f"'{LONG[:50_000]}' = 1\n", ["--config", "o.toml"]),
        ("o.toml", "", ["--lerning-rate" + LONG]),
        ("o.toml", "", ["--out", LONG]),
    ],
    ids=["header", "header twice", "key of JSON", "key of TOML", "option", "path"],
)
def test_an_error_is_one_line_of_some_length_whatever_it_quotes(xpmlp, name, text, options):
    Path(name).write_text(text)
    code, out, err = xpmlp("train", name, *QUICK, *options)
    assert code in (2, 3) and out == "" and is_one_sentence(err)
    assert max(map(len, err.splitlines())) < 1500 and err.replace("\n", "").isprintable()
