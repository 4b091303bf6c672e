"""What a card must show: parts of ci/gpu.

Each runs in a process of its own, which an error on the card cannot harm; `ci/gpu` runs them all.
"""

import sys
from pathlib import Path

import pytest

from xpmlp.errors import DeviceError
from xpmlp.testing.backends import find

sys.path.insert(0, str(Path(__file__).parents[2] / "ci"))
import gpu  # noqa: E402
import gpu_record  # noqa: E402

PARTS = "smoke", "conformance", "stand-ins", "engine", "fits", "scikit-learn"


@pytest.fixture(scope="module")
def card(request):
    """Skip, or with --xp-require cupy fail, where CuPy finds no card."""
    try:
        find("cupy")
    except DeviceError as error:
        if "cupy" in request.config.getoption("--xp-require"):
            pytest.fail(f"--xp-require cupy: {error}")
        pytest.skip(str(error))


@pytest.mark.gpu
@pytest.mark.parametrize("part", [*PARTS, *gpu_record.TIERS])
def test_a_card_passes_the_part_of_ci_gpu(part, card, tmp_path):
    found = gpu.run_part(part, gpu.PARTS[part].function, False, 300, tmp_path)
    assert gpu_record.failures(found) == {}
    assert "cut off" not in found
