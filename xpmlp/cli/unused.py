"""Options that are given and change nothing in a training, each with the reason."""

import math

from ..optim import RULES, SCHEDULES
from .options import OPTIONS, given

STEPS = (  # what an update rule needs for its steps; lbfgs makes none
    "learning_rate_init",
    "learning_rate",
    "batch_size",
    "shuffle",
    "early_stopping",
    "n_iter_no_change",
)


def unused(model, options):
    """Return a sentence on each option of a training that changes nothing in this one."""
    said = given(options)
    reasons = _of_solver(model) | _of_validation(options["validation"])
    if math.isinf(model.n_iter_no_change) and model.solver != "lbfgs":
        reasons["tol"] = "--patience is inf"
    if said.get("early_stopping") is False:
        reasons.pop("early_stopping", None)  # --no-early-stopping is as it was asked for
    flags = {name: "--" + "no-" * (value is False) + OPTIONS[name] for name, value in said.items()}
    return [f"{flags[k]} changes nothing: {reasons[k]}." for k in flags if k in reasons]


def _of_solver(model):
    """Return by argument why a solver and its schedule do not use it."""
    solver, schedule = model.solver, model.learning_rate
    reasons = {"max_fun": f"it is for lbfgs, and the solver is {solver}"}
    if solver == "lbfgs":
        reasons = dict.fromkeys(STEPS, "lbfgs has iterations over all rows")
    elif SCHEDULES[schedule].only_sgd and solver != "sgd":
        reasons["learning_rate"] = f"{schedule} is for sgd, and the solver is {solver}"
    used = getattr(RULES.get(solver), "arguments", ())
    for kinds, mine, what in (
        (RULES, used, f"the solver {solver}"),
        (SCHEDULES, SCHEDULES[schedule].arguments, f"the schedule {schedule}"),
    ):
        others = {name for kind in kinds.values() for name in kind.arguments}.difference(mine)
        reasons |= dict.fromkeys(others, f"{what} does not use it")
    return reasons


def _of_validation(validation):
    """Return by argument why a training does not use it that scores no rows, or only watches."""
    if validation == 0:
        why = "--validation 0 holds out no rows"
        return dict.fromkeys(("early_stopping", "scoring"), why)
    if validation == "test":
        return {"early_stopping": "--validation test only watches the test rows"}
    return {}
