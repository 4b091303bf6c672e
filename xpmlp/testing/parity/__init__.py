"""Parity between array libraries: every operation on each of them, against a wider float.

pytest --pyargs xpmlp.testing.parity --xp numpy --xp torch:cpu, or `xpmlp parity`, or from Python:
`run_parity`, `check_parity` for a layer of one's own, `assert_same_trajectory` for a whole fit.
"""

from collections.abc import Iterable

from ...nn import ActivationFunction, Layer, Loss
from ..backends import choose
from .compare import Operation, Row, Ulp, run_operation
from .operations import activation, layer, loss, operations
from .report import Report
from .trajectory import Trajectory, assert_same_trajectory

__all__ = ["Report", "Row", "Trajectory", "assert_same_trajectory", "check_parity", "run_parity"]


def run_parity(names: Iterable[str] = (), subjects: Iterable[Operation] | None = None) -> Report:
    """Run every operation, or `subjects`, on the libraries of these names.

    names: "numpy", "torch:cpu", "array_api_strict:device1", any module of Array API arrays; none
    means XPMLP_BACKENDS, or what is installed. A named library that does not work fails.
    """
    working, broken, left_out = choose(names)
    chosen = list(operations() if subjects is None else subjects)
    rows = [works(name, why) for name, why in broken.items()]
    for backend in working:
        rows.append(works(backend.name))
        for dtype in backend.floats:
            rows += (row for op in chosen for row in run_operation(op, backend, dtype))
    return Report(rows, left_out)


def works(name: str, problem: str = "") -> Row:
    """Return the row that says whether a library runs at all."""
    return Row("library works", name, "-", None if problem else 0.0, 0.0, "", problem)


def check_parity(subject: Layer | ActivationFunction | Loss, backends=None) -> Report:
    """Run a layer, activation or loss of your own on several libraries, forward and backward.

    Parameters
    ----------
    subject : Layer, ActivationFunction or Loss
        A layer is tried on 24 rows of 40 inputs, while training; an activation at -6 ... 6.
    backends : list of str, optional
        As "numpy", "torch:cuda", "jax"; none means what is installed and works.

    Returns
    -------
    Report
        With `ok`, `failures` and `rows`; printable.

    Examples
    --------
    >>> from xpmlp.nn import ActivationFunction
    >>> square = ActivationFunction(
    ...     "square", lambda z, xp: z * z, lambda da, z, a, xp: 2.0 * da * z)
    >>> check_parity(square, ["numpy"]).ok
    True
    """
    if isinstance(subject, ActivationFunction):
        op = activation(subject, (Ulp(64.0, 1.0), Ulp(64.0, 1.0)))
    elif isinstance(subject, Loss):
        op = loss(subject)
    elif isinstance(subject, Layer):
        op = layer(subject, f"layer {type(subject).__name__}", 2 + 4 * len(subject.parts))
    else:
        raise TypeError(
            f"check_parity takes a layer, an ActivationFunction or a Loss, got {subject!r}: "
            "derive your layer from xpmlp.nn.Layer."
        )
    return run_parity(() if backends is None else backends, [op])
