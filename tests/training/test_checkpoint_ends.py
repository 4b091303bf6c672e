"""Trainings that have ended: what resume=True makes of them."""

import pytest
from each import each
from test_checkpoint import assert_same
from test_checkpoint_damage import LABELS, X, fit

from xpmlp import Checkpoint, MLPClassifier, train
from xpmlp.errors import CheckpointError
from xpmlp.nn import Dense, Network


def after_three(epoch):
    return epoch.epoch == 3


def test_what_a_callback_stopped_is_over_and_a_note_tells_how_it_goes_on(tmp_path):
    stopped, _ = fit(tmp_path, callbacks=after_three)
    again, _ = fit(tmp_path, resume=True)
    assert_same(again, stopped)
    assert again.fit_report_["notes"] == [
        "a callback stopped this training after epoch 3, so resume=True gives what it had then: "
        "raise max_iter above 6 to go on"
    ]


def test_what_a_callback_stopped_goes_on_to_a_larger_max_iter(tmp_path):
    fit(tmp_path, callbacks=after_three)
    longer, _ = fit(tmp_path, max_iter=9, resume=True)
    assert_same(longer, fit(None, max_iter=9)[0])
    assert longer.fit_report_["notes"] == []


def test_what_converged_stays_so_with_a_larger_max_iter(tmp_path):
    how = {"tol": 10.0, "n_iter_no_change": 1}
    converged, _ = fit(tmp_path, **how)
    again, _ = fit(tmp_path, max_iter=99, resume=True, **how)
    assert_same(again, converged)
    assert again.n_iter_ < 6


def test_a_max_iter_below_what_is_done_is_refused(tmp_path):
    fit(tmp_path)
    with pytest.raises(CheckpointError, match="max_iter is 4, .* has done 6 epochs: give 6 or"):
        fit(tmp_path, max_iter=4, resume=True)
    network = Network([Dense(1)])
    how = {"checkpoint": Checkpoint(tmp_path / "bare", every=1), "random_state": 0}
    train(network, X, X[:, :1], max_iter=6, **how)
    with pytest.raises(CheckpointError, match="max_iter is 4, .* has done 6 epochs"):
        train(network, X, X[:, :1], max_iter=4, resume=True, **how)


@each("resume", ["no", 1, None])
def test_resume_that_is_neither_true_nor_false_is_refused(resume, tmp_path):
    model = MLPClassifier((4,), max_iter=2, checkpoint=tmp_path)
    with pytest.raises(TypeError, match="resume must be True or False, got"):
        model.fit(X, LABELS, resume=resume)
    with pytest.raises(TypeError, match="resume must be True or False, got"):
        train(Network([Dense(1)]), X, X[:, :1], checkpoint=tmp_path, resume=resume)
