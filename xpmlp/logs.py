"""The logger "xpmlp": what a training does and which files are read and written, for who listens.

INFO: where a training runs and why, how it ends, model files and tables; DEBUG: each epoch. What
needs an answer is a warning (the module `warnings`), which `logging.captureWarnings(True)` brings
to the logger "py.warnings".
"""

import logging

logger = logging.getLogger("xpmlp")
logger.addHandler(logging.NullHandler())
