"""Training a bare network: `train`."""

import warnings
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from numbers import Integral
from time import perf_counter
from typing import Literal

from numpy.typing import DTypeLike

from ..arrays import (
    HOST,
    Array,
    copy_to,
    current_card,
    detached,
    dtype_name,
    float_dtype,
    location_of,
)
from ..engines import Options, engine_for, prepare
from ..errors import DivergenceError
from ..logs import logger
from ..nn import Layout, Loss, Network
from ..nn.layout import map_params, walk
from ..optim import Rule, Schedule, make_rule, make_schedule
from ..placing import fit_or_stay, to_device, why_there
from ..plain import number
from ..protocols import AnyArray, Path, Values
from ..transfers import counting
from .checkpoint import Checkpoint, checkpoint_of
from .fit import fit_network
from .inputs import checked_inputs, checked_weights, loss_and_targets, network_loss, starting_params
from .loop import TrainOptions
from .outputs import network_outputs
from .report import fit_report
from .step import STEP_OPTIONS, StepOptions
from .work import where_it_pays


@dataclass
class Trained:
    """Result of `train`: the network, its parameters, and the course of the training.

    Attributes
    ----------
    network : Network
    params : dict
        Layer number -> name -> array, in the library and on the device of X.
    history : dict of lists
        "loss", "learning_rate", "seconds", an entry for each epoch.
    report : dict
        Device, engine, bytes copied and so on: as `fit_report_` of `MLPClassifier`.
    options : Options
        matmul_precision, accelerate and deterministic, as in `train`; those of the outputs too.
    """

    network: Network
    params: dict
    history: dict[str, list[float]]
    report: dict
    options: Options = Options()

    def outputs(self, X: AnyArray) -> Array:
        """Return the network's outputs (n_samples, n_outputs) for X, in its library and device."""
        first = next(a for _, _, a in walk(self.network, self.params))
        x = checked_inputs(X, float_dtype(first))
        engine = engine_for(x, self.options)
        layout = Layout.of(self.network, self.params, contiguous=False)
        store = layout.pack(map_params(detached, self.params), xp=engine.xp)
        return network_outputs(self.network, layout, store, x, engine)


def train(
    network: Network,
    X: Values,
    y: Values,
    *,
    loss: str | Loss = "squared_error",
    solver: str | Rule = "adam",
    learning_rate_init: float = 1e-3,
    learning_rate: str | Schedule | Callable[[float], float] = "constant",
    power_t: float = 0.5,
    batch_size: int | None = None,
    max_iter: int = 200,
    alpha: float = 0.0,
    weight_decay: float | None = None,
    momentum: float = 0.9,
    nesterovs_momentum: bool = True,
    beta_1: float = 0.9,
    beta_2: float = 0.999,
    epsilon: float = 1e-8,
    shuffle: bool = True,
    random_state: int = 0,
    tol: float = 1e-4,
    n_iter_no_change: float = 10,
    max_fun: int = 15000,
    sample_weight: Values | None = None,
    params: dict | None = None,
    device: str = "auto",
    dtype: DTypeLike | None = None,
    matmul_precision: Literal["highest", "high", "medium"] = "highest",
    accelerate: Literal["auto", "generic", "eager", "graph"] = "auto",
    deterministic: bool = False,
    verbose: int = 0,
    checkpoint: "Path | Checkpoint | None" = None,
    resume: bool = False,
    **steps: float | None,
) -> Trained:
    """Train a bare network on arrays of any library.

    Parameters
    ----------
    network : Network
        Its last layer gives logits for log_loss, binary_log_loss and poisson (the link is inside
        the loss), activated outputs for squared_error.
    X : array (n_samples, n_features)
    y : array (n_samples, n_outputs)
        Targets in the shape of the outputs; for log_loss also integer labels (n_samples,).
    loss : str or Loss, default="squared_error"
        A name of `nn.losses.LOSSES`, or your own record.
    solver : str or Rule, default="adam"
        "sgd", "adam", "adamw", "nadam", "lion", "rmsprop", "adagrad" or "lbfgs".
    learning_rate : str, Schedule or function, default="constant"
        A name of `optim.SCHEDULES`, a schedule of `optim`, or a function of the epoch.
    batch_size : int, optional
        Rows of a step; by default 200, or all where there are fewer.
    max_iter : int, default=200
        Most epochs (lbfgs: iterations).
    alpha : float, default=0.0
        Strength of the L2 penalty ``alpha / 2n ||W||^2``.
    learning_rate_init, power_t, weight_decay, momentum, beta_1, beta_2, epsilon : float, optional
        As in `MLPClassifier`.
    nesterovs_momentum, shuffle, tol, n_iter_no_change, max_fun, verbose : optional
        As in `MLPClassifier`.
    random_state : int, default=0
        Seed of weights, order of rows and dropout.
    sample_weight : array (n_samples,), optional
    params : dict, optional
        Layer number -> name -> array to start from; else the layers' initializers draw.
    device : str, default="auto"
        Where to train: "cpu", "cuda", "cuda:1". "auto" is where X is; NumPy arrays go to a GPU if
        that pays, by the rule of `MLPClassifier`, which is timed: name the device for results that
        repeat. What is trained returns to X.
    dtype, matmul_precision, accelerate, deterministic : optional
        As in `MLPClassifier`.
    checkpoint : str, Path or Checkpoint, optional
        Folder that keeps the training, as in `MLPClassifier`.
    resume : bool, default=False
        Go on from the newest checkpoint in it; begin from the start where there is none.
    **steps : float
        max_norm, max_grad_norm and ema_decay, as in `MLPClassifier`.

    Returns
    -------
    Trained
        The trained parameters, in the library and on the device of X.

    Raises
    ------
    ShapeError
        When X or y does not fit the network; the message says which reshape does.
    DivergenceError
        When the loss or a weight is not finite, or out of all proportion, after an epoch.
    CheckpointError
        When the checkpoint is of other data or options, or another fit writes to its folder.
    TypeError, ValueError
        For an argument that is none, or has another type or value than expected.

    Examples
    --------
    >>> import numpy as np
    >>> from xpmlp import nn, train
    >>> x = np.linspace(-3, 3, 200)[:, None]
    >>> network = nn.Network([nn.Dense(8, "tanh"), nn.Dense(1)])
    >>> trained = train(network, x, np.sin(x), solver="lbfgs", random_state=1)
    >>> bool(np.abs(trained.outputs(x) - np.sin(x)).max() < 0.1)
    True
    """
    if batch_size is not None and batch_size < 1:
        raise ValueError(f"batch_size must be 1 or more, got {batch_size}.")
    if unknown := steps.keys() - STEP_OPTIONS:
        raise TypeError(f"train() got an unexpected keyword argument {min(unknown)!r}.")
    if not isinstance(device, str):
        got = type(device).__name__
        raise TypeError(f"device must be a name such as 'cpu' or 'cuda:1', got a {got}.")
    kept = checkpoint_of(checkpoint, resume)
    if not isinstance(max_iter, Integral):
        raise TypeError(f"max_iter must be a whole number, got {max_iter!r:.60}.")
    number(max_iter, "max_iter", 0.0)
    learning_rate_init = number(learning_rate_init, "learning_rate_init", 0.0)
    alpha, tol = number(alpha, "alpha", 0.0), number(tol, "tol", 0.0)
    rule = make_rule(
        solver,
        momentum=momentum,
        nesterovs_momentum=nesterovs_momentum,
        beta_1=beta_1,
        beta_2=beta_2,
        epsilon=epsilon,
    )
    engine = Options(
        matmul_precision=matmul_precision, accelerate=accelerate, deterministic=deterministic
    )
    if weight_decay is None:
        weight_decay = getattr(rule, "weight_decay", 0.0)
    weight_decay = number(weight_decay, "weight_decay", 0.0)
    start = perf_counter()
    with counting() as counts, current_card(X, device):
        host = checked_inputs(X, dtype)
        options = TrainOptions(
            schedule=make_schedule(learning_rate, power_t=power_t),
            learning_rate=learning_rate_init,
            batch_size=min(batch_size or 200, host.shape[0]),
            max_iter=max_iter,
            shuffle=shuffle,
            seed=random_state,
            alpha=alpha,
            weight_decay=weight_decay,
            tol=tol,
            n_iter_no_change=n_iter_no_change,
            max_fun=max_fun,
            verbose=verbose,
            n_epochs=max_iter,
            steps=StepOptions(**steps),
            engine=engine,
        )
        auto = device == "auto" and location_of(host) == HOST

        def placed(stays):
            """Return the rows where they are trained on, and why there."""
            if not auto:
                begin = partial(prepare, dtype=dtype_name(host), options=engine)
                return to_device(host, device, prepare=begin), why_there(X, device)
            if stays:
                return host, stays
            return where_it_pays(host, network, partial(network_loss, loss), rule, options)

        def fitted(stays):
            x, why = placed(stays)
            logger.info("Training on %s: %s", location_of(x).device, why)
            first, n_out, draws = starting_params(network, x, params, random_state)
            record, targets = loss_and_targets(loss, y, x, n_out)
            data, w = (x, targets), checked_weights(sample_weight, x.shape[0], dtype_name(x))
            more = {"draws": draws, "sample_weight": w, "checkpoint": kept, "resume": resume}
            made = fit_network(network, record, rule, options, data, first, **more)
            return x, why, made

        x, why, (trained, state, reason) = fit_or_stay(fitted, auto)
        if location_of(x) != location_of(X):
            trained = map_params(lambda a: copy_to(a, X), trained)
    if isinstance(reason, DivergenceError):
        raise reason
    if reason == "interrupted":
        warnings.warn("Training interrupted by user.")
    report = fit_report(x, engine, why, counts, start, random_state)
    return Trained(network, params=trained, history=state.history, report=report, options=engine)
