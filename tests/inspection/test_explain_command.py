"""The command `xpmlp explain`."""

import pytest
from each import each

from xpmlp.cli import main

# The command.


@pytest.fixture
def run(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)

    def run(*arguments):
        with pytest.raises(SystemExit) as exit:
            main([str(a) for a in arguments])
        return exit.value.code, *capsys.readouterr()

    return run


def test_sizes_are_explained_without_model_or_data(run, tmp_path):
    code, out, err = run(
        "explain",
        "--sizes",
        "3,5,5,1",
        "--orientation",
        "columns",
        "--batch",
        25,
        "--html",
        "a.html",
        "--latex",
        "a.tex",
    )
    assert code == 0 and "Z2 = W2 @ A1 + b2" in out and "(5,5) (5,25) + (5,1) -> (5,25)" in out
    assert (tmp_path / "a.html").read_text().startswith("<!DOCTYPE html>")
    assert "\\begin{document}" in (tmp_path / "a.tex").read_text()
    assert err.split() == ["Page:", "a.html", "LaTeX:", "a.tex"]
    code, out, _ = run("explain", "--sizes", "784,30,10", "--loss", "log_loss", "--plan")
    assert code == 0 and "23,860" in out and "fits" in out


@each(
    "arguments, lines",
    [
        (
            "--activation sigmoid --out-activation sigmoid --loss mse --solver sgd --momentum 0 "
            "--learning-rate 0.2 --alpha 0.5",
            ("A2 = 1 / (1 + np.exp(-Z2))", "dZ2 = dA2 * A2 * (1 - A2)", "p = p - lr * dp", "lr 0.2")
            + ("dW2 = A1.T @ dZ2 + alpha / n * W2",),
        ),
        ("--out-activation sigmoid --loss cross_entropy", ("P = 1 / (1 + np.exp(-Z2))",)),
        ("--loss bce --activation Sigmoid", ("np.log(1 - P)", "dZ1 = dA1 * A1 * (1 - A1)")),
        ("--loss mae --out-activation linear", ("L = np.sum(np.abs(Z2 - Y)) / n",)),
        ("--loss mse --plan --orientation columns", ("(1,32)",)),
    ],
)
def test_networks_are_given_by_the_names_that_people_know(run, arguments, lines):
    code, out, err = run("explain", "--sizes", "3,4,1", *arguments.split())
    assert code == 0, err
    for line in lines:
        assert line in out


@pytest.mark.parametrize("data_set", ["iris", "diabetes"])
def test_a_model_file_is_explained_on_data(run, data_set):
    assert run("train", data_set, "--epochs", 1, "--hidden", 5, "--quiet", "--out", "m")[0] == 0
    code, out, err = run("explain", "m", data_set, "--rows", 20)
    assert (code, err) == (0, "") and "One step of Adam on 20 rows" in out
    code, out, _ = run("explain", "m", data_set, "--plan")
    assert code == 0 and "fits" in out
    other = {"iris": "wine", "diabetes": "iris"}[data_set]
    code, _, err = run("explain", "m", other)
    assert code == 3 and "features" in err.splitlines()[-1]


@each(
    "arguments, message",
    [
        ("", "give MODEL and DATA, or --sizes"),
        ("m", "give MODEL and DATA, or --sizes"),
        ("m iris --batch 3", "--batch goes with --sizes only"),
        ("--sizes 3", "features and outputs"),
        ("--sizes 3,x", "is not a whole number of 1 or more"),
        ("--sizes 3,1 m iris", "goes without MODEL"),
        ("--sizes 3,1 --rows 3", "goes without MODEL"),
        ("--sizes 3,2,1 --activation no", "'no' is not one of 'identity', 'logistic'"),
        ("m iris --out-activation tanh", "--out-activation goes with --sizes only"),
        ("--sizes 3,1 --loss bce --out-activation tanh", "--loss binary_log_loss is of outputs"),
        ("--sizes 3,2 --out-activation softmax", "softmax goes with --loss log_loss"),
        ("--sizes 3,1 --loss ce --out-activation softmax", "of one output is always 1"),
        ("--sizes 3,1 --plan --html a", "leave --html and --latex out"),
    ],
)
def test_a_wrong_call_is_a_usage_error(run, arguments, message):
    code, _, err = run("explain", *arguments.split())
    assert code == 2 and message in err.splitlines()[-1]
