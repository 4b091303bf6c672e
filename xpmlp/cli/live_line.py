"""What `xpmlp train` shows while it trains: one live line on a terminal, more with --verbose."""

import os
import sys
from contextlib import suppress
from typing import Any

from ..callbacks import Epoch

COLUMNS = 80  # of a line of --verbose, and of a terminal that does not say how many it has
BAR = 10  # columns that a bar needs at least
LEFT = len("  00:00 left")
ECHO = "^C"  # what a terminal writes behind the live line when it is interrupted


def live_columns() -> int:
    """Return the columns of a live line: with the echo of Ctrl-C it fills no whole line."""
    columns = COLUMNS
    with suppress(OSError, ValueError, AttributeError):  # no terminal
        columns = os.get_terminal_size(sys.stderr.fileno()).columns or COLUMNS
    return max(columns - len(ECHO) - 1, 1)


class LiveLine:
    """A callback that shows each epoch; as a context it wipes the live line out at its end.

    total: how many epochs come at most, of which `done` are over; score: the name of the validation
    score, "loss" for the loss itself; verbose: whether each epoch has a line of its own, too;
    quiet: nothing is shown.
    """

    def __init__(self, total: int, score: str, *, unit="epoch", done=0, verbose=False, quiet=False):
        self.total, self.unit, self.done, self.quiet = total, unit, done, quiet
        self.verbose = verbose and not quiet
        self.score = "validation loss" if score == "loss" else score
        self.bar: Any = None

    def __enter__(self):
        if sys.stderr.isatty() and not self.quiet:
            from tqdm import tqdm

            width = live_columns()
            look = {"leave": False, "ncols": width, "bar_format": self._form([], width)}
            self.bar = tqdm(total=self.total, initial=self.done, file=sys.stderr, **look)
        return self

    def __exit__(self, *error):
        if self.bar is not None:
            width = self.bar.ncols + len(ECHO)
            self.bar.close()
            sys.stderr.write(f"{' ' * width}\r")  # the echo, too
            sys.stderr.flush()

    @property
    def shows(self) -> bool:
        """Whether there is anything to show; epochs that nobody looks at may run at once."""
        return self.bar is not None or self.verbose

    def __call__(self, epoch: Epoch) -> None:
        """Show an epoch that has ended."""
        values = {"loss": epoch.loss, "validation loss": epoch.validation_loss}
        values |= {self.score: values.get(self.score, epoch.validation_score)}
        values |= {"rate": epoch.learning_rate}
        words = {k: f"{k} {value:#.4g}" for k, value in values.items() if value is not None}
        if self.verbose:
            number = str(epoch.epoch).rjust(len(str(self.total)))
            self._print(f"{self.unit} {number}", words.values())
        if self.bar is not None:
            self.bar.ncols = live_columns()  # the window may have another size now
            shown = [words[k] for k in ("loss", self.score) if k in words]
            self.bar.bar_format = self._form(shown, self.bar.ncols)
            self.bar.update()

    def _print(self, line, words):
        """Print a line above the live one: of the words as many as fit."""
        for word in words:
            if len(line) + 2 + len(word) > COLUMNS:
                break
            line += f"  {word}"
        if self.bar is None:
            print(line, flush=True)
        else:
            self.bar.write(line, file=sys.stdout)

    def _form(self, words, columns):
        """Return the live line as tqdm fills it in, with as many of the words as fit."""
        room = columns - len(f"{self.unit} {self.total}/{self.total}") - LEFT
        wide = lambda some: len("".join(some)) + 2 * len(some)
        choices = words, words[1:], words[:1]
        words = next((some for some in choices if wide(some) <= room), [])
        bar = ["{bar}"]
        if room - wide(words) < 2 + BAR:
            bar = []
        return "  ".join([f"{self.unit} {{n}}/{{total}}", *bar, *words, "{remaining} left"])
