"""Fitting a network to data: what the estimators and `train` share."""

from dataclasses import replace
from functools import partial

from ..arrays import (
    all_finite,
    dtype_name,
    from_host,
    namespace,
    to_host,
)
from ..engines import Carry, copy_store, engine_for
from ..errors import DeviceMemoryError
from ..nn import Layout
from ..nn.layout import map_params
from ..optim import init_state, make_rule
from ..placing import explain_out_of_memory
from .checkpoint import keeping
from .fingerprint import fingerprint
from .lbfgs import run_lbfgs
from .loop import copy_weights, run_epochs
from .precision import note_unheeded
from .report import log_begin, log_end
from .rows import SparseRows, like_of
from .state import State
from .step import Step


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
    checkpoint=None,
    resume=False,
    settings=None,
):
    """Train a network; the core of every fit.

    data: (X, y) on the device in the compute dtype, X an array or SparseRows, y rows or (integers)
    class codes; params: nested dicts of arrays there; rule: an update rule, or None for L-BFGS;
    draws: where scikit-learn's stream stands; state: of the call before, or None; sample_weight:
    (n,) on the host; on_epoch: called after each epoch with the state and a function that returns
    copies of the parameters and of the state as it goes on, stops the training by a true result;
    checkpoint: a `Checkpoint`, from whose newest state resume=True goes on; settings: further
    options by name, to tell another training by. Returns the parameters (nested dicts of new
    arrays), the state (its arrays new too: what an engine returns it may overwrite in the next
    run), and why it ended: text, or (the parameters are the last finite ones) a DivergenceError.
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
    if checkpoint is not None and rule is None:
        raise ValueError(
            "solver='lbfgs' cannot be kept in a checkpoint, as SciPy keeps its memory to itself: "
            "take 'adam', or leave checkpoint away."
        )

    def nested(params, buffers):
        tree = layout.unpack(params | buffers, xp=xp)
        return map_params(lambda a: xp.asarray(a, copy=True), tree)

    def stands(place):
        here = replace(state, draws=state.draws.copy(place), best=None)
        return nested(*copy_weights(step, state, xp)), _between_calls(step, here, xp)

    more: dict = {"sample_weight": sample_weight, "validation": validation}
    about = partial(fingerprint, step, options, data, params, **more, more=settings or {})
    more["on_epoch"] = on_epoch and (lambda state, place: on_epoch(state, partial(stands, place)))
    with keeping(checkpoint, about) as keeper:
        kept = keeper.found() if keeper and resume else None
        if kept is None:
            state = _begun(step, state, params, draws, rule, options, xp=xp)
        else:
            with checkpoint.known():
                state = _placed(kept, step, params, like, rule, options)
        log_begin(step, x, options)
        reason = _run(step, engine, data, options, state, keeper, rule, more)
    log_end(state, engine, reason, options)
    trained = nested(*(state.best or copy_weights(step, state, xp)))
    return trained, _between_calls(step, state, xp), reason


def _between_calls(step, state, xp):
    """Return a state as a call leaves it to the next: its arrays copied, those that go on."""
    raw = {}
    if step.options.ema_decay is not None and not state.best:
        raw = state.carry.params  # from which training goes on, not from their average
    slots = {slot: copy_store(s, xp=xp) for slot, s in state.carry.state.items()}
    return replace(state, carry=Carry(copy_store(raw, xp=xp), {}, slots), best=None)


def _run(step, engine, data, options, state, keeper, rule, more):
    """Train by a rule's epochs, or by L-BFGS. Returns why it ended."""
    try:
        with explain_out_of_memory():
            if rule is None:
                return run_lbfgs(step, engine, data, options, state, **more)
            return run_epochs(step, engine, data, options, state, **more, keeper=keeper)
    except DeviceMemoryError as error:
        error.late = state.n_iter > 0
        raise


def _begun(step, state, params, draws, rule, options, *, xp):
    """Return the state that a call begins with: of the call before, or a new one."""
    # The run may give its carry away, so it holds copies.
    layout, store = step.layout, copy_store(step.layout.pack(params, xp=xp), xp=xp)
    buffers = {leaf.name: store.pop(leaf.name) for leaf in layout.leaves if not leaf.group.trained}
    state = state or State(Carry({}, {}, {}), lr=options.learning_rate)
    state.draws, state.n_iter, state.ended = draws, 0, None
    carry = _continued(step, state, store, params, rule, options, xp=xp)
    state.carry = carry._replace(buffers=buffers)
    return state


def _placed(kept, step, params, like, rule, options):
    """Return a kept state with its arrays beside the data, in the stores of this library."""
    xp = namespace(like)
    whole = step.layout.pack(params, xp=xp)
    store = {name: a for name, a in whole.items() if name in step.layout.groups}

    def placed(arrays):
        beside = {name: from_host(a, like, dtype_name(a)) for name, a in arrays.items()}
        return _laid_out(beside, store=store, network=step.network, params=params, xp=xp)

    def carried(carry):
        buffers = {name: from_host(a, like, dtype_name(a)) for name, a in carry.buffers.items()}
        slots = {slot: placed(values) for slot, values in carry.state.items()}
        return Carry(placed(carry.params), buffers, slots)

    kept.carry = carried(kept.carry)
    if kept.best is not None:
        kept.best = carried(Carry(kept.best[0], kept.best[1], {}))[:2]
    if kept.begun is not None:
        kept.begun = kept.begun._replace(before=carried(kept.begun.before))
    carries = [kept.carry, kept.begun.before] if kept.begun else [kept.carry]
    stores = [carry.params | carry.buffers for carry in carries]
    if kept.best is not None:
        stores.append(kept.best[0] | kept.best[1])
    if any(_shapes(made) != _shapes(whole) for made in stores):
        raise ValueError("it holds parameters of other shapes")
    if not all(all_finite(a) for made in stores for a in made.values()):
        raise ValueError("it holds parameters that are not finite")
    if kept.begun is not None:
        n, done = like.shape[0], kept.begun.losses.shape[-1]
        if options.shuffle and len(kept.draws.order) != n or done * step.batch_size >= n:
            raise ValueError("it is within an epoch of other rows")
    for carry in carries:
        slots = {slot: _shapes(values) for slot, values in carry.state.items()}
        if slots != dict.fromkeys(step.slots, _shapes(store)):
            raise ValueError("it holds a state of the update rule of another form")
    kept.rule, kept.lr_init = rule, options.learning_rate
    return kept


def _shapes(store):
    return {name: tuple(a.shape) for name, a in store.items()}


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
