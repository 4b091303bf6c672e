"""Training: one step, the plan of an epoch, the loop, and `train` for a bare network."""

from .bare import Trained, train
from .checkpoint import Checkpoint, checkpoint_of
from .fit import fit_network
from .loop import TrainOptions, Validation
from .outputs import network_outputs
from .rates import LearningRates, Sweep
from .report import fit_report
from .rows import SparseRows, like_of
from .state import State, new_history, pack_state, unpack_state
from .step import STEP_OPTIONS, Step, StepOptions
from .work import where_it_pays
