"""What `xpmlp train` tells while it trains, and how it says that it ended."""

import json
import os
import re
import select
import struct

import pytest
from cli_data import rows, write_csv
from cli_files import label
from needs import needs

from xpmlp import load_model
from xpmlp.callbacks import Epoch
from xpmlp.cli.live_line import LiveLine

SHORT = ["--epochs", "2", "--hidden", "5"]


@pytest.fixture(autouse=True)
def _in_a_folder_of_its_own(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def terminal(monkeypatch):
    """(columns) -> a function that returns what was written to a terminal of so many."""
    pty, fcntl, termios = map(pytest.importorskip, ("pty", "fcntl", "termios"))
    ours, theirs = pty.openpty()

    def opened(columns):
        fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("4H", 24, columns, 0, 0))
        screen = open(theirs, "w", encoding="utf-8", closefd=False)
        monkeypatch.setattr("sys.stderr", screen)
        written = b""

        def read():
            nonlocal written
            screen.flush()
            while select.select([ours], [], [], 0.05)[0]:
                written += os.read(ours, 65536)
            return written.decode()

        return read

    yield opened
    os.close(ours)
    os.close(theirs)


def show(live, total, **more):
    """Show all epochs but the last, as each ends."""
    live.bar.mininterval = live.bar.miniters = 0
    for k in range(1, total):
        live(Epoch(k, total, k, 1234.5678, **more))


@pytest.mark.parametrize(
    "columns, seen",
    [
        (80, "loss 1235.  balanced accuracy 0.9000  "),
        (50, "balanced accuracy 0.9000  "),
        (40, "loss 1235.  "),
        pytest.param(20, "epoch 8/9", marks=needs("tqdm", "4.69", "lines of just that width")),
    ],
)
def test_the_live_line_is_never_wider_than_the_terminal_and_is_wiped_out(terminal, columns, seen):
    screen = terminal(columns)
    with LiveLine(9, "balanced accuracy") as live:
        assert live.shows
        show(live, 9, validation_loss=0.5, validation_score=0.9, learning_rate=1e-3)
        *_, last = screen().split("\r")
    assert seen in last and last.startswith("epoch 8/9") and "validation loss" not in last
    assert ("█" in last) == (columns == 80) and "\n" not in screen()
    assert columns < 40 or re.search(r"  \d\d:\d\d left$", last)
    *lines, wiped, end = screen().split("\r")
    assert max(map(len, lines)) <= columns - len("^C") - 1  # so its echo breaks no line
    assert (len(wiped), wiped.strip(), end) == (columns - 1, "", "")


def test_the_live_line_begins_where_a_training_goes_on(terminal):
    screen = terminal(80)
    with LiveLine(9, "accuracy", done=4) as live:
        assert "epoch 4/9" in screen()
        show(live, 2)
        assert "epoch 5/9" in screen()


def test_an_error_fits_the_terminal_and_is_one_line_in_a_pipe(xpmlp, terminal, monkeypatch):
    arguments = ["train", "iris", "--learning-rate", "nonsense"]
    code, _, err = xpmlp(*arguments)
    assert code == 2 and max(map(len, err.splitlines())) > 80
    screen = terminal(50)
    monkeypatch.setenv("COLUMNS", "50")
    assert xpmlp(*arguments)[0] == 2
    lines = screen().splitlines()
    assert max(map(len, lines)) <= 50 and " ".join("".join(lines).split()).startswith("Usage: ")
    assert " ".join(" ".join(lines).split()) == " ".join(err.split())


def test_the_loss_is_called_validation_loss_where_it_is_the_score(terminal):
    screen = terminal(80)
    with LiveLine(9, "loss", unit="iteration") as live:
        show(live, 9, validation_loss=0.25, validation_score=-0.25)
        *_, last = screen().split("\r")
    assert "iteration 8/9" in last and "  loss 1235.  validation loss 0.2500  " in last


@pytest.mark.parametrize("score", ["loss", "r2", "neg mean absolute percentage error"])
def test_a_line_of_verbose_has_eighty_columns_at_most(capsys, score):
    with LiveLine(12345, score, verbose=True) as live:
        live(Epoch(7, 12345, 7, 1.5e-7, 2.5e-7, -12345.678, 0.001))
    out, err = capsys.readouterr()
    assert err == "" and len(out) <= 81
    assert out.startswith("epoch     7  loss 1.500e-07  validation loss 2.500e-07")
    assert out.endswith("  r2 -1.235e+04\n") == (score == "r2")
    assert out.endswith("  rate 0.001000\n") == (score == "loss")


def test_a_line_of_verbose_stands_above_the_live_one(terminal, capsys):
    screen = terminal(80)
    with LiveLine(3, "accuracy", verbose=True) as live:
        live(Epoch(1, 3, 1, 0.5))
    assert capsys.readouterr().out == "epoch 1  loss 0.5000\n"
    assert "epoch 1/3" not in screen().split("\r")[-1]


def test_epochs_have_no_lines_unless_asked_for(xpmlp):
    lines = {}
    for flags in ((), ("-v",), ("--quiet",), ("-v", "--quiet")):
        code, out, err = xpmlp("train", "iris", *SHORT, *flags)
        assert (code, err) == (0, "")
        lines[flags] = [line for line in out.splitlines() if line.startswith("epoch ")]
        assert ("Kept epoch" in out) == ("--quiet" not in flags)
    assert [len(found) for found in lines.values()] == [0, 2, 0, 0]
    assert re.fullmatch(
        r"epoch 2  loss [\d.]+  validation loss [\d.]+  accuracy [\d.]+  rate 0.001000",
        lines["-v",][1],
    )
    assert load_model("iris.safetensors").callbacks is None


ENDS = {
    "--early-stopping": r"epoch \d of 2: the lowest validation loss, [\d.]+",
    "--early-stopping --scoring accuracy": r"epoch \d of 2: the highest validation accuracy, .+",
    "--early-stopping --scoring none": r"epoch \d of 2: the highest validation accuracy, .+",
    "": "epoch 2 of 2, the last: the validation rows were only watched",
    "--validation test": "epoch 2 of 2, the last: the test rows were only watched",
    "--validation 0": "epoch 2 of 2, the last: no rows were held out",
    "--early-stopping --validation 0": "epoch 2 of 2, the last: no rows were held out",
    "--solver lbfgs": "iteration 2 of 2, the last: the validation rows were only watched",
}


@pytest.mark.parametrize("said", ENDS)
def test_the_end_tells_which_epoch_was_kept_and_why(xpmlp, said):
    code, out, err = xpmlp("train", "iris", *SHORT, *said.split(), "--json")
    assert (code, "Note: " in err) == (0, said == "--early-stopping --validation 0")
    (kept,) = [line for line in err.splitlines() if line.startswith("Kept ")]
    assert re.fullmatch(f"Kept {ENDS[said]}.", kept)
    found = json.loads(out)
    best = load_model("iris.safetensors").best_epoch_
    assert found["best_epoch"] == best and f" {best} of 2" in kept
    unit = kept.split()[1]
    when = f"after 2 {unit}s" if best == 2 else f"at {unit} {best} of 2"
    assert re.search(rf"^Test: 30 rows, {when}, ", err, re.M)
    loss = "--early-stopping" in said and "--scoring" not in said and "--validation" not in said
    assert found["scoring"] == ("loss" if loss else "accuracy")
    if "Kept epoch" in kept and ": the " in kept and "last" not in kept:
        value = max(found["validation_scores"])
        assert kept.endswith(f" {abs(value):.4f}.")
        assert best == found["validation_scores"].index(value) + 1


def test_a_table_keeps_the_epoch_of_the_least_loss_unless_told_otherwise(xpmlp):
    data = write_csv("d.csv", rows(target=label))
    _, out, err = xpmlp("train", data, *SHORT, "--json")
    assert "scoring loss" in err and "the lowest validation loss" in err
    model = load_model("d.safetensors")
    assert (model.scoring, model.early_stopping) == ("loss", True)
    assert json.loads(out)["validation_scores"] == [
        -loss for loss in model.history_["validation_loss"]
    ]
    _, out, _ = xpmlp("train", data, *SHORT, "--scoring", "roc_auc")
    assert "scoring roc_auc" in out and "the highest validation roc auc" in out
    xpmlp("train", data, *SHORT, "--validation", "test")
    model = load_model("d.safetensors")
    assert (model.scoring, model.early_stopping) == (None, False)


def test_a_training_that_ends_early_says_why(xpmlp):
    stop = "--epochs 500 --lr 0.1 --tol 0.5 --patience 3".split()
    _, out, _ = xpmlp("train", "iris", "--hidden", 5, *stop)
    assert re.search(
        r"\nStopped after \d+ epochs: over 3 without a better training loss \(--patience\)\.\n", out
    )
    _, out, _ = xpmlp("train", "iris", "--hidden", 5, *stop, "--early-stopping")
    assert "over 3 without a better validation loss (--patience)." in out
    _, out, _ = xpmlp("train", "iris", "--hidden", 5, "--solver", "lbfgs", "--tol", 1)
    assert re.search(r"\nStopped after \d+ iterations?: converged\.\n", out)
