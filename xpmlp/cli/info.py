"""`xpmlp info`: what a model file holds, where it comes from, how well it did."""

import os
from dataclasses import dataclass
from datetime import datetime
from math import prod
from typing import Any

import click
import numpy as np

from ..nn.layout import walk
from ..words import abridged, first_of, listed, plural, wrapped
from .command import Command, echo, tell, tell_json
from .folds import shown_folds
from .options import score_of, settings
from .scores import Scores

COLUMNS = 40  # that are shown
NAME = 40  # letters of a name in the table of columns


@dataclass(frozen=True)
class Info:
    """What is known of a model file.

    estimator: None where the file holds a model alone; version: of xpmlp, which wrote it.
    """

    path: str
    version: str
    model: Any
    estimator: Any

    @property
    def record(self):
        """What `xpmlp train` recorded, {} without."""
        return getattr(self.estimator, "training_record_", {})

    @property
    def classes(self):
        """Labels, or None."""
        classes = self.model.targets.classes
        return None if classes is None else classes.tolist()

    @property
    def target(self):
        """Name of the target, or None."""
        return getattr(self.estimator, "target_name_", None)

    @property
    def threshold(self):
        """Decision threshold of two classes, else None."""
        if self.model.targets.task != "binary":
            return None
        return self.model.targets.threshold

    @property
    def columns(self):
        """The columns that it takes: name, type, what training saw; [] where they have no names."""
        encoder, names = self.model.inputs.encoder, self.model.inputs.names
        types = getattr(self.estimator, "table_types_", {})
        if encoder is None or not encoder.named:
            return [{"name": name, "type": types.get(name, "number")} for name in names]
        return [
            {"name": c.name, "type": types.get(c.name, c.kind), "values": _values(c)}
            for c in encoder.columns
        ]

    @property
    def n_parameters(self):
        """How many numbers were trained."""
        network = self.model.network
        shapes, _ = network.shapes(self.model.inputs.width)
        return sum(prod(shape) for _, group, shape in walk(network, shapes) if group.trained)

    def as_json(self):
        """Return it as JSON can hold it."""
        inputs, found = self.model.inputs, self.estimator
        known = {
            "file": self.path,
            "bytes": os.path.getsize(self.path),
            "xpmlp": self.version,
            "task": self.model.targets.task,
            "target": self.target,
            "classes": self.classes,
            "threshold": self.threshold,
            "n_features": inputs.n_features,
            "columns": self.columns,
            "dtype": inputs.dtype,
            "layers": [" ".join(line.split()) for line in self.network()[1:-1]],
            "n_parameters": self.n_parameters,
        }
        if found is None:
            return known
        return known | {
            "estimator": type(found).__name__,
            "settings": settings(found),
            "n_epochs": found.n_iter_total_,
            "best_epoch": found.best_epoch_,
            "scoring": score_of(found),
            "best_validation_score": found.best_validation_score_,
            "training": self.record,
        }

    def lines(self):
        """Yield what is printed."""
        yield wrapped(self.file_in_words())
        yield wrapped(f"Task: {self.task_in_words()}.")
        if self.estimator is not None:
            yield from map(wrapped, self.training())
        yield ""
        if self.columns:
            yield from column_table(self.columns)
        else:
            yield f"It takes arrays of {plural(self.model.inputs.n_features, 'column')}."
        yield ""
        yield from self.network()
        if "scores" in self.record:
            yield f"\nTest: {plural(self.record['rows']['test'], 'row')}.\n"
            yield from Scores(**self.record["scores"]).lines()
        if self.record.get("folds"):
            yield wrapped(shown_folds(self.record["folds"]))

    def file_in_words(self):
        """Return what the file is."""
        size = f"{os.path.getsize(self.path):,} bytes"
        return f"Model: {self.path}, {size}, written by xpmlp {self.version}."

    def network(self):
        """Return lines on the layers."""
        return self.model.network.summary(self.model.inputs.width).splitlines()

    def task_in_words(self):
        """Return in words what is predicted."""
        of, threshold = f" of {self.target}" * (self.target is not None), self.threshold
        if self.classes is None:
            return f"regression{of}, {plural(self.model.targets.n_columns, 'output')}"
        text = f"classification{of} into {listed(self.classes)}"
        if threshold is None or threshold == 0.5:
            return text
        return f"{text}, the second where its probability is above {threshold:g}"

    def training(self):
        """Yield lines on where the model comes from."""
        record, found = self.record, self.estimator
        if record:
            rows = record["rows"]
            counts = f"{rows['train']:,} rows, {rows['validation']:,} to validate"
            counts += f", {rows['test']:,} to test, {rows['left_out']:,} left out"
            when = f"{datetime.fromisoformat(record['date']):%Y-%m-%d %H:%M} UTC"
            yield f"Trained: {when} on {record['data']}: {counts}."
            said = ", ".join(f"{k} {v}" for k, v in record["options"].items())
            yield f"Options: {said or 'none'}."
        else:
            yield "Trained: on which data is not recorded."
        changed = ", ".join(f"{k} {v}" for k, v in settings(found).items())
        yield f"Settings: {changed or 'the defaults'}."
        yield f"Epochs: {self._epochs()}."

    def _epochs(self):
        """Return in words which epoch was kept."""
        found, score = self.estimator, self.estimator.best_validation_score_
        text = f"the weights of epoch {found.best_epoch_} of {found.n_iter_total_}"
        if score is None or not np.isfinite(score):
            return text
        return f"{text}, validation {score_of(found)} {abs(score):.4f}"


def _values(column):
    """Return in words what training saw of a column: of text, what it has learnt."""
    missing = "; also missing" * column.missing
    if column.kind == "category":
        n = len(column.categories)
        if not n:
            return f"no text twice{missing}"
        names = [abridged(text, 19) for text in column.categories[:4]]
        return f"{n:,} different: {first_of(names, 3)}{missing}"
    if column.low is None:
        return missing.removeprefix("; ")
    ends = [f"{end:.6g}" for end in (column.low, column.high)]
    if column.kind == "date":
        seconds = np.rint(np.asarray([column.low, column.high]) * 86400).astype("datetime64[s]")
        texts = np.datetime_as_string(seconds).tolist()
        ends = [text.replace("T", " ").removesuffix(" 00:00:00") for text in texts]
    return f"{' to '.join(ends)}{missing}"


def column_table(columns):
    """Yield lines: the columns that a model takes."""
    rows = [("column", "type", "training saw")]
    for column in columns[:COLUMNS]:
        name = abridged(column["name"], NAME)
        rows.append((name, column["type"], column.get("values", "")))
    widths = [max(map(len, cells)) for cells in zip(*rows)]
    for row in rows:
        yield "  ".join(map(str.ljust, row, widths)).rstrip()
    if len(columns) > COLUMNS:
        yield f"and {len(columns) - COLUMNS:,} more columns"


@click.command(cls=Command)
@click.argument("model")
@click.option("--json", "as_json", is_flag=True, help="Print a line of JSON alone.")
def info(model, as_json):
    """Say what MODEL is: task, columns, training, options, network, scores.

    A model that was saved in Python tells less: its data and its test rows are not recorded.
    """
    from ..model.saving import as_model_file_error

    found = opened_info(model)
    with as_model_file_error(model):  # what a file says of its training may be anything
        if as_json:
            tell_json(found.as_json())
        else:
            echo("\n".join(found.lines()))


def opened_info(path):
    """Return the `Info` of a model file."""
    from ..container import read_container
    from ..estimators import load_model
    from ..model import load

    _, meta = read_container(path)
    about = str(path), str(meta.get("xpmlp"))
    if "estimator" in meta:
        estimator = load_model(path)
        return Info(*about, estimator.model_, estimator)
    tell("Note: the file holds a model alone, without its arguments and its training.")
    return Info(*about, load(path), None)
