"""The mark of a test whose subject is newer than the oldest version that xpmlp runs with."""

from importlib import import_module

import pytest
from packaging.version import parse


def is_older(library, version):
    """Whether a library is installed in an older version than this one."""
    return parse(import_module(library).__version__) < parse(version)


def needs(library, version, why):
    """Skip a test, or a case, where a library is older; why: what came with that version."""
    return pytest.mark.skipif(is_older(library, version), reason=f"{library} {version}: {why}")
