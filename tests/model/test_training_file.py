"""`save(path, training=True)`: a loaded model trains on as the one that was saved."""

import pickle
import warnings

import numpy as np
import pytest
from each import each
from stored_models import X, assert_same

from xpmlp import MLPClassifier, MLPRegressor, load, load_model, optim
from xpmlp.container import read_container, write_container
from xpmlp.errors import ModelFileError

pytestmark = pytest.mark.filterwarnings("ignore:.*(Maximum iterations|schedule of learning_rate)")
Y = np.sin(X @ [1.0, -2.0, 0.5])
LABELS = np.digitize(Y, (-0.5, 0.5))
SGD = {"solver": "sgd", "learning_rate_init": 0.05}
FALLING = SGD | {"tol": 0.05, "n_iter_no_change": 1}
TRAININGS = {
    "adam": {},
    "nadam": {"solver": "nadam"},
    "lion": {"solver": "lion", "dropout": 0.2},
    "rmsprop": {"solver": "rmsprop", "weight_decay": 0.1},
    "sgd with momentum": SGD | {"momentum": 0.8, "normalization": "batch"},
    "sgd without": SGD | {"momentum": 0.0},
    "a rate that falls on plateaus": FALLING | {"learning_rate": "adaptive"},
    "plateau": FALLING | {"solver": "adamw", "learning_rate": "plateau"},
    "invscaling": SGD | {"learning_rate": "invscaling", "power_t": 0.3},
    "cosine": {"learning_rate": "cosine"},
    "a schedule's record": {"learning_rate": optim.StepDecay(every=2.0, decay=0.5)},
    "a moving average": {"ema_decay": 0.9, "dtype": "float32"},
    "a rule with arguments": {"solver": optim.Adam(beta_1=0.5)},
    "rows in order": {"shuffle": False},
    "a random seed": {"random_state": None},
    "lbfgs": {"solver": "lbfgs"},
    "early stopping": {"early_stopping": True, "n_iter_no_change": 2, "tol": 1e-2},
    "its average": {"early_stopping": True, "ema_decay": 0.8, "scoring": "accuracy"},
}  # fmt: skip


def fitted(options, kind=MLPClassifier, y=LABELS):
    common = {"hidden_layer_sizes": (9, 7), "batch_size": 16, "max_iter": 7, "random_state": 3}
    return kind(**common | options).fit(X, y)


def go_on(model, y=LABELS, *, warm):
    if warm:
        return model.set_params(warm_start=True, max_iter=4).fit(X, y)
    model.set_params(early_stopping=False)
    if model.solver == "lbfgs":
        model.set_params(solver="adam")
    for _ in range(4):
        model.partial_fit(X, y)
    return model


@each("name", TRAININGS)
@each("warm", [False, True])
def test_a_model_from_a_file_trains_on_as_one_from_a_pickle(tmp_path, name, warm):
    options = dict(TRAININGS[name])
    model = fitted(options)
    model.save(tmp_path / "m", training=True)
    read = load_model(tmp_path / "m")
    kept = go_on(pickle.loads(pickle.dumps(model)), warm=warm)
    assert_same(go_on(read, warm=warm).coefs_, kept.coefs_, name)
    for own in ("history_", "t_", "n_iter_", "best_epoch_"):
        mine, theirs = getattr(read, own), getattr(kept, own)
        if own == "history_":
            mine, theirs = mine["learning_rate"], theirs["learning_rate"]
        assert_same(mine, theirs, own)


def test_a_stream_that_the_user_shares_goes_on_where_it_stands(tmp_path):
    for warm in (False, True):
        model = fitted({"random_state": np.random.RandomState(5)})
        model.random_state.standard_normal(5)
        model.save(tmp_path / "m", training=True)
        read, pickled = load_model(tmp_path / "m"), pickle.loads(pickle.dumps(model))
        a, b = go_on(read, warm=warm), go_on(pickled, warm=warm)
        assert_same(a.coefs_, b.coefs_, "coefs_")
        assert a.random_state.get_state()[1].tolist() == b.random_state.get_state()[1].tolist()


def test_training_in_parts_over_files_is_one_training(tmp_path):
    kind = {"kind": MLPRegressor, "y": Y}
    model = fitted({"max_iter": 2, "ema_decay": 0.9, "n_iter_no_change": np.inf}, **kind)
    whole = fitted({"max_iter": 8, "ema_decay": 0.9, "n_iter_no_change": np.inf}, **kind)
    for i in range(6):
        model.save(tmp_path / f"{i}", training=True)
        model = load_model(tmp_path / f"{i}").partial_fit(X, Y)
    assert_same(model.coefs_, whole.coefs_, "coefs_")


def test_a_table_trains_on_alike(tmp_path):
    pandas = pytest.importorskip("pandas", reason="data frames only")
    table = pandas.DataFrame(X, columns=[*"abc"]).assign(kind=np.where(X[:, 0] > 0, "p", "q"))
    model = MLPRegressor(hidden_layer_sizes=(5,), max_iter=3, random_state=0).fit(table, Y)
    model.save(tmp_path / "m", training=True)
    read, pickled = load_model(tmp_path / "m"), pickle.loads(pickle.dumps(model))
    for _ in range(3):
        read.partial_fit(table, Y)
        pickled.partial_fit(table, Y)
    assert_same(read.coefs_, pickled.coefs_, "coefs_")


def test_a_model_of_any_library_is_trained_on_in_numpy_or_where_it_is_moved(tmp_path, xp):
    x = xp.asarray(X.astype(np.float32))
    model = fitted({"ema_decay": 0.5}).fit(x, LABELS)
    model.save(tmp_path / "m", training=True)
    here, there = load_model(tmp_path / "m"), load_model(tmp_path / "m").to(x)
    model.partial_fit(x, LABELS)
    here.partial_fit(X.astype(np.float32), LABELS)
    there.partial_fit(x, LABELS)
    for a, b, c in zip(model.coefs_, there.coefs_, here.coefs_):
        np.testing.assert_array_equal(xp.host(a), xp.host(b))
        np.testing.assert_allclose(xp.host(a), c, rtol=1e-4, atol=1e-5)


def test_load_reads_the_model_alone_and_a_small_file_stays_small(tmp_path):
    model = fitted({"hidden_layer_sizes": (300, 300)})
    model.save(tmp_path / "small")
    model.save(tmp_path / "whole", training=True)
    assert_same(load(tmp_path / "whole").predict(X), model.predict(X), "predict")
    sizes = [(tmp_path / name).stat().st_size for name in ("small", "whole")]
    assert 2.9 < sizes[1] / sizes[0] < 3.1


@each(
    "options, words",
    [
        ({"learning_rate": lambda epoch: 0.5}, "the argument learning_rate holds"),
        ({"scoring": lambda est, X, y: 1.0, "early_stopping": True}, "the argument scoring"),
    ],
)
def test_code_that_training_goes_on_with_is_not_left_out(tmp_path, options, words):
    model = fitted(options)
    model.save(tmp_path / "m")
    with pytest.raises(TypeError, match=words):
        model.save(tmp_path / "m", training=True)


LOST = {
    "averages": "the averages of Adam",
    "average": "the moving average",
    "place": "the place in the schedule",
    "rate": "the learning rate that",
    "count": "the count of epochs",
    "stream": "the random stream",
}


@each(
    "options, warm, lost",
    [
        ({}, False, "averages stream"),
        ({"shuffle": False}, False, "averages"),
        (SGD | {"momentum": 0.0, "shuffle": False}, False, ""),
        (FALLING | {"learning_rate": "adaptive", "momentum": 0.0}, False, "rate stream"),
        ({"learning_rate": "cosine", "ema_decay": 0.9}, False, "averages average place stream"),
        ({"learning_rate": lambda epoch: 1.0, "shuffle": False}, False, "averages"),  # not saved
        ({}, True, "count"),
        ({"n_iter_no_change": np.inf}, True, ""),
        ({"n_iter_no_change": np.inf, "random_state": None}, True, "stream"),
        ({"solver": "lbfgs"}, True, ""),
    ],
)
def test_without_the_state_the_first_call_says_what_begins_again(tmp_path, options, warm, lost):
    fitted(options).save(tmp_path / "m")
    read = load_model(tmp_path / "m").set_params(max_iter=2, warm_start=warm)
    call = read.fit if warm else read.partial_fit
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always", UserWarning)
        call(X, LABELS)
        call(X, LABELS)
    told = [str(w.message) for w in told if "training=True" in str(w.message)]
    assert len(told) == bool(lost)
    for name, words in LOST.items():
        assert (words in "".join(told)) == (name in lost.split()), name


def test_nothing_is_lost_with_the_state_or_where_the_user_set_the_model(tmp_path):
    model = fitted({})
    model.save(tmp_path / "m", training=True)
    load_model(tmp_path / "m").partial_fit(X, LABELS)
    other = MLPClassifier((9, 7), random_state=0)
    other.model_ = model.model_
    other.partial_fit(X, LABELS)


def test_a_model_without_a_state_is_saved_without_one(tmp_path):
    fitted({}).save(tmp_path / "m")
    load_model(tmp_path / "m").save(tmp_path / "again", training=True)
    with pytest.warns(UserWarning, match="What begins again"):
        load_model(tmp_path / "again").partial_fit(X, LABELS)


def state_with(**own):
    def edit(arrays, meta):
        meta["state"] |= own

    return edit


def array_with(name, change):
    def edit(arrays, meta):
        made = change(arrays.pop(f"training/{name}", None))
        if made is not None:
            arrays[f"training/{name}"] = made

    return edit


HOSTILE = {
    "the State a list": lambda arrays, meta: meta.update(state=[]),
    "no State": lambda arrays, meta: meta.pop("state"),
    "a State of null": lambda arrays, meta: meta.update(state=None),
    "an unknown field": state_with(evil=1),
    "steps below 0": state_with(rule_step=-1),
    "steps past counting": state_with(rule_step=10**30),
    "steps beyond those made": state_with(rule_step=10**6),
    "epochs beyond those made": state_with(cycle=8),
    "steps a flag": state_with(rule_step=True),
    "rate NaN": state_with(lr={"float": "nan"}),
    "rate negative": state_with(lr=-1.0),
    "rate text": state_with(lr="0.1"),
    "reference NaN": state_with(reference={"float": "nan"}),
    "another generator": state_with(generator="PCG64"),
    "a place beyond the words": state_with(position=625),
    "a place before them": state_with(position=-1),
    "gauss of text": state_with(gauss=[0, "os.system"]),
    "gauss beyond floats": state_with(gauss=[0, "0x1.0p+9999"]),
    "gauss alone": state_with(gauss=[0]),
    "no rule": state_with(rule=None),
    "another rule": state_with(rule={"record": "SGD", "fields": {"momentum": 0.9}}),
    "a layer as rule": state_with(rule={"record": "Dense", "fields": {"n_out": 3}}),
    "code as rule": state_with(rule={"record": "os.system", "fields": {}}),
    "a rule of text": state_with(rule="adam"),
    "a rule out of range": state_with(rule={"record": "Adam", "fields": {"epsilon": -1.0}}),
    "a scoring that a terminal obeys": state_with(scoring="a\x1b[31m"),
    "words missing": array_with("draws/words", lambda a: None),
    "words too few": array_with("draws/words", lambda a: a[:-1]),
    "words of floats": array_with("draws/words", lambda a: a.astype(np.float32)),
    "a row twice": array_with("draws/order", lambda a: np.zeros_like(a)),
    "a row that is none": array_with("draws/order", lambda a: a + 1),
    "rows in a table": array_with("draws/order", lambda a: a.reshape(2, -1)),
    "rows of a number": array_with("draws/order", lambda a: np.asarray(0, np.int32)),
    "rows of floats": array_with("draws/order", lambda a: a.astype(np.float64)),
    "an array missing": array_with("state/m/weights", lambda a: None),
    "an array too many": array_with("state/x/weights", lambda a: np.zeros((1, 3))),
    "raw weights without their average": array_with("params/weights", lambda a: np.zeros((1, 3))),
    "an array in an array": array_with("state/m/weights/x", lambda a: np.zeros((1, 3))),
    "an array without a name": array_with("", lambda a: np.zeros((1, 3))),
    "an array too short": array_with("state/m/weights", lambda a: a[:, :-1]),
    "an array turned": array_with("state/m/weights", lambda a: a.T.copy()),
    "an array of float32": array_with("state/m/weights", lambda a: a.astype(np.float32)),
    "squares below 0": array_with("state/v/weights", lambda a: a - 1.0),
}


@each("name", HOSTILE)
def test_a_state_that_no_training_has_is_refused_in_a_sentence(tmp_path, name):
    fitted({}).save(tmp_path / "m", training=True)
    arrays, meta = read_container(tmp_path / "m")
    HOSTILE[name](arrays, meta)
    write_container(tmp_path / "bad", arrays, meta)
    with pytest.raises(ModelFileError, match="bad") as caught:
        load_model(tmp_path / "bad")
    assert "\n" not in str(caught.value) and len(str(caught.value)) < 500


def test_training_that_is_neither_true_nor_false_is_refused(tmp_path):
    model = MLPClassifier((4,), max_iter=1, tol=0).fit(X, LABELS)
    with pytest.raises(TypeError, match="training must be True or False, got 'no'"):
        model.save(tmp_path / "m", training="no")
    assert not (tmp_path / "m").exists()
