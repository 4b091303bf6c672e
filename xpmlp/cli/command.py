"""Commands whose options stand in sections of the help and may come from a TOML file."""

import json
import math
import sys
import tomllib
from contextlib import redirect_stdout

import click
from click.core import ParameterSource

from ..words import did_you_mean, escaped, nearest, wrapped
from .lists import FileValue

FILE = "file of options"  # where a context keeps its name
OUTPUT = "standard output"  # and what was standard output when the command began
REMEMBERED = "told"  # and what was told to standard error
OF_TRAIN = (
    "checkpoint",
    "checkpoint_every",
    "json",
    "metrics",
    "out",
    "plot",
    "quiet",
    "report",
    "resume",
    "test",
    "threshold",
    "tune_threshold",
    "verbose",
)  # what other commands skip in a file for train


def echo(text, *, err=False, nl=True):
    """Print a text that may hold names and labels out of files, escaped; nl: with an end of line.

    All commands print by this alone: a terminal obeys control characters. Files and pipes for data
    get them as they are.
    """
    click.echo(escaped(text), err=err, nl=nl)


def tell(text):
    """Print to standard error: on a terminal in lines that fit it, in a pipe as it is."""
    remember(text)
    if sys.stderr.isatty():
        text = wrapped(text)
    echo(text, err=True)


def remember(text):
    """Keep what was told, for a report at the end of the command."""
    context = click.get_current_context(silent=True)
    if context is not None:
        context.meta.setdefault(REMEMBERED, []).append(text)


def tell_json(found):
    """Print a line of JSON to standard output, from which `Command` keeps all else with --json."""
    text = json.dumps(_finite(found), allow_nan=False)
    click.echo(text, file=click.get_current_context().meta[OUTPUT])


def _finite(value):
    """Return a value for JSON, with None for each number in it that is not finite."""
    if isinstance(value, dict):
        return {k: _finite(v) for k, v in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(v) for v in value]
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value


class Option(click.Option):
    """An option in a section of the help."""

    def __init__(self, *args, section="Options", **options):
        super().__init__(*args, **options)
        self.section = section


class Choice(click.Choice):
    """One of some words; the message on another names the nearest."""

    def convert(self, value, param, ctx):
        """Return the word."""
        try:
            return super().convert(value, param, ctx)
        except click.BadParameter as error:
            text = error.message.removesuffix(".") + did_you_mean(value, self.choices)
            self.fail(text, param, ctx)


def section(title):
    """Return `click.option` for a section of the help."""
    return lambda *args, **rest: click.option(*args, cls=Option, section=title, **rest)


class Command(click.Command):
    """A command with sections of options, a file of them, and JSON alone with --json."""

    def format_options(self, ctx, formatter):
        """Write the options, section by section."""
        records: dict[str, list] = {}
        for param in self.get_params(ctx):
            record = param.get_help_record(ctx)
            if record and isinstance(param, click.Option):
                records.setdefault(getattr(param, "section", "Options"), []).append(record)
        for title, rows in sorted(records.items(), key=lambda item: item[0] == "Options"):
            with formatter.section(title):
                formatter.write_dl(rows)

    def parse_args(self, ctx, args):
        """Parse; an error in what a file said names the file and the key."""
        try:
            return super().parse_args(ctx, args)
        except click.BadParameter as error:
            param, path = error.param, ctx.meta.get(FILE)
            if param and ctx.get_parameter_source(param.name) == ParameterSource.DEFAULT_MAP:
                raise click.UsageError(
                    f"{path}, key {key_of(param)}: {error.message}", ctx
                ) from None
            raise

    def invoke(self, ctx):
        """Run; with --json all that is printed, but the JSON, goes to standard error."""
        ctx.meta[OUTPUT] = sys.stdout
        if not ctx.params.get("as_json"):
            return super().invoke(ctx)
        with redirect_stdout(sys.stderr):
            return super().invoke(ctx)


def config_option(command):
    """Give a command the option --config."""
    return section("Options")(
        "--config",
        type=click.Path(dir_okay=False),
        is_eager=True,
        expose_value=False,
        callback=_read,
        help="TOML file with options by name (lr = 0.001), also DATA (data = "
        "'people.csv'); the command line wins over it.",
    )(command)


def _read(ctx, param, path):
    """Take the entries of a TOML file as defaults of the command's options."""
    if path is None:
        return
    try:
        with open(path, "rb") as file:
            tables = tomllib.load(file)
    except OSError as error:
        raise click.UsageError(f"--config {path}: {error.strerror}.") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise click.UsageError(f"--config {path} is no TOML: {error}.") from error
    ctx.meta[FILE] = path
    params = {key_of(p).replace("-", "_"): p for p in ctx.command.params if p is not param}
    values: dict = {}
    for key, value, in_train in _entries(ctx.command.name, tables):
        name = key.replace("-", "_")
        if in_train and name in OF_TRAIN and ctx.command.name != "train":
            continue
        if name not in params:
            near = nearest(name, params)
            raise click.UsageError(
                f"{path}: {key!r} is no option of xpmlp {ctx.command.name}; did you mean "
                f"{key_of(params[near])!r}?"
            )
        values[params[name].name] = _value(value, params[name])
    ctx.default_map = values


def _entries(command, tables):
    """Yield the entries of a file for a command: key, value, whether `train` has the option too."""
    for key, value in tables.items():
        if key in ("train", "tune") and isinstance(value, dict):
            if key == "train" or key == command:
                yield from ((k, v, key == "train") for k, v in value.items())
        elif key != "try" or command == "tune":
            yield key, value, key != "try"


def key_of(param):
    """Return the name of a parameter as a file has it."""
    return max(param.opts, key=len).lstrip("-")


def _value(value, param):
    """Return a value of TOML as a parameter takes it, whose type is checked there."""
    several = getattr(param, "multiple", False)
    if isinstance(param.type, FileValue):
        return [value] if several else value
    if several and isinstance(value, dict):  # such as [try]
        return [f"{k}={_text(v)}" for k, v in value.items()]
    if several:
        return list(map(_text, value)) if isinstance(value, list) else [_text(value)]
    if isinstance(value, dict):
        return value
    return _text(value)


def _text(value):
    """Return a value of TOML as it would stand on the command line."""
    if isinstance(value, list):
        return ",".join("x".join(map(_text, v)) if isinstance(v, list) else _text(v) for v in value)
    return str(value)
