"""Model files of released versions, and of this one, are read and predict what they did."""

import json

import numpy as np
import pytest
from kept_files import FILES, KINDS, predictions, rows_of, write

import xpmlp

KEPT = sorted(FILES.glob("*/*.safetensors"))


def test_each_kind_is_kept_of_this_version():
    names = {path.stem for path in KEPT if path.parent.name == xpmlp.__version__}
    assert names == {kind.__name__ for kind in KINDS}


def assert_predicts(path):
    """The file is read and predicts, to rounding, what its JSON says."""
    kept = json.loads(path.with_suffix(".json").read_text("utf-8"))
    rows, read = rows_of(kept), [xpmlp.load]
    if path.stem != "model":
        read.append(xpmlp.load_model)
    for load in read:
        found = predictions(load(path), rows)
        assert found and found.keys() <= kept["predictions"].keys()
        for name, values in found.items():
            want = np.asarray(kept["predictions"][name])
            if want.dtype.kind != "f":
                assert values == want.tolist(), name
            else:
                np.testing.assert_allclose(values, want, rtol=1e-4, atol=1e-6, err_msg=name)


@pytest.mark.parametrize("path", KEPT, ids=lambda path: f"{path.parent.name}-{path.stem}")
def test_a_kept_file_predicts_what_it_did(path):
    assert_predicts(path)


@pytest.mark.filterwarnings("ignore:.*Maximum iterations", "ignore:lbfgs failed to converge")
def test_the_command_writes_files_of_each_kind_that_are_read(tmp_path):
    write(tmp_path)
    assert {path.stem for path in tmp_path.glob("*.safetensors")} == {k.__name__ for k in KINDS}
    for path in tmp_path.glob("*.safetensors"):
        assert_predicts(path)
