"""`ci/gpu --bundle FOLDER`: what a machine with CuPy and no network lacks, and a line to paste."""

import re
import shutil
import subprocess
import sys
import tempfile
import tomllib
from pathlib import Path

from gpu_parts import COMMIT, ROOT

MOST = 15 << 20  # bytes
# Bring more than they are worth; they are where CuPy and scikit-learn are.
THERE = ("numpy", "scikit-learn", "scipy")
TESTS = ("pytest", "pytest-xdist", "hypothesis", "array-api-strict", "array-api-extra")
MORE = ("cuda-pathfinder",)  # CuPy needs it, too; a conda package may have left it out
# pip takes a wheel for exactly these; glibc 2.28 is that of RHEL 8 and Debian 10.
PLATFORMS = [f"manylinux_2_{n}_x86_64" for n in (28, 27, 24, 17, 12, 5)]
LINE = (
    "tar xzf xpmlp.tar.gz && "
    "${PYTHON:-python3} -m pip install -q --no-index --no-deps --upgrade --target site wheels/*.whl"
    ' && {variable}={commit} PYTHONPATH="$PWD/site" xpmlp/ci/gpu result.json'
)


class BundleError(Exception):
    """Why there is no bundle, in a sentence."""


def bundle(folder, python):
    """Gather checkout, wheels and the line. Returns what to tell.

    folder: new or empty; python: the version of the other machine's Python, as "3.12".
    """
    if folder.exists() and not folder.is_dir():
        raise BundleError(f"{folder} is a file: name a new folder")
    if folder.exists() and any(folder.iterdir()):
        raise BundleError(f"{folder} is not empty: name a new folder")
    if not re.fullmatch(r"3\.\d+", python):
        raise BundleError(f"--python takes a version as 3.12, got {python}")
    with tempfile.TemporaryDirectory() as name:
        made = Path(name)
        version = _checkout(made / "xpmlp.tar.gz")
        _wheels(made / "wheels", python)
        line = LINE.replace("{variable}", COMMIT).replace("{commit}", version)
        (made / "paste.txt").write_text(line + "\n")
        n_bytes = sum(path.stat().st_size for path in made.rglob("*") if path.is_file())
        if n_bytes > MOST:
            raise BundleError(f"it takes {n_bytes / 2**20:.1f} MiB, more than {MOST >> 20}")
        shutil.copytree(made, folder, dirs_exist_ok=True)
    dirty = " Changes that are not committed stay behind." if _git("status", "--porcelain") else ""
    return (
        f"{folder} has {version} and wheels for Python {python}, {n_bytes / 2**20:.1f} MiB."
        f"{dirty} Copy it to the machine, and in it run (paste.txt):\n\n{line}\n"
    )


def _checkout(path):
    """Write the last commit as an archive; return what it is called, whatever is changed here."""
    _git("archive", "--format=tar.gz", "--prefix=xpmlp/", f"--output={path}", "HEAD")
    return _git("describe", "--always", "HEAD").strip()


def _git(*arguments):
    """Return what git says of the checkout."""
    failure = f"git cannot archive {ROOT}, which must be a checkout"
    return _run(["git", "-C", str(ROOT), *arguments], failure, 60)


def _wheels(folder, python):
    """Fetch what xpmlp and its tests need, and what these need, but what is there anyway."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    wanted = [r for r in project["dependencies"] if _name(r) not in THERE]
    wanted += [r for r in project["optional-dependencies"]["test"] if _name(r) in TESTS]
    platforms = [f"--platform={name}" for name in (*PLATFORMS, "any")]
    command = [
        sys.executable, "-m", "pip", "download", "--quiet", "--disable-pip-version-check",
        f"--dest={folder}", "--only-binary=:all:", "--implementation=cp",
        f"--python-version={python}", *platforms, *wanted, *MORE,
    ]  # fmt: skip
    _run(command, "pip could not fetch the wheels (it needs the network)", 600)
    for path in folder.iterdir():
        if _name(path.name) in THERE:
            path.unlink()


def _name(requirement):
    """Return the name of what a requirement or a wheel's name begins with."""
    return re.match(r"[A-Za-z0-9]+(-[A-Za-z][A-Za-z0-9]*)*", requirement.replace("_", "-"))[0]


def _run(command, failure, seconds):
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=seconds)
    except (OSError, subprocess.TimeoutExpired) as error:
        raise BundleError(f"{failure}: {error}") from None
    if done.returncode:
        said = done.stderr.strip().splitlines() or ["it said nothing"]
        raise BundleError(f"{failure}: {said[-1]}")
    return done.stdout
