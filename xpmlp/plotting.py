"""Pictures of a training run and of what a model predicts, drawn with matplotlib.

Every function takes host arrays, returns the Figure and, given a path, saves it there in the format
of the suffix (PNG without one). No pyplot: nothing stays open and no display is needed.

scikit-learn's Displays were tried: they import pyplot, shade counts or write shares, but not both,
draw several outputs in one colour, and want an estimator where `plot_boundary` takes a function.
"""

from io import BytesIO
from pathlib import Path

import numpy as np

from .atomic import atomic_write

BLUE, ORANGE, GREY = "#2f6db3", "#e0762b", "#8a8a8a"


def plot_history(history, *, path=None):
    """Draw the loss after each epoch; beside it the validation score and a rate that changes.

    history: dict of lists, one number per epoch, such as `history_`: "loss" and, optionally,
    "validation_loss", "validation_score" and "learning_rate" (empty under lbfgs, whose entries are
    iterations).  Returns the Figure.

    Examples
    --------
    >>> figure = plot_history({"loss": [2.3, 0.9, 0.4], "validation_score": [0.3, 0.7, 0.9]})
    >>> [axes.get_ylabel() for axes in figure.axes]
    ['loss', 'validation score']
    """
    validation, score = history.get("validation_loss"), history.get("validation_score")
    rate = history.get("learning_rate")
    unit = "iteration" if rate is not None and not len(rate) else "epoch"
    changes = bool(rate) and min(rate) < max(rate)
    n_panels = 1 + bool(score) + changes
    figure = _figure(4.8 * n_panels, 3.6)
    axes = figure.subplots(1, n_panels, squeeze=False)[0]
    _curve(axes[0], history["loss"], BLUE, "training", unit)
    if validation:
        _curve(axes[0], validation, ORANGE, "validation", unit)
        axes[0].legend(frameon=False)
    axes[0].set_ylabel("loss")
    if score:
        _curve(axes[1], score, ORANGE, "validation", unit)
        axes[1].set_ylabel("validation score")
    if changes:
        _curve(axes[-1], rate, GREY, "learning rate", unit)
        axes[-1].set(ylabel="learning rate", ylim=(0, None))
    return _finish(figure, path)


def plot_confusion(y_true, y_pred, *, labels=None, path=None):
    """Draw how often each class was taken for each other.

    Cells show counts; the shade is the share of the row, so a rare class shows like a common one.
    y_true, y_pred: (n_samples,), numbers or strings; labels: the classes to show, in this order
    (None: all, sorted).  Returns the Figure.

    Examples
    --------
    >>> figure = plot_confusion(["cat", "dog", "dog"], ["cat", "dog", "cat"])
    >>> figure.axes[0].get_title(loc="left")
    '2 of 3 correct (66.7%)'
    """
    from sklearn.metrics import confusion_matrix
    from sklearn.utils.multiclass import unique_labels

    counts = confusion_matrix(y_true, y_pred, labels=labels)
    if labels is None:
        labels = unique_labels(y_true, y_pred)
    names = [str(name) for name in labels]
    share = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    side = min(max(3.8, 1.4 + 0.36 * len(names)), 14.0)
    figure = _figure(side + 0.8, side)
    axes = figure.subplots()
    image = axes.imshow(share, cmap="Blues", vmin=0, vmax=1)
    figure.colorbar(image, ax=axes, shrink=0.8, label="share of the true class").outline.set_lw(0)
    room = 72 * (side - 1.4) / len(names)  # points per cell
    size = min(10, 1.5 * room / len(str(counts.max())))
    inks = np.select([counts == 0, share > 0.5], ["0.75", "white"], "black")
    for (i, j), n in np.ndenumerate(counts):
        axes.text(j, i, str(n), ha="center", va="center", color=inks[i, j], fontsize=size)
    long = 7 * max(map(len, names)) > room
    axes.set_xticks(range(len(names)), names, rotation=90 * long)
    axes.set_yticks(range(len(names)), names)
    axes.set(xlabel="predicted class", ylabel="true class")
    right, total = np.trace(counts), counts.sum()
    axes.set_title(f"{right} of {total} correct ({right / total:.1%})", loc="left", fontsize=11)
    return _finish(figure, path)


def plot_predictions(y_true, y_pred, *, path=None):
    """Draw each prediction against its target; a perfect model lies on the diagonal.

    y_true, y_pred: (n_samples,) or (n_samples, n_outputs), a colour for each output.
    Returns the Figure.

    Examples
    --------
    >>> figure = plot_predictions([1.0, 2.0, 4.0], [1.5, 2.0, 3.5])
    >>> figure.axes[0].get_title(loc="left")
    'root mean squared error 0.408'
    """
    y_true, y_pred = (np.asarray(y, dtype=float).reshape(len(y), -1) for y in (y_true, y_pred))
    if y_true.shape != y_pred.shape:
        msg = f"y_true {y_true.shape} and y_pred {y_pred.shape} differ in shape: pass equal shapes."
        raise ValueError(msg)
    figure = _figure(4.6, 4.6)
    axes = figure.subplots()
    both = np.concatenate([y_true, y_pred])
    ends = both.min(), both.max()
    axes.plot(ends, ends, color=GREY, lw=1, zorder=1)
    n, n_outputs = y_true.shape
    look = {"s": 18, "linewidths": 0, "alpha": min(0.8, max(0.15, 30 / n**0.5))}
    for k in range(n_outputs):
        axes.scatter(y_true[:, k], y_pred[:, k], label=f"output {k + 1}", **look)
    if 1 < n_outputs <= 10:
        axes.legend(frameon=False)
    axes.set_aspect("equal", adjustable="datalim")
    axes.set(xlabel="target", ylabel="prediction")
    error = np.sqrt(np.mean((y_true - y_pred) ** 2))
    axes.set_title(f"root mean squared error {error:.3g}", loc="left", fontsize=11)
    return _finish(figure, path)


def plot_boundary(predict, X, y, *, path=None):
    """Draw which class is predicted where in the plane, and the samples on top.

    predict: function from (n, 2) points to n labels, such as ``clf.predict``; X: (n_samples, 2);
    y: (n_samples,) labels.  Returns the Figure.

    Examples
    --------
    >>> import numpy as np
    >>> X, y = np.array([[0.0, 0.0], [1.0, 2.0], [2.0, 1.0]]), np.array([0, 1, 1])
    >>> figure = plot_boundary(lambda X: (X[:, 0] > 1.5).astype(int), X, y)
    >>> figure.axes[0].get_title(loc="left")
    '2 of 3 correct (66.7%)'
    """
    X, y = np.asarray(X), np.ravel(y)
    if X.ndim != 2 or X.shape != (len(y), 2):
        msg = f"X is {X.shape}, expected ({len(y)}, 2): two features, and a row for each label."
        raise ValueError(msg)
    margin = 0.08 * np.ptp(X, axis=0).max()
    (x0, y0), (x1, y1) = X.min(axis=0) - margin, X.max(axis=0) + margin
    grid = np.meshgrid(np.linspace(x0, x1, 400), np.linspace(y0, y1, 400))
    regions = np.ravel(predict(np.stack([axis.ravel() for axis in grid], axis=1)))
    right = int(np.sum(np.ravel(predict(X)) == y))
    classes, codes = np.unique(np.concatenate([regions, y]), return_inverse=True)
    colors = [BLUE, ORANGE, *(f"C{k}" for k in range(2, len(classes)))][: len(classes)]
    figure = _figure(4.8, 4.4)
    axes = figure.subplots()
    where = codes[: len(regions)].reshape(grid[0].shape)
    levels = np.arange(len(classes) + 1) - 0.5
    axes.contourf(*grid, where, levels=levels, colors=colors, alpha=0.3)
    for name, color in zip(classes, colors):
        look = {"color": color, "s": 14, "linewidths": 0.4, "edgecolors": "white"}
        axes.scatter(*X[y == name].T, label=str(name), **look)
    axes.legend(loc="upper left", bbox_to_anchor=(1, 1), frameon=False, title="class")
    axes.set(xlabel="feature 1", ylabel="feature 2")
    axes.set_title(f"{right} of {len(y)} correct ({right / len(y):.1%})", loc="left", fontsize=11)
    return _finish(figure, path)


def plot_curves(x, curves, *, xlabel="", ylabel="", path=None):
    """Draw curves over a common x: fits of a function, costs of several runs.

    x: (n,); curves: dict from a label to (n,) values, or to (n, k) for k lines of one kind. The
    first is the reference: grey, behind the others.  Returns the Figure.

    Examples
    --------
    >>> figure = plot_curves([0, 1, 2], {"target": [0, 1, 4], "fit": [0.1, 1.2, 3.8]})
    >>> [text.get_text() for text in figure.axes[0].get_legend().get_texts()]
    ['target', 'fit']
    """
    figure = _figure(6.0, 3.6)
    axes = figure.subplots()
    colors = [GREY, BLUE, ORANGE, *(f"C{k}" for k in range(2, len(curves)))]
    looks = [{"lw": 2.2, "alpha": 0.55}, *[{"lw": 1.6}] * len(curves)]
    for (label, values), color, look in zip(curves.items(), colors, looks):
        axes.plot(x, values, color=color, **look)[0].set_label(label)
    axes.legend(frameon=False)
    axes.set(xlabel=xlabel, ylabel=ylabel)
    return _finish(figure, path)


def plot_learning_rates(found, *, path=None):
    """Draw the loss against the rising learning rate of a range test, and the suggested rate.

    found: what `find_learning_rate` of an estimator returns.  Returns the Figure.

    Examples
    --------
    >>> from types import SimpleNamespace
    >>> found = SimpleNamespace(rates=[1e-3, 1e-2, 1e-1], losses=[2.0, 1.0, 3.0],
    ...                         smoothed=[2.0, 1.5, 2.0], suggestion=1e-2)
    >>> plot_learning_rates(found).axes[0].get_title(loc="left")
    'suggested learning rate 0.01'
    """
    figure = _figure(6.0, 3.6)
    axes = figure.subplots()
    axes.plot(found.rates, found.losses, color=GREY, lw=0.8, alpha=0.6, label="a batch")
    axes.plot(found.rates, found.smoothed, color=BLUE, lw=1.8, label="smoothed")
    axes.axvline(found.suggestion, color=ORANGE, lw=1.4, ls="--")
    low, high = np.min(found.smoothed), np.max(found.smoothed)
    axes.set_ylim(low - 0.15 * (high - low) - 1e-12, high + 0.15 * (high - low) + 1e-12)
    axes.set_xscale("log")
    axes.legend(frameon=False)
    axes.set(xlabel="learning rate", ylabel="loss")
    axes.set_title(f"suggested learning rate {found.suggestion:.2g}", loc="left", fontsize=11)
    return _finish(figure, path)


def _figure(width, height):
    """Make an empty Figure, width and height in inches; the one importer of matplotlib."""
    try:
        from matplotlib.figure import Figure
    except ImportError as error:
        msg = "pictures need matplotlib, which is not installed: pip install xpmlp[plot]"
        raise ImportError(msg) from error
    return Figure(figsize=(width, height), layout="constrained")


def _curve(axes, values, color, label, unit):
    """One curve against epochs 1, 2, ...; few epochs get dots, so that a single one shows."""
    epochs = range(1, len(values) + 1)
    dots = "o" * (len(values) < 4)
    axes.plot(epochs, values, color=color, lw=1.8, marker=dots, label=label)
    axes.set_xlabel(unit)
    axes.xaxis.get_major_locator().set_params(integer=True)


def _finish(figure, path):
    """Take away the frame that says nothing, save where asked to, and return the Figure."""
    for axes in figure.axes:
        axes.spines[["top", "right"]].set_visible(False)
    if path is not None:
        picture = BytesIO()
        figure.savefig(picture, format=Path(path).suffix[1:] or "png", dpi=150)
        atomic_write(path, picture.getvalue())
    return figure
