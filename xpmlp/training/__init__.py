"""Training: one step, the plan of an epoch, the loop, and `train` for a bare network."""

from .fit import Trained, fit_network, train
from .loop import State, TrainOptions, Validation, new_history
from .outputs import network_outputs
from .rates import LearningRates, Sweep
from .report import fit_report
from .rows import SparseRows, like_of
from .step import STEP_OPTIONS, Step, StepOptions
from .work import where_it_pays
