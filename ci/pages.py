"""Run the blocks of README.md, examples/README.md and docs/, and write there what they print.

    python ci/pages.py [PAGE...]

A `python` block runs in the page's one namespace; the `text` block behind it gets what it prints:
warnings and the error that ends it, too. In a `console` block each `$ command` (a line that begins
with `> ` continues it) gets its output. Before a block, `<!-- untested -->` says that it takes long
or is about this machine, so the tests leave it out, `<!-- not run -->` that it is shown only.
`<!-- table NAME -->` is filled by ci/page_tables.py from the records in ci/benchmarks/results.
Pictures that the blocks draw, and the report of the parity suite, replace those in examples/.
"""

import contextlib
import io
import linecache
import logging
import os
import re
import shutil
import subprocess
import sys
import tempfile
import textwrap
import traceback
import warnings
import zlib
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
WIDTH = 100  # longer lines of prose are wrapped, as a terminal does; tables are not
ONE_THREAD = {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}  # as `ci/test` runs
BLOCK = re.compile(
    r"^(?:<!-- (untested|not run) -->\n)?^```(python|console)\n(.*?)^```\n"
    r"(?:\n?```text\n(.*?)^```\n)?",
    flags=re.S | re.M,
)
PROMPT = re.compile(r"^\$ (.*(?:\n> .*)*)\n?((?:(?!\$ ).*\n?)*)", flags=re.M)


@dataclass(frozen=True)
class Block:
    """A block of a page: its mark, its language, its code, what stands there as its output."""

    mark: str
    language: str
    code: str
    output: str


def pages():
    """Return the files that have blocks to run."""
    docs = [*ROOT.glob("docs/*.md"), *ROOT.glob("docs/guide/*.md")]
    return [ROOT / "README.md", ROOT / "examples/README.md", *sorted(docs)]


def blocks(text):
    """Return the blocks of a page in order."""
    return [Block(*(part or "" for part in match.groups())) for match in BLOCK.finditer(text)]


def commands(code):
    """Return the commands of a console block, each with the output that stands there."""
    return [(line.replace("\n> ", "\n"), output) for line, output in PROMPT.findall(code)]


@contextlib.contextmanager
def workshop():
    """Go to a new folder that has the examples, tests and scripts of the project, and come back."""
    before, root, own = Path.cwd(), logging.getLogger(), logging.getLogger("xpmlp")
    handlers, level = root.handlers[:], own.level
    with tempfile.TemporaryDirectory() as folder:
        shutil.copytree(ROOT / "examples", Path(folder) / "examples")
        for name in ("tests", "ci"):
            os.symlink(ROOT / name, Path(folder) / name)
        os.chdir(folder)
        root.handlers[:] = []
        try:
            yield Path(folder)
        finally:
            os.chdir(before)
            root.handlers[:], own.level = handlers, level


def run_python(code, names):
    """Run a block in a namespace; return what it prints, warns of, and the error that ends it."""
    printed = io.StringIO()

    def show(message, category, *_):
        print(f"{category.__name__}: {message}")

    with contextlib.redirect_stdout(printed), warnings.catch_warnings():
        warnings.simplefilter("always")
        warnings.showwarning = show
        try:
            name = f"<block {zlib.crc32(code.encode()):x}>"  # whose lines can be looked up
            linecache.cache[name] = len(code), None, code.splitlines(True), name
            exec(compile(code, name, "exec"), names)
        except Exception as error:
            print("".join(traceback.format_exception_only(error)), end="")
    return tidy(printed.getvalue())


def run_command(command):
    """Run a command of a console block; return what it prints."""
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    env = os.environ | {"PATH": path, **ONE_THREAD}
    env.pop("COLUMNS", None)
    done = subprocess.run(["bash", "-c", command], env=env, capture_output=True, text=True)
    return tidy(done.stdout + done.stderr)


def tidy(text):
    """Return lines that fit a page, without blanks behind them, and paths from the folder on."""
    for folder in (ROOT, Path.cwd(), Path.cwd().resolve()):
        text = text.replace(f"{folder}/", "")
    return "".join(f"{wrapped(line.rstrip())}\n" for line in text.splitlines())


def wrapped(line):
    """Return a line of prose in lines of WIDTH; one with columns stays as it is."""
    if len(line) <= WIDTH or "  " in line.strip():
        return line
    inset = " " * (len(line) - len(line.lstrip()))
    how = {"break_long_words": False, "break_on_hyphens": False}
    return textwrap.fill(line, WIDTH, subsequent_indent=f"{inset}  ", **how)


def refreshed(block, names):
    """Return the text of a block with what it prints now."""
    mark = f"<!-- {block.mark} -->\n" if block.mark else ""
    code, output = block.code, block.output
    if block.mark != "not run" and block.language == "python":
        output = run_python(code, names)
    elif block.mark != "not run":
        ran = ((command, run_command(command)) for command, _ in commands(code))
        code = "".join(f"$ {c.replace(chr(10), chr(10) + '> ')}\n{printed}" for c, printed in ran)
    text = f"{mark}```{block.language}\n{code}```\n"
    return f"{text}\n```text\n{output}```\n" if output else text


def with_tables(text):
    """Return a page with its tables made from the newest records."""
    import page_tables  # it needs ci.benchmarks

    def filled(match):
        return f"<!-- table {match[1]} -->\n{page_tables.TABLES[match[1]]()}\n<!-- end -->"

    return re.sub(r"<!-- table (\w+) -->\n.*?<!-- end -->", filled, text, flags=re.S)


def refresh(page):
    """Write a page anew, and copy the pictures that its blocks drew."""
    names: dict = {}
    text = page.read_text()
    with workshop() as folder:
        now = BLOCK.sub(
            lambda m: refreshed(Block(*(part or "" for part in m.groups())), names), text
        )
        for made in [*ROOT.glob("examples/**/*.png"), ROOT / "examples/parity_report.html"]:
            if (folder / made.name).exists():
                shutil.copy(folder / made.name, made)
    page.write_text(with_tables(now))


def main(names):
    os.environ.update(ONE_THREAD)
    sys.path.insert(0, str(ROOT))
    for page in [Path(name).resolve() for name in names] or pages():
        print(page.relative_to(ROOT), flush=True)
        refresh(page)


if __name__ == "__main__":
    main(sys.argv[1:])
