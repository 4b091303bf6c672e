"""Run README.md's commands and put what they print under them; redraw its pictures.

    python ci/readme.py

A block of kind `console` whose first line is `$ command` gets the command's output, except those of
ci/, which are long. The MNIST table comes from the newest record in ci/benchmarks/results.
"""

import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent


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


def main():
    readme = ROOT / "README.md"
    text = readme.read_text()
    with tempfile.TemporaryDirectory() as folder:
        text = re.sub(
            r"^```console\n(.*?)^```", lambda m: shown(m[1], folder), text, flags=re.S | re.M
        )
        for picture in ("digits-history.png", "digits-confusion.png"):
            shutil.copy(Path(folder) / picture, ROOT / "examples" / picture)
    table = f"<!-- mnist table -->\n{mnist_table()}\n\n## "
    text = re.sub(r"<!-- mnist table -->.*?## ", lambda m: table, text, count=1, flags=re.S)
    readme.write_text(text)


if __name__ == "__main__":
    main()
