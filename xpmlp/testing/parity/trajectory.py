"""The same seed gives the same training on every library, but for rounding."""

import warnings
from dataclasses import dataclass
from numbers import Integral
from typing import NamedTuple

import numpy as np
from sklearn.base import clone

from ...arrays import float_dtype, is_array, to_host
from ...engines import engine_for
from ...nn import Ctx
from ...nn.layout import walk
from ...training.plan import epoch_order, make_plan, to_device
from ..backends import Backend, choose, find


class Course(NamedTuple):
    """One library's training beside NumPy's: relative norm-wise differences."""

    library: str
    loss_curve: float
    weights: float


@dataclass(frozen=True)
class Trajectory:
    """What `assert_same_trajectory` measured. `bound` holds for both differences of every course.

    n_steps and n_masks count what was compared bit by bit: batches and dropout masks.
    """

    dtype: str
    n_steps: int
    n_masks: int
    bound: float
    courses: tuple[Course, ...]

    def __str__(self):
        head = (
            f"{self.n_steps} steps in {self.dtype}: initial weights, {self.n_steps} batches and "
            f"{self.n_masks} dropout masks are equal on every library; bound {self.bound:.2g}"
        )
        lines = [
            f"  {c.library}: loss curve {c.loss_curve:.2g}, weights {c.weights:.2g} from NumPy's"
            for c in self.courses
        ]
        return "\n".join([head, *lines])


def assert_same_trajectory(est, X, y, backends=None, *, bound: float | None = None) -> Trajectory:
    """Fit a clone of an estimator on each library, and compare the courses of the trainings.

    Equal bit by bit: the initial weights, the rows of every batch, every dropout mask. Within
    `bound` of NumPy's, norm-wise: the loss curve and the final weights.

    Parameters
    ----------
    est : MLPClassifier or MLPRegressor
        With an integer as random_state. It is not fitted itself.
    X, y : arrays on the host, or of one library
    backends : list of str, optional
        As for `check_parity`.
    bound : float, optional
        By default eps * sqrt(n_steps) * (2 + sqrt(n)), n the longest sum in the network or over a
        batch: the roundings of the steps add up like a random walk. A training that amplifies
        small differences, as one with a large learning rate does, needs a bound of its own.

    Returns
    -------
    Trajectory

    Raises
    ------
    AssertionError
        At the first thing that differs; the message names it and the library.

    Examples
    --------
    >>> from sklearn.datasets import load_iris
    >>> from xpmlp import MLPClassifier
    >>> X, y = load_iris(return_X_y=True)
    >>> est = MLPClassifier((8,), dropout=0.2, max_iter=5, random_state=0)
    >>> assert_same_trajectory(est, X, y, ["numpy"]).n_steps
    5
    """
    if not isinstance(est.random_state, Integral):
        raise ValueError(
            f"assert_same_trajectory needs one seed for all libraries, got random_state="
            f"{est.random_state!r}: pass an integer."
        )
    working, broken, _ = choose(() if backends is None else backends)
    assert not broken, " ".join(broken.values())
    X, y = (to_host(a) if is_array(a) else np.asarray(a) for a in (X, y))
    dtype = est.dtype or float_dtype(X)
    plain = _run(est, X, y, find("numpy"), dtype)
    bound = bound or _bound(plain, X, dtype)
    courses = []
    for backend in working:
        with backend.computing_in(dtype):
            run = _run(est, X, y, backend, dtype)
        for what in ("initial", "rows", "masks"):
            _assert_equal(backend.name, WHAT[what], getattr(run, what), getattr(plain, what))
        course = Course(
            backend.name,
            _difference([run.losses], [plain.losses]),
            _difference(run.final, plain.final),
        )
        for name, measured in zip(("loss curve", "weights"), course[1:]):
            assert measured <= bound, (
                f"on {backend.name} the {name} parts from NumPy's by {measured:.3g} in "
                f"{len(plain.rows)} steps of {dtype}, bound {bound:.3g}"
            )
        courses.append(course)
    return Trajectory(str(dtype), len(plain.rows), len(plain.masks), bound, tuple(courses))


WHAT = {"initial": "initial weights", "rows": "the rows of a batch", "masks": "dropout masks"}


class _Run(NamedTuple):
    """Host arrays."""

    initial: list
    rows: list
    masks: list
    losses: np.ndarray
    final: list


def _run(est, X, y, backend: Backend, dtype) -> _Run:
    """Fit, and draw again what the fit drew, by the same functions on the same library."""
    x = backend.asarray(X, dtype)
    fitted = clone(est)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # that it has not converged
        fitted.fit(x, y)
    problem, state = clone(est)._problem(x, y), fitted._state
    rows, masks = _draws(problem, fitted, state, backend, dtype) if state.rule else ([], [])
    return _Run(
        [to_host(a) for _, _, a in walk(problem.network, problem.params)], rows, masks,
        np.asarray(fitted.loss_curve_), [to_host(a) for a in (*fitted.coefs_, *fitted.intercepts_)],
    )  # fmt: skip


def _draws(problem, fitted, state, backend, dtype):
    """Return the rows of every batch, and the random bits of every dropout layer in every step."""
    xp, n = backend.xp, state.n_seen // state.epoch
    rows: list = []
    masks: list = []
    recipe, engine = fitted._recipe(n, state.rule, False), engine_for(problem.x)

    def recorded(*args, **kwargs):
        masks.append(to_host(engine.kernels.random_bits(*args, **kwargs)))
        return backend.asarray(masks[-1])

    kernels = engine.kernels._replace(random_bits=recorded)
    for epoch in range(state.epoch):
        order = epoch_order(n, seed=recipe.seed, epoch=epoch, shuffle=recipe.shuffle)
        plan = make_plan(
            state.rule, order, batch_size=recipe.batch_size, lr=recipe.lr, seed=recipe.seed,
            first_step=len(rows),
        )  # fmt: skip
        plan = to_device(plan, problem.x, dtype)
        for i in range(plan.rows.shape[0]):
            now = plan.at(i)
            rows.append(to_host(now.rows))
            x = xp.take(problem.x, now.rows, axis=0)
            ctx = Ctx(xp, True, kernels, now.weights, now.n_rows, now.key)
            problem.network.forward(problem.params, x, ctx)
    return rows, masks


def _assert_equal(library, what, got, want):
    for i, (a, b) in enumerate(zip(got, want, strict=True)):
        assert np.array_equal(a, b), f"on {library} {what} differ from NumPy's, first in number {i}"


def _difference(got, want):
    norm = lambda arrays: float(np.sqrt(sum(np.sum(np.square(a, dtype=float)) for a in arrays)))
    return norm([a - b for a, b in zip(got, want)]) / max(norm(want), 1e-300)


def _bound(plain, X, dtype):
    terms = max(X.shape[1], *(a.shape[0] for a in plain.initial), *map(len, plain.rows[:1]))
    return float(np.finfo(dtype).eps * max(len(plain.rows), 1) ** 0.5 * (2.0 + terms**0.5))
