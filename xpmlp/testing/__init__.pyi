# What a type checker reads of __init__.py, which imports each name where it is first used.
from .gradients import assert_gradients, check_gradients
from .parity import assert_same_trajectory, check_parity

__all__ = ["assert_gradients", "assert_same_trajectory", "check_gradients", "check_parity"]
