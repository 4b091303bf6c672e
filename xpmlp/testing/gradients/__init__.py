"""Gradient checks: `check` tells what it got, `layers` checks layers, losses and estimators,
`functions` your own code.

1. Measure: `code` calls the functions (`own_code` knows the forms in which people bring them),
   `points` says at which parameters, `differences` measures there.
2. Recognise the `network`: `record` and `recognise` read it off a tape of the forward pass;
   `structure` and `identify` find it by its costs, for other libraries.
3. Explain: `mistakes` looks for the changes of the right backward pass that give the user's
   gradients (`candidates`, `products`, `fits`, `online`, `whole`; `shadows` rules most out).
   `where` and `verdicts` say what the table alone shows, `exceptions_in_backward` what a traceback
   shows, `forward_pass` what forward itself does wrong.
4. Write: `written`, `right_sides` and `expressions` print the right backward pass, `repairs` and
   `corrections` the wrong lines and the right ones, tried by `lines`; `report` shows all.
"""

from .check import assert_gradients, check_gradients

__all__ = ["assert_gradients", "check_gradients"]
