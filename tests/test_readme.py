"""The README's Python runs as it stands, block after block."""

import re
from pathlib import Path

import pytest

README = Path(__file__).parents[1] / "README.md"
BLOCKS = re.findall(r"^```python\n(.*?)^```", README.read_text(), flags=re.S | re.M)


@pytest.mark.filterwarnings("ignore:.*Maximum iterations")
def test_the_readmes_python_runs_in_order(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    names: dict = {}
    assert len(BLOCKS) >= 4
    for block in BLOCKS:
        if "import torch" in block:
            pytest.importorskip("torch", reason="that block is about torch")
        exec(compile(block, "README.md", "exec"), names)
    assert "Dense 64 -> 64 gelu" in capsys.readouterr().out
