import sys

import numpy as np
import pytest
from sklearn.metrics import confusion_matrix

from xpmlp import plotting

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


@pytest.mark.parametrize("score", [{}, {"validation_score": None}, {"validation_score": []}])
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
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    with pytest.raises(ImportError, match=r"pip install xpmlp\[plot\]"):
        plotting.plot_history(HISTORY)


def test_drawing_leaves_no_pyplot_state():
    plotting.plot_history(HISTORY)
    pyplot = sys.modules.get("matplotlib.pyplot")
    assert pyplot is None or pyplot.get_fignums() == []
