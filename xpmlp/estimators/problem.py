"""What a fit starts from, as one value: fit, explain, plan and the checks in testing use it."""

import warnings
from dataclasses import dataclass, field, replace

import numpy as np

from ..arrays import HOST, from_host, location_of
from ..model import Model
from ..nn import BatchNorm, Dropout, Loss
from ..nn.layout import map_params
from ..nn.losses import match_loss
from ..optim import Rule
from ..plain import numbers
from ..randomness import Draws, InitialStream
from ..training import TrainOptions, Validation, fit_network, like_of, where_it_pays
from ..training.inputs import check_total
from .arguments import loss_of, rule_of, train_options
from .building import has_layer, is_pair, network_of
from .inputs import STANDARDISED, check_weights, checked_rows, drawn_from, measured_scaling
from .targets import checked_targets, completed
from .validation import Rows, rows_of

# Arguments of which a training knows only what they come to.
SETTINGS = "scoring", "class_weight", "label_smoothing"


@dataclass(frozen=True, kw_only=True, eq=False)
class Problem:
    """What a fit starts from.

    model: with the network, at the first parameters; rule: None for L-BFGS; params: the parameters
    beside the rows; draws: where scikit-learn's stream stands; rows: to train on; held_out: looked
    at after each epoch; why: a sentence on the device, where the work of the fit chose it.
    """

    model: Model
    loss: Loss
    rule: Rule | None
    options: TrainOptions
    params: dict  # nested dicts of arrays
    draws: Draws
    rows: Rows
    held_out: Validation | None = None
    why: str = ""
    settings: dict = field(default_factory=dict)  # further options, as of `fit_network`

    def trained(self, state=None, on_epoch=None, checkpoint=None, resume=False):
        """Train. Returns parameters, state and reason as `fit_network` does."""
        data, given = (self.rows.x, self.rows.targets), self.rows.weights
        first = self.model.network, self.loss, self.rule, self.options, data, self.params
        more = {"draws": self.draws, "validation": self.held_out, "on_epoch": on_epoch}
        more |= {"checkpoint": checkpoint, "resume": resume, "settings": self.settings}
        return fit_network(*first, state=state, sample_weight=given, **more)


def problem_of(
    estimator,
    X,
    y,
    sample_weight=None,
    *,
    result=None,
    classes=None,
    one_epoch=False,
    moves=False,
    seed=None,
) -> Problem:
    """Return what a fit of an estimator to X and y starts from.

    result: the `FitResult` that the fit goes on with, or None; classes: as of `checked_targets`;
    moves: whether ``device="auto"`` may bring host rows to a GPU; seed: what random_state=None has
    drawn in another process.
    """
    rule, scale, known = rule_of(estimator), estimator.feature_scale, result and result.model
    seed, draws = drawn_from(estimator.random_state, result, goes_on=one_epoch, drawn=seed)
    x, inputs = checked_rows(estimator, X, known)
    if known is None and scale in STANDARDISED:
        inputs = replace(inputs, scaling=measured_scaling(scale, x, inputs))
    x = inputs.computed(x)
    given, old = check_weights(sample_weight, x.shape[0]), known and known.targets
    labels, targets = checked_targets(estimator, y, x.shape[0], old, classes)
    loss, link = match_loss(loss_of(estimator), targets.task, estimator.out_activation)
    targets = completed(estimator, targets, labels, given, loss, link, inputs.dtype, old)
    (targets, loss), why = targets.paired(loss), ""
    network = network_of(estimator, inputs, targets.n_outputs, last_activation(loss, link))
    options = train_options(estimator, x.shape[0], rule, seed, one_epoch=one_epoch)
    if known is not None:
        _check_same(estimator, known, network, targets)
    elif moves and estimator.device == "auto" and inputs.location == HOST:
        x, why = where_it_pays(x, network, lambda n_outputs: loss, rule, options)
        at = location_of(like_of(x))
        if at != HOST:  # as if that device had been asked for
            inputs = replace(inputs, location=at, requested=at.device)
    rows = rows_of(x, labels, given, inputs, targets)
    if rows.weights is not None:
        check_total(rows.weights, inputs.dtype, "sample_weight and class_weight")
    if known is None:
        stream = InitialStream.of(seed, draws.generator)
        model = _initial(network, inputs, targets, rows.targets, stream, estimator.init)
    else:
        model = replace(known, targets=targets)
    params = model.params(rows.targets)
    first = {"options": options, "params": params, "draws": draws, "rows": rows}
    settings = {name: getattr(estimator, name, None) for name in SETTINGS}
    settings |= {"classes": targets.classes, "target_scale": getattr(targets, "scaling", None)}
    settings |= {"columns": inputs.names, "encoding of X": inputs.encoder}
    settings |= {"feature_scale": inputs.scaling}
    first["settings"] = settings
    return Problem(model=model, loss=loss, rule=rule, why=why, **first)


def last_activation(loss, link) -> str:
    """Return the activation of the last layer: the link, unless that is in the loss."""
    if loss.link == "identity":
        return link
    return "identity"


def _check_same(estimator, known, network, targets):
    """Refuse to go on with a fitted model that the arguments no longer describe."""
    last, old = known.network.layers[-1].activation, known.targets
    described = targets.link, targets.quantiles, network.layers[-1].activation
    if described != (old.link, old.quantiles, last):
        raise ValueError(
            "loss, quantiles or out_activation are others than those that the model was fitted "
            "with, so its outputs would mean something else: call fit without warm_start."
        )
    if network != known.network:
        raise ValueError(
            f"the arguments of {type(estimator).__name__} describe another network than the "
            "fitted one: call fit without warm_start."
        )


def _initial(network, inputs, targets, like, stream, init) -> Model:
    """Return the model at its initial parameters, drawn or as the argument `init` gives them."""
    host, _ = network.init(inputs.width, stream)
    params = map_params(lambda a: from_host(a, like, inputs.dtype), host)
    model = Model.of(network, inputs, targets, params)
    if not is_pair(init):
        return model
    coefs, intercepts = ([numbers(a, "init") for a in arrays] for arrays in init)
    largest = np.finfo(inputs.dtype).max
    if not all((np.abs(a) <= largest).all() for a in coefs + intercepts):
        raise ValueError(f"init holds NaN or infinity, or numbers too large for {inputs.dtype}.")
    return replace(model, coefs=coefs, intercepts=intercepts)


def check_trainable(estimator, problem: Problem):
    """Refuse what solver or batch size cannot do with a network, and warn of a clipped batch."""
    network, n = problem.model.network, problem.rows.x.shape[0]
    if problem.rule is None and has_layer(network, (Dropout, BatchNorm)):
        raise ValueError(
            "solver='lbfgs' needs a fixed objective: leave dropout and batch normalization "
            "out, or take 'adam'."
        )
    if estimator.batch_size != "auto" and estimator.batch_size > n:
        warnings.warn(
            f"Got `batch_size` less than 1 or larger than sample size ({n}). "
            "It is going to be clipped."
        )
    if problem.options.batch_size == 1 and has_layer(network, BatchNorm):
        raise ValueError(
            "batch normalization needs batches of two rows or more, each row alone is its own "
            "mean: raise batch_size, or take normalization='layer'."
        )
