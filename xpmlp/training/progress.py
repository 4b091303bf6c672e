"""What a user sees while training: a bar on a terminal or in a notebook, else a line an epoch."""

import sys
from importlib.util import find_spec
from logging import DEBUG
from typing import Any

from ..logs import logger


def lengths(history: dict[str, list]) -> dict[str, int]:
    """Return how many entries a history has, for `latest`."""
    return {name: len(values) for name, values in history.items()}


def latest(history: dict[str, list], before: dict[str, int]) -> dict:
    """Return the last entries, without those of calls before (when it had `before` many)."""
    new = {k: values[-1] for k, values in history.items() if len(values) > before.get(k, 0)}
    return {k: value for k, value in new.items() if value == value or k == "loss"}


def progress_bar(total: int, unit: str, lines: bool, done: int) -> Any:
    """Return a bar on a terminal or in a notebook; elsewhere None.

    lines: whether others are printed, too; a notebook without ipywidgets then has no bar; done: how
    far it is at the start.
    """
    how: Any = {"total": total, "unit": unit, "initial": done, "dynamic_ncols": True}
    find: Any = getattr(sys.modules.get("IPython"), "get_ipython", None)
    in_notebook = find is not None and hasattr(find(), "kernel")
    if in_notebook and find_spec("ipywidgets") is not None:
        from tqdm.auto import tqdm as tqdm_of_notebooks

        return tqdm_of_notebooks(file=sys.stdout, **how)
    from tqdm import tqdm

    if in_notebook and not lines:
        # Once a second, as each state stays in the page that is made of a notebook.
        return tqdm(file=sys.stdout, mininterval=1, **how)
    if not in_notebook and sys.stderr.isatty():
        return tqdm(file=sys.stderr, **how)
    return None


class Progress:
    """Show epochs as they end.

    verbose: 0 nothing; 1 a bar on a terminal or in a notebook, else scikit-learn's lines; 2 a bar
    and a line with the validation loss and score, and the learning rate. done: epochs of a training
    that goes on.
    """

    def __init__(self, verbose: int, max_iter: int, history: dict[str, list], unit="epoch", done=0):
        self.verbose, self.unit, self.before = int(verbose), unit, lengths(history)
        self.bar = None
        if self.verbose:
            self.bar = progress_bar(max_iter, unit, self.verbose > 1, done)

    def epoch(self, n_iter: int, history: dict[str, list], *, early_stopping: bool) -> None:
        """Show the epoch that has ended, the last of `history`, and log it."""
        if logger.isEnabledFor(DEBUG):
            numbers = latest(history, self.before).items()
            text = ", ".join(f"{name} {value:.6g}" for name, value in numbers)
            logger.debug("%s %d: %s", self.unit.capitalize(), n_iter, text)
        if not self.verbose:
            return
        last = latest(history, self.before)
        if self.bar is not None:
            shown = {k: f"{last[k]:.4g}" for k in ("loss", "validation_loss") if k in last}
            self.bar.set_postfix(shown, refresh=False)
            self.bar.update()
        if self.verbose >= 2:
            line = f"{self.unit} {n_iter:4d}  loss {last['loss']:.5f}"
            if "validation_loss" in last:
                line += f"  validation loss {last['validation_loss']:.5f}"
                line += f"  score {last['validation_score']:.4f}"
            if "learning_rate" in last:
                line += f"  rate {last['learning_rate']:.3g}"
            self._print(line)
        elif self.bar is None:
            print(f"Iteration {n_iter}, loss = {last['loss']:.8f}")
            if early_stopping:
                print(f"Validation score: {last['validation_score']:f}")

    def say(self, text: str) -> None:
        """Print a line, above the bar if there is one, and log it."""
        logger.info(text)
        self._print(text)

    def _print(self, text):
        if self.bar is not None:
            self.bar.write(text, file=sys.stdout)
        elif self.verbose:
            print(text, flush=True)

    def close(self) -> None:
        """End the bar; in a notebook as a whole one, as a part would be red like an error's."""
        if self.bar is not None:
            if hasattr(self.bar, "container"):
                self.bar.total = self.bar.container.children[1].max = max(self.bar.n, 1)
            self.bar.close()
