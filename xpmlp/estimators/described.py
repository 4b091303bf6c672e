"""Whether the arguments of an estimator are such that a fit begins, tried without one."""

import numpy as np
from sklearn.base import is_classifier

from ..arrays import float_dtype
from ..nn.losses import match_loss
from .arguments import loss_of, rule_of, train_options
from .building import network_of
from .classes import class_weights
from .constraints import check_scorer
from .problem import last_activation
from .tables import asks_for_table


def check_described(estimator):
    """Raise ValueError or TypeError for arguments by which a fitted estimator could not be fitted.

    They are checked as a fit does it: each by its constraint, then what is made of them.
    """
    estimator._validate_params()
    check_scorer(estimator.scoring)
    result = estimator.result_
    model, targets = result.model, result.model.targets
    if (targets.task == "regression") == is_classifier(estimator):
        raise ValueError(f"its task is {targets.task!r}")
    float_dtype(np.empty(0), estimator.dtype)
    asks_for_table(estimator)
    train_options(estimator, 1, rule_of(estimator), result.seed)
    match_loss(loss_of(estimator), targets.task, estimator.out_activation)
    loss, link = match_loss(loss_of(estimator), targets.task, model.out_activation)
    network_of(estimator, model.inputs, targets.n_outputs, last_activation(loss, link))
    if is_classifier(estimator):
        y = np.zeros((1, targets.n_outputs)) if targets.task == "multilabel" else targets.classes
        class_weights(estimator.class_weight, targets, y, None)
