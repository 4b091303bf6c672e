"""Options that say how tables are written, lists of names, and the standard input."""

import io
import json
import sys
from pathlib import Path

import pytest
from cli_data import is_one_sentence
from click.exceptions import BadParameter
from each import each

from xpmlp import load_model
from xpmlp.cli.lists import Names, Types, names_of
from xpmlp.tables.reading import Reading

QUICK = ["--quiet", "--epochs", "2", "--hidden", "5"]
COLOURS, LABELS = ("ERR", *["red"] * 8), ("lo", "lo", "lo", "lo", "hi", "hi", "hi")
ROWS = [(i * i % 31, i % 7, COLOURS[i % 9], LABELS[i % 7]) for i in range(80)]
TEXT = "k,m,colour,y\n" + "".join("{},{},{},{}\n".format(*row) for row in ROWS)


@pytest.fixture(autouse=True)
def _in_a_folder_of_its_own(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


class StandardInput:
    def __init__(self, text):
        self.buffer = io.BytesIO(text.encode())


WRITTEN = "Made by a tool\n" + TEXT.partition("\n")[2].replace(",", ":").replace("red", "rôse")
HOW = ["--skip-rows", 1, "--delimiter", ":", "--names", 'k,m,"the, colour",y', "--no-header",
       "--encoding", "cp1252"]  # fmt: skip


def test_a_file_is_read_as_its_options_say_on_every_command(xpmlp):
    Path("d.data").write_bytes(WRITTEN.encode("cp1252"))
    options = [*HOW, "--missing", "ERR,TBD", "--missing", "none"]
    code, out, err = xpmlp("train", "d.data", *QUICK, "--out", "m", *options)
    assert (code, err) == (0, ""), err
    assert "the, colour" in out
    model = load_model("m")
    colour = model.encoder_.columns[2]
    assert (colour.name, colour.categories, colour.missing) == ("the, colour", ("rôse",), True)
    assert model.table_reading_ == Reading(missing=("ERR", "TBD", "none"))
    # What says how cells are read is the model's.
    for command in ("predict", "evaluate"):
        code, out, err = xpmlp(command, "m", "d.data", *HOW)
        assert (code, err) == (0, ""), err
    assert xpmlp("tune", "d.data", *options, "--candidates", "2", "--epochs", "3",
                 "--try", "hidden=3,4", "--out", "best.toml")[0] == 0  # fmt: skip
    assert xpmlp("train", "d.data", *QUICK, "--config", "best.toml", "--out", "n")[0] == 0
    assert load_model("n").table_reading_ == model.table_reading_


def test_the_options_are_keys_of_a_file(xpmlp):
    Path("d.data").write_bytes(WRITTEN.encode("cp1252"))
    Path("c.toml").write_text(
        'data = "d.data"\nskip-rows = 1\ndelimiter = ":"\nheader = false\nencoding = "cp1252"\n'
        'names = ["k", "m", "the, colour", "y"]\nmissing = ["ERR"]\ndrop = ["the, colour"]\n'
        'types = {k = "category"}\n'
    )
    code, _, err = xpmlp("train", *QUICK, "--config", "c.toml", "--out", "m")
    assert (code, err) == (0, ""), err
    assert load_model("m").table_types_ == {"k": "category", "m": "number"}


def test_a_name_with_a_comma_can_be_dropped_typed_and_called_a_category(xpmlp):
    Path("d.csv").write_text(
        '"last, name","a=b",y\n' + "".join(f"{i},{i % 4},{i % 2}\n" for i in range(60))
    )
    for drop in (
        ["--drop", "last, name"],
        ["--drop", '"last, name"'],
        ["--drop", "last, name", "--drop", ""],
    ):
        assert xpmlp("train", "d.csv", *QUICK, "--out", "m", *drop)[0] == 0
        assert list(load_model("m").table_types_) == ["a=b"]
    for said in (["--categorical", "last, name"], ["--types", "last, name=category"]):
        assert xpmlp("train", "d.csv", *QUICK, "--out", "m", *said)[0] == 0
        assert load_model("m").table_types_ == {"last, name": "category", "a=b": "number"}
    assert xpmlp("train", "d.csv", *QUICK, "--out", "m", "--types", "a=b=category")[0] == 0
    assert load_model("m").table_types_ == {"last, name": "number", "a=b": "category"}


@each(
    "text, found",
    [
        ("x=date:%b %d, %Y", {"x": "date:%b %d, %Y"}),
        ("x=date:%b %d, %Y,y=number", {"x": "date:%b %d, %Y", "y": "number"}),
        ("a=number, b=category", {"a": "number", "b": "category"}),
        ("last, name=category", {"last, name": "category"}),
        ("a=b=number", {"a=b": "number"}),
        ("x=date:%Y=%m", {"x": "date:%Y=%m"}),
        ("x=nubmer", {"x": "nubmer"}),
        ({"a, b": "date:%b, %Y"}, {"a, b": "date:%b, %Y"}),
        (["a=number", "b=date:%b, %Y"], {"a": "number", "b": "date:%b, %Y"}),
    ],
)
def test_types_are_told_apart_whatever_marks_they_hold(text, found):
    assert Types().convert(text, None, None) == found


@each("text", ["", "a", "a,b", "=number", "a=", "a=number,b", 3, [], [3]])
def test_what_is_no_type_of_a_column_is_refused(text):
    if text == "a=number,b":  # the comma may be of the type
        assert Types().convert(text, None, None) == {"a": "number,b"}
        return
    with pytest.raises(BadParameter, match="is no"):
        Types().convert(text, None, None)


@each("value", [3, [["a"]], {"a": 1}, 0.5])
def test_what_is_no_list_of_names_is_refused(value):
    with pytest.raises(BadParameter, match="no list of names"):
        Names().convert(value, None, None)


def test_names_are_split_at_commas_but_in_quotes_in_files_and_in_columns():
    values = ("a, b", '"c, d",e', Names().convert(["f, g"], None, None), "h, i", " ")
    assert names_of(values, ("h, i",)) == ("a", "b", "c, d", "e", "f, g", "h, i")


def test_the_standard_input_trains_and_predicts(xpmlp, monkeypatch):
    monkeypatch.setattr(sys, "stdin", StandardInput(TEXT))
    code, out, err = xpmlp("train", "-", *QUICK, "--json")
    assert (code, json.loads(out)["model"]) == (0, "stdin.safetensors"), err
    monkeypatch.setattr(sys, "stdin", StandardInput(TEXT + "1,2\n"))
    options = ["--on-bad-row", "quarantine"]
    code, out, err = xpmlp("predict", "stdin.safetensors", "-", *options)
    assert code == 0 and out.count("\n") == 81 and "line 82" in err
    assert Path("stdin.bad.csv").exists()
    code, _, err = xpmlp("train", "-", *QUICK, "--test", "-")
    assert (code, is_one_sentence(err)) == (2, True) and "once" in err


@each(
    "arguments, words",
    [
        (["--delimiter", "::"], ["'::'", "one character"]),
        (["--delimiter", ",", "--decimal", ","], ["delimiter and decimal", "both ','"]),
        (["--decimal", ";"], ["'--decimal'", "';'"]),
        (["--thousands", "x"], ["thousands is 'x'"]),
        (["--encoding", "latin-9000"], ["latin-9000", "did you mean"]),
        (["--encoding", "rot13"], ["rot13"]),
        (["--names", "a,b,a,c"], ["'a'", "repeated"]),
        (["--skip-rows", "-1"], ["'--skip-rows'"]),
        (["--sheet", "x"], ["d.csv is CSV text", "--sheet"]),
    ],
)
def test_options_that_contradict_themselves_are_told_in_a_sentence(xpmlp, arguments, words):
    Path("d.csv").write_text(TEXT)
    code, _, err = xpmlp("train", "d.csv", *QUICK, *arguments)
    assert (code, is_one_sentence(err)) == (2, True), err
    assert [word for word in words if word not in err] == []


@each(
    "arguments, words",
    [
        (["--names", "a,b,c"], ["line 1 has 4 cells", "expected the 3 of names (--names)"]),
        (["--skip-rows", "200"], ["81 lines", "--skip-rows"]),
        (["--encoding", "utf-16"], ["d.csv cannot be read as utf-16"]),
    ],
)
def test_options_that_do_not_fit_the_file_are_told_in_a_sentence(xpmlp, arguments, words):
    Path("d.csv").write_text(TEXT)
    code, _, err = xpmlp("train", "d.csv", *QUICK, *arguments)
    assert (code, is_one_sentence(err)) == (3, True), err
    assert [word for word in words if word not in err] == []


def test_options_of_tables_are_refused_for_arrays_and_a_missing_file_is_told_first(xpmlp):
    for options in (["--missing", "x"], ["--header"], ["--types", "a=number"], ["--drop", "a"]):
        code, _, err = xpmlp("train", "iris", *QUICK, *options)
        assert (code, "iris is no table" in err) == (2, True), err
        code, _, err = xpmlp("train", "nowhere.csv", *QUICK, *options)
        assert (code, "nowhere.csv does not exist" in err) == (3, True), err


@pytest.mark.parametrize("said", [[], ["--decimal", ","]])
def test_a_decimal_mark_that_the_model_does_not_read_is_refused(xpmlp, said):
    rows = [f"{i * i % 31},{i % 7}5;{i % 5};{LABELS[i % 7]}" for i in range(80)]
    Path("de.csv").write_text("\n".join(["x;k;y", *rows, ""]))
    assert xpmlp("train", "de.csv", *said, *QUICK, "--out", "m")[0] == 0
    for option in (["--decimal", "."], ["--thousands", ","]):
        for command in ("predict", "evaluate"):
            code, out, err = xpmlp(command, "m", "de.csv", *option)
            assert (code, out) == (2, "") and is_one_sentence(err), err
            assert f"{' '.join(option)}: the model reads column 'x' as number:comma" in err
    plain = xpmlp("predict", "m", "de.csv")
    assert plain[0] == 0
    assert xpmlp("predict", "m", "de.csv", "--decimal", ",", "--thousands", ".") == plain


def test_the_help_of_types_names_every_kind(xpmlp):
    text = " ".join(xpmlp("train", "--help")[1].split())
    for kind in ("number:comma", "number:$", "boolean", "time", "duration", "date:epoch"):
        assert f"{kind}," in text
    assert "category:all where NA is a word" in text
