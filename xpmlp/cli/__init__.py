"""The command line; each command has a file of its own."""

import io
import logging
import sys
import warnings

import click

from .. import __version__
from ..errors import CheckpointError, DataError, DeviceError, DivergenceError, ModelFileError
from ..logs import logger
from ..words import abridged, escaped
from . import doctor, evaluate, explain, export, info, parity, predict, train, tune
from .command import echo, tell
from .outputs import DISK, in_words
from .pipes import outlive_readers
from .sentences import in_options

LETTERS = (
    1200  # of an error, whatever a file holds that it quotes: what and remedy stand at its ends
)
EXIT_CODES = {
    MemoryError: 6,  # also of data, and of a device
    DataError: 3,
    ModelFileError: 4,
    CheckpointError: 4,
    DivergenceError: 5,
    DeviceError: 2,
    ValueError: 2,  # an argument that an estimator refuses
    TypeError: 2,
    ImportError: 2,
}


class _Lines(logging.Formatter):
    """Lines of a log, in which names out of files are escaped."""

    def format(self, record):
        """Return the line of a record."""
        return escaped(super().format(record))


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="xpmlp")
@click.option(
    "--log-level",
    type=click.Choice(["info", "debug"]),
    help="Log what is done to standard error, each line with its time; debug: each epoch, too.",
)
def cli(log_level):
    """Train multilayer perceptrons on any array library, and predict with them.

    Exit codes: 0 ok, 2 usage, 3 bad data, 4 model file or checkpoint, 5 training diverged,
    6 memory, 7 disk, 75 ended by SIGTERM or the like (train --resume goes on), 130 interrupted.
    """
    if log_level:
        handler = logging.StreamHandler()
        handler.setFormatter(_Lines("%(asctime)s %(levelname)s %(message)s"))
        logging.basicConfig(handlers=[handler])
        logger.setLevel(log_level.upper())


@cli.command("doctor")
def _doctor():
    """Show which array libraries and devices work here, and what to install."""
    echo(doctor.report())


for module in (train, tune, predict, evaluate, info, explain, export, parity):
    cli.add_command(getattr(module, module.__name__.rpartition(".")[2]))  # called like its file


def main(argv=None):
    """Run the command line."""
    run_command(cli, "xpmlp", argv)


def run_command(command, name, argv=None):
    """Run a command; every error that a user can cause is one sentence and an exit code."""
    outlive_readers()
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # an overflow ends in a DivergenceError; `train` tells
            code = command.main(args=argv, prog_name=name, standalone_mode=False) or 0
    except click.exceptions.Exit as error:
        code = error.exit_code
    except click.ClickException as error:
        shown = io.StringIO()
        error.show(shown)
        usage, mark, text = shown.getvalue().partition("Error: ")
        tell(f"{usage}{mark}{abridged(text, LETTERS)}")
        code = error.exit_code
    except (click.Abort, KeyboardInterrupt):
        echo("Interrupted.", err=True)
        code = 130
    except OSError as error:  # of writing: what cannot be read is a DataError or ModelFileError
        tell(f"Error: {abridged(in_words(error), LETTERS)}.")
        code = DISK
    except tuple(EXIT_CODES) as error:
        text = abridged(str(error), LETTERS) or "there is not enough memory."
        if not isinstance(error, DataError):  # it speaks of the user's data
            text = in_options(text)
        tell(f"Error: {text}")
        code = next(c for kind, c in EXIT_CODES.items() if isinstance(error, kind))
    sys.exit(code)
