"""Parity between array libraries: every operation on each of them, against a wider float.

pytest --pyargs xpmlp.testing.parity --xp numpy --xp torch:cpu, or `xpmlp parity`, or from Python:
`run_parity`, `check_parity` for a layer of your own, `assert_same_trajectory` for a whole fit.
Between machines: `xpmlp parity --save FILE` on one, `--against FILE` on the other (`saved`).
"""

from collections.abc import Iterable, Sequence
from numbers import Integral

import numpy as np

from ...estimators.base import BaseMLP
from ...estimators.inputs import on_host
from ...nn import ActivationFunction, Layer, Loss
from ...protocols import Rows
from ..backends import FLOATS, Backend, choose, facts
from .compare import Operation, Row, computed, judged, ulp
from .operations import activation, layer, loss, operations
from .report import Report, about
from .saved import Results, SavedLibrary, digest, saved_libraries
from .trainings import training

__all__ = ["Report", "Row", "assert_same_trajectory", "check_parity", "run_parity"]


def run_parity(
    names: str | Iterable[str] = (),
    subjects: Iterable[Operation] = (),
    there: Results | None = None,
) -> Report:
    """Run every operation, or `subjects`, on the libraries of these names.

    names: "numpy" (plain operations), "numpy:compiled" (trainings in the compiled engine, which has
    no other operation), "torch:cpu", "array_api_strict:device1", or any module of Array API arrays;
    none means XPMLP_BACKENDS, or what is installed. A named library that does not work fails.
    there: results of another machine (`saved.read_results`), which are compared, too.
    """
    from tqdm import tqdm

    working, broken, left_out = choose(names)
    subjects = list(subjects or operations())
    rows = [works(name, why) for name, why in broken.items()]
    inputs = {op.name: digest(op.inputs) for op in subjects}
    here = Results("here", about(), {b.name: facts(b.name) for b in working}, inputs, {})
    todo = cases(working, subjects, there)
    with tqdm(todo, unit="op", leave=False, disable=None, dynamic_ncols=True) as bar:
        for op, library, dtype in bar:
            bar.set_description_str(f"{library.name} {dtype}", refresh=False)
            rows += run_operation(op, library, dtype, here)
    return Report(rows, left_out, here, there)


def cases(
    backends: Iterable[Backend], subjects: list[Operation], there: Results | None = None
) -> list[tuple]:
    """Return the cases of this machine, then those of another one: (operation, library, dtype)."""
    found: list[tuple] = []
    for backend in backends:
        for dtype in FLOATS:
            known = [op for op in subjects if op.runs_on(backend.name)]
            known = [op for op in known if dtype in (op.dtypes or backend.floats)]
            found += [(op, backend, dtype) for op in known]
    for library in saved_libraries(there):
        found += library.cases(subjects)
    return found


def run_operation(
    op: Operation, library: Backend | SavedLibrary, dtype: str, keep: Results | None = None
) -> list[Row]:
    """Return a row for each output; results of a library of this machine are added to `keep`."""
    if isinstance(library, SavedLibrary):
        return library.compared(op, dtype)
    got, want = computed(op, library, dtype)
    if keep is not None:
        keep.outputs.setdefault(library.name, {})[op.name, dtype] = got
    return judged(op, library.name, dtype, got, want)


def works(name: str, problem: str) -> Row:
    """Return the row of a library that does not work."""
    return Row("library works", name, "-", None, 0.0, "", problem)


def check_parity(
    subject: Layer | ActivationFunction | Loss, backends: str | Sequence[str] = ()
) -> Report:
    """Run a layer, activation or loss of your own on several libraries, forward and backward.

    Parameters
    ----------
    subject : Layer, ActivationFunction or Loss
        A layer is tried on 24 rows of 40 inputs, while training; an activation at -6 ... 6.
    backends : str or list of str, optional
        As "numpy", "torch:cuda", "jax"; none means what is installed and works.

    Returns
    -------
    Report
        With `ok`, `failures` and `rows`; printable.

    Raises
    ------
    TypeError
        When the subject is none of these.

    Examples
    --------
    >>> from xpmlp.nn import ActivationFunction
    >>> square = ActivationFunction(
    ...     "square", lambda z, xp: z * z, lambda da, z, a, xp: 2.0 * da * z)
    >>> check_parity(square, "numpy").ok
    True
    """
    if isinstance(subject, ActivationFunction):
        op = activation(subject, (ulp(64.0, 1.0), ulp(64.0, 1.0)))
    elif isinstance(subject, Loss):
        op = loss(subject)
    elif isinstance(subject, Layer):
        op = layer(subject, f"layer {type(subject).__name__}", 2 + 4 * len(subject.parts))
    else:
        raise TypeError(
            f"check_parity takes a layer, an ActivationFunction or a Loss, got {subject!r}: "
            "derive your layer from xpmlp.nn.Layer, and pass an instance."
        )
    return run_parity(backends, [op])


def assert_same_trajectory(
    est: BaseMLP, X: Rows, y: Rows, backends: str | Sequence[str] = ()
) -> Report:
    """Fit a clone of an estimator on each library, and raise an error where the trainings differ.

    Equal bit by bit are the initial weights, the rows of every batch, every dropout mask. Loss
    curve and final weights may be norm-wise eps * sqrt(p) * (2 + sqrt(n)) off the same training in
    a wider float: n is the longest sum, p the products and sums in a row (2 for a layer and step).
    A training that amplifies small differences, as one with a large learning rate does, fails.

    Parameters
    ----------
    est : MLPClassifier or MLPRegressor
        With an integer as random_state. It is not fitted itself.
    X, y : arrays on the host, or of one library
        Cast to each float dtype that a library has, or to ``est.dtype`` only.
    backends : str or list of str, optional
        As for `check_parity`.

    Returns
    -------
    Report
        What was measured.

    Raises
    ------
    AssertionError
        When something differs; the message is the report, which names the first difference.
    TypeError
        When `est` is no estimator of this package.
    ValueError
        When its random_state is no integer.

    Examples
    --------
    >>> from sklearn.datasets import load_iris
    >>> from xpmlp import MLPClassifier
    >>> X, y = load_iris(return_X_y=True)
    >>> est = MLPClassifier((8,), dropout=0.2, max_iter=5, random_state=0)
    >>> assert_same_trajectory(est, X, y, "numpy").ok
    True
    """
    if not isinstance(est, BaseMLP):
        raise TypeError(f"assert_same_trajectory takes an estimator of xpmlp, got {est!r}.")
    if not isinstance(est.random_state, Integral):
        raise ValueError(
            f"assert_same_trajectory needs one seed for all libraries, got random_state="
            f"{est.random_state!r}: pass an integer."
        )
    report = run_parity(backends, [training(est, np.asarray(on_host(X)), np.asarray(on_host(y)))])
    if not report.ok:
        raise AssertionError(str(report))
    return report
