"""Checkpoints of `xpmlp train`: its options for them, and how far one is, in words."""

import os

import click

from ..training import Checkpoint
from ..training.checkpoint import keeping
from ..words import wrapped
from .command import echo, section
from .options import several
from .outputs import in_words, writable


class Every(click.ParamType):
    """A number of epochs, or a time."""

    name = "n|time"

    def convert(self, value, param, ctx):
        """Return an int, or text."""
        every = int(value) if str(value).isdigit() else value
        try:
            return Checkpoint(".", every=every).every
        except ValueError:
            self.fail(
                f"{value!r} is neither a number of epochs from 1 nor a time such as 60s, 10min or "
                "1.5h.",
                param,
                ctx,
            )


option = section("Checkpoints")
checkpoint_options = several(
    option("--checkpoint", type=click.Path(file_okay=False),
           help="Folder that keeps the training while it runs, for --resume (--folds: not them)."),
    option("--checkpoint-every", type=Every(),
           help="Epochs between two checkpoints, or a time such as 60s or 10min.  [60s]"),
    option("--resume", is_flag=True,
           help="Go on from the newest checkpoint, to the same model as without a stop; begin at "
           "the start where there is none."),
)  # fmt: skip


def checkpoint_said(options):
    """Return the Checkpoint that the options describe, its folder tried, or None."""
    folder, every = options["checkpoint"], options["checkpoint_every"]
    if folder is None:
        for name in ("checkpoint_every", "resume"):
            if options[name]:
                name = name.replace("_", "-")
                raise click.UsageError(f"--{name} goes with --checkpoint FOLDER: say that, too.")
        return None
    if options["solver"] == "lbfgs":
        raise click.UsageError(
            "--solver lbfgs cannot be kept in a checkpoint, as SciPy keeps its memory to itself: "
            "leave --checkpoint out, or take another solver."
        )
    checkpoint = Checkpoint(folder, every=every or Checkpoint.every)
    try:
        os.makedirs(folder, exist_ok=True)
    except OSError as error:
        raise click.UsageError(f"--checkpoint {in_words(error)}.") from error
    writable("--checkpoint", os.path.join(folder, "lock"))
    with keeping(checkpoint, dict):  # which another training may hold
        return checkpoint


def epochs_done(checkpoint, quiet):
    """Return how many epochs a training has done that goes on from a checkpoint; print it."""
    reached, folder = checkpoint.reached(), os.fspath(checkpoint.folder)
    text = f"There is no checkpoint in {folder}: this training begins at the start."
    if reached is not None:
        text = f"Going on {in_epochs(*reached)} of the checkpoint in {folder}."
    if not quiet:
        echo(wrapped(text))
    return reached[0] if reached else 0


def in_epochs(n, begun):
    """Return the place of a training in words: after some epochs, or within the next."""
    return f"within epoch {n + 1}" if begun else f"after epoch {n}"
