"""`xpmlp export`: what it says of columns whose cells the file does not take as they stand."""

import json
from pathlib import Path

import numpy as np
import pytest

KINDS = {
    "plain": ("number", "NaN where missing"),
    "price": ("number:$", "1234.5, where the table has a number such as $1,234.5"),
    "preis": ("number:comma €", "1234.5, where the table has a number such as 1.234,5 €"),
    "size": ("number:k/M/B", "1500, where the table has a number such as 1.5k"),
    "clock": ("time", "hours, 15.95 for 15:57"),
    "took": ("duration", "seconds, 5400 for 1h 30m"),
    "day": ("date:%d-%b-%Y", "days since 1970-01-01 UTC, where the table has date:%d-%b-%Y"),
    "seen": ("date:epoch", "days since 1970-01-01 UTC, where the table has date:epoch"),
    "paid": ("boolean", "1 or 0, where the table has true or false, yes or no"),
    "city": ("category", "text"),
}
SHOWN = [name for name in KINDS if name not in ("plain", "city")]


def rows():
    for i in range(40):
        j = i * 7 % 23
        yield (
            f"{j / 8}",
            f"${j}.50",
            f'"{j},5 €"',
            f"{j + 0.5}{'kM'[i % 2]}",
            f"{j}:30",
            f"{j}h {j + 9}m",
            f"{j + 1}-Feb-2024",
            f"{1700000000 + 99 * j * j}",
            ("yes", "no")[i % 2],
            f"Oslo{j % 3}",
            "ab"[j % 2],
        )


def test_the_command_and_the_file_say_which_values_stand_for_the_cells(
    xpmlp, tmp_path, monkeypatch
):
    monkeypatch.chdir(tmp_path)
    onnx = pytest.importorskip("onnx", reason="export needs it")
    table = Path("t.csv")
    table.write_text("\n".join(map(",".join, [[*KINDS, "y"], *rows()])) + "\n")
    options = "--epochs", "2", "--types", "seen=date:epoch", "--out", "m", "--quiet"
    code, _, err = xpmlp("train", str(table), *options)
    assert code == 0, err
    code, out, err = xpmlp("export", "m", "--out", "m.onnx")
    assert (code, out) == (0, "ONNX: m.onnx\n")
    told, file = " ".join(err.split()), onnx.load("m.onnx")
    docs = {put.name: put.doc_string for put in file.graph.input}
    types = {prop.key: json.loads(prop.value) for prop in file.metadata_props}["table_types"]
    for name, (kind, words) in KINDS.items():
        assert (types[name], docs[name].startswith(words)) == (kind, True), name
        assert (f"{name}: {words}" in told) == (name in SHOWN), name


def test_the_file_predicts_from_those_values_what_the_model_does_from_the_table(
    xpmlp, tmp_path, monkeypatch
):
    monkeypatch.chdir(tmp_path)
    ort = pytest.importorskip("onnxruntime", reason="it runs the file")
    table = Path("t.csv")
    cells = [f'"${i},100",{i}:30,{i}-Feb-2024,{i % 4}.5' for i in range(1, 10)] * 4
    table.write_text("\n".join(["price,clock,day,y", *cells]) + "\n")
    code, _, err = xpmlp("train", str(table), "--epochs", "2", "--out", "m", "--quiet")
    assert code == 0, err
    xpmlp("export", "m", "--out", "m.onnx")
    xpmlp("predict", "m", str(table), "--out", "p.csv")
    i = np.asarray([*range(1, 10)] * 4, float)[:, None]
    feeds = {"price": i * 1000 + 100, "clock": i + 0.5, "day": 19753 + i}
    found = ort.InferenceSession("m.onnx").run(["prediction"], feeds)[0]
    wanted = np.loadtxt("p.csv", skiprows=1)
    assert np.ptp(wanted) > 0 and np.allclose(found, wanted, rtol=1e-4, atol=1e-4)
