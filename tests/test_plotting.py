import pickle
import sys

import numpy as np
import pytest
from sklearn.exceptions import NotFittedError
from sklearn.metrics import confusion_matrix, make_scorer, zero_one_loss

from xpmlp import MLPClassifier, MLPRegressor, plotting
from xpmlp.callbacks import CSVLogger

pytest.importorskip("matplotlib", reason="pictures need matplotlib")

PNG = b"\x89PNG\r\n\x1a\n"
HISTORY = {
    "loss": [2.0, 1.0, 0.5, 0.4, 0.3],
    "validation_loss": [2.1, 1.2, 0.8, 0.7, 0.6],
    "validation_score": [0.2, 0.5, 0.7, 0.8, 0.9],
}


def cells(figure, n):
    """The numbers written in a confusion matrix, by their places."""
    counts = np.full((n, n), -1)
    for text in figure.axes[0].texts:
        j, i = text.get_position()
        counts[i, j] = int(text.get_text())
    return counts


def test_history_shows_both_losses_and_the_score_against_epochs():
    figure = plotting.plot_history(HISTORY)
    loss, score = figure.axes
    assert [line.get_ydata().tolist() for line in loss.lines] == [
        HISTORY["loss"],
        HISTORY["validation_loss"],
    ]
    assert [line.get_label() for line in loss.lines] == ["training", "validation"]
    assert [text.get_text() for text in loss.get_legend().get_texts()] == ["training", "validation"]
    assert [line.get_ydata().tolist() for line in score.lines] == [HISTORY["validation_score"]]
    for axes in figure.axes:
        assert axes.get_xlabel() == "epoch"
        assert axes.lines[0].get_xdata().tolist() == [1, 2, 3, 4, 5]
    assert (loss.get_ylabel(), score.get_ylabel()) == ("loss", "validation score")


@pytest.mark.parametrize(
    "score", [{}, *({"validation_score": score} for score in (None, [], [np.nan]))]
)
def test_history_without_validation_has_one_panel_and_one_line(score):
    figure = plotting.plot_history({"loss": [1.0], **score})
    (axes,) = figure.axes
    (line,) = axes.lines
    assert line.get_marker() == "o"  # one epoch draws no line, its dot must show


@pytest.mark.parametrize("rate", [[0.1, 0.1, 0.05, 0.05, 0.01], [0.1] * 5])
def test_history_shows_a_learning_rate_that_changes(rate):
    figure = plotting.plot_history(HISTORY | {"learning_rate": rate})
    panels = {axes.get_ylabel(): axes for axes in figure.axes}
    assert list(panels) == ["loss", "validation score"] + ["learning rate"] * (rate[-1] < 0.1)
    if rate[-1] < 0.1:
        assert panels["learning rate"].lines[0].get_ydata().tolist() == rate
        assert panels["learning rate"].get_ylim()[0] == 0


def test_history_of_lbfgs_is_counted_in_iterations():
    figure = plotting.plot_history(HISTORY | {"learning_rate": []})
    assert {axes.get_xlabel() for axes in figure.axes} == {"iteration"}


def panels(history, **names):
    """The axes of a history, by what stands beside them."""
    axes = plotting.plot_history({"loss": [1.0]} | history, **names).axes
    return {panel.get_ylabel(): panel for panel in axes}


def test_a_kept_epoch_is_marked_in_every_panel():
    figure = plotting.plot_history(HISTORY, score="roc_auc", best_epoch=4)
    assert figure.axes[1].get_ylabel() == "validation roc_auc"
    assert figure.axes[0].get_title(loc="left") == "epoch 4 of 5 kept"
    assert [list(axes.lines[-1].get_xdata()) for axes in figure.axes] == [[4, 4], [4, 4]]
    first = plotting.plot_history(HISTORY, best_epoch=0).axes[0]
    assert first.get_title(loc="left") == "the first weights kept" and len(first.lines) == 2


def test_the_last_epoch_of_a_training_without_validation_gets_no_mark():
    (axes,) = plotting.plot_history({"loss": [2.0, 1.0]}, best_epoch=2).axes
    assert (len(axes.lines), axes.get_title(loc="left")) == (1, "")
    (axes,) = plotting.plot_history({"loss": [2.0, 1.0]}, best_epoch=1).axes
    assert axes.get_title(loc="left") == "epoch 1 of 2 kept"


def f2(estimator, X, y):
    return 0.5


@pytest.mark.parametrize(
    "kind, more, label",
    [
        (MLPClassifier, {}, "validation accuracy"),
        (MLPRegressor, {}, "validation R²"),
        (MLPClassifier, {"scoring": "roc_auc"}, "validation roc_auc"),
        (MLPClassifier, {"scoring": f2}, "validation f2"),
        (MLPClassifier, {"scoring": make_scorer(zero_one_loss)}, "validation zero_one_loss"),
        (MLPClassifier, {"scoring": "loss"}, None),  # the other panel shows it
        (MLPRegressor, {"loss": "quantile", "quantiles": (0.5,)}, None),
    ],
)
@pytest.mark.filterwarnings("ignore:.*Maximum iterations")
def test_an_estimator_knows_its_score_and_the_kept_epoch(kind, more, label):
    X, y = np.random.default_rng(0).normal(size=(60, 2)), np.arange(60) % 2
    model = kind(hidden_layer_sizes=(2,), early_stopping=True, max_iter=2, random_state=0, **more)
    figure = plotting.plot_history(model.fit(X, y))
    assert [axes.get_ylabel() for axes in figure.axes] == ["loss", *[label] * bool(label)]
    title = f"epoch {model.best_epoch_} of 2 kept"
    assert figure.axes[0].get_title(loc="left") == title


def test_a_history_of_something_else_is_refused_in_words():
    with pytest.raises(TypeError, match=r"a fitted estimator or its history_, got a list"):
        plotting.plot_history([1.0, 0.5])
    with pytest.raises(NotFittedError):
        plotting.plot_history(MLPClassifier())


@pytest.mark.parametrize("n", [1, 2, 3, 7, 40])
def test_epochs_are_counted_in_whole_numbers(n):
    axes = panels({"loss": [0.5] * n})["loss"]
    low, high = axes.get_xlim()
    ticks = [tick for tick in axes.get_xticks() if low <= tick <= high]
    assert ticks and all(tick == int(tick) and 1 <= tick <= n for tick in ticks)


@pytest.mark.parametrize("form", [np.asarray, "Series", "DataFrame"])
def test_a_history_of_arrays_or_a_data_frame_is_drawn_as_one_of_lists(form):
    if form is not np.asarray:
        pd = pytest.importorskip("pandas", reason="a data frame needs pandas")
    given = HISTORY | {"learning_rate": [0.1, 0.1, 0.05, 0.05, 0.01]}
    of_arrays = {name: np.asarray(values) for name, values in given.items()}
    if form is not np.asarray:
        of_arrays = pd.DataFrame(given) if form == "DataFrame" else dict(pd.DataFrame(given))
    want, drawn = plotting.plot_history(given), plotting.plot_history(of_arrays)
    lines = [[line.get_ydata() for a in f.axes for line in a.lines] for f in (want, drawn)]
    np.testing.assert_array_equal(*lines)
    assert [axes.get_ylabel() for axes in drawn.axes] == [
        "loss",
        "validation score",
        "learning rate",
    ]


@pytest.mark.parametrize("kind", [{}, {"solver": "lbfgs"}, {"early_stopping": True}])
@pytest.mark.filterwarnings("ignore:.*Maximum iterations", "ignore:lbfgs failed")
def test_the_table_of_csv_logger_is_drawn_as_the_estimators_history(tmp_path, kind):
    pd = pytest.importorskip("pandas", reason="a data frame needs pandas")
    X, y = np.random.default_rng(0).normal(size=(60, 2)), np.arange(60) % 2
    model = MLPClassifier((2,), max_iter=3, callbacks=CSVLogger(tmp_path / "log.csv"), **kind)
    want = plotting.plot_history(model.fit(X, y).history_)
    drawn = plotting.plot_history(pd.read_csv(tmp_path / "log.csv"))
    names = [[(a.get_xlabel(), a.get_ylabel()) for a in f.axes] for f in (want, drawn)]
    assert names[0] == names[1]


@pytest.mark.parametrize(
    "history, named, text",
    [
        ({}, {}, "the history has no column, expected 'loss'"),
        ({"losses": [1]}, {}, "the history has 'losses', expected 'loss'"),
        ({"loss": 1.0}, {}, "'loss' is 1.0, expected a list"),
        ({"loss": ["low"]}, {}, r"'loss' is \['low'\], expected a list"),
        ({"loss": [2, 1], "validation_loss": [3, 2, 1]}, {}, "has 3 numbers and 'loss' has 2"),
        ({"loss": [2, 1]}, {"best_epoch": 7}, "best_epoch is 7, expected 0 to 2, as"),
        ({"loss": [2, 1]}, {"best_epoch": -1}, "best_epoch is -1, expected 0 to 2, as"),
    ],
)
def test_a_history_that_cannot_be_drawn_is_refused_in_a_sentence(history, named, text):
    with pytest.raises(ValueError, match=text):
        plotting.plot_history(history, **named)


@pytest.mark.parametrize(
    "losses, low, high, scale",
    [
        ([0.301, 0.300], 0.0, 0.316, "linear"),  # hardly fell, and looks it
        ([1000.0, 5.0], 5 / 1.3, 1300.0, "log"),
        ([1000.0, 0.0], 0.0, 1050.0, "linear"),
        ([-105.2, -105.1], -110.41, -99.89, "linear"),  # 0 means nothing there
        ([0.0], 0.0, 1.0, "linear"),
        ([2.0, np.inf, np.nan], 0.0, 2.1, "linear"),
        ([np.nan], 0.0, 1.0, "linear"),
    ],
)
def test_the_range_of_a_loss_does_not_flatter(losses, low, high, scale):
    (axes,) = plotting.plot_history({"loss": losses}).axes
    assert axes.get_ylim() == pytest.approx((low, high), rel=1e-3)
    assert axes.get_yscale() == scale and ("log scale" in axes.get_ylabel()) == (scale == "log")


def test_losses_have_a_log_scale_only_where_both_fall_far():
    far, less = [300.0, 1.0], [3.0, 1.0]
    for validation, scale in ((far, "log"), (less, "linear")):
        axes = panels({"loss": far, "validation_loss": validation})
        assert [panel.get_yscale() for panel in axes.values()] == [scale]


@pytest.mark.parametrize(
    "scores, name, low, high",
    [
        ([0.50, 0.51], "accuracy", 0.0, 1.02),
        ([0.95, 0.98], "accuracy", 0.9, 1.002),
        ([0.9901, 0.995], "accuracy", 0.99, 1.0002),
        ([1.0, 1.0], None, 0.99, 1.0002),
        ([-5.60, -5.59], "r2", -6.16, 1.1),  # far below 0, however it grows
        ([-0.5, 0.8], None, -0.55, 1.1),
        ([-0.60, -0.59], "neg_log_loss", -0.63, 0.0),
        ([-0.60, -0.59], "loss", -0.63, 0.0),
        ([30.0, 31.0], "profit", 28.95, 32.05),
        ([np.nan, np.inf], "r2", 0.0, 1.02),
    ],
)
def test_the_range_of_a_score_shows_how_far_the_best_is(scores, name, low, high):
    given = {"loss": [1.0, 1.0], "validation_score": scores}
    axes = plotting.plot_history(given, score=name).axes[1]
    assert axes.get_ylim() == pytest.approx((low, high), rel=1e-3)


def test_a_score_from_far_below_zero_shows_its_end_too():
    given = {"loss": [1.0] * 3, "validation_score": [-1e6, -3.0, 0.9]}
    axes = plotting.plot_history(given, score="r2").axes[1]
    places = axes.transAxes.inverted().transform(axes.transData.transform([[1, 0], [1, 1]]))[:, 1]
    assert 0.05 < places[1] - places[0] < 0.3 and {0.0, 1.0} <= {*axes.get_yticks()}
    assert axes.get_title(loc="left") == "log scale below -1"


def test_what_is_not_finite_gets_a_cross_and_what_was_not_looked_at_a_gap():
    losses = {"loss": [1.0, np.inf, np.nan], "validation_loss": [np.nan, np.inf, 2.0]}
    axes = panels(losses)["loss"]
    crosses = {line.get_label(): line for line in axes.lines if line.get_marker() == "x"}
    assert {label: line.get_xdata().tolist() for label, line in crosses.items()} == {
        "training, not finite": [2, 3],
        "validation, not finite": [2],
    }
    assert all((line.get_ydata() == 1).all() for line in crosses.values())  # the upper edge
    score = panels({"loss": [1.0] * 3, "validation_score": [np.nan, -np.inf, 0.5]})
    below = score["validation score"].lines[1]
    assert (below.get_xdata().tolist(), below.get_ydata().tolist()) == ([2], [0])


def test_epochs_that_a_model_file_left_out_are_drawn_as_lines_between_the_others():
    nan = np.nan
    kept = {"loss": [4.0, nan, nan, 1.0, nan], "seconds": [1.0, nan, nan, 1.0, 1.0]}
    (axes,) = plotting.plot_history(kept).axes
    curve, cross = axes.lines
    np.testing.assert_allclose(curve.get_ydata(), [4, 3, 2, 1, nan])
    assert cross.get_xdata().tolist() == [5]  # an epoch that was run, and diverged


@pytest.mark.parametrize("n_classes", [2, 10, 30])
def test_confusion_writes_the_counts_of_scikit_learn(n_classes):
    rng = np.random.default_rng(n_classes)
    y_true, y_pred = rng.integers(0, n_classes, (2, 60 * n_classes))
    figure = plotting.plot_confusion(y_true, y_pred)
    expected = confusion_matrix(y_true, y_pred)
    assert np.array_equal(cells(figure, n_classes), expected)
    shares = figure.axes[0].images[0].get_array()
    assert np.allclose(shares, confusion_matrix(y_true, y_pred, normalize="true"))
    assert figure.axes[0].get_xlabel() == "predicted class"
    assert figure.axes[0].get_ylabel() == "true class"


def test_confusion_shows_the_labels_asked_for_in_their_order():
    y_true, y_pred = ["a", "b", "b", "c"], ["a", "c", "b", "b"]
    figure = plotting.plot_confusion(y_true, y_pred, labels=["c", "b"])
    ticks = [text.get_text() for text in figure.axes[0].get_xticklabels()]
    assert ticks == ["c", "b"]
    assert cells(figure, 2).tolist() == [[0, 1], [1, 1]]
    assert figure.axes[0].get_title(loc="left") == "1 of 3 correct (33.3%)"


def test_a_class_that_never_occurs_leaves_an_empty_row_without_a_warning():
    figure = plotting.plot_confusion([0, 0], [0, 1], labels=[0, 1])
    assert figure.axes[0].images[0].get_array().tolist() == [[0.5, 0.5], [0.0, 0.0]]


def test_predictions_lie_at_target_and_prediction_with_the_diagonal_behind():
    y_true, y_pred = [1.0, 2.0, 5.0], [1.5, 2.0, 7.0]
    (axes,) = plotting.plot_predictions(y_true, y_pred).axes
    (points,) = axes.collections
    assert np.array_equal(points.get_offsets(), np.column_stack([y_true, y_pred]))
    (diagonal,) = axes.lines
    assert np.array_equal(diagonal.get_xydata(), [[1.0, 1.0], [7.0, 7.0]])
    assert (axes.get_xlabel(), axes.get_ylabel()) == ("target", "prediction")


def test_predictions_of_several_outputs_get_a_colour_each():
    y = np.arange(12.0).reshape(6, 2)
    (axes,) = plotting.plot_predictions(y, y + 1).axes
    assert len(axes.collections) == len(axes.get_legend().get_texts()) == 2


def test_a_column_of_predictions_meets_a_flat_target_but_two_columns_do_not():
    y = np.arange(4.0)
    plotting.plot_predictions(y, y[:, None])
    with pytest.raises(ValueError, match=r"\(4, 1\).*\(4, 2\).*differ"):
        plotting.plot_predictions(y, np.stack([y, y], axis=1))


@pytest.mark.parametrize("labels", [[0, 1], ["a", "b"], [0, 1, 2, 3]])
def test_the_boundary_colours_the_plane_by_prediction_and_the_samples_by_label(labels):
    rng = np.random.default_rng(0)
    X, y = rng.uniform(0, 1, (60, 2)), np.array(labels)[np.arange(60) % len(labels)]
    seen = []

    def predict(points):
        seen.append(points)
        return np.array(labels)[(points[:, 0] > 0.5).astype(int)]

    figure = plotting.plot_boundary(predict, X, y)
    axes = figure.axes[0]
    regions, *samples = axes.collections
    assert [len(points.get_offsets()) for points in samples] == [60 // len(labels)] * len(labels)
    for label, points in zip(labels, samples):
        assert np.array_equal(points.get_offsets(), X[y == label])
    names = [text.get_text() for text in axes.get_legend().get_texts()]
    assert names == [str(label) for label in labels]
    right = np.sum(np.array(labels)[(X[:, 0] > 0.5).astype(int)] == y)
    assert axes.get_title(loc="left").startswith(f"{right} of 60 correct")
    left, other = (path.vertices[:, 0] for path in regions.get_paths()[:2])
    assert left.max() < 0.51 and other.min() > 0.49  # the border lies at x = 1/2
    assert left.min() < X[:, 0].min() and other.max() > X[:, 0].max()
    assert np.allclose(regions.get_facecolor()[0, :3], samples[0].get_facecolor()[0, :3])
    assert all(points.shape[1] == 2 for points in seen)


def test_the_axes_of_a_boundary_carry_the_features_names():
    X, names = np.asarray([[0.0, 1.0], [1.0, 0.0]]), ["length", "width"]
    figure = plotting.plot_boundary(lambda X: X[:, 0] > 0.5, X, [False, True], feature_names=names)
    assert [figure.axes[0].get_xlabel(), figure.axes[0].get_ylabel()] == names


@pytest.mark.parametrize("shape", [(4, 3), (3, 2), (4,)])
def test_the_boundary_of_other_than_two_features_is_refused_in_words(shape):
    with pytest.raises(ValueError, match=r"expected \(4, 2\): two features"):
        plotting.plot_boundary(lambda X: X[:, 0], np.zeros(shape), np.zeros(4))


def test_curves_share_x_and_the_first_is_the_grey_reference_behind():
    x = np.arange(4.0)
    curves = {"target": x**2, "fits": np.stack([x, x + 1], axis=1), "late": [np.nan, 1, 2, 3]}
    figure = plotting.plot_curves(x, curves, xlabel="x", ylabel="y")
    (axes,) = figure.axes
    assert [text.get_text() for text in axes.get_legend().get_texts()] == [*curves]
    colors = [line.get_color() for line in axes.lines]
    assert colors == [plotting.GREY, plotting.BLUE, plotting.BLUE, plotting.ORANGE]
    assert np.array_equal(axes.lines[2].get_xydata(), np.stack([x, x + 1], axis=1))
    assert (axes.get_xlabel(), axes.get_ylabel()) == ("x", "y")


def test_a_path_gets_a_picture_in_the_format_of_its_suffix(tmp_path):
    plotting.plot_history(HISTORY, path=tmp_path / "a.png")
    plotting.plot_predictions([1, 2], [1, 2], path=str(tmp_path / "b"))
    plotting.plot_confusion([0, 1], [0, 1], path=tmp_path / "c.svg")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.png", "b", "c.svg"]
    for name in ("a.png", "b"):
        assert (tmp_path / name).read_bytes().startswith(PNG)
    assert b"<svg" in (tmp_path / "c.svg").read_bytes()


def test_a_save_that_fails_leaves_the_old_picture_and_nothing_else(tmp_path, monkeypatch):
    path = tmp_path / "history.png"
    path.write_bytes(b"old")

    def full(source, target):
        raise OSError("No space left on device")

    monkeypatch.setattr("xpmlp.atomic.os.replace", full)
    with pytest.raises(OSError, match="No space left"):
        plotting.plot_history(HISTORY, path=path)
    assert [p.name for p in tmp_path.iterdir()] == ["history.png"]
    assert path.read_bytes() == b"old"


def test_an_unknown_format_is_refused_before_a_file_is_made(tmp_path):
    with pytest.raises(ValueError, match="xyz"):
        plotting.plot_history(HISTORY, path=tmp_path / "history.xyz")
    assert list(tmp_path.iterdir()) == []


def test_without_matplotlib_the_error_names_the_extra(monkeypatch):
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    monkeypatch.delitem(sys.modules, "xpmlp.figure", raising=False)
    with pytest.raises(ImportError, match=r"pip install xpmlp\[plot\]"):
        plotting.plot_history(HISTORY)


def test_drawing_leaves_no_pyplot_state():
    plotting.plot_history(HISTORY)
    pyplot = sys.modules.get("matplotlib.pyplot")
    assert pyplot is None or pyplot.get_fignums() == []


def test_a_notebook_shows_a_figure_without_pyplot():
    data, about = plotting.plot_history(HISTORY)._repr_png_()
    assert data.startswith(PNG) and about == {"width": 960}


@pytest.mark.parametrize("inline", [False, True])
def test_ipython_shows_a_figure_once(inline):
    formatters = pytest.importorskip("IPython.core.formatters", reason="it is IPython that asks")
    from IPython.core.pylabtools import print_figure

    formatter = formatters.DisplayFormatter()
    if inline:  # what pyplot's inline backend registers
        from matplotlib.figure import Figure

        png = formatter.formatters["image/png"]
        png.for_type(Figure, lambda figure: print_figure(figure, "png", base64=True))
    data, _ = formatter.format(plotting.plot_history(HISTORY))
    assert sorted(data) == ["image/png", "text/plain"]


def test_a_figure_is_pickled_with_what_it_shows():
    figure = pickle.loads(pickle.dumps(plotting.plot_history(HISTORY)))
    assert figure._repr_png_()[0].startswith(PNG) and len(figure.axes) == 2
