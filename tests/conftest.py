"""The fixture `xp`: every array library and variant that the array tests run on.

What each variant catches: /numpy-readonly/ a write into an argument, /strict/ what the standard
does not promise, /device1/ an array made on the wrong device, /no_float64/ a hidden float64,
/strictest/ data-dependent shapes, /torch/ another default dtype, /jax/ writes that are lost and
values read while tracing.
"""

import itertools
from contextlib import contextmanager
from dataclasses import replace
from importlib import import_module

import numpy as np
import pytest

from xpmlp.arrays import dtype_name
from xpmlp.engines.native import program
from xpmlp.errors import DeviceError
from xpmlp.testing.backends import Backend, find

__all__ = ["dtype_name"]
pytest_plugins = ["xpmlp.testing.plugin", "slow"]  # the first: also where xpmlp is not installed


class ReadOnly(Backend):
    """NumPy with arrays that cannot be written to."""

    def asarray(self, a, dtype=None):
        x = self.owned(a, dtype)
        x.flags.writeable = False
        return x


@contextmanager
def _plain(library, kind=Backend):
    yield kind(**vars(find(library)))


@contextmanager
def _strictest():
    xs = import_module("array_api_strict")
    before = xs.get_array_api_strict_flags()
    xs.set_array_api_strict_flags(
        boolean_indexing=False, data_dependent_shapes=False, enabled_extensions=()
    )
    try:
        yield find("array_api_strict")
    finally:
        xs.set_array_api_strict_flags(**before)


@contextmanager
def _jax(dtype):
    backend = find("jax:cpu")
    with backend.computing_in(dtype):
        yield replace(backend, floats=(dtype,))


# name -> library, and what makes the variant of it
VARIANTS = {
    "numpy": ("numpy", lambda: _plain("numpy")),
    "numpy-readonly": ("numpy", lambda: _plain("numpy", ReadOnly)),
    "strict": ("array_api_strict", lambda: _plain("array_api_strict")),
    "strict-device1": ("array_api_strict:device1", lambda: _plain("array_api_strict:device1")),
    "strict-no_float64": (
        "array_api_strict:no_float64",
        lambda: _plain("array_api_strict:no_float64"),
    ),
    "strict-strictest": ("array_api_strict", _strictest),
    "torch": ("torch:cpu", lambda: _plain("torch:cpu")),
    "jax": ("jax:cpu", lambda: _jax("float32")),
    "jax-x64": ("jax:cpu", lambda: _jax("float64")),
    "cupy": ("cupy", lambda: _plain("cupy")),
}


def pytest_configure(config):
    known = {*VARIANTS, *(name.partition("-")[0] for name in VARIANTS)}
    unknown = set(config.getoption("--xp-require")) - known
    if unknown:
        raise pytest.UsageError(
            f"--xp-require {', '.join(unknown)}: not among {', '.join(sorted(known))}"
        )


def _params(names):
    return [pytest.param(name, marks=[pytest.mark.gpu] if name == "cupy" else []) for name in names]


def _backend(request):
    name = request.param
    library, variant = VARIANTS[name]
    try:
        find(library)
    except DeviceError as error:
        if {name, name.partition("-")[0]} & set(request.config.getoption("--xp-require")):
            pytest.fail(f"--xp-require {name}: {error}")
        pytest.skip(str(error))
    with variant() as backend:
        yield backend


# JAX compiles, which takes seconds: each test gets it only where it shows something new.
@pytest.fixture(params=_params(name for name in VARIANTS if name != "jax-x64"))
def xp(request):
    """The libraries and variants of the module's head, one after the other."""
    yield from _backend(request)


@pytest.fixture(params=_params(VARIANTS))
def xp64(request):
    """The same, and JAX with float64 switched on: for gradients."""
    yield from _backend(request)


@pytest.fixture(params=_params(name for name in VARIANTS if not name.startswith("jax")))
def xp_eager(request):
    """The same without JAX: for many small cases, and for arrays that can be written to."""
    yield from _backend(request)


@pytest.fixture
def plain():
    """NumPy as a backend, to compare with."""
    return find("numpy")


# What the tests compare with. ULP fit elementwise operations only; products and sums cancel.


def relative_error(got, want, least=1e-300):
    """Norm-wise: ||got - want|| / max(||want||, least), of host arrays of one shape."""
    got, want = np.asarray(got, np.float64), np.asarray(want, np.float64)
    assert got.shape == want.shape
    assert np.isfinite(want).all()
    return np.linalg.norm(got - want) / max(np.linalg.norm(want), least)


def ulps(got, want, size=0.0):
    """The largest error of `got` in units in the last place of `want` (float64), or of `size`."""
    assert got.shape == want.shape
    unit = np.spacing(np.maximum(np.abs(want), size).astype(got.dtype)).astype(np.float64)
    return float(np.max(np.abs(got.astype(np.float64) - want) / unit))


def leaves(tree, path=()):
    """Yield (path, array) over nested dicts, lists and tuples, sorted by key."""
    if isinstance(tree, dict):
        for key in sorted(tree, key=str):
            yield from leaves(tree[key], (*path, key))
    elif isinstance(tree, list | tuple):
        for i, part in enumerate(tree):
            yield from leaves(part, (*path, i))
    elif tree is not None:
        yield path, tree


def map_tree(f, tree):
    """The same nesting with f(array) in the arrays' places."""
    if isinstance(tree, dict):
        return {key: map_tree(f, part) for key, part in tree.items()}
    if isinstance(tree, list | tuple):
        parts = [map_tree(f, part) for part in tree]
        return type(tree)(*parts) if hasattr(tree, "_fields") else type(tree)(parts)
    return None if tree is None else f(tree)


def assert_close(got, want, tolerance, least=1e-300):
    """Equal norm-wise, array by array, over nested dicts of host arrays: see `relative_error`."""
    got, want = dict(leaves(got)), dict(leaves(want))
    assert got.keys() == want.keys()
    errors = {path: relative_error(got[path], want[path], least) for path in want}
    assert all(error <= tolerance for error in errors.values()), errors


def assert_derivative(f, at, gradient, *, seed=0, h=1e-5, tolerance=1e-8):
    """f(tree) -> float has this gradient: directional derivatives in float64, array by array."""
    rng = np.random.default_rng(seed)
    gradients = dict(leaves(gradient))
    assert gradients.keys() == {path for path, _ in leaves(at)}
    for (path, a), _ in itertools.product(leaves(at), range(3)):
        g, u = gradients[path], rng.normal(size=a.shape)
        assert a.dtype == np.float64
        assert g.shape == a.shape, path
        ahead, behind = (
            f(map_tree(lambda b, a=a, step=s * u: b + step if b is a else b, at)) for s in (h, -h)
        )
        numeric, analytic = (ahead - behind) / (2 * h), float((g * u).sum())
        size = np.linalg.norm(g) * np.linalg.norm(u)
        assert abs(numeric - analytic) <= tolerance * max(size, 1e-3), (path, numeric, analytic)


@pytest.fixture
def xpmlp(capsys):
    """Run the command in this process. Returns the exit code, stdout and stderr."""

    from xpmlp.cli import main

    def run(*arguments):
        capsys.readouterr()
        with pytest.raises(SystemExit) as exit:
            main([str(argument) for argument in arguments])
        return exit.value.code, *capsys.readouterr()

    return run


@pytest.fixture
def compiled_engine_back(monkeypatch):
    """Give the compiled engine back, which a contender leaves out for good in its own process."""
    monkeypatch.setattr(program, "library", program.library)
