"""The CuPy that the checks beside this file run on: the stand-in, or with XPMLP_CARD=real a card's.

from card import cupy, recording            # before anything else asks for CuPy or cuBLASLt
from card import REAL, needs_lt, standin_only
"""

import os
from contextlib import nullcontext

import pytest

REAL = os.environ.get("XPMLP_CARD") == "real"
WHY = "CuPy itself records no launches, copies and waits, and can be made to do nothing odd"

if REAL:
    import cupy

    cupy_standin = cublaslt_standin = None
else:
    import cublaslt_standin
    import cupy_standin

    cupy = cupy_standin.install()
    cublaslt_standin.install()

standin_only = pytest.mark.skipif(REAL, reason=WHY)


def _lt_works():
    try:
        from cuda.pathfinder import load_nvidia_dynamic_lib

        load_nvidia_dynamic_lib("cublasLt")
    except (ImportError, RuntimeError):
        return False
    return True


needs_lt = pytest.mark.skipif(not _lt_works(), reason="cuBLASLt cannot be loaded here")


def recording():
    """Record what the stand-in launches, copies and waits for; on a card the check is skipped."""
    if REAL:
        pytest.skip(WHY)
    return cupy_standin.recording()


def watching():
    """The same for a check that goes on without: on a card the record is None."""
    return nullcontext() if REAL else cupy_standin.recording()


def backwards():
    """Run blocks and branches in the opposite order; on a card, in its own."""
    return nullcontext() if REAL else cupy_standin.backwards()
