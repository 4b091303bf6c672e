"""Compile ahead what numba compiles once a machine: `python tests/compiled_code.py float64`.

The first fit would say so on stderr, where tests of commands expect nothing.
"""

import sys

import numpy as np

from xpmlp import nn, train


def compile_ahead(dtype):
    """Train and predict in a dtype, which compiles its code where none is kept."""
    x = np.ones((2, 1), dtype)
    train(nn.Network([nn.Dense(1)]), x, x, max_iter=1).outputs(x)


if __name__ == "__main__":
    compile_ahead(sys.argv[1])
