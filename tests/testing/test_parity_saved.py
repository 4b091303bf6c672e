"""Parity between machines: results in a file, compared on another machine; faults are planted."""

import json
import os
import subprocess
import sys
from dataclasses import replace
from xml.etree import ElementTree

import numpy as np
import pytest
from each import each

from xpmlp import MLPClassifier
from xpmlp.cli import main
from xpmlp.container import read_container, write_container
from xpmlp.errors import DataError
from xpmlp.testing.parity import run_parity
from xpmlp.testing.parity.operations import operations
from xpmlp.testing.parity.saved import digest, read_results, write_results

pytest_plugins = ["pytester"]
STRICT = "array_api_strict:device1"
SOME = [op for op in operations() if op.name in ("sum of 300 terms", "activation tanh")]


@pytest.fixture(scope="module")
def report():
    return run_parity("numpy")


@pytest.fixture
def saved(report, tmp_path):
    """The file of a run on NumPy."""
    path = tmp_path / "work.parity"
    write_results(path, report.here)
    return path


def compared(results, tmp_path, subjects=()):
    """The report of this machine's NumPy against these results, by way of a file."""
    path = tmp_path / "changed.parity"
    write_results(path, results)
    return run_parity("numpy", subjects, read_results(path))


def changed(results, operation, dtype, output, value):
    """Results with another value of one output on NumPy."""
    key, made = (operation, dtype), results.outputs["numpy"]
    return replace(results, outputs={"numpy": made | {key: made[key] | {output: value}}})


def ran(*options):
    """The exit code of `xpmlp parity`."""
    with pytest.raises(SystemExit) as ended:
        main(["parity", *map(str, options)])
    return ended.value.code


# ---- Results there and back


def test_results_come_back_from_a_file_to_the_last_bit(report, saved):
    found, here = read_results(saved), report.here
    assert found.about == here.about and found.libraries == here.libraries
    assert found.inputs == here.inputs and len(found.inputs) == len([*operations()])
    assert [*found.outputs["numpy"]] == [*here.outputs["numpy"]]
    for key, outputs in here.outputs["numpy"].items():
        for name, arrays in outputs.items():
            for a, b in zip(found.outputs["numpy"][key][name], arrays, strict=True):
                assert a.dtype == b.dtype and a.shape == b.shape and a.tobytes() == b.tobytes()
    assert saved.stat().st_size < 1.3e6  # as the help says


@pytest.mark.parametrize("xp", ["torch", "strict-device1"], indirect=True)
def test_one_librarys_file_is_compared_where_another_library_runs(xp, saved, report):
    made = run_parity(xp.name, there=read_results(saved))
    assert made.ok, str(made)
    theirs = [row for row in made.rows if row.library == "numpy in work.parity"]
    assert [row.error for row in theirs] == [row.error for row in report.rows]
    assert len(made.rows) == 2 * len(report.rows)


def test_a_file_from_another_cpu_passes(tmp_path):
    """OpenBLAS with the kernels of an old CPU: products, and LAPACK's, have other last bits."""
    path = tmp_path / "old.parity"
    command = [sys.executable, "-m", "xpmlp", "parity", "--xp", "numpy", "--save", str(path)]
    env = os.environ | {"OPENBLAS_CORETYPE": "Prescott"}
    subprocess.run(command, env=env, check=True, capture_output=True)
    made = run_parity("numpy", there=read_results(path))
    assert made.ok and not made.not_compared, str(made)


# ---- Planted faults: found and named, on the side where they are


FAULTS = {  # operation, dtype, output -> what becomes of its first array, what is said
    ("activation tanh", "float64", "forward"): (lambda a: a * (1 + 1e-13), "ulp, bound 8"),
    ("activation relu", "float32", "backward"): (lambda a: -a, "the sign is flipped"),
    ("random bits", "float32", "bits"): (lambda a: a ^ (a == a.max()), "1 of its numbers differ"),
    ("product of 128 x 128", "float32", "precision"): (
        lambda a: (a.view(np.int32) & -(1 << 13)).view(np.float32),
        "as TF32 does",
    ),
    ("MLPClassifier, 8 steps", "float64", "weights"): (
        lambda a: a.astype(np.float32).astype(float),
        "as large as float32's rounding",
    ),
    ("layer Dense", "float32", "forward"): (lambda a: a[:, :-1], "shape is (24, 15), expected"),
    ("layer Dropout", "float32", "forward"): (lambda a: a * np.nan, "holds NaN or infinity"),
}


@each("place", FAULTS, ids=lambda place: place[0])
def test_a_saved_value_beyond_its_bound_fails_and_is_named(place, report, tmp_path):
    change, said = FAULTS[place]
    first, *rest = report.here.outputs["numpy"][place[:2]][place[2]]
    subjects = [op for op in operations() if op.name == place[0]]
    made = compared(changed(report.here, *place, [change(first), *rest]), tmp_path, subjects)
    (row,) = made.failures
    assert row.operation == f"{place[0]}: {place[2]}" and row.dtype == place[1]
    assert row.library == "numpy in changed.parity" and said in row.problem
    assert not made.ok and f"FAILED {row.library} {row.dtype} {row.operation}: " in str(made)


def test_a_saved_value_within_its_bound_passes(report, tmp_path):
    place = "activation tanh", "float64", "forward"
    (a,) = report.here.outputs["numpy"][place[:2]][place[2]]
    made = compared(changed(report.here, *place, [a + 4 * np.spacing(a)]), tmp_path, SOME)
    assert made.ok, str(made)
    error = next(row.error for row in made.rows if row.library != "numpy" and "tanh" in row[0])
    assert 3 < error < 6  # ulp


def test_what_went_wrong_on_the_other_machine_is_told(report, tmp_path):
    said = "raised RuntimeError: no kernel image is available"
    made = changed(report.here, "activation tanh", "float32", "forward", said)
    assert [row.problem for row in compared(made, tmp_path, SOME).failures] == [said]


# ---- What cannot be compared is named


def test_what_only_one_machine_knows_is_named_and_not_compared(report, tmp_path):
    outputs = {
        key: made
        for key, made in report.here.outputs["numpy"].items()
        if key[0] in ("sum of 300 terms", "activation tanh")
    }
    (value,) = outputs["activation tanh", "float32"]["forward"]
    del outputs["sum of 300 terms", "float32"]
    outputs["activation tanh", "float32"] = {"forward": [value], "third": [value]}
    outputs["activation sine", "float32"] = {"forward": [value]}
    outputs["activation sine", "float16"] = {"forward": [value]}
    made = compared(replace(report.here, outputs={"numpy": outputs}), tmp_path, SOME)
    assert made.ok
    assert made.not_compared == {
        "only this machine has it": "sum of 300 terms: product, sum of 300 terms: sum, "
        "activation tanh: backward",
        "only changed.parity has it": "activation tanh: third, activation sine: forward",
    }
    skipped = [(row.operation, row.dtype) for row in made.rows if row.skipped]
    assert ("activation sine: forward", "float16") in skipped and len(skipped) == 6
    assert "not compared, as only this machine has it: sum of" in str(made)
    assert str(made).endswith("13 results, all passed, 6 not compared")
    html = made.html()
    assert "activation sine: forward." in html and "not compared" in html
    assert '<td class="n"><nobr>8 ulp' in html.replace("'", '"')
    rows = json.loads(made.json())["rows"]
    assert [row["skipped"] for row in rows].count("only changed.parity has it") == 3
    assert len(ElementTree.fromstring(made.junit()).findall("testcase/skipped")) == 6


def test_other_inputs_are_named_and_not_compared(report, tmp_path):
    here = replace(report.here, about=report.here.about | {"NumPy": "9.1"})
    other = replace(here, inputs=here.inputs | {"activation tanh": "0"})
    made = compared(other, tmp_path, SOME)
    why = "its inputs in changed.parity are others, drawn by NumPy 9.1"
    assert (
        made.ok and made.not_compared[why] == "activation tanh: forward, activation tanh: backward"
    )
    made = compared(replace(here, inputs=dict.fromkeys(here.inputs, "0")), tmp_path, SOME)
    assert not made.ok and "NOTHING COMPARED of numpy in changed.parity" in str(made)


def test_a_digest_forgives_the_last_bits_only():
    a = np.linspace(0.1, 1.0, 50)
    assert digest([a]) == digest([a * (1 + 4e-16)])
    assert digest([a]) != digest([a * (1 + 1e-6)])
    assert digest([a]) != digest([a[:, None]]) != digest([a.astype(np.int32)])


# ---- The report


def test_versions_and_devices_stand_side_by_side_in_80_columns(report, tmp_path):
    here = report.here
    other = replace(
        here,
        about=here.about | {"Python": "3.99.1", "system": "Plan9 mips"},
        libraries={"cupy": {"version": "77.1", "device": "cuda:3"}},
        outputs={"cupy": here.outputs["numpy"]},
    )
    made = compared(other, tmp_path, SOME)
    lines = str(made).splitlines()
    assert max(map(len, lines)) <= 80
    python = next(line for line in lines if line.startswith("Python"))
    assert python.split() == ["Python", here.about["Python"], "3.99.1"]
    cupy = next(line for line in lines if line.startswith("cupy"))
    assert cupy.split() == ["cupy", "-", "77.1", "(cuda:3)"]
    assert ["system", here.about["system"], "Plan9 mips"] in json.loads(made.json())["machines"]
    assert "<td>77.1 (cuda:3)</td>" in made.html() and "cupy in changed.parity" in made.html()


# ---- The command


def test_the_command_saves_and_compares(tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "a.parity").write_text("something else")
    assert ran("--xp", "numpy", "--save", "a.parity", "--json", "a.json") == 0
    assert "results: a.parity" in capsys.readouterr().out
    assert ran("--xp", STRICT, "--against", "a.parity", "--json", "b.json") == 0
    out = capsys.readouterr().out
    assert "numpy in a.parity" in out and "results, all passed" in out
    libraries = [
        lib["library"] for lib in json.loads((tmp_path / "b.json").read_text())["libraries"]
    ]
    assert libraries == [STRICT, "numpy in a.parity"]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.json", "a.parity", "b.json"]


def test_the_command_fails_by_its_exit_code(report, tmp_path, capsys):
    place = "activation tanh", "float32", "forward"
    (a,) = report.here.outputs["numpy"][place[:2]][place[2]]
    write_results(tmp_path / "bad", changed(report.here, *place, [-a]))
    assert ran("--xp", "numpy", "--against", tmp_path / "bad") == 1
    said = "FAILED numpy in bad float32 activation tanh: forward: "
    assert said in capsys.readouterr().out


def test_nothing_is_saved_where_no_library_runs(tmp_path, capsys):
    assert ran("--xp", "no_such_library", "--save", tmp_path / "a") == 1
    assert "nothing is saved, as no library has run" in capsys.readouterr().err
    assert not [*tmp_path.iterdir()]


@pytest.mark.parametrize("option", ["--save", "--json", "--html", "--junit"])
def test_the_file_to_compare_with_is_never_written_over(option, saved, capsys):
    before = saved.read_bytes()
    (saved.parent / "link").symlink_to(saved)
    assert ran("--against", saved, option, saved.parent / "link") == 2
    assert f"link would overwrite {saved}" in capsys.readouterr().err
    assert saved.read_bytes() == before


def test_two_files_are_not_written_to_one_path(tmp_path, capsys):
    assert ran("--save", tmp_path / "a", "--json", tmp_path / "a") == 2
    assert "would overwrite" in capsys.readouterr().err and not [*tmp_path.iterdir()]


def rewritten(saved, **changes):
    """Change the metadata of a file, whose SHA-256 fits again."""
    arrays, metadata = read_container(saved)
    write_container(saved, arrays, metadata | changes)


def model(saved):
    MLPClassifier((2,), max_iter=1, random_state=0).partial_fit(
        np.eye(2), [0, 1], classes=[0, 1]
    ).save(saved)


def archive(saved):
    with open(saved, "wb") as file:
        np.savez(file, a=np.ones(3))


def shaped(*shape):
    made = [["activation tanh", "float32", {"forward": [["float32", *shape]]}]]
    return lambda saved: rewritten(saved, outputs={"numpy": made})


DAMAGES = {
    "missing": (os.unlink, "it does not exist."),
    "folder": (lambda saved: (os.unlink(saved), os.mkdir(saved)), "it is a folder"),
    "empty": (lambda saved: saved.write_bytes(b""), "it has 0 bytes"),
    "cut": (lambda saved: saved.write_bytes(saved.read_bytes()[:-9]), "was it cut?"),
    "flipped": (
        lambda saved: saved.write_bytes(saved.read_bytes()[:-1] + b"\x01"),
        "it is damaged",
    ),
    "archive": (archive, "it is a zip archive"),
    "pickle": (lambda saved: saved.write_bytes(b"\x80\x04N." + bytes(9)), "it is a pickle"),
    "model": (model, "holds a model, expected results of `xpmlp parity --save`"),
    "version": (lambda saved: rewritten(saved, parity=2), "has results of version 2, expected 1"),
    "no index": (lambda saved: rewritten(saved, outputs={}), "a library is missing"),
    "no results": (lambda saved: rewritten(saved, outputs={"numpy": []}), "has no results"),
    "unknown": (lambda saved: rewritten(saved, libraries={}), "a library is missing"),
    "text": (lambda saved: rewritten(saved, outputs="numpy"), "does not hold what its index says"),
    "negative": (shaped(-1, 4), "a shape is (-1, 4)"),
    "huge": (shaped(1 << 40), "does not hold what its index says"),
    "broken": (shaped(1.5), "does not hold what its index says"),
    "deep": (shaped([2]), "does not hold what its index says"),
}


@each("damage", DAMAGES, parts=5)
def test_what_is_no_file_of_results_is_refused_in_a_sentence_before_the_run(
    damage, saved, tmp_path, capsys
):
    spoil, said = DAMAGES[damage]
    path = tmp_path / "spoilt.parity"
    path.write_bytes(saved.read_bytes())
    spoil(path)
    assert ran("--against", path) == 2
    out, err = capsys.readouterr()
    told = err.splitlines()[-1]
    assert not out and told.startswith(f"Error: --against {str(path)!r}") and said in told


def test_a_file_holds_nothing_that_a_terminal_would_obey(report, tmp_path):
    evil = "\x1b[31mred\n"
    here = replace(report.here, about=report.here.about | {evil: evil})
    made = compared(changed(here, "activation tanh", "float32", "forward", evil), tmp_path, SOME)
    assert "\x1b" not in str(made) + made.html() + made.junit() and "[31mred" in str(made)
    assert ElementTree.fromstring(made.junit()).get("failures") == "1"


def test_an_unknown_file_raises_an_error_of_data(tmp_path):
    with pytest.raises(DataError, match="does not exist"):
        read_results(tmp_path / "none")


# ---- pytest


@pytest.fixture
def suite(pytester, monkeypatch):
    """Run the suite in an empty folder, with these options."""
    monkeypatch.setenv("PYTEST_DISABLE_PLUGIN_AUTOLOAD", "1")  # loading others takes seconds
    options = "-p", "xpmlp.testing.plugin", "--pyargs", "xpmlp.testing.parity", "--xp", "numpy"
    return lambda *more: pytester.runpytest_inprocess(*options, *map(str, more))


def test_pytest_compares_with_a_file_in_workers_too(suite, saved, pytester):
    workers = "-p", "xdist", "-n", "1"
    done = suite("--xp-against", saved, "--xp-report", "out.json", "-k", "sum", *workers)
    assert done.ret == 0
    done.assert_outcomes(passed=4)
    done.stdout.fnmatch_lines(["*this machine*work.parity", "numpy in work.parity*4 of 4 passed"])
    assert json.loads((pytester.path / "out.json").read_text())["ok"]


def test_pytest_names_a_fault_and_skips_what_only_one_machine_knows(suite, report, tmp_path):
    (a,) = report.here.outputs["numpy"]["sum of 300 terms", "float32"]["sum"]
    here = changed(report.here, "sum of 300 terms", "float32", "sum", [-a])
    here.outputs["numpy"]["sum of all", "float32"] = {"sum": [a]}
    write_results(tmp_path / "bad", here)
    done = suite("--xp-against", tmp_path / "bad", "-k", "sum", "-rs")
    assert done.ret == 1
    done.assert_outcomes(passed=3, failed=1, skipped=1)
    done.stdout.fnmatch_lines(
        ["sum of 300 terms: sum: *the sign is flipped", "*sum of all: sum: only bad has it"]
    )


def test_pytest_refuses_a_file_before_it_runs(suite, saved, tmp_path):
    done = suite("--xp-against", tmp_path / "none")
    assert done.ret == 4
    done.stderr.fnmatch_lines(["*--xp-against '*none': it does not exist*"])
    saved = saved.rename(tmp_path / "work.json")
    before = saved.read_bytes()
    done = suite("--xp-against", saved, "--xp-report", saved)
    assert done.ret == 4 and saved.read_bytes() == before
    done.stderr.fnmatch_lines(["*it would overwrite the file of --xp-against"])
