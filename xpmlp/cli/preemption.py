"""How a command ends on SIGTERM and the like: what is kept is told, and the exit code is 75."""

import os
from contextlib import contextmanager
from dataclasses import dataclass

import click

from ..errors import PreemptedError
from ..signals import CODE, Preemption
from ..training import Checkpoint
from .checkpoints import in_epochs
from .command import tell


@contextmanager
def preemptible(kept, *, keeps=False):
    """End this block on a signal, with a sentence and an exit code; yield the Preemption.

    kept: returns what is kept, in words; keeps: whether a training ends in order.
    """
    preemption = Preemption(keeps=keeps)
    try:
        with preemption.installed():
            yield preemption
    except BaseException as error:  # Ended, or what a library has made of it
        if not (preemption.raised or isinstance(error, PreemptedError)):
            raise
        tell(f"Ended by {preemption.name}: {kept()}")
        raise click.exceptions.Exit(CODE) from None


@dataclass
class Kept:
    """What is kept of a training that a signal ends."""

    checkpoint: Checkpoint | None
    solver: str
    where: str = ""  # in words, once a model is saved

    def __call__(self) -> str:
        """Return where it is, and how to go on."""
        again = "with --checkpoint FOLDER, xpmlp train ... --resume would go on"
        if self.solver == "lbfgs":  # which no checkpoint can keep
            again = "the same command begins at the start"
        if self.checkpoint is not None:
            again = "xpmlp train ... --resume goes on"
        return f"{self.where or self._in_checkpoint() or 'nothing is kept'}; {again}."

    def holds(self, model) -> bool:
        """Return whether the checkpoint has all that a model has been trained."""
        self.where = self._in_checkpoint(model.n_iter_)
        return bool(self.where)

    def _in_checkpoint(self, least=0):
        """Return in words what the checkpoint has, nothing where that is less than some epochs."""
        if self.checkpoint is None:
            return ""
        reached = self.checkpoint.reached()
        if reached is None or reached[0] < least:
            return ""
        folder = os.fspath(self.checkpoint.folder)
        return f"the training {in_epochs(*reached)} is kept in {folder}"
