"""Run the commands of README.md and examples/README.md; redraw pictures and the parity report.

    python ci/readme.py

In blocks of kind `console` each `$ command` gets what it prints now, except those of ci/, which are
long. Blocks that begin with `# examples/NAME.py` get that file's code. The MNIST table comes from
the newest record in ci/benchmarks/results; examples/mnist_by_hand.py, whose data are not in the
package, is run by hand.
"""

import json
import os
import re
import shutil
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent

CONTENDERS = {
    "xpmlp": "`xpmlp train`",
    "mlp": "scikit-learn's MLP, its defaults, on one-hot and standardised columns",
    "hgb": "scikit-learn's HistGradientBoosting, its defaults",
}
UNITS = {"adult": "% right", "california_housing": "RMSE", "diamonds": "RMSE"}


def run(command, folder):
    env = os.environ | {"PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"}
    done = subprocess.run(
        ["bash", "-c", command], cwd=folder, env=env, capture_output=True, text=True
    )
    return (done.stdout + done.stderr).rstrip("\n")


def shown(block, folder):
    """Return a console block with each command's present output."""
    commands = [line for line in block.splitlines() if line.startswith("$ ")]
    lines = []
    for line in commands:
        lines.append(line)
        if not line.startswith("$ ci/"):
            lines += run(line[2:], folder).splitlines()
    return "```console\n" + "\n".join(line.rstrip() for line in lines) + "\n```"


def code_of(name):
    """Return a block with the code of a script of the examples, without its docstring."""
    text = (ROOT / name).read_text().partition('"""\n\n')[2]
    return f"```python\n# {name}\n{text}```"


def mnist_table():
    """Return the newest MNIST record as a table."""
    newest = sorted((ROOT / "ci/benchmarks/results").glob("*-mnist.json"))[-1]
    record = json.loads(newest.read_text())
    rows = ["| recipe | options | best | final | seconds |", "|---|---|---|---|---|"]
    for name, found in record["results"].items():
        m = found["median"]
        cells = (name, f"`{found['options']}`", f"{m['best']:.2f}", f"{m['final']:.2f}")
        rows.append("| " + " | ".join(cells) + f" | {m['seconds']:.0f} |")
    rows.append(f"\n({record['date']}, {record['cores']} cores, {record['threads']} BLAS threads)")
    return "\n".join(rows)


def tables_table():
    """Return the newest record of raw tables as a table."""
    newest = sorted((ROOT / "ci/benchmarks/results").glob("*-tables.json"))[-1]
    record = json.loads(newest.read_text())
    results, seeds = record["results"], 0
    rows = ["| | " + " | ".join(f"{name} ({UNITS[name]})" for name in results) + " |"]
    rows.append("|---" * (1 + len(results)) + "|")
    for contender, said in CONTENDERS.items():
        cells = []
        for found in results.values():
            runs, seeds = found["runs"][contender], len(found["runs"][contender])
            figures = [run["figure"] for run in runs]
            seconds = statistics.median(run["seconds"] for run in runs)
            digits = 2 if figures[0] > 1 else 4
            cells.append(f"{statistics.mean(figures):.{digits}f}, {seconds:.1f} s")
        rows.append(f"| {said} | " + " | ".join(cells) + " |")
    tuned = " | ".join(str(found["tuned plain MLP"]) for found in results.values())
    rows.append(f"| plain MLP, tuned (Gorishniy et al. 2025) | {tuned} |")
    about = f"{record['date']}, {record['cores']} cores, {record['threads']} BLAS threads"
    rows.append(f"\n(means of {seeds} seeds, test rows; median seconds of a training; {about})")
    return "\n".join(rows)


def refreshed(text, folder):
    """Return a README with its commands' present output, the examples' code, measured tables."""
    text = re.sub(r"^```console\n(.*?)^```", lambda m: shown(m[1], folder), text, flags=re.S | re.M)
    code = r"^```python\n# (examples/\S+)\n.*?^```"
    text = re.sub(code, lambda m: code_of(m[1]), text, flags=re.S | re.M)
    for name, table in (("mnist", mnist_table), ("tables", tables_table)):
        start = f"<!-- {name} table -->"
        if start in text:
            before, _, rest = text.partition(start)
            text = f"{before}{start}\n{table()}\n\n## " + rest.partition("## ")[2]
    return text


def main():
    with tempfile.TemporaryDirectory() as folder:
        for name in ("examples", "tests", "ci"):
            os.symlink(ROOT / name, Path(folder) / name)
        for readme in (ROOT / "README.md", ROOT / "examples/README.md"):
            readme.write_text(refreshed(readme.read_text(), folder))
        for picture in (ROOT / "examples").rglob("*.png"):
            drawn = Path(folder) / picture.name
            if drawn.exists():
                shutil.copy(drawn, picture)
        libraries = "--xp numpy --xp torch:cpu --xp jax --xp array_api_strict"
        run(f"xpmlp parity {libraries} --html examples/parity_report.html", folder)


if __name__ == "__main__":
    main()
