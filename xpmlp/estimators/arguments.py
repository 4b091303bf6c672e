"""The arguments of an estimator, as the records that a training takes."""

from ..engines import Options
from ..nn import Loss
from ..nn.losses import quantile
from ..optim import SGD, Constant, Rule, make_rule, make_schedule
from ..optim.rules import RULE_ARGUMENTS
from ..training import StepOptions, TrainOptions


def engine_options(estimator) -> Options:
    """Return how steps and predictions run, as an engine takes it."""
    return Options(
        matmul_precision=estimator.matmul_precision,
        accelerate=estimator.accelerate,
        deterministic=bool(estimator.deterministic),
    )


def loss_of(estimator) -> str | Loss:
    """Return the loss, with a regressor's quantiles in it."""
    quantiles = getattr(estimator, "quantiles", None)
    if estimator.loss == "quantile":
        return quantile(0.5 if quantiles is None else quantiles)
    if quantiles is not None:
        raise ValueError("quantiles go with loss='quantile': leave them out, or set it.")
    return estimator.loss


def rule_of(estimator) -> Rule | None:
    """Return the update rule, None for L-BFGS."""
    given = {name: getattr(estimator, name) for name in RULE_ARGUMENTS}
    return make_rule(estimator.solver, **given)


def rows_a_step(estimator) -> int:
    """Return how many rows a step of an update rule takes, if there are so many."""
    if estimator.batch_size == "auto":
        return 200
    return int(estimator.batch_size)


def train_options(estimator, n: int, rule: Rule | None, seed: int, *, one_epoch=False):
    """Return how n rows are trained on, all epochs of a fit or the one of a `partial_fit`."""
    decay, name = estimator.weight_decay, estimator.learning_rate
    if rule and decay is None:
        decay = rule.weight_decay
    schedule = make_schedule(name, power_t=estimator.power_t)
    if schedule.only_sgd and isinstance(name, str) and not isinstance(rule, SGD):
        schedule = Constant()
    return TrainOptions(
        schedule=schedule,
        learning_rate=float(estimator.learning_rate_init),
        batch_size=min(rows_a_step(estimator), n),
        max_iter=1 if one_epoch else estimator.max_iter,
        shuffle=estimator.shuffle,
        seed=seed,
        alpha=float(estimator.alpha),
        weight_decay=float(decay or 0.0),
        tol=float(estimator.tol),
        n_iter_no_change=estimator.n_iter_no_change,
        early_stopping=estimator.early_stopping and rule is not None,
        max_fun=estimator.max_fun,
        verbose=int(estimator.verbose),
        n_epochs=estimator.max_iter,
        steps=StepOptions.of(estimator),
        engine=engine_options(estimator),
    )
