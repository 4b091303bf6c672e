"""Gradient checks: `check` tells what it got, `layers` checks layers, losses and estimators,
`functions` your own code.

`code` calls the functions, `points` says at which parameters, `differences` measures there.
`structure` and `identify` recognise a network from its shapes and cost. `mistakes` looks for the
changes of the right backward pass (`candidates`, `products`, `whole`) that give the user's
gradients. `where` says which errors the right gradients prove right, `verdicts` what one array
shows by itself, `exceptions_in_backward` what a traceback shows; `report` prints. `forward_pass`
looks at what forward itself does.
"""

from .check import assert_gradients, check_gradients

__all__ = ["assert_gradients", "check_gradients"]
