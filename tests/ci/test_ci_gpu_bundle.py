"""ci/gpu --bundle: what it gathers is installed into an empty environment, and runs there."""

import json
import os
import platform
import shutil
import subprocess
import sys
import tarfile
import venv
from pathlib import Path

import gpu_bundle
import pytest
from gpu_bundle import BundleError, bundle

ROOT = Path(__file__).parents[2]
VERSION = "{}.{}".format(*sys.version_info)
# What a machine with CuPy has; here from this environment, the others must come with the bundle.
THERE = ("numpy", "numpy.libs", "scipy", "scipy.libs", "sklearn", "scikit_learn.libs", "joblib",
         "threadpoolctl.py", "ml_dtypes")  # fmt: skip


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """A bundle for this Python, and what was said of it."""
    if (platform.system(), platform.machine()) != ("Linux", "x86_64"):
        pytest.skip("the wheels are for Linux on x86-64")
    if not (ROOT / ".git").exists():
        pytest.skip("the archive is made from a checkout of git")
    folder = tmp_path_factory.mktemp("bundle") / "new"
    try:
        return folder, bundle(folder, VERSION)
    except BundleError:
        command = [sys.executable, "-m", "pip", "download", "--no-deps", "--dest", folder, "tqdm"]
        if subprocess.run(command, capture_output=True).returncode:
            pytest.skip("pip reaches no index")
        raise


def test_a_bundle_is_checkout_wheels_and_a_line_and_small(made):
    folder, said = made
    assert {path.name for path in folder.iterdir()} == {"xpmlp.tar.gz", "wheels", "paste.txt"}
    names = {path.name.partition("-")[0] for path in (folder / "wheels").iterdir()}
    assert names >= {
        "array_api_compat",
        "array_api_strict",
        "array_api_extra",
        "cuda_pathfinder",
        "narwhals",
        "click",
        "tqdm",
        "pytest",
        "pytest_xdist",
        "execnet",
        "pluggy",
        "hypothesis",
    }
    assert not names & {"numpy", "scipy", "scikit_learn"}
    assert sum(path.stat().st_size for path in folder.rglob("*")) < 15 << 20
    with tarfile.open(folder / "xpmlp.tar.gz") as archive:
        assert {"xpmlp/ci/gpu", "xpmlp/xpmlp/engines/cupy/kernels.cu"} <= {*archive.getnames()}
    line = (folder / "paste.txt").read_text()
    assert line in said
    assert len(line.splitlines()) == 1


@pytest.fixture
def bare(tmp_path):
    """The Python of an empty environment that finds only what a machine with CuPy has."""
    venv.create(tmp_path / "env", with_pip=True)
    there = tmp_path / "there"
    there.mkdir()
    for name in THERE:
        found = Path(pytest.__file__).parents[1] / name
        if found.exists():
            (there / name).symlink_to(found)
    (site,) = (tmp_path / "env" / "lib").glob("python*/site-packages")
    (site / "there.pth").write_text(f"{there}\n")
    return tmp_path / "env" / "bin" / "python"


def test_the_line_installs_offline_into_an_empty_environment_and_runs(made, bare, tmp_path):
    folder = tmp_path / "there too"
    shutil.copytree(made[0], folder)
    line = (folder / "paste.txt").read_text().strip()
    own = {"PYTHON": str(bare), "PIP_NO_INDEX": "1", "OPENBLAS_NUM_THREADS": "1"}
    inherited = {k: v for k, v in os.environ.items() if k != "PYTHONPATH"}
    for parts in ("environment,generic,suite", "environment"):  # then all is there already
        options = {"cwd": folder, "env": inherited | own, "capture_output": True, "text": True}
        result = subprocess.run(["bash", "-c", f"{line} --standin --parts {parts}"], **options)
        assert result.returncode == 0, result.stderr
    parts = json.loads((folder / "result.json").read_text())["parts"]
    assert [*parts] == ["environment", "generic", "suite"]
    verdicts = [why for part in parts.values() for why in part["checks"].values()]
    assert {*verdicts} == {"ok"}
    assert parts["suite"]["n_tests"] == 1
    assert f"={parts['generic']['commit']} " in line


# ---- Where there can be none


def refused(*arguments, **variables):
    """Return what ci/gpu --bundle says, in one sentence."""
    result = subprocess.run(
        [sys.executable, "ci/gpu.py", "--bundle", *map(str, arguments)],
        cwd=ROOT,
        env=os.environ | variables,
        capture_output=True,
        text=True,
    )
    assert result.returncode == 2, result.stderr
    assert len(result.stderr.splitlines()) == 1
    return result.stderr


def test_without_a_network_one_sentence_says_so(tmp_path):
    options = {"PIP_RETRIES": "0", "PIP_NO_CACHE_DIR": "1", "PIP_CONFIG_FILE": os.devnull}
    options |= {"XPMLP_COMMIT": "v1"}
    said = refused(tmp_path / "new", PIP_INDEX_URL="http://127.0.0.1:9/simple", **options)
    assert said.startswith("There is no bundle: ")
    if (ROOT / ".git").exists():
        assert "pip could not fetch the wheels (it needs the network): " in said
    assert not (tmp_path / "new").exists()


def test_a_folder_that_holds_something_stays_as_it_is(tmp_path):
    (tmp_path / "mine").touch()
    assert f"{tmp_path} is not empty: name a new folder" in refused(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["mine"]


def test_a_file_is_no_folder(tmp_path):
    (tmp_path / "file").touch()
    assert f"{tmp_path / 'file'} is a file: name a new folder" in refused(tmp_path / "file")


def test_a_version_is_two_numbers(tmp_path):
    assert "--python takes a version as 3.12, got 312" in refused(tmp_path, "--python", "312")


def test_what_is_too_large_is_no_bundle(tmp_path, monkeypatch):
    monkeypatch.setattr(gpu_bundle, "MOST", 1 << 20)

    def checkout(path):
        path.write_bytes(bytes(3 << 19))
        return "v1"

    monkeypatch.setattr(gpu_bundle, "_checkout", checkout)
    monkeypatch.setattr(gpu_bundle, "_wheels", lambda folder, python: None)
    with pytest.raises(BundleError, match=r"it takes 1.5 MiB, more than 1"):
        bundle(tmp_path, "3.12")


def test_a_bundle_is_called_what_it_holds_and_changes_that_stay_behind_are_told(
    tmp_path, monkeypatch
):
    root, made = tmp_path / "root", tmp_path / "made"
    root.mkdir()
    git = ["git", "-C", root, "-c", "user.name=a", "-c", "user.email=a@b"]
    (root / "a.txt").write_text("of the commit")
    for command in (["init", "-q"], ["add", "a.txt"], ["commit", "-qm", "It begins"]):
        subprocess.run([*git, *command], check=True)
    command = [*git, "rev-parse", "--short", "HEAD"]
    head = subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()
    monkeypatch.setattr(gpu_bundle, "ROOT", root)
    monkeypatch.setattr(gpu_bundle, "_wheels", lambda folder, python: None)
    monkeypatch.setenv(gpu_bundle.COMMIT, "v0-of-another")
    assert "stay behind" not in bundle(tmp_path / "clean", "3.12")
    (root / "a.txt").write_text("changed")
    assert "Changes that are not committed stay behind." in bundle(made, "3.12")
    assert f"XPMLP_COMMIT={head} " in (made / "paste.txt").read_text()
    with tarfile.open(made / "xpmlp.tar.gz") as archive:
        assert archive.extractfile("xpmlp/a.txt").read() == b"of the commit"
