"""Messages of the estimators in the words of the command line."""

from types import SimpleNamespace

import pytest
from each import each

from xpmlp.cli.sentences import in_options
from xpmlp.cli.train import how_it_ended


@each(
    "said, told",
    [
        ("pass dtype='float64', or", "pass --dtype float64, or"),
        ("set max_grad_norm=1.0.", "set --max-grad-norm 1.0."),
        ("lower learning_rate_init (0.1)", "lower --lr (0.1)"),
        ("early_stopping=False goes", "--no-early-stopping goes"),
        ("weight_decay=None is", "--weight-decay none is"),
        ("hidden_layer_sizes and n_bins", "--hidden and --bins"),
        ("on_bad_row='skip', x='solver'", "on_bad_row='skip', x='solver'"),
        ("the loss of a solver, alpha", "the loss of a solver, alpha"),
    ],
)
def test_arguments_are_told_as_options_and_all_else_as_it_is(said, told):
    assert in_options(said) == told


def test_targets_that_float32_cannot_tell_apart_are_told_with_the_option(xpmlp, tmp_path):
    path = tmp_path / "far.csv"
    path.write_text("a,y\n" + "".join(f"{i},{1e9 + i / 10}\n" for i in range(100)))
    code, _, err = xpmlp("train", path, "--out", tmp_path / "m")
    assert code == 2 and "pass --dtype float64, or subtract the mean." in err


def ended(model_note, told):
    report = {"why": "", "notes": [model_note]}
    model = SimpleNamespace(
        fit_report_=report, device_="cuda:0", solver="adam", n_iter_=1, max_iter=1, best_epoch_=1
    )
    model.scoring, model.early_stopping, model.best_validation_score_ = "loss", False, None
    return "\n".join(how_it_ended(model, 0, told))


@pytest.mark.parametrize("told", [True, False])
def test_what_a_training_warned_of_is_not_noted_again_at_its_end(told):
    note = "accelerate='graph' changes nothing"
    assert ended(note, [note] * told).count("--accelerate graph") == (not told)
