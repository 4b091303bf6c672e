"""Fitting a network to data: `train`, and the function that the estimators share with it."""

import warnings
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from time import perf_counter
from typing import Literal

from numpy.typing import DTypeLike

from ..arrays import (
    HOST,
    Array,
    as_float,
    copy_to,
    current_card,
    detached,
    dtype_name,
    float_dtype,
    location_of,
    namespace,
    to_host,
)
from ..engines import Carry, Options, copy_store, engine_for, prepare
from ..errors import DeviceMemoryError, DivergenceError
from ..logs import logger
from ..nn import Layout, Loss, Network
from ..nn.layout import map_params, walk
from ..optim import Rule, Schedule, init_state, make_rule, make_schedule
from ..placing import explain_out_of_memory, fit_or_stay, to_device, why_there
from ..protocols import AnyArray, Values
from ..transfers import counting
from .inputs import checked_inputs, checked_weights, loss_and_targets, network_loss, starting_params
from .lbfgs import run_lbfgs
from .loop import State, TrainOptions, copy_weights, run_epochs
from .outputs import network_outputs
from .precision import note_unheeded
from .report import fit_report, log_begin, log_end
from .rows import SparseRows, like_of
from .step import STEP_OPTIONS, Step, StepOptions
from .work import where_it_pays


@explain_out_of_memory()
def fit_network(
    network,
    loss,
    rule,
    options,
    data,
    params,
    *,
    draws,
    state=None,
    sample_weight=None,
    validation=None,
    on_epoch=None,
):
    """Train a network; the core of every fit.

    data: (X, y) on the device in the compute dtype, X an array or SparseRows, y rows or (integers)
    class codes; params: nested dicts of arrays there; rule: an update rule, or None for L-BFGS;
    draws: where scikit-learn's stream stands; state: of the
    call before, or None; sample_weight: (n,) on the host; on_epoch: called after each
    epoch with the state and a function that returns a copy of the parameters, stops the training by
    a true result. Returns the parameters (nested dicts of new arrays), the state (its arrays new
    too: what an engine returns it may overwrite in the next run), and why it ended: text, or (the
    parameters are the last finite ones) a DivergenceError.
    """
    like = like_of(data[0])
    engine, xp = engine_for(like, options.engine), namespace(like)
    x, y = data
    if not isinstance(x, SparseRows):
        x = engine.resident(x)
    data = x, engine.resident(y)
    note_unheeded(engine, options.engine, like)
    layout = Layout.of(network, params, contiguous=engine.contiguous)
    step = Step(
        network=network,
        loss=loss,
        rule=rule or make_rule("sgd", momentum=0.0),  # L-BFGS asks a step for gradients only
        layout=layout,
        batch_size=options.rows_a_step(rule, x.shape[0]),
        dtype=dtype_name(x),
        penalised=options.alpha > 0,
        decoupled=options.weight_decay > 0,
        options=options.steps,
    )
    # The run may give its carry away, so it holds copies.
    store = copy_store(layout.pack(params, xp=xp), xp=xp)
    buffers = {leaf.name: store.pop(leaf.name) for leaf in layout.leaves if not leaf.group.trained}
    state = state or State(Carry({}, {}, {}), lr=options.learning_rate)
    state.draws = draws
    carry = _continued(step, state, store, params, rule, options, xp=xp)
    state.carry = carry._replace(buffers=buffers)
    del store  # an engine may copy it, so it would stand twice

    def nested(params, buffers):
        tree = layout.unpack(params | buffers, xp=xp)
        return map_params(lambda a: xp.asarray(a, copy=True), tree)

    def weights():
        return nested(*copy_weights(step, state, xp))

    run = run_lbfgs if rule is None else run_epochs
    look = on_epoch and (lambda state: on_epoch(state, weights))
    more = {"sample_weight": sample_weight, "validation": validation, "on_epoch": look}
    log_begin(step, x, options)
    try:
        with explain_out_of_memory():
            reason = run(step, engine, data, options, state, **more)
    except DeviceMemoryError as error:
        error.late = state.n_iter > 0
        raise
    log_end(state, engine, reason, options)
    trained = nested(*(state.best or copy_weights(step, state, xp)))
    raw = {}
    if options.steps.ema_decay is not None and not state.best:
        raw = state.carry.params  # from which training goes on, not from their average
    kept = {slot: copy_store(s, xp=xp) for slot, s in state.carry.state.items()}
    state.carry, state.best = Carry(copy_store(raw, xp=xp), {}, kept), None
    return trained, state, reason


def _continued(step, state, store, params, rule, options, *, xp):
    """Return the carry of the parameters and of the rule's state, its own or a new one.

    store: the parameters. Where the call before ended with their average, training goes on from
    what was averaged, if they are still that average.
    """
    laid_out = partial(_laid_out, store=store, network=step.network, params=params, xp=xp)
    kept = {slot: laid_out(values) for slot, values in state.carry.state.items()}
    raw = laid_out(state.carry.params)
    fits = type(rule) is type(state.rule) and kept.keys() == {*step.slots}
    if raw and fits:
        average = step.predicting(Carry(raw, {}, kept), state.rule_step, xp=xp)
        fits = all(bool(to_host(xp.all(average[name] == a))) for name, a in store.items())
    if raw and fits:
        store = copy_store(raw, xp=xp)
    if not fits:  # none yet, or another rule's, or the weights are others
        kept = init_state(step, store, xp=xp)
        state.rule_step, state.cycle, state.lr = 0, 0, options.learning_rate
    if state.lr_init != options.learning_rate:
        state.lr = options.learning_rate
    state.rule, state.lr_init = rule, options.learning_rate
    return Carry(store, {}, kept)


def _laid_out(kept, *, store, network, params, xp):
    """Return one slot of a rule's state with the leaves of `store`: it may come from elsewhere."""
    if not kept or kept.keys() == store.keys():
        return kept
    flat, split = (
        Layout(tuple(leaf for leaf in layout.leaves if leaf.group.trained))
        for layout in (Layout.of(network, params, contiguous=c) for c in (True, False))
    )
    now, before = flat, split
    if flat.groups.keys() != store.keys():
        now, before = split, flat
    return now.pack(before.unpack(kept, xp=xp), xp=xp)


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
        engine = engine_for(X, self.options)
        layout = Layout.of(self.network, self.params, contiguous=False)
        first = next(a for _, _, a in walk(self.network, self.params))
        x = as_float(detached(X), float_dtype(first))
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
            data, w = (x, targets), checked_weights(sample_weight, x.shape[0])
            more = {"draws": draws, "sample_weight": w}
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
