"""Pictures of a training run and of what a model predicts, drawn with matplotlib.

Every function takes host arrays, returns the Figure and, given a path, saves it there in the format
of the suffix (PNG without one). No pyplot: nothing stays open and no display is needed; a notebook
shows the Figure that ends a cell, whether pyplot was imported or not.

scikit-learn's Displays were tried: they import pyplot, shade counts or write shares, but not both,
draw several outputs in one colour, and want an estimator where `plot_boundary` takes a function.
"""

from collections.abc import Callable, Mapping, Sequence
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np

from .atomic import atomic_write
from .history import check_best_epoch, columns_of, ends, history_of, score_of, wide
from .outcomes import confusion, range_of_most
from .protocols import Figure, History, RateTest, SaveAs, Values

BLUE, ORANGE, GREY = "#2f6db3", "#e0762b", "#8a8a8a"
# Names of scores on an axis.
WRITTEN: dict[str | None, str] = {"r2": "R²", "loss": "score, minus the loss"}


def plot_history(
    history: History,
    *,
    score: str | None = None,
    best_epoch: int | None = None,
    path: SaveAs = None,
) -> Figure:
    """Draw the loss after each epoch; beside it the validation score and a rate that changes.

    A dashed line marks the epoch whose weights were kept.  Ranges do not flatter: a loss begins at
    0, or is drawn on a log scale where all falls by more than a factor of 100; a score of at most 1
    is shown from 0 to 1 (from 0.9 or 0.99 where it never is lower), with all below 0 that there is.

    Parameters
    ----------
    history : fitted estimator, dict of lists or arrays, or data frame
        A dict, such as `history_`, or the table that CSVLogger writes, has one number per epoch:
        "loss" and, optionally, "validation_loss", "validation_score" and "learning_rate" (empty
        under lbfgs, whose entries are iterations).  NaN leaves a gap, infinity and a loss of NaN a
        cross at the edge.
    score : str, optional
        What the validation score is: "accuracy". An estimator knows it.
    best_epoch : int, optional
        The epoch that was kept, counted from 1; 0 for the first weights. An estimator knows it.
    path : str or path, optional

    Returns
    -------
    matplotlib.figure.Figure

    Raises
    ------
    TypeError
        When `history` is something else.
    ValueError
        When it lacks the loss, has a longer column than the loss or one of other than numbers, or
        has no epoch `best_epoch`.

    Examples
    --------
    >>> history = {"loss": [2.3, 0.9, 0.4], "validation_score": [0.3, 0.9, 0.7]}
    >>> figure = plot_history(history, score="accuracy", best_epoch=2)
    >>> [axes.get_ylabel() for axes in figure.axes], figure.axes[0].get_title(loc="left")
    (['loss', 'validation accuracy'], 'epoch 2 of 3 kept')
    """
    if (columns := history_of(history)) is not history:
        model: Any = history
        score = score or score_of(model)
        best_epoch = model.best_epoch_ if best_epoch is None else best_epoch
    found, unit = columns_of(columns)
    losses, n = [found["loss"]], len(found["loss"])
    scores, rates = found["validation_score"], found["learning_rate"]
    if found["validation_loss"].size:
        losses.append(found["validation_loss"])
        if score == "loss":  # minus which it would be, once more
            scores = scores[:0]
    check_best_epoch(best_epoch, n, unit)
    changes = rates.size > 0 and np.nanmin(rates) < np.nanmax(rates)
    n_panels = 1 + (scores.size > 0) + changes
    figure = _figure(4.8 * n_panels, 3.6)
    axes = figure.subplots(1, n_panels, squeeze=False)[0]
    _limit_loss(axes[0], losses)
    for values, color, label in zip(losses, (BLUE, ORANGE), ("training", "validation")):
        _curve(axes[0], values, color, label)
    if scores.size:
        _limit_score(axes[1], scores, score)
        _curve(axes[1], scores, ORANGE, "validation")
        axes[1].set_ylabel(f"validation {WRITTEN.get(score, score) or 'score'}")
    if changes:
        _curve(axes[-1], rates, GREY, "learning rate")
        axes[-1].set(ylabel="learning rate", ylim=(0, None))
    if best_epoch == n and len(losses) == 1 and not scores.size:
        best_epoch = None  # the last is kept where none is looked at: that needs no mark
    _count_epochs(axes, n, unit, best_epoch)
    if len(axes[0].get_legend_handles_labels()[0]) > 1:
        axes[0].legend(frameon=False)
    return _finish(figure, path)


def plot_confusion(
    y_true: Values, y_pred: Values, *, labels: Values | None = None, path: SaveAs = None
) -> Figure:
    """Draw a confusion matrix: how often each class was taken for each other.

    Cells show counts; the shade is the share of the row, so a rare class shows like a common one.
    Of more than 40 classes the 30 with the most errors are shown, and all others as one.

    Parameters
    ----------
    y_true, y_pred : array (n_samples,)
        Labels, numbers or strings.
    labels : sequence, optional
        The classes to show, in this order.
    path : str or Path, optional

    Returns
    -------
    matplotlib.figure.Figure

    Examples
    --------
    >>> figure = plot_confusion(["cat", "dog", "dog"], ["cat", "dog", "cat"])
    >>> figure.axes[0].get_title(loc="left")
    '2 of 3 correct (66.7%)'
    """
    counts, names = confusion(y_true, y_pred, labels)
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
    axes.set_xticks(range(len(names)), names, rotation=90 * long, parse_math=False)
    axes.set_yticks(range(len(names)), names, parse_math=False)  # $10 - $20 is no formula
    axes.set(xlabel="predicted class", ylabel="true class")
    right, total = np.trace(counts), counts.sum()
    axes.set_title(f"{right} of {total} correct ({right / total:.1%})", loc="left", fontsize=11)
    return _finish(figure, path)


def plot_predictions(y_true: Values, y_pred: Values, *, path: SaveAs = None) -> Figure:
    """Draw each prediction against its target; a perfect model lies on the diagonal.

    A cross at the edge stands for an outlier, which would press all others into a corner.

    Parameters
    ----------
    y_true, y_pred : array (n_samples,) or (n_samples, n_outputs)
        A colour for each output.
    path : str or Path, optional

    Returns
    -------
    matplotlib.figure.Figure

    Raises
    ------
    ValueError
        When the shapes differ.

    Examples
    --------
    >>> figure = plot_predictions([1.0, 2.0, 4.0], [1.5, 2.0, 3.5])
    >>> figure.axes[0].get_title(loc="left")
    'root mean squared error 0.408'
    """
    given = [np.asarray(y, dtype=float) for y in (y_true, y_pred)]
    y_true, y_pred = (y.reshape(len(y), -1) for y in given)
    if y_true.shape != y_pred.shape:
        msg = f"y_true {y_true.shape} and y_pred {y_pred.shape} differ in shape: pass equal shapes."
        raise ValueError(msg)
    axes = (figure := _figure(4.6, 4.6)).subplots()
    corners = range_of_most([y_true, y_pred])
    axes.plot(corners, corners, color=GREY, lw=1, zorder=1)
    look = {"s": 18, "linewidths": 0, "alpha": min(0.8, max(0.15, 30 / len(y_true) ** 0.5))}
    for k in range(y_true.shape[1]):
        points = np.stack([y_true[:, k], y_pred[:, k]])
        edge = np.clip(points, *corners)
        inside = (edge == points).all(axis=0)
        axes.scatter(*points[:, inside], label=f"output {k + 1}", **look)
        if n_far := np.sum(~inside):
            axes.plot(*edge[:, ~inside], "x", color=f"C{k}", label=f"{n_far} outside")
    if 1 < len(axes.get_legend_handles_labels()[0]) <= 10:
        axes.legend(frameon=False)
    axes.set_aspect("equal", adjustable="datalim")
    axes.set(xlabel="target", ylabel="prediction")
    error = np.sqrt(np.mean((y_true - y_pred) ** 2))
    axes.set_title(f"root mean squared error {error:.3g}", loc="left", fontsize=11)
    return _finish(figure, path)


def plot_boundary(
    predict: Callable,
    X: Values,
    y: Values,
    *,
    feature_names: Sequence[str] = ("feature 1", "feature 2"),
    path: SaveAs = None,
) -> Figure:
    """Draw which class is predicted where in the plane, and the samples on top.

    Parameters
    ----------
    predict : callable
        From (n, 2) points to n labels, such as ``clf.predict``.
    X : array (n_samples, 2)
    y : array (n_samples,)
        Labels.
    feature_names : pair of str
        Of the two axes.
    path : str or Path, optional

    Returns
    -------
    matplotlib.figure.Figure

    Raises
    ------
    ValueError
        When X has not two columns, or not a row for each label.

    Examples
    --------
    >>> import numpy as np
    >>> X, y = np.array([[0.0, 0.0], [1.0, 2.0], [2.0, 1.0]]), np.array([0, 1, 1])
    >>> figure = plot_boundary(lambda X: (X[:, 0] > 1.5).astype(int), X, y)
    >>> figure.axes[0].get_title(loc="left")
    '2 of 3 correct (66.7%)'
    """
    X, y = np.asarray(X), np.ravel(np.asarray(y))
    if X.ndim != 2 or X.shape != (len(y), 2):
        msg = f"X is {X.shape}, expected ({len(y)}, 2): two features, and a row for each label."
        raise ValueError(msg)
    across, up = map(str, feature_names)
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
    axes.set(xlabel=across, ylabel=up)
    axes.set_title(f"{right} of {len(y)} correct ({right / len(y):.1%})", loc="left", fontsize=11)
    return _finish(figure, path)


def plot_curves(
    x: Values,
    curves: Mapping[str, Values],
    *,
    xlabel: str = "",
    ylabel: str = "",
    path: SaveAs = None,
) -> Figure:
    """Draw curves over a common x: fits of a function, costs of several runs.

    Parameters
    ----------
    x : array (n,)
    curves : dict of arrays (n,), or (n, k) for k lines of one kind
        By label; the first is the reference: grey, behind the others.
    xlabel, ylabel : str, optional
    path : str or Path, optional

    Returns
    -------
    matplotlib.figure.Figure

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


def plot_learning_rates(found: RateTest, *, path: SaveAs = None) -> Figure:
    """Draw the loss against the rising learning rate of a range test, and the suggested rate.

    Parameters
    ----------
    found : LearningRates
        As `find_learning_rate` of an estimator returns it.
    path : str or Path, optional

    Returns
    -------
    matplotlib.figure.Figure

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
    _limit_loss(axes, [found.smoothed])
    axes.set(xlabel="learning rate", xscale="log")
    axes.legend(frameon=False)
    axes.set_title(f"suggested learning rate {found.suggestion:.2g}", loc="left", fontsize=11)
    return _finish(figure, path)


def _figure(width, height):
    """Return an empty Figure, width and height in inches; the one importer of matplotlib."""
    try:
        from .figure import Figure
    except ImportError as error:
        msg = "pictures need matplotlib, which is not installed: pip install xpmlp[plot]"
        raise ImportError(msg) from error
    return Figure(figsize=(width, height), layout="constrained")


def _limit_loss(axes, curves):
    """Set the range of losses: from 0, or a log scale where all fall by a factor of 100 or more."""
    both = [ends(values) for values in curves]
    low, high = min(low for low, _ in both), max(high for _, high in both)
    axes.set_ylabel("loss")
    if all(0 < 100 * low < high for low, high in both):
        axes.set(yscale="log", ylim=(low / 1.3, high * 1.3), ylabel="loss (log scale)")
    elif low >= 0:
        axes.set_ylim(0, 1.05 * high or 1)
    else:
        axes.set_ylim(*wide(low, high))


def _limit_score(axes, values, name):
    """Set the range of a score, so that one sees how far it is from the best that there is."""
    low, high = ends(values)
    best = 0 if (name or "").startswith("neg_") or name == "loss" else 1
    if high > best:
        axes.set_ylim(*wide(low, high))
    elif best == 0:
        axes.set_ylim(1.05 * low or -1, 0)
    elif low >= 0:
        bottom = 0.9 * (low > 0.9) + 0.09 * (low > 0.99)
        axes.set_ylim(bottom, 1 + 0.02 * (1 - bottom))
    else:
        axes.set_ylim(1.1 * low, 1.1)
        if low < -10:
            axes.set_yscale("symlog", linthresh=1)
            powers = np.arange(1, np.log10(-low) + 1e-9, max(1, np.log10(-low) // 4))
            axes.set_yticks([*-(10.0**powers), 0, 1])
            axes.yaxis.set_major_formatter("{x:g}")
            axes.set_title("log scale below -1", loc="left", fontsize=11)
        axes.axhline(0, color=GREY, lw=0.8, ls=":")


def _curve(axes, values, color, label):
    """Draw a curve against epochs 1, 2, ...; few epochs get dots, so that a single one shows."""
    values, epochs = np.asarray(values, float), np.arange(1, len(values) + 1)
    dots = "o" * (len(values) < 4)
    axes.plot(epochs, np.where(np.isinf(values), np.nan, values), dots + "-", color=color, lw=1.8)
    axes.lines[-1].set_label(label)
    lost = np.isinf(values) | (np.isnan(values) & (label == "training"))
    if lost.any():
        edge = axes.get_xaxis_transform(), values[lost] != -np.inf
        axes.plot(epochs[lost], edge[1], "x", color=color, transform=edge[0], clip_on=False)
        axes.lines[-1].set_label(f"{label}, not finite")


def _count_epochs(panels, n, unit, kept):
    """Number the axes of epochs 1 to n in whole numbers, and mark the kept one."""
    room = max(0.5, 0.02 * n)
    for axes in panels:
        axes.set(xlabel=unit, xlim=(0.5, max(n, 1) + room))
        axes.xaxis.get_major_locator().set_params(integer=True, min_n_ticks=1)
        if kept in range(1, n + 1):
            axes.axvline(kept, color=GREY, lw=1.2, ls="--", zorder=1)
    if kept is not None:
        which = f"{unit} {kept} of {n}" if kept else "the first weights"
        panels[0].set_title(f"{which} kept", loc="left", fontsize=11)


def _finish(figure, path):
    """Take away the frame that says nothing, save where asked to, and return the Figure."""
    for axes in figure.axes:
        axes.spines[["top", "right"]].set_visible(False)
    if path is not None:
        picture = BytesIO()
        figure.savefig(picture, format=Path(path).suffix[1:] or "png", dpi=150)
        atomic_write(path, picture.getvalue())
    return figure
