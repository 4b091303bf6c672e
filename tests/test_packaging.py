"""What an installation brings, with a compiler and without."""

import os
import re
import shutil
import subprocess
import sys
import sysconfig
import tarfile
import tomllib
import zipfile
from pathlib import Path

import pytest

import xpmlp

ROOT = Path(__file__).parents[1]
pytest.importorskip("setuptools", "77", reason="pyproject.toml asks for setuptools 77")


@pytest.fixture
def checkout(tmp_path):
    """A copy of all that belongs to the project, nothing built in it."""
    folder = tmp_path / "xpmlp"
    built = shutil.ignore_patterns(
        "__pycache__", "*.so", "*.pyd", "*.dylib", "_build", "generated", "gallery"
    )
    folder.mkdir()
    for name in (".ci", ".github", "ci", "docs", "examples", "tests", "xpmlp"):
        shutil.copytree(ROOT / name, folder / name, ignore=built)
    for name in ("setup.py", "pyproject.toml", "LICENSE", "MANIFEST.in", "CITATION.cff"):
        shutil.copy(ROOT / name, folder)
    for path in ROOT.glob("*.md"):
        shutil.copy(path, folder)
    return folder


def run(*arguments, folder, python=sys.executable, **environment):
    """What a process prints that must end well."""
    left_out = {"CC", "CXX", "PYTHONPATH"}
    kept = {name: value for name, value in os.environ.items() if name not in left_out}
    command = [str(python), "-W", "ignore", *arguments]
    options = {"capture_output": True, "text": True, "timeout": 600, "cwd": folder}
    made = subprocess.run(command, env=kept | environment, check=False, **options)
    assert made.returncode == 0, made.stderr
    return made.stdout + made.stderr


def fresh_python(folder, wheel):
    """The Python of an environment that a wheel is unpacked into."""
    run("-m", "venv", "--without-pip", str(folder), folder=folder.parent)
    (site,) = folder.glob("[Ll]ib/**/site-packages")
    with zipfile.ZipFile(wheel) as opened:
        opened.extractall(site)
    # What xpmlp requires is that of this environment, which a line in a file adds, but not what
    # files add to that one, as its own xpmlp.
    (site / "required.pth").write_text(sysconfig.get_path("purelib"))
    return next(path for path in folder.glob("*/python*") if path.stem == "python")


def test_without_a_compiler_all_but_the_compiled_engine_is_built(checkout, tmp_path):
    built = tmp_path / "built"
    told = run("setup.py", "build", "--build-lib", str(built), folder=checkout, PATH="/nowhere")
    assert "failed" in told
    assert not [*built.rglob("_native*")]
    say = "from xpmlp.engines.native.library import library; print(library())"
    assert "as there was no C++ compiler" in run("-c", say, folder=built)
    assert "these are the sources of a clone" in run("-c", say, folder=checkout)


def test_the_source_archive_holds_all_of_the_project_and_its_tests_run_there(checkout, tmp_path):
    files = {path.relative_to(checkout) for path in checkout.rglob("*") if path.is_file()}
    build = "import sys; from setuptools import build_meta; build_meta.build_sdist(sys.argv[1])"
    run("-c", build, str(tmp_path), folder=checkout)
    (archive,) = tmp_path.glob("*.tar.gz")
    with tarfile.open(archive) as opened:
        opened.extractall(tmp_path / "unpacked", filter="data")
    (folder,) = (tmp_path / "unpacked").iterdir()
    assert [str(path) for path in sorted(files) if not (folder / path).is_file()] == []
    assert archive.stat().st_size < 4e6
    test = "tests/nn/test_activations.py"  # conftest.py's fixtures, helpers from beside it
    assert " passed" in run("-m", "pytest", "-q", test, folder=folder)


def description(checkout, folder):
    """The text that an index shows of the project."""
    folder.mkdir()
    make = "from setuptools import build_meta; build_meta.prepare_metadata_for_build_wheel('{}')"
    run("-c", make.format(folder), folder=checkout)
    (metadata,) = folder.glob("*.dist-info/METADATA")
    return metadata.read_text("utf-8").partition("\n\n")[2]


def test_links_of_the_readme_lead_to_the_address_of_a_project_that_has_one(checkout, tmp_path):
    readme, pyproject = checkout / "README.md", checkout / "pyproject.toml"
    own = readme.read_text("utf-8")
    assert description(checkout, tmp_path / "without") == own
    # Kinds of links that today's README may lack, and what must stay as it is.
    more = '<img src="examples/sine.png">\n\n[x]: SECURITY.md\n'
    stays = "[y](https://example.org/docs/versions.md) [z](#sec) `a[0](docs_of)` docs/versions.md\n"
    readme.write_text(f"{own}\n{more}{stays}", "utf-8")
    section = '[project.urls]\nSource = "https://example.org/fork"\n\n[project.optional'
    pyproject.write_text(pyproject.read_text("utf-8").replace("[project.optional", section, 1))
    text = description(checkout, tmp_path / "with")
    file = f"https://example.org/fork/{{}}/v{xpmlp.__version__}/{{}}"
    image = file.format("raw", "examples/sine.png")
    assert f'<img src="{image}">\n\n[x]: {file.format("blob", "SECURITY.md")}\n' in text
    assert text.endswith(stays)
    targets = [t for t in re.findall(r"\]\(([^\s)]+)\)", own) if re.match(r"(?!\w+:|#)", t)]
    found = [(checkout / t.partition("#")[0]).exists() and file.format("{}", t) for t in targets]
    assert len(found) > 5 and all(found)
    for path in found:
        assert path.format("blob") in text or path.format("raw") in text
    assert re.search(r"!\[[^\]]*\]\((?!https://example.org/fork/raw/)", text) is None


def test_the_version_is_the_same_wherever_it_stands():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    (author,) = project["authors"]
    citation = (ROOT / "CITATION.cff").read_text()
    for name, value in {
        "version": xpmlp.__version__,
        "license": project["license"],
        "  - name": author["name"],
    }.items():
        assert f"\n{name}: {value}\n" in citation
    assert project["version"] == xpmlp.__version__
    (newest, *_) = re.findall("^## ([0-9.]+)", (ROOT / "CHANGELOG.md").read_text(), flags=re.M)
    assert newest == xpmlp.__version__


def test_a_script_beside_the_clone_imports_the_package_that_ci_test_installs(checkout, tmp_path):
    nothing_to_compile = "import setuptools; setuptools.setup(long_description='')"
    (checkout / "setup.py").write_text(nothing_to_compile)
    (setting,) = re.findall(r"--config-settings (\w+=\w+)", (ROOT / "ci/lib.sh").read_text())
    build = (
        "import sys; from setuptools import build_meta;"
        "build_meta.build_editable(sys.argv[1], dict([sys.argv[2].split('=')]))"
    )
    run("-c", build, str(tmp_path), setting, folder=checkout)
    (wheel,) = tmp_path.glob("*.whl")
    python = fresh_python(tmp_path / "fresh", wheel)
    (tmp_path / "beside.py").write_text("from xpmlp import MLPClassifier\nprint('imported')")
    assert "imported" in run("beside.py", folder=tmp_path, python=python)


FIT = """
import numpy as np
import xpmlp
X = np.random.default_rng(0).normal(size=(200, 4))
fit = xpmlp.MLPClassifier((8,), max_iter=3, random_state=0).fit(X, X[:, 0] > 0)
print(xpmlp.__file__, fit.fit_report_["engine"], fit.predict(X[:1]).shape, sep="\\n")
"""


@pytest.mark.skipif(not shutil.which("c++"), reason="there is no C++ compiler")
def test_a_wheel_trains_compiled_in_a_fresh_environment(checkout, tmp_path):
    # What was compiled when this environment was made saves half a minute. Were it of other
    # sources, the fit below would not be compiled.
    (checkout / "setup.cfg").write_text("[build]\nbuild_lib = built\n")
    place = "xpmlp/engines/native"
    (checkout / "built" / place).mkdir(parents=True)
    for path in (ROOT / place).glob("_native*"):
        shutil.copy(path, checkout / "built" / place)
    build = "import sys; from setuptools import build_meta; build_meta.build_wheel(sys.argv[1])"
    run("-c", build, str(tmp_path), folder=checkout)
    (wheel,) = tmp_path.glob("*.whl")
    assert "-cp311-abi3-" in wheel.name
    with zipfile.ZipFile(wheel) as opened:
        sizes = {info.filename.rpartition("/")[2]: info.file_size for info in opened.infolist()}
    assert {"py.typed", "__init__.pyi", "bases.pyi"} <= sizes.keys()
    python = fresh_python(tmp_path / "fresh", wheel)
    file, engine, shape = run("-c", FIT, folder=tmp_path, python=python).split("\n")[:3]
    assert Path(file).is_relative_to(tmp_path / "fresh")
    assert (engine, shape) == ("numpy compiled", "(1,)")
    (library,) = (size for name, size in sizes.items() if name.startswith("_native"))
    assert library < 3e6 and wheel.stat().st_size < 2e6
