"""The workflows for forks: valid, and thin calls of scripts that are there."""

import os
import re
import shutil
import subprocess
import tomllib
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).parents[2]
WORKFLOWS = {path.stem: yaml.safe_load(path.read_text()) for path in ROOT.glob(".github/*/*.yml")}


def jobs():
    return [job for workflow in WORKFLOWS.values() for job in workflow["jobs"].values()]


def test_tests_documentation_and_wheels_have_a_workflow_that_may_only_read():
    assert WORKFLOWS.keys() == {"tests", "docs", "wheels"}
    for name, workflow in WORKFLOWS.items():
        assert workflow["name"] == name
        assert workflow["permissions"] == {"contents": "read"}
        assert workflow[True]  # "on", which YAML takes for a truth value


def test_each_command_is_one_script_of_ci_that_can_be_run():
    commands = [step["run"] for job in jobs() for step in job["steps"] if "run" in step]
    assert {command.split()[0] for command in commands} == {
        "ci/test", "ci/floors", "ci/docs", "ci/wheels"
    }  # fmt: skip
    for command in commands:
        assert "\n" not in command
        assert os.access(ROOT / command.split()[0], os.X_OK)


def test_actions_of_others_have_a_major_version():
    used = [step["uses"] for job in jobs() for step in job["steps"] if "uses" in step]
    assert used and all(re.fullmatch(r"actions/[a-z-]+@v\d+", name) for name in used)


def test_the_tests_run_on_each_system_with_each_python_that_is_said_to_work():
    matrix = WORKFLOWS["tests"]["jobs"]["systems"]["strategy"]["matrix"]
    assert {name.partition("-")[0] for name in matrix["system"]} == {"ubuntu", "macos", "windows"}
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    python = "Programming Language :: Python :: "
    said = [name.removeprefix(python) for name in project["classifiers"] if python in name]
    assert matrix["python"] == [version for version in said if "." in version]
    assert project["requires-python"] == f">={matrix['python'][0]}"


@pytest.mark.skipif(not shutil.which("bash"), reason="there is no bash")
@pytest.mark.parametrize(("system", "folder"), [("linux-gnu", "bin"), ("msys", "Scripts")])
def test_the_scripts_find_an_environments_python_on_windows_too(system, folder):
    command = f"OSTYPE={system}; . ci/lib.sh; echo $VENV_PYTHON"
    options = {"cwd": ROOT, "capture_output": True, "text": True, "check": True}
    made = subprocess.run(["bash", "-euc", command], **options, env=os.environ | {"VENV": "made"})
    assert made.stdout == f"made/{folder}/python\n"
