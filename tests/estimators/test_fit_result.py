"""What a fit made is one value: other threads and failed fits never see a part of it."""

import ast
import copy
import pickle
import sys
import threading
import time
from pathlib import Path

import numpy as np
import pytest
from small_sets import LABELS, THREE, VALUES, X, fast

import xpmlp.estimators
from xpmlp import MLPClassifier, MLPRegressor, load_model

pytestmark = pytest.mark.filterwarnings("ignore:.*Maximum iterations")

WIDE = np.concatenate([X, X[:, :2]], axis=1)
FITS = {4: (X, LABELS), 6: (WIDE[:40], THREE[:40])}  # by the number of columns


def test_what_a_thread_copies_saves_and_predicts_while_another_fits_is_of_one_fit(tmp_path):
    kw = {"hidden_layer_sizes": (3,), "max_iter": 1}
    of_one = {n: fast(**kw).fit(*data) for n, data in FITS.items()}
    est, wrong, looks, done = fast(**kw).fit(*FITS[4]), [], [], threading.Event()

    def whole(twin):
        """Whether all that an estimator shows is of the fit to as many columns."""
        want = of_one[twin.n_features_in_]
        same = [np.array_equal(a, b) for a, b in zip(twin.coefs_, want.coefs_, strict=True)]
        told = [(e.loss_curve_, e.loss_, e.best_loss_, e.t_, e.state_.step) for e in (twin, want)]
        return all(same) and told[0] == told[1] and twin.classes_.tolist() == want.classes_.tolist()

    def saved():
        est.save(tmp_path / "model")
        return whole(load_model(tmp_path / "model"))

    def predicted():
        try:
            return np.array_equal(est.predict_proba(X), of_one[4].predict_proba(X))
        except ValueError as error:
            return str(error).endswith(
                "X has 4 features, but MLPClassifier is expecting 6 features as input."
            )

    def look(name, right):
        while not done.is_set():
            try:
                if not right():
                    wrong.append(name)
            except BaseException as error:
                wrong.append((name, error))
            looks.append(name)

    kinds = {
        "save": saved,
        "predict": predicted,
        "pickle": lambda: whole(pickle.loads(pickle.dumps(est))),
        "deepcopy": lambda: whole(copy.deepcopy(est)),
        "copy": lambda: whole(copy.copy(est)),
    }
    threads = [threading.Thread(target=look, args=item) for item in kinds.items()]
    before, end = sys.getswitchinterval(), time.perf_counter() + 1.5
    sys.setswitchinterval(1e-5)
    try:
        for thread in threads:
            thread.start()
        while time.perf_counter() < end:
            for data in FITS.values():
                est.fit(*data)
    finally:
        done.set()
        for thread in threads:
            thread.join()
        sys.setswitchinterval(before)
    assert wrong == [] and {*looks} == {*kinds}


def test_a_function_reads_the_result_of_a_fit_once_as_another_thread_may_fit_meanwhile():
    views = {name for kind in (MLPClassifier, MLPRegressor) for name in dir(kind)}
    views = {"_result", *(n for n in views if n.endswith("_") and not n.endswith("__"))}
    assert {"result_", "model_", "training_record_", "classes_", "threshold_"} <= views
    functions, twice = (ast.FunctionDef, ast.Lambda), []

    def reads(node):
        """Yield what a function reads of an estimator, that within it being looked at by itself."""
        for child in ast.iter_child_nodes(node):
            if isinstance(child, ast.Attribute) and isinstance(child.ctx, ast.Load):
                if child.attr in views and ast.unparse(child.value) in ("self", "estimator"):
                    yield child.attr
            if not isinstance(child, functions):
                yield from reads(child)

    for path in Path(xpmlp.estimators.__file__).parent.glob("*.py"):
        nodes = ast.walk(ast.parse(path.read_text()))
        found = ([*reads(node)] for node in nodes if isinstance(node, functions))
        twice += [(path.name, names) for names in found if len(names) > 1]
    assert twice == []


def test_a_failed_fit_never_leaves_the_estimator_without_arguments():
    class Looks:
        """Is dropped when the estimator becomes again what it was, and looks at it then."""

        def __del__(self):
            seen.append(getattr(est, "alpha", "gone"))

    def fail(epoch):
        est.extra = Looks()
        raise ZeroDivisionError

    seen, est = [], fast(callbacks=fail)
    before = dict(vars(est))
    with pytest.raises(ZeroDivisionError):
        est.fit(X, LABELS)
    assert vars(est) == before and seen == [est.alpha]


@pytest.mark.parametrize("named", [False, True])
def test_until_a_fit_has_ended_the_model_before_predicts(named):
    old, new = X, WIDE
    if named:
        pd = pytest.importorskip("pandas")
        old, new = pd.DataFrame(X, columns=[*"abcd"]), pd.DataFrame(WIDE, columns=[*"uvwxyz"])
    est = fast().fit(old, LABELS)
    want, seen = est.predict(old), []
    look = lambda epoch: seen.append((est.n_features_in_, est.predict(old), est.n_iter_total_))
    est.set_params(callbacks=look, max_iter=2).fit(new, LABELS)
    assert [(n, epochs) for n, _, epochs in seen] == [(4, 5)] * 2
    assert all(np.array_equal(made, want) for _, made, _ in seen)
    assert (est.n_features_in_, est.n_iter_total_) == (6, 2)
    assert not named or est.feature_names_in_.tolist() == [*"uvwxyz"]


def test_a_model_that_is_set_predicts_is_saved_and_trained_further(tmp_path):
    pd = pytest.importorskip("pandas")
    first = fast(MLPRegressor).fit(pd.DataFrame(X, columns=[*"abcd"]), VALUES)
    second = MLPRegressor(hidden_layer_sizes=(8,), random_state=3)
    second.model_ = first.model_
    assert second.n_features_in_ == 4 and second.feature_names_in_.tolist() == [*"abcd"]
    assert second.history_["loss"] == second.loss_curve_ == [] and second.n_iter_total_ == 0
    second.save(tmp_path / "m")
    table = pd.DataFrame(X, columns=[*"abcd"])
    for twin in (second, load_model(tmp_path / "m"), pickle.loads(pickle.dumps(second))):
        np.testing.assert_array_equal(twin.predict(table), first.predict(table))
        assert twin.feature_names_in_.tolist() == [*"abcd"]
    assert second.partial_fit(table, VALUES).n_iter_total_ == 1
    with pytest.raises(ValueError, match="feature names should match"):
        second.predict(table[[*"dcba"]])


def test_a_model_that_is_set_exports(tmp_path):
    pytest.importorskip("onnx")
    est = MLPClassifier()
    est.model_ = fast().fit(X, LABELS).model_
    est.export(tmp_path / "m.onnx")
    assert (tmp_path / "m.onnx").exists()


def test_a_model_that_is_set_keeps_a_state_that_fits_it_and_drops_another():
    est = fast().partial_fit(X, LABELS, classes=[0, 1])
    state, other = est.state_, fast().fit(X[::2], LABELS[::2]).model_
    est.model_ = other
    assert est.state_ is state and est.model_ is other
    est.model_ = fast(hidden_layer_sizes=(3,)).fit(X, LABELS).model_
    assert est.state_ is not state and not est.state_.carry.state and est.n_iter_total_ == 0
    est.set_params(hidden_layer_sizes=(3,)).partial_fit(X, LABELS)


def test_partial_fit_leaves_the_state_before_as_it_was():
    est = fast().partial_fit(X, LABELS, classes=[0, 1])
    state, before = est.state_, pickle.dumps(est.state_)
    est.partial_fit(X, LABELS)
    est.set_params(warm_start=True).fit(X, LABELS)
    assert est.state_ is not state and pickle.dumps(state) == before


def test_what_is_no_model_is_refused_as_one():
    est = fast().fit(X, LABELS)
    model = est.model_
    for wrong in (est, None, "model", [model]):
        with pytest.raises(TypeError, match="model_ takes a Model, got a "):
            est.model_ = wrong
    assert est.model_ is model
